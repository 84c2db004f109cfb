"""Tell each trouble once, remind of it, and say when it is over. Pure: the clock is an argument."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from exit_shim.alerts.wording import SECOND_NS, duration
from exit_shim.domain.events import AlertSent, AlertStage

REMINDERS_NS: Final = tuple(minutes * 60 * SECOND_NS for minutes in (5, 15, 60))
"""How long after the first message the same trouble is told again."""

SETTLE_S: Final = 15.0
"""How long a trouble must be gone to be over: what comes back sooner is the same episode."""

QUIET_NS: Final = 3_600 * SECOND_NS
"""How long nothing more is sent about what happens again and again."""

MOST_TOLD: Final = 10_000
"""The keys that are remembered of what has no end."""

MOST_AN_HOUR: Final = 20
"""The messages of a kind of what has no end; the digest counts the others."""


class Trouble(NamedTuple):
    """Something that is wrong, and lasts.

    Attributes:
        alert: The kind of alert, as `AlertSent` has it.
        key: What it is about.
        since_ns: Since when, in nanoseconds since the epoch.
        title: The first line of the message.
        text: The rest.
    """

    alert: str
    key: str
    since_ns: int
    title: str
    text: str


class Message(NamedTuple):
    """A message to send; the fields are those of `AlertSent`."""

    alert: str
    key: str
    title: str
    text: str
    stage: AlertStage = "first"
    since: int | None = None


@dataclass
class _Episode:
    """A trouble that somebody was told of.

    Attributes:
        first_ns: When the first message was due.
        since_ns: When the trouble began.
        reminders: How many reminders were due.
    """

    first_ns: int
    since_ns: int
    reminders: int = 0


class Episodes:
    """Decide which troubles to tell of; what was told survives a restart through `remember`.

    Args:
        settle_s: How long a trouble must be gone to be over.
    """

    def __init__(self, settle_s: float = SETTLE_S) -> None:
        self.settle_ns = int(settle_s * SECOND_NS)
        self._open: dict[tuple[str, str], _Episode] = {}
        self._told: dict[tuple[str, str], int] = {}
        self._recent: dict[str, deque[int]] = {}

    def remember(self, sent: Iterable[tuple[int, AlertSent]]) -> None:
        """Take in what was sent before, oldest first, each with its time; what nobody got is not told."""
        for ts, alert in sent:
            key = alert.alert, alert.key
            if alert.stage == "over":
                self._open.pop(key, None)
            elif not alert.to:
                continue
            elif alert.since is None:
                self._note_told(key, ts)
            elif key in self._open and alert.stage == "reminder":
                self._open[key].reminders += 1
            else:
                # Nobody got the first message if a reminder is the first that is known.
                self._open.setdefault(key, _Episode(ts, alert.since))

    def open_keys(self, alert: str) -> list[str]:
        """Return what the open episodes of a kind are about."""
        return [key for kind, key in self._open if kind == alert]

    def is_due(self, alert: str, key: str, now_ns: int) -> bool:
        """Return whether there would be a message if the trouble holds now."""
        episode = self._open.get((alert, key))
        if episode is None:
            return True
        past = sum(now_ns - episode.first_ns >= after for after in REMINDERS_NS)
        return past > episode.reminders

    def hold(self, trouble: Trouble, now_ns: int) -> Message | None:
        """Note that a trouble holds; return the first message or a reminder where one is due."""
        alert, key, since_ns, title, text = trouble
        if not self.is_due(alert, key, now_ns):
            return None
        episode = self._open.get((alert, key))
        if episode is None:
            self._open[alert, key] = _Episode(now_ns, since_ns)
            return Message(alert, key, title, text, "first", since_ns)
        # One that comes late, after a restart, stands for those before it.
        episode.reminders = sum(now_ns - episode.first_ns >= after for after in REMINDERS_NS)
        for_s = duration(now_ns - episode.since_ns)
        return Message(alert, key, f"still after {for_s}: {title}", text, "reminder", episode.since_ns)

    def end(self, alert: str, key: str, ended_ns: int, title: str, text: str = "") -> Message | None:
        """End an episode; return what says so, None where nobody was told of it.

        Args:
            alert: The kind of alert.
            key: What it is about.
            ended_ns: When the trouble ended.
            title: What is so again, such as "BTCUSDT is covered again".
            text: The rest of the message.
        """
        episode = self._open.pop((alert, key), None)
        if episode is None:
            return None
        after = duration(ended_ns - episode.since_ns)
        return Message(alert, key, f"{title} after {after}", text, "over", episode.since_ns)

    def tell_once(self, message: Message, now_ns: int, quiet_ns: int = QUIET_NS) -> Message | None:
        """Return a message unless the same was told a short while ago, or too many of its kind."""
        key = message.alert, message.key
        told_ns = self._told.get(key)
        if told_ns is not None and now_ns - told_ns < quiet_ns:
            return None
        self._note_told(key, now_ns)
        return message if self._has_room(message.alert, now_ns) else None

    def last_told(self, alert: str, key: str) -> int | None:
        """Return when something that has no end was told last."""
        return self._told.get((alert, key))

    def _has_room(self, alert: str, now_ns: int) -> bool:
        """Count a message of a kind; return whether it is not one too many within the hour."""
        recent = self._recent.setdefault(alert, deque(maxlen=MOST_AN_HOUR))
        if len(recent) == MOST_AN_HOUR and now_ns - recent[0] < QUIET_NS:
            return False
        recent.append(now_ns)
        return True

    def _note_told(self, key: tuple[str, str], ts: int) -> None:
        self._told.pop(key, None)
        self._told[key] = ts
        while len(self._told) > MOST_TOLD:
            del self._told[next(iter(self._told))]
