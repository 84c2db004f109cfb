"""Count the Python calls and files of exit_shim that one exit order takes, warm, without a policy.

python benchmarks/calls.py [--by-function]
"""

import argparse
import collections
import sys
import tempfile
from pathlib import Path
from typing import Any

import exit_shim
from exit_shim.testing import FakeClient

PACKAGE = str(Path(exit_shim.__file__).parent)
ELSEWHERE = tuple(str(Path(PACKAGE) / room) for room in ("exchange", "testing"))
STOP = {
    "symbol": "BTCUSDT",
    "side": "SELL",
    "type": "STOP_MARKET",
    "stopPrice": "40000",
    "quantity": "0.001",
    "reduceOnly": "true",
}
BUDGET = 70
WARM = 20


def count_calls(client: Any) -> collections.Counter[str]:
    """Return how often the thread that orders calls each function of ours for one order."""
    calls: collections.Counter[str] = collections.Counter()

    def note(frame: Any, event: str, _: Any) -> None:
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(PACKAGE) and not path.startswith(ELSEWHERE):
            name = getattr(frame.f_code, "co_qualname", frame.f_code.co_name)
            calls[f"{Path(path).relative_to(PACKAGE)}:{name}"] += 1

    def place() -> None:
        client.futures_create_order(**STOP)

    for turn in range(WARM + 1):
        sys.setprofile(note if turn == WARM else None)
        place()
    sys.setprofile(None)
    return calls


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--by-function", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shim = exit_shim.ExitShim(journal=f"{folder}/journal.db", resolve=False)
        client = FakeClient()
        client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.1")
        calls = count_calls(shim.wrap(client))
        shim.close()
    if asked.by_function:
        for name, number in sorted(calls.items()):
            sys.stdout.write(f"{number:4} {name}\n")
    files = {name.partition(":")[0] for name in calls}
    sys.stdout.write(f"{sum(calls.values())} calls (at most {BUDGET}) in {len(files)} files\n")


if __name__ == "__main__":
    main()
