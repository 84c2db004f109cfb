"""Holding orders back: what the caller gets instead, and the rest of a batch that goes out."""

import asyncio
import contextlib
import decimal
import functools
import inspect
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from exit_shim.clients.registry import DOOR_NAMES, market_of, support_of
from exit_shim.domain.answers import Answer
from exit_shim.domain.decisions import Call, Go, NeedsLook, Withheld, Withhold
from exit_shim.domain.doors import Door
from exit_shim.domain.events import Intent, Target
from exit_shim.domain.orders import COUNTDOWN, upper
from exit_shim.guard.cover import EXACT, Gap, find_gap
from exit_shim.guard.exchange_snapshot import Snapshot
from exit_shim.guard.judge import Guard, reference_to
from exit_shim.guard.live_exits import position_of
from exit_shim.guard.protective_override import OverrideCheck, Owned, Place, Sights, override_denial, undenied
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
    return (
        f"exit_shim denied {DOES.get(intent.operation, intent.operation)} {order.kind} on {order.symbol} "
        f"for {intent.attribution.module}: {verdict.why} (policy line {verdict.policy})"
    )


def error_element(intent: Intent) -> dict[str, Any]:
    """A denied order in a batch's answer, as Binance answers for one that it refuses."""
    return {"code": intent.verdict.error_code, "msg": message(intent)}


def stand_in(
    intent: Intent, simulated: SimulatedOrders, *, routes_stops: bool, is_all: bool = False
) -> dict[str, Any]:
    """The answer that stands for a simulated order, cancel or change; `is_all` for a cancel-all."""
    order, reason = intent.order, intent.verdict.why
    if intent.operation == "place":
        is_algo = is_algo_answer(intent.door, order, routes_stops=routes_stops)
        return simulated.place(intent, is_algo=is_algo)
    if intent.verdict.is_about_simulated:
        kept = simulated.find(intent.account, reference_to(intent.targets[0]))
        if kept is not None:
            is_cancel = intent.operation == "cancel"
            return simulated.cancel(kept) if is_cancel else simulated.change(kept, order)
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
        return Answer("denied", error_code=verdict.error_code, error_message=verdict.why)
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


def can_be_split(call: Call) -> bool:
    """Return whether some orders of a call can be left out: its fields are the call's own."""
    params = call.params
    return params is call.kwargs or any(given is params for given in (*call.args, *call.kwargs.values()))


def split_batch(call: Call, held: Sequence[int]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return a call's arguments without the orders at the places `held`; the caller's objects stay."""
    whole, rest = call.params, without(call, frozenset(held))
    if whole is call.kwargs:
        return call.args, rest
    return (
        tuple(rest if given is whole else given for given in call.args),
        {name: rest if given is whole else given for name, given in call.kwargs.items()},
    )


def without(call: Call, held: frozenset[int]) -> dict[str, Any]:
    """Return the fields of a call without some of its orders."""
    rest, place = dict(call.params), 0
    for name in call.door.list_fields:
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
        if call.door.payload == "batch":
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


def is_answered_in_parts(door: Door, held: Sequence[Withheld]) -> bool:
    """Whether a call of which nothing goes out is answered with a list: an error for each denied order.

    So is python-binance's, as the exchange answers it. An adapter's answer may be anything, and its caller
    would not look for errors in it: that is denied like one order.
    """
    return door.method in DOOR_NAMES or any(one.intent.verdict.action != "deny" for one in held)


class WithheldCall(NeedsLook):
    """A call with an order that is to be held back: what is looked at first, and what the caller gets.

    Args:
        guard: Decides, after a look at the exchange where there must be one.
        call: The call.
        touch: As in `Go`.
    """

    def __init__(self, guard: Guard, call: Call, touch: Callable[[], None] | None) -> None:
        self._guard = guard
        self._check = OverrideCheck(guard)
        self._call = call
        self._touch = touch
        self.is_awaited = call.is_async or is_awaited_here(client_of(call))

    def look(self) -> Go | Withhold:
        """Look at the exchange, and decide."""
        return self._decide(self._see(self._places()))

    async def look_async(self) -> Go | Withhold:
        """Do the same without blocking the event loop."""
        places = self._places()
        snapshots, client = self._guard.snapshots, client_of(self._call)
        looks = (snapshots.get_async(client, *place, fresh=fresh) for place, fresh in places)
        seen = await asyncio.gather(*looks)
        return self._decide({place: one for (place, _), one in zip(places, seen, strict=True)})

    def unsent(self) -> Sequence[Intent]:
        """Return the intents of a call whose caller gave up: nobody denied them."""
        return [undenied(intent) for intent in self._call.intents]

    def _places(self) -> Sequence[tuple[Place, bool]]:
        """Return the symbols to look at, each with whether that must be a fresh look.

        It must where an order was denied before and is asked again, and for what rests on the price of now.
        """
        if market_of(self._call.door.method) not in LOOKED_AT:
            return []
        places: dict[Place, bool] = {}
        try:
            for intent in filter(self._check.needs_a_look, self._call.intents):
                place = self._check.place_of(intent)
                if place.symbol is not None:
                    has_price = intent.order.type == "LIMIT" or intent.operation == "modify"
                    fresh = has_price or self._guard.denials.has(intent)
                    places[place] = places.get(place, False) or fresh
        except Exception as error:  # noqa: BLE001 - what is not seen is not held back
            self._guard.on_trouble("find what to look at", error)
        return list(places.items())

    def _see(self, places: Sequence[tuple[Place, bool]]) -> Sights:
        """Return what rests and is open at places, looked at all at once.

        What is raised while it waits is the caller's own, such as a time limit by a signal.
        """
        snapshots, client = self._guard.snapshots, client_of(self._call)
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

    def _decide(self, sights: Sights) -> Go | Withhold:
        """Decide by what was seen; where that fails, nothing is held back."""
        try:
            return self._split(sights)
        except Exception as error:  # noqa: BLE001
            self._guard.on_trouble("hold an order back", error)
            gap = Gap("the_guard_failed")
            self._call.intents = [override_denial(intent, gap) for intent in self._call.intents]
            return Go(self._touch)

    def _split(self, sights: Sights) -> Go | Withhold:
        """Part the orders that go out from those that do not."""
        call = self._call
        intents = self._settle(sights)
        stays = [intent for intent in intents if intent.verdict.is_held]
        sends = is_list(call.door) and len(stays) < count_orders(call)
        if stays and sends and not can_be_split(call):
            gap = Gap("the_call_cannot_be_parted")
            intents, stays = [override_denial(intent, gap) for intent in intents], []
        held = [self._hold(intent) for intent in stays]
        end_simulated(self._guard, intents)
        goes = [intent for intent in intents if not intent.verdict.is_held]
        if not held:
            call.intents = goes
            return Go(self._touch)
        decision = Withhold(held, functools.partial(self._answer, held))
        decision.touch, decision.intents = self._touch, goes
        if sends:
            self._send_rest(decision, held)
        return decision

    def _settle(self, sights: Sights) -> list[Intent]:
        """Return the intents under the verdicts that they have after the look."""
        for place, seen in sights.items():
            if isinstance(seen, Snapshot):
                self._guard.saw(*place, seen, seen.asked)
        self._guard.refresh()
        intents = [self._check.settled(one, sights, self._call.params) for one in self._call.intents]
        opened = self._find_opened(intents)
        return [
            override_denial(one, Gap("opens_beside"))
            if one.order.symbol in opened and one.operation == "place"
            else one
            for one in intents
        ]

    def _find_opened(self, intents: Sequence[Intent]) -> frozenset[str]:
        """Return the symbols on which the same call opens or grows a position, too."""
        door, params = self._call.door, self._call.params
        if door.payload != "batch" or door.operation != "place":
            return frozenset()
        exits = {one.batch_index for one in intents}
        entries = (order for place, order in enumerate(door.batch(params)) if place not in exits)
        return frozenset(upper(order.get("symbol")) for order in entries)

    def _hold(self, intent: Intent) -> Withheld:
        call, stands_for = self._call, None
        self._guard.denials.add(intent)
        if intent.verdict.action == "simulate":
            library = support_of(client_of(call))
            is_algo = "algoType" in call.params or library.has_algo_orders(call.method)
            is_all = call.door.payload == "symbol"
            stands_for = stand_in(intent, self._guard.simulated, routes_stops=is_algo, is_all=is_all)
        elif is_list(call.door):
            stands_for = error_element(intent)
        return Withheld(intent, outcome_of(intent, stands_for), stands_for)

    def _answer(self, held: Sequence[Withheld]) -> Any:
        """Return what the caller gets whose call is held back whole.

        Raises:
            ExitOrderDenied: The policy says so.
        """
        is_batch, first = is_list(self._call.door), held[0]
        if is_batch and is_answered_in_parts(self._call.door, held):
            return [one.stands_for for one in held]
        if first.intent.verdict.on_deny == "raise":
            verdict, library = first.intent.verdict, support_of(client_of(self._call))
            raise library.denial(message(first.intent), verdict.reasons, verdict.error_code)
        return None if is_batch else first.stands_for

    def _send_rest(self, decision: Withhold, held: Sequence[Withheld]) -> None:
        """Have what is left of a batch sent, and the answers of the others put between."""
        method, call = self._call.method, self._call
        answers = {one.intent.batch_index or 0: one.stands_for for one in held}
        decision.args, decision.kwargs = split_batch(call, list(answers))

        def rest(*args: Any, **kwargs: Any) -> Any:
            return merge_answers(method(*args, **kwargs), answers)

        async def rest_async(*args: Any, **kwargs: Any) -> Any:
            answer = method(*args, **kwargs)
            return merge_answers(await answer if inspect.isawaitable(answer) else answer, answers)

        decision.rest, decision.rest_async = rest, rest_async


def is_awaited_here(client: Any) -> bool:
    """Return whether a bot awaits the answer of an async client's plain method.

    Not where no event loop runs here: such a method may wait for one elsewhere.
    """
    return support_of(client).is_async(client) and asyncio._get_running_loop() is not None  # noqa: SLF001


def client_of(call: Call) -> Any:
    """Return the client whose method a call calls; None where that does not show."""
    return getattr(call.method, "__self__", None)


def count_orders(call: Call) -> int:
    """Return how many orders a call is about."""
    door, params = call.door, call.params
    return len(door.batch(params) if door.payload == "batch" else door.references(params))


def end_simulated(guard: Guard, intents: Sequence[Intent]) -> None:
    """Where a call is a cancel-all that is not denied, what it would have taken of simulated orders ends."""
    for one in intents:
        if one.store is not None and one.verdict.action != "deny" and one.order.type != COUNTDOWN:
            guard.simulated.end_all(one.account, one.order.symbol, one.store)


def answer_query(guard: Guard, call: Call) -> Any:
    """Return the answer to a query about a simulated order; a coroutine for an async method.

    None: it is about no simulated order of this account.
    """
    (reference,) = call.door.references(call.params)
    kept = guard.simulated.find(call.account, reference)
    if kept is None:
        return None
    client = client_of(call)
    if call.is_async or support_of(client).is_async(client):
        return answer_later(guard, kept, client)
    if kept.is_open:
        end_unless_covered(guard, kept, guard.snapshots.get(client, *place_of(kept), fresh=True))
    return guard.simulated.query(kept)


async def answer_later(guard: Guard, kept: SimulatedOrder, client: Any) -> Any:
    """The same for who awaits it."""
    if kept.is_open:
        try:
            seen = await guard.snapshots.get_async(client, *place_of(kept), fresh=True)
            end_unless_covered(guard, kept, seen)
        except Exception as error:  # noqa: BLE001 - what cannot be told is not said to stand
            guard.on_trouble("answer a query", error)
            guard.simulated.expire(kept)
    return guard.simulated.query(kept)


def place_of(kept: SimulatedOrder) -> Place:
    """Return which symbol a simulated order is about."""
    return Place(kept.account, kept.order.symbol)


def end_unless_covered(guard: Guard, kept: SimulatedOrder, seen: Snapshot | Unseen) -> None:
    """End a simulated order whose position is closed or uncovered, or where nothing is enforced any more.

    Whoever relies on it is to learn that it is gone, and to place it anew. So it ends where the exchange
    could not be seen, too: then the next one goes out.
    """
    is_enforcing = guard.enforces and guard.switches.enforcing
    if is_enforcing and isinstance(seen, Snapshot) and seen.size_of(position_of(kept.account, kept.order)):
        owned = Owned(guard, kept.account, kept.mode)
        within = guard.compiled_policy.policy.cover_within
        with decimal.localcontext(EXACT):
            if find_gap(seen, kept.order.symbol, owned, within) is None:
                return
    guard.simulated.expire(kept)
