"""The figure of a symbol: the exits as lines over time and price, and the cover of its positions below."""

import bisect
import functools
import statistics
from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from exit_shim.reports.figure_style import (
    GREY,
    Figure,
    Palette,
    dash_of,
    kind_name,
    packed,
    plain,
)
from exit_shim.reports.lives import PositionName
from exit_shim.reports.report_data import ELSEWHERE, Caller, CoverSpan, ExitLine, Ladder, Prices
from exit_shim.reports.report_text import length_text

MOST_SVG: Final = 3_000
"""How many exits a symbol can have to be drawn in SVG, which prints best; more are drawn in WebGL."""

MOST_PRICES: Final = 20_000
MOST_ROWS: Final = 8
"""How many positions of a symbol the band has rows for."""

MOST_TEXTS: Final = 4_096

FEW: Final = 10
"""Of fewer exits, all are in the first view."""

GAP: Final = float("nan")

COVERS: Final[Mapping[str, tuple[str, int, str]]] = {
    "covered": ("#009E73", 5, "solid"),
    "unknown": (GREY, 2, "dot"),
    "partly": ("#E69F00", 10, "solid"),
    "bare": ("#DC2F36", 18, "solid"),
}
"""Colour, width and dash of each cover: what is worse is thicker. A flat position has no line."""

ENDS: Final[Mapping[str | None, str]] = {
    None: "lives",
    "filled": "filled",
    "cancelled": "cancelled",
    "changed": "changed",
    "expired": "expired",
    "gone": "gone: the exchange lists it no more",
}


def ladder_figure(ladder: Ladder, palette: Palette, end_ns: int, offset_ns: int) -> Figure:
    """Return the figure of a symbol.

    Args:
        ladder: The symbol's exits, cover and prices.
        palette: The colours of modules.
        end_ns: When the lines of exits end that live.
        offset_ns: How far the clock of the report is ahead of UTC.
    """
    is_gl = len(ladder.exits) > MOST_SVG
    lines = LineTraces(ladder, palette, end_ns, offset_ns, is_gl=is_gl)
    rows = rows_of(ladder.spans)
    data = [*price_traces(ladder.prices, offset_ns, is_gl=is_gl), *lines.traces()]
    data += cover_traces(ladder.spans, rows, offset_ns)
    return {"data": data, "layout": layout_of(ladder, rows)}


def layout_of(ladder: Ladder, rows: Mapping[PositionName, int]) -> dict[str, Any]:
    """Return the axes: the price above, and one row for each position below."""
    band = min(0.10 + 0.05 * (len(rows) - 1), 0.35)
    return {
        "height": 470 + 26 * (len(rows) - 1),
        "hovermode": "closest",
        "hoverdistance": 24,
        "showlegend": False,
        "xaxis": {"type": "date", "anchor": "y2", "showgrid": True},
        "yaxis": {
            "domain": [band + 0.05, 1],
            "title": {"text": "price"},
            "tickformat": ",.10~g",
            **price_range(ladder),
        },
        "yaxis2": {
            "domain": [0, band],
            "range": [-0.6, max(len(rows), 1) - 0.4],
            "tickvals": list(rows.values()),
            "ticktext": [plain(name_of(row, rows)) for row in rows],
            "fixedrange": True,
            "showgrid": False,
            "zeroline": False,
        },
    }


def price_range(ladder: Ladder) -> dict[str, Any]:
    """Return the first view of the price axis: without the few exits that are far away from all others."""
    levels = sorted(line.price for line in ladder.exits if line.price is not None)
    if len(levels) < FEW:
        return {}
    middle = statistics.median(levels)
    near = [level for level in levels if middle / 2 <= level <= middle * 2]
    if len(near) == len(levels) or len(near) < 0.9 * len(levels):
        return {}
    low, high = near[0], near[-1]
    return {"range": [low - 0.06 * (high - low), high + 0.06 * (high - low)], "autorange": False}


class Words:
    """Texts that many points share, each kept once."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._places: dict[str, int] = {}

    def place(self, text: str) -> int:
        """Return the place of a text."""
        place = self._places.setdefault(text, len(self.texts))
        if place == len(self.texts):
            self.texts.append(text)
        return place


class LineTraces:
    """Gather the exits of a symbol into a few traces, one for each module and kind.

    Args:
        ladder: The symbol.
        palette: The colours of modules.
        end_ns: When the lines of exits end that live.
        offset_ns: How far the clock of the report is ahead of UTC.
        is_gl: Whether they are drawn in WebGL.
    """

    def __init__(self, ladder: Ladder, palette: Palette, end_ns: int, offset_ns: int, *, is_gl: bool) -> None:
        self._palette, self._end_ns, self._offset_ns = palette, end_ns, offset_ns
        self._type = "scattergl" if is_gl else "scatter"
        self._cross_size, self._start_size = (7, 5) if is_gl else (10, 9)
        self._prices = ladder.prices
        self._groups: dict[tuple[str, str], list[ExitLine]] = defaultdict(list)
        for line in ladder.exits:
            self._groups[palette.group(line.module), line.kind].append(line)

    def traces(self) -> Iterable[dict[str, Any]]:
        """Yield the lines of each group, and after all lines the crosses."""
        groups = sorted(self._groups.items(), key=lambda item: -len(item[1]))
        crosses = []
        for (module, kind), exits in groups:
            levels = [self._level(line) for line in exits]
            yield self._lines(module, kind, exits, levels)
            if any(line.is_ended_by_other for line in exits):
                crosses.append(self._crosses(module, kind, exits, levels))
        yield from crosses

    def _level(self, line: ExitLine) -> float:
        """Return where a line is drawn: one without a price at the market's price when it was placed."""
        if line.price is not None:
            return line.price
        return price_at(self._prices, line.placed_ns)

    def _lines(
        self, module: str, kind: str, exits: Sequence[ExitLine], levels: Sequence[float]
    ) -> dict[str, Any]:
        x, y, sizes = array("d"), array("d"), array("B")
        placed, ended, names, words = array("i"), array("i"), [], Words()
        for line, level in zip(exits, levels, strict=True):
            start = milliseconds(line.placed_ns, self._offset_ns)
            end = milliseconds(line.ended_ns or self._end_ns, self._offset_ns)
            # The point in the middle is there to be pointed at.
            x.extend((start, (start + end) / 2, end, GAP))
            y.extend((level, level, level, GAP))
            sizes.extend((self._start_size, 0, 0, 0))
            placed.append(
                words.place(placing_text(line.kind, line.placed_by, has_price=line.price is not None))
            )
            ended.append(
                words.place(ending_text(line.end, line.ended_by, is_by_other=line.is_ended_by_other))
            )
            names.append(plain(line.name))
        return {
            "type": self._type,
            "mode": "lines+markers",
            "name": f"{plain(module)}, {kind_name(kind)}",
            "x": packed(x),
            "y": packed(y),
            "line": {"color": self._palette.colour(module), "width": 2, "dash": dash_of(kind)},
            "marker": {
                "color": self._palette.colour(module),
                "symbol": self._palette.marker(module),
                "size": packed(sizes),
                "opacity": 1,
                "line": {"width": 0},
            },
            "connectgaps": False,
            "hovertemplate": "%{text}<extra></extra>",
            "meta": {
                "role": "lines",
                "module": plain(module),
                "kind": kind,
                "points": 4,
                "words": words.texts,
                "placed": packed(placed),
                "ended": packed(ended),
                "names": names,
            },
        }

    def _crosses(
        self, module: str, kind: str, exits: Sequence[ExitLine], levels: Sequence[float]
    ) -> dict[str, Any]:
        x, y, enders, words, names = array("d"), array("d"), array("i"), Words(), []
        colours = []
        for line, level in zip(exits, levels, strict=True):
            if line.is_ended_by_other and line.ended_by is not None and line.ended_ns is not None:
                x.append(milliseconds(line.ended_ns, self._offset_ns))
                y.append(level)
                enders.append(words.place(ending_text(line.end, line.ended_by, is_by_other=True)))
                names.append(plain(line.name))
                colours.append(self._palette.colour(self._palette.group(line.ended_by.module)))
        title = f"{kind_name(kind)} of {plain(module)}"
        return {
            "type": self._type,
            "mode": "markers",
            "name": f"{title}: ended by another module",
            "x": packed(x),
            "y": packed(y),
            "marker": {
                "symbol": "x-thin",
                "size": self._cross_size,
                "line": {"width": self._cross_size / 4, "color": colours},
                "color": colours,
            },
            "hovertemplate": "%{text}<extra></extra>",
            "meta": {
                "role": "crosses",
                "module": plain(module),
                "kind": kind,
                "points": 1,
                "title": title,
                "words": words.texts,
                "ended": packed(enders),
                "names": names,
            },
        }


# Few places of a bot place and end many exits.
@functools.lru_cache(MOST_TEXTS)
def placing_text(kind: str, caller: Caller | None, *, has_price: bool) -> str:
    """Say who placed an exit, from where."""
    what = kind_name(kind) + ("" if has_price else " without a price of its own")
    return f"<b>{what}</b> " + (ELSEWHERE if caller is None else f"of {caller_text(caller)}")


@functools.lru_cache(MOST_TEXTS)
def ending_text(end: str | None, caller: Caller | None, *, is_by_other: bool) -> str:
    """Say how an exit ended, and by whom."""
    words = ENDS[end]
    if caller is None:
        return words
    mark = "<b>✕ another module:</b> " if is_by_other else ""
    return f"{mark}{words} by {caller_text(caller)}"


def caller_text(caller: Caller) -> str:
    """Return who and from where."""
    return f"{plain(caller.module)}, {plain(caller.function)} {plain(caller.place)}"


def price_traces(prices: Prices, offset_ns: int, *, is_gl: bool) -> list[dict[str, Any]]:
    """Return the line of the price; none where nobody told it."""
    every = -(-len(prices.times) // MOST_PRICES) or 1
    times, levels = prices.times[::every], prices.prices[::every]
    if not times:
        return []
    return [
        {
            "type": "scattergl" if is_gl else "scatter",
            "mode": "lines" if len(times) > 1 else "markers",
            "name": "mark price",
            "x": packed(array("d", (milliseconds(ts, offset_ns) for ts in times))),
            "y": packed(levels),
            "line": {"color": GREY, "width": 1.5},
            "opacity": 0.7,
            "hovertemplate": "mark price %{y:,}<extra></extra>",
            "meta": {"role": "price"},
        }
    ]


def price_at(prices: Prices, ts: int) -> float:
    """Return the last price before a moment, else the first; not a number where nobody told one."""
    if not prices.times:
        return GAP
    return prices.prices[max(bisect.bisect_right(prices.times, ts) - 1, 0)]


def rows_of(spans: Iterable[CoverSpan]) -> dict[PositionName, int]:
    """Return the row of each position in the band, those that were bare the longest first."""
    trouble: dict[PositionName, int] = defaultdict(int)
    for span in spans:
        if span.cover != "flat":
            trouble[span.position] += span.length_ns if span.cover == "bare" else 0
    worst = sorted(trouble, key=lambda name: (-trouble[name], name.position_side, name.account or ""))
    return {name: row for row, name in enumerate(worst[:MOST_ROWS])}


def name_of(row: PositionName, rows: Mapping[PositionName, int]) -> str:
    """Return what tells a position of a symbol from its others."""
    side = "cover" if row.position_side == "BOTH" else row.position_side
    has_accounts = len({name.account for name in rows}) > 1
    return f"{side} {(row.account or '?')[:16]}" if has_accounts else side


def cover_traces(
    spans: Sequence[CoverSpan], rows: Mapping[PositionName, int], offset_ns: int
) -> list[dict[str, Any]]:
    """Return the band: one trace for each cover, and a mark where a position becomes bare."""
    traces = []
    for cover, (colour, width, dash) in COVERS.items():
        x, y, texts = array("d"), array("d"), []
        for span in spans:
            row = rows.get(span.position)
            if span.cover == cover and row is not None:
                start, end = milliseconds(span.start_ns, offset_ns), milliseconds(span.end_ns, offset_ns)
                x.extend((start, (start + end) / 2, end, GAP))
                y.extend((row, row, row, GAP))
                texts.append(span_text(span))
        if not texts:
            continue
        traces.append(
            {
                # A thick line of WebGL has round joints and is cut at the edge of the plot.
                "type": "scatter",
                "mode": "lines",
                "name": cover,
                "x": packed(x),
                "y": packed(y),
                "yaxis": "y2",
                "line": {"color": colour, "width": width, "dash": dash, "simplify": False},
                "hovertemplate": "%{text}<extra></extra>",
                "meta": {"role": "cover", "cover": cover, "points": 4, "texts": texts},
            }
        )
        if cover == "bare":
            traces.append(bare_marks(x, y, colour))
    return traces


def bare_marks(x: "array[float]", y: "array[float]", colour: str) -> dict[str, Any]:
    """Return marks where positions become bare: a second of a month is too short to be seen."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "becomes bare",
        "x": packed(x[::4]),
        "y": packed(array("d", (row + 0.42 for row in y[::4]))),
        "yaxis": "y2",
        "marker": {"symbol": "triangle-down", "size": 8, "color": colour},
        "hovertemplate": "%{text}<extra></extra>",
        # The page takes the texts of the spans before.
        "meta": {"role": "bare", "points": 1},
    }


def span_text(span: CoverSpan) -> str:
    """Say what a span of cover is about."""
    words = f"<b>{span.cover}</b> for {length_text(span.length_ns)}"
    if span.cover not in {"bare", "partly"} or span.stop is None:
        return words
    whose = "" if span.stop_of is None else f" of {plain(span.stop_of)}"
    by = "ended" if span.by is None else f"was cancelled by {caller_text(span.by)}"
    return f"{words}<br>its last stop {plain(span.stop)}{whose}<br>{by}"


def milliseconds(ns: int, offset_ns: int) -> float:
    """Return a moment on the clock of the report, as plotly counts time."""
    return (ns + offset_ns) / 1e6
