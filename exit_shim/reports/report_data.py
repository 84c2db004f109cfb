"""What a report shows, as plain values: the exits, the cover, the fights and the counts."""

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from exit_shim.journal import IN_DOUBT
from exit_shim.journal.record_source import Latency
from exit_shim.reports.lives import Cover, End, PositionName
from exit_shim.reports.report_text import Clock
from exit_shim.reports.source_coverage import SourceCoverage

ELSEWHERE: Final = "not through the shim"
"""What stands for the module of an exit that the exchange told of and no record is about."""

STATES: Final = ("accepted", "rejected", "denied", "simulated", "not_sent", "not_there", IN_DOUBT)
"""What an order can have come to, in the order of tables."""


class Caller(NamedTuple):
    """The module, the function and the line, as "file.py:26", that an order came from."""

    module: str
    function: str
    place: str


class ExitLine(NamedTuple):
    """One exit from its placing to its end: a line of the ladder.

    Attributes:
        placed_ns: When it was placed, in nanoseconds since the epoch.
        ended_ns: When it ended; None while it lives.
        price: The price that it waits for; None where it has none of its own, as some trailing stops.
        kind: What it is for.
        placed_by: Who placed it; None where no record is about it.
        end: How it ended.
        ended_by: Who cancelled or changed it; None where nobody is known.
        is_ended_by_other: Whether a module ended what another one, or nobody known, had placed.
        name: The id that people know it by.
    """

    placed_ns: int
    ended_ns: int | None
    price: float | None
    kind: str
    placed_by: Caller | None
    end: End | None
    ended_by: Caller | None
    is_ended_by_other: bool
    name: str

    @property
    def module(self) -> str:
        """The module that placed it."""
        return ELSEWHERE if self.placed_by is None else self.placed_by.module


class CoverSpan(NamedTuple):
    """A time in which the cover of a position stayed the same.

    Attributes:
        position: The position.
        start_ns: Its beginning, in nanoseconds since the epoch.
        end_ns: Its end, or that of the report.
        cover: The cover.
        stop: The id of the stop whose end bared the position; None where none was seen.
        stop_of: The module that had placed that stop.
        by: Who cancelled it; None where nobody did, or nobody is known.
    """

    position: PositionName
    start_ns: int
    end_ns: int
    cover: Cover
    stop: str | None = None
    stop_of: str | None = None
    by: Caller | None = None

    @property
    def length_ns(self) -> int:
        """How long it lasted."""
        return self.end_ns - self.start_ns


@dataclass
class Prices:
    """The price of a symbol over time: moments in nanoseconds since the epoch, and the prices."""

    times: "array[int]" = field(default_factory=lambda: array("q"))
    prices: "array[float]" = field(default_factory=lambda: array("d"))

    def add(self, ts: int, price: float) -> None:
        """Add a later price."""
        self.times.append(ts)
        self.prices.append(price)


@dataclass
class Ladder:
    """The exits of one symbol, the cover of its positions, and its price.

    Attributes:
        symbol: The symbol.
        exits: Its exits in the order of their end; those that live are last.
        spans: The cover of each of its positions, in the order of its end.
        prices: Its mark price.
        counts: The exits by module, kind and how they ended, also of those that were dropped from `exits`.
        cover_ns: How long its positions were in each cover, added up, in nanoseconds.
        bares: How often one of its positions was bare.
        dropped: How many exits were dropped from `exits`, the oldest first, to bound the memory.
    """

    symbol: str
    exits: list[ExitLine] = field(default_factory=list)
    spans: list[CoverSpan] = field(default_factory=list)
    prices: Prices = field(default_factory=Prices)
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    cover_ns: Counter[Cover] = field(default_factory=Counter)
    bares: int = 0
    dropped: int = 0

    @property
    def number(self) -> int:
        """How many exits it had."""
        return sum(self.counts.values())

    @property
    def ended_by_other(self) -> int:
        """How many of its exits another module ended."""
        return sum(number for (_, _, how), number in self.counts.items() if how == BY_OTHER)

    @property
    def trouble(self) -> tuple[int, int, int]:
        """How much trouble it had, to compare."""
        return self.cover_ns["bare"], self.ended_by_other, self.number


BY_OTHER: Final = "by another module"
"""How an exit ended that another module cancelled or changed."""

HOW: Final = ("filled", "cancelled", "changed", BY_OTHER, "expired", "gone", "lives")
"""The ways in which exits are counted to have ended."""


class FightKey(NamedTuple):
    """A place in the bot that takes orders from another module.

    Attributes:
        caller: Who cancels or changes them.
        victim: The module that had placed them; `ELSEWHERE` where that is not known.
        operation: "cancel" or "modify".
    """

    caller: Caller
    victim: str
    operation: str


@dataclass
class FightSite:
    """How many orders a place took from another module, and the last of them.

    Attributes:
        orders: How many.
        last_ns: When it took the last one.
        last: The id of that order.
        symbol: Its symbol.
    """

    orders: int = 0
    last_ns: int = 0
    last: str = "?"
    symbol: str = "?"


class SwitchMark(NamedTuple):
    """A switch of the mode, of enforcement or of an executor's work, in words."""

    ts: int
    text: str
    by: str


@dataclass
class Series:
    """Counts by name and by time.

    Attributes:
        step_ns: How long a step of the time is.
        offset_ns: How far the clock of the report is ahead of UTC; steps begin at its full hours and days.
        counts: The counts by name and number of the step.
    """

    step_ns: int
    offset_ns: int
    counts: Mapping[tuple[str, int], int]

    def totals(self) -> list[tuple[str, int]]:
        """Return the names with their sums, the most first."""
        sums: Counter[str] = Counter()
        for (name, _), number in self.counts.items():
            sums[name] += number
        return sorted(sums.items(), key=lambda item: (-item[1], item[0]))

    def steps(self) -> list[int]:
        """Return the numbers of the steps in which something was counted."""
        return sorted({step for _, step in self.counts})

    def start_ns(self, step: int) -> int:
        """Return when a step begins, in nanoseconds since the epoch."""
        return step * self.step_ns - self.offset_ns


@dataclass
class ReportData:
    """Everything that a report shows.

    Attributes:
        source: Where it was read from, in words.
        filters: The filters that narrow it, as people type them.
        options: The options that let another command read the same, as a shell takes them.
        zone: The name of the zone of its times.
        offset_ns: How far that zone is ahead of UTC.
        made_ns: When it was made.
        first_ns: When the first thing in it happened; None where nothing did.
        last_ns: When the last thing happened.
        modules: The modules, those with the most orders first.
        ladders: The symbols, the most troubled first.
        fights: Who takes orders from whom.
        churn: Orders by module and time.
        findings: Reasons of the guard by code and time.
        switches: The switches, oldest first.
        states: Orders by module, operation and state.
        latencies: How long orders took.
        accounts: The labels of the accounts.
        lost: How many events are recorded as lost, by why.
        positions_seen: How often a position was seen at the exchange.
        coverage: Which places of the bot's source were ever seen; None where no source was read.
    """

    source: str
    filters: tuple[str, ...]
    options: tuple[str, ...]
    zone: str
    offset_ns: int
    made_ns: int
    first_ns: int | None
    last_ns: int
    modules: list[str]
    ladders: list[Ladder]
    fights: Mapping[FightKey, FightSite]
    churn: Series
    findings: Series
    switches: list[SwitchMark]
    states: Mapping[tuple[str, str, str], int]
    latencies: list[Latency]
    accounts: list[str]
    lost: Mapping[str, int]
    positions_seen: int
    coverage: SourceCoverage | None = None

    @property
    def clock(self) -> Clock:
        """The clock that its times are written by."""
        clock = Clock(self.offset_ns)
        days = {clock.day(ns) for ns in (self.first_ns, self.last_ns) if ns is not None}
        return clock._replace(is_one_day=len(days) == 1)

    @property
    def orders(self) -> int:
        """How many orders, changes and cancels it is about."""
        return sum(self.states.values())

    @property
    def exits(self) -> int:
        """How many exits rested or may have rested at the exchange."""
        return sum(ladder.number for ladder in self.ladders)

    @property
    def ended_by_other(self) -> int:
        """How many exits another module ended."""
        return sum(ladder.ended_by_other for ladder in self.ladders)

    @property
    def bares(self) -> int:
        """How often a position was bare."""
        return sum(ladder.bares for ladder in self.ladders)

    def cover_ns(self, cover: Cover) -> int:
        """Return how long positions had a cover, added up."""
        return sum(ladder.cover_ns[cover] for ladder in self.ladders)

    def count_state(self, *states: str) -> int:
        """Return how many orders came to these states."""
        return sum(number for (_, _, state), number in self.states.items() if state in states)

    def pairs(self) -> Counter[tuple[str, str]]:
        """Return how many orders each module took from each other one."""
        pairs: Counter[tuple[str, str]] = Counter()
        for key, site in self.fights.items():
            pairs[key.caller.module, key.victim] += site.orders
        return pairs


def how_ended(line: ExitLine) -> str:
    """Return how an exit ended, as it is counted."""
    if line.end is None:
        return "lives"
    return BY_OTHER if line.is_ended_by_other else line.end


def percentile(latencies: Iterable[Latency], measure: str, share: float) -> float | None:
    """Return the upper bound in microseconds below which a share of orders is; None where there are none."""
    buckets = sorted(bucket for bucket in latencies if bucket.measure == measure)
    wanted, seen = share * sum(bucket.orders for bucket in buckets), 0
    for bucket in buckets:
        seen += bucket.orders
        if seen >= wanted:
            return bucket.upper_us
    return None
