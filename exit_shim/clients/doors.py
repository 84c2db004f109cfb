"""The client methods that can place, change or cancel an exit order: one table, one row each."""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from inspect import CO_COROUTINE
from types import CodeType, FunctionType, MethodType
from typing import Any, Final, Literal, NamedTuple

import msgspec

from exit_shim.clients.python_binance import is_own_module
from exit_shim.domain.orders import (
    CONDITIONAL_KINDS,
    ExitOrder,
    Kind,
    Operation,
    Reference,
    Store,
    may_be_exit,
    read_order,
    text,
    upper,
)

Payload = Literal["order", "batch", "reference", "references", "symbol"]
"""How a call says what it is about: the fields of one order or of a list of them; the id of an order, or
lists of ids; or a symbol, all of whose orders are meant."""

SEVERAL: Final = ("orders",)
"""The `list_fields` of a call whose `parse` gave several orders: its method may send them one by one."""


class DoorCall(NamedTuple):
    """What a call of a door asks for: the row that describes it, and the fields it carries."""

    door: "Door"
    params: dict[str, Any]


class Door(msgspec.Struct, frozen=True):
    """One row of the table; also how an adapter of one's own is declared.

    Args:
        method: The method's name on the client.
        intent: What a call of it does at the exchange.
        payload: How it says what it is about.
        implies: Fields that the method itself sets, under Binance's names.
        list_fields: The keywords that carry a list, for a batch or for lists of ids.
        store: Which orders a cancel-all reaches. None: the call's own `conditional` says.
        routes: For a raw request: what each verb and path, or "ws" and method name, is.
        parse: For a method whose arguments are not Binance's: called with the method's own arguments, it
            returns the order's fields under Binance's names, a list of such, or None for a call that is
            about no order.
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

    def asked(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> DoorCall | None:
        """What a call asks for, in terms of a row that reads Binance's fields; None: nothing of ours."""
        if self.routes is not None:
            row, fields = self.route(args, kwargs)
            return (
                DoorCall(msgspec.structs.replace(row, method=self.method), fields) if row and fields else None
            )
        if self.parse is None:
            return DoorCall(self, kwargs)
        found = self.parse(*args, **kwargs)
        if isinstance(found, Mapping):
            return DoorCall(msgspec.structs.replace(self, parse=None), dict(found))
        if found:
            return DoorCall(
                Door(self.method, self.operation, "batch", list_fields=SEVERAL), {SEVERAL[0]: list(found)}
            )
        return None

    def route(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> "tuple[Door | None, dict[str, Any] | None]":
        """Return what a raw request is by its verb and path, and its fields; None for what does not show.

        The first two arguments are verb and path, as python-binance has them. Where they are not, both are
        looked for among all arguments, and so are the fields, whatever they are called.
        """
        routes, said = self.routes or {}, (*args, *kwargs.values())
        row = routes.get(_where(args))
        if row is None:
            words = [text(one) for one in said if isinstance(one, str)]
            verb = _verb(words)
            row = next(filter(None, (routes.get((verb, word.strip("/"))) for word in words)), None)
        if row is None:
            return None, None
        tables = [one for one in (*map(kwargs.get, PAYLOADS), *said) if isinstance(one, dict) and one]
        if not ORDER_FIELDS.isdisjoint(kwargs):
            tables.append(kwargs)
        whole = (one for one in tables if not ORDER_FIELDS.isdisjoint(one))
        return row, next(whole, next(filter(None, map(kwargs.get, PAYLOADS)), None))

    def why_unread(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
        """Return why a call that `asked` read nothing of is no order; None where it only asks."""
        if self.routes is None:
            return "its `parse` returned no fields"
        words = [text(one) for one in (*args, *kwargs.values()) if isinstance(one, str)]
        if (verb := _verb(words)) == "get":
            return None
        if self.route(args, kwargs)[0] is not None:
            return NO_FIELDS
        path = next((word for word in words if "/" in word), "")
        return f"{verb} {path.partition('?')[0]} is none of its routes"

    def may_carry_exit(self, params: Mapping[str, Any]) -> bool:
        """False only where every order inside is certainly an entry."""
        if self.operation != "place":
            return True
        if self.payload == "order":
            return may_be_exit(params, self.implies)
        return any(may_be_exit(order, self.implies) for order in self.batch(params))

    def read(self, params: Mapping[str, Any], kind: Kind | None) -> list[tuple[int | None, ExitOrder]]:
        """The exit orders that a call places or changes, each with its place in the batch."""
        if self.payload == "order":
            order = read_order({**params, **self.implies} if self.implies else params, kind)
            return [] if order is None else [(None, order)]
        found = ((place, read_order(order, kind)) for place, order in enumerate(self.batch(params)))
        return [(place, order) for place, order in found if order is not None]

    def batch(self, params: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """The orders of a batch: the caller's own dicts, not copies."""
        orders = _items(params.get(self.list_fields[0])) if self.list_fields else ()
        return [order if isinstance(order, Mapping) else {} for order in orders]

    def references(self, params: Mapping[str, Any]) -> list[Reference]:
        """The orders that a cancel or change names, in its order."""
        if self.payload == "references":
            return [found for name in self.list_fields for found in _listed(name, params.get(name))]
        return [_reference(order) for order in (self.batch(params) if self.payload == "batch" else (params,))]

    def reaches(self, params: Mapping[str, Any]) -> Store | None:
        """Which orders a cancel-all cancels; python-binance's default leaves conditional ones resting.

        Whatever is true for Python is for python-binance, "false" too. None of what names its orders, and of
        a countdown that is called off.
        """
        if self.payload != "symbol" or (self.comes_later and text(params.get("countdownTime")) == "0"):
            return None
        return self.store or ("conditional" if params.get("conditional") else "orders")


NO_FIELDS: Final = "the order's fields are no dict among the arguments; declare the door with `parse`"
"""Said of a call whose route is an order's."""

VERBS: Final = frozenset({"get", "post", "put", "delete"})

PAYLOADS: Final = ("data", "params", "payload")
"""The keywords under which a raw request most often carries its fields."""

ORDER_FIELDS: Final = frozenset(
    {"symbol", "side", "orderId", "algoId", "origClientOrderId", "clientAlgoId", "batchOrders", "strategyId"}
)
"""One of these is in any request about an order, and in no headers or options."""


def _verb(words: Sequence[str]) -> str:
    """Return the HTTP verb among the texts of a raw request; "ws" for one without."""
    return next((word.lower() for word in words if word.lower() in VERBS), "ws")


def _where(args: tuple[Any, ...]) -> tuple[str, str]:
    """Return the route of a raw request whose verb and path come first, as python-binance's do."""
    if len(args) > 1 and isinstance(args[1], str):
        return text(args[0]).lower(), args[1].strip("/")
    return "ws", text(args[0]) if args else ""


def _reference(params: Mapping[str, Any]) -> Reference:
    get = params.get
    client = get("origClientOrderId") or get("clientAlgoId") or get("newClientStrategyId")
    return Reference(
        _number(get("orderId")),
        _number(get("algoId") or get("strategyId")),
        None if client is None else text(client),
        None if client is None else "orders" if get("origClientOrderId") else "conditional",
    )


def _listed(name: str, given: object) -> list[Reference]:
    if "client" in name.lower():
        return [Reference(client_order_id=text(one), store="orders") for one in _items(given)]
    return [Reference(order_id=_number(one)) for one in _items(given)]


def _items(given: object) -> Sequence[Any]:
    """A list, or the JSON of one as raw requests send it; empty for what is neither."""
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            return ()
    return given if isinstance(given, Sequence) and not isinstance(given, str) else ()


def _number(value: object) -> int | None:
    written = "" if value is None else text(value)
    return int(written) if written.isascii() and written.removeprefix("-").isdigit() else None


def _place(*methods: str, **implies: str) -> tuple[Door, ...]:
    return tuple(Door(method, implies=implies) for method in methods)


def _cancel(*methods: str) -> tuple[Door, ...]:
    return tuple(Door(method, "cancel", "reference") for method in methods)


def _cancel_all(*methods: str, store: Store | None) -> tuple[Door, ...]:
    return tuple(Door(method, "cancel", "symbol", store=store) for method in methods)


BATCH: Final = ("batchOrders",)
ID_LISTS: Final = (
    "orderidlist",
    "orderIdList",
    "origclientorderidlist",
    "origClientOrderIdList",
)

METHODS: Final = (
    # placing
    *_place("futures_create_order", "futures_create_algo_order"),
    *_place("ws_futures_create_order", "ws_futures_create_algo_order"),
    *_place("futures_limit_order", type="LIMIT"),
    *_place("futures_limit_buy_order", type="LIMIT", side="BUY"),
    *_place("futures_limit_sell_order", type="LIMIT", side="SELL"),
    *_place("futures_market_order", type="MARKET"),
    *_place("futures_market_buy_order", type="MARKET", side="BUY"),
    *_place("futures_market_sell_order", type="MARKET", side="SELL"),
    *_place("futures_coin_create_order"),
    *_place("papi_create_um_order", "papi_create_um_conditional_order"),
    *_place("papi_create_cm_order", "papi_create_cm_conditional_order"),
    Door("futures_place_batch_order", payload="batch", list_fields=BATCH),
    Door("futures_v1_post_batch_order", payload="batch", list_fields=BATCH),
    Door("futures_coin_place_batch_order", payload="batch", list_fields=BATCH),
    Door("futures_create_test_order", "test"),
    # changing
    Door("futures_modify_order", "modify"),
    Door("ws_futures_edit_order", "modify"),
    Door("futures_coin_modify_order", "modify"),
    Door("futures_coin_v1_put_order", "modify"),
    Door("papi_modify_um_order", "modify"),
    Door("papi_modify_cm_order", "modify"),
    Door("futures_v1_put_batch_order", "modify", "batch", list_fields=BATCH),
    Door("futures_v1_put_batch_orders", "modify", "batch", list_fields=BATCH),
    Door("futures_coin_v1_put_batch_orders", "modify", "batch", list_fields=BATCH),
    # cancelling
    *_cancel("futures_cancel_order", "futures_cancel_algo_order", "futures_coin_cancel_order"),
    *_cancel("ws_futures_cancel_order", "ws_futures_cancel_algo_order"),
    *_cancel("papi_cancel_um_order", "papi_cancel_um_conditional_order"),
    *_cancel("papi_cancel_cm_order", "papi_cancel_cm_conditional_order"),
    Door("futures_cancel_orders", "cancel", "references", list_fields=ID_LISTS),
    Door("futures_v1_delete_batch_order", "cancel", "references", list_fields=ID_LISTS),
    Door("futures_coin_cancel_orders", "cancel", "references", list_fields=ID_LISTS),
    *_cancel_all("futures_cancel_all_open_orders", store=None),
    *_cancel_all("futures_cancel_all_algo_open_orders", store="conditional"),
    *_cancel_all("futures_coin_cancel_all_open_orders", store="orders"),
    *_cancel_all("papi_cancel_um_all_open_orders", "papi_cancel_cm_all_open_orders", store="orders"),
    *_cancel_all("papi_cancel_um_conditional_all_open_orders", store="conditional"),
    *_cancel_all("papi_cancel_cm_conditional_all_open_orders", store="conditional"),
    *(
        Door(method, "cancel", "symbol", store="orders", comes_later=True)
        for method in ("futures_countdown_cancel_all", "futures_coin_countdown_cancel_all")
    ),
)

QUERIES: Final = tuple(
    Door(method, "query", "reference")
    for method in (
        *("futures_get_order", "futures_get_algo_order", "ws_futures_get_order", "futures_v1_get_open_order"),
        "futures_coin_get_order",
        *("papi_get_um_order", "papi_get_um_open_order", "papi_get_um_conditional_open_order"),
        *("papi_get_cm_order", "papi_get_cm_open_order", "papi_get_cm_conditional_open_order"),
    )
)
"""Asking for one order by its id."""

_QUERY = Door("", "query", "reference")
_PLACE, _BATCH, _TEST = Door(""), Door("", payload="batch", list_fields=BATCH), Door("", "test")
_MODIFY, _MODIFY_BATCH = Door("", "modify"), Door("", "modify", "batch", list_fields=BATCH)
_CANCEL, _CANCEL_LIST = (
    Door("", "cancel", "reference"),
    Door("", "cancel", "references", list_fields=ID_LISTS),
)
_CANCEL_ALL, _CANCEL_ALL_ALGO = (
    Door("", "cancel", "symbol", store=store) for store in ("orders", "conditional")
)

PATHS: Final[Mapping[tuple[str, str], Door]] = {
    ("post", "order"): _PLACE,
    ("post", "algoOrder"): _PLACE,
    ("post", "order/test"): _TEST,
    ("post", "batchOrders"): _BATCH,
    ("put", "order"): _MODIFY,
    ("put", "batchOrders"): _MODIFY_BATCH,
    ("delete", "order"): _CANCEL,
    ("delete", "algoOrder"): _CANCEL,
    ("delete", "batchOrders"): _CANCEL_LIST,
    ("delete", "allOpenOrders"): _CANCEL_ALL,
    ("delete", "algoOpenOrders"): _CANCEL_ALL_ALGO,
    ("post", "countdownCancelAll"): Door("", "cancel", "symbol", store="orders", comes_later=True),
    ("get", "order"): _QUERY,
    ("get", "openOrder"): _QUERY,
    ("get", "algoOrder"): _QUERY,
}
"""The order paths of /fapi and /dapi, below the version."""

PORTFOLIO_PATHS: Final[Mapping[tuple[str, str], Door]] = {
    key: row
    for market in ("um", "cm")
    for key, row in {
        ("post", f"{market}/order"): _PLACE,
        ("post", f"{market}/conditional/order"): _PLACE,
        ("put", f"{market}/order"): _MODIFY,
        ("delete", f"{market}/order"): _CANCEL,
        ("delete", f"{market}/conditional/order"): _CANCEL,
        ("delete", f"{market}/allOpenOrders"): _CANCEL_ALL,
        ("delete", f"{market}/conditional/allOpenOrders"): _CANCEL_ALL_ALGO,
        ("get", f"{market}/order"): _QUERY,
        ("get", f"{market}/openOrder"): _QUERY,
        ("get", f"{market}/conditional/openOrder"): _QUERY,
    }.items()
}

WEBSOCKET_METHODS: Final[Mapping[tuple[str, str], Door]] = {
    ("ws", "order.place"): _PLACE,
    ("ws", "algoOrder.place"): _PLACE,
    ("ws", "order.modify"): _MODIFY,
    ("ws", "order.cancel"): _CANCEL,
    ("ws", "algoOrder.cancel"): _CANCEL,
}


SEAMS: Final = (
    Door("_request_futures_api", routes=PATHS),
    Door("_request_futures_coin_api", routes=PATHS),
    Door("_request_papi_api", routes=PORTFOLIO_PATHS),
    Door("_ws_futures_api_request", routes=WEBSOCKET_METHODS),
    Door("_ws_futures_api_request_sync", routes=WEBSOCKET_METHODS),
)
"""Where all of the methods above come together; bots that want an endpoint of their own reach for these."""

DOORS: Final[tuple[Door, ...]] = (*METHODS, *QUERIES, *SEAMS)

DOOR_NAMES: Final[Mapping[str, Door]] = {door.method: door for door in DOORS}


def fix_client_order_ids(door: Door, method: object, params: dict[str, Any]) -> None:
    """Set the client order ids that python-binance is about to invent, so that an order in doubt has a name.

    Same field, prefix and generator as the client's own, and only where this very method of a genuine
    client generates one: read from its code, since releases differ. A mock, a fake or an adapter never
    matches, so what it is called with stays as the bot wrote it.
    """
    if (
        door.operation != "place"
        or type(method) is not MethodType
        or type(method.__func__) is not FunctionType
    ):
        return
    names = _generated_ids(method.__func__.__code__)
    if not names or not is_own_module(method.__func__.__module__):
        return
    client: Any = method.__self__
    for order in door.batch(params) if door.payload == "batch" else (params,):
        name = _id_name(names, {**order, **door.implies}.get("type"))
        if name is not None and name not in order and isinstance(order, dict):
            order[name] = client.CONTRACT_ORDER_PREFIX + client.uuid22()


@functools.lru_cache(maxsize=64)
def _generated_ids(code: CodeType) -> frozenset[str]:
    if "uuid22" not in code.co_names:
        return frozenset()
    return frozenset({"clientAlgoId", "newClientOrderId"}.intersection(map(str, code.co_consts)))


def _id_name(names: frozenset[str], order_type: object) -> str | None:
    """Which of the two a client will invent: since 1.0.33 conditional types go to the algo endpoint."""
    if "clientAlgoId" in names and (
        "newClientOrderId" not in names or upper(order_type) in CONDITIONAL_KINDS
    ):
        return "clientAlgoId"
    return "newClientOrderId" if "newClientOrderId" in names else None


def is_coroutine_method(method: Callable[..., Any]) -> bool:
    """Whether calling `method` certainly yields a coroutine, and sends nothing before it is awaited.

    Anything but a plain function is called to find out: a mock may look like a coroutine function.
    """
    function = getattr(method, "__func__", method)
    return type(function) is FunctionType and bool(function.__code__.co_flags & CO_COROUTINE)
