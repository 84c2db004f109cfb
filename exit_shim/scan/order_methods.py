"""The methods and paths by which bots send orders, of every client library that bots use.

Facts: the tables of `clients`, and the sources of ccxt 4.5.90, binance-futures-connector 4.2.0 and
binance-sdk-derivatives-trading-usds-futures 18.1.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from exit_shim.clients.binance_connector import BINANCE_CONNECTOR
from exit_shim.clients.binance_routes import FUTURES, PORTFOLIO, ROUTE, WEBSOCKET, route_of
from exit_shim.clients.binance_sdk_doors import REST_DOORS, REST_ROUTES, WEBSOCKET_DOORS
from exit_shim.clients.registry import DOOR_NAMES
from exit_shim.domain.doors import Door
from exit_shim.scan.sites import Action, Reach

PYTHON_BINANCE: Final = "python-binance"
CCXT: Final = "ccxt"
CONNECTOR: Final = "binance-futures-connector"
OFFICIAL_SDK: Final = "binance-sdk-derivatives-trading-usds-futures"
ELSEWHERE: Final = "a client of spot or of another exchange"
RAW: Final = "raw HTTP"
RAW_WEBSOCKET: Final = "raw WebSocket"

_ACTIONS: Final[Mapping[str, Action]] = {"place": "place", "modify": "change", "cancel": "cancel"}


class OrderMethod(NamedTuple):
    """Describe a method or path that sends an order; `implies` are fields that it sets itself."""

    name: str
    action: Action
    library: str
    reach: Reach
    implies: Mapping[str, str] = MappingProxyType({})


def _of_door(door: Door) -> OrderMethod | None:
    action = _ACTIONS.get(door.operation)
    if action is None or door.routes is not None:
        return None
    return OrderMethod(door.method, action, PYTHON_BINANCE, "wrap", door.implies)


METHODS: Final[Mapping[str, OrderMethod]] = {
    method.name: method for door in DOOR_NAMES.values() if (method := _of_door(door)) is not None
}
"""The methods whose names say enough: those of python-binance."""

RAW_DOORS: Final = frozenset(name for name, door in DOOR_NAMES.items() if door.routes is not None)
"""The methods of python-binance that take a verb and a path."""

OTHER_RAW_DOORS: Final = {
    *(door.method for door in (*BINANCE_CONNECTOR.doors, *REST_DOORS, *WEBSOCKET_DOORS)),
} - {*REST_ROUTES}
"""The methods of Binance's libraries that take a verb and a path, or a message."""


def _others(library: str, **names: tuple[str, ...]) -> dict[str, OrderMethod]:
    return {
        name: OrderMethod(name, action, library, "wrap")
        for action in _ACTIONS.values()
        for name in names.get(action, ())
    }


def _of_request(name: str, row: Door | None, library: str) -> Iterator[tuple[str, OrderMethod]]:
    """Yield the name and the method of what sends one request; nothing where that is about no order."""
    action = _ACTIONS.get(row.operation) if row is not None else None
    if action is not None:
        yield name, OrderMethod(name, action, library, "wrap")


def _methods_of_sdk() -> Iterator[tuple[str, OrderMethod]]:
    for name, request in REST_ROUTES.items():
        yield from _of_request(name, route_of(*request), OFFICIAL_SDK)


def _implicit_methods_of_ccxt() -> Iterator[tuple[str, OrderMethod]]:
    """Yield `fapiPrivatePostOrder` and the like, in both spellings; on papi nothing is private by name."""
    tables = ("fapiPrivate", FUTURES), ("dapiPrivate", FUTURES), ("papi", PORTFOLIO)
    for section, table in tables:
        for (verb, path), row in table.items():
            words = path.split("/")
            camel = "".join(word[0].upper() + word[1:] for word in (verb, *words))
            yield from _of_request(section + camel, row, CCXT)
            snake = "_".join((section, verb, *words)).lower()
            yield from _of_request(snake, row, CCXT)


OTHERS: Final[Mapping[str, Mapping[str, OrderMethod]]] = {
    CCXT: dict(_implicit_methods_of_ccxt())
    | _others(
        CCXT,
        place=(
            *("create_order", "create_orders", "create_limit_order", "create_market_order"),
            *("create_limit_buy_order", "create_limit_sell_order", "create_market_buy_order"),
            *("create_market_sell_order", "create_stop_order", "create_stop_limit_order"),
            *("create_stop_market_order", "create_stop_loss_order", "create_take_profit_order"),
            *("create_trigger_order", "create_reduce_only_order", "create_post_only_order"),
            *("create_trailing_amount_order", "create_trailing_percent_order"),
            *("create_order_with_take_profit_and_stop_loss", "create_order_ws", "create_orders_ws"),
            *("createOrder", "createOrders", "createLimitOrder", "createMarketOrder", "createStopOrder"),
            *("createLimitBuyOrder", "createLimitSellOrder", "createMarketBuyOrder", "createMarketSellOrder"),
            *("createStopLossOrder", "createTakeProfitOrder", "createTriggerOrder", "createReduceOnlyOrder"),
            *("create_market_order_with_cost", "create_market_buy_order_with_cost"),
            *("create_market_sell_order_with_cost", "createStopLimitOrder", "createStopMarketOrder"),
            "createTrailingPercentOrder",
        ),
        change=("edit_order", "edit_orders", "editOrder", "edit_order_ws"),
        cancel=(
            *("cancel_order", "cancel_orders", "cancel_all_orders", "cancel_all_orders_after"),
            *("cancelOrder", "cancelOrders", "cancelAllOrders", "cancel_order_ws", "cancel_all_orders_ws"),
        ),
    ),
    CONNECTOR: _others(
        CONNECTOR,
        place=("new_order", "new_batch_order"),
        change=("modify_order",),
        cancel=("cancel_order", "cancel_open_orders", "cancel_batch_order", "countdown_cancel_order"),
    ),
    OFFICIAL_SDK: dict(_methods_of_sdk()),
}
"""The methods of the libraries whose names say nothing without knowing whose client it is."""

CLIENT_CLASSES: Final[Mapping[str, str]] = {
    "UMFutures": CONNECTOR,
    "CMFutures": CONNECTOR,
    "DerivativesTradingUsdsFutures": OFFICIAL_SDK,
    "Spot": ELSEWHERE,
    "Client": PYTHON_BINANCE,
    "AsyncClient": PYTHON_BINANCE,
}
"""The classes of clients, by the last part of their names."""

IMPORTED_PACKAGES: Final[Mapping[str, str]] = {
    "ccxt": CCXT,
    "binance.um_futures": CONNECTOR,
    "binance.cm_futures": CONNECTOR,
    "binance_sdk_derivatives_trading_usds_futures": OFFICIAL_SDK,
}
"""The packages by which a file shows which library it uses."""

CCXT_FIELDS: Final = frozenset(
    {
        *("id", "ids", "symbol", "type", "side", "amount", "price", "cost", "params", "orders", "timeout"),
        *("triggerPrice", "stopPrice", "stopLossPrice", "takeProfitPrice", "takeProfit", "stopLoss"),
        *("trailingAmount", "trailingPercent", "trailingTriggerPrice"),
    }
)
"""The names of the arguments of ccxt's order methods; a call with another one is not of ccxt's method."""

VERBS: Final = frozenset({"post", "put", "delete"})

_VERSION: Final = re.compile(r"^v\d+/")

_ORDER_PATHS: Final[Mapping[tuple[str, str], Door]] = {**FUTURES, **PORTFOLIO}


def find_raw(verb: str, path: str) -> OrderMethod | None:
    """Return what a request with this verb and path or URL does; None where it is about no order."""
    match = ROUTE.search(f"/{path}")
    rest = match["rest"].strip("/") if match else _VERSION.sub("", path.partition("?")[0].strip("/"))
    row = _ORDER_PATHS.get((verb.lower(), rest))
    action = _ACTIONS.get(row.operation) if row is not None else None
    if action is None:
        return None
    return OrderMethod(f"{verb.upper()} {rest}", action, RAW, "raw")


def find_websocket(method: str) -> OrderMethod | None:
    """Return what a method of the WebSocket API does, such as "order.place"; None for any other text."""
    row = WEBSOCKET.get(("ws", method))
    action = _ACTIONS.get(row.operation) if row is not None else None
    return None if action is None else OrderMethod(method, action, RAW_WEBSOCKET, "neither")


def has_order_path(text: str) -> bool:
    """Return whether a text is the path or URL of a futures API."""
    return ROUTE.search(f"/{text}") is not None


def lists_open_orders(text: str) -> bool:
    """Return whether a text is the path or URL that lists the open orders without the conditional ones."""
    match = ROUTE.search(f"/{text}")
    return match is not None and match["rest"].strip("/") == "openOrders"
