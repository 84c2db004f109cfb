"""Fold the record into lives of exits and spans of cover. Pure."""

import heapq
import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from exit_shim.domain.events import ExchangeUpdate, PositionSeen, Record, Target
from exit_shim.domain.orders import COUNTDOWN, Reach, closes_now, reaches
from exit_shim.journal import IN_DOUBT, StoredEvent, state_of
from exit_shim.journal.rows import decode
from exit_shim.reports.lives import (
    Actor,
    Cover,
    End,
    Id,
    Life,
    PositionName,
    Span,
    actor_of,
    ids_of,
    life_of_record,
    life_of_update,
    number,
)
from exit_shim.reports.position_cover import (
    ARRIVAL_NS,
    READ_LAG_NS,
    SECOND_NS,
    PositionCover,
    PositionState,
)

__all__ = ["FACTS", "SECOND_NS", "PositionState", "Timeline"]

FACTS: Final = frozenset({"position_seen", "exchange_update", "run_ended"})
"""The events that a timeline is made of, besides the records."""

LATE_NS: Final = 30 * SECOND_NS
"""How much later than the exchange's word a cancel's own answer may come."""

MOST_ENDED: Final = 20_000
"""The ended exits that are remembered by their ids."""

ENDS: Final[dict[str, End]] = {
    "FILLED": "filled",
    "FINISHED": "filled",
    "TRIGGERED": "filled",
    "TRIGGERING": "filled",
    "CANCELED": "cancelled",
    "EXPIRED": "expired",
    "EXPIRED_IN_MATCH": "expired",
    "REJECTED": "expired",
    "GONE": "gone",
}
"""The exchange's words for the end of an exit."""

RESTS: Final = frozenset({"NEW", "PARTIALLY_FILLED"})

BECOME_LIMIT: Final = frozenset({"STOP", "TAKE_PROFIT"})
"""Conditional types that rest as a LIMIT order once they are triggered."""

NO_SUCH_ORDER: Final = frozenset({-2011, -2013})
"""The exchange's codes for an order that is not open, or is not there."""


class Timeline:
    """Take records and facts in the order of their time, and hand on what they come to.

    Args:
        on_life: Called with each exit when it ends, and at `finish` with those that live; None: `lives` keeps
            them all.
        on_span: Called with each span of cover when it ends, and at `finish`; None: `spans` keeps them.
    """

    def __init__(
        self,
        on_life: Callable[[Life], object] | None = None,
        on_span: Callable[[Span], object] | None = None,
    ) -> None:
        self.lives: list[Life] = []
        self.spans: list[Span] = []
        self.now = 0
        self._on_life = on_life or self.lives.append
        self._on_span = on_span or self.spans.append
        self._positions: dict[PositionName, PositionCover] = {}
        self._live: dict[Id, Life] = {}
        self._ended: OrderedDict[Id, Life] = OrderedDict()
        self._pending: list[tuple[int, int, Record]] = []
        self._numbers = itertools.count()

    # What happened

    def take_record(self, record: Record) -> None:
        """Take an order; it has its effect when its answer came."""
        self.advance(record.intent.ts)
        answer = record.outcome
        took_ns = 0 if answer is None else int(answer.total_us * 1_000)
        heapq.heappush(self._pending, (record.intent.ts + took_ns, next(self._numbers), record))

    def take_fact(self, stored: StoredEvent) -> None:
        """Take an event of one of the `FACTS`; others are ignored."""
        self.advance(stored.ts)
        if stored.event == "position_seen":
            self._see_position(decode(PositionSeen, stored.body), stored)
        elif stored.event == "exchange_update":
            update = decode(ExchangeUpdate, stored.body)
            # What closes now never rests; its effect is that of the position's next sight.
            if not closes_now(update.type, None):
                self._see_order(update, stored.ts)
        elif stored.event == "run_ended":
            for position in self._positions.values():
                if position.seen_by == stored.run_id:
                    position.known_until = min(position.known_until, stored.ts)

    def advance(self, at: int) -> None:
        """Let the orders have their effect whose answers came until `at`."""
        while self._pending and self._pending[0][0] <= at:
            effect_ns, _, record = heapq.heappop(self._pending)
            self._apply(record, effect_ns)
        self.now = max(self.now, at)

    def mention(self, name: PositionName, at: int) -> None:
        """Know of a position of which nothing else is known, such as that of a refused stop."""
        self._position(name, at)

    def finish(self, at: int) -> None:
        """End at a moment: hand on the exits that live, and the spans that last, without an end."""
        self.advance(at)
        while self._pending:
            effect_ns, _, record = heapq.heappop(self._pending)
            self._apply(record, effect_ns)
        for position in self._positions.values():
            self._update(position, max(at, self.now))
            for life in position.exits.values():
                self._on_life(life)
            self._on_span(position.span)

    def positions(self) -> list[PositionState]:
        """Return every position as it is at the moment that was come to."""
        # What was read was answered by now, though a stall may make its answer seem later.
        while self._pending:
            effect_ns, _, record = heapq.heappop(self._pending)
            self._apply(record, min(effect_ns, self.now))
        for position in self._positions.values():
            self._update(position, self.now)
        return [position.state(self.now) for position in self._positions.values()]

    # Orders

    def _apply(self, record: Record, at: int) -> None:
        intent, state = record.intent, state_of(record.outcome, record.resolution)
        if intent.operation == "place":
            if state in {"accepted", IN_DOUBT}:
                self._place(record, at, is_in_doubt=state == IN_DOUBT)
        elif intent.operation in {"cancel", "modify"} and intent.order.type != COUNTDOWN:
            if state == "accepted":
                self._take_away(record, at)
            elif state == IN_DOUBT or is_refused_as_gone(record):
                self._doubt(record, at)

    def _place(self, record: Record, at: int, *, is_in_doubt: bool) -> None:
        life, order = life_of_record(record, is_in_doubt=is_in_doubt), record.intent.order
        if not closes_now(order.type, order.time_in_force):
            life.doubted_ns = at if is_in_doubt else 0
            self._begin(life, at)
            return
        position = self._position(life.position, at)
        # Whether an IOC or FOK order was filled is not in the answer.
        is_sure = order.type == "MARKET" and not is_in_doubt
        position.reduce(life.quantity if is_sure else None, life.side, record.intent.ts, at)
        self._update(position, at)

    def _take_away(self, record: Record, at: int) -> None:
        intent = record.intent
        for life in self._targets(record):
            if intent.operation == "modify":
                self._change(life, record, at)
            else:
                self._end(life, at, "cancelled", actor_of(record))
        if intent.operation == "cancel":
            self._claim_ends(record, at)
            self._drop_unnamed(record, at)

    def _doubt(self, record: Record, at: int) -> None:
        """Note that exits may be gone: the answer is missing, or the exchange did not find them."""
        for life in self._targets(record):
            life.is_in_doubt, life.doubted_ns = True, at
            self._changed(life, at)

    def _begin(self, life: Life, at: int, *, is_listed: bool = False) -> None:
        rival = next((self._live[key] for key in life.ids if key in self._live), None)
        if rival is not None and is_other_order(rival, life.ids):
            # Its name could not be taken again while it was open.
            self._end(rival, at, "gone")
        elif rival is not None:
            self._recognize(rival, life, at)
            return
        ended = next((self._ended[key] for key in life.ids if key in self._ended and key[1] != "name"), None)
        if ended is not None and life.placed_by is not None:
            ended.placed_by = ended.placed_by or life.placed_by
            return
        self._name(life, life.ids)
        position = self._position(life.position, at)
        position.exits[id(life)] = life
        position.unnamed -= {key[2] for key in life.ids}
        life.accepted_ns = at
        if life.placed_by is not None:
            position.may_have_opened(at)
        self._changed(life, at, is_listed=is_listed)

    def _recognize(self, known: Life, placed: Life, at: int) -> None:
        """Take what its own record says of an exit that the exchange told of before the answer came."""
        known.placed_by, known.placed_ns = placed.placed_by, min(placed.placed_ns, known.placed_ns)
        known.is_in_doubt = False
        known.waits_for_activation = placed.waits_for_activation
        # A stream tells no activation price, and of some orders no price at all.
        known.level = placed.level if known.level is None else known.level
        self._name(known, placed.ids)
        self._update(self._position(known.position, at), at)

    def _change(self, life: Life, record: Record, at: int) -> None:
        """End an exit, and begin the one that a change made of it."""
        order, position = record.intent.order, self._position(life.position, at)
        changed = Life(
            life.position,
            life.side,
            life.kind,
            life.type,
            life.store,
            at,
            quantity=number(order.quantity) or life.quantity,
            level=number(order.trigger_price) or number(order.price) or life.level,
            close_position=life.close_position,
            waits_for_activation=life.waits_for_activation,
            placed_by=actor_of(record),
            ids=life.ids,
        )
        with self._settling(position, at):
            self._end(life, at, "changed", actor_of(record))
            for key in life.ids:
                self._ended.pop(key, None)
            self._begin(changed, at)

    def _targets(self, record: Record) -> Iterator[Life]:
        """Yield the live exits that a cancel or change is about."""
        intent = record.intent
        if intent.store is not None:
            yield from self._of_store(intent.account, intent.order.symbol, intent.store)
            return
        for target in intent.targets:
            life = self._find(intent.account, target)
            if life is not None:
                yield life

    def _of_store(self, account: str | None, symbol: str | None, reach: Reach) -> list[Life]:
        return [
            life
            for position in self._positions.values()
            if (position.name.account, position.name.symbol) == (account, symbol)
            for life in position.exits.values()
            if reaches(reach, life.store)
        ]

    def _find(self, account: str | None, target: Target | ExchangeUpdate) -> Life | None:
        return next((self._live[key] for key in ids_of(account, target) if key in self._live), None)

    def _claim_ends(self, record: Record, at: int) -> None:
        """Name who cancelled what the exchange had told of as cancelled before the answer came."""
        intent = record.intent
        for target in intent.targets:
            for key in ids_of(intent.account, target):
                life = self._ended.get(key)
                if life is not None and life.ended_by is None and life.end in {"cancelled", "gone"}:
                    if at - (life.ended_ns or 0) <= LATE_NS and (life.ended_ns or 0) >= intent.ts - LATE_NS:
                        life.ended_by, life.end = actor_of(record), "cancelled"
                    break

    def _drop_unnamed(self, record: Record, at: int) -> None:
        """Forget listed exits of which only the id was known, and that were cancelled."""
        intent = record.intent
        cancelled = {key[2] for target in intent.targets for key in ids_of(intent.account, target)}
        for position in self._positions.values():
            if position.unnamed and cancelled & position.unnamed:
                position.unnamed -= cancelled
                position.change_stops(at)
                self._update(position, at)

    def _end(
        self, life: Life, at: int, end: End, by: Actor | None = None, *, is_listed: bool = False
    ) -> None:
        life.ended_ns, life.end, life.ended_by = max(at, life.placed_ns), end, by
        for key in life.ids:
            if self._live.get(key) is life:
                del self._live[key]
            self._ended[key] = life
        while len(self._ended) > MOST_ENDED:
            self._ended.popitem(last=False)
        position = self._position(life.position, at)
        position.exits.pop(id(life), None)
        if life.is_stop:
            position.last_stop = life
            if position.span.cover in {"bare", "partly"} and position.span.last_stop is None:
                # The list of what rests came before the word of its end.
                position.span.last_stop = life
        self._on_life(life)
        self._changed(life, at, is_listed=is_listed)

    def _name(self, life: Life, ids: Iterable[Id]) -> None:
        life.ids = tuple(dict.fromkeys((*life.ids, *ids)))
        for key in life.ids:
            self._live[key] = life

    def _changed(self, life: Life, at: int, *, is_listed: bool = False) -> None:
        """Have the cover of a position follow from its exits, until it is listed again."""
        position = self._position(life.position, at)
        if life.is_stop and not (position.is_settling and is_listed):
            position.change_stops(at, is_listed=is_listed)
        self._update(position, at)

    # What the exchange says

    def _see_order(self, update: ExchangeUpdate, ts: int) -> None:
        life, is_listed = self._find(update.account, update), update.source != "stream"
        if life is not None and is_other_order(life, ids_of(update.account, update)):
            life = None
        end = ENDS.get(update.status)
        if update.status in RESTS:
            self._see_resting(update, life, ts)
        elif life is None:
            self._see_late_end(update, ts)
        elif update.status.startswith("TRIGGER") and life.type in BECOME_LIMIT:
            self._see_limit(life, update, ts)
        elif end is not None:
            self._end(life, ts, end, is_listed=is_listed)
            if end == "filled":
                position = self._position(life.position, ts)
                position.fire(ts, update.at)
                self._update(position, ts)

    def _see_resting(self, update: ExchangeUpdate, life: Life | None, ts: int) -> None:
        if life is not None:
            ids = tuple(ids_of(update.account, update))
            # Mostly it says nothing new.
            if life.is_in_doubt or not all(self._live.get(key) is life for key in ids):
                # A cancel without an answer may still arrive.
                life.is_in_doubt &= ts - life.doubted_ns <= ARRIVAL_NS
                self._name(life, ids)
                self._update(self._position(life.position, ts), ts)
            return
        is_listed = update.source != "stream"
        ended = self._find_ended(update)
        # A list, or a late event, may tell of what was before it ended.
        if ended is None or ended.end == "gone" or (is_listed and ts - (ended.ended_ns or 0) > ARRIVAL_NS):
            placed = life_of_update(update, min(update.at or ts, ts))
            if ended is not None:
                placed.placed_by, placed.waits_for_activation = ended.placed_by, ended.waits_for_activation
                for key in ended.ids:
                    self._ended.pop(key, None)
            placed.listed_ns = ts if is_listed else 0
            self._begin(placed, ts, is_listed=is_listed)

    def _find_ended(self, update: ExchangeUpdate) -> Life | None:
        keys = [key for key in ids_of(update.account, update) if key[1] != "name"]
        return next((self._ended[key] for key in keys if key in self._ended), None)

    def _see_late_end(self, update: ExchangeUpdate, ts: int) -> None:
        """Correct how an exit ended that had fired: it was refused then, and closed nothing."""
        ended, end = self._find_ended(update), ENDS.get(update.status)
        if ended is not None and ended.end == "filled" and end in {"expired", "cancelled"}:
            ended.end = end
            position = self._position(ended.position, ts)
            position.unfire()
            self._update(position, ts)

    def _see_limit(self, life: Life, update: ExchangeUpdate, ts: int) -> None:
        """Note that a conditional order rests as a LIMIT order from now on, which stops nothing."""
        if update.became is not None:
            self._name(life, [(update.account, "order", str(update.became))])
        if life.is_stop:
            position = self._position(life.position, ts)
            life.has_fired, position.last_stop = True, life
            position.change_stops(ts)
            self._update(position, ts)

    def _see_position(self, seen: PositionSeen, stored: StoredEvent) -> None:
        position = self._position(PositionName(seen.account, seen.symbol, seen.position_side), stored.ts)
        if position.known_until < stored.ts:
            self._update(position, stored.ts)
        if position.is_outdated(seen, stored.ts):
            for life in position.brought_back_by(seen):
                self._end(life, stored.ts, "gone", is_listed=True)
            return
        # As `_settling` does, which takes longer than all else here.
        position.is_settling = True
        if seen.exits is not None:
            self._list_exits(position, seen, stored.ts)
        position.see(seen, stored.ts, stored.run_id)
        position.is_settling = False
        self._update(position, stored.ts)

    def _list_exits(self, position: PositionCover, seen: PositionSeen, at: int) -> None:
        names, asked = set(seen.exits or ()), at if seen.asked is None else seen.asked
        named = {key[2] for life in position.exits.values() for key in life.ids}
        position.unnamed = {
            name for name in names - named if not self._has_ended(seen.account, name, asked - READ_LAG_NS)
        }
        # In one-way mode exits of the other side may rest beside them, and are listed nowhere.
        side = "BUY" if seen.amount.startswith("-") else "SELL"
        for life in [life for life in position.exits.values() if life.side in (side, None)]:
            lag_ns = ARRIVAL_NS if life.is_in_doubt else READ_LAG_NS
            if any(key[2] in names for key in life.ids):
                life.listed_ns = asked
                # A cancel without an answer may still arrive.
                life.is_in_doubt &= life.doubted_ns > asked - ARRIVAL_NS
            elif max(life.accepted_ns, life.doubted_ns) < asked - lag_ns:
                self._end(life, at, "gone", is_listed=True)

    def _has_ended(self, account: str | None, name: str, since: int) -> bool:
        """Return whether an exit has ended since a moment, so that a list may have it still."""
        ended = (self._ended.get((account, kind, name)) for kind in ("algo", "order", "name"))
        return any(life is not None and (life.ended_ns or 0) > since for life in ended)

    # Positions

    def _position(self, name: PositionName, at: int) -> PositionCover:
        position = self._positions.get(name)
        if position is None:
            position = self._positions[name] = PositionCover(name, at)
        return position

    @contextmanager
    def _settling(self, position: PositionCover, at: int) -> Iterator[None]:
        """Have the cover follow from several changes at their end, and from none on the way."""
        position.is_settling = True
        yield
        position.is_settling = False
        self._update(position, at)

    def _update(self, position: PositionCover, at: int) -> None:
        """End the span of cover where the cover is another one, or is not known any more."""
        if position.is_settling:
            return
        if position.seen is not None and position.known_until < at:
            self._set_cover(position, "unknown", position.known_until)
            position.forget_sight()
        self._set_cover(position, position.verdict_at(at).cover, at)

    def _set_cover(self, position: PositionCover, cover: Cover, at: int) -> None:
        last_stop = position.last_stop if cover in {"bare", "partly"} else None
        if cover in {"covered", "flat"}:
            position.last_stop = None
        span = position.span
        if cover == span.cover:
            return
        at = max(at, span.start_ns)
        if at > span.start_ns:
            span.end_ns = at
            self._on_span(span)
        position.span = Span(position.name, at, cover, last_stop=last_stop)


def is_other_order(life: Life, ids: Iterable[Id]) -> bool:
    """Return whether an exit and the ids that share its name are two orders: the numbers differ."""
    numbers = {kind: value for _, kind, value in life.ids if kind != "name"}
    return any(numbers.get(kind, value) != value for _, kind, value in ids if kind != "name")


def is_refused_as_gone(record: Record) -> bool:
    """Return whether the exchange refused a cancel or change because the order is not open."""
    return record.outcome is not None and record.outcome.error_code in NO_SUCH_ORDER
