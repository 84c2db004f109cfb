"""A door: a client method that can place, change or cancel an exit order, and how it carries its fields."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec

from exit_shim.domain.orders import (
    ExitOrder,
    Kind,
    Operation,
    Reference,
    Store,
    may_be_exit,
    read_order,
    text,
)

Payload = Literal["order", "batch", "reference", "references", "symbol", "forwarded"]
"""How a call says what it is about: the fields of one order or of a list of them; the id of an order, or
lists of ids; or a symbol, all of whose orders are meant. `forwarded`: the method sends through another door,
maybe later and in another task; the attribution of its caller is carried there."""

SEVERAL: Final = ("orders",)
"""The `list_fields` of a call whose `parse` returned several orders: its method may send them one by one."""


class Identity(NamedTuple):
    """Hold whose account a request is about: the API key, and the address that it goes to."""

    key: str | None
    address: str | None


class DoorCall(NamedTuple):
    """Hold what one call of a door asks for: the row that describes it, and the fields it carries.

    A raw request shows its own account and library, which its session does not: `identity` and `library`,
    the name of that library. None for a client's call.
    """

    door: "Door"
    params: dict[str, Any]
    identity: Identity | None = None
    library: str | None = None


class Door(msgspec.Struct, frozen=True):
    """Describe a client method that acts on orders; also how you declare a method of your own adapter.

    Args:
        method: The method's name on the client.
        operation: What a call of it does at the exchange.
        payload: How a call says what it is about.
        implies: Fields that the method itself sets, under Binance's names.
        list_fields: The keywords that carry a list, for a batch or for lists of ids.
        store: Which orders a cancel-all reaches. None: the call's own `conditional` decides.
        routes: For a raw request: what each verb and path, or "ws" and method name, does.
        parse: For a method whose arguments are not Binance's: called with the method's own arguments, it
            returns the order's fields under Binance's names, a list of such, or None for a call that is
            about no order; or a `DoorCall`, where the arguments also say what the call does.
        comes_later: Whether a cancel-all happens only when a countdown ends.
    """

    method: str
    operation: Operation = "place"
    payload: Payload = "order"
    implies: Mapping[str, str] = {}
    list_fields: tuple[str, ...] = ()
    store: Store | None = None
    routes: "Mapping[tuple[str, str], Door] | None" = None
    parse: Callable[..., Any] | None = None
    comes_later: bool = False

    def describe(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> DoorCall | None:
        """Return what a call asks for, as a row that reads Binance's fields; None for no order."""
        if self.routes is not None:
            row, fields = self.route(args, kwargs)
            if not row or not fields:
                return None
            return DoorCall(msgspec.structs.replace(row, method=self.method), fields)
        if self.parse is None:
            return DoorCall(self, kwargs)
        return self._read_parsed(self.parse(*args, **kwargs))

    def _read_parsed(self, parsed: Any) -> DoorCall | None:
        if isinstance(parsed, DoorCall):
            return parsed
        if isinstance(parsed, Mapping):
            return DoorCall(msgspec.structs.replace(self, parse=None), dict(parsed))
        if not parsed:
            return None
        batch = Door(self.method, self.operation, "batch", list_fields=SEVERAL)
        return DoorCall(batch, {SEVERAL[0]: list(parsed)})

    def route(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> "tuple[Door | None, dict[str, Any] | None]":
        """Return the row of a raw request's verb and path, and its fields; None for what cannot be told."""
        row = self._row(args, kwargs)
        return (None, None) if row is None else (row, _fields_in(args, kwargs))

    def _row(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> "Door | None":
        """Return the row of a request whose verb and path come first, else of any two of its texts."""
        routes = self.routes or {}
        if (row := routes.get(_first_route(args))) is not None:
            return row
        words = _texts(args, kwargs)
        verb = _verb(words)
        return next(filter(None, (routes.get((verb, word.strip("/"))) for word in words)), None)

    def why_unread(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
        """Return why `describe` found no order in a call; None where the call is a GET."""
        if self.routes is None:
            return "its `parse` returned no fields"
        words = _texts(args, kwargs)
        if (verb := _verb(words)) == "get":
            return None
        if self.route(args, kwargs)[0] is not None:
            return NO_FIELDS
        path = next((word for word in words if "/" in word), "")
        return f"{verb} {path.partition('?')[0]} is none of its routes"

    def may_carry_exit(self, params: Mapping[str, Any]) -> bool:
        """Return False only where every order in a call is certainly an entry."""
        if self.operation != "place":
            return True
        if self.payload == "order":
            return may_be_exit(params, self.implies)
        return any(may_be_exit(order, self.implies) for order in self.batch(params))

    def read(self, params: Mapping[str, Any], kind: Kind | None) -> list[tuple[int | None, ExitOrder]]:
        """Return the exit orders that a call places or changes, each with its place in the batch."""
        if self.payload == "order":
            order = read_order({**params, **self.implies} if self.implies else params, kind)
            return [] if order is None else [(None, order)]
        orders = ((place, read_order(fields, kind)) for place, fields in enumerate(self.batch(params)))
        return [(place, order) for place, order in orders if order is not None]

    def batch(self, params: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Return the orders of a batch: the caller's own dicts, not copies."""
        orders = _items(params.get(self.list_fields[0])) if self.list_fields else ()
        return [order if isinstance(order, Mapping) else {} for order in orders]

    def references(self, params: Mapping[str, Any]) -> list[Reference]:
        """Return the orders that a cancel or change names, in the call's order."""
        if self.payload == "references":
            return [reference for name in self.list_fields for reference in _listed(name, params.get(name))]
        return [_reference(order) for order in (self.batch(params) if self.payload == "batch" else (params,))]

    def reached_store(self, params: Mapping[str, Any]) -> Store | None:
        """Return which orders a cancel-all cancels; None for any other call, and a countdown called off."""
        if self.payload != "symbol" or (self.comes_later and text(params.get("countdownTime")) == "0"):
            return None
        # python-binance tests its truth, so "false" is true too; by default conditional orders keep resting.
        return self.store or ("conditional" if params.get("conditional") else "orders")


NO_FIELDS: Final = "the order's fields are no dict among the arguments; declare the door with `parse`"
"""Why a call on an order's route was not read."""

VERBS: Final = frozenset({"get", "post", "put", "delete"})

PAYLOADS: Final = ("data", "params", "payload")
"""The keywords under which a raw request most often carries its fields."""

ORDER_FIELDS: Final = frozenset(
    {"symbol", "side", "orderId", "algoId", "origClientOrderId", "clientAlgoId", "batchOrders", "strategyId"}
)
"""Every request about an order has one of these; headers and options have none."""


def _fields_in(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
    """Return the fields of a raw request, under whatever name they are passed."""
    payloads = [kwargs.get(name) for name in PAYLOADS]
    tables = [value for value in (*payloads, *args, *kwargs.values()) if isinstance(value, dict) and value]
    if not ORDER_FIELDS.isdisjoint(kwargs):
        tables.append(kwargs)
    about_orders = (table for table in tables if not ORDER_FIELDS.isdisjoint(table))
    return next(about_orders, next(filter(None, payloads), None))


def _texts(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[str]:
    return [text(value) for value in (*args, *kwargs.values()) if isinstance(value, str)]


def _verb(words: Iterable[str]) -> str:
    """Return the HTTP verb among the texts of a raw request; "ws" for one without."""
    return next((word.lower() for word in words if word.lower() in VERBS), "ws")


def _first_route(args: tuple[Any, ...]) -> tuple[str, str]:
    """Return the route of a raw request whose verb and path come first, as python-binance's do."""
    if len(args) > 1 and isinstance(args[1], str):
        return text(args[0]).lower(), args[1].strip("/")
    return "ws", text(args[0]) if args else ""


def _reference(params: Mapping[str, Any]) -> Reference:
    get = params.get
    client_id = get("origClientOrderId") or get("clientAlgoId") or get("newClientStrategyId")
    return Reference(
        _number(get("orderId")),
        _number(get("algoId") or get("strategyId")),
        None if client_id is None else text(client_id),
        None if client_id is None else "orders" if get("origClientOrderId") else "conditional",
    )


def _listed(name: str, value: object) -> list[Reference]:
    if "client" in name.lower():
        return [Reference(client_order_id=text(item), store="orders") for item in _items(value)]
    return [Reference(order_id=_number(item)) for item in _items(value)]


def _items(value: object) -> Sequence[Any]:
    """Return a list, also from the JSON that raw requests send; empty for what is neither."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return ()
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def _number(value: object) -> int | None:
    digits = "" if value is None else text(value)
    return int(digits) if digits.isascii() and digits.removeprefix("-").isdigit() else None
