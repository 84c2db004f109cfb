"""Analyse many coins in parallel (GIL!!) and trade the best one from the main process."""

import multiprocessing as mp
import time
from concurrent.futures import ProcessPoolExecutor

import requests
from binance.client import Client

API_KEY = "j9H5gF1dS7aP3oI9uY5tR1eW7qM3nB9vC5xZ1lK7jH3gF9dS5aP1oI7uY3tR9eW5"
API_SECRET = "Q1mN7bV3cX9zL5kJ1hG7fD3sA9pO5iU1yT7rE3wQ9mN5bV1cX7zL3kJ9hG5fD1sA7"

COINS = ["BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT", "AVAXUSDT", "DOTUSDT"]
WORKERS = 3


def analyse(symbol):
    """runs in a worker, no keys needed here"""
    r = requests.get(
        "https://fapi.binance.com/fapi/v1/klines",
        params={"symbol": symbol, "interval": "15m", "limit": 200},
        timeout=10,
    )
    r.raise_for_status()
    closes = [float(k[4]) for k in r.json()]
    best = (-1, 0, 0)
    # brute force the sma lengths, thats why we need the processes
    for fast in range(5, 20, 3):
        for slow in range(25, 100, 15):
            pnl, pos = 0.0, 0
            for i in range(slow, len(closes)):
                pnl += pos * (closes[i] / closes[i - 1] - 1)
                f = sum(closes[i - fast : i]) / fast
                s = sum(closes[i - slow : i]) / slow
                pos = 1 if f > s else -1
            best = max(best, (pnl, fast, slow))
    pnl, fast, slow = best
    up = sum(closes[-fast:]) / fast > sum(closes[-slow:]) / slow
    return {"symbol": symbol, "pnl": pnl, "up": up, "last": closes[-1], "worker": mp.current_process().name}


def qty_for(client, symbol, usdt, price):
    for s in client.futures_exchange_info()["symbols"]:
        if s["symbol"] == symbol:
            return round(usdt / price, s["quantityPrecision"]), s["pricePrecision"], s["filters"]


def trade(best):
    client = Client(API_KEY, API_SECRET)
    symbol = best["symbol"]
    qty, prec, filters = qty_for(client, symbol, 400, best["last"])
    tick = [float(f["tickSize"]) for f in filters if f["filterType"] == "PRICE_FILTER"][0]
    d = 1 if best["up"] else -1
    entry_side, exit_side = ("BUY", "SELL") if d == 1 else ("SELL", "BUY")

    client.futures_create_order(symbol=symbol, side=entry_side, type="MARKET", quantity=qty)
    price = float(client.futures_mark_price(symbol=symbol)["markPrice"])

    def p(x):
        return round(round(x / tick) * tick, prec)

    sl = client.futures_create_order(
        symbol=symbol,
        side=exit_side,
        type="STOP",
        price=p(price * (1 - 0.025 * d)),
        stopPrice=p(price * (1 - 0.02 * d)),
        quantity=qty,
        reduceOnly="true",
        timeInForce="GTC",
    )
    client.futures_create_order(
        symbol=symbol,
        side=exit_side,
        type="TAKE_PROFIT_MARKET",
        stopPrice=p(price * (1 + 0.03 * d)),
        closePosition=True,
    )
    time.sleep(0.5)
    # tighten
    client.futures_create_order(
        symbol=symbol,
        side=exit_side,
        type="STOP_MARKET",
        stopPrice=p(price * (1 - 0.015 * d)),
        closePosition=True,
    )
    client.futures_cancel_algo_order(symbol=symbol, algoId=sl["algoId"])
    print("position stays open with sl and tp")
    return client.futures_get_open_algo_orders(symbol=symbol)


if __name__ == "__main__":
    t = time.time()
    with ProcessPoolExecutor(WORKERS) as pool:
        results = list(pool.map(analyse, COINS))
    for r in sorted(results, key=lambda r: -r["pnl"]):
        print(f"{r['symbol']:<10} {r['pnl']:+.2%} {'up' if r['up'] else 'down'} ({r['worker']})")
    print("analysis took %.1fs" % (time.time() - t))
    left = trade(max(results, key=lambda r: r["pnl"]))
    print([o["orderType"] for o in left])
