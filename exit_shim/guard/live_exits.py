"""The live exits: accepted exit orders that are not known to have ended, by id and by position."""

from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec

from exit_shim.domain.events import Target
from exit_shim.domain.orders import PROTECTIVE_TYPES, ExitOrder, Reference, Store
from exit_shim.guard.order_ids import STORES, Key, find_by_id, keys_of, name_keys, number_keys

MAX_LIVE: Final = 20_000
"""Orders remembered; beyond it the oldest are forgotten, and their cancels have an unknown target."""

MAX_PER_POSITION: Final = 200
"""Exits remembered of one position: as many as the exchange lets rest, so older ones have ended unseen."""

MAX_ENDED: Final = 10_000
"""Ids of ended orders that are remembered: news of them may still be on the way."""


class PositionKey(NamedTuple):
    """The position that an exit guards: of an account, on a symbol, reduced by orders of one side."""

    account: str | None
    symbol: str | None
    position_side: str
    side: str | None


class LiveExit(msgspec.Struct, frozen=True):
    """An accepted exit that nobody has been seen to cancel; it may have filled or expired since.

    Attributes:
        account: Whose order it is.
        symbol: Its symbol.
        store: Which of the exchange's stores it rests in.
        target: Its ids, its kind, and which module placed it.
        position: What it guards.
        type: The order's type.
        quantity: As it went out; None for one that closes the whole position.
        trigger: Its trigger price, as it went out.
        close_position: Whether it closes whatever the position is.
        ts: When it was placed, in ns since the epoch.
        in_doubt: Whether its placing was never answered.
        accepted_at: When the book learnt that it was accepted, in ns since the epoch.
    """

    account: str | None
    symbol: str | None
    store: Store
    target: Target
    position: PositionKey
    type: str | None = None
    quantity: str | None = None
    trigger: str | None = None
    close_position: bool = False
    ts: int = 0
    in_doubt: bool = False
    accepted_at: int = 0

    @property
    def is_protective(self) -> bool:
        """Whether it is a stop, by its type."""
        return self.type in PROTECTIVE_TYPES

    @property
    def words(self) -> str:
        """Its description for people: what, how much, whose, under which id."""
        size = "whole position" if self.close_position else f"quantity={self.quantity}"
        name = self.target.algo_id or self.target.order_id or self.target.client_order_id
        doubt = " in doubt" if self.in_doubt else ""
        return f"{self.target.kind} {size} trigger={self.trigger} of {self.target.module} id={name}{doubt}"


NO_EXITS: Final[Mapping[int, LiveExit]] = MappingProxyType({})


class LiveExits:
    """Keeps the live exits by id and by position; bounded. The book holds its lock around every call."""

    def __init__(self) -> None:
        self._by_id: OrderedDict[Key, LiveExit] = OrderedDict()
        self._by_position: dict[PositionKey, dict[int, LiveExit]] = {}
        self._ended: OrderedDict[Key, None] = OrderedDict()
        self._unlisted: OrderedDict[Key, LiveExit] = OrderedDict()

    def positions(self) -> list[PositionKey]:
        """Return every position that has live exits."""
        return list(self._by_position)

    def of_position(self, position: PositionKey) -> tuple[LiveExit, ...]:
        """Return the live exits of a position, oldest first."""
        return tuple(self._by_position.get(position, NO_EXITS).values())

    def of_symbol(self, account: str | None, symbol: str | None) -> list[LiveExit]:
        """Return the live exits of a symbol, of all its positions."""
        return [
            live
            for position, exits in self._by_position.items()
            if (position.account, position.symbol) == (account, symbol)
            for live in exits.values()
        ]

    def find(self, account: str | None, reference: Reference | Target) -> LiveExit | None:
        """Return the live exit behind an id."""
        return find_by_id(self._by_id, account, reference)

    def find_unlisted(self, account: str | None, reference: Reference | Target) -> LiveExit | None:
        """Return the order behind an id that the exchange's lists lacked of late."""
        return find_by_id(self._unlisted, account, reference)

    def find_in_store(self, account: str | None, store: Store, reference: Reference) -> LiveExit | None:
        """Return the live exit of a number; by its client order id only while its number is unknown."""
        for key in number_keys(account, reference):
            if (live := self._by_id.get(key)) is not None:
                return live
        for key in name_keys(account, reference.client_order_id, STORES):
            if (live := self._by_id.get(key)) is None:
                continue
            # A client may use an id again once the order that had it has ended. The order that a conditional
            # one became has its id, too.
            number = live.target.order_id if store == "orders" else live.target.algo_id
            if number is None and store in {live.store, "orders"}:
                return live
        return None

    def find_in_doubt(self, account: str | None, name: str | None, ts: int) -> list[LiveExit]:
        """Return the exits in doubt that were placed under a client order id at a time."""
        keys = keys_of(account, Reference(client_order_id=name))
        exits = (self._by_id.get(key) for key in keys)
        return [live for live in exits if live is not None and live.in_doubt and live.ts == ts]

    def is_surely_live(self, account: str | None, store: Store, name: str | None) -> bool:
        """Return whether an exit of a client order id is live beyond doubt."""
        (key,) = name_keys(account, name, (store,))
        live = self._by_id.get(key)
        return live is not None and not live.in_doubt

    def put(self, live: LiveExit) -> None:
        """Add a live exit, in the place of what has one of its ids."""
        keys = keys_of(live.account, live.target, live.store)
        for key in keys:
            if (replaced := self._by_id.get(key)) is not None:
                self.drop(replaced)
            self._by_id[key] = live
        for key in name_keys(live.account, live.target.client_order_id, STORES):
            doubted = self._by_id.get(key)
            # An older release of the client keeps its stops among the orders, where none was expected.
            if key not in keys and doubted is not None and doubted.in_doubt and doubted.ts == live.ts:
                self.drop(doubted)
        exits = self._by_position.setdefault(live.position, {})
        exits[id(live)] = live
        if len(exits) > MAX_PER_POSITION:
            oldest = next(iter(exits.values()))
            # Stops are kept longest: they are what cover rests on.
            self.drop(next((other for other in exits.values() if not other.is_protective), oldest))
        while len(self._by_id) > MAX_LIVE:
            self.drop(next(iter(self._by_id.values())))

    def drop(self, live: LiveExit) -> None:
        """Forget a live exit."""
        for key in keys_of(live.account, live.target):
            if self._by_id.get(key) is live:
                del self._by_id[key]
        exits = self._by_position.get(live.position)
        if exits is not None:
            exits.pop(id(live), None)
            if not exits:
                del self._by_position[live.position]

    def note_ended(self, account: str | None, reference: Reference | Target) -> list[Key]:
        """Remember that an order has ended, and return the keys of its numbers."""
        # Not by its client order id, which may be used again.
        keys = number_keys(account, reference)
        self._ended.update(dict.fromkeys(keys))
        while len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)
        return keys

    def has_ended(self, account: str | None, reference: Reference | Target) -> bool:
        """Return whether an order of one of these ids is known to have ended."""
        return bool(self._ended) and any(key in self._ended for key in keys_of(account, reference))

    def set_aside(self, live: LiveExit) -> None:
        """Have a live exit count no more, but remember whose it was: a list may lack an order once."""
        self.drop(live)
        self._unlisted.update(dict.fromkeys(keys_of(live.account, live.target), live))
        while len(self._unlisted) > MAX_ENDED:
            self._unlisted.popitem(last=False)

    def bring_back(self, account: str | None, listed: set[Key]) -> None:
        """Have the orders count again that were set aside, and are in the exchange's lists now."""
        for key in listed & self._unlisted.keys():
            live = self._unlisted.get(key)
            if live is not None and key not in self._by_id:
                self.put(live)
                for other in keys_of(account, live.target):
                    self._unlisted.pop(other, None)


def position_of(account: str | None, order: ExitOrder) -> PositionKey:
    """Return what an order guards."""
    return PositionKey(account, order.symbol, order.position_side or "BOTH", order.side)
