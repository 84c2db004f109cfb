"""Orders that only the guard knows: the answers that stand for what was not sent, and their later life."""

import itertools
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from exit_shim.domain.events import Intent, Record
from exit_shim.domain.orders import CONDITIONAL_KINDS, ExitOrder, Reference, Store
from exit_shim.guard.order_ids import STORES
from exit_shim.runtime.reentrancy import ReentrantState

MAX_KEPT: Final = 10_000
"""Answers remembered; older ones are in the journal, if there is one."""

MARK: Final = "exit_shim_simulated"
"""The key that every answer has whose order was not sent; its value is the reason."""

PREFIX: Final = "simulated~"
"""What the client order id of an order begins with that had none; its number follows."""

OPEN: Final = "NEW"

ASKED: Final[Mapping[str, str]] = {"avgPrice": "0.00000", "cumQuote": "0.00000"}
ASKED_ALGO: Final[Mapping[str, str]] = {
    "actualOrderId": "",
    "actualPrice": "0.00000",
    "tpTriggerPrice": "0.000",
    "tpPrice": "0.000",
    "slTriggerPrice": "0.000",
    "slPrice": "0.000",
    "tpOrderType": "",
}
"""What GET order and GET algoOrder tell of an order beyond the answer to its placing."""

ALGO_DONE: Final[Mapping[str, str]] = {"code": "200", "msg": "success"}


class SimulatedOrder(NamedTuple):
    """An order that was not sent: whose, in which mode, when (ms since the epoch), and how it is by now."""

    account: str | None
    mode: str
    order: ExitOrder
    created: int
    answer: dict[str, Any]

    @property
    def store(self) -> Store:
        """Where it would rest."""
        return "conditional" if "algoId" in self.answer else "orders"

    @property
    def is_open(self) -> bool:
        """Whether it counts as resting."""
        return bool(self.answer[self._status] == OPEN)

    @property
    def _status(self) -> str:
        return "algoStatus" if "algoId" in self.answer else "status"

    def end(self, status: str, now: int) -> None:
        """It rests no more, from `now` on (ms since the epoch)."""
        self.answer.update({self._status: status, "updateTime": now})

    def change(self, order: ExitOrder, now: int) -> None:
        """It is as `order` has it, as far as that says; one that has ended stays as it was."""
        if self.is_open:
            new = {"price": order.price, "origQty": order.quantity, "updateTime": now}
            self.answer.update({name: value for name, value in new.items() if value is not None})


class SimulatedOrders(ReentrantState):
    """Answers by id. The numbers are negative, which no exchange's are; unique to a process.

    Names are an account's own, and a store's: another's order of the same name is the exchange's to answer
    for.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: OrderedDict[int, SimulatedOrder] = OrderedDict()
        self._named: OrderedDict[str, dict[tuple[str | None, Store], SimulatedOrder]] = OrderedDict()
        self.recall: Callable[[str], Iterable[Record]] | None = None
        """The journal's records that an id is in, oldest first: other runs suppress orders too."""
        self._begin_numbers()

    def _begin_numbers(self) -> None:
        # Microseconds since the epoch: below 2**53 and never the same in two runs.
        self._numbers = itertools.count(-(time.time_ns() // 1000), -1)
        self._pid = os.getpid()

    def __len__(self) -> int:
        return len(self._kept)

    def place(self, intent: Intent, *, is_algo: bool) -> dict[str, Any]:
        """The answer that the door would have given, marked."""
        if self._pid != os.getpid():  # a fork's child goes its own way
            self._begin_numbers()
        number, name = next(self._numbers), intent.order.client_order_id
        kept = kept_of(intent, number, is_algo=is_algo)
        with self._lock:
            self._keep(number, kept)
            if name is not None:
                self._named.setdefault(name, {})[intent.account, kept.store] = kept
                if len(self._named) > MAX_KEPT:
                    self._named.popitem(last=False)
        return dict(kept.answer)

    def may_have(self, reference: Reference) -> bool:
        """Whether an id may be that of an order of some account that was not sent; nothing is looked up."""
        number = number_of(reference)
        return reference.client_order_id in self._named if number is None else number < 0

    def find(self, account: str | None, reference: Reference) -> SimulatedOrder | None:
        """The order behind any of its ids; a number that only the journal may know is looked up there."""
        number = number_of(reference)
        with self._lock:
            if number is None:
                named = self._named.get(reference.client_order_id or "", {})
                stores = STORES if reference.store is None else (reference.store,)
                found = (named.get((account, store)) for store in stores)
                return next((kept for kept in found if kept is not None), None)
            kept = self._kept.get(number)
        return self._recalled(number) if kept is None and number < 0 else kept

    def _recalled(self, number: int) -> SimulatedOrder | None:
        kept = None if self.recall is None else rebuilt(number, self.recall(str(number)))
        if kept is None:
            return None
        with self._lock:
            return self._keep(number, kept)

    def _keep(self, number: int, kept: SimulatedOrder) -> SimulatedOrder:
        kept = self._kept.setdefault(number, kept)
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return kept

    def forget(self, account: str | None, order: ExitOrder) -> None:
        """Leave a name to the exchange: an order has really gone out under it."""
        name = order.client_order_id or ""
        # An older release keeps its stops among the orders.
        stores: tuple[Store, ...] = STORES if order.type in CONDITIONAL_KINDS else ("orders",)
        with self._lock:
            named = self._named.get(name, {})
            taken = next((store for store in stores if (account, store) in named), None)
            if taken is not None:
                del named[account, taken]
            if not named:
                self._named.pop(name, None)

    def query(self, kept: SimulatedOrder) -> dict[str, Any]:
        """What asking for it is answered with: all of the placing's answer, and what only a query tells."""
        with self._lock:
            if kept.store == "conditional":
                return {**ASKED_ALGO, **kept.answer}
            return {**ASKED, "time": kept.created, **kept.answer}

    def cancel(self, kept: SimulatedOrder) -> dict[str, Any]:
        """What cancelling it is answered with; from then on it shows as cancelled."""
        with self._lock:
            kept.end("CANCELED", now_ms())
            if kept.store == "conditional":
                return {**ALGO_DONE, **{name: kept.answer[name] for name in ("algoId", "clientAlgoId", MARK)}}
            return dict(kept.answer)

    def change(self, kept: SimulatedOrder, order: ExitOrder) -> dict[str, Any]:
        """What changing it to `order` is answered with; from then on it shows as changed."""
        with self._lock:
            kept.change(order, now_ms())
            return {**kept.answer, "pair": kept.answer["symbol"]}

    def expire(self, kept: SimulatedOrder) -> None:
        """What it stood on is gone; from now on it shows as expired."""
        with self._lock:
            if kept.is_open:
                kept.end("EXPIRED", now_ms())

    def end_all(self, account: str | None, symbol: str | None, store: Store) -> None:
        """A cancel-all took what rests: what would rest there shows as cancelled."""
        now, place = now_ms(), (account, symbol, store)
        with self._lock:
            for kept in self._kept.values():
                if kept.is_open and (kept.account, kept.order.symbol, kept.store) == place:
                    kept.end("CANCELED", now)


def number_of(reference: Reference) -> int | None:
    """The number that a reference gives, which outranks a name, or that the guard's own name for it has."""
    name = reference.client_order_id
    number = reference.algo_id or reference.order_id
    if number or name is None or not name.startswith(PREFIX):
        return number
    digits = name.removeprefix(PREFIX)
    return -int(digits) if digits.isascii() and digits.isdigit() else None


def kept_of(intent: Intent, number: int, *, is_algo: bool) -> SimulatedOrder:
    """A simulated placing, answered under a number."""
    order, created = intent.order, intent.ts // 1_000_000
    shape = algo_answer if is_algo else order_answer
    answer = {**shape(order, number, created), MARK: intent.verdict.why}
    return SimulatedOrder(intent.account, intent.mode, order, created, answer)


def rebuilt(number: int, records: Iterable[Record]) -> SimulatedOrder | None:
    """A simulated order as the records about it leave it, oldest first; None: they tell of no such."""
    kept: SimulatedOrder | None = None
    for record in records:
        intent, concluded = record.intent, record.outcome
        if concluded is None or concluded.result != "simulated":
            continue
        if intent.operation == "place" and number in (concluded.order_id, concluded.algo_id):
            kept = kept_of(intent, number, is_algo=concluded.algo_id is not None)
        elif kept is not None and intent.operation == "cancel":
            kept.end("CANCELED", intent.ts // 1_000_000)
        elif kept is not None and intent.operation == "modify":
            kept.change(intent.order, intent.ts // 1_000_000)
    return kept


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def is_algo_answer(door: str, order: ExitOrder, *, routes_stops: bool) -> bool:
    """Whether a door answers with a conditional order's fields."""
    return "algo" in door or (order.type in CONDITIONAL_KINDS and routes_stops)


def algo_answer(order: ExitOrder, number: int, now: int) -> dict[str, Any]:
    """As POST /fapi/v1/algoOrder answers."""
    return {
        "algoId": number,
        "clientAlgoId": order.client_order_id or f"{PREFIX}{-number}",
        "algoType": "CONDITIONAL",
        "orderType": order.type,
        "symbol": order.symbol,
        "side": order.side,
        "positionSide": order.position_side or "BOTH",
        "timeInForce": order.time_in_force or ("GTE_GTC" if order.close_position else "GTC"),
        "quantity": order.quantity or "0",
        "algoStatus": OPEN,
        "triggerPrice": order.trigger_price or "0",
        "price": order.price or "0",
        "icebergQuantity": None,
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "workingType": order.working_type or "CONTRACT_PRICE",
        "priceMatch": "NONE",
        "closePosition": order.close_position,
        "priceProtect": False,
        "reduceOnly": order.reduce_only or order.close_position,
        "createTime": now,
        "updateTime": now,
        "triggerTime": 0,
        "goodTillDate": 0,
    }


def order_answer(order: ExitOrder, number: int, now: int) -> dict[str, Any]:
    """As POST /fapi/v1/order answers."""
    return {
        "orderId": number,
        "symbol": order.symbol,
        "status": OPEN,
        "clientOrderId": order.client_order_id or f"{PREFIX}{-number}",
        "price": order.price or "0",
        "origQty": order.quantity or "0",
        "executedQty": "0",
        "cumQty": "0",
        "timeInForce": order.time_in_force or "GTC",
        "type": order.type,
        "reduceOnly": order.reduce_only or order.close_position,
        "closePosition": order.close_position,
        "side": order.side,
        "positionSide": order.position_side or "BOTH",
        "stopPrice": order.trigger_price or "0",
        "workingType": order.working_type or "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": order.type,
        "priceMatch": "NONE",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "goodTillDate": 0,
        "updateTime": now,
    }
