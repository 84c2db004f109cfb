"""From the local journal to the central database: sent at least once, stored once, in order run by run."""

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from exit_shim.journal import JournalError, Run, StoredEvent
from exit_shim.journal.rows import encode
from exit_shim.sinks.postgres.dsn import Dsn, PostgresError, UnreachableError, driver
from exit_shim.sinks.postgres.outbox import Outbox
from exit_shim.sinks.postgres.rows import COLUMNS, row
from exit_shim.sinks.postgres.schema import check_ready

if TYPE_CHECKING:
    import psycopg

BATCH: Final = 5_000
"""Events of one run that go in one transaction."""

AT_A_STRETCH: Final = 16
"""Events after which the shipper takes breath: some 0.3 ms of Python, for which an order may have to wait."""

REMEMBER_S: Final = 1.0
"""How often, at most, the journal is written to while much is shipped."""

ARRIVALS: Final = f"""
CREATE TEMPORARY TABLE IF NOT EXISTS exit_shim_arrivals ({", ".join(map(" ".join, COLUMNS.items()))})
ON COMMIT DELETE ROWS
"""

COPY: Final = f"COPY pg_temp.exit_shim_arrivals ({', '.join(COLUMNS)}) FROM STDIN"

STORE: Final = f"""
INSERT INTO exit_shim.events (at, {", ".join(COLUMNS)})
SELECT 'epoch'::timestamptz + ts / 1000 * interval '1 microsecond', {", ".join(COLUMNS)}
FROM pg_temp.exit_shim_arrivals ORDER BY pos
ON CONFLICT DO NOTHING
"""  # noqa: S608 - the columns are our own
"""In the order of the chain, so that two that ship the same wait for each other and never in a circle."""

RUN: Final = """
INSERT INTO exit_shim.runs (run_id, host, pid, started, header, base_pos, base_head)
VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""

KNOWN: Final = """
SELECT runs.run_id, (SELECT max(pos) FROM exit_shim.events WHERE events.run_id = runs.run_id)
FROM exit_shim.runs WHERE runs.run_id = ANY(%s)
"""


class Lag(NamedTuple):
    """What the central database has not got: how many events, and how long ago the oldest was."""

    events: int
    seconds: float

    def __str__(self) -> str:
        return f"lag {self.events} event{'s' * (self.events != 1)}, {self.seconds:.1f} s"


class Shipper:
    """Ships a journal to a database.

    What is there is asked of the database whenever a connection is made, so it is the database that says
    where to go on: after a kill, a lost answer to a commit, or when it was set back to an older state. A run
    is sent in the order of its chain and in whole transactions; what comes twice is stored once.

    Args:
        outbox: The journal.
        address: The database; its schema has been made by `migrate`.
        batch: Events in one transaction.
        breathe: Called every few events, for a shipper that shares its process with a bot.
    """

    def __init__(
        self,
        outbox: Outbox,
        address: Dsn,
        *,
        batch: int = BATCH,
        breathe: Callable[[], object] = lambda: None,
    ) -> None:
        self.outbox = outbox
        self.address = address
        self.connection: psycopg.Connection[Any] | None = None
        self._batch = batch
        self._breathe = breathe
        self._stored: dict[str, int] = {}
        self._stuck: set[str] = set()
        self._refused: PostgresError | None = None
        self._told: dict[str, int] = {}
        self._due = 0.0

    def round(self, stopping: Callable[[], bool] = lambda: False) -> int:
        """Ship what is there, a batch of each run in turn; how many events were sent.

        A run whose events the database does not take is told of once, and left until the next connection.

        Raises:
            UnreachableError: The database cannot be reached, or the connection broke; later it may go on.
            PostgresError: It refuses: its schema is missing, newer, or this user may not, or a run's events.
            JournalError: The journal cannot be read.
        """
        psycopg = driver()
        sent, runs = 0, self.outbox.runs()
        try:
            connection = self._connected(runs)
            while runs and not stopping():
                runs = [run for run in runs if self._is_behind(run)]
                for run in runs:
                    sent += self._ship(connection, run)
            self._remember()
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            self.close()
            raise UnreachableError(f"{self.address.name} was lost: {self.address.told(error)}") from None
        except psycopg.Error as error:
            self.close()
            raise PostgresError(f"{self.address.name} refuses: {self.address.told(error)}") from None
        refused, self._refused = self._refused, None
        if refused is not None:
            raise refused
        return sent

    def lag(self) -> Lag:
        """What is in the journal and, by all that is known here, not in the database."""
        shipped = self._stored or self.outbox.remembered()
        behind = [
            (run, shipped.get(run.run_id, run.pruned_pos))
            for run in self.outbox.runs()
            if shipped.get(run.run_id, run.pruned_pos) < run.pos
        ]
        oldest = [event.ts for run, pos in behind for event in self.outbox.events(run.run_id, pos, 1)]
        seconds = (time.time_ns() - min(oldest)) / 1e9 if oldest else 0.0
        return Lag(sum(run.pos - pos for run, pos in behind), max(seconds, 0.0))

    def close(self) -> None:
        """Let go of the connection; a later round makes another and asks again."""
        connection, self.connection = self.connection, None
        self._stored.clear()
        self._stuck.clear()
        if connection is not None:
            with contextlib.suppress(Exception):  # what is to be let go of may be broken in any way
                connection.close()

    def _connected(self, runs: Iterable[Run]) -> "psycopg.Connection[Any]":
        """A connection, and in `_stored` how far each of the runs has come there."""
        if self.connection is None:
            self.connection = self.address.connect()
            check_ready(self.connection, self.address)
        new = {run.run_id: run for run in runs if run.run_id not in self._stored}
        if new:
            found = dict(self.connection.execute(KNOWN, (list(new),)).fetchall())
            here = self.outbox.remembered()
            for run_id, run in new.items():
                self._stored[run_id] = max(run.pruned_pos, _reached(run_id, found, here))
        return self.connection

    def _is_behind(self, run: Run) -> bool:
        return run.run_id not in self._stuck and self._stored[run.run_id] < run.pos

    def _ship(self, connection: "psycopg.Connection[Any]", run: Run) -> int:
        """One batch of a run, all of it or nothing; how many events."""
        psycopg, after = driver(), self._stored[run.run_id]
        events = self.outbox.events(run.run_id, after, self._batch)
        try:
            if events:
                self._store(connection, run, events)
        except (psycopg.DataError, psycopg.IntegrityError, UnicodeError) as error:
            self._refused = PostgresError(
                f"{self.address.name} does not take the events of run {run.run_id} from {after + 1} on: "
                f"{self.address.told(error)}"
            )
            events = []
        if not events:
            self._stuck.add(run.run_id)
            return 0
        self._stored[run.run_id] = events[-1].pos
        self._remember(REMEMBER_S)
        return len(events)

    def _store(self, connection: "psycopg.Connection[Any]", run: Run, events: Sequence[StoredEvent]) -> None:
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute(ARRIVALS)
            if self._stored[run.run_id] <= run.pruned_pos:
                cursor.execute(RUN, _run_row(run))
            with cursor.copy(COPY) as copy:
                for number, event in enumerate(events, 1):
                    copy.write_row(row(event, run.header.host))
                    if number % AT_A_STRETCH == 0:
                        self._breathe()
            cursor.execute(STORE)

    def _remember(self, at_most_every: float = 0.0) -> None:
        """Keep in the journal what was stored since the last time; a busy journal is tried again later."""
        if at_most_every and time.monotonic() < self._due:
            return
        fresh = {run_id: pos for run_id, pos in self._stored.items() if self._told.get(run_id) != pos}
        if not fresh:
            return
        with contextlib.suppress(JournalError):
            self.outbox.remember(fresh)
            self._told.update(fresh)
            self._due = time.monotonic() + REMEMBER_S


def _reached(run_id: str, found: Mapping[str, int | None], here: Mapping[str, int]) -> int:
    """How far a run has come at the database, which was asked for it.

    It may know a run and have none of its events: those of months that were dropped there by rule. They are
    not sent again.
    """
    if run_id not in found:
        return 0
    stored = found[run_id]
    return here.get(run_id, 0) if stored is None else stored


def _run_row(run: Run) -> tuple[object, ...]:
    return (
        run.run_id,
        run.header.host,
        run.header.pid,
        run.started,
        encode(run.header).decode(),
        run.pruned_pos,
        run.pruned_head,
    )
