"""Read an account for the watch: positions and both order stores, by looks and from its user data stream."""

import threading
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from exit_shim.alerts.bare import Sighting
from exit_shim.alerts.wording import SECOND_NS
from exit_shim.clients.registry import can_be_cloned, clone_client, support_of
from exit_shim.clients.support import ClientClone
from exit_shim.domain.events import Source
from exit_shim.feeds.exchange_log import AGAIN_S, ExchangeLog, Sight
from exit_shim.feeds.stream_events import Gap, learned, plain
from exit_shim.feeds.user_stream import UserStreamListener, why_not
from exit_shim.guard.exchange_snapshot import Snapshot, ask, bare, integer, question, read_snapshot
from exit_shim.reports.lives import PositionName
from exit_shim.runtime.scrubbing import describe, secrets_of

REQUEST_S: Final = 5.0
"""The longest that one of a look's requests takes."""

AT_REST_S: Final = 30.0
"""Seconds between two looks beside a stream that says what happens."""

WHOLE_FROM: Final = 12
"""From so many symbols on a look at the whole account weighs no more than one at each of them."""

LIMITED: Final = frozenset({418, 429})
"""The HTTP statuses with which the exchange limits requests."""

PAUSE_S: Final = 60.0
"""How long the exchange is not asked after it limited requests; asking on would have the address banned."""

CLOCK_NS: Final = 600 * SECOND_NS
"""How often the exchange is asked what time it is."""

NS_PER_MS: Final = 1_000_000


class AccountListener(UserStreamListener):
    """Hand on each event of the user data stream.

    Args:
        on_event: Called with each event, on the stream's thread.
        on_change: Called when the stream begins to be heard, and when it ends.
        clone, address, on_trouble: As `StreamListener` has them.
    """

    def __init__(
        self,
        *,
        on_event: Callable[[Mapping[str, Any]], object],
        on_change: Callable[[bool], object],
        clone: ClientClone,
        address: str | None,
        on_trouble: Callable[[str, Exception], None],
    ) -> None:
        self._on_event = on_event
        self._on_change = on_change
        super().__init__(clone=clone, address=address, on_trouble=on_trouble)

    def connected(self) -> None:
        """Note that events are heard from now on."""
        super().connected()
        self._on_change(True)

    def lost(self) -> None:
        """Note that events are not heard any more."""
        self._on_change(False)

    def hear(self, event: Mapping[str, Any]) -> bool:
        """Hand an event on; return False after a gap."""
        self._on_event(event)
        return not isinstance(learned(event), Gap)


class AccountSight:
    """Look at one account; the looks are for one thread, and nothing is ever sent but reads.

    Args:
        client: A sync client, not wrapped.
        account: The account's label.
        log: Records what is seen.
        source: Who sees it.
        every_s: Seconds between two looks, where no stream tells of changes.
    """

    def __init__(
        self, client: Any, account: str | None, log: ExchangeLog, source: Source, every_s: float
    ) -> None:
        self._client = client
        self.account = account
        self._log = log
        self._source = source
        self._every_s = every_s
        self._listener: AccountListener | None = None
        self._due = 0.0
        self._not_before = 0.0
        self._clock_read_ns = 0
        self.wanted = threading.Event()
        """Set where something was missed, or began: a look is due."""
        self.is_heard = False
        self.offset_ns = 0
        """How far the exchange's clock is ahead of ours."""
        self.open: frozenset[PositionName] | None = None
        """The positions that the last look at the account showed; None before the first."""
        self.read_ns = time.time_ns()
        """When the exchange was read last; at first, when this began."""
        self.problem: str | None = None
        """Why the last look failed; None where it did not."""

    def listen(self, on_trouble: Callable[[str, Exception], None], address: str | None = None) -> str | None:
        """Listen to the user data stream from now on; return why that cannot be, None where it can.

        Args:
            on_trouble: Called where the stream is not available, once until it was.
            address: Where the stream is; None: python-binance's own choice.
        """
        clone = clone_client(self._client) if can_be_cloned(self._client) else None
        why = why_not(clone, address)
        if why is not None or clone is None:
            return why
        self._listener = AccountListener(
            on_event=self._take_event,
            on_change=self._note_heard,
            clone=clone,
            address=address,
            on_trouble=on_trouble,
        )
        self._listener.start()
        return None

    def stop(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            self._listener.stop()

    @property
    def can_list_stops(self) -> bool:
        """Whether the client lists the stops of the Algo Service; without them no position is surely bare."""
        return question(self._client, "algos", None) is not None

    @property
    def every_s(self) -> float:
        """Seconds between two looks as things are."""
        return max(self._every_s, AT_REST_S) if self.is_heard else self._every_s

    def set_back(self, now_ns: int) -> None:
        """Take it that the clock was set back to a moment: what was read was read by then."""
        self.read_ns = min(self.read_ns, now_ns)
        self._clock_read_ns = 0

    def look_if_due(self) -> bool:
        """Look at the whole account if it is time; return whether that was done, and worked."""
        now = time.monotonic()
        if (now < self._due and not self.wanted.is_set()) or now < self._not_before:
            return False
        self.wanted.clear()
        self._due = now + self.every_s
        snapshot = self._look(None)
        if snapshot is None:
            self._due = self._not_before
            return False
        self.open = frozenset(self._name(held.symbol, held.position_side) for held in snapshot.positions)
        self._read_clock()
        return True

    def see(self, names: list[PositionName]) -> dict[PositionName, Sighting]:
        """Ask about positions once more; those that could not be asked about are missing."""
        seen: dict[PositionName, Sighting] = {}
        if not self.can_list_stops:
            return seen
        symbols = list(dict.fromkeys(name.symbol for name in names))
        for symbol in symbols if len(symbols) < WHOLE_FROM else [None]:
            is_paused = time.monotonic() < self._not_before
            snapshot = None if is_paused else self._look(symbol, is_asked=True)
            if snapshot is not None:
                shown = (name for name in names if symbol in {None, name.symbol})
                seen.update((name, sighting(snapshot, name)) for name in shown)
        return seen

    def _look(self, symbol: str | None, *, is_asked: bool = False) -> Snapshot | None:
        asked = time.time_ns()
        try:
            snapshot = ask(read_snapshot(self._client, symbol, REQUEST_S))
        except Exception as error:  # noqa: BLE001 - whatever the transport raises; the next look may do better
            self._note_failure(error)
            return None
        self.read_ns, self.problem = time.time_ns(), None
        symbols = None if symbol is None else (symbol,)
        sight = Sight(snapshot.positions, snapshot.resting, asked, symbols, snapshot.has_algos, is_asked)
        self._log.take_sight(self.account, sight, self._source, self.every_s)
        return snapshot

    def _note_failure(self, error: Exception) -> None:
        self.problem = describe(error, secrets_of(self._client, {}))
        read = support_of(self._client).read_api_error(error)
        is_limited = read is not None and read.status in LIMITED
        self._not_before = time.monotonic() + (PAUSE_S if is_limited else min(1.0, self._every_s))

    def _read_clock(self) -> None:
        """Ask what time it is at the exchange, now and then."""
        sent = time.time_ns()
        if sent - self._clock_read_ns < CLOCK_NS:
            return
        self._clock_read_ns = sent
        try:
            answer = getattr(self._client, support_of(self._client).commands["time"])()
            served = integer(answer.get("serverTime"))
        except Exception:  # noqa: BLE001 - the clocks then count as equal
            return
        if served is not None:
            self.offset_ns = served * NS_PER_MS - (sent + time.time_ns()) // 2

    def _take_event(self, event: Mapping[str, Any]) -> None:
        self._log.take_event(self.account, event, max(AT_REST_S, AGAIN_S))

    def _note_heard(self, is_heard: bool) -> None:
        self.is_heard = is_heard
        # What happened before, or in between, was missed.
        self.wanted.set()

    def _name(self, symbol: str, position_side: str) -> PositionName:
        return PositionName(self.account, symbol, position_side)


def sighting(snapshot: Snapshot, name: PositionName) -> Sighting:
    """Return what a snapshot shows of a position."""
    uncovered = {(held.symbol, held.position_side): missing for held, missing in bare(snapshot)}
    for held in snapshot.positions:
        key = held.symbol, held.position_side
        if key == (name.symbol, name.position_side):
            mark = None if held.mark is None else plain(held.mark)
            return Sighting(held.amount, uncovered.get(key, Decimal(0)), mark)
    return Sighting(Decimal(0), Decimal(0))
