"""Copy what dead runs left in their spools into the database."""

import sqlite3
from pathlib import Path

from exit_shim.journal.database import lasting
from exit_shim.journal.ingest import RunOrigin, ingest, transaction
from exit_shim.journal.line_format import Line, measure_lines, parse
from exit_shim.journal.spool import Abandoned, Segment, find_abandoned


def recover(connection: sqlite3.Connection, journal: Path) -> int:
    """Copy the events of all dead runs into the database; return how many were new.

    Each file is removed once its events are committed. One that cannot be read stays, and raises OSError
    after all others were copied.
    """
    added, failure = 0, None
    for abandoned in find_abandoned(journal):
        try:
            # The run may have promised to survive a power failure, and its file is removed.
            with lasting(connection):
                added += _copy(connection, abandoned)
        except OSError as error:  # noqa: PERF203 - one file's failure is not another's
            failure = error
    if failure is not None:
        raise failure
    return added


def _copy(connection: sqlite3.Connection, abandoned: Abandoned) -> int:
    run_id, segment = abandoned
    segment.read = _known_place(connection, run_id, segment)
    added = 0
    while segment.size:
        data = segment.chunk() or _torn_end(segment)
        place = segment.number, min(segment.read + len(data), segment.size)
        lines = list(parse(data))
        # Even where nothing is new: the run may have died before its own commit was synced, and a commit here
        # syncs that one too. SQLite writes and syncs nothing where no value changes.
        with transaction(connection):
            connection.execute("UPDATE runs SET segment = 0 WHERE run_id = ?", (run_id,))
            added += ingest(connection, _origin(run_id, lines, place), lines)
        segment.read = place[1]
        if not data or segment.read == segment.size:
            break
    segment.remove()
    return added


def _known_place(connection: sqlite3.Connection, run_id: str, segment: Segment) -> int:
    # The run's own process may have copied a part of the file before it died.
    place = connection.execute("SELECT segment, offset FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    if place is None or place[0] != segment.number or place[1] > segment.size:
        # A later file may have been copied before an earlier one; events that are there are skipped.
        return 0
    return int(place[1])


def _torn_end(segment: Segment) -> bytes:
    # Half a line is left by a run that died while it wrote, or by a power failure.
    rest = segment.rest()
    return rest[: measure_lines(rest)] or (rest and rest + b"\n")


def _origin(run_id: str, lines: list[Line | None], place: tuple[int, int]) -> RunOrigin:
    first = next((line for line in lines if line is not None), None)
    if first is None:
        return RunOrigin(run_id, 0, "{}", place)
    return RunOrigin(run_id, first.ts, first.body if first.event == "run_started" else "{}", place)
