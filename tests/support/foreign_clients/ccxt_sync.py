"""The life of ccxt's synchronous USDⓈ-M client, by plain HTTP, and with TLS for its exceptions."""

import ccxt
from life import KEY, SECRET, Life

SYMBOL = "BTC/USDT:USDT"
SELL = {"symbol": SYMBOL, "type": "market", "side": "sell", "amount": 0.01}


def connect(life):
    """Return a client with its defaults, pointed at the exchange."""
    client = ccxt.binanceusdm({"apiKey": KEY, "secret": SECRET})
    point(client, life)
    return client


def connect_by_name(life):
    """Return a client that knows by the host which market it is on, and so which exception a code means."""
    names = {"hostname": f"binance.localhost:{life.tls_port}", "validateServerSsl": life.authority}
    client = ccxt.binanceusdm({"apiKey": KEY, "secret": SECRET, **names})
    point(client, life, tls=True)
    return client


def point(client, life, *, tls=False):
    """Point a client at the exchange."""
    for name, address in client.urls["api"].items():
        if isinstance(address, str):
            client.urls["api"][name] = life.local(address, tls=tls)


def start(life, ex):
    """Load what ccxt loads at start."""
    with life.step("load_markets"):
        market = ex.load_markets()[SYMBOL]
        assert market["precision"]["price"] > 0
        assert market["limits"]["amount"]["min"] > 0
    with life.step("fetch_time, fetch_status, fetch_currencies"):
        assert ex.fetch_time() > 0
        assert ex.fetch_status()["status"] == "ok"
        assert ex.fetch_currencies()
    with life.step("fetch_balance"):
        assert ex.fetch_balance()["USDT"]["total"] == 10_000
    with life.step("leverage, margin mode, position mode"):
        ex.set_leverage(10, SYMBOL)
        ex.set_margin_mode("isolated", SYMBOL)
        ex.set_margin_mode("cross", SYMBOL)
        ex.set_position_mode(hedged=True)
        assert ex.fetch_position_mode()["hedged"]
        ex.set_position_mode(hedged=False)
    with life.step("fetch_leverages, fetch_margin_modes, fetch_leverage_tiers"):
        assert ex.fetch_leverages()[SYMBOL]["longLeverage"] == 10
        assert ex.fetch_margin_modes()[SYMBOL]["marginMode"] == "cross"
        assert ex.fetch_leverage_tiers([SYMBOL])[SYMBOL][0]["maxLeverage"] > 100
        assert ex.fetch_market_leverage_tiers(SYMBOL)
    with life.step("fetch_trading_fee, fetch_trading_fees"):
        assert ex.fetch_trading_fee(SYMBOL)["taker"] > 0
        ex.fetch_trading_fees()


def look(life, ex):
    """Read the market."""
    with life.step("fetch_ohlcv, of last, mark and index prices"):
        rows = ex.fetch_ohlcv(SYMBOL, "1h", limit=100)
        assert len(rows) == 100
        assert len(ex.fetch_ohlcv(SYMBOL, "1h", since=rows[-1][0] - 300 * 86_400_000, limit=50)) == 50
        for price in ("mark", "index", "premiumIndex"):
            assert len(ex.fetch_ohlcv(SYMBOL, "1h", limit=10, params={"price": price})) == 10
    with life.step("tickers"):
        assert ex.fetch_ticker(SYMBOL)["last"] > 0
        assert SYMBOL in ex.fetch_tickers()
        assert ex.fetch_bids_asks([SYMBOL])[SYMBOL]["bid"]
        assert ex.fetch_last_prices([SYMBOL])[SYMBOL]["price"]
        assert ex.fetch_mark_price(SYMBOL)["markPrice"]
        assert SYMBOL in ex.fetch_mark_prices()
    with life.step("fetch_order_book, fetch_trades"):
        book = ex.fetch_order_book(SYMBOL)
        assert book["bids"][0][0] < book["asks"][0][0]
        assert ex.fetch_trades(SYMBOL, limit=10)
        assert ex.fetch_trades(SYMBOL, limit=10, params={"fetchTradesMethod": "fapiPublicGetTrades"})
    with life.step("funding rates, their history and intervals"):
        assert ex.fetch_funding_rate(SYMBOL)["fundingRate"] is not None
        assert SYMBOL in ex.fetch_funding_rates()
        assert ex.fetch_funding_rate_history(SYMBOL, limit=5)
        ex.fetch_funding_intervals()
        ex.fetch_funding_history(SYMBOL)
    with life.step("open interest, long-short ratio"):
        assert ex.fetch_open_interest(SYMBOL)["openInterestAmount"]
        assert ex.fetch_open_interest_history(SYMBOL, "1h")
        assert ex.fetch_long_short_ratio_history(SYMBOL, "1h")


def trade(life, ex):
    """Open, change and cancel ordinary orders."""
    with life.step("market order"):
        order = ex.create_market_buy_order(SYMBOL, 0.01)
        order = ex.fetch_order(order["id"], SYMBOL)
        assert order["status"] == "closed"
        assert order["filled"] == 0.01
        assert order["average"]
    with life.step("fetch_positions"):
        (position,) = ex.fetch_positions([SYMBOL])
        assert position["contracts"] == 0.01
        assert position["side"] == "long"
        assert position["initialMarginPercentage"] == 0.1
        assert position["marginMode"] == "cross"
        assert position["timestamp"]
        assert ex.fetch_account_positions([SYMBOL])[0]["initialMargin"] == 60
        assert ex.fetch_positions_risk([SYMBOL])
    with life.step("limit order, edit, cancel"):
        order = ex.create_limit_buy_order(SYMBOL, 0.01, 50_000)
        changed = ex.edit_order(order["id"], SYMBOL, "limit", "buy", 0.01, 50_100)
        assert changed["price"] == 50_100
        assert ex.fetch_open_order(changed["id"], SYMBOL)["price"] == 50_100
        assert ex.cancel_order(changed["id"], SYMBOL)["status"] == "canceled"
    with life.step("batch: create, edit, cancel"):
        one = {"symbol": SYMBOL, "type": "limit", "side": "buy", "amount": 0.01, "price": 50_000}
        ids = [order["id"] for order in ex.create_orders([one, one])]
        ex.edit_orders([{**one, "id": number, "price": 50_020} for number in ids])
        ex.cancel_orders(ids, SYMBOL)
        assert ex.fetch_open_orders(SYMBOL) == []


def protect(life, ex):
    """Open and cancel conditional orders, in unified and in implicit ways."""
    conditional = {"trigger": True}
    with life.step("stop and take profit by parameters"):
        made = [
            ex.create_order(**SELL, params={"stopLossPrice": 50_000, "reduceOnly": True}),
            ex.create_order(**SELL, params={"takeProfitPrice": 70_000, "reduceOnly": True}),
            ex.create_order(**{**SELL, "type": "limit"}, price=50_000, params={"triggerPrice": 50_100}),
            ex.create_order(
                SYMBOL, "STOP_MARKET", "sell", None, None, {"stopPrice": 49_000, "closePosition": True}
            ),
        ]
        waiting = ex.fetch_open_orders(SYMBOL, params=conditional)
        assert {order["id"] for order in waiting} == {order["id"] for order in made}
        assert ex.fetch_order(made[0]["id"], SYMBOL, conditional)["triggerPrice"] == 50_000
        ex.cancel_order(made[0]["id"], SYMBOL, conditional)
        ex.cancel_all_orders(SYMBOL, conditional)
        assert ex.fetch_open_orders(SYMBOL, params=conditional) == []
    with life.step("helpers for stops, take profits, trailing stops"):
        ex.create_stop_loss_order(SYMBOL, "market", "sell", 0.01, None, 50_000)
        ex.create_take_profit_order(SYMBOL, "market", "sell", 0.01, None, 70_000)
        ex.create_trailing_percent_order(
            SYMBOL, "market", "sell", 0.01, None, 1, 61_000, {"reduceOnly": True}
        )
        ex.create_stop_market_order(SYMBOL, "sell", 0.01, 50_000)
        ex.create_reduce_only_order(SYMBOL, "limit", "sell", 0.01, 65_000)
        ex.cancel_all_orders(SYMBOL)
        ex.cancel_all_orders(SYMBOL, conditional)
    with life.step("implicit calls"):
        stop = {"algoType": "CONDITIONAL", "symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET"}
        algo = ex.fapiPrivatePostAlgoOrder({**stop, "triggerPrice": "50000", "closePosition": "true"})
        assert ex.fapiPrivateGetAlgoOrder({"algoId": algo["algoId"]})["algoStatus"] == "NEW"
        ex.fapiPrivateDeleteAlgoOrder({"algoId": algo["algoId"]})
        ex.fapiPrivateV2GetAccount()
        ex.fapiPrivateV3GetAccount()
    with life.step("a stop fires"):
        ex.create_order(**SELL, params={"stopLossPrice": 59_000, "reduceOnly": True})
        life.set_price(58_900)
        life.control("advance", milliseconds=1_000)
        assert ex.fetch_positions([SYMBOL]) == []
        life.set_price(60_000)


def remember(life, ex):
    """Read what happened."""
    with life.step("histories"):
        assert ex.fetch_orders(SYMBOL)
        assert ex.fetch_closed_orders(SYMBOL)
        assert ex.fetch_canceled_orders(SYMBOL)
        assert ex.fetch_orders(SYMBOL, params={"trigger": True})
        assert ex.fetch_my_trades(SYMBOL)[0]["amount"] == 0.01
        assert ex.fetch_ledger("USDT")
        ex.fetch_my_liquidations(SYMBOL)
    with life.step("margin of an isolated position"):
        ex.set_margin_mode("isolated", SYMBOL)
        ex.create_market_buy_order(SYMBOL, 0.01)
        ex.add_margin(SYMBOL, 10)
        ex.reduce_margin(SYMBOL, 5)
        assert len(ex.fetch_margin_adjustment_history(SYMBOL)) == 2
        ex.create_order(**SELL, params={"reduceOnly": True})
    with life.step("hedge mode"):
        ex.set_position_mode(hedged=True)
        ex.create_order(**{**SELL, "side": "buy"}, params={"positionSide": "LONG"})
        ex.create_order(**SELL, params={"positionSide": "SHORT"})
        ex.create_order(**SELL, params={"positionSide": "LONG", "stopLossPrice": 50_000})
        assert len(ex.fetch_positions([SYMBOL])) == 2
        ex.create_order(**SELL, params={"hedged": True, "reduceOnly": True})
        ex.create_order(**{**SELL, "side": "buy"}, params={"hedged": True, "reduceOnly": True})
        ex.cancel_all_orders(SYMBOL, {"trigger": True})
        ex.set_position_mode(hedged=False)


def refusals(life, ex):
    """Be refused, each time with the exception that ccxt has for it."""
    with life.refused(-2019, ccxt.InsufficientFunds):
        ex.create_market_buy_order(SYMBOL, 100)
    with life.refused(-2021, ccxt.OrderImmediatelyFillable):
        ex.create_order(**SELL, params={"stopLossPrice": 90_000})
    with life.refused(-2022, ccxt.InvalidOrder):
        ex.create_order(**SELL, params={"reduceOnly": True})
    with life.refused(-5022, ccxt.InvalidOrder):
        ex.create_order(SYMBOL, "limit", "sell", 0.01, 58_500, {"postOnly": True})
    with life.refused(-2013, ccxt.OrderNotFound):
        ex.fetch_order("123", SYMBOL)
    with life.refused(-2011, ccxt.OrderNotFound):
        ex.cancel_order("123", SYMBOL)
    with life.refused(-4164, ccxt.InvalidOrder):
        ex.create_limit_buy_order(SYMBOL, 0.001, 57_000)
    with life.refused(-1121, ccxt.BadSymbol):
        ex.fapiPublicGetTickerPrice({"symbol": "NOTHING"})
    with life.refused(-1111, ccxt.BadRequest):
        ex.fapiPrivatePostOrder(
            {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.0100001"}
        )
    ex.secret = "wrong"
    with life.refused(-1022, ccxt.AuthenticationError):
        ex.fetch_balance()
    ex.secret = SECRET


def faults(life, ex):
    """Meet an exchange in trouble."""
    for text, fault, kind in (
        ("429", "too_many_requests", ccxt.DDoSProtection),
        ("418", "banned", ccxt.DDoSProtection),
        ("503", "service_unavailable", ccxt.ExchangeNotAvailable),
        ("-1007", "timed_out", ccxt.RequestTimeout),
        ("ticker/price", "reset_after_execution", ccxt.NetworkError),
    ):
        with life.refused(text, kind):
            life.inject(fault=fault, path="ticker/price")
            ex.fapiPublicGetTickerPrice({"symbol": "BTCUSDT"})


def main():
    """Live the whole life."""
    life = Life()
    ex = connect(life)
    for part in (start, look, trade, protect, remember):
        part(life, ex)
    refusals(life, connect_by_name(life))
    faults(life, ex)
    life.end()


if __name__ == "__main__":
    main()
