"""Listen to a WebSocket stream of the exchange on a thread, through python-binance's own socket."""

import asyncio
import contextlib
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, NamedTuple

from exit_shim.clients.support import ClientClone
from exit_shim.runtime.scrubbing import describe, secrets_of
from exit_shim.runtime.service import Service

CONNECT_S: Final = 20.0
LEAVE_S: Final = 1.0
GLANCE_S: Final = 0.5
"""How often a quiet thread looks whether it is still wanted and connected."""

PAUSES_S: Final = (1.0, 60.0)
"""The pause between two connections: the first, and the longest; it doubles after each short connection."""

STEADY_S: Final = 60.0
"""How long a connection lasts that counts as one that works."""

MOST_WAITING: Final = 10_000
"""Events that may wait to be heard; python-binance ends a socket at 100, which a cancel-all can reach."""


class StreamError(Exception):
    """Say that a stream is not available, and what to do."""


class StreamSource(NamedTuple):
    """Hold what a connection needs; it outlives the listener by a moment.

    Attributes:
        what: The stream in words.
        clone: The client to listen with.
        address: Where the stream is; None: python-binance's own choice.
        open_socket: Returns the library's socket, not connected yet.
    """

    what: str
    clone: ClientClone
    address: str | None
    open_socket: Callable[[ClientClone, Any, str | None], Any]


class StreamListener(Service):
    """Base of those who listen to one stream, until stopped or dropped.

    It uses a client of its own. After each connection events were missed, which `connected` is there for.
    After a `fork` the child has no listener.

    Args:
        clone: The client to listen with.
        address: Where the stream is, such as "wss://fstream.binance.com/"; None: python-binance's own choice.
        on_trouble: Called when the stream is not available, once until it was.
    """

    thread_name = "exit-shim-stream"
    # The thread ends in a moment by itself.
    stop_s = 0.0
    what: ClassVar[str]
    """The stream in words."""

    def __init__(
        self, *, clone: ClientClone, address: str | None, on_trouble: Callable[[str, Exception], None]
    ) -> None:
        self._source = StreamSource(self.what, clone, address, self.open_socket)
        self._on_trouble = on_trouble
        self._is_reported = False
        super().__init__()

    @staticmethod
    def open_socket(clone: ClientClone, client: Any, address: str | None) -> Any:
        """Return the library's socket of the stream, not connected yet."""
        raise NotImplementedError

    def connected(self) -> None:
        """Note that events are heard from now on."""
        self._is_reported = False

    def lost(self) -> None:
        """Note that events are not heard any more."""

    def hear(self, event: Mapping[str, Any]) -> bool:
        """Take an event in; return False where the connection has no more to tell."""
        raise NotImplementedError

    def failed(self, error: Exception) -> None:
        """Report that the stream was not available this time, if that is new."""
        if not self._is_reported and not self._stopped.is_set():
            self._is_reported = True
            self._on_trouble(f"listen to the {self.what}", error)

    def renew_after_fork(self) -> None:
        """Stop: the thread is the parent's."""
        super().renew_after_fork()
        self.stop()

    def end_at_exit(self, until: float) -> None:  # noqa: ARG002 - nothing is waited for
        """Stop before the interpreter ends beneath the event loop."""
        self.stop()

    def take_event(self, event: Mapping[str, Any]) -> bool:
        """Take an event in as `hear` does; trouble with it is reported."""
        try:
            return self.hear(event)
        except Exception as error:  # noqa: BLE001 - one event's trouble is not the next one's
            self._on_trouble(f"take in an event of the {self.what}", error)
            return True

    @staticmethod
    def live(owner: "weakref.ref[StreamListener]", stopped: threading.Event) -> None:
        """Make one connection after the other, each with an event loop that ends with it."""
        pause = PAUSES_S[0]
        while not stopped.is_set() and (listener := owner()) is not None:
            # The thread must not keep the listener alive.
            connection = _connection(owner, listener._source, stopped)  # noqa: SLF001 - this class's own thread
            del listener
            began = time.monotonic()
            try:
                asyncio.run(connection)
            except Exception as error:  # noqa: BLE001 - this thread must outlive whatever it meets
                _call(owner, "failed", error)
            pause = PAUSES_S[0] if time.monotonic() - began >= STEADY_S else min(pause * 2, PAUSES_S[1])
            stopped.wait(pause)


async def _connection(
    owner: "weakref.ref[StreamListener]", source: "StreamSource", stopped: threading.Event
) -> None:
    """Listen for as long as one connection holds."""
    # Not for longer: python-binance's own reconnecting would hide the gap.
    client = source.clone.async_client()
    try:
        socket = source.open_socket(source.clone, client, source.address)
        try:
            await asyncio.wait_for(socket.connect(), CONNECT_S)
            await _hear(socket, owner, stopped)
        finally:
            await _leave(socket)
    except Exception as error:  # noqa: BLE001 - raised anew, without credentials
        why = describe(error, secrets_of(client, {}))
        raise StreamError(
            f"the {source.what} at {source.clone.host} is not available ({why}); it is tried again, and the "
            "exchange is polled meanwhile. Check that the API key may be used from this address, and that "
            "WebSockets get through"
        ) from None
    finally:
        await client.session.close()


async def _hear(socket: Any, owner: "weakref.ref[StreamListener]", stopped: threading.Event) -> None:
    connection, receiving = socket.ws, asyncio.ensure_future(socket.recv())
    _call(owner, "connected")
    try:
        while not stopped.is_set() and socket.ws is connection and owner() is not None:
            await asyncio.wait({receiving}, timeout=GLANCE_S)
            if receiving.done():
                # Its read loop has ended; the exception does not say why.
                if receiving.exception() is not None:
                    return
                event = receiving.result()
                receiving = asyncio.ensure_future(socket.recv())
                if not _call(owner, "take_event", event):
                    return
    finally:
        _call(owner, "lost")
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)


def _call(owner: "weakref.ref[StreamListener]", method: str, *args: Any) -> Any:
    # By name: a subclass has its own.
    listener = owner()
    return None if listener is None else getattr(listener, method)(*args)


async def _leave(socket: Any) -> None:
    """Close a socket soon."""
    # Its own `close` alone waits up to ten seconds for the next message.
    closing = asyncio.ensure_future(socket.close())
    await asyncio.sleep(0)
    # Without a connection it is about to make one, which ends with the loop.
    if socket.ws is not None:
        with contextlib.suppress(Exception):
            await asyncio.wait_for(socket.ws.close(), LEAVE_S)
        await asyncio.wait({closing}, timeout=LEAVE_S)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
