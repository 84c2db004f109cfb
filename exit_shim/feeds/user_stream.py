"""Listen to an account's user data stream on a thread, through python-binance's own socket."""

import asyncio
import contextlib
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Final

from exit_shim.clients.support import ClientClone
from exit_shim.feeds.stream_events import take_in
from exit_shim.guard.book import Book
from exit_shim.runtime.scrubbing import describe, secrets_of
from exit_shim.runtime.service import Service

LISTEN: Final = "listen to the user data stream"

CONNECT_S: Final = 20.0
LEAVE_S: Final = 1.0
GLANCE_S: Final = 0.5
"""How often a quiet thread looks whether it is still wanted and connected."""

PAUSES_S: Final = (1.0, 60.0)
"""The pause between two connections: the first, and the longest; it doubles after each short connection."""

STEADY_S: Final = 60.0
"""How long a connection lasts that counts as one that works."""

MOST_WAITING: Final = 10_000
"""Events that may wait for the book; python-binance ends a socket at 100, which a cancel-all can reach."""


class StreamError(Exception):
    """Say that the user data stream is not available, and what to do."""


def why_not(clone: ClientClone | None, address: str | None) -> str | None:
    """Return why a client's stream can never be had; None where it can be tried."""
    if clone is None:
        return "only a genuine python-binance client has one, and this one is not, or does not really send"
    return clone.why_no_user_stream(address)


class UserStreamListener(Service):
    """Feed a book from the user data stream, until stopped or dropped.

    It uses a client of its own, and shares the account's listen key with the bot's own stream; it never
    closes that key. It asks for a look at the exchange after each connection, since earlier events were
    missed. After a `fork` the child has no listener.

    Args:
        book: What to feed.
        clone: The client to listen with.
        account: The account's label, as orders of this client have it.
        address: Where the stream is, such as "wss://fstream.binance.com/"; None: python-binance's own choice.
        look_soon: Asks for a look at the exchange.
        expire: Called at each event with the account and the symbol of which older knowledge is void; None
            for all symbols.
        hears: Called with whether every change is heard from now on.
        on_trouble: Called when the stream is not available, once until it was.
    """

    thread_name = "exit-shim-stream"
    # The thread ends in a moment by itself, and the listen key lives on.
    stop_s = 0.0

    def __init__(  # noqa: PLR0913 - all by name
        self,
        *,
        book: Book,
        clone: ClientClone,
        account: str | None,
        address: str | None,
        look_soon: Callable[[], None],
        expire: Callable[[str | None, str | None], object],
        hears: Callable[..., object],
        on_trouble: Callable[[str, Exception], None],
    ) -> None:
        self._book = book
        self._clone = clone
        self._account = account
        self._address = address
        self._look_soon = look_soon
        self._expire = expire
        self._hears = hears
        self._on_trouble = on_trouble
        self._is_reported = False
        super().__init__()

    def start(self) -> bool:
        """Start to listen; the book counts as unsure until the stream is connected."""
        self._book.trust.lose(self._account, "the user data stream is not connected yet")
        return super().start()

    def stop(self) -> None:
        """Stop listening; the book is as sure as it is without a stream."""
        super().stop()
        self._hears(self._account, is_heard=False)
        self._book.trust.lose(self._account, None)

    def renew_after_fork(self) -> None:
        """Stop: the thread is the parent's."""
        super().renew_after_fork()
        self.stop()

    def end_at_exit(self, until: float) -> None:  # noqa: ARG002 - nothing is waited for
        """Stop before the interpreter ends beneath the event loop."""
        self.stop()

    def connected(self) -> None:
        """Note that events are heard from now on."""
        self._is_reported = False
        self._hears(self._account, is_heard=True)
        self._book.trust.lose(
            self._account, "the exchange was not looked at since the user data stream began"
        )
        self._look_soon()

    def lost(self) -> None:
        """Note that events are not heard any more."""
        self._hears(self._account, is_heard=False)
        if not self._stopped.is_set():
            self._book.trust.lose(self._account, "the user data stream is not connected")

    def failed(self, error: Exception) -> None:
        """Report that the stream was not available this time, if that is new."""
        if not self._is_reported and not self._stopped.is_set():
            self._is_reported = True
            self._on_trouble(LISTEN, error)

    def hear(self, event: Mapping[str, Any]) -> bool:
        """Take an event in; return False where the connection has no more to tell."""
        try:
            return take_in(self._book, self._account, event, self._expire) is None
        except Exception as error:  # noqa: BLE001 - one event's trouble is not the next one's
            self._on_trouble("take in an event of the user data stream", error)
            return True

    @staticmethod
    def live(owner: "weakref.ref[UserStreamListener]", stopped: threading.Event) -> None:
        """Make one connection after the other, each with an event loop that ends with it."""
        pause = PAUSES_S[0]
        while not stopped.is_set() and (listener := owner()) is not None:
            clone, address = listener._clone, listener._address  # noqa: SLF001 - this class's own thread
            # The thread must not keep the listener alive.
            del listener
            began = time.monotonic()
            try:
                asyncio.run(_connection(owner, clone, address, stopped))
            except Exception as error:  # noqa: BLE001 - this thread must outlive whatever it meets
                _call(owner, UserStreamListener.failed, error)
            pause = PAUSES_S[0] if time.monotonic() - began >= STEADY_S else min(pause * 2, PAUSES_S[1])
            stopped.wait(pause)


async def _connection(
    owner: "weakref.ref[UserStreamListener]",
    clone: ClientClone,
    address: str | None,
    stopped: threading.Event,
) -> None:
    """Listen for as long as one connection holds."""
    # Not for longer: python-binance's own reconnecting would hide the gap.
    client = clone.async_client()
    try:
        socket = clone.user_stream(client, address, MOST_WAITING)
        try:
            await asyncio.wait_for(socket.connect(), CONNECT_S)
            await _hear(socket, owner, stopped)
        finally:
            await _leave(socket)
    except Exception as error:  # noqa: BLE001 - raised anew, without credentials
        why = describe(error, secrets_of(client, {}))
        raise StreamError(
            f"the user data stream at {clone.host} is not available ({why}); it is tried again, and the "
            "exchange is polled meanwhile. Check that the API key may be used from this address, and that "
            "WebSockets get through"
        ) from None
    finally:
        await client.session.close()


async def _hear(socket: Any, owner: "weakref.ref[UserStreamListener]", stopped: threading.Event) -> None:
    connection, receiving = socket.ws, asyncio.ensure_future(socket.recv())
    _call(owner, UserStreamListener.connected)
    try:
        while not stopped.is_set() and socket.ws is connection and owner() is not None:
            await asyncio.wait({receiving}, timeout=GLANCE_S)
            if receiving.done():
                # Its read loop has ended; the exception does not say why.
                if receiving.exception() is not None:
                    return
                event = receiving.result()
                receiving = asyncio.ensure_future(socket.recv())
                if not _call(owner, UserStreamListener.hear, event):
                    return
    finally:
        _call(owner, UserStreamListener.lost)
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)


def _call(owner: "weakref.ref[UserStreamListener]", method: Callable[..., Any], *args: Any) -> Any:
    listener = owner()
    return None if listener is None else method(listener, *args)


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
