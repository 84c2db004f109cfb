"""The account's user data stream: what events say of exits and positions, and a thread that hears them."""

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
