"""Keep the book right: the user data stream, the exchange poller, and other processes."""

from exit_shim.feeds.stream_events import Gap, Over, Rests, Sized, learned, take_in
from exit_shim.feeds.user_stream import LISTEN, StreamError, UserStreamListener, why_not

__all__ = [
    "LISTEN",
    "Gap",
    "Over",
    "Rests",
    "Sized",
    "StreamError",
    "UserStreamListener",
    "learned",
    "take_in",
    "why_not",
]
