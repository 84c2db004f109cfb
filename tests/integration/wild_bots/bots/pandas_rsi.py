# RSI + EMA + Bollinger strategy, see README (todo: write README)
import time
from datetime import datetime

import pandas as pd
from binance.client import Client
from binance.enums import *
from binance.exceptions import BinanceAPIException

api_key = "wE4rT7yU1iO5pA8sD2fG6hJ9kL3zX0cV4bN7mQ1wE5rT8yU2iO6pA9sD3fG7hJ0k"
api_secret = "L4zX1cV5bN8mQ2wE6rT9yU3iO7pA0sD4fG8hJ1kL5zX2cV6bN9mQ3wE7rT0yU4iO"

client = Client(api_key, api_secret)

pair = "SOLUSDT"
interval = Client.KLINE_INTERVAL_15MINUTE
leverage = 3
invest = 100  # usdt
loops = 5


def get_df():
    raw = client.futures_klines(symbol=pair, interval=interval, limit=300)
    df = pd.DataFrame(raw)
    df = df.iloc[:, :6]
    df.columns = ["Time", "Open", "High", "Low", "Close", "Volume"]
    df = df.set_index("Time")
    df.index = pd.to_datetime(df.index, unit="ms")
    df = df.astype(float)
    return df


def indicators(df):
    delta = df.Close.diff()
    gain = delta.clip(lower=0).ewm(alpha=1 / 14, adjust=False).mean()
    loss = -delta.clip(upper=0).ewm(alpha=1 / 14, adjust=False).mean()
    df["RSI"] = 100 - 100 / (1 + gain / loss)
    df["EMA50"] = df.Close.ewm(span=50, adjust=False).mean()
    df["EMA200"] = df.Close.ewm(span=200, adjust=False).mean()
    mid = df.Close.rolling(20).mean()
    std = df.Close.rolling(20).std()
    df["BBU"] = mid + 2 * std
    df["BBL"] = mid - 2 * std
    df["ATR"] = (df.High - df.Low).rolling(14).mean()
    return df


def precision():
    for s in client.futures_exchange_info()["symbols"]:
        if s["symbol"] == pair:
            return s["quantityPrecision"], s["pricePrecision"], {f["filterType"]: f for f in s["filters"]}


def decide(row):
    if row.RSI < 30 or row.Close < row.BBL:
        return SIDE_BUY
    if row.RSI > 70 or row.Close > row.BBU:
        return SIDE_SELL
    # no extreme: go with the trend
    return SIDE_BUY if row.EMA50 > row.EMA200 else SIDE_SELL


def main():
    try:
        client.futures_change_leverage(symbol=pair, leverage=leverage)
        client.futures_change_margin_type(symbol=pair, marginType="CROSSED")
    except BinanceAPIException as e:
        print(e.code, e.message)

    qp, pp, filters = precision()
    tick = float(filters["PRICE_FILTER"]["tickSize"])

    def px(p):
        return round(round(p / tick) * tick, pp)

    df = indicators(get_df())
    if df.Volume.sum() == 0 or df.Close.nunique() < 10:
        raise SystemExit("dead market, something is wrong with the data")
    row = df.iloc[-1]
    print(df.tail(3).to_string())
    side = decide(row)
    exit_side = SIDE_SELL if side == SIDE_BUY else SIDE_BUY
    d = 1 if side == SIDE_BUY else -1

    qty = round(invest * leverage / row.Close, qp)
    print(datetime.now(), "RSI %.1f -> %s %s %s" % (row.RSI, side, qty, pair))
    client.futures_create_order(symbol=pair, side=side, type=FUTURE_ORDER_TYPE_MARKET, quantity=qty)
    time.sleep(0.2)
    pos = [p for p in client.futures_position_information(symbol=pair) if float(p["positionAmt"]) != 0][0]
    entry = float(pos["entryPrice"])
    dist = max(2 * row.ATR, entry * 0.01)

    client.futures_create_order(
        symbol=pair,
        side=exit_side,
        type=FUTURE_ORDER_TYPE_STOP_MARKET,
        stopPrice=px(entry - d * dist),
        closePosition=True,
    )
    client.futures_create_order(
        symbol=pair,
        side=exit_side,
        type=FUTURE_ORDER_TYPE_TAKE_PROFIT_MARKET,
        stopPrice=px(entry + d * 2 * dist),
        closePosition=True,
    )

    for n in range(loops):
        time.sleep(0.2)
        last = indicators(get_df()).iloc[-1]
        print("loop", n, "close", last.Close, "rsi", round(last.RSI, 1))
        if (d > 0 and last.RSI > 75) or (d < 0 and last.RSI < 25):
            break

    # get out
    client.futures_cancel_all_open_orders(symbol=pair)
    client.futures_cancel_all_algo_open_orders(symbol=pair)
    amt = float(client.futures_position_information(symbol=pair)[0]["positionAmt"])
    if amt:
        client.futures_create_order(
            symbol=pair, side=exit_side, type=FUTURE_ORDER_TYPE_MARKET, quantity=abs(amt), reduceOnly=True
        )
    print("final balance", [b["balance"] for b in client.futures_account_balance() if b["asset"] == "USDT"])


main()
