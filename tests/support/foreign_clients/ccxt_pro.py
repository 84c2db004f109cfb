"""The life of ccxt's asynchronous client, and of ccxt.pro, which adds streams and orders by WebSocket."""

import asyncio

import ccxt
import ccxt.async_support
import ccxt.pro
from life import KEY, SECRET, Life, within

SYMBOL, OTHER = "BTC/USDT:USDT", "ETH/USDT:USDT"
SELL = {"symbol": SYMBOL, "type": "market", "side": "sell", "amount": 0.01}


def connect(life, kind, *, tls=False):
    """Return a client with its defaults, pointed at the exchange."""
    settings = {"apiKey": KEY, "secret": SECRET}
    if tls:
        settings |= {"hostname": f"binance.localhost:{life.tls_port}", "cafile": life.authority}
    client = kind(settings)
    point(client.urls["api"], life, tls=tls)
    return client


def point(addresses, life, *, tls):
    """Put the exchange into a table of addresses, whatever its depth."""
    for name, address in addresses.items():
        if isinstance(address, dict):
            point(address, life, tls=tls)
        elif isinstance(address, str):
            addresses[name] = life.local(address, tls=tls)


async def live_async(life):
    """Live without streams, with TLS."""
    ex = connect(life, ccxt.async_support.binanceusdm, tls=True)
    with life.step("async: load_markets, balance, orders, positions"):
        await ex.load_markets()
        assert (await ex.fetch_balance())["USDT"]["free"] > 0
        order, stop = await asyncio.gather(
            ex.create_order(SYMBOL, "market", "buy", 0.01),
            ex.create_order(**SELL, params={"stopLossPrice": 50_000}),
        )
        assert (await ex.fetch_order(order["id"], SYMBOL))["status"] == "closed"
        await ex.cancel_order(stop["id"], SYMBOL, {"trigger": True})
        await ex.create_order(**SELL, params={"reduceOnly": True})
        assert await ex.fetch_positions() == []
    with life.refused(-2019, ccxt.InsufficientFunds):
        await ex.create_order(SYMBOL, "market", "buy", 100)
    await ex.close()


async def watch_market(life, ex):
    """Watch the market, each stream while the price moves."""
    for name, watch in {
        "ticker": lambda: ex.watch_ticker(SYMBOL),
        "tickers": lambda: ex.watch_tickers([SYMBOL, OTHER]),
        "bids_asks": lambda: ex.watch_bids_asks([SYMBOL]),
        "mark_price": lambda: ex.watch_mark_price(SYMBOL),
        "mark_prices": ex.watch_mark_prices,
        "ohlcv": lambda: ex.watch_ohlcv(SYMBOL, "1m"),
        "ohlcv_for_symbols": lambda: ex.watch_ohlcv_for_symbols([[SYMBOL, "5m"], [OTHER, "1m"]]),
        "trades": lambda: ex.watch_trades(SYMBOL),
        "trades (aggTrade)": lambda: ex.watch_trades(SYMBOL, params={"name": "aggTrade"}),
        "order_book": lambda: ex.watch_order_book(SYMBOL),
        "order_book_for_symbols": lambda: ex.watch_order_book_for_symbols([SYMBOL, OTHER]),
    }.items():
        with life.step(f"watch_{name}"):
            assert await life.move_until_done(watch())
    with life.step("watch_order_book goes on"):
        for _ in range(3):
            book = await life.move_until_done(ex.watch_order_book(SYMBOL))
        assert book["bids"][0][0] < book["asks"][0][0]
    with life.step("un_watch_ticker, un_watch_trades, un_watch_order_book"):
        await within(ex.un_watch_ticker(SYMBOL))
        await within(ex.un_watch_trades(SYMBOL))
        await within(ex.un_watch_order_book(SYMBOL))


async def watch_account(life, ex):
    """Watch the account while it trades."""
    with life.step("watch_orders, _my_trades, _positions, _balance"):
        heard = asyncio.gather(
            ex.watch_orders(SYMBOL),
            ex.watch_my_trades(SYMBOL),
            ex.watch_positions([SYMBOL]),
            ex.watch_balance(),
        )
        await asyncio.sleep(1)
        order = await ex.create_order(SYMBOL, "market", "buy", 0.01)
        orders, trades, positions, balance = await within(heard)
        assert orders[0]["id"] == order["id"]
        assert trades[0]["amount"] == 0.01
        assert positions[0]["contracts"] == 0.01
        assert balance["USDT"]["total"] < 10_000
    with life.step("watch_orders: a stop fires"):
        await ex.create_order(**SELL, params={"stopLossPrice": 59_000, "reduceOnly": True})
        life.set_price(58_900)
        seen = []

        async def hear_the_sale():
            while not any(order["side"] == "sell" and order["status"] == "closed" for order in seen):
                seen.extend(await ex.watch_orders(SYMBOL))

        await within(hear_the_sale())
        life.set_price(60_000)


async def by_websocket(life, ex):
    """Trade and read by the WebSocket API."""
    with life.step("create_order_ws, edit_order_ws, cancel_order_ws"):
        order = await within(ex.create_order_ws(SYMBOL, "limit", "buy", 0.01, 50_000))
        changed = await within(ex.edit_order_ws(order["id"], SYMBOL, "limit", "buy", 0.01, 50_100))
        assert changed["price"] == 50_100
        await within(ex.cancel_order_ws(order["id"], SYMBOL))
        await within(ex.fetch_order_ws(order["id"], SYMBOL))
    with life.step("create_order_ws: a stop"):
        await within(ex.create_order_ws(SYMBOL, "market", "buy", 0.01))
        stop = await within(ex.create_order_ws(**SELL, params={"stopLossPrice": 50_000}))
        await within(ex.cancel_order_ws(stop["id"], SYMBOL, {"trigger": True}))
    with life.step("fetch_balance_ws, _positions_ws, _order_book_ws, _ticker_ws"):
        assert (await within(ex.fetch_balance_ws()))["USDT"]["total"]
        assert (await within(ex.fetch_positions_ws([SYMBOL])))[0]["contracts"] == 0.01
        assert (await within(ex.fetch_order_book_ws(SYMBOL)))["bids"]
        assert await within(ex.fetch_ticker_ws(SYMBOL))
    with life.refused(-2019, ccxt.ExchangeError):
        await within(ex.create_order_ws(SYMBOL, "market", "buy", 100))


async def live(life):
    """Live the whole life."""
    await live_async(life)
    ex = connect(life, ccxt.pro.binanceusdm)
    with life.step("load_markets"):
        await ex.load_markets()
    await watch_market(life, ex)
    await watch_account(life, ex)
    await by_websocket(life, ex)
    await ex.close()


if __name__ == "__main__":
    the_life = Life()
    asyncio.run(live(the_life))
    the_life.end()
