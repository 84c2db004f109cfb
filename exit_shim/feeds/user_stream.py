"""A thread that listens to an account's user data stream, through python-binance's own socket."""

import asyncio
import atexit
import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Final

from exit_shim.clients.support import ClientClone
from exit_shim.feeds.stream_events import take_in
from exit_shim.guard.book import Book
from exit_shim.runtime.scrubbing import describe, secrets_of

THREAD: Final = "exit-shim-stream"
LISTEN: Final = "listen to the user data stream"

CONNECT_S: Final = 20.0
LEAVE_S: Final = 1.0
GLANCE_S: Final = 0.5
"""How often a thread to which nothing is told looks whether it is still wanted and connected."""

PAUSES_S: Final = (1.0, 60.0)
"""Between two connections: at first, and at most; it doubles each time that one did not last."""

STEADY_S: Final = 60.0
"""A connection that lasted so long is one that works."""

MOST_WAITING: Final = 10_000
"""Events that may wait for the book; python-binance ends a socket at 100, which a cancel-all can reach."""


class StreamError(Exception):
    """The user data stream cannot be had; says what could be done."""


def why_not(clone: ClientClone | None, address: str | None) -> str | None:
    """Why a client's stream can never be had; None: it can be tried."""
    if clone is None:
        return "only a client of python-binance's own has one, and this one is not, or does not really send"
    return clone.why_no_user_stream(address)


class UserStreamListener:
    """Feeds a book from the user data stream, until it is stopped or nobody holds it any more.

    It has a client of its own, asks for the account's listen key, which it shares with the bot's own stream,
    and never closes that. After each connection it has the exchange looked at: what happened before was
    not told. After a `fork` the child has none.

    Args:
        book: What to feed.
        sibling: In whose place to listen.
        account: The account's label, as orders of this client have it.
        address: Where the stream is, such as "wss://fstream.binance.com/"; None: python-binance's own choice.
        look_soon: Has the exchange looked at.
        expire: Told, at each event, of what older knowledge is void: the account, and the symbol or None.
        hears: Told whether everything that changes is heard from now on.
        on_trouble: Told when the stream cannot be had, once until it could.
    """

    def __init__(  # noqa: PLR0913 - all by name: what it must not know it is given
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
        self._is_told = False
        self._stopped = threading.Event()
        _listeners.add(self)

    def start(self) -> None:
        """Begin, in a thread that does not keep the listener alive."""
        self._book.trust.lose(self._account, "the user data stream is not connected yet")
        threading.Thread(
            target=_listen,
            args=(weakref.ref(self), self._clone, self._address, self._stopped),
            name=THREAD,
            daemon=True,
        ).start()

    def stop(self) -> None:
        """Listen no more; the thread ends in a moment, and the listen key lives on."""
        self._stopped.set()
        self._hears(self._account, is_heard=False)
        self._book.trust.lose(self._account, None)

    def forget(self) -> None:
        """In a child after `fork`: the thread is the parent's, and so are the locks that it may hold."""
        self._stopped = threading.Event()
        self.stop()

    def connected(self) -> None:
        """Events are told from now on."""
        self._is_told = False
        self._hears(self._account, is_heard=True)
        self._book.trust.lose(
            self._account, "the exchange was not looked at since the user data stream began"
        )
        self._look_soon()

    def lost(self) -> None:
        """Events are not told any more."""
        self._hears(self._account, is_heard=False)
        if not self._stopped.is_set():
            self._book.trust.lose(self._account, "the user data stream is not connected")

    def failed(self, error: Exception) -> None:
        """The stream could not be had this time."""
        if not self._is_told and not self._stopped.is_set():
            self._is_told = True
            self._on_trouble(LISTEN, error)

    def hear(self, event: Mapping[str, Any]) -> bool:
        """Take an event in; False where the connection is good for no more of them."""
        try:
            return take_in(self._book, self._account, event, self._expire) is None
        except Exception as error:  # noqa: BLE001 - one event's trouble is not the next one's
            self._on_trouble("take in an event of the user data stream", error)
            return True


def _listen(
    watched: "weakref.ref[UserStreamListener]",
    clone: ClientClone,
    address: str | None,
    stopped: threading.Event,
) -> None:
    """The thread: one connection after the other, each with an event loop that ends with it."""
    pause = PAUSES_S[0]
    while not stopped.is_set() and watched() is not None:
        began = time.monotonic()
        try:
            asyncio.run(_connection(watched, clone, address, stopped))
        except Exception as error:  # noqa: BLE001 - this thread must outlive whatever it meets
            if (listener := watched()) is not None:
                listener.failed(error)
            del listener
        pause = PAUSES_S[0] if time.monotonic() - began >= STEADY_S else min(pause * 2, PAUSES_S[1])
        stopped.wait(pause)


async def _connection(
    watched: "weakref.ref[UserStreamListener]",
    clone: ClientClone,
    address: str | None,
    stopped: threading.Event,
) -> None:
    """Listen for as long as one connection holds; python-binance's own reconnecting would hide the gap."""
    client = clone.async_client()
    try:
        socket = clone.user_stream(client, address, MOST_WAITING)
        try:
            await asyncio.wait_for(socket.connect(), CONNECT_S)
            await _hear(socket, watched, stopped)
        finally:
            await _leave(socket)
    except Exception as error:  # noqa: BLE001 - said anew, without credentials
        said = describe(error, secrets_of(client, {}))
        raise StreamError(
            f"the user data stream at {clone.host} cannot be had ({said}); "
            "it is tried again, and the exchange is looked at meanwhile: see that the API key may be used "
            "from this address, and that WebSockets get through"
        ) from None
    finally:
        await client.session.close()


async def _hear(socket: Any, watched: "weakref.ref[UserStreamListener]", stopped: threading.Event) -> None:
    connection, receiving = socket.ws, asyncio.ensure_future(socket.recv())
    _tell(watched, UserStreamListener.connected)
    try:
        while not stopped.is_set() and socket.ws is connection and watched() is not None:
            await asyncio.wait({receiving}, timeout=GLANCE_S)
            if receiving.done():
                if receiving.exception() is not None:  # its read loop has ended; it says no more why
                    return
                event = receiving.result()
                receiving = asyncio.ensure_future(socket.recv())
                if not _tell(watched, UserStreamListener.hear, event):
                    return
    finally:
        _tell(watched, UserStreamListener.lost)
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)


def _tell(watched: "weakref.ref[UserStreamListener]", method: Callable[..., Any], *said: Any) -> Any:
    listener = watched()
    return None if listener is None else method(listener, *said)


async def _leave(socket: Any) -> None:
    """Close a socket; its own `close` alone waits up to ten seconds for its next message."""
    closing = asyncio.ensure_future(socket.close())
    await asyncio.sleep(0)
    if socket.ws is not None:  # else it is about to connect again, which ends with the loop
        with contextlib.suppress(Exception):
            await asyncio.wait_for(socket.ws.close(), LEAVE_S)
        await asyncio.wait({closing}, timeout=LEAVE_S)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)


_listeners: weakref.WeakSet[UserStreamListener] = weakref.WeakSet()


def _stop_all() -> None:
    for listener in list(_listeners):
        listener.stop()


def _forget_all() -> None:
    for listener in list(_listeners):
        listener.forget()


atexit.register(_stop_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
