"""The exits that are known to rest at the exchange: whose they are, and how sure that is."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

import msgspec

from exit_shim.domain.events import Intent, Outcome, Resolution, Result, Target
from exit_shim.domain.orders import (
    CONDITIONAL_KINDS,
    COUNTDOWN,
    ExitOrder,
    Operation,
    Reference,
    Store,
    closes_now,
)
from exit_shim.domain.recorded import RecordedEvent
from exit_shim.runtime.reentrancy import DeferredAggregate

MAX_LIVE: Final = 20_000
"""Orders remembered; beyond it the oldest are forgotten, and their cancels have an unknown target."""

MAX_AT: Final = 200
"""Exits of one position that are kept in mind: as many as the exchange lets rest, so older ones filled or
expired unseen. Stops are kept longest."""

MAX_PLACEMENTS: Final = 64
"""Times remembered of one module's placing the same exit."""

MAX_TRACKS: Final = 10_000
"""Exits whose times are remembered, and positions whose last stop is."""

MAX_OVER: Final = 10_000
"""Ids of ended orders that are remembered: news of them may still be on the way."""

GRACE_S: Final = 2.0
"""How long an order that the exchange tells of waits for the answer to the call that placed it."""

READ_LAG_NS: Final = 2_000_000_000
"""An order that was accepted this long ago is in the exchange's lists, if it rests; they may lag behind."""

PROTECTIVE_TYPES: Final = frozenset({"STOP", "STOP_MARKET", "TRAILING_STOP_MARKET"})
PROTECTIVE_KINDS: Final = frozenset({"sl", "trailing", "breakeven"})


STORES: Final[tuple[Store, ...]] = ("conditional", "orders")

Key: TypeAlias = tuple[str | None, object]
"""An account, and one of the ids of its order."""

UNANSWERED: Final = Outcome("unknown")
ENDED: Final = frozenset({"FILLED", "CANCELED", "EXPIRED", "FINISHED", "REJECTED"})


class PositionKey(NamedTuple):
    """What an exit guards: the position of an account on a symbol that orders of one side reduce."""

    account: str | None
    symbol: str | None
    position_side: str
    side: str | None


class LiveExit(msgspec.Struct, frozen=True):
    """An accepted exit that nobody has been seen to cancel; it may have filled or expired since.

    `ts` is when it was placed, `known` when the book learned that it was accepted, ns since the epoch.
    `in_doubt`: its placing was never answered.
    """

    account: str | None
    symbol: str | None
    store: Store
    target: Target
    spot: PositionKey
    type: str | None = None
    quantity: str | None = None
    trigger: str | None = None
    close_position: bool = False
    ts: int = 0
    in_doubt: bool = False
    known: int = 0

    @property
    def is_protective(self) -> bool:
        """Whether it is a stop, by its type."""
        return self.type in PROTECTIVE_TYPES

    @property
    def words(self) -> str:
        """For people: what, how much, whose, under which id."""
        size = "whole position" if self.close_position else f"quantity={self.quantity}"
        name = self.target.algo_id or self.target.order_id or self.target.client_order_id
        doubt = " in doubt" if self.in_doubt else ""
        return f"{self.target.kind} {size} trigger={self.trigger} of {self.target.module} id={name}{doubt}"


NO_LIVES: Final[Mapping[int, LiveExit]] = MappingProxyType({})


class LastStop(NamedTuple):
    """The stop that a position had last: where it triggers, whose it is, and when it was placed."""

    trigger: str
    module: str | None
    ts: int


class BookContext(NamedTuple):
    """What the book had around an order when it came.

    Of an order to place: `beside`, the live exits of its position, oldest first; `placed`, when its module
    placed this kind there, ns since the epoch; the position's last stop and, where it was seen, its size;
    whether the symbol's positions are hedged. Of a cancel or change: the live exits that are `taken`, and
    what is `around` the stops among them. Of a cancel-all, besides: `elsewhere`, the live exits of its
    symbol in the store that it does not reach.
    """

    beside: tuple[LiveExit, ...] = ()
    placed: tuple[int, ...] = ()
    last_stop: LastStop | None = None
    size: Decimal | None = None
    is_hedged: bool = False
    taken: tuple[LiveExit, ...] = ()
    around: Mapping[PositionKey, "BookContext"] = MappingProxyType({})
    elsewhere: tuple[LiveExit, ...] = ()


NOTHING_NEAR: Final = BookContext()


class Book(DeferredAggregate[RecordedEvent]):
    """Live exits by account and id, and by position; thread-safe, bounded."""

    def __init__(self) -> None:
        super().__init__()
        self._live: OrderedDict[Key, LiveExit] = OrderedDict()
        self._at: dict[PositionKey, dict[int, LiveExit]] = {}
        self._placed: OrderedDict[tuple[PositionKey, str, str | None], deque[int]] = OrderedDict()
        self._stops: OrderedDict[PositionKey, LastStop] = OrderedDict()
        self._sizes: dict[PositionKey, tuple[Decimal, int]] = {}
        self._hedged: set[tuple[str | None, str | None]] = set()
        self._stripped: dict[PositionKey, float] = {}
        self._doubts: set[tuple[str | None, str | None]] = set()
        self._coming: OrderedDict[Key, tuple[float, LiveExit]] = OrderedDict()
        self._over: OrderedDict[Key, None] = OrderedDict()
        self._unlisted: OrderedDict[Key, LiveExit] = OrderedDict()
        self._deaf: dict[str | None, tuple[str, int]] = {}
        self.catch_up: Callable[[str | None, Reference | None], None] | None = None
        """Takes up, now, what other processes did; set where an unknown order could be denied for it."""
        self.expects = False
        """Whether orders are told of before they leave, so that their refusals are to be told too."""
        self.is_behind = False
        """While what other processes and earlier runs did is not taken up yet."""

    def fold(self, recorded: RecordedEvent) -> None:
        """Learn from an event of this process, of another one, or of an earlier run.

        What was accepted rests, and what was cancelled does not. This is the only way in which the book
        learns of orders; sizes and what the exchange itself says come by other methods.
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

    def _expect(self, intent: Intent) -> None:
        """Have an order that is about to leave count as one in doubt until its outcome.

        Else a cancel-all of another thread, in the moment between the exchange's taking an owner's stop and
        its answer, would take a stop that nobody knows of yet.
        """
        if intent.operation == "place" and intent.order.client_order_id is not None:
            with self._lock:
                self._fold_all()
                self._suppose(intent, UNANSWERED, time.time_ns())

    def _fold(self, recorded: RecordedEvent) -> None:
        intent, event = recorded.intent, recorded.event
        if intent is None:
            return
        if recorded.about is not None and recorded.about.params is not None:
            recorded.near = self._see(intent)
        if isinstance(event, Outcome):
            self._learn(intent, event, recorded.ts)
        elif isinstance(event, Resolution):
            self._learn(intent, outcome_proved_by(event, intent.operation), recorded.ts)
            self._doubts.discard((intent.account, intent.order.symbol))

    def _learn(self, intent: Intent, outcome: Outcome, known: int) -> None:
        order, operation = intent.order, intent.operation
        if outcome.result == "unknown":
            if operation in {"place", "cancel"}:
                self._doubt(intent, outcome, known)
        elif operation == "place" and outcome.result == "accepted" and rests(order):
            self._add(intent, outcome, known)
        elif operation == "cancel" and outcome.result == "accepted":
            if order.type != COUNTDOWN:  # that has only begun
                self._remove(intent)
        elif operation == "place" and outcome.result != "accepted":
            self._drop_expected(intent)
        elif order.kind == "close":  # the position may be gone, and nothing has to follow
            self._stripped.pop(position_of(intent.account, order), None)

    def find(self, account: str | None, reference: Reference) -> Target | None:
        """The order behind an id, if its placing is known."""
        live = self.find_live(account, reference)
        if (live is None or live.target.module is None) and self.catch_up is not None:
            self.catch_up(account, reference)
            live = self.find_live(account, reference)
        return None if live is None else live.target

    def find_live(self, account: str | None, reference: Reference | Target) -> LiveExit | None:
        """All that is known of the order behind an id, of one that was not listed of late too."""
        with self._lock:
            self._fold_all()
            return self._behind(account, reference) or self._once(account, reference)

    def all_of(self, account: str | None, symbol: str | None, store: Store) -> tuple[Target, ...]:
        """The live exits that a cancel-all takes away, oldest first."""
        if self.catch_up is not None:
            self.catch_up(account, None)
        with self._lock:
            self._fold_all()
            found = [live for live in self._on(account, symbol) if live.store == store]
        return tuple(live.target for live in sorted(found, key=lambda live: live.ts))

    def guarding(self, spot: PositionKey) -> tuple[LiveExit, ...]:
        """The live exits of a position, oldest first."""
        with self._lock:
            self._fold_all()
            return self._lives(spot)

    def spots(self) -> list[PositionKey]:
        """Every position that has live exits."""
        with self._lock:
            self._fold_all()
            return list(self._at)

    def spots_of(self, account: str | None, symbol: str | None) -> list[PositionKey]:
        """The positions of a symbol that have live exits."""
        with self._lock:
            self._fold_all()
            return [spot for spot in self._at if (spot.account, spot.symbol) == (account, symbol)]

    def see(self, intent: Intent) -> BookContext:
        """What is around an order that is about to leave."""
        with self._lock:
            self._fold_all()
            return self._see(intent)

    def around(self, taken: tuple[LiveExit, ...]) -> BookContext:
        """What is around a cancel of live exits."""
        with self._lock:
            self._fold_all()
            return self._around(taken)

    def near(self, recorded: RecordedEvent) -> BookContext:
        """Return what was around an order of this process when its outcome came."""
        with self._lock:
            self._fold_all()
        near: BookContext = recorded.near or NOTHING_NEAR
        return near

    def size(self, spot: PositionKey) -> Decimal | None:
        """The position's size when it was last seen at the exchange; None: never."""
        seen = self._sizes.get(spot)
        return None if seen is None else seen[0]

    def saw_size(self, spot: PositionKey, size: Decimal, at: int | None = None) -> None:
        """Take note of a position's size, as it was at `at`, ns since the epoch; None: now."""
        at = at or time.time_ns()
        with self._lock:
            self._fold_all()
            if at >= self._sizes.get(spot, (size, 0))[1]:
                self._sizes[spot] = (size, at)
                if not size:  # nothing is left that a stop could guard
                    self._stripped.pop(spot, None)

    def sized(self, account: str | None) -> list[PositionKey]:
        """The positions of an account whose sizes were seen."""
        with self._lock:
            return [spot for spot in self._sizes if spot.account == account]

    def stripped(self) -> list[tuple[PositionKey, float]]:
        """The positions a stop of which was cancelled, and when, on the monotonic clock."""
        with self._lock:
            self._fold_all()
            return list(self._stripped.items())

    def still_stripped(self, spot: PositionKey) -> bool:
        """Whether a position has no live stop since; it is not asked about again."""
        with self._lock:
            self._fold_all()
            self._stripped.pop(spot, None)
            return not any(live.is_protective for live in self._lives(spot))

    def settle(self, account: str | None, symbol: str | None) -> None:
        """What was in doubt on a symbol is no more: both stores were read."""
        with self._lock:
            self._fold_all()
            self._doubts.discard((account, symbol))

    def compare(
        self, account: str | None, symbol: str | None, listed: Iterable[Reference], asked: int
    ) -> None:
        """Hold the live exits of a symbol against what the exchange lists, as asked for at `asked`, in ns.

        What is not listed counts no more. Whose it was is still known: a list may lack an order once.
        """
        there = {key for reference in listed for key in keys(account, reference)}
        with self._lock:
            self._fold_all()
            for spot in [spot for spot in self._at if (spot.account, spot.symbol) == (account, symbol)]:
                for live in self._lives(spot):
                    own = keys(account, live.target)
                    if live.known < asked - READ_LAG_NS and not live.in_doubt and there.isdisjoint(own):
                        self._drop(live)
                        self._unlisted.update(dict.fromkeys(own, live))
            while len(self._unlisted) > MAX_OVER:
                self._unlisted.popitem(last=False)
            for key in there & self._unlisted.keys():
                found = self._unlisted.get(key)
                if found is not None and key not in self._live:
                    self._put(found)
                    for own_key in keys(account, found.target):
                        self._unlisted.pop(own_key, None)

    def appeared(self, live: LiveExit) -> None:
        """An order rests at the exchange, as that has told; it may be anybody's.

        It waits for `admit`: whoever placed it in this process, or in another of its journal, is told of its
        acceptance in a moment, and until then it would look like somebody else's.
        """
        with self._lock:
            key = keys(live.account, live.target)[0]
            if key not in self._over and len(self._coming) < MAX_LIVE:
                self._coming.setdefault(key, (time.monotonic(), live))

    def admit(self, waited_s: float = GRACE_S) -> None:
        """Take in the orders that the exchange told of so long ago, and that are still nobody's here."""
        if not self._coming:
            return
        with self._lock:
            self._fold_all()
            while self._coming:
                key, (since, live) = next(iter(self._coming.items()))
                if time.monotonic() - since < waited_s:
                    return
                del self._coming[key]
                self._admit(live)

    def ended(
        self,
        account: str | None,
        store: Store,
        named: Reference,
        *,
        undone: bool = False,
        child: int | None = None,
        child_rests: bool = False,
    ) -> None:
        """An order rests no more, as the exchange has told.

        Args:
            account: Whose.
            store: Which numbers and client ids are meant.
            named: By its number, and by its client's id: the answer that has its number may be on the way.
            undone: It closed nothing, so that a position may be without a stop.
            child: The number of the order that a conditional one became.
            child_rests: Whether that rests in its place.
        """
        with self._lock:
            self._fold_all()
            live = self._named(account, store, named)
            self._note_over(account, named)
            if child is not None and not child_rests:
                self._note_over(account, Reference(child))
            if live is None:
                return
            self._drop(live)
            if child is not None and child_rests:
                target = msgspec.structs.replace(live.target, order_id=child, algo_id=None)
                if (account, ("order", child)) not in self._over:
                    self._put(msgspec.structs.replace(live, store="orders", type="LIMIT", target=target))
            elif undone and live.is_protective and self._sizes.get(live.spot, (None, 0))[0] != 0:
                self._strip(live)

    def distrust(self, account: str | None, why: str | None) -> None:
        """What is known of an account may be wrong from now on, until `trust`; None: it is no matter."""
        if why is None:
            self._deaf.pop(account, None)
        else:
            self._deaf[account] = (why, time.time_ns())

    def trust(self, account: str | None, at: int) -> None:
        """Positions and both order stores were as the book has them at `at`, ns since the epoch."""
        if self._deaf.get(account, ("", at))[1] < at:
            self._deaf.pop(account, None)

    def why_unsure(self, account: str | None, symbol: str | None) -> str | None:
        """Why what is known of a symbol may be wrong; None where there is no reason to think so."""
        if self.is_behind:
            return "the journal is not taken up yet"
        with self._lock:
            self._fold_all()
            if (account, symbol) in self._doubts:
                return "an order on this symbol is in doubt"
        return self._deaf.get(account, (None, 0))[0]

    def _named(self, account: str | None, store: Store, named: Reference) -> LiveExit | None:
        """The live order of a number; by its client's id alone only where its own number is not known yet.

        A client may use an id again once the order that had it has ended. An order that a conditional one
        became has its id.
        """
        for key in numbers(account, named):
            if (live := self._live.get(key)) is not None:
                return live
        for key in names(account, named.client_order_id, STORES):
            if (live := self._live.get(key)) is None:
                continue
            numbered = live.target.order_id if store == "orders" else live.target.algo_id
            if numbered is None and store in {live.store, "orders"}:
                return live
        return None

    def _see(self, intent: Intent) -> BookContext:
        account, order = intent.account, intent.order
        if intent.operation == "place":
            spot = position_of(account, order)
            placed = self._placed.get((spot, order.kind, intent.attribution.module))
            return BookContext(
                self._lives(spot),
                () if placed is None else tuple(placed),
                self._stops.get(spot),
                self.size(spot),
                (account, order.symbol) in self._hedged,
            )
        taken = tuple(
            live for target in intent.targets if (live := self._behind(account, target)) is not None
        )
        near = self._around(taken)
        if intent.store is None:
            return near
        elsewhere = (live for live in self._on(account, order.symbol) if live.store != intent.store)
        return near._replace(elsewhere=tuple(elsewhere))

    def _on(self, account: str | None, symbol: str | None) -> list[LiveExit]:
        """Return the live exits of a symbol, of all its positions."""
        return [
            live
            for spot, lives in self._at.items()
            if (spot.account, spot.symbol) == (account, symbol)
            for live in lives.values()
        ]

    def _around(self, taken: tuple[LiveExit, ...]) -> BookContext:
        spots = {live.spot for live in taken if live.is_protective}
        around = {spot: BookContext(self._lives(spot), size=self.size(spot)) for spot in spots}
        return BookContext(taken=taken, around=around)

    def _lives(self, spot: PositionKey) -> tuple[LiveExit, ...]:
        return tuple(self._at.get(spot, NO_LIVES).values())

    def _once(self, account: str | None, named: Reference | Target) -> LiveExit | None:
        """The order behind an id that a look has not found."""
        return behind(self._unlisted, account, named)

    def _behind(self, account: str | None, named: Reference | Target) -> LiveExit | None:
        return behind(self._live, account, named)

    def _note_over(self, account: str | None, named: Reference | Target) -> None:
        for key in keys(account, Reference(named.order_id, named.algo_id)):  # a client's id may be used again
            self._over[key] = None
            self._coming.pop(key, None)
        while len(self._over) > MAX_OVER:
            self._over.popitem(last=False)

    def _admit(self, told: LiveExit) -> None:
        known = self._named(
            told.account,
            "conditional" if told.target.algo_id else "orders",
            Reference(told.target.order_id, told.target.algo_id, told.target.client_order_id),
        )
        if known is None:
            self._put(told)
            if told.spot.position_side != "BOTH" and len(self._hedged) < MAX_TRACKS:
                self._hedged.add((told.account, told.symbol))
            if told.is_protective:
                self._stripped.pop(told.spot, None)
        elif known.in_doubt:  # its answer did not come, and here it is
            target = msgspec.structs.replace(
                known.target, order_id=told.target.order_id, algo_id=told.target.algo_id
            )
            self._put(msgspec.structs.replace(known, target=target, in_doubt=False, known=told.known))

    def _add(self, intent: Intent, outcome: Outcome, known: int, *, in_doubt: bool = False) -> None:
        order = intent.order
        live = LiveExit(
            intent.account,
            order.symbol,
            "conditional" if order.type in CONDITIONAL_KINDS else "orders",
            Target(
                kind=order.kind,
                module=intent.attribution.module,
                dotted_module=intent.attribution.dotted_module,
                order_id=outcome.order_id,
                algo_id=outcome.algo_id,
                client_order_id=outcome.client_order_id or order.client_order_id,
            ),
            position_of(intent.account, order),
            order.type,
            order.quantity,
            order.trigger_price,
            order.close_position,
            intent.ts,
            in_doubt,
            known,
        )
        self._put(live)
        if not in_doubt:
            self._remember(live)
        if self._over and any(key in self._over for key in keys(live.account, live.target)):
            self._drop(live)  # its end was told before its answer came

    def _put(self, live: LiveExit) -> None:
        own = keys(live.account, live.target, live.store)
        for key in own:
            if (doubted := self._live.get(key)) is not None:
                self._drop(doubted)
            self._live[key] = live
        for key in names(live.account, live.target.client_order_id, STORES):
            doubted = self._live.get(key)
            if key not in own and doubted is not None and doubted.in_doubt and doubted.ts == live.ts:
                self._drop(doubted)  # an older release keeps its stops among the orders
        lives = self._at.setdefault(live.spot, {})
        lives[id(live)] = live
        if len(lives) > MAX_AT:
            oldest = next(iter(lives.values()))
            self._drop(next((one for one in lives.values() if not one.is_protective), oldest))
        while len(self._live) > MAX_LIVE:
            self._drop(next(iter(self._live.values())))

    def _remember(self, live: LiveExit) -> None:
        spot, target = live.spot, live.target
        if spot.position_side != "BOTH" and len(self._hedged) < MAX_TRACKS:
            self._hedged.add((live.account, live.symbol))
        track = (spot, target.kind, target.module)
        times = self._placed.get(track)
        if times is None:
            times = self._placed[track] = deque(maxlen=MAX_PLACEMENTS)
            while len(self._placed) > MAX_TRACKS:
                self._placed.popitem(last=False)
        if live.ts in times:  # taken up once more
            return
        times.append(live.ts)
        if live.type in PROTECTIVE_TYPES:
            self._stripped.pop(spot, None)
            if live.trigger is not None:
                self._stops[spot] = LastStop(live.trigger, target.module, live.ts)
                while len(self._stops) > MAX_TRACKS:
                    self._stops.popitem(last=False)

    def _remove(self, intent: Intent) -> None:
        for target in intent.targets:
            self._note_over(intent.account, target)
            if (live := self._behind(intent.account, target)) is not None:
                self._drop(live)
                if live.is_protective:
                    self._strip(live)

    def _strip(self, live: LiveExit) -> None:
        if len(self._stripped) < MAX_TRACKS:
            self._stripped.setdefault(live.spot, time.monotonic())

    def _drop_expected(self, intent: Intent) -> None:
        own = Reference(client_order_id=intent.order.client_order_id)
        for key in keys(intent.account, own):
            if (live := self._live.get(key)) is not None and live.in_doubt and live.ts == intent.ts:
                self._drop(live)

    def _drop(self, live: LiveExit) -> None:
        for key in keys(live.account, live.target):
            if self._live.get(key) is live:
                del self._live[key]
        lives = self._at.get(live.spot)
        if lives is not None:
            lives.pop(id(live), None)
            if not lives:
                del self._at[live.spot]

    def _doubt(self, intent: Intent, outcome: Outcome, known: int) -> None:
        if len(self._doubts) < MAX_TRACKS:
            self._doubts.add((intent.account, intent.order.symbol))
        if intent.operation == "place" and intent.order.client_order_id is not None:
            self._suppose(intent, outcome, known)

    def _suppose(self, intent: Intent, outcome: Outcome, known: int) -> None:
        """An order may rest. One that is known to, under the same name, still does: a repeat is refused."""
        store: Store = "conditional" if intent.order.type in CONDITIONAL_KINDS else "orders"
        (name,) = names(intent.account, intent.order.client_order_id, (store,))
        before = self._live.get(name)
        if before is None or before.in_doubt:
            self._add(intent, outcome, known, in_doubt=True)


def position_of(account: str | None, order: ExitOrder) -> PositionKey:
    """What an order guards."""
    return PositionKey(account, order.symbol, order.position_side or "BOTH", order.side)


def outcome_proved_by(resolution: Resolution, operation: Operation) -> Outcome:
    """Return what was proved later of an order, as an outcome; a placed one that has ended does not rest.

    Of a cancel the status is that of what it took.
    """
    ended = operation == "place" and resolution.status in ENDED
    result: Result = "accepted" if resolution.result == "accepted" and not ended else "rejected"
    return Outcome(result, resolution.order_id, resolution.algo_id, resolution.client_order_id)


def rests(order: ExitOrder) -> bool:
    """Return whether an order waits at the exchange once it is accepted."""
    return not closes_now(order.type, order.time_in_force)


def is_protective(order: ExitOrder) -> bool:
    """Whether an order may be a stop: by its type, or by what the code says that it is."""
    return order.type in PROTECTIVE_TYPES or order.kind in PROTECTIVE_KINDS


def number(written: object) -> Decimal | None:
    """A finite number, where that is what is written."""
    if written is None:
        return None
    try:
        found = Decimal(str(written))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def keys(account: str | None, named: Reference | Target, store: Store | None = None) -> list[Key]:
    """Return the ids under which an order can be looked up.

    The stores number and name apart. A number says which store a name is of; without one `store` does, and
    without that it may be of either.
    """
    if named.algo_id:
        store = "conditional"
    elif named.order_id:
        store = "orders"
    if store is not None:
        stores: tuple[Store, ...] = (store,)
    else:  # the one that is meant first: an order in doubt may be kept under the other
        stores = STORES if getattr(named, "store", None) != "orders" else STORES[::-1]
    return numbers(account, named) + names(account, named.client_order_id, stores)


def numbers(account: str | None, named: Reference | Target) -> list[Key]:
    """Return the keys of an order's numbers."""
    ids = (named.order_id and ("order", named.order_id), named.algo_id and ("algo", named.algo_id))
    return [(account, key) for key in ids if key]


def names(account: str | None, name: str | None, stores: tuple[Store, ...]) -> list[Key]:
    """Return the keys of an order's client order id."""
    return [(account, ("client", store, name)) for store in stores] if name else []


def behind(lives: Mapping[Key, LiveExit], account: str | None, named: Reference | Target) -> LiveExit | None:
    """Return the order behind an id; a number outranks a name, which others may have used since."""
    for key in keys(account, named):
        live = lives.get(key)
        if live is not None and not is_other(live, named):
            return live
    return None


def is_other(live: LiveExit, named: Reference | Target) -> bool:
    """Return whether an order of the same name is not the one that is meant: its number or store differs."""
    own, meant = live.target, getattr(named, "store", None)
    pairs = ((own.algo_id, named.algo_id), (own.order_id, named.order_id))
    if any(first and second and first != second for first, second in pairs):
        return True
    store = "conditional" if own.algo_id else "orders" if own.order_id else meant
    return meant is not None and store != meant
