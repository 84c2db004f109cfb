"""From lines to rows: the one place where events enter the database, each chained to the one before it."""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from exit_shim.journal import chain
from exit_shim.journal.folding import Folding
from exit_shim.journal.lines import Line
from exit_shim.journal.schema import POS_BITS, add_run

ADD_EVENT: Final = """
INSERT OR IGNORE INTO events (id, seq, ts, event, about, body, link) VALUES (?, ?, ?, ?, ?, ?, ?)
"""


class Origin(NamedTuple):
    """Whose lines these are, and where in the run's spool the last of them ends; no place: from elsewhere."""

    run_id: str
    started: int
    header: str
    place: tuple[int, int] | None = None


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # a full disk has rolled back already
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def ingest(connection: sqlite3.Connection, origin: Origin, lines: Iterable[Line | None]) -> int:
    """Add a run's events behind those that it has, inside the caller's transaction.

    A line that is damaged is None: an event says so in its place. One that is in already, by its `seq`, is
    passed over. Returns how many were added.
    """
    add_run(connection, origin.run_id, origin.started, origin.header)
    run, pos, head = connection.execute(
        "SELECT run, pos, head FROM runs WHERE run_id = ?", (origin.run_id,)
    ).fetchone()
    before, folding = pos, Folding(connection, run)
    for read in lines:
        line = read or _damaged(pos)
        event_id, made = (run << POS_BITS) + pos + 1, chain.link(head, line)
        if connection.execute(ADD_EVENT, (event_id, *line, made)).rowcount:
            pos, head = pos + 1, made
            folding.fold(event_id, line)
    folding.finish()
    connection.execute("UPDATE runs SET pos = ?, head = ? WHERE run = ?", (pos, head, run))
    if origin.place is not None:
        connection.execute("UPDATE runs SET segment = ?, offset = ? WHERE run = ?", (*origin.place, run))
    return int(pos - before)


def _damaged(pos: int) -> Line:
    """What stands for a line that cannot be read; its number is one that no journal gives."""
    return Line(-1 - pos, 0, "lost", None, '{"why":"a line of the spool was damaged","events":1}')
