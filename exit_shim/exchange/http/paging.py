"""Windows over lists: startTime, endTime and limit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from exit_shim.exchange.engine.errors import INVALID_PARAMETER, LONGEST_INTERVAL, START_AFTER_END
from exit_shim.exchange.engine.params import Params

DEFAULT_LIMIT = 500
LARGEST_LIMIT = 1000
DAY = 24 * 60 * 60 * 1000
WEEK = 7 * DAY
#: Later than any time that the exchange knows.
NEVER = 10**18

Item = TypeVar("Item")


def read_window(params: Params, now: int) -> tuple[int, int]:
    """Read startTime and endTime, both included and both optional.

    Raises:
        ExchangeError: -1023.
    """
    start, end = params.integer("startTime"), params.integer("endTime")
    if start is not None and end is not None and start > end:
        raise START_AFTER_END.error()
    return start or 0, now if end is None else end


def read_week(params: Params, now: int, *, from_id: bool) -> tuple[int, int]:
    """Read a window of at most seven days: before its end or after its start, unless both are sent.

    Args:
        params: the request.
        now: the time in milliseconds.
        from_id: whether the request names a first id; without times there is no window then.

    Raises:
        ExchangeError: -1023 or -4165.
    """
    start, end = params.integer("startTime"), params.integer("endTime")
    if start is None and end is None:
        return (0 if from_id else now - WEEK), NEVER
    if start is None:
        return (end or 0) - WEEK, end or 0
    if end is None:
        return start, start + WEEK
    if start > end:
        raise START_AFTER_END.error()
    if end - start > WEEK:
        raise LONGEST_INTERVAL.error(7)
    return start, end


def keep_within(window: tuple[int, int], items: Iterable[Item], time_of: Callable[[Item], int]) -> list[Item]:
    """Keep the items of a window, both ends included."""
    start, end = window
    return [item for item in items if start <= time_of(item) <= end]


def keep_newest(params: Params, items: list[Item]) -> list[Item]:
    """Keep the last `limit` items, in their order."""
    return items[-read_limit(params) :]


def keep_page(params: Params, items: list[Item], first: int | None) -> list[Item]:
    """Keep `limit` items: the first ones where the request names a first id, else the newest."""
    return keep_newest(params, items) if first is None else keep_oldest(params, items)


def keep_oldest(params: Params, items: list[Item]) -> list[Item]:
    """Keep the first `limit` items."""
    return items[: read_limit(params)]


def read_limit(params: Params, *, usual: int = DEFAULT_LIMIT, most: int = LARGEST_LIMIT) -> int:
    """Read `limit`.

    Raises:
        ExchangeError: -1130 for none.
    """
    limit = params.integer("limit")
    if limit == 0:
        raise INVALID_PARAMETER.error("limit")
    return min(limit or usual, most)
