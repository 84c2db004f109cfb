"""Read positions and resting orders of the exchange."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, NamedTuple, TypeVar

from exit_shim.clients.answers import read_failure
from exit_shim.executor.requests import Request, Requests
from exit_shim.guard.exchange_snapshot import (
    LISTS,
    OpenOrder,
    OpenPosition,
    UnreadableError,
    read_open_order,
    read_position,
    rows,
)

MOST_ROWS: Final = 1_000
"""How many rows of a list are kept: five times the conditional orders that an account can have."""


class Key(NamedTuple):
    """Name one position of the account."""

    symbol: str
    position_side: str


class Seen(NamedTuple):
    """What was read of the exchange.

    Attributes:
        positions: The open positions; None where they could not be read.
        orders: The orders of the stores that could be read.
        is_complete: Whether everything was read.
        problem: What could not be read, and why; None where everything was.
    """

    positions: tuple[OpenPosition, ...] | None
    orders: tuple[OpenOrder, ...]
    is_complete: bool
    problem: str | None


T = TypeVar("T")


class Rows(Generic[T]):
    """Read rows, and keep what they came to: most rows are those of the pass before.

    Args:
        read: Reads a row.
        names: The fields that name a row.
    """

    def __init__(self, read: Callable[[Mapping[str, Any]], T], *names: str) -> None:
        self._read_row = read
        self._names = names
        self._read: dict[Any, tuple[Mapping[str, Any], T]] = {}

        self._last: tuple[list[Mapping[str, Any]], list[T]] = [], []

    def read(self, listed: list[Mapping[str, Any]]) -> list[T]:
        """Return what rows say; the very same objects for equal rows."""
        if listed != self._last[0]:
            self._last = listed, [self._read_one(row) for row in listed]
        return self._last[1]

    def _read_one(self, row: Mapping[str, Any]) -> T:
        name = tuple(map(row.get, self._names))
        before = self._read.get(name)
        if before is not None and before[0] == row:
            return before[1]
        answer = self._read_row(row)
        if len(self._read) >= MOST_ROWS:
            self._read.clear()
        self._read[name] = row, answer
        return answer


READERS: Final[Mapping[str, Callable[[list[Mapping[str, Any]]], list[Any]]]] = {
    "orders": Rows(read_open_order, "orderId").read,
    "algos": Rows(read_open_order, "algoId").read,
    "positions": Rows(read_position, "symbol", "positionSide").read,
}


def read_exchange(symbol: str | None) -> Requests[Seen]:
    """Read positions and both order stores, all at once."""
    fields = {} if symbol is None else {"symbol": symbol}
    answers = yield tuple(Request(name, fields) for name in LISTS)
    read: dict[str, list[Any]] = {}
    problem = None
    for name, answer in zip(LISTS, answers, strict=True):
        answered = read_list(name, answer)
        if isinstance(answered, str):
            problem = answered
        else:
            read[name] = answered
    positions = read.get("positions")
    opened = None if positions is None else tuple(each for each in positions if each.amount)
    return Seen(opened, (*read.get("orders", ()), *read.get("algos", ())), problem is None, problem)


def read_list(name: str, answer: Any) -> list[Any] | str:
    """Return what a list has; a sentence where it could not be read."""
    try:
        if isinstance(answer, Exception):
            return f"{name} could not be read: {read_failure(answer).error_message}"
        return READERS[name](rows(answer))
    except UnreadableError as error:
        return f"{name} could not be read: {error}"


def by_position(orders: tuple[OpenOrder, ...]) -> dict[Key, tuple[OpenOrder, ...]]:
    """Return orders by the position that they are for."""
    listed: dict[Key, list[OpenOrder]] = {}
    for order in orders:
        listed.setdefault(Key(order.symbol, order.position_side), []).append(order)
    return {key: tuple(of_key) for key, of_key in listed.items()}
