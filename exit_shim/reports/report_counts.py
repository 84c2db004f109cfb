"""Count what a report shows of each order, as it is read."""

import bisect
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

from exit_shim.domain.events import Intent, Record, Target
from exit_shim.journal import IN_DOUBT, RecordFilter, state_of
from exit_shim.journal.record_source import LATENCY_BUCKETS_US, Latency, Measure
from exit_shim.reports.report_data import ELSEWHERE, Caller, FightKey, FightSite, Series

SECOND_NS: Final = 1_000_000_000
HOUR_NS: Final = 3600 * SECOND_NS
DAY_NS: Final = 24 * HOUR_NS

STEPS_NS: Final = (
    *(SECOND_NS, 5 * SECOND_NS, 15 * SECOND_NS, 60 * SECOND_NS, 300 * SECOND_NS, 900 * SECOND_NS),
    *(HOUR_NS, 6 * HOUR_NS, DAY_NS, 7 * DAY_NS, 28 * DAY_NS, 364 * DAY_NS),
)
"""How long a step of time can be; each is a multiple of the one before."""

MOST_NAMES: Final = 1_000
"""How many names are counted on their own; a journal may have a million modules' names."""

OTHERS: Final = "others"
"""What stands for all further names."""


class Names:
    """Admit the first so many names; the others are one."""

    def __init__(self, most: int = MOST_NAMES) -> None:
        self._most = most
        self._admitted: set[str] = set()

    def admit(self, name: str) -> str:
        """Return the name to count under."""
        if name in self._admitted:
            return name
        if len(self._admitted) >= self._most:
            return OTHERS
        self._admitted.add(name)
        return name


class Buckets:
    """Count names by time, in steps that grow as the time does.

    Args:
        most_steps: How many steps there may be between the first and the last.
        offset_ns: How far the clock of the report is ahead of UTC.
        least_ns: How long a step is at least.
    """

    def __init__(self, most_steps: int, offset_ns: int, least_ns: int = SECOND_NS) -> None:
        self._most_steps, self._offset_ns = most_steps, offset_ns
        self._later_ns = [step for step in STEPS_NS if step > least_ns]
        self._step_ns = least_ns
        self._first = self._last = -1
        self._names = Names()
        self._counts: Counter[tuple[str, int]] = Counter()

    def add(self, name: str, ts: int) -> None:
        """Count a name at a moment."""
        name = self._names.admit(name)
        step = (ts + self._offset_ns) // self._step_ns
        if not self._first <= step <= self._last:
            step = self._widen(step)
        self._counts[name, step] += 1

    def series(self) -> Series:
        """Return what was counted."""
        return Series(self._step_ns, self._offset_ns, self._counts)

    def _widen(self, step: int) -> int:
        """Take in a step; where there are too many now, make each longer."""
        self._first = step if self._first < 0 else min(self._first, step)
        self._last = max(self._last, step)
        while self._last - self._first >= self._most_steps and self._later_ns:
            longer_ns = self._later_ns.pop(0)
            coarse: Counter[tuple[str, int]] = Counter()
            for (name, fine), number in self._counts.items():
                coarse[name, fine * self._step_ns // longer_ns] += number
            self._first, self._last, step = (
                each * self._step_ns // longer_ns for each in (self._first, self._last, step)
            )
            self._counts, self._step_ns = coarse, longer_ns
        return step


class Histogram:
    """Count how long orders took, in the buckets of `Latency`."""

    def __init__(self, measure: Measure) -> None:
        self._measure: Measure = measure
        self._orders = [0] * (len(LATENCY_BUCKETS_US) + 1)
        self._sums = [0.0] * len(self._orders)

    def add(self, took_us: float) -> None:
        """Count an order."""
        place = bisect.bisect_left(LATENCY_BUCKETS_US, took_us)
        self._orders[place] += 1
        self._sums[place] += took_us

    def buckets(self) -> Iterator[Latency]:
        """Yield the buckets that have orders."""
        bounds = (*LATENCY_BUCKETS_US, math.inf)
        for bound, orders, sum_us in zip(bounds, self._orders, self._sums, strict=True):
            if orders:
                yield Latency(self._measure, bound, orders, sum_us)


class OrderCounts:
    """Count orders by what a report shows of them.

    Args:
        offset_ns: How far the clock of the report is ahead of UTC.
    """

    def __init__(self, offset_ns: int) -> None:
        # A month has 744 hours; of findings, days are wanted.
        self.churn = Buckets(750, offset_ns)
        self.findings = Buckets(48, offset_ns)
        self.states: Counter[tuple[str, str, str]] = Counter()
        self.fights: defaultdict[FightKey, FightSite] = defaultdict(FightSite)
        self.accounts: set[str] = set()
        self.names = Names()
        self._before_send, self._total = Histogram("before_send"), Histogram("total")

    def take(self, record: Record, caller: Caller) -> None:
        """Count an order."""
        intent, answer = record.intent, record.outcome
        # A caller has an admitted name.
        module = caller.module
        state = state_of(answer, record.resolution)
        self.states[module, intent.operation, state] += 1
        self.churn.add(module, intent.ts)
        if intent.account is not None:
            self.accounts.add(intent.account)
        for reason in record.reasons:
            self.findings.add(reason.code, intent.ts)
        if intent.targets and intent.operation != "place" and state in {"accepted", IN_DOUBT}:
            for target in intent.targets:
                if target.module != caller.module:
                    self._fight(intent, caller, target)
        if answer is not None and answer.result not in {"denied", "simulated", "not_sent"}:
            self._before_send.add(answer.presend_us)
            self._total.add(answer.total_us)

    def latencies(self) -> list[Latency]:
        """Return the histograms of how long orders took."""
        return [*self._before_send.buckets(), *self._total.buckets()]

    def _fight(self, intent: Intent, caller: Caller, target: Target) -> None:
        victim = ELSEWHERE if target.module is None else self.names.admit(target.module)
        if self.names.admit(caller.module) == OTHERS:
            caller = Caller(OTHERS, "?", "?")
        site = self.fights[FightKey(caller, victim, intent.operation)]
        site.orders += 1
        site.last_ns, site.symbol = intent.ts, intent.order.symbol or "?"
        site.last = str(target.algo_id or target.order_id or target.client_order_id or "?")


def fits(record: Record, wanted: RecordFilter) -> bool:
    """Return whether an order passes the filters that a timeline does not heed."""
    intent = record.intent
    if wanted.module is not None and intent.attribution.module != wanted.module:
        return False
    if wanted.kind is not None and intent.order.kind != wanted.kind:
        return False
    if wanted.outcome is not None and state_of(record.outcome, record.resolution) != wanted.outcome:
        return False
    return wanted.reason is None or any(reason.code == wanted.reason for reason in record.reasons)
