"""Number what changes, so that a browser that comes back is sent what it missed."""

import secrets
import weakref
from collections import deque
from itertools import count
from typing import Final, NamedTuple

import msgspec

from exit_shim.reports.lives import Life
from exit_shim.reports.page.live_state import LiveState
from exit_shim.reports.page.views import (
    MOST_LIVES,
    OwnerOf,
    View,
    item_view,
    key_of,
    life_view,
    mark_view,
    span_view,
    state_view,
)

MOST_TICKS: Final = 240
"""The ticks that are remembered: a minute of a busy bot; who was away for longer is sent everything."""

MOST_DIGITS: Final = 15

encode: Final = msgspec.json.Encoder().encode


class Tick(NamedTuple):
    """What changed at once; what is about one position has its key in front.

    Attributes:
        number: Its number.
        lives: Exits that began, changed or ended.
        spans: Spans of cover that ended.
        marks: Mark prices.
        feed: Lines of the feed.
    """

    number: int
    lives: list[tuple[str, View]]
    spans: list[tuple[str, View]]
    marks: list[tuple[str, list[float]]]
    feed: list[View]


class Broadcast:
    """Turn what changes in a state into numbered messages. For one thread.

    Args:
        state: What the page shows.
        owner_of: Returns who should hold the stops of a symbol in a mode.
        source: What is followed, in words.
        window_ns: How far back the page goes.
    """

    def __init__(self, state: LiveState, owner_of: OwnerOf, source: str, window_ns: int) -> None:
        self._state = state
        self._owner_of = owner_of
        self._source = source
        self._window_ns = window_ns
        # A server that was started anew has other numbers.
        self._epoch = secrets.token_hex(4)
        self.number = 0
        self._ticks: deque[Tick] = deque(maxlen=MOST_TICKS)
        self._shown: View = {}
        self._numbers: weakref.WeakKeyDictionary[Life, int] = weakref.WeakKeyDictionary()
        self._counter = count(1)
        self._sent: dict[int, View] = {}

    @property
    def event_id(self) -> str:
        """The id of the last message."""
        return f"{self._epoch}-{self.number}"

    def publish(self) -> bool:
        """Number what changed since the last time; return whether anything did."""
        state = self._state
        shown = state_view(state, self._owner_of, self._source, self._window_ns)
        lives = self._changed_lives()
        has_changed = bool(shown != self._shown or lives or state.new_spans or state.new_marks or state.news)
        if has_changed:
            self._shown = shown
            self.number += 1
            self._ticks.append(self._tick(lives))
        state.new_spans.clear()
        state.new_marks.clear()
        state.news.clear()
        return has_changed

    def read_since(self, event_id: str | None, key: str) -> bytes:
        """Return the message for a browser that shows one position and has seen the messages up to an id."""
        missed = self._missed(event_id)
        if missed is None:
            return self._message("reset", {"state": self._shown, **self._everything(key)})
        changes = {
            "state": self._shown,
            # A later view of the same exit replaces the earlier one.
            "lives": list(
                {view["n"]: view for tick in missed for at, view in tick.lives if at == key}.values()
            ),
            "spans": [view for tick in missed for at, view in tick.spans if at == key],
            "marks": [view for tick in missed for at, view in tick.marks if at == key],
            "feed": list({view["key"]: view for tick in missed for view in tick.feed}.values()),
        }
        return self._message("tick", changes)

    def _tick(self, lives: list[tuple[str, View]]) -> Tick:
        state = self._state
        return Tick(
            self.number,
            lives,
            [(key_of(span.position), span_view(span)) for span in state.new_spans],
            [(key_of(name), mark_view(mark)) for name, mark in state.new_marks],
            [item_view(item) for item in state.news.values()],
        )

    def _changed_lives(self) -> list[tuple[str, View]]:
        changed, sent = [], {}
        for life in self._current_lives():
            view = self._view(life)
            sent[view["n"]] = view
            if self._sent.get(view["n"]) != view:
                changed.append((key_of(life.position), view))
        self._sent = sent
        return changed

    def _current_lives(self) -> list[Life]:
        """Return the exits of which anything may have changed."""
        live = [life for each in self._state.positions() for life in each.exits]
        return [*self._state.just_ended, *live]

    def _view(self, life: Life) -> View:
        if life not in self._numbers:
            self._numbers[life] = next(self._counter)
        return life_view(life, self._numbers[life])

    def _missed(self, event_id: str | None) -> list[Tick] | None:
        """Return the ticks after an id; None where they are not all remembered."""
        epoch, _, seen = (event_id or "").partition("-")
        if epoch != self._epoch or not (seen.isascii() and seen.isdecimal() and len(seen) <= MOST_DIGITS):
            return None
        first = self._ticks[0].number if self._ticks else self.number + 1
        if int(seen) > self.number or int(seen) + 1 < first:
            return None
        return [tick for tick in self._ticks if tick.number > int(seen)]

    def _everything(self, key: str) -> View:
        state = self._state
        of_key = [life for life in state.ended if key_of(life.position) == key]
        live = [life for each in state.positions() if key_of(each.position) == key for life in each.exits]
        lives = [*of_key, *live]
        return {
            "lives": [self._view(life) for life in lives[-MOST_LIVES:]],
            "left_out": max(0, len(lives) - MOST_LIVES),
            "spans": [span_view(span) for span in state.spans if key_of(span.position) == key],
            "marks": [
                mark_view(mark)
                for name, marks in state.marks.items()
                if key_of(name) == key
                for mark in marks
            ],
            "feed": [item_view(item) for item in state.feed.values()],
        }

    def _message(self, event: str, data: View) -> bytes:
        return b"id: %b\nevent: %b\ndata: %b\n\n" % (self.event_id.encode(), event.encode(), encode(data))
