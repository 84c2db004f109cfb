"""Reading the journal back; a reader never creates the file and never blocks a writer."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from exit_shim.journal.file import JournalError, check_schema, connect, is_bare
from exit_shim.journal.rows import decode
from exit_shim.records import Conclusion, Record, Submission

SELECT: Final = """
SELECT runs.run_id, intent.seq, intent.body, outcome.body
FROM events AS intent
JOIN runs ON runs.run = intent.run
LEFT JOIN events AS outcome ON outcome.concludes = intent.id
WHERE intent.event = 'intent'
"""


def read_records(
    path: str | os.PathLike[str],
    *,
    module: str | None = None,
    symbol: str | None = None,
    since_ns: int | None = None,
    run_id: str | None = None,
) -> Iterator[Record]:
    """The recorded orders, oldest first.

    Raises:
        JournalError: There is no journal at `path`, or it cannot be read.
    """
    where, values = [SELECT], []
    for clause, value in (
        ("json_extract(intent.body, '$.attribution.module') = ?", module),
        ("json_extract(intent.body, '$.order.symbol') = ?", symbol),
        ("intent.ts >= ?", since_ns),
        ("runs.run_id = ?", run_id),
    ):
        if value is not None:
            where.append(f"AND {clause}")
            values.append(value)
    where.append("ORDER BY intent.ts, intent.id")
    with contextlib.closing(open_reader(Path(path))) as connection:
        if is_bare(connection):
            return
        try:
            for run, seq, intent, outcome in connection.execute(" ".join(where), values):
                yield Record(
                    run_id=run,
                    seq=seq,
                    submission=decode(Submission, intent),
                    conclusion=None if outcome is None else decode(Conclusion, outcome),
                )
        except sqlite3.Error as error:
            raise JournalError(f"the journal {path} cannot be read on ({error}); is it damaged?") from error


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads; JournalError with the way out where there is nothing to read."""
    if not path.exists():
        raise JournalError(
            f"there is no journal at {path}; it appears with the first exit order, or set EXIT_SHIM_JOURNAL"
        )
    with contextlib.ExitStack() as undo:
        try:
            connection = connect(path, read_only=True)
            undo.callback(connection.close)
            check_schema(connection, path)
        except sqlite3.Error as error:
            raise JournalError(
                f"the journal {path} cannot be read ({error}); is it another program's file?"
            ) from error
        undo.pop_all()
    return connection
