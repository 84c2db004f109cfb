"""Insert many rows in few statements."""

import sqlite3
from collections.abc import Sequence
from typing import Final

VALUES_AT_ONCE: Final = 900
"""Older SQLites take at most 999 values in a statement."""


def insert_rows(
    connection: sqlite3.Connection, into: str, rows: Sequence[tuple[object, ...]], then: str = ""
) -> None:
    """Insert rows, as many per statement as SQLite takes."""
    if not rows:
        return
    marks = f"({', '.join('?' * len(rows[0]))})"
    at_once = VALUES_AT_ONCE // len(rows[0])
    for first in range(0, len(rows), at_once):
        piece = rows[first : first + at_once]
        values = [value for row in piece for value in row]
        connection.execute(f"{into} VALUES {', '.join([marks] * len(piece))} {then}", values)
