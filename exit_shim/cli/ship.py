"""`exit-shim ship`: copy the local journal into a PostgreSQL that many hosts share."""

import signal
import threading
import time
from pathlib import Path
from typing import Final

import click

from exit_shim.cli.options import journal_option, refuse_password
from exit_shim.cli.output import pluralize, say
from exit_shim.cli.progress import ProgressBar
from exit_shim.cli.sources import readable_journal_errors
from exit_shim.configuration import SHIP_VARIABLE
from exit_shim.journal import JournalError
from exit_shim.journal.default_path import journal_path
from exit_shim.sinks.postgres import Dsn, Outbox, Shipper, migrate
from exit_shim.sinks.postgres import ship_continuously as ship_until_stopped

STATUS_S: Final = 60.0
"""How often a continuous shipper prints its status while there is something to ship."""


@click.command()
@click.option(
    "--to",
    "dsn",
    metavar="DSN",
    envvar=SHIP_VARIABLE,
    required=True,
    callback=refuse_password,
    help="The database: postgresql://USER@HOST/DATABASE.",
)
@click.option("--once", is_flag=True, help="Ship what is there, and end.")
@click.option("--migrate", "migrating", is_flag=True, help="Create or update the schema, and end.")
@click.option(
    "--forget", is_flag=True, help="Stop shipping there, so that prune may delete unshipped events."
)
@journal_option
def ship(*, dsn: str, once: bool, migrating: bool, forget: bool, journal: str | None) -> None:
    """Copy the journal to PostgreSQL continuously.

    Continues where it stopped, also after outages. DSN is libpq's, with its options (sslmode, sslrootcert,
    …). Put a password into PGPASSWORD or ~/.pgpass, or the whole DSN into EXIT_SHIM_SHIP_TO, which replaces
    --to; a password on the command line is refused.
    """
    with readable_journal_errors():
        address = Dsn(dsn)
        bar = ProgressBar("shipping", measure=lambda: shipped_by(shipper, bar))
        shipper = Shipper(Outbox(Path(journal_path(journal)), address.name), address, breathe=bar.beat)
        if migrating:
            for line in migrate(address) or ["the schema is up to date"]:
                say(f"{address.name}: {line}")
        elif forget:
            shipper.outbox.forget()
            say(f"the journal is no longer shipped to {address.name}")
        elif once:
            ship_once(shipper, bar)
        else:
            ship_continuously(shipper, bar)


def shipped_by(shipper: Shipper, bar: ProgressBar) -> int:
    """Return how many events were shipped since the bar began to measure; set how many there were."""
    behind = shipper.lag().events
    if bar.total is None or behind > bar.total:
        bar.total = behind
    return bar.total - behind


def ship_once(shipper: Shipper, bar: ProgressBar) -> None:
    """Ship what is there; end the command with the lag where something prevents it."""
    began = time.monotonic()
    try:
        with bar:
            events = shipper.ship()
        took = time.monotonic() - began
        say(
            f"shipped {pluralize(events, 'event')} to {shipper.address.name} in {took:.1f} s; {shipper.lag()}"
        )
    except JournalError as error:
        raise click.ClickException(f"{error}; {lag_text(shipper)}") from error
    finally:
        shipper.close()


def ship_continuously(shipper: Shipper, bar: ProgressBar) -> None:
    """Ship until Ctrl-C or SIGTERM; the bar is that of the first copy."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    journal = shipper.outbox.journal
    when = "" if journal.exists() else ", once it exists"
    say(f"shipping {journal} to {shipper.address.name}{when}")
    with bar:
        ship_until_stopped(shipper, stopped, ShippingStatus(shipper, bar))


class ShippingStatus:
    """Prints a status line at first, each minute, and when something changes; then the bar has ended."""

    def __init__(self, shipper: Shipper, bar: ProgressBar) -> None:
        self._shipper = shipper
        self._bar = bar
        self._events = 0
        self._due = 0.0
        self._last_problem = ""

    def on_shipped(self, events: int) -> None:
        """Report that the database has everything."""
        self._bar.end()
        self._events += events
        if self._last_problem or time.monotonic() >= self._due:
            say(f"shipped {pluralize(self._events, 'event')}; {self._shipper.lag()}")
            self._events, self._due, self._last_problem = 0, time.monotonic() + STATUS_S, ""

    def on_failure(self, error: JournalError, pause: float) -> None:
        """Report what prevents shipping; the same problem at most once a minute."""
        self._bar.end()
        if str(error) != self._last_problem or time.monotonic() >= self._due:
            self._last_problem, self._due = str(error), time.monotonic() + STATUS_S
            say(f"{error}; {lag_text(self._shipper)}; next attempt in {pause:.0f} s", err=True)

    def on_waiting(self) -> None:
        """Report that another process ships this journal."""
        self._bar.end()
        if not self._last_problem:
            self._last_problem = "another process on this host ships this journal; waiting until it ends"
            say(self._last_problem)


def lag_text(shipper: Shipper) -> str:
    """Return the lag in words, also where the journal cannot be read."""
    try:
        return str(shipper.lag())
    except JournalError:
        return "lag unknown"
