"""Examine a journal without creating or changing it, and without raising."""

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Final, NamedTuple

from exit_shim.journal.database import DAMAGE, connect, is_busy
from exit_shim.journal.schema import SCHEMA_VERSION, JournalError, check_schema, is_empty
from exit_shim.journal.spool import spools

CHECKED_BYTES: Final = 200_000_000
"""The size up to which the file's pages are checked; `exit-shim verify` checks a file of any size."""

COUNTS: Final = """
SELECT
    (SELECT count(*) FROM runs),
    (SELECT coalesce(sum(orders), 0) FROM tally WHERE span = 86400000000000),
    (SELECT count(*) FROM orders WHERE state = 'in doubt')
"""


class Condition(NamedTuple):
    """The condition of a journal; sizes are in bytes, that of the file with its WAL.

    `spooled` are bytes that are not copied into the file yet. `in_doubt` counts orders whose outcome is not
    known, with those under way. `problem` says why orders cannot be recorded here, None where they can.
    """

    path: str
    exists: bool
    writable: bool
    size: int = 0
    free: int | None = None
    schema: int | None = None
    spooled: int = 0
    runs: int = 0
    records: int = 0
    in_doubt: int = 0
    problem: str | None = None


def examine(path: str | os.PathLike[str]) -> Condition:
    """Examine the journal at `path`, or the place where it would be made."""
    # `Path.absolute` raises where the working folder is gone.
    at = Path(os.path.abspath(path))  # noqa: PTH100
    condition = Condition(str(at), exists=False, writable=False)
    try:
        condition = condition._replace(free=shutil.disk_usage(_nearest_folder(at)).free)
        return _examine_file(at, condition) if at.exists() else _examine_place(at, condition)
    except (JournalError, OSError) as error:
        return condition._replace(exists=os.path.lexists(at), problem=str(error))
    except DAMAGE as error:
        problem = f"the journal {at} cannot be read ({error}); is it another program's file, or damaged?"
        return condition._replace(exists=True, problem=problem)


def _nearest_folder(at: Path) -> Path:
    return next(folder for folder in at.parents if folder.exists())


def _examine_place(at: Path, condition: Condition) -> Condition:
    folder = _nearest_folder(at)
    if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
        return condition._replace(writable=True)
    return condition._replace(
        problem=f"the journal {at} cannot be made: {folder} is not a folder that this user can write"
    )


def _examine_file(at: Path, condition: Condition) -> Condition:
    condition = condition._replace(
        exists=True, size=_size(at), spooled=sum(_bytes(one) for one in spools(at))
    )
    with contextlib.closing(connect(at, read_only=True)) as reader:
        check_schema(reader, at)
        is_new = is_empty(reader)
        condition = condition._replace(schema=None if is_new else SCHEMA_VERSION)
        if condition.size <= CHECKED_BYTES:
            (damage,) = reader.execute("PRAGMA quick_check(1)").fetchone()
            if damage != "ok":
                return condition._replace(problem=f"the journal {at} is damaged: {damage}")
        if not is_new:
            runs, records, in_doubt = reader.execute(COUNTS).fetchone()
            condition = condition._replace(runs=runs, records=records, in_doubt=in_doubt)
    problem = _why_not_writable(at)
    return condition._replace(writable=problem is None, problem=problem)


def _size(at: Path) -> int:
    return _bytes(at) + _bytes(at.with_name(f"{at.name}-wal"))


def _bytes(file: Path) -> int:
    try:
        return file.stat().st_size
    # Removed meanwhile.
    except OSError:
        return 0


def _why_not_writable(at: Path) -> str | None:
    """Return why the file cannot be written; None where it can, or is only locked now."""
    if not (os.access(at, os.W_OK) and os.access(at.parent, os.W_OK | os.X_OK)):
        return f"the journal {at} or its folder cannot be written by this user"
    with contextlib.closing(connect(at, read_only=False)) as writer:
        try:
            writer.execute("BEGIN IMMEDIATE")
            writer.execute("ROLLBACK")
        except sqlite3.Error as error:
            return None if is_busy(error) else f"the journal {at} cannot be written ({error})"
    return None
