"""A journal that is written event by event, for what no exchange and no bot would do."""

import msgspec

from exit_shim.domain.attributions import Attribution
from exit_shim.domain.events import Intent, Outcome, Target
from exit_shim.domain.orders import ExitOrder
from exit_shim.journal.database import open_writer
from exit_shim.journal.ingest import RunOrigin, ingest, transaction
from exit_shim.journal.line_format import Line

SECOND_NS = 1_000_000_000
START_NS = 1_790_000_000 * SECOND_NS


class WrittenJournal:
    """Gather events of one run, one second after the other, and write them at once.

    Args:
        path: Where to.
        run_id: The run.
    """

    def __init__(self, path, run_id="run-1"):
        self.path, self.run_id = path, run_id
        self.now = START_NS
        self._lines = [Line(0, START_NS, "run_started", None, "{}")]

    def add(self, event, body, about=None):
        """Add an event; return its number."""
        number = len(self._lines)
        self.now += SECOND_NS
        text = msgspec.json.encode(body).decode()
        self._lines.append(Line(number, self.now, event, about, text))
        return number

    def order(self, module, *, operation="place", targets=(), outcome="accepted", **fields):
        """Add an order with its outcome; return the id that the exchange gave it."""
        place = {name: fields.pop(name) for name in ("function", "file", "line") if name in fields}
        order = {"kind": "sl", "symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", **fields}
        intent = Intent(
            ts=self.now + SECOND_NS,
            door="futures_create_order" if operation == "place" else "futures_cancel_algo_order",
            operation=operation,
            order=ExitOrder(**order),
            attribution=Attribution(module=module, evidence="stack", **place),
            mode="LEGACY",
            account="mine",
            targets=targets,
        )
        number = self.add("intent", intent)
        algo_id = 4_000_000_000 + number if operation == "place" else targets[0].algo_id
        answer = Outcome(outcome, algo_id=algo_id, presend_us=90.0, total_us=4_000.0)
        self.add("outcome", answer, about=f"{self.run_id}:{number}")
        return algo_id

    def cancel(self, module, algo_id, *, of, **fields):
        """Add a cancel of another module's stop."""
        targets = (Target(kind="sl", module=of, algo_id=algo_id),)
        self.order(module, operation="cancel", targets=targets, **fields)

    def write(self):
        """Write what was gathered; return the path."""
        connection = open_writer(self.path)
        with transaction(connection):
            ingest(connection, RunOrigin(self.run_id, START_NS, "{}"), self._lines)
        connection.close()
        return self.path
