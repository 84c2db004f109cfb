"""What dead runs left in their spools, taken into the database by whoever opens or reads the journal next."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

from exit_shim.journal.database import lasting
from exit_shim.journal.ingest import RunOrigin, ingest, transaction
from exit_shim.journal.line_format import Line, parse, whole
from exit_shim.journal.spool import Left, Segment, left


def take_up(connection: sqlite3.Connection, journal: Path, moved: Callable[[], None] = lambda: None) -> int:
    """Move the events of all dead runs into the database; returns how many there were.

    Each file goes once its events are committed. `moved` is called after each piece, to let others have
    their turn. One that cannot be read stays, and is an OSError once all others are through.
    """
    added, failure = 0, None
    for found in left(journal):
        try:
            with lasting(connection):  # the run may have been promised that, and its file goes
                added += _take(connection, found, moved)
        except OSError as error:  # noqa: PERF203 - one file's failure is not another's
            failure = error
    if failure is not None:
        raise failure
    return added


def _take(connection: sqlite3.Connection, found: Left, moved: Callable[[], None]) -> int:
    run_id, segment = found
    segment.read = _known_place(connection, run_id, segment)
    added = 0
    while data := segment.chunk() or _torn_end(segment):
        place = segment.number, min(segment.read + len(data), segment.size)
        lines = list(parse(data))
        with transaction(connection):
            added += ingest(connection, _origin(run_id, lines, place), lines)
        segment.read = place[1]
        moved()
    segment.remove()
    return added


def _known_place(connection: sqlite3.Connection, run_id: str, segment: Segment) -> int:
    """Where to go on in the file: the run's own process may have moved a part of it before it died."""
    known = connection.execute("SELECT segment, offset FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    if known is None or known[0] != segment.number or known[1] > segment.size:
        return 0  # a later file may have been moved before an earlier one; what is in already is passed over
    return int(known[1])


def _torn_end(segment: Segment) -> bytes:
    """Half a line at the end, of a run that died amid it or lost its power; a whole one could be longer."""
    rest = segment.rest()
    return rest[: whole(rest)] or (rest and rest + b"\n")


def _origin(run_id: str, lines: list[Line | None], place: tuple[int, int]) -> RunOrigin:
    first = next((line for line in lines if line is not None), None)
    if first is None:
        return RunOrigin(run_id, 0, "{}", place)
    return RunOrigin(run_id, first.ts, first.body if first.event == "run_started" else "{}", place)
