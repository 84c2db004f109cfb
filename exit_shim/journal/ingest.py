"""From lines to rows: the one place where events enter the database, each chained to the one before it."""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from exit_shim.journal import hash_chain
from exit_shim.journal.index_tables import IndexTables, put
from exit_shim.journal.line_format import Line
from exit_shim.journal.schema import POS_BITS, add_run

ADD_EVENTS: Final = "INSERT INTO events (id, seq, ts, event, about, body, link)"

KNOWN: Final = "SELECT seq FROM events WHERE run = ? AND seq BETWEEN ? AND ?"


class RunOrigin(NamedTuple):
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


def ingest(connection: sqlite3.Connection, origin: RunOrigin, lines: Iterable[Line | None]) -> int:
    """Add a run's events behind those that it has, inside the caller's transaction.

    A line that is damaged is None: an event says so in its place. One that is in already, by its `seq`, is
    passed over. Returns how many were added.
    """
    add_run(connection, origin.run_id, origin.started, origin.header)
    run, pos, head = connection.execute(
        "SELECT run, pos, head FROM runs WHERE run_id = ?", (origin.run_id,)
    ).fetchone()
    given = [line or _damaged(pos, place) for place, line in enumerate(lines)]
    seqs = [line.seq for line in given] or [0]
    known = {seq for (seq,) in connection.execute(KNOWN, (run, min(seqs), max(seqs))).fetchall()}
    folding, rows = IndexTables(connection, run, origin.run_id), []
    folding.look_up(given)
    for line in given:
        if line.seq not in known:
            known.add(line.seq)
            pos, head = pos + 1, hash_chain.link(head, line)
            rows.append(((run << POS_BITS) + pos, *line, head))
            folding.fold(rows[-1][0], line)
    put(connection, ADD_EVENTS, rows)
    folding.finish()
    connection.execute("UPDATE runs SET pos = ?, head = ? WHERE run = ?", (pos, head, run))
    if origin.place is not None:
        connection.execute("UPDATE runs SET segment = ?, offset = ? WHERE run = ?", (*origin.place, run))
    return len(rows)


def _damaged(pos: int, place: int) -> Line:
    """What stands for a line that cannot be read; its number is one that no journal gives."""
    return Line(-1 - pos - place, 0, "lost", None, '{"why":"a line of the spool was damaged","events":1}')
