"""The other process of a history: a genuine client behind a shim of its own, told what to do line by line."""

import json
import sys

from binance import Client
from virtual_time import PASSED, jumping

import exit_shim


def main() -> None:
    """Do what each line says, and answer each with a line."""
    shim = client = inner = None
    with jumping():
        for line in sys.stdin:
            said = json.loads(line)
            PASSED[0] = said["passed"]
            answer, what = None, said["what"]
            try:
                if what == "begin":
                    options = {key: said[key] for key in ("journal", "policy", "mode")}
                    shim = exit_shim.ExitShim(**options, resolve=False, sinks=[])
                    inner = Client("local-key", "local-secret", ping=False)
                    inner.FUTURES_URL = said["url"] + "/fapi"
                    client = shim.wrap(inner)
                elif what == "call":
                    with exit_shim.attributed(said["module"]):
                        answer = getattr(client, said["method"])(**said["params"])
                elif what == "flush":
                    shim.flush()
                    shim.journal.flush()
                elif what == "end":
                    shim.close()
                    inner.session.close()
            except Exception as error:  # noqa: BLE001 - the other side raises it
                code = getattr(error, "code", None)
                told = {"kind": type(error).__name__, "code": code, "text": str(error)}
            else:
                told = {"answer": answer}
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":

    @exit_shim.rule("HOUSE")
    def house(case):
        """Find something in one of three orders."""
        quantity = case.order.quantity or "0"
        return "house=yes" if case.operation != "query" and float(quantity) * 1000 % 3 == 1 else None

    main()
