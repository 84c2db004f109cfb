"""Copy the journal to the central database: sent at least once, stored once, in order run by run."""

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from exit_shim.journal import JournalError, Run, StoredEvent
from exit_shim.journal.rows import encode
from exit_shim.sinks.postgres.dsn import Dsn, PostgresError, UnreachableError, driver
from exit_shim.sinks.postgres.outbox import Outbox
from exit_shim.sinks.postgres.rows import COLUMNS, make_row
from exit_shim.sinks.postgres.schema import check_ready

if TYPE_CHECKING:
    import psycopg

BATCH: Final = 5_000
"""Events of one run per transaction."""

AT_A_STRETCH: Final = 16
"""Events between two pauses: some 0.3 ms of Python, for which an order may have to wait."""

REMEMBER_S: Final = 1.0
"""The shortest time between two writes to the journal."""

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
"""In the order of the chain, so that two that ship the same run cannot deadlock."""

RUN: Final = """
INSERT INTO exit_shim.runs (run_id, host, pid, started, header, base_pos, base_head)
VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""

KNOWN: Final = """
SELECT runs.run_id, (SELECT max(pos) FROM exit_shim.events WHERE events.run_id = runs.run_id)
FROM exit_shim.runs WHERE runs.run_id = ANY(%s)
"""


class Lag(NamedTuple):
    """What the central database lacks: the number of events, and the age of the oldest."""

    events: int
    seconds: float

    def __str__(self) -> str:
        return f"lag {self.events} event{'s' * (self.events != 1)}, {self.seconds:.1f} s"


class Shipper:
    """Copy a journal to a database.

    Each new connection asks the database where to continue: after a kill, a lost answer to a commit, or when
    the database was set back. A run is sent in the order of its chain and in whole transactions; what comes
    twice is stored once.

    Args:
        outbox: The journal.
        address: The database; `migrate` has made its schema.
        batch: Events per transaction.
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
        self._saved: dict[str, int] = {}
        self._due = 0.0

    def ship(self, stopping: Callable[[], bool] = lambda: False) -> int:
        """Copy all events, a batch of each run in turn; return how many.

        A run whose events the database refuses is reported once, and left until the next connection.

        Raises:
            UnreachableError: The database cannot be reached, or the connection broke; later it may go on.
            PostgresError: It refuses the schema, this user, or the events of a run.
            JournalError: The journal cannot be read.
        """
        psycopg = driver()
        sent, runs = 0, self.outbox.read_runs()
        try:
            connection = self._connect(runs)
            while runs and not stopping():
                runs = [run for run in runs if self._is_behind(run)]
                for run in runs:
                    sent += self._ship_batch(connection, run)
            self._save_positions()
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            self.close()
            raise UnreachableError(f"{self.address.name} was lost: {self.address.describe(error)}") from None
        except psycopg.Error as error:
            self.close()
            raise PostgresError(f"{self.address.name} refuses: {self.address.describe(error)}") from None
        refused, self._refused = self._refused, None
        if refused is not None:
            raise refused
        return sent

    def lag(self) -> Lag:
        """Return what is in the journal and, as far as is known here, not in the database."""
        shipped = self._stored or self.outbox.read_positions()
        behind = [
            (run, shipped.get(run.run_id, run.pruned_pos))
            for run in self.outbox.read_runs()
            if shipped.get(run.run_id, run.pruned_pos) < run.pos
        ]
        oldest = [event.ts for run, pos in behind for event in self.outbox.read_events(run.run_id, pos, 1)]
        seconds = (time.time_ns() - min(oldest)) / 1e9 if oldest else 0.0
        return Lag(sum(run.pos - pos for run, pos in behind), max(seconds, 0.0))

    def close(self) -> None:
        """Close the connection; the next `ship` makes another and asks again where to continue."""
        connection, self.connection = self.connection, None
        self._stored.clear()
        self._stuck.clear()
        if connection is not None:
            # The connection may be broken in any way.
            with contextlib.suppress(Exception):
                connection.close()

    def _connect(self, runs: Iterable[Run]) -> "psycopg.Connection[Any]":
        """Return a connection; `_stored` then says how far each run is stored there."""
        if self.connection is None:
            self.connection = self.address.connect()
            # What keeps the counts must see what others have committed meanwhile.
            self.connection.isolation_level = driver().IsolationLevel.READ_COMMITTED
            check_ready(self.connection, self.address)
        new = {run.run_id: run for run in runs if run.run_id not in self._stored}
        if new:
            there = dict(self.connection.execute(KNOWN, (list(new),)).fetchall())
            here = self.outbox.read_positions()
            for run_id, run in new.items():
                self._stored[run_id] = max(run.pruned_pos, _find_position(run_id, there, here))
        return self.connection

    def _is_behind(self, run: Run) -> bool:
        return run.run_id not in self._stuck and self._stored[run.run_id] < run.pos

    def _ship_batch(self, connection: "psycopg.Connection[Any]", run: Run) -> int:
        """Copy one batch of a run in one transaction; return the number of events."""
        psycopg, after = driver(), self._stored[run.run_id]
        events = self.outbox.read_events(run.run_id, after, self._batch)
        try:
            if events:
                self._store(connection, run, events)
        except (psycopg.DataError, psycopg.IntegrityError, UnicodeError) as error:
            self._refused = PostgresError(
                f"{self.address.name} does not take the events of run {run.run_id} from {after + 1} on: "
                f"{self.address.describe(error)}"
            )
            events = []
        if not events:
            self._stuck.add(run.run_id)
            return 0
        self._stored[run.run_id] = events[-1].pos
        self._save_positions(REMEMBER_S)
        return len(events)

    def _store(self, connection: "psycopg.Connection[Any]", run: Run, events: Sequence[StoredEvent]) -> None:
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute(ARRIVALS)
            if self._stored[run.run_id] <= run.pruned_pos:
                cursor.execute(RUN, _run_row(run))
            with cursor.copy(COPY) as copy:
                for number, event in enumerate(events, 1):
                    copy.write_row(make_row(event, run.header.host))
                    if number % AT_A_STRETCH == 0:
                        self._breathe()
            cursor.execute(STORE)

    def _save_positions(self, at_most_every: float = 0.0) -> None:
        """Save in the journal how far it was copied; a busy journal is tried again later."""
        if at_most_every and time.monotonic() < self._due:
            return
        fresh = {run_id: pos for run_id, pos in self._stored.items() if self._saved.get(run_id) != pos}
        if not fresh:
            return
        with contextlib.suppress(JournalError):
            self.outbox.save_positions(fresh)
            self._saved.update(fresh)
            self._due = time.monotonic() + REMEMBER_S


def _find_position(run_id: str, there: Mapping[str, int | None], here: Mapping[str, int]) -> int:
    """Return how far a run is stored at the database, which was asked for it."""
    # A run without events there had those of months whose partitions were dropped. They are not sent again.
    if run_id not in there:
        return 0
    stored = there[run_id]
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
