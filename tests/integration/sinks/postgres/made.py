"""Journals made by hand, what ships them, and what a database holds."""

import contextlib
import os
import subprocess
import sys
import textwrap
import threading
import time

import psycopg

from exit_shim.domain.attributions import Attribution, Step
from exit_shim.domain.events import Intent, OrderFindings, Outcome, Resolution, Target
from exit_shim.domain.orders import ExitOrder
from exit_shim.domain.verdicts import Reason, Verdict
from exit_shim.journal import Journal, JournalReader
from exit_shim.sinks.postgres import Dsn, Outbox, Shipper, ship_continuously

KILLS = int(os.environ.get("EXIT_SHIM_KILLS", "10"))
"""How often the shipper is killed; the long form is 300."""

PASSWORDS = {"writer": "pLaNtEd-Writer-Pa55", "reader": "pLaNtEd-Reader-Pa55"}


class Database:
    """One database of the server's, by who asks for it."""

    def __init__(self, server, name):
        self.server = server
        self.name = name
        self.admin = server.dsn("admin", name)
        self.writer = server.dsn("writer", name, PASSWORDS["writer"])
        self.reader = server.dsn("reader", name, PASSWORDS["reader"])

    def rows(self, question, *values, dsn=None):
        with psycopg.connect(dsn or self.admin, autocommit=True) as connection:
            return connection.execute(question, values).fetchall()

    def run(self, statement):
        self.server.admin(statement, database=self.name)

    def count(self):
        ((number,),) = self.rows("SELECT count(*) FROM exit_shim.events")
        return number

    def stored(self):
        """What is there, as the journal has it."""
        return self.rows(
            "SELECT run_id, seq, pos, ts, event, about, body, link FROM exit_shim.events ORDER BY run_id, pos"
        )


def intent(number=1, **changed):
    """An order about to leave."""
    fields = {
        "ts": time.time_ns(),
        "door": "futures_create_order",
        "operation": "place",
        "order": ExitOrder(
            kind="sl",
            symbol="BTCUSDT" if number % 3 else "ETHUSDT",
            side="SELL",
            client_order_id=f"x-{number}",
        ),
        "attribution": Attribution(
            module="position_monitor" if number % 2 else "trailing_stop_manager",
            evidence="stack",
            function="Monitor.adjust",
            file="/srv/bot/monitor “ä”.py",
            line=number % 5,
            chain=(
                Step("backend.monitor", "chosen", "Monitor.adjust", number % 5),
                Step("main", "outer", "main", 1),
            ),
        ),
        "mode": "LEGACY",
        "account": "key-0a1b2c3d",
        "verdict": Verdict("warn", (Reason("OWNERSHIP_CONFLICT", {"module": "m"}),))
        if number % 4 == 0
        else Verdict("allow"),
    }
    return Intent(**{**fields, **changed})


def order(journal, number):
    """An order and what came of it: accepted, refused, unknown, or nothing as yet; or a cancel."""
    if number % 5 == 4:
        target = Target(kind="sl", module="position_monitor", algo_id=1000 + number - 1)
        seq = journal.append(intent(number, operation="cancel", targets=(target,)))
    else:
        seq = journal.append(intent(number))
    if number % 7 == 0:
        return seq
    if number % 7 == 1:
        journal.append(Outcome("unknown", error_message="timed out “ä” \u2028"), (journal.run_id, seq))
    elif number % 7 == 2:
        journal.append(
            Outcome("rejected", error_code=-2021, error_message="would trigger"), (journal.run_id, seq)
        )
    else:
        journal.append(Outcome("accepted", algo_id=1000 + number, total_us=number / 3), (journal.run_id, seq))
    return seq


def fill(path, orders, first=0):
    """A run with so many orders; its id."""
    with contextlib.closing(Journal(path)) as journal:
        for number in range(first, first + orders):
            seq = order(journal, number)
            if number % 6 == 5:
                found = OrderFindings(
                    (Reason("DUPLICATE_EXIT", {"other": "“ä”"}),), ("sl whole position of m",)
                )
                journal.append(found, (journal.run_id, seq))
            if number % 14 == 1:
                journal.append(
                    Resolution(result="accepted", status="NEW", order_id=5000 + number, evidence=("a → b",)),
                    (journal.run_id, seq),
                )
        assert journal.flush()
        return journal.run_id


@contextlib.contextmanager
def shipper(path, dsn, **options):
    address = Dsn(dsn)
    with contextlib.closing(Shipper(Outbox(path, address.name), address, **options)) as own:
        yield own


def ship(path, dsn, **options):
    """Ship what is there; how many events were sent."""
    with shipper(path, dsn, **options) as own:
        return own.ship()


def local(path):
    """The journal as `Database.stored` has it."""
    return sorted(
        (tuple(event) for event in JournalReader(path).read_events()), key=lambda row: (row[0], row[2])
    )


def until(condition, patience=60.0):
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.01)


def python(script, *arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)], text=True, **options
    )


@contextlib.contextmanager
def killed(process):
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def followed(path, dsn, listener=None):
    """A shipper that follows, in a thread; its listener."""
    listener, stopped = listener or Told(), threading.Event()
    with shipper(path, dsn, batch=50) as own:
        thread = threading.Thread(target=ship_continuously, args=(own, stopped, listener))
        thread.start()
        try:
            yield listener
        finally:
            stopped.set()
            thread.join()


class Told:
    def __init__(self):
        self.events = 0
        self.failures = []
        self.waits = 0

    def on_shipped(self, events):
        self.events += events

    def on_failure(self, error, pause):
        self.failures.append((str(error), pause))

    def on_waiting(self):
        self.waits += 1
