"""Turn a reading into the numbers of each metric. Pure."""

import itertools
import math
import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Final, NamedTuple, TypeAlias

from exit_shim.domain.reason_codes import REASONS
from exit_shim.journal.record_source import LATENCY_BUCKETS_US, Latency, Measure
from exit_shim.reports.timeline import PositionState
from exit_shim.sinks.prometheus import declared
from exit_shim.sinks.prometheus.labels import LabelLimits, Labels, label_text, sum_by
from exit_shim.sinks.prometheus.reading import Reading

OUTCOMES: Final = ("accepted", "rejected", "denied", "simulated", "not_sent", "not_there")
"""What an order can have come to. Each has a series from the start: a rate needs a zero to rise from."""

COVERS: Final = ("covered", "partly", "bare", "unknown")

MOST_POSITIONS: Final = 200
"""The positions that have series of their own, the bare ones first; all are counted."""

MOST_HOSTS: Final = 200

SECOND_NS: Final = 1_000_000_000
SECOND_US: Final = 1_000_000

MEASURES: Final[Mapping[str, Measure]] = {
    declared.BEFORE_SEND.name: "before_send",
    declared.DURATION.name: "total",
}


SUM: Final = "sum"


class Histogram(NamedTuple):
    """A histogram: how many took at most so many seconds, by upper bound, and the sum in seconds."""

    buckets: Sequence[tuple[str, float]]
    sum_s: float


Series: TypeAlias = dict[declared.Metric, Mapping[Labels, float]]
"""The numbers of metrics, by labels."""


class Figures(NamedTuple):
    """The numbers of all metrics, by the metrics' names; a metric without any is only declared."""

    series: Mapping[str, Mapping[Labels, float]]
    histograms: Mapping[str, Histogram]


def describe_failure() -> Figures:
    """Return what is said where the record could not be read: nothing that could be taken for a fact."""
    return Figures({declared.UP.name: {(): 0}, declared.BUILD.name: {build(): 1}}, {})


def describe(reading: Reading, limits: LabelLimits) -> Figures:
    """Return what a reading says."""
    learn_modules(reading, limits)
    series = {**describe_record(reading, limits), **describe_positions(reading)}
    return Figures(
        {metric.name: numbers for metric, numbers in series.items()},
        {name: histogram_of(reading.latencies, name, limits) for name in MEASURES},
    )


def learn_modules(reading: Reading, limits: LabelLimits) -> None:
    """Choose the modules that are named: those with the most orders, then those that only others name."""
    for pairs in (
        ((each.site.module, each.orders) for each in reading.counts),
        reading.in_doubt.items(),
        ((each.module, each.number) for each in reading.findings),
        ((each.victim, each.orders) for each in reading.fights),
    ):
        limits.learn_modules(sum_by((label_text(module), number) for module, number in pairs))


def describe_record(reading: Reading, limits: LabelLimits) -> Series:
    """Return what is said of the record and its orders."""
    oldest_ns = reading.oldest_in_doubt_ns
    return {
        declared.UP: {(): 1},
        declared.BUILD: {build(): 1},
        declared.READING: {(): reading.took_s},
        declared.ORDERS: count_orders(reading, limits),
        declared.IN_DOUBT: count_in_doubt(reading, limits),
        declared.IN_DOUBT_AGE: {(): 0 if oldest_ns is None else seconds_since(oldest_ns, reading)},
        declared.FINDINGS: count_findings(reading, limits),
        declared.FIGHTS: count_fights(reading, limits),
        declared.LOST: limits.keep_rising(declared.LOST.name, {(): reading.lost}),
        declared.LAG: measure_lag(reading),
    }


def describe_positions(reading: Reading) -> Series:
    """Return what is said of the open positions."""
    named = most_urgent(reading.positions)
    return {
        declared.POSITIONS: count_positions(reading.positions),
        declared.COVER: {(*name_of(state), state.cover): 1 for state in named},
        declared.BARE: {
            (*name_of(state), bared_by(state)): seconds_since(state.since_ns, reading)
            for state in named
            if state.cover == "bare"
        },
    }


def count_orders(reading: Reading, limits: LabelLimits) -> Mapping[Labels, float]:
    """Return the orders by module, operation, kind, outcome and mode."""
    orders = limits.add_up(
        declared.ORDERS,
        (
            ((limits.label_module(site.module), site.operation, site.kind, state, label_text(mode)), number)
            for site, mode, state, number, _ in reading.counts
        ),
    )
    for module, operation, kind, _, mode in list(orders):
        for outcome in OUTCOMES:
            orders.setdefault((module, operation, kind, outcome, mode), 0)
    return orders


def count_in_doubt(reading: Reading, limits: LabelLimits) -> Mapping[Labels, float]:
    """Return the orders in doubt by module, with a zero for each module that has none."""
    numbers = Counter[Labels]()
    for module in limits.modules:
        numbers[(module,)] = 0
    for module, number in reading.in_doubt.items():
        numbers[(limits.label_module(module),)] += number
    return numbers


def count_positions(positions: Iterable[PositionState]) -> Mapping[Labels, float]:
    """Return the open positions by cover."""
    numbers = Counter(state.cover for state in positions)
    return {(cover,): numbers[cover] for cover in COVERS}


def count_findings(reading: Reading, limits: LabelLimits) -> Mapping[Labels, float]:
    """Return the findings by code and module, with a zero for each code that was never found."""
    findings = limits.add_up(
        declared.FINDINGS,
        (
            ((label_text(each.code), limits.label_module(each.module)), each.number)
            for each in reading.findings
        ),
    )
    for code in REASONS:
        findings.setdefault((code, ""), 0.0)
    return findings


def count_fights(reading: Reading, limits: LabelLimits) -> Mapping[Labels, float]:
    """Return how many orders each module took from each other one."""
    return limits.add_up(
        declared.FIGHTS,
        (
            (
                (limits.label_module(each.module), limits.label_module(each.victim), each.operation),
                each.orders,
            )
            for each in reading.fights
        ),
    )


def measure_lag(reading: Reading) -> Mapping[Labels, float]:
    """Return the age of each host's newest event, of the hosts that were heard of last."""
    newest = sorted(reading.newest_ns.items(), key=lambda item: -item[1])[:MOST_HOSTS]
    return {(label_text(host),): seconds_since(ts, reading) for host, ts in reversed(newest)}


def histogram_of(latencies: Iterable[Latency], name: str, limits: LabelLimits) -> Histogram:
    """Return the histogram of this name."""
    rows = [latency for latency in latencies if latency.measure == MEASURES[name]]
    numbers: dict[Labels, float] = {(SUM,): sum(latency.sum_us for latency in rows)}
    for latency in rows:
        numbers[(bucket_label(latency.upper_us),)] = latency.orders
    rising = limits.keep_rising(name, numbers)
    buckets = [bucket_label(bound) for bound in (*LATENCY_BUCKETS_US, math.inf)]
    totals = itertools.accumulate(rising.get((bucket,), 0) for bucket in buckets)
    return Histogram(list(zip(buckets, totals, strict=True)), rising[(SUM,)] / SECOND_US)


def bucket_label(upper_us: float) -> str:
    """Return the label of a bucket: its upper bound in seconds."""
    return "+Inf" if upper_us == math.inf else str(upper_us / SECOND_US)


def most_urgent(positions: Iterable[PositionState]) -> list[PositionState]:
    """Return the positions that have series of their own: the bare ones first, then by name."""
    order = {"bare": 0, "partly": 1}
    ranked = sorted(positions, key=lambda state: (order.get(state.cover, 2), state.since_ns))
    return ranked[:MOST_POSITIONS]


def name_of(state: PositionState) -> Labels:
    """Return the labels that name a position."""
    account, symbol, side = map(label_text, state.position)
    return account, symbol, side


def bared_by(state: PositionState) -> str:
    """Return the module that took a bare position's last stop away; empty where none did."""
    ended_by = None if state.last_stop is None else state.last_stop.ended_by
    return label_text(None if ended_by is None else ended_by.module)


def seconds_since(ts: int, reading: Reading) -> float:
    """Return the seconds between a moment and the reading."""
    return max(reading.at_ns - ts, 0) / SECOND_NS


@cache
def build() -> Labels:
    """Return the labels that say which release this is."""
    try:
        release = version("exit_shim")
    except PackageNotFoundError:
        release = "unknown"
    return release, platform.python_version()
