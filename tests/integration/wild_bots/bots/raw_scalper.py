# BTC scalper v3.1  (no python-binance anymore, it kept breaking... plain requests now)
# usage: python raw_scalper.py
import hashlib
import hmac
import math
import sys
import time
from urllib.parse import urlencode

import requests

# keys of the sub account, dont commit!!!
API_KEY = "q7Xv2LrT9mWbZk4NcY8eHs1PjDg6Ua3FoQi5RwE0tBnVxMlKzJhGfSdApOyIuCrT"
API_SECRET = "Zt5Rk8Wq1Xn4Bv7Cm0Lp3Sd6Fg9Hj2Ky5Ti8Ur1Oe4Pa7Nz0Mx3Qw6Vb9Yc2Jl5D"

BASE = "https://fapi.binance.com"
SYMBOL = "BTCUSDT"
LEVERAGE = 10
USDT_PER_TRADE = 50
SL_PCT = 1.2
TP_PCT = 2.4
ROUNDS = 4

s = requests.Session()
s.headers.update({"X-MBX-APIKEY": API_KEY})
time_offset = 0


def public(path, **params):
    r = s.get(BASE + path, params=params, timeout=10)
    r.raise_for_status()
    return r.json()


def signed(method, path, **params):
    params["timestamp"] = int(time.time() * 1000) + time_offset
    params["recvWindow"] = 5000
    query = urlencode(params)
    sig = hmac.new(API_SECRET.encode(), query.encode(), hashlib.sha256).hexdigest()
    r = s.request(method, BASE + path + "?" + query + "&signature=" + sig, timeout=10)
    data = r.json()
    if isinstance(data, dict) and data.get("code", 200) not in (200, "200"):
        print("!! binance says", data, "on", method, path)
        raise RuntimeError(data.get("msg"))
    return data


def sync_time():
    global time_offset
    time_offset = public("/fapi/v1/time")["serverTime"] - int(time.time() * 1000)


def filters():
    info = public("/fapi/v1/exchangeInfo")
    for x in info["symbols"]:
        if x["symbol"] == SYMBOL:
            step = tick = None
            for f in x["filters"]:
                if f["filterType"] == "LOT_SIZE":
                    step = float(f["stepSize"])
                if f["filterType"] == "PRICE_FILTER":
                    tick = float(f["tickSize"])
            return step, tick
    sys.exit("symbol not found??")


def rnd(value, step):
    decimals = max(0, round(-math.log10(step)))
    return f"{math.floor(value / step) * step:.{decimals}f}"


def sma(values, n):
    return sum(values[-n:]) / n


def signal():
    kl = public("/fapi/v1/klines", symbol=SYMBOL, interval="5m", limit=100)
    closes = [float(k[4]) for k in kl]
    return "BUY" if sma(closes, 7) >= sma(closes, 25) else "SELL"


def set_stop(side, price, tick):
    o = signed(
        "POST",
        "/fapi/v1/algoOrder",
        algoType="CONDITIONAL",
        symbol=SYMBOL,
        side=side,
        type="STOP_MARKET",
        triggerPrice=rnd(price, tick),
        closePosition="true",
        workingType="MARK_PRICE",
    )
    print("   SL @", o["triggerPrice"], "id", o["algoId"])
    return o["algoId"]


def main():
    sync_time()
    step, tick = filters()
    try:
        signed("POST", "/fapi/v1/marginType", symbol=SYMBOL, marginType="ISOLATED")
    except RuntimeError as e:
        print("margin type:", e)
    signed("POST", "/fapi/v1/leverage", symbol=SYMBOL, leverage=LEVERAGE)
    for b in signed("GET", "/fapi/v2/balance"):
        if b["asset"] == "USDT":
            print("balance", b["availableBalance"])

    side = signal()
    close_side = "SELL" if side == "BUY" else "BUY"
    sign = 1 if side == "BUY" else -1
    price = float(public("/fapi/v1/ticker/price", symbol=SYMBOL)["price"])
    qty = rnd(USDT_PER_TRADE * LEVERAGE / price, step)
    print("==> going", side, qty, "at about", price)
    order = signed(
        "POST",
        "/fapi/v1/order",
        symbol=SYMBOL,
        side=side,
        type="MARKET",
        quantity=qty,
        newOrderRespType="RESULT",
    )
    entry = float(signed("GET", "/fapi/v1/order", symbol=SYMBOL, orderId=order["orderId"])["avgPrice"])
    print("   filled @", entry)

    stop_id = set_stop(close_side, entry * (1 - sign * SL_PCT / 100), tick)
    signed(
        "POST",
        "/fapi/v1/algoOrder",
        algoType="CONDITIONAL",
        symbol=SYMBOL,
        side=close_side,
        type="TAKE_PROFIT_MARKET",
        triggerPrice=rnd(entry * (1 + sign * TP_PCT / 100), tick),
        closePosition="true",
        workingType="MARK_PRICE",
    )

    # poor man's trailing: half a percent closer every round
    for i in range(ROUNDS):
        time.sleep(0.3)
        mark = float(public("/fapi/v1/premiumIndex", symbol=SYMBOL)["markPrice"])
        pos = [
            p for p in signed("GET", "/fapi/v2/positionRisk", symbol=SYMBOL) if float(p["positionAmt"]) != 0
        ]
        if not pos:
            print("position gone (sl/tp hit)")
            break
        print("   mark", mark, "pnl", pos[0]["unRealizedProfit"])
        if i == 1:
            signed("DELETE", "/fapi/v1/algoOrder", algoId=stop_id)
            stop_id = set_stop(close_side, mark * (1 - sign * 0.9 / 100), tick)

    left = signed("GET", "/fapi/v2/positionRisk", symbol=SYMBOL)
    for p in left:
        amt = float(p["positionAmt"])
        if amt:
            signed(
                "POST",
                "/fapi/v1/order",
                symbol=SYMBOL,
                side="SELL" if amt > 0 else "BUY",
                type="MARKET",
                quantity=p["positionAmt"].lstrip("-"),
                reduceOnly="true",
            )
    signed("DELETE", "/fapi/v1/algoOpenOrders", symbol=SYMBOL)
    signed("DELETE", "/fapi/v1/allOpenOrders", symbol=SYMBOL)
    trades = signed("GET", "/fapi/v1/userTrades", symbol=SYMBOL, limit=10)
    print("done, realized", sum(float(t["realizedPnl"]) for t in trades))


if __name__ == "__main__":
    main()
