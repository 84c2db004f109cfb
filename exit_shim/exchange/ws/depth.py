"""The book as depth streams send it: the best levels, or the changes since the last event."""

from __future__ import annotations

import re

from exit_shim.exchange.engine.state import State
from exit_shim.exchange.engine.views import futures_streams, market_data, spot_streams

from .addresses import StreamMarket
from .stream_names import Stream

Json = dict[str, object]
Levels = dict[str, str]
#: Levels of a book that differences are made of.
_DEEPEST = 1000


class DepthWatch:
    """The levels of a book that were sent last.

    Each event begins after the one before it, and its last id is that of GET depth, so that a client can
    join events to a snapshot as Binance documents it.
    """

    def __init__(self, state: State, stream: Stream) -> None:
        self._stream = stream
        self._shown = _read_levels(state, stream)
        self._update = state.ids.update

    def whole_event(self, state: State) -> Json:
        """Return the event of all levels, the first of a connection.

        It covers no update but the last, so a snapshot taken now joins to it.
        """
        shown = {side: list(map(list, levels.items())) for side, levels in self._shown.items()}
        return self._event(state, (self._update, self._update, self._update - 1), shown)

    def next_event(self, state: State) -> Json | None:
        """Return the event of the changed levels, None without a change."""
        before, self._shown = self._shown, _read_levels(state, self._stream)
        if before == self._shown:
            return None
        ids = (self._update + 1, state.ids.update, self._update)
        self._update = state.ids.update
        if self._stream.kind == "levels":
            return self._event(
                state, ids, {side: list(map(list, levels.items())) for side, levels in self._shown.items()}
            )
        changed = {side: _changes(before[side], self._shown[side]) for side in before}
        return self._event(state, ids, changed)

    def _event(self, state: State, ids: tuple[int, int, int], levels: dict[str, list[list[str]]]) -> Json:
        symbol = state.symbols[self._stream.symbol]
        if self._stream.market is not StreamMarket.SPOT:
            return futures_streams.depth(symbol, state.now, ids, levels)
        if self._stream.kind == "levels":
            return spot_streams.levels(ids[1], levels)
        return spot_streams.depth(symbol, state.now, *ids[:2], levels)


def _read_levels(state: State, stream: Stream) -> dict[str, Levels]:
    limit = int(stream.detail or _DEEPEST)
    shown = market_data.depth(state, state.symbols[stream.symbol], limit)
    places = spot_streams.PLACES if stream.market is StreamMarket.SPOT else None
    return {side: _as_levels(shown[side], places) for side in ("bids", "asks")}


def _as_levels(rows: object, places: int | None) -> Levels:
    assert isinstance(rows, list)  # noqa: S101 - for mypy: a view's JSON is of objects
    if places is None:
        return dict(rows)
    return {spot_streams.long(price): spot_streams.long(size) for price, size in rows}


def _changes(before: Levels, now: Levels) -> list[list[str]]:
    # python-binance takes a level away only where its zero has the decimals of a quantity.
    gone = [[price, _zero_like(size)] for price, size in before.items() if price not in now]
    return [[price, size] for price, size in now.items() if before.get(price) != size] + gone


def _zero_like(quantity: str) -> str:
    """Return zero with as many decimals."""
    return re.sub(r"\d", "0", re.sub(r"^\d+", "0", quantity))
