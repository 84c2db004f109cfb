"""Hold orders back: have the exchange looked at, answer the caller, send the rest of a batch.

Whether a denied order is held back at all is decided in `protective_override`.
"""

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

import msgspec

from exit_shim.clients.registry import is_library_door, market_of, support_of, support_of_call
from exit_shim.clients.support import ClientSupport
from exit_shim.domain.answers import Answer
from exit_shim.domain.decisions import Call, Go, NeedsLook, Withheld, Withhold
from exit_shim.domain.doors import Door
from exit_shim.domain.events import Intent, Target
from exit_shim.domain.orders import COUNTDOWN, upper
from exit_shim.errors import ExitOrderDenied
from exit_shim.guard.cover import EXACT, Gap, find_gap
from exit_shim.guard.exchange_snapshot import Snapshot
from exit_shim.guard.judge import Guard, reference_to
from exit_shim.guard.live_exits import position_of
from exit_shim.guard.protective_override import (
    IsOwned,
    OverrideCheck,
    Place,
    Views,
    override_denial,
    undenied,
)
from exit_shim.guard.simulated_orders import (
    MARK,
    SimulatedOrder,
    SimulatedOrders,
    is_algo_answer,
    order_answer,
)
from exit_shim.guard.snapshots import Unseen

LOOKED_AT: Final = ("um", None)
"""The markets whose orders a look shows; None for an adapter's door."""

THREAD: Final = "exit-shim-looks"
"""The name of the threads that wait for looks at several symbols."""

GERUNDS: Final[Mapping[str, str]] = {"place": "placing", "modify": "changing", "cancel": "cancelling"}


def message(intent: Intent) -> str:
    """Return the message of a denial, in one line."""
    order, verdict = intent.order, intent.verdict
    return (
        f"exit_shim denied {GERUNDS.get(intent.operation, intent.operation)} {order.kind} on {order.symbol} "
        f"for {intent.attribution.module}: {verdict.why} (policy line {verdict.policy})"
    )


def error_element(intent: Intent) -> dict[str, Any]:
    """Return what stands for a denied order in a batch's answer: what Binance answers for a refused one."""
    return {"code": intent.verdict.error_code, "msg": message(intent)}


def simulate(
    intent: Intent, simulated: SimulatedOrders, *, routes_stops: bool, is_all: bool = False
) -> dict[str, Any]:
    """Return the answer that stands for a simulated order, cancel or change; `is_all` for a cancel-all."""
    order, reason = intent.order, intent.verdict.why
    if intent.operation == "place":
        is_algo = is_algo_answer(intent.door, order, routes_stops=routes_stops)
        return simulated.place(intent, is_algo=is_algo)
    if intent.verdict.is_about_simulated:
        target = simulated.find(intent.account, reference_to(intent.targets[0]))
        if target is not None:
            is_cancel = intent.operation == "cancel"
            return simulated.cancel(target) if is_cancel else simulated.change(target, order)
    if intent.operation == "modify":
        changed = standing_answer(intent, intent.targets[0], "NEW", reason)
        return {**changed, "pair": intent.order.symbol}
    if not is_all and len(intent.targets) == 1:
        return cancel_answer(intent, intent.targets[0], reason)
    return {"code": 200, "msg": "The operation of cancel all open order is done.", MARK: reason}


def cancel_answer(intent: Intent, target: Target, reason: str) -> dict[str, Any]:
    """Return what the door would have answered to a cancel of one order."""
    if target.algo_id is not None:
        ids: dict[str, Any] = {"algoId": target.algo_id, "clientAlgoId": target.client_order_id}
        return {**ids, "code": "200", "msg": "success", MARK: reason}
    return standing_answer(intent, target, "CANCELED", reason)


def standing_answer(intent: Intent, target: Target, status: str, reason: str) -> dict[str, Any]:
    """Return what the exchange answers to a cancel or change of an ordinary order, with its old fields."""
    answer = order_answer(intent.order, target.order_id or 0, time.time_ns() // 1_000_000)
    return {**answer, "clientOrderId": target.client_order_id, "status": status, MARK: reason}


def outcome_of(intent: Intent, answer: Any) -> Answer:
    """Return what is recorded of an order that was held back."""
    if intent.verdict.action == "deny":
        verdict = intent.verdict
        return Answer("denied", error_code=verdict.error_code, error_message=verdict.why)
    fields: Mapping[str, Any] = answer if isinstance(answer, Mapping) else {}
    return Answer(
        "simulated",
        order_id=fields.get("orderId"),
        algo_id=fields.get("algoId"),
        client_order_id=fields.get("clientAlgoId") or fields.get("clientOrderId"),
    )


def is_list(door: Door) -> bool:
    """Return whether a call carries several orders, and is answered with a list."""
    return door.payload in {"batch", "references"}


def can_be_split(call: Call) -> bool:
    """Return whether some orders of a call can be left out: it sends the very fields that were read."""
    params = call.params
    return params is call.kwargs or any(
        argument is params for argument in (*call.args, *call.kwargs.values())
    )


def split_batch(call: Call, places: Sequence[int]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return a call's arguments without the orders at some places; the caller's objects stay."""
    whole, rest = call.params, without(call, frozenset(places))
    if whole is call.kwargs:
        return call.args, rest
    return (
        tuple(rest if argument is whole else argument for argument in call.args),
        {name: rest if argument is whole else argument for name, argument in call.kwargs.items()},
    )


def without(call: Call, places: frozenset[int]) -> dict[str, Any]:
    """Return the fields of a call without some of its orders."""
    rest, place = dict(call.params), 0
    for name in call.door.list_fields:
        field = rest.get(name)
        items = json.loads(field) if isinstance(field, str) else field
        if not isinstance(items, Sequence) or isinstance(items, str):
            continue
        left = [item for number, item in enumerate(items, place) if number not in places]
        place += len(items)
        if not left:
            del rest[name]
        elif isinstance(field, str):
            rest[name] = json.dumps(left)
        else:
            rest[name] = left
        if call.door.payload == "batch":
            break
    return rest


def merge_answers(answer: Any, answers: Mapping[int, Any]) -> Any:
    """Return a batch's answer with those of the orders that were held back in their places."""
    if isinstance(answer, dict) and isinstance(answer.get("data"), list):
        # Binance's connector puts it beside the limits and headers that it was told to show.
        return {**answer, "data": merge_answers(answer["data"], answers)}
    if not answers or not isinstance(answer, list):
        return answer
    whole = list(answer)
    for place in sorted(answers):
        whole.insert(place, answers[place])
    return whole


def is_answered_in_parts(library: ClientSupport, door: Door, held: Sequence[Withheld]) -> bool:
    """Return whether a call of which nothing goes out is answered with a list, an error for each denial."""
    # A client answers a batch so where it hands on what the exchange answers. An adapter's answer may be
    # anything, and its caller would not look for errors in it: that is denied like one order.
    is_binances = is_library_door(door.method) and library.make_result is not None
    return is_binances or any(order.intent.verdict.action != "deny" for order in held)


class WithheldCall(NeedsLook):
    """A call with an order that is to be held back, which needs a look at the exchange first.

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
        return self._decide(self._look_at(self._find_places()))

    async def look_async(self) -> Go | Withhold:
        """Do the same without blocking the event loop."""
        places = self._find_places()
        snapshots, client = self._guard.snapshots, client_of(self._call)
        looks = (snapshots.get_async(client, *place, fresh=fresh) for place, fresh in places)
        views = await asyncio.gather(*looks)
        return self._decide({place: view for (place, _), view in zip(places, views, strict=True)})

    def unsent(self) -> Sequence[Intent]:
        """Return the intents of a call whose caller gave up: nobody denied them."""
        return [undenied(intent) for intent in self._call.intents]

    def _find_places(self) -> Sequence[tuple[Place, bool]]:
        """Return the symbols to look at, each with whether that must be a fresh look."""
        if market_of(self._call.door.method) not in LOOKED_AT:
            return []
        places: dict[Place, bool] = {}
        try:
            for intent in filter(self._check.needs_look, self._call.intents):
                place = self._check.place_of(intent)
                if place.symbol is not None:
                    # The price of this moment decides about a LIMIT; whoever asks again wants to know anew.
                    has_price = intent.order.type == "LIMIT" or intent.operation == "modify"
                    fresh = has_price or self._guard.denials.has(intent)
                    places[place] = places.get(place, False) or fresh
        except Exception as error:  # noqa: BLE001 - what is not seen is not held back
            self._guard.report("find what to look at", error)
        return list(places.items())

    def _look_at(self, places: Sequence[tuple[Place, bool]]) -> Views:
        """Look at several symbols at once, and return what rests and is open there."""
        # What is raised while it waits is the caller's own, such as a time limit by a signal.
        snapshots, client = self._guard.snapshots, client_of(self._call)
        if len(places) == 1:
            ((place, fresh),) = places
            return {place: snapshots.get(client, *place, fresh=fresh)}
        views: dict[Place, Snapshot | Unseen] = {}

        def look_at(place: Place, fresh: bool) -> None:
            views[place] = snapshots.get(client, *place, fresh=fresh)

        looks = [
            threading.Thread(target=look_at, args=question, name=THREAD, daemon=True) for question in places
        ]
        # No more threads: what is not seen is not held back.
        with contextlib.suppress(RuntimeError):
            for look in looks:
                look.start()
        for look in looks:
            if look.ident is not None:
                look.join()
        return views

    def _decide(self, views: Views) -> Go | Withhold:
        """Decide by what the looks have shown; where that fails, nothing is held back."""
        try:
            return self._split(views)
        except Exception as error:  # noqa: BLE001
            self._guard.report("hold an order back", error)
            gap = Gap("the_guard_failed")
            self._call.intents = [override_denial(intent, gap) for intent in self._call.intents]
            return Go(self._touch)

    def _split(self, views: Views) -> Go | Withhold:
        """Separate the orders that go out from those that are held back."""
        call = self._call
        intents = self._decide_each(views)
        denied = [intent for intent in intents if intent.verdict.is_held]
        has_rest = is_list(call.door) and len(denied) < count_orders(call)
        if denied and has_rest and not can_be_split(call):
            gap = Gap("the_call_cannot_be_parted")
            intents, denied = [override_denial(intent, gap) for intent in intents], []
        held = [self._hold_back(intent) for intent in denied]
        end_simulated(self._guard, intents)
        rest = [intent for intent in intents if not intent.verdict.is_held]
        if not held:
            call.intents = rest
            return Go(self._touch)
        decision = Withhold(held, functools.partial(self._answer, held))
        decision.touch, decision.intents = self._touch, rest
        if has_rest:
            self._send_rest(decision, held)
        return decision

    def _decide_each(self, views: Views) -> list[Intent]:
        """Return the intents under the verdicts that they have after the look."""
        for place, view in views.items():
            if isinstance(view, Snapshot):
                self._guard.correct_book(*place, view, view.asked)
        self._guard.refresh()
        intents = [self._check.decide(intent, views, self._call.params) for intent in self._call.intents]
        opened = self._find_opened(intents)
        return [
            override_denial(intent, Gap("opens_beside"))
            if intent.order.symbol in opened and intent.operation == "place"
            else intent
            for intent in intents
        ]

    def _find_opened(self, intents: Sequence[Intent]) -> frozenset[str]:
        """Return the symbols on which the same call opens or grows a position, too."""
        door, params = self._call.door, self._call.params
        if door.payload != "batch" or door.operation != "place":
            return frozenset()
        exits = {intent.batch_index for intent in intents}
        entries = (order for place, order in enumerate(door.batch(params)) if place not in exits)
        return frozenset(upper(order.get("symbol")) for order in entries)

    def _hold_back(self, intent: Intent) -> Withheld:
        """Remember the denial of an order, and make what stands for it in the answer."""
        call, stands_for = self._call, None
        library = support_of_call(call.method, call.library)
        if library.make_result is None:
            intent = as_denial(intent)
        self._guard.denials.add(intent)
        if intent.verdict.action == "simulate":
            is_algo = "algoType" in call.params or library.has_algo_orders(call.method)
            is_all = call.door.payload == "symbol"
            stands_for = simulate(intent, self._guard.simulated, routes_stops=is_algo, is_all=is_all)
        elif is_list(call.door):
            stands_for = error_element(intent)
        return Withheld(intent, outcome_of(intent, stands_for), stands_for)

    def _answer(self, held: Sequence[Withheld]) -> Any:
        """Return what the caller of a call gets of which nothing goes out.

        Raises:
            ExitOrderDenied: The policy says so.
        """
        is_batch, first = is_list(self._call.door), held[0]
        library = support_of_call(self._call.method, self._call.library)
        answer: Any = None if is_batch else first.stands_for
        if is_batch and is_answered_in_parts(library, self._call.door, held):
            answer = [order.stands_for for order in held]
        elif first.intent.verdict.on_deny == "raise":
            raise denial_of(library, first.intent, self._call)
        if answer is None and library.may_return_none:
            return None
        if answer is not None and library.make_result is not None:
            try:
                return library.make_result(answer, self._call)
            except Exception as error:  # noqa: BLE001 - what the library cannot express is a denial
                self._guard.report("make the answer of an order that is held back", error)
        raise denial_of(library, first.intent, self._call)

    def _send_rest(self, decision: Withhold, held: Sequence[Withheld]) -> None:
        """Have what is left of a batch sent, and the answers of the others put between its answers."""
        method, call = self._call.method, self._call
        answers = {order.intent.batch_index or 0: order.stands_for for order in held}
        decision.args, decision.kwargs = split_batch(call, list(answers))

        def rest(*args: Any, **kwargs: Any) -> Any:
            return merge_answers(method(*args, **kwargs), answers)

        async def rest_async(*args: Any, **kwargs: Any) -> Any:
            answer = method(*args, **kwargs)
            return merge_answers(await answer if inspect.isawaitable(answer) else answer, answers)

        decision.rest, decision.rest_async = rest, rest_async


def as_denial(intent: Intent) -> Intent:
    """Return an intent as denied by an exception, where no answer can stand for a simulated order."""
    verdict = msgspec.structs.replace(intent.verdict, action="deny", on_deny="raise")
    return msgspec.structs.replace(intent, verdict=verdict)


def denial_of(library: ClientSupport, intent: Intent, call: Call) -> ExitOrderDenied:
    """Return the exception that a denied order's caller gets."""
    denial = library.denial(message(intent), intent.verdict.reasons, intent.verdict.error_code)
    # A denial without its request is still a denial.
    with contextlib.suppress(Exception):
        library.show_call(denial, call)
    return denial


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
    """End the simulated orders that a cancel-all would have removed, unless it is denied itself."""
    for intent in intents:
        is_denied = intent.verdict.action == "deny"
        if intent.store is not None and not is_denied and intent.order.type != COUNTDOWN:
            guard.simulated.end_all(intent.account, intent.order.symbol, intent.store)


def answer_query(guard: Guard, call: Call) -> Any:
    """Return the answer to a query about a simulated order, a coroutine for an async method; else None."""
    (reference,) = call.door.references(call.params)
    order = guard.simulated.find(call.account, reference)
    if order is None:
        return None
    client, library = client_of(call), support_of_call(call.method, call.library)
    if library.make_result is None:
        return None
    if call.is_async or library.is_async(client):
        return answer_query_async(guard, order, call, library)
    if order.is_open:
        end_unless_covered(guard, order, guard.snapshots.get(client, *place_of(order), fresh=True))
    return library.make_result(guard.simulated.query(order), call)


async def answer_query_async(guard: Guard, order: SimulatedOrder, call: Call, library: ClientSupport) -> Any:
    """Return the answer to a query about a simulated order, once the exchange was looked at."""
    client = client_of(call)
    if order.is_open:
        try:
            view = await guard.snapshots.get_async(client, *place_of(order), fresh=True)
            end_unless_covered(guard, order, view)
        except Exception as error:  # noqa: BLE001 - an order whose cover is not known does not stand
            guard.report("answer a query", error)
            guard.simulated.expire(order)
    answer = guard.simulated.query(order)
    return answer if library.make_result is None else library.make_result(answer, call)


def place_of(order: SimulatedOrder) -> Place:
    """Return which symbol a simulated order is about."""
    return Place(order.account, order.order.symbol)


def end_unless_covered(guard: Guard, order: SimulatedOrder, view: Snapshot | Unseen) -> None:
    """End a simulated order whose position is closed or uncovered, or where nothing is enforced any more."""
    # Its module must learn that it is gone, and place it anew. So it ends where the exchange could not be
    # seen, too: then the next one goes out.
    is_enforcing = guard.enforces and guard.switches.enforcing
    if is_enforcing and isinstance(view, Snapshot) and view.size_of(position_of(order.account, order.order)):
        is_owned = IsOwned(guard, order.account, order.mode)
        within = guard.compiled_policy.policy.cover_within
        with decimal.localcontext(EXACT):
            if find_gap(view, order.order.symbol, is_owned, within) is None:
                return
    guard.simulated.expire(order)
