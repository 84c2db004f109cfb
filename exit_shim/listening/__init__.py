"""The account's user data stream: what events say of exits and positions, and a thread that hears them."""

from exit_shim.listening.events import Gap, Over, Rests, Sized, learned, take_in
from exit_shim.listening.listener import LISTEN, Listener, StreamError, why_not

__all__ = [
    "LISTEN",
    "Gap",
    "Listener",
    "Over",
    "Rests",
    "Sized",
    "StreamError",
    "learned",
    "take_in",
    "why_not",
]
