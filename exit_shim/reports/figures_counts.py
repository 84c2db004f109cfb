"""The figures of counts: orders by module and time, findings, what became of orders, and latencies."""

from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Final

from exit_shim.journal import IN_DOUBT
from exit_shim.journal.record_source import LATENCY_BUCKETS_US, Latency
from exit_shim.reports.figure_style import (
    COLOURS,
    GREY,
    OTHER_MODULES,
    PATTERNS,
    Figure,
    Palette,
    packed,
    plain,
)
from exit_shim.reports.report_data import ReportData, Series, SwitchMark
from exit_shim.reports.report_text import duration_text, share_text, step_text

MOST_SWITCHES: Final = 40
"""How many switches are marked, the newest."""

OTHER_REASONS: Final = "other reasons"

OUTCOMES: Final[Mapping[str, tuple[str, str]]] = {
    "accepted": ("accepted by the exchange", "#009E73"),
    "rejected": ("refused by the exchange", "#E69F00"),
    "denied": ("denied by the guard", "#D55E00"),
    "simulated": ("simulated by the guard", "#CC79A7"),
    "not_sent": ("not sent: the bot's call failed", GREY),
    "not_there": ("never arrived", GREY),
    IN_DOUBT: ("in doubt", "#DC2F36"),
}
"""What people call each state, and its colour."""

MEASURES: Final[Mapping[str, tuple[str, str, str]]] = {
    "before_send": ("added by the shim before the send", "#0072B2", ""),
    "total": ("the whole call, with the exchange's answer", "#E69F00", "/"),
}


def churn_figure(churn: Series, palette: Palette) -> Figure:
    """Return the orders of each module over time, stacked."""
    groups = grouped(churn, palette.group)
    order = [*palette.named, OTHER_MODULES]
    names = [name for name in order if name in groups]
    data = stacked_bars(churn, {name: groups[name] for name in names})
    for name, trace in zip(names, data, strict=True):
        trace["marker"] = {"color": palette.colour(name), "pattern": hatched(palette.pattern(name))}
        trace["hovertemplate"] = f"{plain(name)}: %{{y:,}} orders<br>%{{x}}<extra></extra>"
    return {"data": data, "layout": time_layout(f"orders per {step_text(churn.step_ns)}")}


def findings_figure(findings: Series, switches: Sequence[SwitchMark], offset_ns: int) -> Figure:
    """Return the findings of the guard by reason over time, and the switches as numbered lines."""
    named = [code for code, _ in findings.totals()[: len(COLOURS)]]
    groups = grouped(findings, lambda code: code if code in named else OTHER_REASONS)
    names = [name for name in (*named, OTHER_REASONS) if name in groups]
    data = stacked_bars(findings, {name: groups[name] for name in names})
    for place, (name, trace) in enumerate(zip(names, data, strict=True)):
        is_named = name in named
        pattern = PATTERNS[place] if is_named else "+"
        trace["marker"] = {"color": COLOURS[place] if is_named else GREY, "pattern": hatched(pattern)}
        trace["hovertemplate"] = f"{plain(name)}: %{{y:,}}<br>%{{x}}<extra></extra>"
    layout = time_layout(f"findings per {step_text(findings.step_ns)}")
    layout["shapes"], layout["annotations"] = switch_lines(switches, offset_ns)
    if not data:
        data = [{"type": "scatter", "x": [], "y": []}]
    return {"data": data, "layout": layout}


def switch_lines(
    switches: Sequence[SwitchMark], offset_ns: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return a line and a number for each switch; the table beside has the same numbers."""
    shapes, annotations = [], []
    first = max(len(switches) - MOST_SWITCHES, 0)
    for place, switch in enumerate(switches[first:], first + 1):
        x = (switch.ts + offset_ns) / 1e6
        shapes.append(
            {
                "type": "line",
                "xref": "x",
                "yref": "paper",
                "x0": x,
                "x1": x,
                "y0": 0,
                "y1": 1,
                "line": {"width": 1.5, "dash": "dot", "color": GREY},
            }
        )
        annotations.append(
            {
                "x": x,
                "xref": "x",
                "y": 1,
                "yref": "paper",
                "yanchor": "bottom",
                "text": f"<b>{place}</b>",
                "hovertext": plain(switch.text),
                "showarrow": False,
            }
        )
    return shapes, annotations


def orders_figure(data: ReportData) -> Figure:
    """Return what became of orders: asked for, sent, and each outcome."""
    asked = data.orders
    sent = asked - data.count_state("denied", "simulated", "not_sent")
    bars = [("asked for by the bot", asked, GREY), ("sent to the exchange", sent, "#56B4E9")]
    for state, (name, colour) in OUTCOMES.items():
        number = data.count_state(state)
        if number or state in {"accepted", "rejected", "denied", IN_DOUBT}:
            bars.append((name, number, colour))
    bars.reverse()
    trace = {
        "type": "bar",
        "orientation": "h",
        "y": [name for name, _, _ in bars],
        "x": [number for _, number, _ in bars],
        "text": [f"{number:,}  ({share_text(number, asked)})" for _, number, _ in bars],
        "textposition": "outside",
        "cliponaxis": False,
        "marker": {"color": [colour for _, _, colour in bars]},
        "hovertemplate": "%{y}: %{x:,}<extra></extra>",
    }
    layout = {
        "height": 70 + 34 * len(bars),
        "showlegend": False,
        "xaxis": {"range": [0, max(asked, 1) * 1.25], "separatethousands": True, "fixedrange": True},
        "yaxis": {"automargin": True, "fixedrange": True, "ticksuffix": "  "},
        "bargap": 0.35,
    }
    return {"data": [trace], "layout": layout}


def latency_figure(latencies: Sequence[Latency]) -> Figure:
    """Return the histograms of what the shim adds, and of whole calls, as shares of the orders."""
    bounds = (*LATENCY_BUCKETS_US, float("inf"))
    places = [bounds.index(bucket.upper_us) for bucket in latencies]
    shown = bounds[min(places, default=0) : max(places, default=0) + 1]
    data = []
    for measure, (name, colour, pattern) in MEASURES.items():
        orders = {bucket.upper_us: bucket.orders for bucket in latencies if bucket.measure == measure}
        total = sum(orders.values())
        data.append(
            {
                "type": "bar",
                "name": name,
                "x": [bound_text(bound) for bound in shown],
                "y": [100 * orders.get(bound, 0) / total if total else 0 for bound in shown],
                "customdata": [orders.get(bound, 0) for bound in shown],
                "marker": {"color": colour, "pattern": hatched(pattern)},
                "hovertemplate": f"{name}<br>%{{x}}: %{{customdata:,}} orders<extra></extra>",
            }
        )
    layout = {
        "height": 340,
        "barmode": "group",
        "bargap": 0.15,
        "xaxis": {"type": "category", "title": {"text": "took at most"}, "fixedrange": True},
        "yaxis": {"title": {"text": "share of orders"}, "ticksuffix": " %", "fixedrange": True},
        "legend": LEGEND_ABOVE,
        "showlegend": True,
    }
    return {"data": data, "layout": layout}


LEGEND_ABOVE: Final[Mapping[str, Any]] = {
    "orientation": "h",
    "x": 0,
    "xanchor": "left",
    "y": 1.02,
    "yanchor": "bottom",
}


def time_layout(title: str) -> dict[str, Any]:
    """Return the layout of bars that are stacked over time."""
    return {
        "height": 360,
        "barmode": "stack",
        "xaxis": {"type": "date"},
        "yaxis": {"title": {"text": title}, "rangemode": "tozero", "separatethousands": True},
        "legend": {**LEGEND_ABOVE, "traceorder": "normal"},
        "showlegend": True,
    }


def grouped(series: Series, group: Any) -> dict[str, dict[int, int]]:
    """Return the counts of each group of names by step."""
    groups: dict[str, dict[int, int]] = {}
    for (name, step), number in series.counts.items():
        counts = groups.setdefault(group(name), {})
        counts[step] = counts.get(step, 0) + number
    return groups


def stacked_bars(series: Series, groups: Mapping[str, Mapping[int, int]]) -> list[dict[str, Any]]:
    """Return the bars of each group, which all stand on the same steps."""
    steps = series.steps()
    starts = array("d", ((series.start_ns(step) + series.offset_ns) / 1e6 for step in steps))
    width = series.step_ns / 1e6
    return [
        {
            "type": "bar",
            "name": plain(name),
            "x": packed(starts),
            "y": [counts.get(step, 0) for step in steps],
            "width": width * 0.9,
            "offset": width * 0.05,
        }
        for name, counts in groups.items()
    ]


def hatched(shape: str) -> dict[str, Any]:
    """Return the hatching of bars; the page gives it its colour."""
    return {"shape": shape, "size": 6, "solidity": 0.25, "fillmode": "overlay"}


def bound_text(bound: float) -> str:
    """Return the name of a bucket."""
    return f"over {duration_text(LATENCY_BUCKETS_US[-1])}" if bound == float("inf") else duration_text(bound)
