"""One order in doubt: how often and how thoroughly to look for it, and what the looks prove. Pure."""

from collections.abc import Generator
from decimal import Decimal, InvalidOperation
from typing import Final, Literal, NamedTuple

from exit_shim.clients.hosts import exchange_of
from exit_shim.domain.events import Intent, Record, Resolution, Target
from exit_shim.domain.orders import CONDITIONAL_KINDS
from exit_shim.resolving.lookup import EARLY_MS, Look, OrderQuery, look
from exit_shim.resolving.questions import QueryMarket, Question, Reply, Seen, query_market_of

NANOSECONDS: Final = 1_000_000_000
MILLISECOND: Final = 1_000_000

KEPT_S: Final = 2.5 * 86_400
"""Until when absence means something: an order that ended without a fill is forgotten in 3 days."""

GONE: Final = frozenset({"CANCELED"})
RESTING: Final = frozenset({"NEW", "PARTIALLY_FILLED", "TRIGGERING"})
BECAME: Final = frozenset({"TRIGGERED", "FINISHED"})
"""It became another order, and that one did not say what it is now."""


class RetryPolicy(NamedTuple):
    """How patient a resolver is.

    Args:
        absent_after_s: Seconds after an order's call ended before its absence proves anything. 60 is the
            longest recvWindow, so until then a request that was held up on the way may still be executed; the
            other 30 are for reads to catch up, which Binance says may lag.
        looks: How many looks in a row must have found nothing, each answered in full.
        first_s: Seconds until the first look; each pause is twice the one before.
        longest_s: The longest pause.
        weight_a_minute: The most that may be asked for, in request weight; the account's limit is 2,400.
    """

    absent_after_s: float = 90.0
    looks: int = 3
    first_s: float = 1.0
    longest_s: float = 600.0
    weight_a_minute: int = 60


PACE: Final = RetryPolicy()


class Inquiry(NamedTuple):
    """What is to be asked about a record: its market and the orders to look for."""

    market: QueryMarket
    sought: tuple[OrderQuery, ...]
    conditional: bool


def why_not(record: Record) -> str | None:
    """Why an order in doubt cannot be looked up; None where it can be."""
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
    """Whether an order that a cancel or change is about can be asked for."""
    return bool(target.order_id or target.algo_id or target.client_order_id)


def inquiry(record: Record, taken: frozenset[int] = frozenset(), offset_ms: int = 0) -> Inquiry:
    """What to ask about a record that `why_not` has nothing against.

    Args:
        record: The order in doubt.
        taken: Numbers of orders with its client order id that other records have proved to be theirs.
        offset_ms: What to add to this machine's clock for the exchange's.
    """
    intent = record.intent
    market, order = query_market_of(intent.door), intent.order
    assert market is not None  # noqa: S101 - what `why_not` is for
    symbol = order.symbol or ""
    if intent.operation == "place":
        made = intent.ts // MILLISECOND + offset_ms
        sought = OrderQuery(symbol, order.side, None, None, order.client_order_id, made, taken)
        waits = order.type in CONDITIONAL_KINDS or "algo" in intent.door or "conditional" in intent.door
        return Inquiry(market, (sought,), waits)
    found = tuple(
        OrderQuery(symbol, None, target.order_id, target.algo_id, target.client_order_id)
        for target in intent.targets
    )
    return Inquiry(market, found, any(may_wait(target) for target in intent.targets))


def may_wait(target: Target) -> bool:
    """Whether an order that a cancel or change is about may be a conditional one."""
    return target.algo_id is not None or target.order_id is None


class Doubt:
    """What is known so far of one record in doubt.

    `reason` says why it still is; `asked` counts requests, `clean` the looks in a row that found nothing.

    Args:
        record: Which.
        pace: How patient to be.
        heard_s: When this process heard of it, on the clock that only goes forward. None for one that an
            earlier run left: its age is what the wall clock says.
    """

    def __init__(self, record: Record, pace: RetryPolicy = PACE, heard_s: float | None = None) -> None:
        self.record = record
        self.pace = pace
        self.heard_s = heard_s
        self.asked = 0
        self.clean = 0
        self.pause = pace.first_s
        self.reason = why_not(record)
        self.hopeless = self.reason is not None

    @property
    def name(self) -> str | None:
        """The client order id under which a placed order is looked for."""
        placed = self.record.intent.operation == "place"
        return self.record.intent.order.client_order_id if placed else None

    def is_other(self, record: Record) -> bool:
        """Whether a record is another order at the same exchange; elsewhere ids and numbers begin anew."""
        same = (record.run_id, record.seq) == (self.record.run_id, self.record.seq)
        there = exchange_of(record.intent.account) == exchange_of(self.record.intent.account)
        return record.intent.operation == "place" and there and not same

    def put_off(self, reason: str) -> None:
        """Stay in doubt until the next look, after twice the last pause."""
        self.reason, self.pause = reason, min(self.pause * 2, self.pace.longest_s)

    def age_s(self, now_ns: int, now_s: float) -> float:
        """Seconds since the order's call ended; a wall clock that jumps must not make it old."""
        if self.heard_s is not None:
            return now_s - self.heard_s
        known = self.record.outcome
        return (now_ns - self.record.intent.ts) / NANOSECONDS - (known.total_us / 1e6 if known else 0)

    def inquire(
        self, now_ns: int, age_s: float, taken: frozenset[int] = frozenset(), offset_ms: int = 0
    ) -> Generator[Question, Reply, Resolution | None]:
        """Look for it once; returns the resolution, or None while it stays in doubt.

        Args:
            now_ns: The time, nanoseconds since the epoch.
            age_s: How long ago the order's call ended.
            taken: See `inquiry`.
            offset_ms: See `inquiry`.
        """
        if self.record.intent.operation == "test":
            return self._resolved("not_there", None, ("test orders are judged and never placed",), now_ns)
        ripe = age_s >= self.pace.absent_after_s
        market, sought, conditional = inquiry(self.record, taken, offset_ms)
        looks: list[Look] = []
        for one in sought:
            found = yield from self._counted(look(market, one, conditional=conditional, thorough=ripe))
            looks.append(found)
        return self._judge(looks, now_ns, age_s, market, offset_ms)

    def _counted(self, asking: Generator[Question, Reply, Look]) -> Generator[Question, Reply, Look]:
        reply = None
        try:
            while True:
                question = asking.send(reply)  # type: ignore[arg-type] # None begins a generator
                self.asked += 1
                reply = yield question
        except StopIteration as done:
            found: Look = done.value
            return found

    def _judge(
        self, looks: list[Look], now_ns: int, age_s: float, market: QueryMarket, offset_ms: int
    ) -> Resolution | None:
        """What the looks of one round prove."""
        evidence = tuple(line for one in looks for line in one.evidence)
        self.put_off("too early to tell" if all(one.clean for one in looks) else "not all was answered")
        self.clean = self.clean + 1 if all(one.clean for one in looks) else 0
        ripe = age_s >= self.pace.absent_after_s and self.clean >= self.pace.looks
        if self.record.intent.operation == "place":
            may_miss = ripe and self._shows(market, age_s, namesake=looks[0].namesake)
            return self._placed(looks[0], evidence, now_ns, may_miss=may_miss)
        seen = [one.child or one.seen for one in looks if one.seen is not None]
        if len(seen) < len(looks):
            self.reason, self.hopeless = "an order that it is about is not found", ripe
            return None
        before_ms = self.record.intent.ts // MILLISECOND + offset_ms - EARLY_MS
        if self.record.intent.operation == "cancel":
            told = cancelled(seen, before_ms)
        else:
            told = changed(self.record.intent, seen[0], before_ms)
        return self._about(told, looks[0], evidence, now_ns, ripe=ripe)

    def _about(
        self, told: "Told", one: Look, evidence: tuple[str, ...], now_ns: int, *, ripe: bool
    ) -> Resolution | None:
        """The resolution of a cancel or change, by what became of the orders that it is about."""
        if told in ("accepted", "not_there"):
            return self._resolved(told, one, evidence, now_ns)
        if told == "unclear":
            self.reason, self.hopeless = "the order that it is about has changed, and why does not show", ripe
        elif self._is_raw():
            self.reason, self.hopeless = "nothing has changed, as after a raw request for a countdown", ripe
        elif ripe:
            return self._resolved("not_there", one, evidence, now_ns)
        return None

    def _placed(
        self, one: Look, evidence: tuple[str, ...], now_ns: int, *, may_miss: bool
    ) -> Resolution | None:
        if one.seen is not None:
            refused = one.seen.status == "REJECTED" and one.seen.algo_id is None
            return self._resolved("rejected" if refused else "accepted", one, evidence, now_ns)
        return self._resolved("not_there", one, evidence, now_ns) if may_miss else None

    def _shows(self, market: QueryMarket, age_s: float, *, namesake: bool) -> bool:
        """Whether nothing found would prove that nothing is there; says why where it never would."""
        intent = self.record.intent
        conditional = intent.order.type in CONDITIONAL_KINDS
        if not market.shows_absence or (conditional and market.conditional is None):
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
        one: Look | None,
        evidence: tuple[str, ...],
        now_ns: int,
    ) -> Resolution:
        seen, child = (one.seen, one.child) if one is not None else (None, None)
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


Told = Literal["accepted", "not_there", "as it was", "unclear"]


def cancelled(seen: list[Seen], before_ms: int) -> Told:
    """What the orders that a cancel was about say of it; "as it was" while one of them rests."""
    if any(one.status in RESTING for one in seen):
        return "as it was"
    gone = [one for one in seen if one.status in GONE]
    if any(one.status in BECAME for one in seen) or not all(one.updated_ms for one in gone):
        return "unclear"
    # Filled, expired, or cancelled by something earlier: this cancel took nothing.
    return "accepted" if gone and all(one.updated_ms >= before_ms for one in gone) else "not_there"


def changed(intent: Intent, seen: Seen, before_ms: int) -> Told:
    """What the order that a change was about says of it."""
    wanted = [
        (now, asked)
        for now, asked in ((seen.price, intent.order.price), (seen.quantity, intent.order.quantity))
        if asked is not None
    ]
    if wanted and all(same(now, asked) for now, asked in wanted):
        return "accepted"
    return "as it was" if wanted and seen.updated_ms < before_ms else "unclear"


def same(one: str | None, other: str | None) -> bool:
    """Whether two texts are the same number; Binance writes 0.010 and 1E+2 in its own ways."""
    try:
        return one is not None and other is not None and Decimal(one) == Decimal(other)
    except InvalidOperation:
        return False
