"""Feed a book from an account's user data stream."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from exit_shim.clients.support import ClientClone
from exit_shim.feeds.stream_events import take_in
from exit_shim.feeds.stream_listener import MOST_WAITING, StreamListener
from exit_shim.guard.book import Book

USER_STREAM: Final = "user data stream"

LISTEN: Final = f"listen to the {USER_STREAM}"


def why_not(clone: ClientClone | None, address: str | None) -> str | None:
    """Return why a client's stream can never be had; None where it can be tried."""
    if clone is None:
        return "only a genuine python-binance client has one, and this one is not, or does not really send"
    return clone.why_no_user_stream(address)


class UserStreamListener(StreamListener):
    """Listen to the user data stream of an account.

    It shares the account's listen key with the bot's own stream, and never closes that key.
    """

    what = USER_STREAM

    @staticmethod
    def open_socket(clone: ClientClone, client: Any, address: str | None) -> Any:
        """Return the library's socket of the stream, not connected yet."""
        return clone.user_stream(client, address, MOST_WAITING)


class BookListener(UserStreamListener):
    """Feed a book from the user data stream; asks for a look at the exchange after each connection.

    Args:
        book: What to feed.
        account: The account's label, as orders of this client have it.
        look_soon: Asks for a look at the exchange.
        expire: Called at each event with the account and the symbol of which older knowledge is void; None
            for all symbols.
        hears: Called with whether every change is heard from now on.
        on_event: Called with each event, after the book.
        clone, address, on_trouble: As `StreamListener` has them.
    """

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
        on_event: Callable[[Mapping[str, Any]], object],
        on_trouble: Callable[[str, Exception], None],
    ) -> None:
        self._book = book
        self._account = account
        self._look_soon = look_soon
        self._expire = expire
        self._hears = hears
        self._on_event = on_event
        super().__init__(clone=clone, address=address, on_trouble=on_trouble)

    def start(self) -> bool:
        """Start to listen; the book counts as unsure until the stream is connected."""
        self._book.trust.lose(self._account, "the user data stream is not connected yet")
        return super().start()

    def stop(self) -> None:
        """Stop listening; the book is as sure as it is without a stream."""
        super().stop()
        self._hears(self._account, is_heard=False)
        self._book.trust.lose(self._account, None)

    def connected(self) -> None:
        """Note that events are heard from now on."""
        super().connected()
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

    def hear(self, event: Mapping[str, Any]) -> bool:
        """Take an event into the book; return False after a gap."""
        gap = take_in(self._book, self._account, event, self._expire)
        self._on_event(event)
        return gap is None
