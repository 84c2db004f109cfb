"""The tracks of exits: when they were placed, the last stop of a position, its size, and lost stops."""

import time
from collections import OrderedDict, deque
from decimal import Decimal
from typing import Final, NamedTuple

from exit_shim.guard.live_exits import LiveExit, PositionKey

MAX_PLACEMENTS: Final = 64
"""Times remembered of one module's placing the same exit."""

MAX_TRACKS: Final = 10_000
"""Exits whose times are remembered, and positions whose last stop is."""


class LastStop(NamedTuple):
    """The stop that a position had last: where it triggers, whose it is, and when it was placed."""

    trigger: str
    module: str | None
    ts: int


class Tracks:
    """Remembers what exits leave behind; bounded. The book holds its lock around every call."""

    def __init__(self) -> None:
        self._placed_at: OrderedDict[tuple[PositionKey, str, str | None], deque[int]] = OrderedDict()
        self._last_stops: OrderedDict[PositionKey, LastStop] = OrderedDict()
        self._sizes: dict[PositionKey, tuple[Decimal, int]] = {}
        self._hedged: set[tuple[str | None, str | None]] = set()
        self._stop_lost_at: dict[PositionKey, float] = {}

    def placed_at(self, position: PositionKey, kind: str, module: str | None) -> tuple[int, ...]:
        """Return when a module placed exits of a kind for a position, in ns since the epoch."""
        return tuple(self._placed_at.get((position, kind, module), ()))

    def last_stop(self, position: PositionKey) -> LastStop | None:
        """Return the stop that a position had last."""
        return self._last_stops.get(position)

    def size(self, position: PositionKey) -> Decimal | None:
        """Return the size of a position when it was last seen; None where it never was."""
        seen = self._sizes.get(position)
        return None if seen is None else seen[0]

    def is_hedged(self, account: str | None, symbol: str | None) -> bool:
        """Return whether a symbol is known to have two positions."""
        return (account, symbol) in self._hedged

    def sized_positions(self, account: str | None) -> list[PositionKey]:
        """Return the positions of an account whose sizes were seen."""
        return [position for position in self._sizes if position.account == account]

    def lost_stops(self) -> list[tuple[PositionKey, float]]:
        """Return the positions that lost a stop, and when, on the monotonic clock."""
        return list(self._stop_lost_at.items())

    def set_size(self, position: PositionKey, size: Decimal, at: int) -> None:
        """Remember a position's size as it was at a time, unless a later one is known."""
        if at >= self._sizes.get(position, (size, 0))[1]:
            self._sizes[position] = (size, at)
            if not size:  # nothing is left that a stop could guard
                self.forget_lost_stop(position)

    def note_hedged(self, live: LiveExit) -> None:
        """Remember that a symbol has two positions, where an exit shows it."""
        if live.position.position_side != "BOTH" and len(self._hedged) < MAX_TRACKS:
            self._hedged.add((live.account, live.symbol))

    def note_placed(self, live: LiveExit) -> None:
        """Remember an exit that was accepted."""
        self.note_hedged(live)
        track = (live.position, live.target.kind, live.target.module)
        times = self._placed_at.get(track)
        if times is None:
            times = self._placed_at[track] = deque(maxlen=MAX_PLACEMENTS)
            while len(self._placed_at) > MAX_TRACKS:
                self._placed_at.popitem(last=False)
        if live.ts in times:  # learnt once more, from the journal
            return
        times.append(live.ts)
        if live.is_protective:
            self.forget_lost_stop(live.position)
            self._set_last_stop(live)

    def note_lost_stop(self, live: LiveExit) -> None:
        """Remember that a stop is gone that closed nothing."""
        if len(self._stop_lost_at) < MAX_TRACKS:
            self._stop_lost_at.setdefault(live.position, time.monotonic())

    def forget_lost_stop(self, position: PositionKey) -> None:
        """Forget that a position lost a stop: it has one again, or needs none."""
        self._stop_lost_at.pop(position, None)

    def _set_last_stop(self, live: LiveExit) -> None:
        if live.trigger is None:
            return
        self._last_stops[live.position] = LastStop(live.trigger, live.target.module, live.ts)
        while len(self._last_stops) > MAX_TRACKS:
            self._last_stops.popitem(last=False)
