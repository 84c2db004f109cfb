"""Letting go of what is old: from each run's beginning, never what is in doubt or has not been shipped."""

import contextlib
import json
import os
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from exit_shim.journal.database import legible, open_writer
from exit_shim.journal.fork_and_exit import is_running
from exit_shim.journal.index_tables import ADD_UP, COUNT, IN_DOUBT, SPANS, put
from exit_shim.journal.ingest import transaction
from exit_shim.journal.recovery import recover
from exit_shim.journal.schema import POS_BITS, JournalError
from exit_shim.journal.spool import living_runs

ROWS_AT_ONCE: Final = 5000
"""Events that go in one transaction, so that the journals of running bots get their turn."""

TRIES: Final = 8
PATIENCE_MS: Final = 5000


FIRST_YOUNG: Final = "SELECT id FROM events WHERE ts >= ? AND id BETWEEN ? AND ? ORDER BY id LIMIT 1"
RESOLVED_ELSEWHERE: Final = "SELECT id, resolution FROM orders WHERE resolution >> ? != id >> ?"
FIRST_IN_DOUBT: Final = "SELECT min(id) FROM orders WHERE state = ? AND id BETWEEN ? AND ? HAVING min(id)"

LAST_OF_PIECE: Final = """
SELECT max(id) FROM (SELECT id FROM events WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?)
"""

UNCOUNTED: Final = """
SELECT :span, ts / :span, site, mode, state, -count(*), -sum(conflict) FROM orders
WHERE id BETWEEN :first AND :last GROUP BY 2, 3, 4, 5
"""


EMPTY_RUNS: Final = """
SELECT run, run_id, header, ended FROM runs
WHERE pos > 0 AND pos = pruned_pos AND run < (SELECT max(run) FROM runs) ORDER BY run
"""
"""Never the newest: its number would be given again, and whoever follows the journal remembers numbers."""

UNUSED_SITES: Final = """
DELETE FROM sites
WHERE site NOT IN (SELECT site FROM tally)
AND NOT EXISTS (SELECT 1 FROM orders WHERE orders.site = sites.site)
"""


class Pruned(NamedTuple):
    """What went: events and bytes; and what is old and stays: orders in doubt, runs not shipped as far.

    `runs` counts those that went whole: over, and nothing was left of them.
    """

    events: int
    bytes: int
    in_doubt: int
    unshipped: int
    runs: int = 0


class Cut(NamedTuple):
    """Where a run is cut: up to and with this row, and why not further."""

    run: int
    last: int
    in_doubt: bool
    unshipped: bool


def prune(
    path: str | os.PathLike[str], *, before_ns: int | None = None, max_bytes: int | None = None
) -> Pruned:
    """Delete events older than `before_ns`, and then the oldest until the file has at most `max_bytes`.

    A run's events go from its beginning up to the first that must stay, so that what is left of its chain can
    still be verified.

    Raises:
        JournalError: There is no journal at `path`, or it cannot be written.
    """
    at = Path(path)
    if not at.exists():
        raise JournalError(f"there is no journal at {at}")
    with legible(at, "pruned"), contextlib.closing(open_writer(at)) as connection:
        connection.execute(f"PRAGMA busy_timeout={PATIENCE_MS}")
        with contextlib.suppress(OSError):  # a file that cannot be read stays
            recover(connection, at)
        used = _used(connection)
        events, in_doubt, unshipped = _prune(connection, before_ns) if before_ns is not None else (0, 0, 0)
        for _ in range(TRIES if max_bytes is not None else 0):
            cut_ns = _oldest_beyond(connection, max_bytes or 0)
            if cut_ns is None:
                break
            more, in_doubt, unshipped = _prune(connection, cut_ns)
            events += more
            if not more:
                break
        runs = _let_go_of_the_empty(connection, at)
        _give_back(connection)
        return Pruned(events, max(0, used - _used(connection)), in_doubt, unshipped, runs)


def _prune(connection: sqlite3.Connection, before_ns: int) -> tuple[int, int, int]:
    cuts = _with_resolutions(connection, list(_cuts(connection, before_ns)))
    gone = sum(_delete(connection, cut) for cut in cuts)
    if gone:
        with transaction(connection):
            connection.execute(
                "DELETE FROM names WHERE NOT EXISTS (SELECT 1 FROM orders WHERE orders.id = names.id)"
            )
            connection.execute("DELETE FROM tally WHERE orders = 0")
            connection.execute("DELETE FROM stacks WHERE last < ?", (before_ns,))
    return gone, sum(cut.in_doubt for cut in cuts), sum(cut.unshipped for cut in cuts)


def _cuts(connection: sqlite3.Connection, before_ns: int) -> Iterator[Cut]:
    """Per run, up to where its events may go."""
    destinations = connection.execute("SELECT count(DISTINCT destination) FROM shipments").fetchone()[0]
    for run, run_id, pos in connection.execute("SELECT run, run_id, pos FROM runs").fetchall():
        first, beyond = run << POS_BITS, (run << POS_BITS) + pos + 1
        young = _first(connection, FIRST_YOUNG, before_ns, first, beyond)
        doubtful = _first(connection, FIRST_IN_DOUBT, IN_DOUBT, first, beyond)
        shipped, places = connection.execute(
            "SELECT min(pos), count(*) FROM shipments WHERE run_id = ?", (run_id,)
        ).fetchone()
        waiting = first + (shipped if places == destinations else 0) + 1 if destinations else beyond
        stays = min(young, doubtful, waiting)
        yield Cut(run, stays - 1, doubtful < young, waiting < young)


def _with_resolutions(connection: sqlite3.Connection, cuts: list[Cut]) -> list[Cut]:
    """The same, but what proves that an order is no longer in doubt stays for as long as the order does."""
    found = {cut.run: cut for cut in cuts}
    proofs = connection.execute(RESOLVED_ELSEWHERE, (POS_BITS, POS_BITS)).fetchall()
    changed = True
    while changed:  # what stays with a proof may have proofs of its own
        changed = False
        for order, proof in proofs:
            cut = found.get(proof >> POS_BITS)
            of = found.get(order >> POS_BITS)
            if cut is not None and proof <= cut.last and (of is None or order > of.last):
                found[cut.run] = cut._replace(last=proof - 1, in_doubt=True)
                changed = True
    return list(found.values())


def _first(connection: sqlite3.Connection, question: str, value: object, first: int, beyond: int) -> int:
    """The first row of a run that a condition holds for, or the one behind its last."""
    found = connection.execute(question, (value, first, beyond)).fetchone()
    return beyond if found is None else int(found[0])


def _delete(connection: sqlite3.Connection, cut: Cut) -> int:
    first, gone = cut.run << POS_BITS, 0
    while True:
        with transaction(connection):
            (last,) = connection.execute(LAST_OF_PIECE, (first, cut.last, ROWS_AT_ONCE)).fetchone()
            if last is None:
                return gone
            (link,) = connection.execute("SELECT link FROM events WHERE id = ?", (last,)).fetchone()
            for span in SPANS:
                where = {"span": span, "first": first, "last": last}
                put(connection, COUNT, connection.execute(UNCOUNTED, where).fetchall(), ADD_UP)
            connection.execute("DELETE FROM orders WHERE id BETWEEN ? AND ?", (first, last))
            gone += connection.execute("DELETE FROM events WHERE id BETWEEN ? AND ?", (first, last)).rowcount
            connection.execute(
                "UPDATE runs SET pruned_pos = ?, pruned_head = ? WHERE run = ?", (last - first, link, cut.run)
            )


def _let_go_of_the_empty(connection: sqlite3.Connection, path: Path) -> int:
    """Delete places in the bot that nothing refers to, and runs that are over and empty; how many of those.

    A run that is not over goes on behind its last event, which its row knows, however long ago that was.
    """
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
    """Whether the process that wrote a run is surely gone: it may have closed its journal and still live."""
    with contextlib.suppress(ValueError, AttributeError):
        written = json.loads(header)
        host, pid = written.get("host"), written.get("pid")
        return host == socket.gethostname() and isinstance(pid, int) and not is_running(pid)
    return False


def _oldest_beyond(connection: sqlite3.Connection, max_bytes: int) -> int | None:
    """The moment before which orders have to go for the file to be small enough; None where it is."""
    used = _used(connection)
    if used <= max_bytes:
        return None
    (orders,) = connection.execute("SELECT count(*) FROM orders").fetchone()
    excess = min(orders - 1, int(orders * (1 - max_bytes / used)) + 1)
    found = connection.execute(
        "SELECT ts FROM orders ORDER BY ts LIMIT 1 OFFSET ?", (max(0, excess),)
    ).fetchone()
    return None if found is None else int(found[0]) + 1


def _used(connection: sqlite3.Connection) -> int:
    """Bytes of the pages that hold something."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _give_back(connection: sqlite3.Connection) -> None:
    """Make the file smaller, as far as others let go of it; a file of schema 1 only reuses its room."""
    # SQLite frees one page per step, and the statement has no columns. `execute` of Python 3.11 stops after
    # one step of such a statement, even with `fetchall`. `executescript` takes all steps everywhere.
    connection.executescript("PRAGMA incremental_vacuum")
    with contextlib.suppress(sqlite3.Error):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
