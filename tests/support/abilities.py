"""What the python-binance under test can do: tests expect that of each release, and of no release more."""

import sys

import pytest
from binance import Client

from exit_shim.clients.python_binance import generated_ids
from exit_shim.clients.python_binance_releases import sends_stops_where_accepted


def _generated_ids(method):
    return generated_ids(method.__code__, method.__module__)


ALGO = sends_stops_where_accepted(Client)
"""Stops go to the Algo Service; else to /order, under `newClientOrderId`, answered with an `orderId`."""

RULES = None if ALGO else "2025-12-08"
"""The day whose rules let this release place stops: those of now, or of the last day before they changed."""

STOP_PATH = "algoOrder" if ALGO else "order"
STOP_ID = "clientAlgoId" if ALGO else "newClientOrderId"
STOP_NUMBER = "algoId" if ALGO else "orderId"
STOP_PRICE = "triggerPrice" if ALGO else "stopPrice"

NO_POSITION = -4509 if ALGO else -4129
"""What a stop for a position that is not there is answered."""

GENERATES_IDS = bool(_generated_ids(Client.futures_create_order))
"""The client invents ids; else the exchange does, and there is none before the send."""

GENERATES_BATCH_IDS = bool(_generated_ids(Client.futures_place_batch_order))

HELPERS = hasattr(Client, "futures_market_sell_order")
"""The `futures_(limit|market)[_buy|_sell]_order` helpers are there."""

needs_algo = pytest.mark.skipif(not ALGO, reason="this python-binance does not know the Algo Service")
needs_generated_ids = pytest.mark.skipif(
    not GENERATES_IDS, reason="this python-binance leaves ids to the exchange"
)
needs_websocket_orders = pytest.mark.skipif(
    not hasattr(Client, "ws_futures_create_order"), reason="this python-binance places nothing by WebSocket"
)
needs_helpers = pytest.mark.skipif(not HELPERS, reason="this python-binance has no helpers of this kind")


def _sockets_run():
    kinds = (
        getattr(sys.modules.get(name), "ReconnectingWebsocket", None)
        for name in ("binance.streams", "binance.ws.reconnecting_websocket")
    )
    # Since Python 3.10 a queue takes no loop.
    return all(("loop",) not in kind.__init__.__code__.co_consts for kind in kinds if kind is not None)


needs_sockets = pytest.mark.skipif(
    not _sockets_run(), reason="the sockets of this python-binance do not run on this Python"
)
