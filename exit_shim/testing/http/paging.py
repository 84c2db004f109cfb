"""Windows over lists: startTime, endTime and limit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from exit_shim.testing.exchange.errors import INVALID_PARAMETER
from exit_shim.testing.exchange.params import Params

DEFAULT_LIMIT = 500
LARGEST_LIMIT = 1000

Item = TypeVar("Item")


def within(params: Params, items: Iterable[Item], time_of: Callable[[Item], int]) -> list[Item]:
    """Keep the items from startTime to endTime, both included and both optional."""
    start, end = params.integer("startTime"), params.integer("endTime")
    return [
        item
        for item in items
        if (start is None or time_of(item) >= start) and (end is None or time_of(item) <= end)
    ]


def newest(params: Params, items: list[Item]) -> list[Item]:
    """Keep the last `limit` items, in their order."""
    return items[-_limit(params) :]


def oldest(params: Params, items: list[Item]) -> list[Item]:
    """Keep the first `limit` items."""
    return items[: _limit(params)]


def _limit(params: Params) -> int:
    limit = params.integer("limit")
    if limit == 0:
        raise INVALID_PARAMETER.error("limit")
    return min(limit or DEFAULT_LIMIT, LARGEST_LIMIT)
