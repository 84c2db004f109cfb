"""Events of the exchange, from any thread, on their way to the connections in the event loop."""

from __future__ import annotations

import asyncio
import itertools

import msgspec

from exit_shim.exchange.engine.events import AlgoEvent, Event, QuoteEvent
from exit_shim.exchange.http.service import ExchangeService

from . import market_streams, user_stream
from .addresses import StreamAddress
from .commands import run_command
from .connection import StreamConnection
from .message_queue import MessageQueue

#: Seconds between two looks at the clock while anybody is connected.
TICK = 0.25
#: Ticks between two steps of a market that walks when it is asked.
TICKS_PER_STEP = 4
#: A connection ends after 24 hours (Binance documentation, WebSocket connections).
LONGEST_LIFE = 24 * 60 * 60 * 1000


class StreamHub:
    """Connect the engine, which emits events in any thread, with every stream connection.

    It listens to the engine only while somebody is connected. Events are rendered and queued under the
    lock of the exchange, by the thread that caused them, so every connection sees them in one order.
    """

    def __init__(self, service: ExchangeService) -> None:
        self._service = service
        self._connections: list[StreamConnection] = []
        self._numbers = itertools.count(1)
        self._ticking: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._alarm: asyncio.TimerHandle | None = None

    def connect(self, address: StreamAddress, queue: MessageQueue) -> StreamConnection:
        """Add a client, whose queue fills from now on."""
        service = self._service
        with service.lock:
            name = f"{address.route or 'legacy'}#{next(self._numbers)}"
            connection = StreamConnection(name, address, queue, service.engine.now())
            if not self._connections:
                service.engine.feed.listeners.append(self._on_event)
            self._connections.append(connection)
            market_streams.send_current_prices(service.engine, service.faults, connection, connection.names)
        if self._ticking is None:
            self._loop = asyncio.get_running_loop()
            self._ticking = asyncio.create_task(self._tick())
        return connection

    def disconnect(self, connection: StreamConnection) -> None:
        """Remove a client."""
        with self._service.lock:
            self._connections.remove(connection)
            if not self._connections:
                self._service.engine.feed.listeners.remove(self._on_event)
        if not self._connections and self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None
            self._stop_alarm()

    def handle_message(self, connection: StreamConnection, message: str) -> None:
        """Answer a message of a client on its stream connection."""
        service = self._service
        with service.lock:
            answer, new = run_command(connection, message)
            connection.queue.put(msgspec.json.encode(answer).decode())
            market_streams.send_current_prices(service.engine, service.faults, connection, new)

    def _on_event(self, event: Event) -> None:
        """Publish an event of the engine; called under the lock, in the thread that caused it."""
        service = self._service
        try:
            if isinstance(event, QuoteEvent):
                market_streams.publish(service.engine, service.faults, self._connections, event)
            else:
                user_stream.publish(service.engine, service.faults, self._connections, event)
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
        for count in itertools.count(1):
            await asyncio.sleep(TICK)
            with self._service.lock:
                self._service.engine.run_due()
                if count % TICKS_PER_STEP == 0:
                    self._step()
                self._end_old_connections()

    def _step(self) -> None:
        """Ask for the watched prices, which production repeats: a walking market steps."""
        engine = self._service.engine
        watched = {
            symbol
            for connection in self._connections
            for symbol in market_streams.list_watched(engine, connection, connection.names)
        }
        for symbol in sorted(watched):
            engine.ask_price(symbol)

    def _end_old_connections(self) -> None:
        now = self._service.engine.now()
        for connection in self._connections:
            if now - connection.since >= LONGEST_LIFE:
                connection.queue.close()
