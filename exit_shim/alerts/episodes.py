"""Tell each trouble once, remind of it, and say when it is over. Pure: the clock is an argument."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from exit_shim.alerts.wording import SECOND_NS, duration
from exit_shim.domain.events import AlertSent, AlertStage

REMINDERS_NS: Final = tuple(minutes * 60 * SECOND_NS for minutes in (5, 15, 60))
"""How long after the first message the same trouble is reported again."""

SETTLE_S: Final = 15.0
"""How long a trouble must be gone to be over: what comes back sooner is the same episode."""

QUIET_NS: Final = 3_600 * SECOND_NS
"""How long nothing more is sent about what happens again and again."""

MOST_BEGUN: Final = 3
"""The first messages within an hour about the same; the last of them says that it happens again and again."""

MOST_TOLD: Final = 10_000
"""The keys that are remembered of what has no end."""

MOST_AN_HOUR: Final = 20
"""The messages of a kind of what has no end; the digest counts the others."""


RETRY_NS: Final = 30 * SECOND_NS
LONGEST_RETRY_NS: Final = 600 * SECOND_NS
"""How long after a message that no service took it is due again; twice as long each time, up to this."""


AGAIN_AND_AGAIN: Final = (
    "more: it began three times within an hour; until it is rarer, only what lasts for 5 minutes is "
    "reported, and the digest counts the rest"
)


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
        is_told: Whether a message was due; of what happens again and again only reminders are.
    """

    first_ns: int
    since_ns: int
    reminders: int = 0
    is_told: bool = True


def pause_ns(failures: int) -> int:
    """Return how long to wait with a message that no service took so many times."""
    return int(min(RETRY_NS << min(failures - 1, 10), LONGEST_RETRY_NS))


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
        # When the last episodes of each key began.
        self._begun: dict[tuple[str, str], deque[int]] = {}
        # How often the services did not take what was due, and until when nothing is.
        self._failed: dict[tuple[str, str], tuple[int, int]] = {}

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
                self._count(key, ts)

    def set_back(self, now_ns: int) -> None:
        """Take it that the clock was set back to a moment: what was told was told by then."""
        for episode in self._open.values():
            episode.first_ns = min(episode.first_ns, now_ns)
        self._told = {key: min(told_ns, now_ns) for key, told_ns in self._told.items()}
        for recent in (*self._recent.values(), *self._begun.values()):
            earlier = [min(told_ns, now_ns) for told_ns in recent]
            recent.clear()
            recent.extend(earlier)

    def open_keys(self, alert: str) -> list[str]:
        """Return what the open episodes of a kind are about."""
        return [key for kind, key in self._open if kind == alert]

    def is_due(self, alert: str, key: str, now_ns: int) -> bool:
        """Return whether there would be a message if the trouble holds now."""
        episode = self._open.get((alert, key))
        _, until_ns = self._failed.get((alert, key), (0, 0))
        if 0 < until_ns - now_ns <= LONGEST_RETRY_NS:
            return False
        if episode is None:
            return True
        past = sum(now_ns - episode.first_ns >= after for after in REMINDERS_NS)
        return past > episode.reminders

    def hold(self, trouble: Trouble, now_ns: int) -> Message | None:
        """Note that a trouble holds; return the first message or a reminder where one is due."""
        alert, key, _, title, text = trouble
        if not self.is_due(alert, key, now_ns):
            return None
        episode = self._open.get((alert, key))
        if episode is None:
            return self._begin(trouble, now_ns)
        # One that comes late, after a restart, stands for those before it.
        episode.reminders = sum(now_ns - episode.first_ns >= after for after in REMINDERS_NS)
        episode.is_told = True
        for_s = duration(now_ns - episode.since_ns)
        return Message(alert, key, f"still after {for_s}: {title}", text, "reminder", episode.since_ns)

    def _begin(self, trouble: Trouble, now_ns: int) -> Message | None:
        """Begin an episode; return its message, None where the same began too often lately."""
        alert, key, since_ns, title, text = trouble
        before = self._count((alert, key), now_ns)
        is_told = before < MOST_BEGUN
        self._open[alert, key] = _Episode(now_ns, since_ns, is_told=is_told)
        if before == MOST_BEGUN - 1:
            title = f"again and again: {title}"
            text += f"\n{AGAIN_AND_AGAIN}"
        return Message(alert, key, title, text, "first", since_ns) if is_told else None

    def _count(self, key: tuple[str, str], now_ns: int) -> int:
        """Note that an episode begins; return how many of the same began within the hour before."""
        begun = self._begun.pop(key, deque(maxlen=MOST_BEGUN))
        before = sum(now_ns - at < QUIET_NS for at in begun)
        begun.append(now_ns)
        self._begun[key] = begun
        while len(self._begun) > MOST_TOLD:
            del self._begun[next(iter(self._begun))]
        return before

    def untell(self, message: Message, now_ns: int) -> None:
        """Note that nobody got a message: if the trouble lasts it is due again, a while later."""
        key = message.alert, message.key
        episode = self._open.get(key)
        if message.stage == "over" or episode is None or episode.since_ns != message.since:
            return
        if message.stage == "reminder":
            episode.reminders -= 1
        else:
            del self._open[key]
            # It begins once more when it is due.
            if self._begun.get(key):
                self._begun[key].pop()
        failures = self._failed.get(key, (0, 0))[0] + 1
        self._failed[key] = failures, now_ns + pause_ns(failures)

    def confirm(self, message: Message) -> None:
        """Note that somebody got a message."""
        self._failed.pop((message.alert, message.key), None)

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
        self._failed.pop((alert, key), None)
        if episode is None or not episode.is_told:
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
