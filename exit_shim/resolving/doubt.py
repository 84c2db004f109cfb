"""One order in doubt: how often and how thoroughly to look it up, and what the answers prove."""

from collections.abc import Generator
from decimal import Decimal, InvalidOperation
from typing import Final, Literal, NamedTuple

from exit_shim.domain.accounts import exchange_of
from exit_shim.domain.events import Intent, Record, Resolution, Target
from exit_shim.domain.orders import CONDITIONAL_KINDS
from exit_shim.resolving.lookup import EARLY_MS, Lookup, OrderQuery, look_up
from exit_shim.resolving.questions import FoundOrder, QueryMarket, Question, Reply, query_market_of

NANOSECONDS: Final = 1_000_000_000
MILLISECOND: Final = 1_000_000

KEPT_S: Final = 2.5 * 86_400
"""How long absence proves something: after 3 days the exchange forgets orders that ended unfilled."""

GONE: Final = frozenset({"CANCELED"})
RESTING: Final = frozenset({"NEW", "PARTIALLY_FILLED", "TRIGGERING"})
BECAME: Final = frozenset({"TRIGGERED", "FINISHED"})
"""The states of an order that became another one, of which nothing is known."""


class RetryPolicy(NamedTuple):
    """How patiently orders in doubt are looked up.

    Args:
        absent_after_s: Seconds after an order's call ended before its absence proves anything: 60 for the
            longest recvWindow, in which a delayed request may still be executed, and 30 for reads, which
            Binance says may lag.
        looks: How many lookups in a row must find nothing, each answered in full.
        first_s: Seconds until the first lookup; each pause is twice the one before.
        longest_s: The longest pause.
        weight_a_minute: The most request weight to use; the account's limit is 2,400.
    """

    absent_after_s: float = 90.0
    looks: int = 3
    first_s: float = 1.0
    longest_s: float = 600.0
    weight_a_minute: int = 60


PACE: Final = RetryPolicy()


class Inquiry(NamedTuple):
    """What to ask about a record: the market and the orders to look up."""

    market: QueryMarket
    sought: tuple[OrderQuery, ...]
    conditional: bool


def why_unanswerable(record: Record) -> str | None:
    """Return why an order in doubt cannot be looked up; None where it can."""
    intent = record.intent
    order, targets = intent.order, intent.targets
    places = intent.operation == "place"
    reasons = (
        (query_market_of(intent.door) is None, f"{intent.door} is no method whose market is known"),
        (order.symbol is None, "it names no symbol"),
        (places and not order.client_order_id, "it has no client order id to ask for"),
        ("countdown" in intent.door, "a countdown is shown by no query"),
        (not places and not targets, "which orders it is about was not known to the process that sent it"),
        (not all(map(has_id, targets)), "an order that it is about has no id"),
    )
    if intent.operation == "test":
        return None
    return next((reason for applies, reason in reasons if applies), None)


def has_id(target: Target) -> bool:
    """Return whether an order that a cancel or change is about can be asked for."""
    return bool(target.order_id or target.algo_id or target.client_order_id)


def plan_inquiry(record: Record, taken: frozenset[int] = frozenset(), offset_ms: int = 0) -> Inquiry:
    """Return what to ask about a record that can be looked up.

    Args:
        record: The order in doubt.
        taken: Numbers of orders with its client order id that certainly are other records'.
        offset_ms: Milliseconds to add to this machine's clock for the exchange's.
    """
    intent = record.intent
    market, order = query_market_of(intent.door), intent.order
    assert market is not None  # noqa: S101 - what `why_unanswerable` is for
    symbol = order.symbol or ""
    if intent.operation == "place":
        made = intent.ts // MILLISECOND + offset_ms
        query = OrderQuery(symbol, order.side, None, None, order.client_order_id, made, taken)
        waits = order.type in CONDITIONAL_KINDS or "algo" in intent.door or "conditional" in intent.door
        return Inquiry(market, (query,), waits)
    queries = tuple(
        OrderQuery(symbol, None, target.order_id, target.algo_id, target.client_order_id)
        for target in intent.targets
    )
    return Inquiry(market, queries, any(may_be_conditional(target) for target in intent.targets))


def may_be_conditional(target: Target) -> bool:
    """Return whether an order that a cancel or change is about may be a conditional one."""
    return target.algo_id is not None or target.order_id is None


class Doubt:
    """A record in doubt and the lookups of it so far.

    `reason` says why it is still in doubt, `hopeless` that it stays so; `asked` counts requests, `clean` the
    lookups in a row that found nothing.

    Args:
        record: The record.
        pace: How patiently to look it up.
        heard_s: When this process learnt of it, on the monotonic clock; None for one of an earlier run, whose
            age is taken from the wall clock.
    """

    def __init__(self, record: Record, pace: RetryPolicy = PACE, heard_s: float | None = None) -> None:
        self.record = record
        self.pace = pace
        self.heard_s = heard_s
        self.asked = 0
        self.clean = 0
        self.pause = pace.first_s
        self.reason = why_unanswerable(record)
        self.hopeless = self.reason is not None

    @property
    def name(self) -> str | None:
        """Return the client order id by which a placed order is looked up."""
        placed = self.record.intent.operation == "place"
        return self.record.intent.order.client_order_id if placed else None

    def is_other(self, record: Record) -> bool:
        """Return whether a record is another order placed at the same exchange."""
        same = (record.run_id, record.seq) == (self.record.run_id, self.record.seq)
        there = exchange_of(record.intent.account) == exchange_of(self.record.intent.account)
        return record.intent.operation == "place" and there and not same

    def postpone(self, reason: str) -> None:
        """Stay in doubt until the next lookup, after twice the last pause."""
        self.reason, self.pause = reason, min(self.pause * 2, self.pace.longest_s)

    def age_s(self, now_ns: int, now_s: float) -> float:
        """Return the seconds since the order's call ended."""
        # A wall clock that jumps must not make it old.
        if self.heard_s is not None:
            return now_s - self.heard_s
        outcome = self.record.outcome
        return (now_ns - self.record.intent.ts) / NANOSECONDS - (outcome.total_us / 1e6 if outcome else 0)

    def inquire(
        self, now_ns: int, age_s: float, taken: frozenset[int] = frozenset(), offset_ms: int = 0
    ) -> Generator[Question, Reply, Resolution | None]:
        """Look it up once; return the resolution, or None while it stays in doubt.

        Args:
            now_ns: The time, nanoseconds since the epoch.
            age_s: How long ago the order's call ended.
            taken: See `plan_inquiry`.
            offset_ms: See `plan_inquiry`.
        """
        if self.record.intent.operation == "test":
            return self._resolved("not_there", None, ("test orders are judged and never placed",), now_ns)
        ripe = age_s >= self.pace.absent_after_s
        market, queries, conditional = plan_inquiry(self.record, taken, offset_ms)
        lookups: list[Lookup] = []
        for query in queries:
            lookup = yield from self._counted(look_up(market, query, conditional=conditional, thorough=ripe))
            lookups.append(lookup)
        return self._judge(lookups, now_ns, age_s, market, offset_ms)

    def _counted(self, asking: Generator[Question, Reply, Lookup]) -> Generator[Question, Reply, Lookup]:
        reply = None
        try:
            while True:
                question = asking.send(reply)  # type: ignore[arg-type] # None begins a generator
                self.asked += 1
                reply = yield question
        except StopIteration as done:
            lookup: Lookup = done.value
            return lookup

    def _judge(
        self, lookups: list[Lookup], now_ns: int, age_s: float, market: QueryMarket, offset_ms: int
    ) -> Resolution | None:
        """Return what the lookups of one round prove."""
        evidence = tuple(line for lookup in lookups for line in lookup.evidence)
        self.postpone(
            "too early to tell" if all(lookup.clean for lookup in lookups) else "not all was answered"
        )
        self.clean = self.clean + 1 if all(lookup.clean for lookup in lookups) else 0
        ripe = age_s >= self.pace.absent_after_s and self.clean >= self.pace.looks
        if self.record.intent.operation == "place":
            may_miss = ripe and self._proves_absence(market, age_s, namesake=lookups[0].namesake)
            return self._placed(lookups[0], evidence, now_ns, may_miss=may_miss)
        orders = [lookup.child or lookup.seen for lookup in lookups if lookup.seen is not None]
        if len(orders) < len(lookups):
            self.reason, self.hopeless = "an order that it is about is not found", ripe
            return None
        before_ms = self.record.intent.ts // MILLISECOND + offset_ms - EARLY_MS
        if self.record.intent.operation == "cancel":
            fate = cancelled(orders, before_ms)
        else:
            fate = changed(self.record.intent, orders[0], before_ms)
        return self._about(fate, lookups[0], evidence, now_ns, ripe=ripe)

    def _about(
        self, fate: "Fate", lookup: Lookup, evidence: tuple[str, ...], now_ns: int, *, ripe: bool
    ) -> Resolution | None:
        """Return the resolution of a cancel or change by the fate of its orders."""
        if fate in ("accepted", "not_there"):
            return self._resolved(fate, lookup, evidence, now_ns)
        if fate == "unclear":
            self.reason, self.hopeless = "the order that it is about has changed, and why does not show", ripe
        elif self._is_raw():
            self.reason, self.hopeless = "nothing has changed, as after a raw request for a countdown", ripe
        elif ripe:
            return self._resolved("not_there", lookup, evidence, now_ns)
        return None

    def _placed(
        self, lookup: Lookup, evidence: tuple[str, ...], now_ns: int, *, may_miss: bool
    ) -> Resolution | None:
        if lookup.seen is not None:
            refused = lookup.seen.status == "REJECTED" and lookup.seen.algo_id is None
            return self._resolved("rejected" if refused else "accepted", lookup, evidence, now_ns)
        return self._resolved("not_there", lookup, evidence, now_ns) if may_miss else None

    def _proves_absence(self, market: QueryMarket, age_s: float, *, namesake: bool) -> bool:
        """Return whether finding nothing proves absence; note why where it never does."""
        intent = self.record.intent
        conditional = intent.order.type in CONDITIONAL_KINDS
        if not market.shows_absence or (conditional and not market.shows_absent_stops):
            self.reason = "not found, but what this market says of an order that never was is not known"
        elif self._is_raw():
            self.reason = (
                "not found, but a raw request's client order id may not be the one that it went under"
            )
        elif age_s > KEPT_S:
            self.reason = "not found, but so old that the exchange may have forgotten it"
        elif namesake:
            self.reason = "one like it is there, of another time: was this machine's clock wrong?"
        else:
            return True
        self.hopeless = True
        return False

    def _is_raw(self) -> bool:
        return self.record.intent.door.startswith("_")

    def _resolved(
        self,
        result: Literal["accepted", "not_there", "rejected"],
        lookup: Lookup | None,
        evidence: tuple[str, ...],
        now_ns: int,
    ) -> Resolution:
        seen, child = (lookup.seen, lookup.child) if lookup is not None else (None, None)
        now = child or seen
        return Resolution(
            result=result,
            status=now.status if now is not None else None,
            order_id=now.order_id if now is not None else None,
            algo_id=seen.algo_id if seen is not None else None,
            client_order_id=seen.client_order_id if seen is not None else None,
            evidence=evidence,
            asked=self.asked,
            after_s=round((now_ns - self.record.intent.ts) / NANOSECONDS, 3),
        )


Fate = Literal["accepted", "not_there", "as it was", "unclear"]


def cancelled(orders: list[FoundOrder], before_ms: int) -> Fate:
    """Return the fate of a cancel by the orders that it was about."""
    if any(order.status in RESTING for order in orders):
        return "as it was"
    gone = [order for order in orders if order.status in GONE]
    if any(order.status in BECAME for order in orders) or not all(order.updated_ms for order in gone):
        return "unclear"
    # Filled, expired, or cancelled by something earlier: this cancel took nothing.
    return "accepted" if gone and all(order.updated_ms >= before_ms for order in gone) else "not_there"


def changed(intent: Intent, order: FoundOrder, before_ms: int) -> Fate:
    """Return the fate of a change by the order that it was about."""
    wanted = [
        (now, asked)
        for now, asked in ((order.price, intent.order.price), (order.quantity, intent.order.quantity))
        if asked is not None
    ]
    if wanted and all(is_same_number(now, asked) for now, asked in wanted):
        return "accepted"
    return "as it was" if wanted and order.updated_ms < before_ms else "unclear"


def is_same_number(one: str | None, other: str | None) -> bool:
    """Return whether two texts are the same number."""
    # Binance writes 0.010 and 1E+2 in its own ways.
    try:
        return one is not None and other is not None and Decimal(one) == Decimal(other)
    except InvalidOperation:
        return False
