"""One position of a timeline: what is known of its size and exits, and what that says of its cover. Pure."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final, Literal, NamedTuple, TypeAlias

from exit_shim.domain.events import PositionSeen
from exit_shim.reports.lives import TRAILING, Cover, Life, PositionName, Span, amount_of

SECOND_NS: Final = 1_000_000_000

PATIENCE: Final = 2.5
"""A position is known for so many times the seconds after which its source looks again."""

UNREPEATED_NS: Final = 600 * SECOND_NS
"""How long a position is known that only a stream told of, which nothing repeats."""

READ_LAG_NS: Final = 2 * SECOND_NS
"""An exit that was accepted later than this before a reading may not be listed yet."""

ARRIVAL_NS: Final = 10 * SECOND_NS
"""How long a request without an answer may take to have its effect after all."""

Doubt: TypeAlias = Literal[
    "never_seen", "not_seen_since", "resized", "in_doubt", "not_activated", "not_listed"
]
"""Why the cover of a position is unknown.

"resized": something closed at least a part of it, and nobody looked since. "in_doubt": an order without an
answer. "not_activated": a trailing stop may wait for its activation. "not_listed": what rests was not read,
so that a stop placed elsewhere may cover it.
"""

NO_AMOUNT: Final = Decimal(0)


class Verdict(NamedTuple):
    """The cover of a position at a moment, and why it is unknown where it is."""

    cover: Cover
    doubt: Doubt | None = None


class PositionState(NamedTuple):
    """What is known of a position at the moment that the timeline has come to.

    Attributes:
        position: The position.
        amount: How much is held, negative for a short position; None where that is not known.
        entry_price: Its average entry price, as text.
        mark_price: The mark price when it was last seen, as text.
        seen_ns: When it was last seen, in nanoseconds since the epoch; None for never.
        cover: Its cover.
        since_ns: Since when the cover is so.
        last_stop: Of a bare position, the stop whose end bared it.
        exits: Its live exits, the oldest first.
        doubt: Why the cover is unknown, where it is.
        source: What saw it last.
    """

    position: PositionName
    amount: Decimal | None
    entry_price: str | None
    mark_price: str | None
    seen_ns: int | None
    cover: Cover
    since_ns: int
    last_stop: Life | None
    exits: tuple[Life, ...]
    doubt: Doubt | None = None
    source: str | None = None


class PositionCover:
    """What a timeline knows of one position.

    Args:
        name: The position.
        at: When it was first heard of, in nanoseconds since the epoch.

    Attributes:
        seen: How it was last seen.
        known_until: Until when that holds.
        exits: Its live exits.
        guarded: How much the exchange's list showed as guarded; None once something changed since.
        unnamed: The listed ids of exits that nothing else is known of.
        is_settling: Whether several changes are under way, and the cover follows at their end.
        last_stop: The last stop that ended since it was covered.
        span: The time since when its cover is as it is.
    """

    def __init__(self, name: PositionName, at: int) -> None:
        self.name = name
        self.seen: PositionSeen | None = None
        self.seen_ns: int | None = None
        self.seen_by = ""
        self.known_until = 0
        self.exits: dict[int, Life] = {}
        self.guarded: Decimal | None = None
        self.unnamed: set[str] = set()
        self.is_settling = False
        self.last_stop: Life | None = None
        self.span = Span(name, at, "unknown")
        self._amount: Decimal | None = None
        # The side of the exits that were listed: others may rest beside them.
        self._listed_side: str | None = None
        # When its stops, its size and its being as seen changed last, by what was learnt elsewhere.
        self._changed_ns = 0
        self._heard_ns = 0
        # When the newest of its readings was asked for, and what it listed.
        self._asked_ns = 0
        self._listed: frozenset[str] = frozenset()
        self._resized_ns: int | None = None

    # What changes it

    def is_outdated(self, seen: PositionSeen, at: int) -> bool:
        """Return whether another reader, who asked later, told sooner."""
        # Where that is still to come the clock was set back.
        return seen.asked is not None and seen.asked < self._asked_ns <= at

    def brought_back_by(self, seen: PositionSeen) -> list[Life]:
        """Return the exits that an outdated reading told of, and that the newest one has not."""
        names = set(seen.exits or ()) - self._listed
        return [
            life
            for life in self.exits.values()
            if life.listed_ns > self._asked_ns and any(key[2] in names for key in life.ids)
        ]

    def see(self, seen: PositionSeen, at: int, run_id: str) -> None:
        """Take what the exchange showed, unless that is outdated."""
        amount, asked = amount_of(seen.amount), at if seen.asked is None else seen.asked
        # A reading that was asked for before the stream told of a change shows what was before it.
        is_older = asked < self._heard_ns
        if not is_older:
            self.guarded = self.guarded if amount == self._amount else None
            self._amount = amount
            if self._resized_ns is not None and (seen.asked is None or self._resized_ns < asked):
                self._resized_ns = None
        if seen.asked is None:
            self._heard_ns = at
        else:
            self._asked_ns, self._listed = seen.asked, frozenset(seen.exits or ())
        self.seen = seen if self.seen is None else with_prices(seen, self.seen)
        self.seen_ns, self.seen_by = at, run_id
        known_ns = int(seen.again_s * PATIENCE * SECOND_NS) if seen.again_s else UNREPEATED_NS
        self.known_until = at + known_ns
        if seen.exits is not None:
            self._listed_side = exit_side_of(amount)
            # What was listed before a change says nothing of what is now.
            if self._changed_ns < asked and not (is_older and amount != self._amount):
                self.guarded = amount_of(seen.guarded or "") or NO_AMOUNT

    def change_stops(self, at: int, *, is_listed: bool = False) -> None:
        """Note that its stops are others now; `is_listed` where a list of the exchange said so."""
        self.guarded = None
        if not is_listed:
            self._changed_ns = max(self._changed_ns, at)

    def reduce(self, quantity: Decimal | None, side: str | None, asked: int, at: int) -> None:
        """Note that an order closed so much of it, or all of it, or nobody knows how much.

        Args:
            quantity: How much; None where that is not known.
            side: The order's side.
            asked: When it was asked for.
            at: When it was answered.
        """
        # The stream often tells of it before the answer comes.
        if self._heard_ns > asked or self._amount == NO_AMOUNT:
            return
        size = abs(self._amount or NO_AMOUNT)
        if quantity is None or quantity >= size or side != self.exit_side:
            self._resized_ns = at
            return
        self._amount = (size - quantity).copy_sign(self._amount or size)
        self.guarded, self._heard_ns = None, at

    def fire(self, at: int, exchange_at: int | None) -> None:
        """Note that an exit was filled; its size is not known until it is seen again."""
        seen = self.seen
        # The exchange tells of the position first where both are of one moment.
        if not (seen and seen.at and exchange_at and seen.at >= exchange_at):
            self._resized_ns = at

    def unfire(self) -> None:
        """Note that an exit that fired closed nothing."""
        self._resized_ns = None

    def may_have_opened(self, at: int) -> None:
        """Note that somebody placed an exit, which a flat position needs not."""
        if self._amount == NO_AMOUNT:
            self._resized_ns = at

    def forget_sight(self) -> None:
        """Note that nobody looked for too long; what rests must be listed again."""
        self.guarded, self._listed_side = None, None

    # What it is

    @property
    def exit_side(self) -> str:
        """The side of the orders that reduce it."""
        return exit_side_of(self._amount)

    def verdict_at(self, at: int) -> Verdict:
        """Return the cover at a moment."""
        if self._amount is None:
            return Verdict("unknown", "never_seen")
        if at > self.known_until:
            return Verdict("unknown", "not_seen_since")
        if self._resized_ns is not None:
            return Verdict("unknown", "resized")
        if not self._amount:
            return Verdict("flat")
        stops = [life for life in self.exits.values() if life.is_stop and life.side == self.exit_side]
        if self.guarded is not None and not any(life.is_in_doubt for life in stops):
            return Verdict(cover_of(self.guarded, abs(self._amount)))
        return self._verdict_by_exits(stops)

    def _verdict_by_exits(self, stops: list[Life]) -> Verdict:
        size = abs(self._amount or NO_AMOUNT)
        sure = [life for life in stops if not life.is_in_doubt and not life.waits_for_activation]
        if any(life.close_position for life in sure):
            return Verdict("covered")
        cover = cover_of(closed_by(sure, size), size)
        is_hedged = self.name.position_side != "BOTH"
        # In hedge mode one stop more may keep another one from closing anything.
        if cover == "covered" and not (is_hedged and (len(stops) > len(sure) or self.unnamed)):
            return Verdict(cover)
        if len(stops) > len(sure):
            return Verdict("unknown", doubt_of(stops))
        # Without a list nobody knows whether something rests that was not placed here.
        is_listed = self._listed_side == self.exit_side and not self.unnamed
        return Verdict(cover) if is_listed else Verdict("unknown", "not_listed")

    def state(self, at: int) -> PositionState:
        """Return what is known of it at a moment."""
        seen, span = self.seen, self.span
        return PositionState(
            self.name,
            self._amount,
            None if seen is None else seen.entry_price,
            None if seen is None else seen.mark_price,
            self.seen_ns,
            span.cover,
            span.start_ns,
            span.last_stop,
            tuple(sorted(self.exits.values(), key=lambda life: life.placed_ns)),
            self.verdict_at(at).doubt,
            None if seen is None else seen.source,
        )


def exit_side_of(amount: Decimal | None) -> str:
    """Return the side of the orders that reduce a position."""
    return "SELL" if (amount or NO_AMOUNT) > 0 else "BUY"


def doubt_of(stops: Iterable[Life]) -> Doubt:
    """Return why stops that are not sure leave a position's cover unknown."""
    return "in_doubt" if any(life.is_in_doubt for life in stops) else "not_activated"


def cover_of(closed: Decimal, size: Decimal) -> Cover:
    """Return the cover of a position of which stops close so much."""
    return "covered" if closed >= size else "partly" if closed else "bare"


def closed_by(stops: list[Life], size: Decimal) -> Decimal:
    """Return how much of a position of a size stops close, one after the other."""
    stops = sorted(stops, key=firing_order) if len(stops) > 1 else stops
    if any(life.close_position for life in stops):
        return size
    closed = NO_AMOUNT
    for life in stops:
        quantity, left = life.quantity or NO_AMOUNT, size - closed
        # reduceOnly cuts what is more than the position; in hedge mode the exchange refuses such a stop.
        if life.position.position_side == "BOTH":
            closed += min(quantity, left)
        elif quantity <= left:
            closed += quantity
    return closed


def firing_order(life: Life) -> tuple[bool, Decimal]:
    """Return the key that sorts stops of one position by when they fire; trailing stops go last."""
    if life.level is None or life.type == TRAILING:
        return True, -(life.quantity or NO_AMOUNT)
    return False, -life.level if life.side == "SELL" else life.level


def with_prices(seen: PositionSeen, before: PositionSeen) -> PositionSeen:
    """Return a position with the prices that were known before where it has none."""
    if seen.amount == "0" or (seen.mark_price is not None and seen.entry_price is not None):
        return seen
    fields = {name: getattr(seen, name) for name in seen.__struct_fields__}
    fields["mark_price"] = seen.mark_price or before.mark_price
    fields["entry_price"] = seen.entry_price or before.entry_price
    return PositionSeen(**fields)
