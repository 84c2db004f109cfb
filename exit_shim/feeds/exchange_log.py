"""Record what the exchange tells of positions and exits, whoever placed them: when it changes, no oftener."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from exit_shim.domain.events import Event, ExchangeUpdate, PositionSeen, Source
from exit_shim.domain.orders import kind_of
from exit_shim.feeds.stream_events import NS_PER_MS, plain, read_positions, read_update
from exit_shim.guard.book import READ_LAG_NS
from exit_shim.guard.exchange_snapshot import OpenOrder, OpenPosition, covers, guarded
from exit_shim.runtime.reentrancy import ReentrantState

AGAIN_S: Final = 60.0
"""A position that does not change is recorded again after so long, for its mark price."""

UNSAFE_AGAIN_S: Final = 5.0
"""The same for a position that stops do not cover: between two looks a stop can have come and gone."""

CONCURRENT_NS: Final = 60 * 1_000_000_000
"""Two readings overtake each other by no more; what seems older was read after the clock was set back."""

MOST_ORDERS: Final = 5_000
"""The orders of an account that are remembered, to say each of them once."""


class Sight(NamedTuple):
    """A reading of an account: all of it, or the symbols that were read.

    Attributes:
        positions: The open positions.
        orders: The resting orders.
        asked: When the exchange was asked, in nanoseconds since the epoch.
        symbols: The symbols that were read; None for all.
        has_algos: Whether the orders are those of both stores; otherwise nobody knows what covers a position.
        is_asked: Whether somebody asked since the record left something open; then it is recorded anyhow.
    """

    positions: Iterable[OpenPosition]
    orders: Iterable[OpenOrder]
    asked: int
    symbols: Collection[str] | None = None
    has_algos: bool = True
    is_asked: bool = False


class Known(NamedTuple):
    """An order that rests, and from when on a reading without it says that it is gone."""

    update: ExchangeUpdate
    listed_from: int


class ExchangeLog(ReentrantState):
    """Turn readings and stream events of accounts into recorded events; thread-safe, bounded.

    Args:
        record: Takes each event.
    """

    def __init__(self, record: Callable[[Event], object]) -> None:
        super().__init__()
        self._record = record
        self._positions: dict[tuple[str | None, str, str], tuple[float, PositionSeen]] = {}
        self._orders: dict[str | None, dict[str, Known]] = {}
        self._asked: dict[str | None, int] = {}
        self._heard: dict[tuple[str | None, str, str], int] = {}

    def take_sight(self, account: str | None, sight: Sight, source: Source, every_s: float) -> None:
        """Record what a reading shows that was not recorded yet.

        Args:
            account: The account's label.
            sight: What was read.
            source: Who read it.
            every_s: Seconds until the source reads again.
        """
        exits = [order for order in sight.orders if order.can_only_reduce]
        with self._lock:
            # Of two readers the slower one may come with older news.
            if is_older(sight.asked, self._asked.get(account, 0)):
                return
            self._asked[account] = sight.asked
            gone = self._note_gone(account, exits, sight, source)
            events: list[Event] = [*self._note_listed(account, exits, sight, source)]
            seen = {
                (position.symbol, position.position_side): self._position(
                    account, position, exits, sight, source, every_s
                )
                for position in sight.positions
            }
            flat = [
                flatten(before, sight.asked, source, every_s)
                for (label, symbol, side), (_, before) in self._positions.items()
                if label == account
                and before.amount != "0"
                and (symbol, side) not in seen
                and (sight.symbols is None or symbol in sight.symbols)
            ]
            # A position that was closed takes its exits along: it was never without them.
            events += [*self._note_positions([*seen.values(), *flat], is_asked=sight.is_asked), *gone]
        for event in events:
            self._record(event)

    def take_event(self, account: str | None, event: Mapping[str, Any], again_s: float = 0.0) -> None:
        """Record what an event of the user data stream tells.

        Args:
            account: The account's label.
            event: As it came.
            again_s: Within how many seconds something reads the account.
        """
        update = read_update(event, account)
        positions = read_positions(event, account, again_s)
        if update is None and not positions:
            return
        with self._lock:
            events: list[Event] = list(self._note_positions(positions))
            if update is not None and self._note_update(update):
                events.append(update)
        for each in events:
            self._record(each)

    def _note_positions(
        self, positions: Iterable[PositionSeen], *, is_asked: bool = False
    ) -> Iterable[Event]:
        """Return the positions that changed, were asked about, or were last recorded a while ago."""
        now = time.monotonic()
        fresh = []
        for seen in positions:
            key = seen.account, seen.symbol, seen.position_side
            at, before = self._positions.get(key, (0.0, None))
            if seen.asked is None:
                self._heard[key] = time.time_ns()
            elif is_older(seen.asked, self._heard.get(key, 0)):
                # The stream has told of a change since the exchange was asked.
                continue
            is_due = seen.amount != "0" and now - at >= (UNSAFE_AGAIN_S if is_unsafe(seen) else AGAIN_S)
            if before is None or is_due or is_asked or differs(seen, before):
                fresh.append(seen)
                # An event of the stream lists no orders; what a reading listed before is still remembered.
                self._positions[key] = now, seen
        return fresh

    def _note_listed(
        self, account: str | None, exits: list[OpenOrder], sight: Sight, source: Source
    ) -> Iterator[ExchangeUpdate]:
        """Yield the orders that were not listed before."""
        known = self._orders.setdefault(account, {})
        for order in exits:
            if order.name not in known and len(known) < MOST_ORDERS:
                update = update_of(order, account, source)
                known[order.name] = Known(update, sight.asked)
                yield update

    def _note_gone(
        self, account: str | None, exits: list[OpenOrder], sight: Sight, source: Source
    ) -> list[ExchangeUpdate]:
        """Return the orders that are not listed any more."""
        known = self._orders.setdefault(account, {})
        listed = {order.name for order in exits}
        gone = [
            name
            for name, (update, listed_from) in known.items()
            if name not in listed
            and (sight.symbols is None or update.symbol in sight.symbols)
            and (sight.has_algos or update.store == "orders")
            and listed_from != sight.asked
            and not is_older(sight.asked, listed_from)
        ]
        return [copy_of(known.pop(name).update, status="GONE", source=source, at=None) for name in gone]

    def _note_update(self, update: ExchangeUpdate) -> bool:
        """Remember an order that rests, forget one that does not; return whether it is news."""
        known = self._orders.setdefault(update.account, {})
        name = str(update.algo_id or update.order_id or update.client_order_id)
        before = known.get(name)
        if update.status in {"NEW", "PARTIALLY_FILLED"}:
            if len(known) < MOST_ORDERS:
                # The exchange's lists lag behind its stream.
                known[name] = Known(update, time.time_ns() + READ_LAG_NS)
            return before is None or not is_same(update, before.update)
        known.pop(name, None)
        return True

    @staticmethod
    def _position(
        account: str | None,
        position: OpenPosition,
        exits: list[OpenOrder],
        sight: Sight,
        source: Source,
        every_s: float,
    ) -> PositionSeen:
        own = [order for order in exits if position.is_guarded_by(order)]
        stops = [order for order in own if order.is_protective]
        size = position.size
        closed = size if covers(stops, size) else min(guarded(stops, size), size)
        return PositionSeen(
            account=account,
            symbol=position.symbol,
            position_side=position.position_side,
            amount=plain(position.amount),
            entry_price=None if position.entry is None else plain(position.entry),
            mark_price=None if position.mark is None else plain(position.mark),
            exits=tuple(order.name for order in own) if sight.has_algos else None,
            guarded=plain(closed) if sight.has_algos else None,
            source=source,
            asked=sight.asked,
            again_s=max(every_s, AGAIN_S),
            at=position.updated * NS_PER_MS or None,
        )


def flatten(before: PositionSeen, asked: int, source: Source, every_s: float) -> PositionSeen:
    """Return a position that is not listed any more."""
    return PositionSeen(
        account=before.account,
        symbol=before.symbol,
        position_side=before.position_side,
        amount="0",
        source=source,
        asked=asked,
        again_s=max(every_s, AGAIN_S),
    )


def is_older(asked: int, than: int) -> bool:
    """Return whether a reading was asked for before a moment, by a clock that may have been set back."""
    return 0 < than - asked < CONCURRENT_NS


def is_unsafe(seen: PositionSeen) -> bool:
    """Return whether a reading shows a position that its stops do not close whole."""
    return seen.guarded is not None and seen.guarded != seen.amount.removeprefix("-")


def differs(seen: PositionSeen, before: PositionSeen) -> bool:
    """Return whether a position is another than before, its price aside."""
    if (seen.amount, seen.entry_price or before.entry_price) != (before.amount, before.entry_price):
        return True
    return seen.exits is not None and (seen.exits, seen.guarded) != (before.exits, before.guarded)


def is_same(update: ExchangeUpdate, before: ExchangeUpdate) -> bool:
    """Return whether an order is as it was, wherever that was learnt."""
    return copy_of(update, source=before.source, at=before.at) == before


def copy_of(update: ExchangeUpdate, **changes: Any) -> ExchangeUpdate:
    """Return an update with other fields."""
    fields = {name: getattr(update, name) for name in update.__struct_fields__}
    return ExchangeUpdate(**{**fields, **changes})


def update_of(order: OpenOrder, account: str | None, source: Source) -> ExchangeUpdate:
    """Return the update that says that an order rests."""
    fields = {
        name: getattr(order, name)
        for name in ("type", "side", "position_side", "close_position", "reduce_only")
    }
    return ExchangeUpdate(
        account=account,
        symbol=order.symbol,
        side=order.side,
        position_side=order.position_side,
        store=order.store,
        status="NEW",
        type=order.type,
        kind=kind_of(fields) or "unknown",
        quantity=None if order.quantity is None or order.close_position else plain(order.quantity),
        trigger=None if order.trigger is None else plain(order.trigger),
        price=None if order.price is None else plain(order.price),
        order_id=order.order_id,
        algo_id=order.algo_id,
        client_order_id=order.client_order_id,
        source=source,
    )
