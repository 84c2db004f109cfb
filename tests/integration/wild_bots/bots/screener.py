#!/usr/bin/env python
"""Scan ALL usdt perps, take the one that moves most with volume, trade it with a trailing stop."""

import math
import os
import time
from concurrent.futures import ThreadPoolExecutor

from binance.client import Client

client = Client(
    os.getenv("BINANCE_KEY", "pQ8wE2rT5yU9iO3aS6dF0gH4jK7lZ1xC5vB8nM2qW6eR9tY3uI7oP0aS4dF8gH1j"),
    os.getenv("BINANCE_SECRET", "K5lZ9xC3vB6nM0qW4eR7tY1uI5oP8aS2dF6gH9jK3lZ7xC0vB4nM8qW2eR5tY9uI"),
    {"verify": True, "timeout": 30},
)

MIN_QUOTE_VOLUME = 1_000_000
TOP = 20
RISK_USDT = 30
LEV = 5
BLACKLIST = {"USDCUSDT", "BTCDOMUSDT", "FDUSDUSDT"}


def tradable():
    out = {}
    for s in client.futures_exchange_info()["symbols"]:
        if s["status"] != "TRADING" or s["contractType"] != "PERPETUAL" or s["quoteAsset"] != "USDT":
            continue
        if s["symbol"] not in BLACKLIST:
            out[s["symbol"]] = {f["filterType"]: f for f in s["filters"]}
    return out


def score(symbol):
    k = client.futures_klines(symbol=symbol, interval="1h", limit=48)
    close = [float(x[4]) for x in k]
    vol = [float(x[7]) for x in k]
    if len(k) < 30 or not sum(vol):
        return symbol, 0, 0
    mom = close[-1] / close[-24] - 1
    atr = sum(float(x[2]) - float(x[3]) for x in k[-14:]) / 14 / close[-1]
    return symbol, mom / (atr or 1), atr


def floor_step(x, step):
    n = math.floor(x / float(step) + 1e-9)
    text = step.rstrip("0")
    return round(n * float(step), len(text.split(".")[1]) if "." in text else 0)


def scan():
    syms = tradable()
    tickers = [
        t
        for t in client.futures_ticker()
        if t["symbol"] in syms and float(t["quoteVolume"]) > MIN_QUOTE_VOLUME
    ]
    print(len(syms), "symbols,", len(tickers), "with volume")
    tickers.sort(key=lambda t: abs(float(t["priceChangePercent"])), reverse=True)
    with ThreadPoolExecutor(8) as pool:
        scored = list(pool.map(score, [t["symbol"] for t in tickers[:TOP]]))
    scored.sort(key=lambda x: abs(x[1]), reverse=True)
    for sym, sc, atr in scored[:5]:
        print(f"  {sym:<12} score {sc:+.2f} atr {atr:.3%}")
    return syms, scored


def trade(sym, filters, direction):
    side, other = ("BUY", "SELL") if direction > 0 else ("SELL", "BUY")
    client.futures_change_leverage(symbol=sym, leverage=LEV)
    book = client.futures_orderbook_ticker(symbol=sym)
    price = float(book["askPrice"] if direction > 0 else book["bidPrice"])
    step, tick = filters["LOT_SIZE"]["stepSize"], filters["PRICE_FILTER"]["tickSize"]
    qty = floor_step(RISK_USDT * LEV / price, step)
    if qty <= 0:
        print("too expensive:", sym)
        return False
    print("trade", side, qty, sym, "@", price)
    client.futures_create_order(symbol=sym, side=side, type="MARKET", quantity=qty)
    client.futures_create_order(
        symbol=sym,
        side=other,
        type="STOP_MARKET",
        stopPrice=floor_step(price * (1 - 0.02 * direction), tick),
        quantity=qty,
        reduceOnly=True,
    )
    trail = client.futures_create_order(
        symbol=sym,
        side=other,
        type="TRAILING_STOP_MARKET",
        callbackRate=1.0,
        activationPrice=floor_step(price * (1 + 0.01 * direction), tick),
        quantity=qty,
        reduceOnly=True,
    )
    print("trailing", trail.get("algoId") or trail.get("orderId"))
    for _ in range(5):
        time.sleep(0.2)
        p = client.futures_mark_price(symbol=sym)
        print("  mark", p["markPrice"], "funding", p["lastFundingRate"])
    for p in client.futures_position_information():
        amt = float(p["positionAmt"])
        if p["symbol"] == sym and amt:
            client.futures_create_order(
                symbol=sym,
                side="SELL" if amt > 0 else "BUY",
                type="MARKET",
                quantity=abs(amt),
                reduceOnly="true",
            )
    for o in client.futures_get_open_algo_orders(symbol=sym):
        client.futures_cancel_algo_order(symbol=sym, algoId=o["algoId"])
    return True


if __name__ == "__main__":
    symbols, ranking = scan()
    for name, sc, _ in ranking:
        if sc and trade(name, symbols[name], 1 if sc > 0 else -1):
            break
    else:
        raise SystemExit("nothing to trade today")
