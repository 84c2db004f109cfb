"""The market streams of one engine: which connection watches which, and when events are sent."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable

import msgspec

from exit_shim.exchange.engine import intervals, market_trades
from exit_shim.exchange.engine.engine import Exchange
from exit_shim.exchange.engine.events import Event, MarketTradeEvent, OrderEvent, QuoteEvent
from exit_shim.exchange.engine.views import futures_streams
from exit_shim.exchange.faults.plan import FaultPlan

from .addresses import StreamMarket
from .connection import StreamConnection
from .depth import DepthWatch
from .payloads import (
    CANDLES,
    DEPTHS,
    LIQUIDATIONS,
    OF_PRICES,
    OF_TRADES,
    TRADES,
    Payload,
    candle_event,
    current_events,
    trade_event,
)
from .stream_names import Stream

#: Closed candles that are sent at most when time has jumped.
_MOST_CLOSED = 1000
#: Symbols of one event of a list: 24 hours of hundreds of symbols take too long at once.
_MOST_ROWS = 120
#: The kinds that do not keep a market walking.
_RARE = LIQUIDATIONS | {"contracts"}


class Watch:
    """A stream that connections watch, and what was sent of it last."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.connections: list[StreamConnection] = []
        #: The symbols that have changed since the last event.
        self.changed: dict[str, None] = {}
        #: When the last event was sent, on the clock of the pauses in seconds.
        self.sent = -math.inf
        #: When it is repeated without a change, by the exchange's clock.
        self.repeats_at: float = math.inf
        #: When the live candle began, for streams of candles.
        self.candle = 0
        self.depth: DepthWatch | None = None


class MarketFeed:
    """Send the market streams of one engine; everything here happens under the exchange's lock.

    Nothing is rendered that nobody watches. A stream sends the first change at once, and later ones when
    its pause is over, together. Pauses pass in real time, closes of candles by the exchange's clock.

    Args:
        engine: the exchange.
        faults: what goes wrong with events.
        clock: the clock of the pauses, in seconds.

    Attributes:
        engine: the exchange.
    """

    def __init__(
        self, engine: Exchange, faults: FaultPlan, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.engine = engine
        self._state = engine.state
        self._faults = faults
        self._clock = clock
        self._watches: dict[tuple[StreamMarket, str], Watch] = {}
        #: By symbol; those of all symbols are under "".
        self._of: dict[str, list[Watch]] = {}
        self._pending: dict[Watch, None] = {}
        self._next_close: float = math.inf
        self._statuses: dict[str, str] = {}

    def watch(self, connection: StreamConnection, stream: Stream) -> None:
        """Add a stream to a connection and send its present state.

        Production repeats most of it within seconds; here it stands still between changes.
        """
        self._follow_state()
        key = stream.market, stream.name
        watch = self._watches.get(key)
        if watch is None:
            watch = self._watches[key] = self._make_watch(stream)
        self._send_pending(watch)
        watch.connections.append(connection)
        self._push(watch, self._first_events(watch), (connection,))
        watch.sent = self._clock()

    def unwatch(self, connection: StreamConnection, name: str) -> None:
        """Remove a stream from a connection; do nothing when it does not watch it."""
        watch = self._watches.get((connection.address.market, name))
        if watch is None or connection not in watch.connections:
            return
        watch.connections.remove(connection)
        if not watch.connections:
            del self._watches[connection.address.market, name]
            self._of[watch.stream.symbol].remove(watch)
            if not self._of[watch.stream.symbol]:
                del self._of[watch.stream.symbol]
            self._pending.pop(watch, None)
            self._note_watched()

    def handle(self, event: Event) -> None:
        """Send the streams that an event of the engine changes."""
        self._follow_state()
        if isinstance(event, QuoteEvent):
            self._close_candles(event.time)
            for watch in self._list_watches(event.symbol, OF_PRICES):
                self._touch(watch, event.symbol)
        elif isinstance(event, MarketTradeEvent):
            self._handle_trade(event)
        elif isinstance(event, OrderEvent) and event.execution == "CALCULATED":
            symbol = self._state.symbols[event.order.symbol]
            for watch in self._list_watches(symbol.name, LIQUIDATIONS):
                self._push(watch, [futures_streams.force_order(symbol, event)])

    def _handle_trade(self, event: MarketTradeEvent) -> None:
        self._close_candles(event.time)
        for watch in self._list_watches(event.symbol, TRADES):
            self._push(watch, [trade_event(self._state, watch.stream, event.trade)])
        for watch in self._list_watches(event.symbol, OF_TRADES):
            self._touch(watch, event.symbol)

    def run_due(self) -> None:
        """Send what is due: closed candles, repeated prices, and changes that waited for the update speed."""
        self._follow_state()
        now = self._state.now
        self._close_candles(now)
        for watch in list(self._pending):
            if self._clock() - watch.sent >= watch.stream.pause:
                self._send_pending(watch)
        for watch in list(self._watches.values()):
            if now >= watch.repeats_at:
                self._send(watch, (watch.stream.symbol,))
        self._send_status_changes()

    def _follow_state(self) -> None:
        """Show another state from now on, where the engine was reset or has loaded one."""
        if self._state is self.engine.state:
            return
        self._state, self._next_close = self.engine.state, math.inf
        for watch in self._watches.values():
            self._time_watch(watch)
            if watch.stream.kind in OF_PRICES:
                watch.changed = dict.fromkeys(self._names_of(watch.stream))
                self._pending[watch] = None
        self._note_watched()

    def _make_watch(self, stream: Stream) -> Watch:
        watch = Watch(stream)
        self._of.setdefault(stream.symbol, []).append(watch)
        self._time_watch(watch)
        if stream.kind in DEPTHS:
            watch.depth = DepthWatch(self._state, stream)
        if stream.kind == "contracts":
            self._statuses = self._list_statuses()
        self._note_watched()
        return watch

    def _time_watch(self, watch: Watch) -> None:
        """Begin with the candle of the present, and count the repeats from there."""
        if watch.stream.kind in CANDLES:
            watch.candle = intervals.start_of(watch.stream.detail, self._state.now)
            self._next_close = min(self._next_close, intervals.end_of(watch.stream.detail, watch.candle))
        self._set_repeat(watch)

    def _names_of(self, stream: Stream) -> list[str]:
        return [stream.symbol] if stream.symbol else list(self._state.symbols)

    def _first_events(self, watch: Watch) -> list[Payload]:
        stream, state = watch.stream, self._state
        if watch.depth is not None:
            return [watch.depth.whole_event(state)]
        if stream.kind in TRADES:
            newest = market_trades.find_newest(state, stream.symbol)
            return [] if newest is None else [trade_event(state, stream, newest)]
        if stream.kind not in OF_PRICES:
            return []
        self._set_repeat(watch)
        return current_events(state, stream, self._take_first(watch, self._names_of(stream)))

    def _take_first(self, watch: Watch, names: list[str]) -> list[str]:
        """Take as many symbols as fit into one event, and leave the others for the next."""
        if watch.stream.kind == "all mark prices" or len(names) <= _MOST_ROWS:
            return names
        watch.changed |= dict.fromkeys(names[_MOST_ROWS:])
        self._pending[watch] = None
        return names[:_MOST_ROWS]

    def _list_watches(self, symbol: str, kinds: frozenset[str]) -> list[Watch]:
        watches = (*self._of.get(symbol, ()), *self._of.get("", ()))
        return [watch for watch in watches if watch.stream.kind in kinds]

    def _touch(self, watch: Watch, symbol: str) -> None:
        watch.changed[symbol] = None
        if watch.stream.pause and self._clock() - watch.sent < watch.stream.pause:
            self._pending[watch] = None
        else:
            self._send_pending(watch)

    def _send_pending(self, watch: Watch) -> None:
        self._pending.pop(watch, None)
        if watch.changed:
            changed, watch.changed = list(watch.changed), {}
            self._send(watch, self._take_first(watch, changed))

    def _send(self, watch: Watch, symbols: Iterable[str]) -> None:
        watch.sent = self._clock()
        self._set_repeat(watch)
        if watch.depth is None:
            self._push(watch, current_events(self._state, watch.stream, symbols))
            return
        event = watch.depth.next_event(self._state)
        if event is not None:
            self._push(watch, [event])

    def _set_repeat(self, watch: Watch) -> None:
        if watch.stream.repeat:
            watch.repeats_at = self._state.now + watch.stream.repeat

    def _close_candles(self, now: int) -> None:
        """Send the candles that have ended, even if nothing moved."""
        if now < self._next_close:
            return
        closes = [math.inf]
        for watch in self._watches.values():
            if watch.stream.kind in CANDLES:
                self._close_candles_of(watch, now)
                closes.append(intervals.end_of(watch.stream.detail, watch.candle))
        self._next_close = min(closes)

    def _close_candles_of(self, watch: Watch, now: int) -> None:
        interval = watch.stream.detail
        closed = []
        while (end := intervals.end_of(interval, watch.candle)) <= now:
            closed.append(watch.candle)
            watch.candle = end
        for start in closed[-_MOST_CLOSED:]:
            self._push(watch, [candle_event(self._state, watch.stream, start)])

    def _send_status_changes(self) -> None:
        watches = [watch for watch in self._of.get("", ()) if watch.stream.kind == "contracts"]
        if not watches:
            return
        before, self._statuses = self._statuses, self._list_statuses()
        for name, status in self._statuses.items():
            if before.get(name) != status:
                event = futures_streams.contract_info(self._state.symbols[name], self._state.now)
                for watch in watches:
                    self._push(watch, [event])

    def _list_statuses(self) -> dict[str, str]:
        return {name: symbol.status for name, symbol in self._state.symbols.items()}

    def _note_watched(self) -> None:
        """Tell the engine which symbols are watched, so that a market walks for them."""
        of_all = any(watch.stream.kind not in _RARE for watch in self._of.get("", ()))
        self._state.watched = set(self._state.symbols if of_all else self._of) - {""}

    def _push(
        self, watch: Watch, payloads: Iterable[Payload], to: Iterable[StreamConnection] | None = None
    ) -> None:
        connections = watch.connections if to is None else to
        for payload in payloads:
            text = msgspec.json.encode(payload).decode()
            first = payload[0] if isinstance(payload, list) else payload
            for connection in connections:
                for _ in range(self._faults.deliver(first, connection.name, self._state.now)):
                    connection.push(watch.stream.name, text)
