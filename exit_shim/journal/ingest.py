"""Add events to the database, each chained to the one before it."""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from exit_shim.journal import hash_chain
from exit_shim.journal.index_tables import IndexTables
from exit_shim.journal.insertion import insert_rows
from exit_shim.journal.line_format import Line
from exit_shim.journal.schema import POS_BITS, add_run

ADD_EVENTS: Final = "INSERT INTO events (id, seq, ts, event, about, body, link)"

KNOWN: Final = "SELECT seq FROM events WHERE run = ? AND seq BETWEEN ? AND ?"


class RunOrigin(NamedTuple):
    """The run that lines belong to, and where in its spool the last of them ends; None outside a spool."""

    run_id: str
    started: int
    header: str
    place: tuple[int, int] | None = None


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit all that is done inside, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        # On a full disk SQLite has rolled back already.
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def ingest(connection: sqlite3.Connection, origin: RunOrigin, lines: Iterable[Line | None]) -> int:
    """Add a run's events inside the caller's transaction; return how many were new.

    An event that is there already, by its `seq`, is skipped. A damaged line is None and becomes an event
    `lost`.
    """
    add_run(connection, origin.run_id, origin.started, origin.header)
    run, pos, head = connection.execute(
        "SELECT run, pos, head FROM runs WHERE run_id = ?", (origin.run_id,)
    ).fetchone()
    events = [line or _damaged(pos, place) for place, line in enumerate(lines)]
    seqs = [line.seq for line in events] or [0]
    stored = {seq for (seq,) in connection.execute(KNOWN, (run, min(seqs), max(seqs))).fetchall()}
    tables, rows = IndexTables(connection, run, origin.run_id), []
    tables.look_up(events)
    for line in events:
        if line.seq not in stored:
            stored.add(line.seq)
            pos, head = pos + 1, hash_chain.link(head, line)
            rows.append(((run << POS_BITS) + pos, *line, head))
            tables.fold(rows[-1][0], line, head)
    insert_rows(connection, ADD_EVENTS, rows)
    tables.finish()
    connection.execute("UPDATE runs SET pos = ?, head = ? WHERE run = ?", (pos, head, run))
    if origin.place is not None:
        connection.execute("UPDATE runs SET segment = ?, offset = ? WHERE run = ?", (*origin.place, run))
    return len(rows)


def _damaged(pos: int, place: int) -> Line:
    # No journal gives an event a negative number.
    return Line(-1 - pos - place, 0, "lost", None, '{"why":"a line of the spool was damaged","events":1}')
