"""CPU time of the commands that must answer at once, beside the imports that they cannot do without.

    python benchmarks/commands.py [PAIRS]

Each command runs in turn with its yardstick, so that both see the same machine; the median of the pairs'
ratios is held against the budget. It is CPU time, which a busy machine stretches less than wall-clock time.
The exit status is 1 where a budget is exceeded.
"""

import fcntl
import os
import pty
import statistics
import struct
import sys
import tempfile
import termios
from pathlib import Path
from typing import NamedTuple

import exit_shim
from exit_shim.journal import read_records
from exit_shim.testing import FakeClient

PAIRS = 15

WIDE = (40, 240)
"""Lines and columns of the terminal, on which each table is drawn by rich."""

CLICK = [sys.executable, "-c", "import click"]
TABLES = [sys.executable, "-c", "import click, rich.console, rich.table, msgspec, sqlite3"]
SHIM = [sys.executable, "-m", "exit_shim"]

OPEN = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": 0.1}
STOP = {
    "symbol": "BTCUSDT",
    "side": "SELL",
    "type": "STOP_MARKET",
    "stopPrice": 50000,
    "quantity": 0.001,
    "reduceOnly": "true",
}


class Case(NamedTuple):
    """A command with its yardstick; on a terminal it draws with rich."""

    name: str
    arguments: list[str]
    yardstick: list[str]
    budget: float = 1.5
    on_terminal: bool = False


def main():
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EXIT_SHIM_JOURNAL"] = str(Path(folder) / "journal.db")
        cases = [
            Case("--help", ["--help"], CLICK),
            *(
                case
                for name, words in fill_journal().items()
                for case in (
                    Case(name, words, TABLES),
                    # rich draws there, while the yardstick only imports it.
                    Case(f"{name} on a terminal", words, TABLES, budget=2.0, on_terminal=True),
                )
            ),
        ]
        print(f"{'command':<24} {'yardstick':>9} {'command':>9} {'ratio':>6} {'budget':>6}")
        kept = [measure(case, pairs) for case in cases]
    sys.exit(not all(kept))


def fill_journal():
    """Record a few orders of two modules; return the commands that show them."""
    shim = exit_shim.ExitShim(sinks=[])
    client = shim.wrap(FakeClient())
    client.futures_create_order(**OPEN)
    for module in ("position_monitor", "hybrid_tpsl") * 5:
        with exit_shim.attributed(module):
            client.futures_create_order(**STOP)
    shim.close()
    *_, last = read_records(os.environ["EXIT_SHIM_JOURNAL"])
    order = f"{last.run_id}:{last.seq}"
    return {"summary": ["summary"], "records": ["records"], "explain": ["explain", order]}


def measure(case, pairs):
    """Print a case's medians; return whether it keeps its budget."""
    yardsticks, commands = [], []
    for _ in range(pairs):
        yardsticks.append(cpu_ms(case.yardstick))
        commands.append(cpu_ms([*SHIM, *case.arguments], on_terminal=case.on_terminal))
    ratio = statistics.median(own / other for own, other in zip(commands, yardsticks, strict=True))
    print(
        f"{case.name:<24} {statistics.median(yardsticks):>6.0f} ms {statistics.median(commands):>6.0f} ms "
        f"{ratio:>6.2f} {case.budget:>6.1f}",
        flush=True,
    )
    return ratio <= case.budget


def cpu_ms(command, *, on_terminal=False):
    """Run a process to its end and return the CPU time that it took."""
    reader, writer = pty.openpty() if on_terminal else os.pipe()
    if on_terminal:
        fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", *WIDE, 0, 0))
    pid = os.posix_spawn(
        command[0],
        command,
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, writer, 1), (os.POSIX_SPAWN_CLOSE, reader)],
    )
    os.close(writer)
    try:
        while os.read(reader, 65536):
            pass
    except OSError:
        # A terminal whose other end is closed reports that as an error.
        pass
    _, status, usage = os.wait4(pid, 0)
    os.close(reader)
    if status:
        sys.exit(f"{' '.join(command)} ended with status {os.waitstatus_to_exitcode(status)}")
    return (usage.ru_utime + usage.ru_stime) * 1000


if __name__ == "__main__":
    main()
