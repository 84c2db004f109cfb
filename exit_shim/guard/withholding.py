"""Holding orders back: what the caller gets instead, and the rest of a batch that goes out."""

import asyncio
import contextlib
import decimal
import inspect
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from exit_shim.clients.answers import Answer
from exit_shim.clients.doors import Door, DoorCall, is_coroutine_method
from exit_shim.clients.registry import DOOR_NAMES, market_of, support_of
from exit_shim.domain.events import Intent, Target
from exit_shim.domain.orders import COUNTDOWN, upper
from exit_shim.domain.reason_codes import SIMULATED_ORDER
from exit_shim.guard.book import position_of
from exit_shim.guard.cover import EXACT, Gap, find_gap
from exit_shim.guard.exchange_snapshot import Snapshot
from exit_shim.guard.judge import Guard, reference_to
from exit_shim.guard.protective_override import OverrideCheck, Owned, Place, Sights, override_denial
from exit_shim.guard.simulated_orders import (
    MARK,
    SimulatedOrder,
    SimulatedOrders,
    is_algo_answer,
    order_answer,
)
from exit_shim.guard.snapshots import Unseen

LOOKED_AT: Final = ("um", None)
"""The markets of doors whose orders are where a look looks; None for an adapter's door."""

LOOKS: Final = "exit-shim-looks"
"""The name of the threads that wait for looks at several symbols."""

DOES: Final[Mapping[str, str]] = {"place": "placing", "modify": "changing", "cancel": "cancelling"}


def message(intent: Intent) -> str:
    """What a denied caller is told, in one line."""
    order, verdict = intent.order, intent.verdict
    why = "; ".join(verdict.reasons)
    return (
        f"exit_shim denied {DOES.get(intent.operation, intent.operation)} {order.kind} on {order.symbol} "
        f"for {intent.attribution.module}: {why} (policy line {verdict.policy})"
    )


def error_element(intent: Intent) -> dict[str, Any]:
    """A denied order in a batch's answer, as Binance answers for one that it refuses."""
    return {"code": intent.verdict.error_code, "msg": message(intent)}


def stand_in(
    intent: Intent, suppressed: SimulatedOrders, *, routes_stops: bool, is_all: bool = False
) -> dict[str, Any]:
    """The answer that stands for a suppressed order, cancel or change; `is_all` for a cancel-all."""
    order, reason = intent.order, "; ".join(intent.verdict.reasons)
    if intent.operation == "place":
        is_algo = is_algo_answer(intent.door, order, routes_stops=routes_stops)
        return suppressed.place(intent, is_algo=is_algo)
    if intent.verdict.reasons == (SIMULATED_ORDER,):
        kept = suppressed.find(intent.account, reference_to(intent.targets[0]))
        if kept is not None:
            is_cancel = intent.operation == "cancel"
            return suppressed.cancel(kept) if is_cancel else suppressed.change(kept, order)
    if intent.operation == "modify":
        changed = standing_answer(intent, intent.targets[0], "NEW", reason)
        return {**changed, "pair": intent.order.symbol}
    if not is_all and len(intent.targets) == 1:
        return cancel_answer(intent, intent.targets[0], reason)
    return {"code": 200, "msg": "The operation of cancel all open order is done.", MARK: reason}


def cancel_answer(intent: Intent, target: Target, reason: str) -> dict[str, Any]:
    """As the door would have answered a cancel of one order."""
    if target.algo_id is not None:
        ids: dict[str, Any] = {"algoId": target.algo_id, "clientAlgoId": target.client_order_id}
        return {**ids, "code": "200", "msg": "success", MARK: reason}
    return standing_answer(intent, target, "CANCELED", reason)


def standing_answer(intent: Intent, target: Target, status: str, reason: str) -> dict[str, Any]:
    """As the exchange answers a cancel or change of an ordinary order, which stays what it was."""
    answer = order_answer(intent.order, target.order_id or 0, time.time_ns() // 1_000_000)
    return {**answer, "clientOrderId": target.client_order_id, "status": status, MARK: reason}


def outcome_of(intent: Intent, answer: Any) -> Answer:
    """What is recorded of an order that was held back."""
    if intent.verdict.action == "deny":
        verdict = intent.verdict
        return Answer("denied", error_code=verdict.error_code, error_message="; ".join(verdict.reasons))
    given: Mapping[str, Any] = answer if isinstance(answer, Mapping) else {}
    return Answer(
        "simulated",
        order_id=given.get("orderId"),
        algo_id=given.get("algoId"),
        client_order_id=given.get("clientAlgoId") or given.get("clientOrderId"),
    )


def is_list(door: Door) -> bool:
    """Whether a call carries several orders, and is answered with a list."""
    return door.payload in {"batch", "references"}


def can_be_parted(asked: DoorCall, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether some orders of a call can be left out: its fields are the call's own, not an adapter's."""
    return asked.params is kwargs or any(given is asked.params for given in (*args, *kwargs.values()))


def split_batch(
    asked: DoorCall, held: Sequence[int], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The call's arguments without the orders at the places `held`; the caller's objects stay as they are."""
    whole, rest = asked.params, without(asked, frozenset(held))
    if whole is kwargs:
        return args, rest
    return (
        tuple(rest if given is whole else given for given in args),
        {name: rest if given is whole else given for name, given in kwargs.items()},
    )


def without(asked: DoorCall, held: frozenset[int]) -> dict[str, Any]:
    """The fields of a call without some of its orders."""
    rest, place = dict(asked.params), 0
    for name in asked.door.list_fields:
        given = rest.get(name)
        items = json.loads(given) if isinstance(given, str) else given
        if not isinstance(items, Sequence) or isinstance(items, str):
            continue
        kept = [item for number, item in enumerate(items, place) if number not in held]
        place += len(items)
        if not kept:
            del rest[name]
        elif isinstance(given, str):
            rest[name] = json.dumps(kept)
        else:
            rest[name] = kept
        if asked.door.payload == "batch":
            break
    return rest


def merge_answers(answer: Any, held: Mapping[int, Any]) -> Any:
    """A batch's answer with the held ones in their places; what is no list, or lacks none, as it is."""
    if not held or not isinstance(answer, list):
        return answer
    whole = list(answer)
    for place in sorted(held):
        whole.insert(place, held[place])
    return whole


class WithheldAnswers(NamedTuple):
    """An order that does not go out, what is recorded of it, and what stands in its place in an answer."""

    intent: Intent
    outcome: Answer
    answer: Any


def is_answered_in_parts(door: Door, held: Sequence[WithheldAnswers]) -> bool:
    """Whether a call of which nothing goes out is answered with a list: an error for each denied order.

    So is python-binance's, as the exchange answers it. An adapter's answer may be anything, and its caller
    would not look for errors in it: that is denied like one order.
    """
    return door.method in DOOR_NAMES or any(one.intent.verdict.action != "deny" for one in held)


class WithheldCall:
    """One call of a door in which an order is to be held back.

    Args:
        guard: Decides, after a look at the exchange where there must be one.
        asked: What the call asks for.
        method: The client's.
        args: The call's.
        kwargs: The call's.
    """

    def __init__(
        self,
        guard: Guard,
        asked: DoorCall,
        method: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self.method = method
        self.args = args
        self.kwargs = kwargs
        self.sends = True
        self._guard = guard
        self._settling = OverrideCheck(guard)
        self._asked = asked
        self._held: dict[int, WithheldAnswers] = {}

    def look(self, places: Sequence[tuple[Place, bool]]) -> Sights:
        """Return what rests and is open at places, looked at all at once.

        What is raised while it waits is the caller's own, such as a time limit by a signal.
        """
        snapshots, client = self._guard.snapshots, self._client()
        if len(places) == 1:
            ((place, fresh),) = places
            return {place: snapshots.get(client, *place, fresh=fresh)}
        sights: dict[Place, Snapshot | Unseen] = {}

        def see(place: Place, fresh: bool) -> None:
            sights[place] = snapshots.get(client, *place, fresh=fresh)

        looks = [threading.Thread(target=see, args=asked, name=LOOKS, daemon=True) for asked in places]
        with contextlib.suppress(RuntimeError):  # no more threads: what is not seen is not held back
            for look in looks:
                look.start()
        for look in looks:
            if look.ident is not None:
                look.join()
        return sights

    async def look_async(self, places: Sequence[tuple[Place, bool]]) -> Sights:
        """Return the same with an async client."""
        snapshots, client = self._guard.snapshots, self._client()
        looks = (snapshots.get_async(client, *place, fresh=fresh) for place, fresh in places)
        seen = await asyncio.gather(*looks)
        return {place: snapshot for (place, _), snapshot in zip(places, seen, strict=True)}

    def places(self, intents: Sequence[Intent]) -> Sequence[tuple[Place, bool]]:
        """Return the symbols to look at, each with whether that must be a fresh look.

        It must where an order was denied before and is asked again, and for what rests on the price of now.
        """
        if market_of(self._asked.door.method) not in LOOKED_AT:
            return []
        places: dict[Place, bool] = {}
        for one in intents:
            if self._settling.needs_a_look(one):
                place = self._settling.place_of(one)
                if place.symbol is not None:
                    has_price = one.order.type == "LIMIT" or one.operation == "modify"
                    fresh = has_price or self._guard.denials.has(one)
                    places[place] = places.get(place, False) or fresh
        return list(places.items())

    def part(self, intents: Sequence[Intent], sights: Sights) -> tuple[list[Intent], list[WithheldAnswers]]:
        """The orders that go out, and those that do not."""
        for place, seen in sights.items():
            if isinstance(seen, Snapshot):
                self._guard.saw(*place, seen, seen.asked)
        self._guard.refresh()
        settled = [self._settling.settled(one, sights, self._asked.params) for one in intents]
        opened = self._opened(intents)
        settled = [
            override_denial(one, Gap("opens_beside"))
            if one.order.symbol in opened and one.operation == "place"
            else one
            for one in settled
        ]
        goes = [intent for intent in settled if not intent.verdict.is_held]
        stays = [intent for intent in settled if intent.verdict.is_held]
        sends = is_list(self._asked.door) and len(stays) < self._count()
        if stays and sends and not can_be_parted(self._asked, self.args, self.kwargs):
            gap = Gap("the_call_cannot_be_parted")
            return [override_denial(intent, gap) for intent in settled], []
        held = [self._hold(intent) for intent in stays]
        self._held = dict(zip([one.intent.batch_index or 0 for one in held], held, strict=True))
        if held and sends:
            self.args, self.kwargs = split_batch(self._asked, list(self._held), self.args, self.kwargs)
        self.sends = sends or not held
        end_suppressed(self._guard, settled)
        return goes, held

    @property
    def is_awaited(self) -> bool:
        """Whether the bot awaits the answer, even where a plain function hides the coroutine function.

        Not where no event loop runs here: a plain method of an async client may wait for one elsewhere.
        """
        if is_coroutine_method(self.method):
            return True
        client = self._client()
        return support_of(client).is_async(client) and asyncio._get_running_loop() is not None  # noqa: SLF001

    def answer(self) -> Any:
        """Return what the caller gets whose call is held back whole.

        Raises:
            ExitOrderDenied: The policy says so.
        """
        held = [self._held[place] for place in sorted(self._held)]
        is_batch, first = is_list(self._asked.door), held[0]
        if is_batch and is_answered_in_parts(self._asked.door, held):
            return [one.answer for one in held]
        if first.intent.verdict.on_deny == "raise":
            verdict, library = first.intent.verdict, support_of(self._client())
            raise library.denial(message(first.intent), verdict.reasons, verdict.error_code)
        return None if is_batch else first.answer

    def rest(self, *args: Any, **kwargs: Any) -> Any:
        """Send what goes out, and put the held ones into the answer."""
        return self._merge(self.method(*args, **kwargs))

    async def rest_async(self, *args: Any, **kwargs: Any) -> Any:
        """The same with an async method, or with a plain one that returns a coroutine."""
        answer = self.method(*args, **kwargs)
        return self._merge(await answer if inspect.isawaitable(answer) else answer)

    def _merge(self, answer: Any) -> Any:
        return merge_answers(answer, {place: held.answer for place, held in self._held.items()})

    def _opened(self, intents: Sequence[Intent]) -> frozenset[str]:
        """Return the symbols on which the same call opens or grows a position, too."""
        door, params = self._asked
        if door.payload != "batch" or door.operation != "place":
            return frozenset()
        exits = {one.batch_index for one in intents}
        entries = (order for place, order in enumerate(door.batch(params)) if place not in exits)
        return frozenset(upper(order.get("symbol")) for order in entries)

    def _client(self) -> Any:
        return getattr(self.method, "__self__", None)

    def _count(self) -> int:
        door, params = self._asked
        return len(door.batch(params) if door.payload == "batch" else door.references(params))

    def _hold(self, intent: Intent) -> WithheldAnswers:
        answer: Any = None
        self._guard.denials.add(intent)
        if intent.verdict.action == "simulate":
            library = support_of(self._client())
            is_algo = "algoType" in self._asked.params or library.has_algo_orders(self.method)
            is_all = self._asked.door.payload == "symbol"
            answer = stand_in(intent, self._guard.suppressed, routes_stops=is_algo, is_all=is_all)
        elif is_list(self._asked.door):
            answer = error_element(intent)
        return WithheldAnswers(intent, outcome_of(intent, answer), answer)


def end_suppressed(guard: Guard, intents: Sequence[Intent]) -> None:
    """Where a call is a cancel-all that is not denied, what it would have taken of suppressed orders ends."""
    for one in intents:
        if one.store is not None and one.verdict.action != "deny" and one.order.type != COUNTDOWN:
            guard.suppressed.end_all(one.account, one.order.symbol, one.store)


def answer_query(guard: Guard, asked: DoorCall, method: Callable[..., Any], account: str | None) -> Any:
    """The answer to a query about an order that only the guard knows; a coroutine for an async method.

    None: it is none of this account's.
    """
    (reference,) = asked.door.references(asked.params)
    kept = guard.suppressed.find(account, reference)
    if kept is None:
        return None
    client = getattr(method, "__self__", None)
    if is_coroutine_method(method) or support_of(client).is_async(client):
        return answer_later(guard, kept, client)
    if kept.is_open:
        end_unless_covered(guard, kept, guard.snapshots.get(client, *place_of(kept), fresh=True))
    return guard.suppressed.query(kept)


async def answer_later(guard: Guard, kept: SimulatedOrder, client: Any) -> Any:
    """The same for who awaits it."""
    if kept.is_open:
        try:
            seen = await guard.snapshots.get_async(client, *place_of(kept), fresh=True)
            end_unless_covered(guard, kept, seen)
        except Exception as error:  # noqa: BLE001 - what cannot be told is not said to stand
            guard.on_trouble("answer a query", error)
            guard.suppressed.expire(kept)
    return guard.suppressed.query(kept)


def place_of(kept: SimulatedOrder) -> Place:
    """Return which symbol a simulated order is about."""
    return Place(kept.account, kept.order.symbol)


def end_unless_covered(guard: Guard, kept: SimulatedOrder, seen: Snapshot | Unseen) -> None:
    """End a simulated order whose position is closed or uncovered, or where nothing is enforced any more.

    Whoever relies on it is to learn that it is gone, and to place it anew. So it ends where the exchange
    could not be seen, too: then the next one goes out.
    """
    is_enforcing = guard.enforces and guard.switches.enforcing
    if is_enforcing and isinstance(seen, Snapshot) and seen.held(position_of(kept.account, kept.order)):
        owned = Owned(guard, kept.account, kept.mode)
        within = guard.compiled_policy.policy.cover_within
        with decimal.localcontext(EXACT):
            if find_gap(seen, kept.order.symbol, owned, within) is None:
                return
    guard.suppressed.expire(kept)
