"""Messages of what has no end that nobody got: when to send each again. Pure: the clock is an argument."""

from typing import Final

from exit_shim.alerts.episodes import Message, pause_ns
from exit_shim.alerts.wording import SECOND_NS

TRY_NS: Final = 3_600 * SECOND_NS
"""How long a message is tried."""

MOST_UNSENT: Final = 100
"""The messages that are kept; the oldest go first."""


class Retries:
    """Keep the messages that no service took, and hand each out again a while later."""

    def __init__(self) -> None:
        # When each failed first, how often it did, and when it is due.
        self._unsent: dict[Message, tuple[int, int, int]] = {}

    def note(self, message: Message, now_ns: int) -> None:
        """Note that no service took a message."""
        first_ns, failures, _ = self._unsent.pop(message, (now_ns, 0, 0))
        if 0 <= now_ns - first_ns < TRY_NS:
            self._unsent[message] = first_ns, failures + 1, now_ns + pause_ns(failures + 1)
        while len(self._unsent) > MOST_UNSENT:
            del self._unsent[next(iter(self._unsent))]

    def forget(self, message: Message) -> None:
        """Note that a service took a message."""
        self._unsent.pop(message, None)

    def take_due(self, now_ns: int) -> list[Message]:
        """Return the messages to send again now."""
        due = [message for message, (_, _, due_ns) in self._unsent.items() if now_ns >= due_ns]
        for message in due:
            first_ns, failures, _ = self._unsent[message]
            # Until it is known what became of it.
            self._unsent[message] = first_ns, failures, now_ns + TRY_NS
        return due
