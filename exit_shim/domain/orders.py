"""Read exit orders from the fields that a python-binance call carries. Pure."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

import msgspec

Kind = Literal[
    "sl", "tp", "partial_tp", "trailing", "breakeven", "close", "other_exit", "conditional", "unknown"
]
"""What an order is for.

`conditional`: it waits for a trigger, and nothing shows that it can only reduce. `unknown`: the target of a
cancel or change that this process did not see placed.
"""

KINDS: Final = frozenset(get_args(Kind))

CONDITIONAL_KINDS: Final[Mapping[str, Kind]] = {
    "STOP": "sl",
    "STOP_MARKET": "sl",
    "TAKE_PROFIT": "tp",
    "TAKE_PROFIT_MARKET": "tp",
    "TRAILING_STOP_MARKET": "trailing",
}
"""The types that wait for a trigger (Binance's algo service since 2025-12-09), and the exit each one is."""

PROTECTIVE_TYPES: Final = frozenset({"STOP", "STOP_MARKET", "TRAILING_STOP_MARKET"})
"""The types of stops."""

Operation = Literal["place", "modify", "cancel", "test", "query"]
"""`query` changes nothing and is not recorded: the guard answers it for orders that only it knows."""

Store = Literal["orders", "conditional"]
"""Binance keeps ordinary and conditional orders apart."""

Reach = Literal["orders", "conditional", "both"]
"""What a cancel-all reaches: one of the two stores, or both through the bridge."""


def reaches(reach: Reach | None, store: Store) -> bool:
    """Return whether a cancel-all reaches a store."""
    return reach in (store, "both")


COUNTDOWN: Final = "COUNTDOWN"
"""The recorded type of a cancel-all that happens when a countdown is no longer renewed."""

MAX_TEXT: Final = 64
"""Characters kept of a field. Binance's longest honest value is a client order id of 36."""


class ExitOrder(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Hold the recorded fields of one order: an allow-list, in one spelling.

    Both spellings of Binance are read (`stopPrice` and `triggerPrice`, `activationPrice` and
    `activatePrice`), and portfolio margin's `strategyType` and `newClientStrategyId`. Prices are in the
    quote asset, quantities in the base asset, `callback_rate` in percent. Each is the text that went out:
    `str(value)` of what the bot gave, as python-binance sends it, cut to 64 characters. It need not be a
    number.
    """

    kind: Kind
    symbol: str | None = None
    side: str | None = None
    position_side: str | None = None
    type: str | None = None
    quantity: str | None = None
    price: str | None = None
    trigger_price: str | None = None
    activation_price: str | None = None
    callback_rate: str | None = None
    close_position: bool = False
    reduce_only: bool = False
    time_in_force: str | None = None
    working_type: str | None = None
    client_order_id: str | None = None


class Reference(msgspec.Struct, frozen=True, omit_defaults=True):
    """Name an order by the ids that a cancel or change gave; `store` is where a client order id belongs."""

    order_id: int | None = None
    algo_id: int | None = None
    client_order_id: str | None = None
    store: Store | None = None


def text(value: object) -> str:
    """Return the text that goes out for a value: `str(value)`, or the text of a str subclass itself."""
    if type(value) is str:
        return value[:MAX_TEXT]
    try:
        return (str.__str__(value) if isinstance(value, str) else str(value))[:MAX_TEXT]
    except Exception:  # noqa: BLE001 - a foreign `__str__` may raise anything; the client decides about it
        return f"<{type(value).__name__}>"


def upper(value: object) -> str:
    """Return the text of an enum field, in capitals as Binance writes it."""
    return value[:MAX_TEXT].upper() if type(value) is str else text(value).upper()


def flag(value: object) -> bool:
    """Return whether a value is true for Binance: `True`, "true" or "TRUE"."""
    return value is True or (value is not None and value is not False and text(value).lower() == "true")


FIELDS: Final[Mapping[str, tuple[str, Callable[[object], object]]]] = {
    "symbol": ("symbol", upper),
    "side": ("side", upper),
    "positionSide": ("position_side", upper),
    "type": ("type", upper),
    "strategyType": ("type", upper),
    "quantity": ("quantity", text),
    "price": ("price", text),
    "stopPrice": ("trigger_price", text),
    "triggerPrice": ("trigger_price", text),
    "activationPrice": ("activation_price", text),
    "activatePrice": ("activation_price", text),
    "callbackRate": ("callback_rate", text),
    "closePosition": ("close_position", flag),
    "reduceOnly": ("reduce_only", flag),
    "timeInForce": ("time_in_force", upper),
    "workingType": ("working_type", upper),
    "newClientOrderId": ("client_order_id", text),
    "clientAlgoId": ("client_order_id", text),
    "newClientStrategyId": ("client_order_id", text),
}
"""The allow-list: the call's field, its recorded name, and how it is read."""


def may_be_exit(params: Mapping[str, Any], implied: Mapping[str, str]) -> bool:
    """Return whether fields may be those of an exit; False only for what is certainly an entry."""
    # An entry pays for no more than this: four fields, and no allocation.
    get = params.get
    if get("closePosition") or get("reduceOnly"):
        return True
    order_type = get("type") or get("strategyType")
    if (order_type.upper() if type(order_type) is str else upper(order_type)) in CONDITIONAL_KINDS:
        return True
    position_side = get("positionSide")
    if not position_side:
        return False
    return closes_hedge_side(implied.get("side") or upper(get("side")), upper(position_side))


def closes_hedge_side(side: str | None, position_side: str | None) -> bool:
    """Return whether an order of hedge mode can only reduce: SELL+LONG or BUY+SHORT."""
    return (side == "SELL" and position_side == "LONG") or (side == "BUY" and position_side == "SHORT")


def opens_hedge_side(side: str | None, position_side: str | None) -> bool:
    """Return whether an order of hedge mode can only add: BUY+LONG or SELL+SHORT."""
    return (side == "BUY" and position_side == "LONG") or (side == "SELL" and position_side == "SHORT")


def closes_now(order_type: str | None, time_in_force: str | None) -> bool:
    """Return whether an exit is filled or gone as soon as it arrives: MARKET, or LIMIT with IOC or FOK."""
    return order_type == "MARKET" or (order_type == "LIMIT" and time_in_force in {"IOC", "FOK"})


def kind_of(fields: Mapping[str, Any]) -> Kind | None:
    """Return the kind that recorded fields prove; None for an entry order.

    An exit is recognized by its fields, not by its type or endpoint: `closePosition` or `reduceOnly`, or the
    closing side in hedge mode. `partial_tp` and `breakeven` are never guessed: the order does not show
    whether it is for the whole position.
    """
    order_type, side, position_side = fields.get("type"), fields.get("side"), fields.get("position_side")
    reduces = (
        fields.get("close_position") or fields.get("reduce_only") or closes_hedge_side(side, position_side)
    )
    kind = CONDITIONAL_KINDS.get(order_type) if order_type else None
    if reduces:
        return kind or ("close" if closes_now(order_type, fields.get("time_in_force")) else "other_exit")
    if kind and not opens_hedge_side(side, position_side):
        return "conditional"
    return None


def read_order(params: Mapping[str, Any], kind: Kind | None = None) -> ExitOrder | None:
    """Return the exit order that `params` describe, None for an entry; never raises for malformed fields.

    Args:
        params: The fields of one order under Binance's names, of any types.
        kind: What the caller declared the order to be: evidence that outranks the fields.
    """
    fields: dict[str, Any] = {}
    rules = FIELDS
    for name, value in params.items():
        # python-binance drops None before it sends.
        if name in rules and value is not None:
            field, read = rules[name]
            # Nearly every value is a short str, and each call tells on the path of an order.
            if type(value) is not str or len(value) > MAX_TEXT:
                fields[field] = read(value)
            elif read is text:
                fields[field] = value
            else:
                fields[field] = value.upper() if read is upper else value.lower() == "true"
    if fields.get("type") in CONDITIONAL_KINDS and params.get("newClientOrderId") is not None:
        algo_id = params.get("clientAlgoId")
        if algo_id is not None:
            # Its newClientOrderId never leaves.
            fields["client_order_id"] = text(algo_id)
    proved = kind or kind_of(fields)
    return None if proved is None else ExitOrder(kind=proved, **fields)


BATCHES: Final = ("batchOrders", "orders")
"""The fields in which calls carry lists of orders."""


def fields_of_order(params: Mapping[str, Any], place: int | None) -> Mapping[str, Any]:
    """Return the fields of one order of a call, not to be changed; `place` is its place in a batch."""
    if place is None:
        # A user's rule must not change what is sent.
        return MappingProxyType(params)
    for name in BATCHES:
        items = params.get(name)
        if isinstance(items, list) and place < len(items) and isinstance(items[place], Mapping):
            fields: Mapping[str, Any] = items[place]
            return MappingProxyType(fields)
    return {}
