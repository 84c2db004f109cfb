"""Keep the book right: the user data stream, the exchange poller, and other processes."""

from exit_shim.feeds.stream_events import Gap, Over, Rests, Sized, learned, symbol_in, take_in
from exit_shim.feeds.stream_listener import StreamError, StreamListener
from exit_shim.feeds.user_stream import LISTEN, BookListener, UserStreamListener, why_not

__all__ = [
    "LISTEN",
    "BookListener",
    "Gap",
    "Over",
    "Rests",
    "Sized",
    "StreamError",
    "StreamListener",
    "UserStreamListener",
    "learned",
    "symbol_in",
    "take_in",
    "why_not",
]
