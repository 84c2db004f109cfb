"""Watch a local exchange for positions that no stop guards, at each change that it makes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Final

from exit_shim.domain.orders import PROTECTIVE_TYPES, closes_hedge_side
from exit_shim.exchange.engine.algo import TRAILING, AlgoOrder
from exit_shim.exchange.engine.events import AccountEvent, AlgoEvent, Event, OrderEvent, TradeEvent
from exit_shim.exchange.engine.positions import Position
from exit_shim.exchange.server import LocalExchange

if TYPE_CHECKING:
    from typing_extensions import Self

FIRING: Final = frozenset({"TRIGGERING", "TRIGGERED"})
"""The statuses of a stop that is about to close the position."""


@dataclass
class BareSpell:
    """A time in which no stop guarded a position.

    Attributes:
        symbol: The symbol.
        side: LONG or SHORT.
        amount: How much was held when it began, without the sign.
        last_stop: The stop that guarded it last; None where it never had one.
        began_ns: When it began, in nanoseconds since the epoch.
        end: How it ended: "covered" by a stop, "closed" with the position; None while it lasts.
    """

    symbol: str
    side: str
    amount: Decimal
    last_stop: AlgoOrder | None
    began_ns: int
    end: str | None = None

    @property
    def is_opening(self) -> bool:
        """Whether it is the time until a position that was just opened got its first stop."""
        return self.last_stop is None and self.end == "covered"


@dataclass
class _OpenPosition:
    """An open position, the stops that guarded it last, and its spell without any."""

    is_long: bool
    stops: list[AlgoOrder] = field(default_factory=list)
    spell: BareSpell | None = None


class CoverWatch:
    """Look at every position of a local exchange whenever something changes there.

    Args:
        exchange: The exchange; it may run in threads of its own.

    Attributes:
        spells: Every time in which a position had no stop, the first one first.
        symbols: The symbols that had a position.
    """

    def __init__(self, exchange: LocalExchange) -> None:
        self.spells: list[BareSpell] = []
        self.symbols: set[str] = set()
        self._exchange = exchange
        self._open: dict[tuple[str, str], _OpenPosition] = {}

    def __enter__(self) -> Self:
        engine = self._exchange.engine
        with self._exchange.lock:
            engine.feed.listeners.append(self._on_event)
            for position in engine.state.open_positions():
                self._look_at(position)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._exchange.lock:
            self._exchange.engine.feed.listeners.remove(self._on_event)

    def bare_spells(self, symbol: str) -> list[BareSpell]:
        """Return the spells of a symbol, but for the moment between an opening and the first stop."""
        with self._exchange.lock:
            self._exchange.engine.run_due()
            return [spell for spell in self.spells if spell.symbol == symbol and not spell.is_opening]

    @property
    def traded(self) -> list[str]:
        """The symbols that trade at the exchange."""
        return list(self._exchange.engine.state.symbols)

    def _on_event(self, event: Event) -> None:
        """Look at the positions that an event is about; the exchange's lock is held."""
        for symbol in symbols_of(event):
            for side in ("BOTH", "LONG", "SHORT"):
                self._look_at(self._exchange.engine.state.position(symbol, side))

    def _look_at(self, position: Position) -> None:
        key, is_long = (position.symbol, position.side), position.amount > 0
        held = self._open.get(key)
        if held is not None and (not position.amount or held.is_long != is_long):
            self._end_spell(held, "closed")
            del self._open[key]
            held = None
        if not position.amount:
            return
        if held is None:
            held = self._open[key] = _OpenPosition(is_long)
            self.symbols.add(position.symbol)
        stops = list(self._stops_of(position, held))
        if stops:
            held.stops = stops
            self._end_spell(held, "covered")
        elif held.spell is None:
            self._begin_spell(position, held)

    def _stops_of(self, position: Position, held: _OpenPosition) -> Iterator[AlgoOrder]:
        """Yield the stops that guard a position now, those that fire at this moment included."""
        for algo in self._exchange.engine.open_algos(position.symbol):
            if guards(algo, position):
                yield algo
        for algo in held.stops:
            if algo.status in FIRING:
                child = self._exchange.engine.child_of(algo)
                if child is None or child.is_open:
                    yield algo

    def _begin_spell(self, position: Position, held: _OpenPosition) -> None:
        held.spell = BareSpell(
            position.symbol,
            "LONG" if held.is_long else "SHORT",
            abs(position.amount),
            held.stops[-1] if held.stops else None,
            time.time_ns(),
        )
        self.spells.append(held.spell)

    @staticmethod
    def _end_spell(held: _OpenPosition, end: str) -> None:
        if held.spell is not None:
            held.spell.end, held.spell = end, None


def guards(algo: AlgoOrder, position: Position) -> bool:
    """Return whether a waiting order is a stop that watches the price and can only reduce a position."""
    reduces = algo.close_position or algo.reduce_only or closes_hedge_side(algo.side, algo.position_side)
    return (
        algo.type in PROTECTIVE_TYPES
        and algo.side == ("SELL" if position.amount > 0 else "BUY")
        and algo.position_side == position.side
        and reduces
        and (algo.type != TRAILING or algo.activated)
    )


def symbols_of(event: Event) -> set[str]:
    """Return the symbols whose positions or stops an event may have changed."""
    if isinstance(event, OrderEvent | TradeEvent):
        return {event.order.symbol}
    if isinstance(event, AlgoEvent):
        return {event.algo.symbol}
    if isinstance(event, AccountEvent):
        return {row.position.symbol for row in event.positions}
    return set()
