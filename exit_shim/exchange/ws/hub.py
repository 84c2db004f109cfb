"""Events of the exchange, from any thread, on their way to the connections in the event loop."""

from __future__ import annotations

import asyncio
import itertools
from functools import partial

import msgspec

from exit_shim.exchange.engine.errors import ExchangeError
from exit_shim.exchange.engine.events import AlgoEvent, Event, MarketEvent
from exit_shim.exchange.http.service import ExchangeService

from . import user_stream
from .addresses import StreamAddress, StreamMarket
from .commands import run_command
from .connection import StreamConnection
from .market_feed import MarketFeed
from .message_queue import MessageQueue
from .stream_names import Stream
from .subscriptions import admit

#: Seconds between two looks at the clock while anybody is connected: the shortest pause of a stream.
TICK = 0.1
#: A connection ends after 24 hours (Binance documentation, WebSocket connections).
LONGEST_LIFE = 24 * 60 * 60 * 1000


class StreamHub:
    """Connect the engines, which emit events in any thread, with every stream connection.

    It listens to them only while somebody is connected. Events are rendered and queued under the
    lock of the exchange, by the thread that caused them, so every connection sees them in one order.
    """

    def __init__(self, service: ExchangeService) -> None:
        self._service = service
        self._connections: list[StreamConnection] = []
        self._numbers = itertools.count(1)
        self._ticking: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._alarm: asyncio.TimerHandle | None = None
        # Spot has the prices of USDⓈ-M.
        main = coin = MarketFeed(service.engine, service.faults)
        if service.gate.coin is not None:
            coin = MarketFeed(service.gate.coin, service.faults)
        self._feeds = {StreamMarket.USD_M: main, StreamMarket.SPOT: main, StreamMarket.COIN_M: coin}
        self._listeners = {feed: partial(self._on_event, feed) for feed in self._feeds.values()}

    def connect(self, address: StreamAddress, queue: MessageQueue) -> StreamConnection:
        """Add a client, whose queue fills from now on."""
        service = self._service
        with service.lock:
            name = f"{address.route or 'legacy'}#{next(self._numbers)}"
            connection = StreamConnection(name, address, queue, service.engine.now())
            if not self._connections:
                for feed, listener in self._listeners.items():
                    feed.engine.feed.listeners.append(listener)
            self._connections.append(connection)
            self._subscribe(connection, list(connection.names))
        if self._ticking is None:
            self._loop = asyncio.get_running_loop()
            self._ticking = asyncio.create_task(self._tick())
        return connection

    def disconnect(self, connection: StreamConnection) -> None:
        """Remove a client."""
        with self._service.lock:
            self._connections.remove(connection)
            self._unsubscribe(connection, list(connection.names))
            if not self._connections:
                for feed, listener in self._listeners.items():
                    feed.engine.feed.listeners.remove(listener)
        if not self._connections and self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None
            self._stop_alarm()

    def handle_message(self, connection: StreamConnection, message: str) -> None:
        """Answer a message of a client on its stream connection."""
        with self._service.lock:
            before = list(connection.names)
            answer, new = run_command(connection, message)
            self._unsubscribe(connection, [name for name in before if name not in connection.names])
            self._subscribe(connection, new, answer)

    def _subscribe(
        self, connection: StreamConnection, names: list[str], answer: dict[str, object] | None = None
    ) -> None:
        """Feed new streams, after `answer` or the errors of those that are refused."""
        feed = self._feeds[connection.address.market]
        feed.engine.run_due()
        log = self._service.gate.unanswered
        admitted = [admit(feed.engine, log, connection, name) for name in names]
        answers: list[dict[str, object]] = [
            {"error": error.payload(), "id": None if answer is None else answer.get("id")}
            for error in admitted
            if isinstance(error, ExchangeError)
        ]
        if answer is not None:
            # A request has one answer: the first error, if any.
            answers = [*answers, answer][:1]
        for each in answers:
            connection.queue.put(msgspec.json.encode(each).decode())
        for stream in admitted:
            if isinstance(stream, Stream):
                feed.watch(connection, stream)

    def _unsubscribe(self, connection: StreamConnection, names: list[str]) -> None:
        feed = self._feeds[connection.address.market]
        for name in names:
            feed.unwatch(connection, name)

    def _on_event(self, feed: MarketFeed, event: Event) -> None:
        """Publish an event of an engine; called under the lock, in the thread that caused it."""
        service = self._service
        try:
            feed.handle(event)
            if not isinstance(event, MarketEvent):
                connections = [each for each in self._connections if self._feeds[each.address.market] is feed]
                user_stream.publish(feed.engine, service.faults, connections, event)
            if isinstance(event, AlgoEvent) and self._loop is not None:
                # The steps of a trigger are milliseconds apart, a tick is longer than all of them.
                self._loop.call_soon_threadsafe(self._set_alarm)
        except Exception as fault:  # noqa: BLE001 - a bug in telling must not undo what has happened
            service.gate.internal_errors.append(fault)

    def _set_alarm(self) -> None:
        """Wake up when the exchange next does something by itself, if that is before the next tick."""
        self._stop_alarm()
        engine = self._service.engine
        with self._service.lock:
            due, now = engine.next_due, engine.now()
        if self._ticking is not None and due is not None and due - now < TICK * 1000:
            self._alarm = asyncio.get_running_loop().call_later(max(0, due - now) / 1000, self._ring)

    def _ring(self) -> None:
        engine = self._service.engine
        with self._service.lock:
            before = engine.next_due
            engine.run_due()
        # A clock that a test holds still is looked at again by the next tick.
        if engine.next_due != before:
            self._set_alarm()

    def _stop_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            with self._service.lock:
                for feed in self._listeners:
                    feed.engine.run_due()
                for feed in self._listeners:
                    self._send_due(feed)
                self._end_old_connections()

    def _send_due(self, feed: MarketFeed) -> None:
        try:
            feed.run_due()
        except Exception as fault:  # noqa: BLE001 - a bug in one event must not end all others
            self._service.gate.internal_errors.append(fault)

    def _end_old_connections(self) -> None:
        now = self._service.engine.now()
        for connection in self._connections:
            if now - connection.since >= LONGEST_LIFE:
                connection.queue.close()
