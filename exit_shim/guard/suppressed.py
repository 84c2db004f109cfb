"""Orders that only the guard knows: the answers that stand for what was not sent, and their later life."""

import itertools
import os
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from exit_shim.doors import Reference
from exit_shim.locks import Locked
from exit_shim.orders import CONDITIONAL_KINDS, ExitOrder

MAX_KEPT: Final = 10_000
"""Answers remembered; of older ones a query goes to the exchange, which knows them not."""

MARK: Final = "exit_shim_suppressed"
"""The key that every answer has whose order was not sent; its value is the reason."""

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


class Suppressed(Locked):
    """Answers by id. The numbers are negative, which no exchange's are; unique to a process."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: OrderedDict[tuple[str, object], dict[str, Any]] = OrderedDict()
        self._begin_numbers()

    def _begin_numbers(self) -> None:
        # Microseconds since the epoch: below 2**53 and never the same in two runs.
        self._numbers = itertools.count(-(time.time_ns() // 1000), -1)
        self._pid = os.getpid()

    def __len__(self) -> int:
        return len(self._kept)

    def place(self, order: ExitOrder, reason: str, *, is_algo: bool) -> dict[str, Any]:
        """The answer that the door would have given, marked."""
        if self._pid != os.getpid():  # a fork's child goes its own way
            self._begin_numbers()
        number = next(self._numbers)
        shape = algo_answer if is_algo else order_answer
        answer = {**shape(order, number, time.time_ns() // 1_000_000), MARK: reason}
        with self._lock:
            for key in (
                ("number", number),
                ("client", answer["clientAlgoId" if is_algo else "clientOrderId"]),
            ):
                self._kept[key] = answer
            while len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        return dict(answer)

    def find(self, reference: Reference) -> dict[str, Any] | None:
        """The answer that stands for an order, by any of its ids."""
        if not self._kept:
            return None
        number = reference.algo_id or reference.order_id
        with self._lock:
            return self._kept.get(("number", number)) or self._kept.get(("client", reference.client_order_id))

    def forget(self, client_order_id: str | None) -> None:
        """An order has really gone out under this name: asking for it is the exchange's to answer now."""
        with self._lock:
            self._kept.pop(("client", client_order_id), None)

    def query(self, reference: Reference) -> dict[str, Any]:
        """What asking for it is answered with: all of the placing's answer, and what only a query tells."""
        answer = self.find(reference) or {}
        if "algoId" in answer:
            return {**ASKED_ALGO, **answer}
        return {**ASKED, "time": answer.get("updateTime"), **answer}

    def cancel(self, reference: Reference) -> dict[str, Any]:
        """What cancelling it is answered with; from then on it shows as cancelled."""
        with self._lock:
            answer = self.find(reference) or {}
            answer["algoStatus" if "algoId" in answer else "status"] = "CANCELED"
            if "algoId" in answer:
                return {**ALGO_DONE, **{name: answer[name] for name in ("algoId", "clientAlgoId", MARK)}}
            return dict(answer)


def is_algo_answer(door: str, order: ExitOrder, *, routes_stops: bool) -> bool:
    """Whether a door answers with a conditional order's fields."""
    return "algo" in door or (order.type in CONDITIONAL_KINDS and routes_stops)


def algo_answer(order: ExitOrder, number: int, now: int) -> dict[str, Any]:
    """As POST /fapi/v1/algoOrder answers."""
    return {
        "algoId": number,
        "clientAlgoId": order.client_order_id or f"suppressed~{-number}",
        "algoType": "CONDITIONAL",
        "orderType": order.type,
        "symbol": order.symbol,
        "side": order.side,
        "positionSide": order.position_side or "BOTH",
        "timeInForce": order.time_in_force or ("GTE_GTC" if order.close_position else "GTC"),
        "quantity": order.quantity or "0",
        "algoStatus": "NEW",
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
        "status": "NEW",
        "clientOrderId": order.client_order_id or f"suppressed~{-number}",
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
