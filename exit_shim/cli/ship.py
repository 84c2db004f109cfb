"""`exit-shim ship`: the local journal into a PostgreSQL that many hosts share."""

import signal
import threading
import time
from pathlib import Path
from typing import Final

import click

from exit_shim.cli.output import say
from exit_shim.configuration import SHIP_VARIABLE, journal_path
from exit_shim.journal import JournalError
from exit_shim.sinks.postgres import Dsn, Outbox, Shipper, migrate, ship_continuously

STATUS_S: Final = 60.0
"""How often a shipper that follows says how it fares, while there is something to say."""


@click.command()
@click.option(
    "--to", "dsn", metavar="DSN", envvar=SHIP_VARIABLE, required=True, help="postgresql://USER@HOST/DATABASE"
)
@click.option("--once", is_flag=True, help="Ship what is there, and end.")
@click.option("--migrate", "migrating", is_flag=True, help="Make or update the schema there, and end.")
@click.option("--forget", is_flag=True, help="Ship there no more: let prune delete what it has not got.")
def ship(*, dsn: str, once: bool, migrating: bool, forget: bool) -> None:
    """Ship the journal to PostgreSQL, for good; through outages, and on from where it stopped.

    DSN is libpq's, with its options (sslmode, sslrootcert, …). A password is best in PGPASSWORD or ~/.pgpass;
    EXIT_SHIM_SHIP_TO stands for --to.
    """
    try:
        address = Dsn(dsn)
        shipper = Shipper(Outbox(Path(journal_path()), address.name), address)
        if migrating:
            for line in migrate(address) or ["nothing to do"]:
                say(f"{address.name}: {line}")
        elif forget:
            shipper.outbox.forget()
            say(f"{address.name} is forgotten")
        elif once:
            ship_once(shipper)
        else:
            ship_for_good(shipper)
    except JournalError as error:
        raise click.ClickException(str(error)) from error


def ship_once(shipper: Shipper) -> None:
    """Ship what is there; what keeps it here ends the command, with the lag."""
    begun = time.monotonic()
    try:
        events = shipper.ship()
        took = time.monotonic() - begun
        say(f"shipped {said(events)} to {shipper.address.name} in {took:.1f} s; {shipper.lag()}")
    except JournalError as error:
        raise click.ClickException(f"{error}; {lag(shipper)}") from error
    finally:
        shipper.close()


def ship_for_good(shipper: Shipper) -> None:
    """Ship until Ctrl-C or SIGTERM."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    journal = shipper.outbox.journal
    say(f"shipping {journal} to {shipper.address.name}" + ("" if journal.exists() else ", once it is there"))
    ship_continuously(shipper, stopped, Status(shipper))


class Status:
    """Says how it fares: at first, now and then, and when that changes."""

    def __init__(self, shipper: Shipper) -> None:
        self._shipper = shipper
        self._events = 0
        self._due = 0.0
        self._said = ""

    def on_shipped(self, events: int) -> None:
        """All that was there is at the database."""
        self._events += events
        if self._said or time.monotonic() >= self._due:
            say(f"shipped {said(self._events)}; {self._shipper.lag()}")
            self._events, self._due, self._said = 0, time.monotonic() + STATUS_S, ""

    def on_failure(self, error: JournalError, pause: float) -> None:
        """Something keeps the events here; the same is said once a status' time."""
        if str(error) != self._said or time.monotonic() >= self._due:
            self._said, self._due = str(error), time.monotonic() + STATUS_S
            say(f"{error}; {lag(self._shipper)}; trying again in {pause:.0f} s and on", err=True)

    def on_waiting(self) -> None:
        """Another process ships this journal."""
        if not self._said:
            self._said = "another process of this host ships this journal; waiting for its end"
            say(self._said)


def lag(shipper: Shipper) -> str:
    """The lag in words, also where the journal cannot tell it."""
    try:
        return str(shipper.lag())
    except JournalError:
        return "lag unknown"


def said(events: int) -> str:
    """So many events."""
    return f"{events} event{'s' * (events != 1)}"
