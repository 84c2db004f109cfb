"""The methods of python-binance that place, change, cancel or query orders, in any of its releases.

Facts: the code of python-binance from 1.0.0 to 1.0.37.
"""

from typing import Any, Final

from exit_shim.clients.binance_routes import BATCH, FUTURES, ID_LISTS, PORTFOLIO, WEBSOCKET
from exit_shim.clients.support import Market
from exit_shim.domain.doors import Door, Payload
from exit_shim.domain.orders import Operation


def _place(*methods: str, **implies: str) -> tuple[Door, ...]:
    return tuple(Door(method, implies=implies) for method in methods)


def _doors(operation: Operation, payload: Payload, *methods: str, **fields: Any) -> tuple[Door, ...]:
    return tuple(Door(method, operation, payload, **fields) for method in methods)


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
    *_doors("place", "batch", "futures_place_batch_order", list_fields=BATCH),
    *_doors("place", "batch", "futures_v1_post_batch_order", list_fields=BATCH),
    *_doors("place", "batch", "futures_coin_place_batch_order", list_fields=BATCH),
    *_doors("test", "order", "futures_create_test_order"),
    # changing
    *_doors("modify", "order", "futures_modify_order", "ws_futures_edit_order"),
    *_doors("modify", "order", "futures_coin_modify_order", "futures_coin_v1_put_order"),
    *_doors("modify", "order", "papi_modify_um_order", "papi_modify_cm_order"),
    *_doors("modify", "batch", "futures_v1_put_batch_order", list_fields=BATCH),
    *_doors("modify", "batch", "futures_v1_put_batch_orders", list_fields=BATCH),
    *_doors("modify", "batch", "futures_coin_v1_put_batch_orders", list_fields=BATCH),
    # cancelling
    *_doors("cancel", "reference", "futures_cancel_order", "futures_cancel_algo_order"),
    *_doors("cancel", "reference", "futures_coin_cancel_order"),
    *_doors("cancel", "reference", "ws_futures_cancel_order", "ws_futures_cancel_algo_order"),
    *_doors("cancel", "reference", "papi_cancel_um_order", "papi_cancel_um_conditional_order"),
    *_doors("cancel", "reference", "papi_cancel_cm_order", "papi_cancel_cm_conditional_order"),
    *_doors("cancel", "references", "futures_cancel_orders", list_fields=ID_LISTS),
    *_doors("cancel", "references", "futures_v1_delete_batch_order", list_fields=ID_LISTS),
    *_doors("cancel", "references", "futures_coin_cancel_orders", list_fields=ID_LISTS),
    *_doors("cancel", "symbol", "futures_cancel_all_open_orders"),
    *_doors("cancel", "symbol", "futures_cancel_all_algo_open_orders", store="conditional"),
    *_doors("cancel", "symbol", "futures_coin_cancel_all_open_orders", store="orders"),
    *_doors("cancel", "symbol", "papi_cancel_um_all_open_orders", store="orders"),
    *_doors("cancel", "symbol", "papi_cancel_cm_all_open_orders", store="orders"),
    *_doors("cancel", "symbol", "papi_cancel_um_conditional_all_open_orders", store="conditional"),
    *_doors("cancel", "symbol", "papi_cancel_cm_conditional_all_open_orders", store="conditional"),
    *_doors("cancel", "symbol", "futures_countdown_cancel_all", store="orders", comes_later=True),
    *_doors("cancel", "symbol", "futures_coin_countdown_cancel_all", store="orders", comes_later=True),
)
"""The methods that place, change or cancel orders."""

QUERIES: Final = _doors(
    "query",
    "reference",
    *("futures_get_order", "futures_get_algo_order", "futures_v1_get_open_order"),
    *("ws_futures_get_order", "futures_coin_get_order"),
    *("papi_get_um_order", "papi_get_um_open_order", "papi_get_um_conditional_open_order"),
    *("papi_get_cm_order", "papi_get_cm_open_order", "papi_get_cm_conditional_open_order"),
)
"""The methods that ask for one order by its id."""

HOSTS: Final = {
    "/fapi": "_request_futures_api",
    "/dapi": "_request_futures_coin_api",
    "/papi": "_request_papi_api",
}
"""The method that sends a raw request, by the API that it goes to."""

RAW_REQUESTS: Final = (
    Door(HOSTS["/fapi"], routes=FUTURES),
    Door(HOSTS["/dapi"], routes=FUTURES),
    Door(HOSTS["/papi"], routes=PORTFOLIO),
    Door("_ws_futures_api_request", routes=WEBSOCKET),
    Door("_ws_futures_api_request_sync", routes=WEBSOCKET),
)
"""What all methods above call; bots that want an endpoint of their own reach for these."""

DOORS: Final[tuple[Door, ...]] = (*METHODS, *QUERIES, *RAW_REQUESTS)


def market_of(door: str) -> Market | None:
    """Return the market that a door leads to, by the door's name; None for an adapter's door."""
    if door.startswith("papi_"):
        return "portfolio_cm" if "_cm_" in door else "portfolio_um"
    if door.startswith(HOSTS["/papi"]):
        return "portfolio"
    if door.startswith(("futures_coin_", HOSTS["/dapi"])):
        return "cm"
    if door.startswith(("futures_", "ws_futures_", HOSTS["/fapi"], "_ws_futures_api_request")):
        return "um"
    return None
