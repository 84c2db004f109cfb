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

from exit_shim.book import spot_of
from exit_shim.doors import COUNTDOWN, DOOR_NAMES, Asked, Door, is_coroutine_method
from exit_shim.guard.cover import EXACT, Gap, find_gap
from exit_shim.guard.judging import Guard, reference_to
from exit_shim.guard.settling import Owned, Place, Settling, Sights, let_go
from exit_shim.guard.snapshots import Unseen
from exit_shim.guard.suppressed import MARK, Kept, Suppressed, is_algo_answer, order_answer
from exit_shim.orders import upper
from exit_shim.outcomes import Answer
from exit_shim.policy.codes import SUPPRESSED_ORDER
from exit_shim.python_binance import is_own_module
from exit_shim.records import Submission, Target
from exit_shim.stock import Stock

ELSEWHERE: Final = ("papi_", "futures_coin_", "request_papi_", "request_futures_coin_")
"""What the names of doors begin with whose orders are not where a look looks."""

LOOKS: Final = "exit-shim-looks"
"""The name of the threads that wait for looks at several symbols."""

DOES: Final[Mapping[str, str]] = {"place": "placing", "modify": "changing", "cancel": "cancelling"}


def message(submission: Submission) -> str:
    """What a denied caller is told, in one line."""
    order, verdict = submission.order, submission.verdict
    why = "; ".join(verdict.reasons)
    return (
        f"exit_shim denied {DOES.get(submission.intent, submission.intent)} {order.kind} on {order.symbol} "
        f"for {submission.attribution.module}: {why} (policy line {verdict.policy})"
    )


def error_element(submission: Submission) -> dict[str, Any]:
    """A denied order in a batch's answer, as Binance answers for one that it refuses."""
    return {"code": submission.verdict.error_code, "msg": message(submission)}


def stand_in(
    submission: Submission, suppressed: Suppressed, *, routes_stops: bool, is_all: bool = False
) -> dict[str, Any]:
    """The answer that stands for a suppressed order, cancel or change; `is_all` for a cancel-all."""
    order, reason = submission.order, "; ".join(submission.verdict.reasons)
    if submission.intent == "place":
        is_algo = is_algo_answer(submission.door, order, routes_stops=routes_stops)
        return suppressed.place(submission, is_algo=is_algo)
    if submission.verdict.reasons == (SUPPRESSED_ORDER,):
        kept = suppressed.find(submission.account, reference_to(submission.targets[0]))
        if kept is not None:
            is_cancel = submission.intent == "cancel"
            return suppressed.cancel(kept) if is_cancel else suppressed.change(kept, order)
    if submission.intent == "modify":
        changed = standing_answer(submission, submission.targets[0], "NEW", reason)
        return {**changed, "pair": submission.order.symbol}
    if not is_all and len(submission.targets) == 1:
        return cancel_answer(submission, submission.targets[0], reason)
    return {"code": 200, "msg": "The operation of cancel all open order is done.", MARK: reason}


def cancel_answer(submission: Submission, target: Target, reason: str) -> dict[str, Any]:
    """As the door would have answered a cancel of one order."""
    if target.algo_id is not None:
        ids: dict[str, Any] = {"algoId": target.algo_id, "clientAlgoId": target.client_order_id}
        return {**ids, "code": "200", "msg": "success", MARK: reason}
    return standing_answer(submission, target, "CANCELED", reason)


def standing_answer(submission: Submission, target: Target, status: str, reason: str) -> dict[str, Any]:
    """As the exchange answers a cancel or change of an ordinary order, which stays what it was."""
    answer = order_answer(submission.order, target.order_id or 0, time.time_ns() // 1_000_000)
    return {**answer, "clientOrderId": target.client_order_id, "status": status, MARK: reason}


def outcome_of(submission: Submission, answer: Any) -> Answer:
    """What is recorded of an order that was held back."""
    if submission.verdict.action == "deny":
        verdict = submission.verdict
        return Answer("denied", error_code=verdict.error_code, error_message="; ".join(verdict.reasons))
    given: Mapping[str, Any] = answer if isinstance(answer, Mapping) else {}
    return Answer(
        "suppressed",
        order_id=given.get("orderId"),
        algo_id=given.get("algoId"),
        client_order_id=given.get("clientAlgoId") or given.get("clientOrderId"),
    )


def is_list(door: Door) -> bool:
    """Whether a call carries several orders, and is answered with a list."""
    return door.carries in {"batch", "references"}


def can_be_parted(asked: Asked, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether some orders of a call can be left out: its fields are the call's own, not an adapter's."""
    return asked.params is kwargs or any(given is asked.params for given in (*args, *kwargs.values()))


def parted(
    asked: Asked, held: Sequence[int], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The call's arguments without the orders at the places `held`; the caller's objects stay as they are."""
    whole, rest = asked.params, without(asked, frozenset(held))
    if whole is kwargs:
        return args, rest
    return (
        tuple(rest if given is whole else given for given in args),
        {name: rest if given is whole else given for name, given in kwargs.items()},
    )


def without(asked: Asked, held: frozenset[int]) -> dict[str, Any]:
    """The fields of a call without some of its orders."""
    rest, place = dict(asked.params), 0
    for name in asked.door.lists:
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
        if asked.door.carries == "batch":
            break
    return rest


def merged(answer: Any, held: Mapping[int, Any]) -> Any:
    """A batch's answer with the held ones in their places; what is no list, or lacks none, as it is."""
    if not held or not isinstance(answer, list):
        return answer
    whole = list(answer)
    for place in sorted(held):
        whole.insert(place, held[place])
    return whole


def routes_stops(method: Callable[..., Any]) -> bool:
    """Whether a method sends conditional orders to the Algo Service: only genuine old clients do not."""
    function = getattr(method, "__func__", method)
    code = getattr(function, "__code__", None)
    genuine = is_own_module(getattr(function, "__module__", None))
    return not genuine or code is None or "clientAlgoId" in code.co_consts


def is_async_client(client: Any) -> bool:
    """Whether a client's methods are to be awaited, whatever one of them looks like."""
    listing = getattr(type(client), "futures_get_open_orders", None)
    return listing is not None and is_coroutine_method(listing)


class Held(NamedTuple):
    """An order that does not go out, what is recorded of it, and what stands in its place in an answer."""

    submission: Submission
    outcome: Answer
    answer: Any


def is_answered_in_parts(door: Door, held: Sequence[Held]) -> bool:
    """Whether a call of which nothing goes out is answered with a list: an error for each denied order.

    So is python-binance's, as the exchange answers it. An adapter's answer may be anything, and its caller
    would not look for errors in it: that is denied like one order.
    """
    return door.method in DOOR_NAMES or any(one.submission.verdict.action != "deny" for one in held)


class Holding:
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
        asked: Asked,
        method: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self.method = method
        self.args = args
        self.kwargs = kwargs
        self.sends = True
        self._guard = guard
        self._settling = Settling(guard)
        self._asked = asked
        self._held: dict[int, Held] = {}

    def look(self, places: Sequence[tuple[Place, bool]]) -> Sights:
        """Return what rests and is open at places, looked at all at once.

        What is raised while it waits is the caller's own, such as a time limit by a signal.
        """
        snapshots, client = self._guard.snapshots, self._client()
        if len(places) == 1:
            ((place, fresh),) = places
            return {place: snapshots.get(client, *place, fresh=fresh)}
        sights: dict[Place, Stock | Unseen] = {}

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
        return {place: stock for (place, _), stock in zip(places, seen, strict=True)}

    def places(self, submissions: Sequence[Submission]) -> Sequence[tuple[Place, bool]]:
        """Return the symbols to look at, each with whether that must be a fresh look.

        It must where an order was denied before and is asked again, and for what rests on the price of now.
        """
        if self._asked.door.method.lstrip("_").startswith(ELSEWHERE):
            return []
        places: dict[Place, bool] = {}
        for one in submissions:
            if self._settling.needs_a_look(one):
                place = self._settling.place_of(one)
                if place.symbol is not None:
                    has_price = one.order.type == "LIMIT" or one.intent == "modify"
                    fresh = has_price or self._guard.denials.has(one)
                    places[place] = places.get(place, False) or fresh
        return list(places.items())

    def part(self, submissions: Sequence[Submission], sights: Sights) -> tuple[list[Submission], list[Held]]:
        """The orders that go out, and those that do not."""
        for place, seen in sights.items():
            if isinstance(seen, Stock):
                self._guard.saw(*place, seen, seen.asked)
        self._guard.refresh()
        settled = [self._settling.settled(one, sights, self._asked.params) for one in submissions]
        opened = self._opened(submissions)
        settled = [
            let_go(one, Gap("opens_beside")) if one.order.symbol in opened and one.intent == "place" else one
            for one in settled
        ]
        goes = [submission for submission in settled if not submission.verdict.is_held]
        stays = [submission for submission in settled if submission.verdict.is_held]
        sends = is_list(self._asked.door) and len(stays) < self._count()
        if stays and sends and not can_be_parted(self._asked, self.args, self.kwargs):
            gap = Gap("the_call_cannot_be_parted")
            return [let_go(submission, gap) for submission in settled], []
        held = [self._hold(submission) for submission in stays]
        self._held = dict(zip([one.submission.batch_index or 0 for one in held], held, strict=True))
        if held and sends:
            self.args, self.kwargs = parted(self._asked, list(self._held), self.args, self.kwargs)
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
        return is_async_client(self._client()) and asyncio._get_running_loop() is not None  # noqa: SLF001

    def answer(self) -> Any:
        """Return what the caller gets whose call is held back whole.

        Raises:
            ExitOrderDenied: The policy says so.
        """
        held = [self._held[place] for place in sorted(self._held)]
        is_batch, first = is_list(self._asked.door), held[0]
        if is_batch and is_answered_in_parts(self._asked.door, held):
            return [one.answer for one in held]
        if first.submission.verdict.answer == "raise":
            from exit_shim.errors import ExitOrderDenied  # noqa: PLC0415 - it rests on python-binance

            verdict = first.submission.verdict
            raise ExitOrderDenied(message(first.submission), verdict.reasons, verdict.error_code)
        return None if is_batch else first.answer

    def rest(self, *args: Any, **kwargs: Any) -> Any:
        """Send what goes out, and put the held ones into the answer."""
        return self._merge(self.method(*args, **kwargs))

    async def rest_async(self, *args: Any, **kwargs: Any) -> Any:
        """The same with an async method, or with a plain one that returns a coroutine."""
        answer = self.method(*args, **kwargs)
        return self._merge(await answer if inspect.isawaitable(answer) else answer)

    def _merge(self, answer: Any) -> Any:
        return merged(answer, {place: held.answer for place, held in self._held.items()})

    def _opened(self, submissions: Sequence[Submission]) -> frozenset[str]:
        """Return the symbols on which the same call opens or grows a position, too."""
        door, params = self._asked
        if door.carries != "batch" or door.intent != "place":
            return frozenset()
        exits = {one.batch_index for one in submissions}
        entries = (order for place, order in enumerate(door.batch(params)) if place not in exits)
        return frozenset(upper(order.get("symbol")) for order in entries)

    def _client(self) -> Any:
        return getattr(self.method, "__self__", None)

    def _count(self) -> int:
        door, params = self._asked
        return len(door.batch(params) if door.carries == "batch" else door.references(params))

    def _hold(self, submission: Submission) -> Held:
        answer: Any = None
        self._guard.denials.add(submission)
        if submission.verdict.action == "suppress":
            is_algo = "algoType" in self._asked.params or routes_stops(self.method)
            is_all = self._asked.door.carries == "symbol"
            answer = stand_in(submission, self._guard.suppressed, routes_stops=is_algo, is_all=is_all)
        elif is_list(self._asked.door):
            answer = error_element(submission)
        return Held(submission, outcome_of(submission, answer), answer)


def end_suppressed(guard: Guard, submissions: Sequence[Submission]) -> None:
    """Where a call is a cancel-all that is not denied, what it would have taken of suppressed orders ends."""
    for one in submissions:
        if one.store is not None and one.verdict.action != "deny" and one.order.type != COUNTDOWN:
            guard.suppressed.end_all(one.account, one.order.symbol, one.store)


def answer_query(guard: Guard, asked: Asked, method: Callable[..., Any], account: str | None) -> Any:
    """The answer to a query about an order that only the guard knows; a coroutine for an async method.

    None: it is none of this account's.
    """
    (reference,) = asked.door.references(asked.params)
    kept = guard.suppressed.find(account, reference)
    if kept is None:
        return None
    client = getattr(method, "__self__", None)
    if is_coroutine_method(method) or is_async_client(client):
        return answer_later(guard, kept, client)
    if kept.is_open:
        end_unless_covered(guard, kept, guard.snapshots.get(client, *place_of(kept), fresh=True))
    return guard.suppressed.query(kept)


async def answer_later(guard: Guard, kept: Kept, client: Any) -> Any:
    """The same for who awaits it."""
    if kept.is_open:
        try:
            seen = await guard.snapshots.get_async(client, *place_of(kept), fresh=True)
            end_unless_covered(guard, kept, seen)
        except Exception as error:  # noqa: BLE001 - what cannot be told is not said to stand
            guard.on_trouble("answer a query", error)
            guard.suppressed.expire(kept)
    return guard.suppressed.query(kept)


def place_of(kept: Kept) -> Place:
    """Return which symbol a simulated order is about."""
    return Place(kept.account, kept.order.symbol)


def end_unless_covered(guard: Guard, kept: Kept, seen: Stock | Unseen) -> None:
    """End a simulated order whose position is closed or uncovered, or where nothing is enforced any more.

    Whoever relies on it is to learn that it is gone, and to place it anew. So it ends where the exchange
    could not be seen, too: then the next one goes out.
    """
    is_enforcing = guard.enforces and guard.switches.enforcing
    if is_enforcing and isinstance(seen, Stock) and seen.held(spot_of(kept.account, kept.order)):
        owned = Owned(guard, kept.account, kept.mode)
        within = guard.standings.policy.cover_within
        with decimal.localcontext(EXACT):
            if find_gap(seen, kept.order.symbol, owned, within) is None:
                return
    guard.suppressed.expire(kept)
