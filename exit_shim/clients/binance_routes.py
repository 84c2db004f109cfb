"""The order endpoints of Binance's futures APIs, and what a raw request to each of them does."""

from collections.abc import Mapping
from typing import Final

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
