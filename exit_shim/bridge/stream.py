"""Translate the user data stream of today into the events of before 2025-12-09. Pure.

A conditional order had ORDER_TRADE_UPDATE like any other, and the order that it became kept its id. The
events of the Algo Service go on to the bot as well, for those that read them.
"""

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

from exit_shim.bridge.known import KnownOrders, KnownStop
from exit_shim.domain.orders import upper

Event = Mapping[str, Any]

ROW_NAMES: Final[Mapping[str, str]] = {
    "aid": "algoId",
    "caid": "clientAlgoId",
    "o": "orderType",
    "s": "symbol",
    "S": "side",
    "ps": "positionSide",
    "q": "quantity",
    "X": "algoStatus",
    "ai": "actualOrderId",
    "tp": "triggerPrice",
    "p": "price",
    "wt": "workingType",
    "cp": "closePosition",
    "R": "reduceOnly",
}
"""The fields of ALGO_UPDATE, and their names in a row of the Algo Service."""

EXECUTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "NEW": ("NEW", "0"),
    "CANCELED": ("CANCELED", "0"),
    "EXPIRED": ("EXPIRED", "6"),
    "TRIGGERING": ("EXPIRED", "8"),
}
"""The old execution type and reason of an expiry, by the status of the Algo Service; others were silent."""

ENDS: Final = frozenset({"FILLED", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH", "REJECTED"})
"""The statuses of an order that can have no further event."""

IS_CHILD: Final = "ALGO_CONDITION"
"""The `st` of an order that a conditional one became; its `si` is the conditional one's id."""

CHILDREN: Final = frozenset({"MARKET", "LIMIT"})
"""The types of the orders that conditional ones become."""

MOST_TOLD: Final = 20_000


HAVE_FIRED: Final = frozenset({"TRIGGERING", "TRIGGERED", "FINISHED"})
"""The statuses of a conditional order that has become another one, or is about to."""


class Missing(NamedTuple):
    """An order that a conditional one became, and whose end was never heard of."""

    algo_id: int
    symbol: str
    child_id: int


class StreamTranslator:
    """Translate the events of one stream, in their order.

    Args:
        known: The account's orders; what the stream tells is learnt there.
    """

    def __init__(self, known: KnownOrders) -> None:
        self._known = known
        self._told: OrderedDict[Hashable, None] = OrderedDict()
        self._filled: OrderedDict[int, str] = OrderedDict()
        self.missing: OrderedDict[int, Missing] = OrderedDict()
        """What to ask the exchange for, by algo id; see `add_late`."""

    def translate(self, event: Event) -> list[Event]:
        """Return the events that the bot gets in the place of one."""
        kind = event.get("e")
        if kind == "ALGO_UPDATE":
            return [*self._translate_algo(event), event]
        if kind == "ORDER_TRADE_UPDATE":
            return self._rename_child(event)
        if kind == "TRADE_LITE":
            algo_id = self._algo_id_of(event)
            return [event if algo_id is None else {**event, "i": algo_id}]
        return [event]

    def add_late(self, missing: Missing, child: Mapping[str, Any] | None) -> list[Event]:
        """Return the event that the bot has missed, at most once for an order.

        Args:
            missing: The order, which is missing no more.
            child: It, as `GET order` answers; None where it could not be read.
        """
        is_missing = self.missing.pop(missing.algo_id, None) is not None
        stop = self._known.find(missing.algo_id, None)
        if not is_missing or child is None or stop is None or upper(child.get("status")) not in ENDS:
            return []
        filled = self._filled.get(missing.algo_id, "0")
        return [late_update(stop, child, filled)] if self._is_news((missing.algo_id, "ended")) else []

    def _translate_algo(self, event: Event) -> list[Event]:
        body = event.get("o")
        if not isinstance(body, Mapping) or type(body.get("aid")) is not int:
            return []
        stop = self._known.learn({ROW_NAMES[name]: body[name] for name in body if name in ROW_NAMES})
        status = upper(body.get("X"))
        # An activated trailing stop is NEW a second time; the old exchange said nothing then.
        if not self._is_news((body["aid"], status)):
            return []
        if status == "FINISHED" and stop is not None and stop.child_id is not None:
            self._expect_end(stop, stop.child_id)
        if status == "REJECTED":
            return [refused_trigger(event, body)]
        execution = EXECUTIONS.get(status)
        return [] if execution is None else [order_update(event, body, *execution)]

    def _expect_end(self, stop: KnownStop, child_id: int) -> None:
        if (stop.algo_id, "ended") not in self._told:
            self.missing[stop.algo_id] = Missing(stop.algo_id, stop.symbol, child_id)

    def _rename_child(self, event: Event) -> list[Event]:
        body = event.get("o")
        if not isinstance(body, Mapping) or body.get("o") not in CHILDREN:
            return [event]
        algo_id = self._algo_id_of(body)
        if algo_id is None or body.get("i") == algo_id:
            return [event]
        if not self._is_news_of_child(algo_id, body):
            return []
        changed = {"i": algo_id, "actualOrderId": str(body.get("i"))}
        stop = self._known.find(algo_id, None)
        if stop is not None:
            self._known.learn({**stop.row, "actualOrderId": str(body.get("i"))})
            changed |= {"ot": stop.row.get("orderType"), "sp": stop.row.get("triggerPrice") or "0"}
        return [{**event, "o": {**body, **changed}}]

    def _is_news_of_child(self, algo_id: int, body: Mapping[str, Any]) -> bool:
        """Return whether the bot has not had an event of a child, nor its end; and remember it."""
        if (algo_id, "ended") in self._told:
            return False
        if not self._is_news((algo_id, *(body.get(name) for name in ("x", "X", "z", "t")))):
            return False
        self._filled[algo_id] = str(body.get("z") or "0")
        if len(self._filled) > MOST_TOLD:
            self._filled.popitem(last=False)
        if upper(body.get("X")) in ENDS:
            self._is_news((algo_id, "ended"))
            self.missing.pop(algo_id, None)
        return True

    def _algo_id_of(self, body: Mapping[str, Any]) -> int | None:
        """Return the id of the conditional order that an order was: by its link, else by its own ids."""
        link, child_id = body.get("si"), body.get("i")
        if type(link) is int and link and (body.get("st") == IS_CHILD or self._known.find(link, None)):
            return link
        stop = self._known.find(child_id, None) if type(child_id) is int else None
        if stop is not None and is_child(stop, body):
            return stop.algo_id
        stop = self._known.find(None, body.get("c"))
        # An ordinary order may bear the same name before a conditional one fires, and after it has ended.
        has_fired = stop is not None and upper(stop.row.get("algoStatus")) in HAVE_FIRED
        return stop.algo_id if stop is not None and has_fired and is_child(stop, body) else None

    def _is_news(self, key: Hashable) -> bool:
        is_news = key not in self._told
        self._told[key] = None
        if len(self._told) > MOST_TOLD:
            self._told.popitem(last=False)
        return is_news


def is_child(stop: KnownStop, body: Mapping[str, Any]) -> bool:
    """Return whether an order can be the one that a conditional order became; ids are unique in a symbol."""
    return stop.symbol == body.get("s") and stop.child_id in {None, body.get("i")}


def order_update(event: Event, body: Mapping[str, Any], execution: str, expiry: str) -> Event:
    """Return ORDER_TRADE_UPDATE of a conditional order."""
    order = {
        "s": body.get("s"),
        "c": body.get("caid"),
        "S": body.get("S"),
        "o": body.get("o"),
        "f": body.get("f"),
        "q": body.get("q"),
        "p": body.get("p"),
        "ap": "0",
        "sp": body.get("tp"),
        "x": execution,
        "X": execution,
        "i": body.get("aid"),
        "l": "0",
        "z": "0",
        "L": "0",
        "n": "0",
        "N": "USDT",
        "T": event.get("T"),
        "t": 0,
        "b": "0",
        "a": "0",
        "m": False,
        "R": body.get("R"),
        "wt": body.get("wt"),
        "ot": body.get("o"),
        "ps": body.get("ps"),
        "cp": body.get("cp"),
        "rp": "0",
        "pP": body.get("pP"),
        "si": 0,
        "ss": 0,
        "V": body.get("V"),
        "pm": body.get("pm"),
        "gtd": body.get("gtd"),
        "er": expiry,
    }
    if "cr" in body:
        order["cr"] = body["cr"]
    return {"e": "ORDER_TRADE_UPDATE", "T": event.get("T"), "E": event.get("E"), "o": order}


def refused_trigger(event: Event, body: Mapping[str, Any]) -> Event:
    """Return the event of before 2025-12-15 for a conditional order that was refused when it fired."""
    refused = {"s": body.get("s"), "i": body.get("aid"), "r": body.get("rm")}
    return {
        "e": "CONDITIONAL_ORDER_TRIGGER_REJECT",
        "E": event.get("E"),
        "T": event.get("T"),
        "or": refused,
    }


def number(written: str) -> Decimal:
    """Return the number that a text has; 0 for none."""
    try:
        return Decimal(written)
    except InvalidOperation:
        return Decimal(0)


UNTOLD: Final[Mapping[str, Any]] = {
    **dict.fromkeys(("ap", "l", "z", "L", "n", "b", "a", "rp", "er"), "0"),
    "N": "USDT",
    "t": 0,
    "m": False,
    "pP": False,
    "si": 0,
    "ss": 0,
    "V": None,
    "pm": None,
    "gtd": 0,
}
"""The fields of ORDER_TRADE_UPDATE that `GET order` does not tell, so that a reader finds each."""


def late_update(stop: KnownStop, child: Mapping[str, Any], filled: str) -> Event:
    """Return ORDER_TRADE_UPDATE of the end of an order, as far as `GET order` tells; marked as late.

    Args:
        stop: The conditional order.
        child: What it became, as `GET order` answers.
        filled: How much of it the bot has heard of.
    """
    done = str(child.get("executedQty") or "0")
    last = number(done) - number(filled)
    status = upper(child.get("status"))
    order = {
        **UNTOLD,
        "s": stop.symbol,
        "c": stop.row.get("clientAlgoId"),
        "S": child.get("side"),
        "o": child.get("type"),
        "f": child.get("timeInForce"),
        "q": child.get("origQty"),
        "p": child.get("price"),
        "ap": child.get("avgPrice"),
        "sp": stop.row.get("triggerPrice") or "0",
        "x": "TRADE" if status == "FILLED" else status,
        "X": status,
        "i": stop.algo_id,
        "l": str(last) if status == "FILLED" else "0",
        "z": done,
        "L": child.get("avgPrice") if status == "FILLED" else "0",
        "T": child.get("updateTime"),
        "R": child.get("reduceOnly"),
        "wt": child.get("workingType"),
        "ot": stop.row.get("orderType"),
        "ps": child.get("positionSide"),
        "cp": stop.row.get("closePosition"),
        "actualOrderId": str(child.get("orderId")),
    }
    now = child.get("updateTime")
    return {"e": "ORDER_TRADE_UPDATE", "T": now, "E": now, "bridge": "late", "o": order}
