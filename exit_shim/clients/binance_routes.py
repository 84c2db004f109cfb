"""The order endpoints of Binance's futures APIs, and what a raw request to each of them does."""

import functools
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from exit_shim.clients.support import Market
from exit_shim.domain.doors import Door

BATCH: Final = ("batchOrders",)
ID_LISTS: Final = ("orderidlist", "orderIdList", "origclientorderidlist", "origClientOrderIdList")

_QUERY = Door("", "query", "reference")
_PLACE, _BATCH, _TEST = Door(""), Door("", payload="batch", list_fields=BATCH), Door("", "test")
_MODIFY, _MODIFY_BATCH = Door("", "modify"), Door("", "modify", "batch", list_fields=BATCH)
_CANCEL = Door("", "cancel", "reference")
_CANCEL_LIST = Door("", "cancel", "references", list_fields=ID_LISTS)
_CANCEL_ALL = Door("", "cancel", "symbol", store="orders")
_CANCEL_ALL_ALGO = Door("", "cancel", "symbol", store="conditional")

FUTURES: Final[Mapping[tuple[str, str], Door]] = {
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

PORTFOLIO: Final[Mapping[tuple[str, str], Door]] = {
    # Since 2026-04-28 conditional orders of USDⓈ-M are here, and um/conditional answers 404.
    ("post", "um/algo/order"): _PLACE,
    ("delete", "um/algo/order"): _CANCEL,
    ("delete", "um/algo/algoOrder"): _CANCEL,
    ("delete", "um/algo/allOpenOrders"): _CANCEL_ALL_ALGO,
    ("get", "um/algo/order"): _QUERY,
    ("get", "um/algo/algoOrder"): _QUERY,
} | {
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
"""The order paths of /papi (portfolio margin), below the version."""

WEBSOCKET: Final[Mapping[tuple[str, str], Door]] = {
    ("ws", "order.place"): _PLACE,
    ("ws", "algoOrder.place"): _PLACE,
    ("ws", "order.modify"): _MODIFY,
    ("ws", "order.cancel"): _CANCEL,
    ("ws", "algoOrder.cancel"): _CANCEL,
}
"""The order methods of the WebSocket API."""

ROUTE: Final = re.compile(r"/(?P<api>[fdp]api)/v\d+/(?P<rest>[A-Za-z/]+)")
"""A path or URL of a futures API: the API, and what follows the version."""

_NAME: Final = re.compile(r"[A-Z]+ /(?P<api>[fdp]api)/v\d+/(?P<rest>[A-Za-z/]+)")
_WEBSOCKET_PREFIX: Final = "WS "


@functools.lru_cache(maxsize=256)
def route_of(verb: str, path: str) -> Door | None:
    """Return the row of a request on an order path; None for any other request.

    Args:
        verb: The HTTP verb, in either case.
        path: The path or URL, without its query.

    Returns:
        The row, named by verb and path: "POST /fapi/v1/algoOrder".
    """
    match = ROUTE.search(path)
    if match is None:
        return None
    table = PORTFOLIO if match["api"] == "papi" else FUTURES
    row = table.get((verb.lower(), match["rest"].strip("/")))
    name = f"{verb.upper()} {match[0].rstrip('/')}"
    return None if row is None else msgspec.structs.replace(row, method=name)


@functools.lru_cache(maxsize=64)
def websocket_route_of(method: str, api: str = "fapi") -> Door | None:
    """Return the row of a method of the WebSocket API; None for any other method.

    Args:
        method: The method, such as "order.place".
        api: "dapi" for COIN-M.

    Returns:
        The row, named "WS order.place", or "WS dapi order.place" for COIN-M.
    """
    row = WEBSOCKET.get(("ws", method))
    prefix = _WEBSOCKET_PREFIX if api == "fapi" else f"{_WEBSOCKET_PREFIX}{api} "
    return None if row is None else msgspec.structs.replace(row, method=f"{prefix}{method}")


def market_of_route(name: str) -> Market | None:
    """Return the market of a row that these functions named; None for any other name."""
    if name.startswith(_WEBSOCKET_PREFIX):
        return "cm" if name.startswith(f"{_WEBSOCKET_PREFIX}dapi ") else "um"
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    if match["api"] == "papi":
        return "portfolio_cm" if match["rest"].startswith("cm/") else "portfolio_um"
    return "um" if match["api"] == "fapi" else "cm"
