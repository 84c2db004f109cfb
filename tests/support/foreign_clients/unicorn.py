"""The life of the unicorn suite: its REST manager, streams and WebSocket API."""

import logging
import os
import sys
import time

from life import KEY, SECRET, Life
from unicorn_binance_rest_api import BinanceAPIException, BinanceRestApiManager
from unicorn_binance_websocket_api import BinanceWebSocketApiManager

SYMBOL = {"symbol": "BTCUSDT"}
FUTURES = "binance.com-futures"


def trade(life, rest):
    """Trade by REST."""
    with life.step("reads"):
        rest.futures_exchange_info()
        rest.futures_account()
        rest.futures_account_balance()
        rest.futures_klines(**SYMBOL, interval="1h")
        rest.futures_order_book(**SYMBOL)
        rest.futures_ticker(**SYMBOL)
        rest.futures_mark_price(**SYMBOL)
    with life.step("more reads"):
        rest.futures_funding_rate(**SYMBOL)
        rest.futures_aggregate_trades(**SYMBOL)
        rest.futures_income_history()
    with life.step("orders"):
        rest.futures_change_leverage(**SYMBOL, leverage=10)
        rest.futures_create_order(**SYMBOL, side="BUY", type="MARKET", quantity=0.01)
        made = rest.futures_create_order(
            **SYMBOL, side="BUY", type="LIMIT", timeInForce="GTC", quantity=0.01, price=50_000
        )
        assert rest.futures_get_open_orders(**SYMBOL)
        rest.futures_cancel_order(**SYMBOL, orderId=made["orderId"])
        assert rest.futures_position_information(**SYMBOL)
        rest.futures_cancel_all_open_orders(**SYMBOL)
    with life.refused(-2019, BinanceAPIException):
        rest.futures_create_order(**SYMBOL, side="BUY", type="MARKET", quantity=100)


def watch(life, rest):
    """Listen to the market and the account, and trade by the WebSocket API."""
    manager = BinanceWebSocketApiManager(
        exchange=FUTURES,
        websocket_base_uri=f"ws://{life.host}/",
        websocket_api_base_uri=f"ws://{life.host}/ws-fapi/v1",
        restful_base_uri=f"{life.url}/fapi",
        ubra_manager=rest,
        warn_on_update=False,
        output_default="dict",
    )
    # It makes a REST manager of its own for listen keys, which knows Binance's addresses only.
    manager.restclient.ubra = rest
    # Each new stream makes the client wait five seconds, so there are few.
    streams = {
        "market": (["aggTrade", "kline_1m", "markPrice", "ticker"], "btcusdt", {}),
        "public": (["bookTicker", "depth5"], "btcusdt", {}),
        "user": ("arr", "!userData", {"api_key": KEY, "api_secret": SECRET}),
    }
    heard = dict.fromkeys(streams, "")
    for name, (channels, markets, keys) in streams.items():
        manager.create_stream(channels, markets, stream_buffer_name=name, **keys)
    time.sleep(2)
    rest.futures_create_order(**SYMBOL, side="BUY", type="MARKET", quantity=0.01)
    for number in range(8):
        life.set_price(60_000 + number % 3)
        time.sleep(0.3)
    for name in streams:
        while message := manager.pop_stream_data_from_stream_buffer(name):
            heard[name] += str(message)
    for stream, event in (
        ("market", "aggTrade"),
        ("market", "kline"),
        ("market", "markPriceUpdate"),
        ("market", "24hrTicker"),
        ("public", "bookTicker"),
        ("public", "depthUpdate"),
        ("user", "ACCOUNT_UPDATE"),
        ("user", "ORDER_TRADE_UPDATE"),
    ):
        with life.step(f"stream {event}"):
            assert f"'{event}'" in heard[stream]
    with life.step("WebSocket API"):
        api = manager.create_stream(
            api=True, api_key=KEY, api_secret=SECRET, stream_label="api", output="dict"
        )
        time.sleep(1.5)
        _, made = manager.api.futures.create_order(
            stream_id=api,
            symbol="BTCUSDT",
            side="BUY",
            order_type="LIMIT",
            time_in_force="GTC",
            quantity=0.01,
            price=50_000,
            return_response=True,
        )
        assert made["result"]["orderId"], made
        gone = manager.api.futures.cancel_order(
            stream_id=api, symbol="BTCUSDT", order_id=made["result"]["orderId"], return_response=True
        )
        assert gone["result"]["status"] == "CANCELED", gone
        balance = manager.api.futures.get_account_balance(stream_id=api, return_response=True)
        assert balance["result"], balance
    manager.stop_manager()


def live(life):
    """Live the whole life."""
    # It asks for the time when it is made, at the addresses of its class.
    BinanceRestApiManager.API_URL = f"{life.url}/api"
    BinanceRestApiManager.FUTURES_URL = f"{life.url}/fapi"
    rest = BinanceRestApiManager(KEY, SECRET, tld="com", warn_on_update=False)
    trade(life, rest)
    watch(life, rest)
    rest.stop_manager()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    the_life = Life()
    live(the_life)
    try:
        the_life.end()
    except SystemExit as ended:
        # A thread of its streams outlives stop_manager().
        sys.stdout.flush()
        os._exit(ended.code)
