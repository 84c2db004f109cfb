"""The book: what the guard knows of live exits, learnt from events and from what the exchange says.

It composes the live exits themselves (`live_exits`), what they leave behind (`tracks`), and how far all of
that can be trusted (`trust`), behind one lock.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec

from exit_shim.domain.events import ExecutorStep, Intent, Outcome, Resolution, Result, Target
from exit_shim.domain.orders import (
    CONDITIONAL_KINDS,
    COUNTDOWN,
    ExitOrder,
    Operation,
    Reach,
    Reference,
    Store,
    closes_now,
    reaches,
)
from exit_shim.domain.recorded import RecordedEvent
from exit_shim.guard.amounts import to_decimal
from exit_shim.guard.live_exits import MAX_LIVE, LiveExit, LiveExits, PositionKey, position_of
from exit_shim.guard.order_ids import Key, keys_of
from exit_shim.guard.tracks import LastStop, Tracks
from exit_shim.guard.trust import Trust
from exit_shim.runtime.reentrancy import DeferredAggregate

GRACE_S: Final = 2.0
"""How long an order that the exchange reports waits for the answer to the call that placed it."""

READ_LAG_NS: Final = 2_000_000_000
"""An order that was accepted this long ago is in the exchange's lists, if it rests; they may lag behind."""

UNANSWERED: Final = Outcome("unknown")
ENDED: Final = frozenset({"FILLED", "CANCELED", "EXPIRED", "FINISHED", "REJECTED"})


class BookContext(NamedTuple):
    """The surroundings of one order in the book.

    Attributes:
        beside: Of an order to place, the live exits of its position, oldest first.
        placed_at: Of an order to place, when its module placed this kind there, in ns since the epoch.
        last_stop: Of an order to place, the stop that its position had last.
        size: Of an order to place, the position's size; None where it was never seen.
        is_hedged: Of an order to place, whether its symbol has two positions.
        removed: Of a cancel or change, the live exits that it takes.
        around: Of a cancel or change, what is around each stop that it takes, by position.
        out_of_reach: Of a cancel-all, the live exits of its symbol in the store that it does not reach.
    """

    beside: tuple[LiveExit, ...] = ()
    placed_at: tuple[int, ...] = ()
    last_stop: LastStop | None = None
    size: Decimal | None = None
    is_hedged: bool = False
    removed: tuple[LiveExit, ...] = ()
    around: Mapping[PositionKey, "BookContext"] = MappingProxyType({})
    out_of_reach: tuple[LiveExit, ...] = ()


EMPTY_CONTEXT: Final = BookContext()


class Book(DeferredAggregate[RecordedEvent]):
    """Answers what rests where, and whose it is; thread-safe, bounded.

    Attributes:
        trust: Why what it knows may be wrong.
        catch_up: Reads, now, what other processes did; set where an unknown order could be denied for it.
        expects: Whether intents come before their outcomes, so that refusals must come too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trust = Trust()
        self.catch_up: Callable[[str | None, Reference | None], None] | None = None
        self.expects = False
        self._exits = LiveExits()
        self._tracks = Tracks()
        self._announced: OrderedDict[Key, tuple[float, LiveExit]] = OrderedDict()

    # What happened

    def fold(self, recorded: RecordedEvent) -> None:
        """Learn from an event of this process, of another one, or of an earlier run.

        This is the only way in which the book learns of orders. Sizes, and what the exchange itself says,
        come by other methods.
        """
        event, about = recorded.event, recorded.about
        if isinstance(event, Outcome):
            if about is not None and (
                about.params is not None or self.expects or event.result in {"accepted", "unknown"}
            ):
                self.take(recorded)
        elif isinstance(event, Intent):
            if self.expects and recorded.leaves:
                self._expect(event)
        elif isinstance(event, Resolution) and about is not None:
            self.take(recorded)
        elif isinstance(event, ExecutorStep) and event.verb in {"begin", "end"}:
            self._learn_episode(event)

    def _learn_episode(self, step: ExecutorStep) -> None:
        """Take in a position that the executor saw open, or closed: its last cancels bare nothing."""
        for exit_side, side in (("SELL", "LONG"), ("BUY", "SHORT")):
            is_open = step.verb == "begin" and step.state.get("side") == side
            size = to_decimal(step.state.get("size")) if is_open else None
            position = PositionKey(step.account, step.symbol, step.position_side, exit_side)
            self.set_size(position, size or Decimal(0))

    def _expect(self, intent: Intent) -> None:
        """Have an order that is about to leave count as one in doubt until its outcome."""
        # Else a cancel-all of another thread, in the moment between the exchange's taking an owner's stop and
        # its answer, would take a stop that nobody knows of yet.
        if intent.operation == "place" and intent.order.client_order_id is not None:
            with self._lock:
                self._fold_all()
                self._add_in_doubt(intent, UNANSWERED, time.time_ns())

    def _fold(self, recorded: RecordedEvent) -> None:
        intent, event = recorded.intent, recorded.event
        if intent is None:
            return
        if recorded.about is not None and recorded.about.params is not None:
            recorded.book_context = self._context_of(intent)
        if isinstance(event, Outcome):
            self._learn(intent, event, recorded.ts)
        elif isinstance(event, Resolution):
            self._learn(intent, outcome_proved_by(event, intent.operation), recorded.ts)
            self.trust.settle(intent.account, intent.order.symbol)

    def _learn(self, intent: Intent, outcome: Outcome, accepted_at: int) -> None:
        order, operation = intent.order, intent.operation
        if outcome.result == "unknown":
            if operation in {"place", "cancel"}:
                self._learn_doubt(intent, outcome, accepted_at)
        elif operation == "place" and outcome.result == "accepted" and rests(order):
            self._add(intent, outcome, accepted_at)
        elif operation == "cancel" and outcome.result == "accepted":
            if order.type != COUNTDOWN:  # that has only begun
                self._remove_targets(intent)
        elif operation == "place" and outcome.result != "accepted":
            self._drop_expected(intent)
        elif order.kind == "close":  # the position may be gone, and nothing has to follow
            self._tracks.forget_lost_stop(position_of(intent.account, order))

    def _learn_doubt(self, intent: Intent, outcome: Outcome, accepted_at: int) -> None:
        self.trust.doubt(intent.account, intent.order.symbol)
        if intent.operation == "place" and intent.order.client_order_id is not None:
            self._add_in_doubt(intent, outcome, accepted_at)

    def _add(self, intent: Intent, outcome: Outcome, accepted_at: int, *, in_doubt: bool = False) -> None:
        live = live_exit_of(intent, outcome, accepted_at, in_doubt=in_doubt)
        self._exits.put(live)
        if not in_doubt:
            self._tracks.note_placed(live)
        if self._exits.has_ended(live.account, live.target):  # its end was reported before its answer came
            self._exits.drop(live)

    def _add_in_doubt(self, intent: Intent, outcome: Outcome, accepted_at: int) -> None:
        """Add an order that may rest, unless one that surely does has its name: a repeat is refused."""
        if not self._exits.is_surely_live(
            intent.account, store_of(intent.order), intent.order.client_order_id
        ):
            self._add(intent, outcome, accepted_at, in_doubt=True)

    def _drop_expected(self, intent: Intent) -> None:
        for live in self._exits.find_in_doubt(intent.account, intent.order.client_order_id, intent.ts):
            self._exits.drop(live)

    def _remove_targets(self, intent: Intent) -> None:
        for target in intent.targets:
            self._note_ended(intent.account, target)
            if (live := self._exits.find(intent.account, target)) is not None:
                self._exits.drop(live)
                if live.is_protective:
                    self._tracks.note_lost_stop(live)

    # What is known of orders

    def find(self, account: str | None, reference: Reference) -> Target | None:
        """Return the order behind an id; None where its placing is not known."""
        live = self.find_live(account, reference)
        if (live is None or live.target.module is None) and self.catch_up is not None:
            self.catch_up(account, reference)
            live = self.find_live(account, reference)
        return None if live is None else live.target

    def find_live(self, account: str | None, reference: Reference | Target) -> LiveExit | None:
        """Return all that is known of the order behind an id, also of one that was not listed of late."""
        with self._lock:
            self._fold_all()
            exits = self._exits
            return exits.find(account, reference) or exits.find_unlisted(account, reference)

    def all_of(self, account: str | None, symbol: str | None, store: Reach) -> tuple[Target, ...]:
        """Return the live exits that a cancel-all takes away, oldest first."""
        if self.catch_up is not None:
            self.catch_up(account, None)
        with self._lock:
            self._fold_all()
            exits = [live for live in self._exits.of_symbol(account, symbol) if reaches(store, live.store)]
        return tuple(live.target for live in sorted(exits, key=lambda live: live.ts))

    def exits_of(self, position: PositionKey) -> tuple[LiveExit, ...]:
        """Return the live exits of a position, oldest first."""
        with self._lock:
            self._fold_all()
            return self._exits.of_position(position)

    def positions(self) -> list[PositionKey]:
        """Return every position that has live exits."""
        with self._lock:
            self._fold_all()
            return self._exits.positions()

    def positions_of(self, account: str | None, symbol: str | None) -> list[PositionKey]:
        """Return the positions of a symbol that have live exits."""
        return [key for key in self.positions() if (key.account, key.symbol) == (account, symbol)]

    def context_of(self, intent: Intent) -> BookContext:
        """Return what is around an order that is about to leave."""
        with self._lock:
            self._fold_all()
            return self._context_of(intent)

    def context_of_removed(self, removed: tuple[LiveExit, ...]) -> BookContext:
        """Return what is around a cancel of live exits."""
        with self._lock:
            self._fold_all()
            return self._context_of_removed(removed)

    def context_before(self, recorded: RecordedEvent) -> BookContext:
        """Return what was around an order of this process before its outcome was learnt."""
        with self._lock:
            self._fold_all()
        context: BookContext = recorded.book_context or EMPTY_CONTEXT
        return context

    def _context_of(self, intent: Intent) -> BookContext:
        account, order, tracks = intent.account, intent.order, self._tracks
        if intent.operation == "place":
            position = position_of(account, order)
            return BookContext(
                self._exits.of_position(position),
                tracks.placed_at(position, order.kind, intent.attribution.module),
                tracks.last_stop(position),
                tracks.size(position),
                tracks.is_hedged(account, order.symbol),
            )
        exits = (self._exits.find(account, target) for target in intent.targets)
        context = self._context_of_removed(tuple(live for live in exits if live is not None))
        if intent.store is None:
            return context
        others = self._exits.of_symbol(account, order.symbol)
        return context._replace(
            out_of_reach=tuple(live for live in others if not reaches(intent.store, live.store))
        )

    def _context_of_removed(self, removed: tuple[LiveExit, ...]) -> BookContext:
        positions = {live.position for live in removed if live.is_protective}
        around = {
            position: BookContext(self._exits.of_position(position), size=self._tracks.size(position))
            for position in positions
        }
        return BookContext(removed=removed, around=around)

    # What is known of positions

    def size(self, position: PositionKey) -> Decimal | None:
        """Return the position's size when it was last seen at the exchange; None where it never was."""
        return self._tracks.size(position)

    def set_size(self, position: PositionKey, size: Decimal, at: int | None = None) -> None:
        """Remember a position's size as it was at `at`, in ns since the epoch; None: now."""
        at = at or time.time_ns()
        with self._lock:
            self._fold_all()
            self._tracks.set_size(position, size, at)

    def sized_positions(self, account: str | None) -> list[PositionKey]:
        """Return the positions of an account whose sizes were seen."""
        with self._lock:
            return self._tracks.sized_positions(account)

    def lost_stops(self) -> list[tuple[PositionKey, float]]:
        """Return the positions that lost a stop, and when, on the monotonic clock."""
        with self._lock:
            self._fold_all()
            return self._tracks.lost_stops()

    def pop_lost_stop(self, position: PositionKey) -> bool:
        """Return whether a position that lost a stop has none since; it is not asked about again."""
        with self._lock:
            self._fold_all()
            self._tracks.forget_lost_stop(position)
            return not any(live.is_protective for live in self._exits.of_position(position))

    # What the exchange says

    def compare(
        self, account: str | None, symbol: str | None, listed: Iterable[Reference], asked: int
    ) -> None:
        """Set the live exits of a symbol right by what the exchange lists.

        Args:
            account: Whose orders are listed.
            symbol: The symbol that they are of.
            listed: The orders of both stores.
            asked: When the exchange was asked, in ns since the epoch.
        """
        listed_keys = {key for reference in listed for key in keys_of(account, reference)}
        with self._lock:
            self._fold_all()
            for live in self._exits.of_symbol(account, symbol):
                is_old = live.accepted_at < asked - READ_LAG_NS and not live.in_doubt
                if is_old and listed_keys.isdisjoint(keys_of(account, live.target)):
                    self._exits.set_aside(live)
            self._exits.bring_back(account, listed_keys)

    def announce(self, live: LiveExit) -> None:
        """Take an order that the exchange reports; it counts once `admit` finds nobody who placed it."""
        # Whoever placed it, in this process or in another of its journal, learns of its acceptance in a
        # moment. Until then it would look like somebody else's.
        with self._lock:
            key = keys_of(live.account, live.target)[0]
            is_new = not self._exits.has_ended(
                live.account, Reference(live.target.order_id, live.target.algo_id)
            )
            if is_new and len(self._announced) < MAX_LIVE:
                self._announced.setdefault(key, (time.monotonic(), live))

    def admit(self, waited_s: float = GRACE_S) -> None:
        """Add the announced orders that no module has claimed within the grace period."""
        if not self._announced:
            return
        with self._lock:
            self._fold_all()
            while self._announced:
                key, (since, live) = next(iter(self._announced.items()))
                if time.monotonic() - since < waited_s:
                    return
                del self._announced[key]
                self._admit(live)

    def end_order(
        self,
        account: str | None,
        store: Store,
        reference: Reference,
        *,
        undone: bool = False,
        child: int | None = None,
        child_rests: bool = False,
    ) -> None:
        """Drop an order that has ended, as the exchange says.

        Args:
            account: Whose order it was.
            store: Which store its ids are of.
            reference: Its ids: the answer that has its number may still be on the way.
            undone: Whether it closed nothing, so that a position may be without a stop.
            child: The number of the order that a conditional one became.
            child_rests: Whether that one rests in its place.
        """
        with self._lock:
            self._fold_all()
            live = self._exits.find_in_store(account, store, reference)
            self._note_ended(account, reference)
            if child is not None and not child_rests:
                self._note_ended(account, Reference(child))
            if live is None:
                return
            self._exits.drop(live)
            if child is not None and child_rests:
                self._put_child(live, child)
            elif undone and live.is_protective and self._tracks.size(live.position) != 0:
                self._tracks.note_lost_stop(live)

    def _put_child(self, live: LiveExit, number: int) -> None:
        target = msgspec.structs.replace(live.target, order_id=number, algo_id=None)
        if not self._exits.has_ended(live.account, Reference(number)):
            self._exits.put(msgspec.structs.replace(live, store="orders", type="LIMIT", target=target))

    def _note_ended(self, account: str | None, reference: Reference | Target) -> None:
        for key in self._exits.note_ended(account, reference):
            self._announced.pop(key, None)

    def _admit(self, announced: LiveExit) -> None:
        target = announced.target
        reference = Reference(target.order_id, target.algo_id, target.client_order_id)
        store: Store = "conditional" if target.algo_id else "orders"
        live = self._exits.find_in_store(announced.account, store, reference)
        if live is None:
            self._exits.put(announced)
            self._tracks.note_hedged(announced)
            if announced.is_protective:
                self._tracks.forget_lost_stop(announced.position)
        elif live.in_doubt:  # its answer did not come, and here it is
            target = msgspec.structs.replace(live.target, order_id=target.order_id, algo_id=target.algo_id)
            self._exits.put(
                msgspec.structs.replace(
                    live, target=target, in_doubt=False, accepted_at=announced.accepted_at
                )
            )

    # How sure it is

    def settle(self, account: str | None, symbol: str | None) -> None:
        """End the doubts about a symbol: both stores were read."""
        with self._lock:
            self._fold_all()
            self.trust.settle(account, symbol)

    def why_unsure(self, account: str | None, symbol: str | None) -> str | None:
        """Return why what is known of a symbol may be wrong; None where there is no reason to think so."""
        with self._lock:
            self._fold_all()
            return self.trust.why_unsure(account, symbol)


def live_exit_of(intent: Intent, outcome: Outcome, accepted_at: int, *, in_doubt: bool) -> LiveExit:
    """Return the live exit that an accepted order is, or that one in doubt may be."""
    order, who = intent.order, intent.attribution
    target = Target(
        kind=order.kind,
        module=who.module,
        dotted_module=who.dotted_module,
        order_id=outcome.order_id,
        algo_id=outcome.algo_id,
        client_order_id=outcome.client_order_id or order.client_order_id,
    )
    return LiveExit(
        intent.account,
        order.symbol,
        store_of(order),
        target,
        position_of(intent.account, order),
        order.type,
        order.quantity,
        order.trigger_price,
        order.close_position,
        intent.ts,
        in_doubt,
        accepted_at,
    )


def outcome_proved_by(resolution: Resolution, operation: Operation) -> Outcome:
    """Return what was proved later of an order, as an outcome."""
    # A placed order that has ended does not rest. Of a cancel the status is that of what it took.
    has_ended = operation == "place" and resolution.status in ENDED
    result: Result = "accepted" if resolution.result == "accepted" and not has_ended else "rejected"
    return Outcome(result, resolution.order_id, resolution.algo_id, resolution.client_order_id)


def store_of(order: ExitOrder) -> Store:
    """Return the store in which an order is expected to rest."""
    return "conditional" if order.type in CONDITIONAL_KINDS else "orders"


def rests(order: ExitOrder) -> bool:
    """Return whether an order waits at the exchange once it is accepted."""
    return not closes_now(order.type, order.time_in_force)
