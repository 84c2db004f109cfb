"""Between the exchange, which tells what happens in any thread, and the connections in the event loop."""

from __future__ import annotations

import asyncio
import itertools

import msgspec

from exit_shim.exchange.engine.events import Event, QuoteEvent
from exit_shim.exchange.http.service import Service

from . import market_streams, user_stream
from .addresses import Address
from .commands import obey
from .connection import Connection
from .outbox import Outbox

#: Seconds between two looks at the clock while anybody is connected.
TICK = 0.25
#: Ticks between two steps of a market that walks when it is asked.
TICKS_PER_STEP = 4
#: A connection ends after 24 hours (Binance documentation, WebSocket connections).
LONGEST_LIFE = 24 * 60 * 60 * 1000


class Hub:
    """Every stream connection of one exchange.

    It listens to the engine only while somebody is connected. Events are rendered and queued under the
    lock of the exchange, by the thread that caused them, so every connection sees them in one order.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._connections: list[Connection] = []
        self._numbers = itertools.count(1)
        self._ticking: asyncio.Task[None] | None = None

    def connect(self, address: Address, outbox: Outbox) -> Connection:
        """Take a client in; from now on its outbox fills."""
        service = self._service
        with service.lock:
            name = f"{address.route or 'legacy'}#{next(self._numbers)}"
            connection = Connection(name, address, outbox, service.engine.now())
            if not self._connections:
                service.engine.feed.listeners.append(self._tell)
            self._connections.append(connection)
            market_streams.greet(service.engine, service.faults, connection, connection.names)
        if self._ticking is None:
            self._ticking = asyncio.create_task(self._tick())
        return connection

    def disconnect(self, connection: Connection) -> None:
        """Let a client go."""
        with self._service.lock:
            self._connections.remove(connection)
            if not self._connections:
                self._service.engine.feed.listeners.remove(self._tell)
        if not self._connections and self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None

    def hear(self, connection: Connection, message: str) -> None:
        """Answer what a client said on its stream connection."""
        service = self._service
        with service.lock:
            answer, new = obey(connection, message)
            connection.outbox.put(msgspec.json.encode(answer).decode())
            market_streams.greet(service.engine, service.faults, connection, new)

    def _tell(self, event: Event) -> None:
        """Hand an event of the engine on; called under the lock, in whatever thread caused it."""
        service = self._service
        try:
            if isinstance(event, QuoteEvent):
                market_streams.publish(service.engine, service.faults, self._connections, event)
            else:
                user_stream.publish(service.engine, service.faults, self._connections, event)
        except Exception as fault:  # noqa: BLE001 - a bug in telling must not undo what has happened
            service.gate.internal_errors.append(fault)

    async def _tick(self) -> None:
        for count in itertools.count(1):
            await asyncio.sleep(TICK)
            with self._service.lock:
                self._service.engine.run_due()
                if count % TICKS_PER_STEP == 0:
                    self._step()
                self._end_the_old()

    def _step(self) -> None:
        """Ask for the watched prices, as the streams of production repeat them: a walking market walks."""
        engine = self._service.engine
        watched = {
            symbol
            for connection in self._connections
            for symbol in market_streams.watched(engine, connection, connection.names)
        }
        for symbol in sorted(watched):
            engine.ask_price(symbol)

    def _end_the_old(self) -> None:
        now = self._service.engine.now()
        for connection in self._connections:
            if now - connection.since >= LONGEST_LIFE:
                connection.outbox.close()
