"""Counts by hour and day: how they are kept, taken back, and added up between any two moments."""

import sqlite3
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

from exit_shim.journal.insertion import insert_rows
from exit_shim.journal.order_state import IN_DOUBT
from exit_shim.journal.record_source import BOUNDS_NS, MEASURES
from exit_shim.journal.schema import RARE

HOUR_NS: Final = 3_600_000_000_000
HOURS_A_DAY: Final = 24
DAY_NS: Final = HOURS_A_DAY * HOUR_NS
SPANS: Final = (HOUR_NS, DAY_NS)
"""The spans that orders are counted by: a year has too many hours to add up, a day too many orders."""

FARTHEST: Final = 2**62
"""No hour or day has this number."""

WHOLE: Final = (HOUR_NS, DAY_NS, HOUR_NS)
"""The spans of the three ranges of whole hours and days that lie between two moments."""

TAKEN_STATES: Final = ("accepted", IN_DOUBT)
"""The states in which a cancel or change took its orders away, or may have."""

MOST_MODULES: Final = 1_000
"""So many modules have counters of their own after their orders were pruned."""

Key: TypeAlias = tuple[Any, ...]


class Rollup(NamedTuple):
    """A table of numbers by span, and what they are counted from.

    Attributes:
        table: Its name; the columns `span` and `place` (the hour's or day's number) come first.
        keys: What it is counted by.
        sums: What is added up.
        parts: SELECTs of keys and sums; the row that has the time is called `dated`, and `{within}` says
            which ones.
    """

    table: str
    keys: tuple[str, ...]
    sums: tuple[str, ...]
    parts: tuple[str, ...]

    @property
    def insert(self) -> str:
        """Return the beginning of an INSERT of rows."""
        return f"INSERT INTO {self.table} ({', '.join(('span', 'place', *self.keys, *self.sums))})"

    @property
    def upsert(self) -> str:
        """Return the end of an INSERT that adds to the rows that are there."""
        added = ", ".join(f"{column} = {self.table}.{column} + excluded.{column}" for column in self.sums)
        return f"ON CONFLICT (span, place, {', '.join(self.keys)}) DO UPDATE SET {added}"

    def read_rows(self, within: str) -> str:
        """Return the query that gives what is counted, row by row."""
        return " UNION ALL ".join(part.format(within=within) for part in self.parts)

    def add_up(self, mark: Callable[[str], str]) -> str:
        """Return the query for the sums between the moments of `ranges_of`; `mark` makes a parameter."""
        columns = ", ".join((*self.keys, *self.sums))
        pieces = [
            f"SELECT {columns} FROM {self.table} WHERE span = {span} "  # noqa: S608 - names of ours
            f"AND place >= {mark(f'from_{place}')} AND place < {mark(f'to_{place}')}"
            for place, span in enumerate(WHOLE)
        ]
        pieces += [
            f"SELECT {columns} FROM ({self.read_rows(_between(mark, place))}) AS rows_{place}"  # noqa: S608
            for place in (len(WHOLE), len(WHOLE) + 1)
        ]
        sums = ", ".join(f"sum({column}) AS {column}" for column in self.sums)
        return (
            f"SELECT {', '.join(self.keys)}, {sums} FROM ({' UNION ALL '.join(pieces)}) AS pieces "  # noqa: S608
            f"GROUP BY {', '.join(self.keys)} HAVING sum({self.sums[0]}) > 0"
        )


def _between(mark: Callable[[str], str], place: int) -> str:
    return f"dated.ts >= {mark(f'from_{place}')} AND dated.ts < {mark(f'to_{place}')}"


def ranges_of(since_ns: int | None, until_ns: int | None) -> dict[str, int]:
    """Return the parameters of `add_up`: hours, days, hours, and the odd pieces before and behind them."""
    first = -FARTHEST if since_ns is None else -(-since_ns // HOUR_NS)
    beyond = FARTHEST if until_ns is None else until_ns // HOUR_NS
    head, tail = (since_ns or 0, first * HOUR_NS), (beyond * HOUR_NS, until_ns or 0)
    if first > beyond:
        head, tail, beyond = (since_ns or 0, until_ns or 0), (0, 0), first
    day, last_day = -(-first // HOURS_A_DAY), beyond // HOURS_A_DAY
    if day > last_day:
        hours, days, later = (first, beyond), (0, 0), (0, 0)
    else:
        hours, days, later = (first, day * HOURS_A_DAY), (day, last_day), (last_day * HOURS_A_DAY, beyond)
    if since_ns is None:
        hours, head = (0, 0), (0, 0)
    if until_ns is None:
        later, tail = (0, 0), (0, 0)
    ranges = (hours, days, later, head, tail)
    return {
        f"{name}_{place}": moment
        for place, bounds in enumerate(ranges)
        for name, moment in zip(("from", "to"), bounds, strict=True)
    }


def bucket_in_sql(column: str) -> str:
    """Return the expression for the number of the bucket that a time, in nanoseconds, belongs to."""
    cases = " ".join(f"WHEN {column} <= {bound} THEN {number}" for number, bound in enumerate(BOUNDS_NS))
    return f"CASE {cases} ELSE {len(BOUNDS_NS)} END"


def latency_parts(orders: str) -> tuple[str, ...]:
    """Return the SELECTs that count the columns `before_ns` and `total_ns` of a table of orders."""
    return tuple(
        f"""
        SELECT dated.ts, '{measure}' AS measure, {bucket_in_sql(column)} AS bucket,
            1 AS orders, {column} AS sum_ns
        FROM {orders} AS dated WHERE {column} IS NOT NULL AND {{within}}
        """  # noqa: S608 - names of ours
        for measure, column in zip(MEASURES, ("before_ns", "total_ns"), strict=True)
    )


def in_sql(values: tuple[str, ...]) -> str:
    """Return constants of ours as a list in SQL."""
    return "(" + ", ".join(f"'{value}'" for value in values) + ")"


TALLY: Final = Rollup(
    "tally",
    ("site", "mode", "state"),
    ("orders", "conflicts"),
    (
        """
        SELECT dated.ts, site, mode, state, 1 AS orders, conflict AS conflicts
        FROM orders AS dated WHERE {within}
        """,
    ),
)
FIGHTS: Final = Rollup(
    "fights",
    ("site", "victim"),
    ("orders",),
    (
        f"""
        SELECT dated.ts, site, victim, orders FROM orders AS dated JOIN taken USING (id)
        WHERE state IN {in_sql(TAKEN_STATES)} AND {{within}}
        """,  # noqa: S608 - constants of ours
    ),
)
# What is about no order has no place in the bot.
FINDINGS: Final = Rollup(
    "findings",
    ("code", "site"),
    ("number",),
    (
        "SELECT dated.ts, code, site, number FROM orders AS dated JOIN reasons USING (id) WHERE {within}",
        f"""
        SELECT dated.ts, code, 0 AS site, number FROM events AS dated JOIN reasons USING (id)
        WHERE event = 'guard_finding' AND {RARE} AND {{within}}
        """,  # noqa: S608 - constants of ours
    ),
)
LATENCIES: Final = Rollup("latencies", ("measure", "bucket"), ("orders", "sum_ns"), latency_parts("orders"))

ROLLUPS: Final = (TALLY, FIGHTS, FINDINGS, LATENCIES)

KEEP_COUNTERS: Final = f"""
INSERT INTO pruned (module, operation, kind, mode, state, orders, conflicts)
SELECT CASE
        WHEN module IN (SELECT module FROM pruned) THEN module
        WHEN (SELECT count(DISTINCT module) FROM pruned) < {MOST_MODULES} THEN module
        ELSE 'other'
    END AS counted_as, operation, kind, mode, state, count(*), sum(conflict)
FROM orders JOIN sites USING (site) WHERE id BETWEEN :first AND :last AND state != '{IN_DOUBT}'
GROUP BY counted_as, operation, kind, mode, state
ON CONFLICT (module, operation, kind, mode, state)
DO UPDATE SET orders = orders + excluded.orders, conflicts = conflicts + excluded.conflicts
"""  # noqa: S608 - constants of ours


class Changes:
    """What is to be added to the rollups: collected event by event, and written at once."""

    def __init__(self) -> None:
        self._hours: dict[str, defaultdict[Key, list[int]]] = {
            rollup.table: defaultdict([0, 0][: len(rollup.sums)].copy) for rollup in ROLLUPS
        }

    def add(self, rollup: Rollup, ts: int, key: Key, *numbers: int) -> None:
        """Add numbers to the counts of a moment."""
        sums = self._hours[rollup.table][ts // HOUR_NS, key]
        sums[0] += numbers[0]
        if len(numbers) > 1:
            sums[1] += numbers[1]

    def write(self, connection: sqlite3.Connection) -> None:
        """Add all of it to the tables, by hour and by day."""
        for rollup in ROLLUPS:
            rows: defaultdict[Key, list[int]] = defaultdict([0, 0][: len(rollup.sums)].copy)
            for (hour, key), numbers in self._hours[rollup.table].items():
                for span, place in ((HOUR_NS, hour), (DAY_NS, hour // HOURS_A_DAY)):
                    sums = rows[span, place, key]
                    for column, number in enumerate(numbers):
                        sums[column] += number
            changed = [(*place, *key, *sums) for (*place, key), sums in rows.items() if any(sums)]
            insert_rows(connection, rollup.insert, changed, rollup.upsert)


def take_back(connection: sqlite3.Connection, first: int, last: int) -> None:
    """Take events that are about to be deleted out of the rollups; keep the counters."""
    where = {"first": first, "last": last}
    for rollup in ROLLUPS:
        keys, counted = ", ".join(rollup.keys), rollup.read_rows("dated.id BETWEEN :first AND :last")
        sums = ", ".join(f"-sum({column})" for column in rollup.sums)
        for span in SPANS:
            rows = connection.execute(
                f"SELECT {span}, ts / {span}, {keys}, {sums} FROM ({counted}) GROUP BY 2, {keys}",  # noqa: S608
                where,
            ).fetchall()
            insert_rows(connection, rollup.insert, rows, rollup.upsert)
    connection.execute(KEEP_COUNTERS, where)


def delete_empty(connection: sqlite3.Connection) -> None:
    """Delete the rows of the rollups that count nothing any more."""
    for rollup in ROLLUPS:
        connection.execute(f"DELETE FROM {rollup.table} WHERE {rollup.sums[0]} = 0")  # noqa: S608
