"""How a journal is, seen from outside: nothing here raises, creates the file or changes it."""

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Final, NamedTuple

from exit_shim.journal.file import JournalError, check_schema, connect, is_bare, is_busy
from exit_shim.journal.reading import open_reader

RUNS: Final = "SELECT count(*) FROM runs"

COUNTS: Final = """
SELECT count(*), count(*) FILTER (
    WHERE outcome.body IS NULL OR json_extract(outcome.body, '$.outcome') = 'unknown'
)
FROM events AS intent LEFT JOIN events AS outcome ON outcome.concludes = intent.id
WHERE intent.event = 'intent'
"""


class Condition(NamedTuple):
    """What was found; sizes are in bytes, that of the file with its WAL.

    `in_doubt` counts orders without an outcome or with an unknown one; those that are at the exchange at
    this moment are among them. `problem` says why orders could not be recorded here, None where they can.
    """

    path: str
    exists: bool
    writable: bool
    size: int = 0
    free: int | None = None
    schema: int | None = None
    runs: int = 0
    records: int = 0
    in_doubt: int = 0
    problem: str | None = None


def examine(path: str | os.PathLike[str]) -> Condition:
    """Look at the journal at `path`, or at the place where it would be."""
    at = Path(os.path.abspath(path))  # noqa: PTH100 - Path's own raises where the folder is gone
    found = Condition(str(at), exists=False, writable=False)
    try:
        found = found._replace(free=shutil.disk_usage(_nearest_folder(at)).free)
        return _examine_file(at, found) if at.exists() else _examine_place(at, found)
    except (JournalError, OSError, sqlite3.Error) as error:
        return found._replace(exists=os.path.lexists(at), problem=str(error))


def _nearest_folder(at: Path) -> Path:
    return next(folder for folder in at.parents if folder.exists())


def _examine_place(at: Path, found: Condition) -> Condition:
    folder = _nearest_folder(at)
    if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
        return found._replace(writable=True)
    return found._replace(
        problem=f"the journal {at} cannot be made: {folder} is no folder this user can write"
    )


def _examine_file(at: Path, found: Condition) -> Condition:
    found = found._replace(exists=True, size=_size(at))
    with contextlib.closing(open_reader(at)) as reader:
        found = found._replace(schema=check_schema(reader, at))
        if not is_bare(reader):
            (damage,) = reader.execute("PRAGMA quick_check(1)").fetchone()
            if damage != "ok":
                return found._replace(problem=f"the journal {at} is damaged: {damage}")
            (runs,) = reader.execute(RUNS).fetchone()
            records, in_doubt = reader.execute(COUNTS).fetchone()
            found = found._replace(runs=runs, records=records, in_doubt=in_doubt)
    problem = _why_not_writable(at)
    return found._replace(writable=problem is None, problem=problem)


def _size(at: Path) -> int:
    wal = at.with_name(f"{at.name}-wal")
    return at.stat().st_size + (wal.stat().st_size if wal.exists() else 0)


def _why_not_writable(at: Path) -> str | None:
    """None where a write could begin, or where another process is at one just now."""
    if not (os.access(at, os.W_OK) and os.access(at.parent, os.W_OK | os.X_OK)):
        return f"the journal {at} or its folder cannot be written by this user"
    with contextlib.closing(connect(at, read_only=False)) as writer:
        try:
            writer.execute("BEGIN IMMEDIATE")
            writer.execute("ROLLBACK")
        except sqlite3.Error as error:
            return None if is_busy(error) else f"the journal {at} cannot be written ({error})"
    return None
