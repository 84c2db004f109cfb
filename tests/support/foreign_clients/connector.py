"""The life of Binance's older connector, binance-futures-connector: REST and streams."""

import threading

from binance.error import ClientError
from binance.um_futures import UMFutures
from binance.websocket.um_futures.websocket_client import UMFuturesWebsocketClient
from life import KEY, PATIENCE, SECRET, Life

SYMBOL = "BTCUSDT"
READS = {
    "ping": (),
    "time": (),
    "exchange_info": (),
    "depth": (SYMBOL,),
    "trades": (SYMBOL,),
    "historical_trades": (SYMBOL,),
    "agg_trades": (SYMBOL,),
    "klines": (SYMBOL, "1h"),
    "continuous_klines": (SYMBOL, "PERPETUAL", "1h"),
    "index_price_klines": (SYMBOL, "1h"),
    "mark_price_klines": (SYMBOL, "1h"),
    "mark_price": (SYMBOL,),
    "funding_rate": (SYMBOL,),
    "ticker_24hr_price_change": (SYMBOL,),
    "ticker_price": (SYMBOL,),
    "book_ticker": (SYMBOL,),
    "open_interest": (SYMBOL,),
    "open_interest_hist": (SYMBOL, "1h"),
    "top_long_short_position_ratio": (SYMBOL, "1h"),
    "top_long_short_account_ratio": (SYMBOL, "1h"),
    "long_short_account_ratio": (SYMBOL, "1h"),
    "taker_long_short_ratio": (SYMBOL, "1h"),
    "balance": (),
    "account": (),
    "get_position_mode": (),
    "get_multi_asset_mode": (),
    "get_position_risk": (),
    "get_account_trades": (SYMBOL,),
    "get_income_history": (),
    "leverage_brackets": (),
    "adl_quantile": (),
    "force_orders": (),
    "api_trading_status": (),
    "commission_rate": (SYMBOL,),
    "get_all_orders": (SYMBOL,),
    "get_orders": (),
    "get_position_margin_history": (SYMBOL,),
}


def trade(life, client):
    """Place, change and cancel orders."""
    with life.step("leverage, margin type"):
        client.change_leverage(SYMBOL, 10)
        client.change_margin_type(SYMBOL, "ISOLATED")
        client.change_margin_type(SYMBOL, "CROSSED")
    with life.step("market order"):
        order = client.new_order(SYMBOL, "BUY", "MARKET", quantity=0.01)
        assert client.query_order(SYMBOL, orderId=order["orderId"])["status"] == "FILLED"
    with life.step("limit order, amend, cancel"):
        limit = {"quantity": 0.01, "timeInForce": "GTC", "price": 50_000}
        order = client.new_order(SYMBOL, "BUY", "LIMIT", **limit)
        client.modify_order(SYMBOL, "BUY", 0.01, 50_010, orderId=order["orderId"])
        assert client.get_open_orders(SYMBOL, orderId=order["orderId"])["price"] == "50010.00"
        client.cancel_order(SYMBOL, orderId=order["orderId"])
    with life.step("batch, cancel-all, countdown"):
        one = {
            "symbol": SYMBOL,
            "side": "BUY",
            "type": "LIMIT",
            "quantity": "0.01",
            "timeInForce": "GTC",
            "price": "50000",
        }
        made = client.new_batch_order([one, one])
        client.cancel_batch_order(SYMBOL, [order["orderId"] for order in made], [])
        client.countdown_cancel_order(SYMBOL, 60_000)
        client.cancel_open_orders(SYMBOL)
    with life.step("conditional order, as a signed request"):
        stop = {
            "algoType": "CONDITIONAL",
            "symbol": SYMBOL,
            "side": "SELL",
            "type": "STOP_MARKET",
            "triggerPrice": 50_000,
            "closePosition": "true",
        }
        made = client.sign_request("POST", "/fapi/v1/algoOrder", stop)
        client.sign_request("DELETE", "/fapi/v1/algoOrder", {"algoId": made["algoId"]})
    for code, fields in {
        -2019: {"type": "MARKET", "quantity": 100},
        -4120: {"type": "STOP_MARKET", "stopPrice": 70_000, "quantity": 0.01},
        -1111: {"type": "MARKET", "quantity": "0.0100001"},
    }.items():
        with life.refused(code, ClientError):
            client.new_order(SYMBOL, "BUY", **fields)


def watch(life, client):
    """Listen to the market and the account, which are at routes of their own since 2026-04-23."""
    for route, streams in {
        "public": ["book_ticker", "partial_book_depth", "diff_book_depth"],
        "market": ["agg_trade", "mark_price", "kline", "ticker", "mini_ticker"],
    }.items():
        heard = []
        socket = UMFuturesWebsocketClient(
            stream_url=f"ws://{life.host}/{route}", on_message=lambda _, text, heard=heard: heard.append(text)
        )
        for name in streams:
            with life.step(f"stream {name}"):
                heard.clear()
                options = {"kline": {"interval": "1m"}, "mark_price": {"speed": 1}}.get(name, {})
                getattr(socket, name)(symbol="btcusdt", **options)
                life.move_until(lambda heard=heard: any('"e"' in text for text in heard))
        socket.stop()
    with life.step("user data stream"):
        traded = threading.Event()
        key = client.new_listen_key()["listenKey"]
        socket = UMFuturesWebsocketClient(
            stream_url=f"ws://{life.host}/private",
            on_message=lambda _, text: "ORDER_TRADE_UPDATE" in text and traded.set(),
        )
        socket.user_data(listen_key=key, id=1)
        threading.Event().wait(0.5)
        client.new_order(SYMBOL, "BUY", "MARKET", quantity=0.01)
        assert traded.wait(PATIENCE), "silent"
        client.renew_listen_key(key)
        socket.stop()


def live(life):
    """Live the whole life."""
    client = UMFutures(key=KEY, secret=SECRET, base_url=life.url)
    trade(life, client)
    for name, arguments in READS.items():
        with life.step(name):
            assert getattr(client, name)(*arguments) is not None
    watch(life, client)


if __name__ == "__main__":
    the_life = Life()
    live(the_life)
    the_life.end()
