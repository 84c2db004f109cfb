"""The thread that follows a record and keeps what the page shows."""

import time
from collections.abc import Callable
from typing import Final, NamedTuple

from exit_shim.journal import JournalError, RecordFilter, RecordSource
from exit_shim.reports.page.broadcast import Broadcast, encode
from exit_shim.reports.page.live_state import LiveState
from exit_shim.reports.page.source_follower import SourceFollower
from exit_shim.reports.page.views import NS_PER_MS, OwnerOf

RETRY_S: Final = 1.0
RESTART_S: Final = 5.0

PAUSE_NS: Final = 1_000_000_000
"""How often it is looked whether the passing of time changed anything."""


class Pulse(NamedTuple):
    """Whether the server itself is up to date.

    Attributes:
        now: The server's time, in milliseconds since the epoch.
        read: When the record was read last.
        last: When the last event happened; 0 for none.
        loading: Whether the record is still being taken up.
        problem: Why the record cannot be read; "" where it can.
    """

    now: int
    read: int
    last: int
    loading: bool
    problem: str


class Watcher:
    """Follow a source: `step` often, and `read_since` for each browser, all on one thread.

    Args:
        source: What to follow.
        wanted: Of this, only symbol, account, host and run count.
        window_ns: How far back the page goes.
        owner_of: Returns who should hold the stops of a symbol in a mode.
        clock_ns: The time, in nanoseconds since the epoch.
    """

    def __init__(
        self,
        source: RecordSource,
        wanted: RecordFilter,
        window_ns: int,
        owner_of: OwnerOf,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._source = source
        self._wanted = wanted
        self._window_ns = window_ns
        self._owner_of = owner_of
        self._clock_ns = clock_ns
        self._follower = SourceFollower(source, wanted.host)
        self._state: LiveState | None = None
        self._broadcast: Broadcast | None = None
        self._retry_at = 0.0
        self._read_ms = 0
        self._published_ns = 0
        self._problem = ""

    @property
    def number(self) -> int:
        """The number of the last change; 0 while the record is being taken up."""
        return 0 if self._broadcast is None else self._broadcast.number

    def step(self) -> bool:
        """Read what is new; return whether a browser has to be told."""
        if time.monotonic() < self._retry_at:
            return False
        before = self._problem
        try:
            has_changed = self._read()
            self._problem, self._read_ms = "", self._clock_ns() // NS_PER_MS
        except (JournalError, OSError) as error:
            has_changed, self._problem = False, str(error)
            self._retry_at = time.monotonic() + RETRY_S
        # One odd event must not blind the page; the record is taken up anew.
        except Exception as error:  # noqa: BLE001
            has_changed, self._problem = False, f"the page failed and begins anew: {type(error).__name__}"
            self._state = self._broadcast = None
            self._retry_at = time.monotonic() + RESTART_S
        return has_changed or self._problem != before

    def pulse(self) -> Pulse:
        """Return whether the server itself is up to date."""
        last = 0 if self._state is None else self._state.last_event_ns // NS_PER_MS
        now = self._clock_ns() // NS_PER_MS
        return Pulse(now, self._read_ms, last, self._broadcast is None, self._problem)

    def beat(self) -> bytes:
        """Return the message that says that all is well, or what is not."""
        return b"event: beat\ndata: %b\n\n" % encode(self.pulse()._asdict())

    def read_since(self, event_id: str | None, key: str) -> tuple[int, str | None, bytes]:
        """Return the number and id that a browser is brought to, and the messages that do so.

        Args:
            event_id: The id of the last message that it has seen.
            key: The position that it shows.
        """
        if self._broadcast is None:
            return 0, event_id, self.beat()
        broadcast = self._broadcast
        return broadcast.number, broadcast.event_id, broadcast.read_since(event_id, key) + self.beat()

    def _read(self) -> bool:
        now = self._clock_ns()
        if self._state is None or self._broadcast is None:
            self._take_up(now)
            return True
        events = self._follower.read_new()
        # Without news only time can change what is shown.
        if not events and now - self._published_ns < PAUSE_NS:
            return False
        self._published_ns = now
        self._state.take(events, now)
        return self._broadcast.publish()

    def _take_up(self, now: int) -> None:
        self._follower.skip_to_end()
        state = LiveState(self._window_ns, self._wanted)
        state.load(self._source, now, self._follower.place_of)
        broadcast = Broadcast(state, self._owner_of, self._source.name, self._window_ns)
        broadcast.publish()
        self._state, self._broadcast = state, broadcast
