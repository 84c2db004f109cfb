"""Delete old events from each run's beginning, but none that is still needed or was not shipped."""

import contextlib
import json
import os
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from exit_shim.journal.database import open_writer, reporting_damage
from exit_shim.journal.fork_and_exit import is_running
from exit_shim.journal.ingest import transaction
from exit_shim.journal.order_state import IN_DOUBT
from exit_shim.journal.recovery import recover
from exit_shim.journal.rollups import delete_empty, take_back
from exit_shim.journal.schema import POS_BITS, RARE, JournalError
from exit_shim.journal.spool import living_runs

ROWS_AT_ONCE: Final = 5000
"""Events deleted in one transaction, so that running bots get their turn."""

TRIES: Final = 8
PATIENCE_MS: Final = 5000

FIRST_YOUNG: Final = "SELECT id FROM events WHERE ts >= ? AND id BETWEEN ? AND ? ORDER BY id LIMIT 1"
RESOLVED_ELSEWHERE: Final = "SELECT id, resolution FROM orders WHERE resolution >> ? != id >> ?"
FIRST_IN_DOUBT: Final = "SELECT min(id) FROM orders WHERE state = ? AND id BETWEEN ? AND ? HAVING min(id)"

# What is in force for as long as nothing later changes it; SQLite takes the other columns from the row that
# has the maximum.
IN_FORCE: Final = f"""
SELECT id FROM (
    SELECT id, max(ts), json_extract(body, '$.mode') AS state FROM events
    WHERE event = 'switch' AND {RARE} AND json_extract(body, '$.mode') IS NOT NULL
    UNION ALL
    SELECT id, max(ts), nullif(json_extract(body, '$.enforce'), 'on') FROM events
    WHERE event = 'switch' AND {RARE} AND json_extract(body, '$.enforce') IS NOT NULL
    UNION ALL
    SELECT id, max(ts), nullif(json_extract(body, '$.protect'), 'resume') FROM events
    WHERE event = 'switch' AND {RARE} AND json_extract(body, '$.symbol') IS NOT NULL
    GROUP BY json_extract(body, '$.symbol')
    UNION ALL
    SELECT id, max(ts), nullif(json_extract(body, '$.verb'), 'end') FROM events
    WHERE event = 'executor_step' AND {RARE}
    AND (json_extract(body, '$.verb') = 'end' OR json_extract(body, '$.state') IS NOT NULL)
    GROUP BY json_extract(body, '$.account'), json_extract(body, '$.symbol'),
        json_extract(body, '$.position_side')
) WHERE coalesce(state, '') != ''
"""  # noqa: S608 - a constant of ours
"""The switches in force, and the last step of each position that an executor protects."""

LAST_OF_PIECE: Final = """
SELECT max(id) FROM (SELECT id FROM events WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?)
"""

EMPTY_RUNS: Final = """
SELECT run, run_id, header, ended FROM runs
WHERE pos > 0 AND pos = pruned_pos AND run < (SELECT max(run) FROM runs) ORDER BY run
"""
"""The runs without events, except the newest: its number would be given again, and followers remember it."""

UNUSED_SITES: Final = """
DELETE FROM sites
WHERE site NOT IN (SELECT site FROM tally)
AND NOT EXISTS (SELECT 1 FROM orders WHERE orders.site = sites.site)
"""


class Pruned(NamedTuple):
    """What was deleted: events, bytes, and whole runs; and the runs that keep old events, by reason.

    `in_force` are runs with a switch that is still in force, or with the last step of a protected position.
    """

    events: int
    bytes: int
    in_doubt: int
    unshipped: int
    in_force: int
    runs: int = 0


class Kept(NamedTuple):
    """How many runs keep old events, by reason."""

    in_doubt: int = 0
    unshipped: int = 0
    in_force: int = 0


class Cut(NamedTuple):
    """The last row of a run to delete, and why not more."""

    run: int
    last: int
    in_doubt: bool
    unshipped: bool
    in_force: bool


def prune(
    path: str | os.PathLike[str], *, before_ns: int | None = None, max_bytes: int | None = None
) -> Pruned:
    """Delete events older than `before_ns`, then the oldest until the file has at most `max_bytes`.

    A run's events are deleted from its beginning up to the first that must stay, so that the rest of its
    chain can still be verified.

    Raises:
        JournalError: There is no journal at `path`, or it cannot be written.
    """
    at = Path(path)
    if not at.exists():
        raise JournalError(f"there is no journal at {at}; check EXIT_SHIM_JOURNAL")
    with reporting_damage(at, "pruned"), contextlib.closing(open_writer(at)) as connection:
        connection.execute(f"PRAGMA busy_timeout={PATIENCE_MS}")
        # A spool file that cannot be read stays.
        with contextlib.suppress(OSError):
            recover(connection, at)
        used = _used(connection)
        events, kept = _prune(connection, before_ns) if before_ns is not None else (0, Kept())
        for _ in range(TRIES if max_bytes is not None else 0):
            cut_ns = _oldest_beyond(connection, max_bytes or 0)
            if cut_ns is None:
                break
            more, kept = _prune(connection, cut_ns)
            events += more
            if not more:
                break
        runs = _delete_empty_runs(connection, at)
        _shrink(connection)
        return Pruned(events, max(0, used - _used(connection)), *kept, runs)


def _prune(connection: sqlite3.Connection, before_ns: int) -> tuple[int, Kept]:
    cuts = _with_resolutions(connection, list(_cuts(connection, before_ns)))
    gone = sum(_delete(connection, cut) for cut in cuts)
    if gone:
        with transaction(connection):
            connection.execute(
                "DELETE FROM names WHERE NOT EXISTS (SELECT 1 FROM orders WHERE orders.id = names.id)"
            )
            delete_empty(connection)
            # A position that is held is known for as long as it is, whatever was pruned.
            connection.execute("DELETE FROM positions WHERE is_flat AND ts < ?", (before_ns,))
            connection.execute("DELETE FROM stacks WHERE last < ?", (before_ns,))
    kept = Kept(*(sum(getattr(cut, reason) for cut in cuts) for reason in Kept._fields))
    return gone, kept


def _cuts(connection: sqlite3.Connection, before_ns: int) -> Iterator[Cut]:
    """Yield up to where each run's events may be deleted."""
    in_force = [event_id for (event_id,) in connection.execute(IN_FORCE)]
    destinations = connection.execute("SELECT count(DISTINCT destination) FROM shipments").fetchone()[0]
    for run, run_id, pos in connection.execute("SELECT run, run_id, pos FROM runs").fetchall():
        first, beyond = run << POS_BITS, (run << POS_BITS) + pos + 1
        young = _first(connection, FIRST_YOUNG, before_ns, first, beyond)
        doubtful = _first(connection, FIRST_IN_DOUBT, IN_DOUBT, first, beyond)
        shipped, places = connection.execute(
            "SELECT min(pos), count(*) FROM shipments WHERE run_id = ?", (run_id,)
        ).fetchone()
        waiting = first + (shipped if places == destinations else 0) + 1 if destinations else beyond
        needed = min((each for each in in_force if first <= each < beyond), default=beyond)
        stays = min(young, doubtful, waiting, needed)
        yield Cut(run, stays - 1, doubtful < young, waiting < young, needed < young)


def _with_resolutions(connection: sqlite3.Connection, cuts: list[Cut]) -> list[Cut]:
    """Return the cuts such that a resolution in another run stays for as long as its order."""
    by_run = {cut.run: cut for cut in cuts}
    proofs = connection.execute(RESOLVED_ELSEWHERE, (POS_BITS, POS_BITS)).fetchall()
    changed = True
    # What stays with a resolution may have resolutions elsewhere in turn.
    while changed:
        changed = False
        for order, proof in proofs:
            cut = by_run.get(proof >> POS_BITS)
            of = by_run.get(order >> POS_BITS)
            if cut is not None and proof <= cut.last and (of is None or order > of.last):
                by_run[cut.run] = cut._replace(last=proof - 1, in_doubt=True)
                changed = True
    return list(by_run.values())


def _first(connection: sqlite3.Connection, question: str, value: object, first: int, beyond: int) -> int:
    """Return the first row of a run that a query finds, or the one behind its last."""
    row = connection.execute(question, (value, first, beyond)).fetchone()
    return beyond if row is None else int(row[0])


def _delete(connection: sqlite3.Connection, cut: Cut) -> int:
    first, gone = cut.run << POS_BITS, 0
    while True:
        with transaction(connection):
            (last,) = connection.execute(LAST_OF_PIECE, (first, cut.last, ROWS_AT_ONCE)).fetchone()
            if last is None:
                return gone
            (link,) = connection.execute("SELECT link FROM events WHERE id = ?", (last,)).fetchone()
            take_back(connection, first, last)
            for table in ("orders", "reasons", "taken", "strays"):
                connection.execute(f"DELETE FROM {table} WHERE id BETWEEN ? AND ?", (first, last))  # noqa: S608
            gone += connection.execute("DELETE FROM events WHERE id BETWEEN ? AND ?", (first, last)).rowcount
            connection.execute(
                "UPDATE runs SET pruned_pos = ?, pruned_head = ? WHERE run = ?", (last - first, link, cut.run)
            )


def _delete_empty_runs(connection: sqlite3.Connection, path: Path) -> int:
    """Delete unused places and the empty runs of dead processes; return the number of runs."""
    # A run that is not over goes on after its last event, whose position only its row has.
    with transaction(connection):
        connection.execute(UNUSED_SITES)
        living = living_runs(path)
        empty = [
            (run, run_id)
            for run, run_id, header, ended in connection.execute(EMPTY_RUNS).fetchall()
            if run_id not in living and (ended is not None or _is_dead(header))
        ]
        connection.executemany("DELETE FROM runs WHERE run = ?", [(run,) for run, _ in empty])
        connection.executemany("DELETE FROM shipments WHERE run_id = ?", [(run_id,) for _, run_id in empty])
    return len(empty)


def _is_dead(header: str) -> bool:
    """Return whether the process that wrote a run is certainly gone."""
    with contextlib.suppress(ValueError, AttributeError):
        written = json.loads(header)
        host, pid = written.get("host"), written.get("pid")
        return host == socket.gethostname() and isinstance(pid, int) and not is_running(pid)
    return False


def _oldest_beyond(connection: sqlite3.Connection, max_bytes: int) -> int | None:
    """Return the time before which to delete for the file to be small enough; None where it is."""
    used = _used(connection)
    if used <= max_bytes:
        return None
    (orders,) = connection.execute("SELECT count(*) FROM orders").fetchone()
    excess = min(orders - 1, int(orders * (1 - max_bytes / used)) + 1)
    row = connection.execute(
        "SELECT ts FROM orders ORDER BY ts LIMIT 1 OFFSET ?", (max(0, excess),)
    ).fetchone()
    return None if row is None else int(row[0]) + 1


def _used(connection: sqlite3.Connection) -> int:
    """Return the bytes of the pages in use."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _shrink(connection: sqlite3.Connection) -> None:
    """Return free pages to the file system, as far as other processes allow it."""
    # SQLite frees one page per step, and the statement has no columns. `execute` of Python 3.11 stops after
    # one step of such a statement, even with `fetchall`. `executescript` takes all steps everywhere.
    connection.executescript("PRAGMA incremental_vacuum")
    with contextlib.suppress(sqlite3.Error):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
