"""Simulated orders: the answers that stand for orders that were not sent, and what becomes of them."""

import itertools
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from exit_shim.domain.events import Intent, Record
from exit_shim.domain.orders import CONDITIONAL_KINDS, ExitOrder, Reach, Reference, Store, reaches
from exit_shim.guard.order_ids import STORES
from exit_shim.runtime.reentrancy import ReentrantState

MAX_ORDERS: Final = 10_000
"""Orders remembered; older ones are in the journal, if there is one."""

MARK: Final = "exit_shim_simulated"
"""The key that marks the answer of an order that was not sent; its value is the reason."""

PREFIX: Final = "simulated~"
"""The beginning of the client order id that an order without one gets; its number follows."""

OPEN: Final = "NEW"

QUERY_FIELDS: Final[Mapping[str, str]] = {"avgPrice": "0.00000", "cumQuote": "0.00000"}
ALGO_QUERY_FIELDS: Final[Mapping[str, str]] = {
    "actualOrderId": "",
    "actualPrice": "0.00000",
    "tpTriggerPrice": "0.000",
    "tpPrice": "0.000",
    "slTriggerPrice": "0.000",
    "slPrice": "0.000",
    "tpOrderType": "",
}
"""The fields that GET order and GET algoOrder have beyond the answer to placing the order."""

ALGO_DONE: Final[Mapping[str, str]] = {"code": "200", "msg": "success"}


class SimulatedOrder(NamedTuple):
    """An order that was not sent.

    Attributes:
        account: Whose order it would be.
        mode: The mode in which it was denied.
        order: The order.
        created: When it was placed, in ms since the epoch.
        answer: The answer to its placing, with its status of now.
    """

    account: str | None
    mode: str
    order: ExitOrder
    created: int
    answer: dict[str, Any]

    @property
    def store(self) -> Store:
        """The store in which it would rest."""
        return "conditional" if "algoId" in self.answer else "orders"

    @property
    def is_open(self) -> bool:
        """Whether it counts as resting."""
        return bool(self.answer[self._status] == OPEN)

    @property
    def _status(self) -> str:
        return "algoStatus" if "algoId" in self.answer else "status"

    def end(self, status: str, now: int) -> None:
        """End it with a status, at `now` (ms since the epoch)."""
        self.answer.update({self._status: status, "updateTime": now})

    def change(self, order: ExitOrder, now: int) -> None:
        """Take over the fields of a change; an order that has ended stays as it was."""
        if self.is_open:
            new = {"price": order.price, "origQty": order.quantity, "updateTime": now}
            self.answer.update({name: value for name, value in new.items() if value is not None})


class SimulatedOrders(ReentrantState):
    """Remembers simulated orders by their ids; thread-safe, bounded.

    Attributes:
        recall: Returns the journal's records that an id is in, oldest first: other runs simulate orders, too.
    """

    def __init__(self) -> None:
        super().__init__()
        self._by_number: OrderedDict[int, SimulatedOrder] = OrderedDict()
        # Names are an account's own, and a store's: others' orders are for the exchange to answer.
        self._by_name: OrderedDict[str, dict[tuple[str | None, Store], SimulatedOrder]] = OrderedDict()
        self.recall: Callable[[str], Iterable[Record]] | None = None
        self._begin_numbers()

    def _begin_numbers(self) -> None:
        # Negative, which no exchange's are. Microseconds since the epoch: below 2**53, and never the same in
        # two runs.
        self._numbers = itertools.count(-(time.time_ns() // 1000), -1)
        self._pid = os.getpid()

    def __len__(self) -> int:
        return len(self._by_number)

    def place(self, intent: Intent, *, is_algo: bool) -> dict[str, Any]:
        """Remember an order that is not sent, and return the marked answer that stands for its door's."""
        # The child of a fork must not give the numbers of its parent.
        if self._pid != os.getpid():
            self._begin_numbers()
        number, name = next(self._numbers), intent.order.client_order_id
        order = simulated_order_of(intent, number, is_algo=is_algo)
        with self._lock:
            self._remember(number, order)
            if name is not None:
                self._by_name.setdefault(name, {})[intent.account, order.store] = order
                if len(self._by_name) > MAX_ORDERS:
                    self._by_name.popitem(last=False)
        return dict(order.answer)

    def may_have(self, reference: Reference) -> bool:
        """Return whether an id may be that of a simulated order of some account; nothing is looked up."""
        number = number_of(reference)
        return reference.client_order_id in self._by_name if number is None else number < 0

    def find(self, account: str | None, reference: Reference) -> SimulatedOrder | None:
        """Return the order behind an id; a number that is not remembered is looked up in the journal."""
        number = number_of(reference)
        with self._lock:
            if number is None:
                namesakes = self._by_name.get(reference.client_order_id or "", {})
                stores = STORES if reference.store is None else (reference.store,)
                orders = (namesakes.get((account, store)) for store in stores)
                return next((order for order in orders if order is not None), None)
            order = self._by_number.get(number)
        return self._recall(number) if order is None and number < 0 else order

    def _recall(self, number: int) -> SimulatedOrder | None:
        order = None if self.recall is None else rebuild(number, self.recall(str(number)))
        if order is None:
            return None
        with self._lock:
            return self._remember(number, order)

    def _remember(self, number: int, order: SimulatedOrder) -> SimulatedOrder:
        order = self._by_number.setdefault(number, order)
        if len(self._by_number) > MAX_ORDERS:
            self._by_number.popitem(last=False)
        return order

    def forget(self, account: str | None, order: ExitOrder) -> None:
        """Leave a client order id to the exchange: an order has really gone out under it."""
        name = order.client_order_id or ""
        # An older release of the client keeps its stops among the orders.
        stores: tuple[Store, ...] = STORES if order.type in CONDITIONAL_KINDS else ("orders",)
        with self._lock:
            namesakes = self._by_name.get(name, {})
            used = next((store for store in stores if (account, store) in namesakes), None)
            if used is not None:
                del namesakes[account, used]
            if not namesakes:
                self._by_name.pop(name, None)

    def query(self, order: SimulatedOrder) -> dict[str, Any]:
        """Return the answer to a query for an order."""
        with self._lock:
            if order.store == "conditional":
                return {**ALGO_QUERY_FIELDS, **order.answer}
            return {**QUERY_FIELDS, "time": order.created, **order.answer}

    def cancel(self, order: SimulatedOrder) -> dict[str, Any]:
        """Cancel an order, and return the answer to that."""
        with self._lock:
            order.end("CANCELED", now_ms())
            if order.store == "conditional":
                ids = {name: order.answer[name] for name in ("algoId", "clientAlgoId", MARK)}
                return {**ALGO_DONE, **ids}
            return dict(order.answer)

    def change(self, order: SimulatedOrder, new: ExitOrder) -> dict[str, Any]:
        """Change an order to `new`, and return the answer to that."""
        with self._lock:
            order.change(new, now_ms())
            return {**order.answer, "pair": order.answer["symbol"]}

    def expire(self, order: SimulatedOrder) -> None:
        """End an order whose position or cover is gone."""
        with self._lock:
            if order.is_open:
                order.end("EXPIRED", now_ms())

    def end_all(self, account: str | None, symbol: str | None, store: Reach) -> None:
        """End the orders that a cancel-all of an account's symbol and store removes."""
        now, place = now_ms(), (account, symbol)
        with self._lock:
            for order in self._by_number.values():
                is_there = (order.account, order.order.symbol) == place and reaches(store, order.store)
                if order.is_open and is_there:
                    order.end("CANCELED", now)


def number_of(reference: Reference) -> int | None:
    """Return the number that a reference has, or that the guard's own client order id contains."""
    name = reference.client_order_id
    number = reference.algo_id or reference.order_id
    if number or name is None or not name.startswith(PREFIX):
        return number
    digits = name.removeprefix(PREFIX)
    return -int(digits) if digits.isascii() and digits.isdigit() else None


def simulated_order_of(intent: Intent, number: int, *, is_algo: bool) -> SimulatedOrder:
    """Return the simulated order that a denied intent becomes, under a number."""
    order, created = intent.order, intent.ts // 1_000_000
    shape = algo_answer if is_algo else order_answer
    answer = {**shape(order, number, created), MARK: intent.verdict.why}
    return SimulatedOrder(intent.account, intent.mode, order, created, answer)


def rebuild(number: int, records: Iterable[Record]) -> SimulatedOrder | None:
    """Return a simulated order as the records about it leave it, oldest first; None where there is none."""
    order: SimulatedOrder | None = None
    for record in records:
        intent, outcome = record.intent, record.outcome
        if outcome is None or outcome.result != "simulated":
            continue
        if intent.operation == "place" and number in (outcome.order_id, outcome.algo_id):
            order = simulated_order_of(intent, number, is_algo=outcome.algo_id is not None)
        elif order is not None and intent.operation == "cancel":
            order.end("CANCELED", intent.ts // 1_000_000)
        elif order is not None and intent.operation == "modify":
            order.change(intent.order, intent.ts // 1_000_000)
    return order


def now_ms() -> int:
    """Return milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def is_algo_answer(door: str, order: ExitOrder, *, routes_stops: bool) -> bool:
    """Return whether a door answers with the fields of a conditional order."""
    return "algo" in door or (order.type in CONDITIONAL_KINDS and routes_stops)


def algo_answer(order: ExitOrder, number: int, now: int) -> dict[str, Any]:
    """Return what POST /fapi/v1/algoOrder answers."""
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
    """Return what POST /fapi/v1/order answers."""
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
