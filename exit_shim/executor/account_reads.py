"""Read an account by whatever weighs less: its symbols one by one, or all of it."""

import time
from collections.abc import Callable, Collection
from typing import Any, Final

from exit_shim.executor.exchange_reader import Seen, read_exchange, read_list
from exit_shim.executor.order_ids import read_id
from exit_shim.executor.requests import Request, Requests
from exit_shim.guard.exchange_snapshot import LISTS, OpenOrder, OpenPosition
from exit_shim.guard.snapshot_reads import WEIGHTS

STORES: Final = ("orders", "algos")

MOST_SYMBOLS: Final = 15
"""The symbols that are read one by one; more of them would take longer than they spare."""

WEIGHT_OF_ALL: Final = sum(WEIGHTS[name][1] for name in LISTS)


def weight_of_symbol() -> int:
    """Return the weight of a pass over one symbol."""
    return sum(WEIGHTS[name][0] for name in LISTS)


class AccountReads:
    """Read the exchange for the passes of an executor.

    The first look is at all of the account, and finds what earlier runs left. From then on orders are read
    of the symbols with a position or an order of the executor, as long as that weighs less; positions are
    always read of all symbols.

    Args:
        held_symbols: Returns the symbols of the positions that the executor knows, or cleans up after.
        spend: Called with the weight of what is about to be read.
        on_seen: Called with what was read, where it is complete, its symbol (None for all), and when it was
            asked for, in nanoseconds since the epoch.
    """

    def __init__(
        self,
        held_symbols: Callable[[], Collection[str]],
        spend: Callable[[int], object] = lambda _: None,
        on_seen: Callable[[Seen, str | None, int], object] = lambda _, __, ___: None,
    ) -> None:
        self._held_symbols = held_symbols
        self._spend = spend
        self._on_seen = on_seen
        self.problem: str | None = None
        """Why the positions could not be read the last time; None where they could."""
        self._has_seen_all = False
        self._own_symbols: set[str] = set()
        self.expected: frozenset[str] = frozenset()
        """Symbols whose orders are read beside the positions, since something happened there."""

    def weight(self) -> int:
        """Return the weight of a pass over the account."""
        symbols = self._symbols()
        if not self._has_seen_all or len(symbols) > MOST_SYMBOLS:
            return WEIGHT_OF_ALL
        return min(WEIGHT_OF_ALL, WEIGHTS["positions"][1] + self._weight_of_stores(symbols))

    def read(self, symbol: str | None, *, dry_run: bool = False) -> Requests[Seen]:
        """Read positions and both order stores of a symbol or the account, all at once."""
        asked = time.time_ns()
        if symbol is None:
            seen = yield from self._read_account()
        else:
            self._spend(weight_of_symbol())
            seen = yield from read_exchange(symbol)
            if seen.is_complete:
                self._own_symbols = (self._own_symbols - {symbol}) | _symbols_in(seen)
        self.problem = seen.problem if seen.positions is None else None
        if seen.is_complete and not dry_run:
            self._on_seen(seen, symbol, asked)
        return seen

    def _read_account(self) -> Requests[Seen]:
        weight = self.weight()
        self._spend(weight)
        if weight < WEIGHT_OF_ALL:
            seen = yield from self._read_symbols()
        else:
            seen = yield from read_exchange(None)
            self._has_seen_all = self._has_seen_all or seen.is_complete
        if seen.is_complete:
            self._own_symbols = _symbols_in(seen)
        return seen

    def _symbols(self) -> set[str]:
        return {*self._held_symbols(), *self._own_symbols, *self.expected}

    def _weight_of_stores(self, symbols: Collection[str]) -> int:
        return len(symbols) * sum(WEIGHTS[name][0] for name in STORES)

    def _read_symbols(self) -> Requests[Seen]:
        """Read all positions, and the orders of the symbols that matter; of new ones right afterwards."""
        known = self._symbols()
        answers = yield (Request("positions", {}), *_store_requests(known))
        positions = read_list("positions", answers[0])
        if isinstance(positions, str):
            return Seen(None, (), is_complete=False, problem=positions)
        opened: tuple[OpenPosition, ...] = tuple(each for each in positions if each.amount)
        new = {each.symbol for each in opened} - known
        if new:
            self._spend(self._weight_of_stores(new))
            answers += yield _store_requests(new)
        orders, problem = _orders_in(answers[1:])
        return Seen(opened, orders, problem is None, problem)


def _symbols_in(seen: Seen) -> set[str]:
    """Return the symbols with a position or an order of the executor."""
    own = {order.symbol for order in seen.orders if read_id(order.client_order_id) is not None}
    return own | {position.symbol for position in seen.positions or ()}


def _store_requests(symbols: Collection[str]) -> tuple[Request, ...]:
    return tuple(Request(name, {"symbol": symbol}) for symbol in sorted(symbols) for name in STORES)


def _orders_in(answers: list[Any]) -> tuple[tuple[OpenOrder, ...], str | None]:
    """Return the orders in answers to `_store_requests`, and why some are missing."""
    orders: list[OpenOrder] = []
    problem = None
    for index, answer in enumerate(answers):
        listed = read_list(STORES[index % len(STORES)], answer)
        if isinstance(listed, str):
            problem = listed
        else:
            orders += listed
    return tuple(orders), problem
