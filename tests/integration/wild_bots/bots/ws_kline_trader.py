"""
Kline breakout trader. Listens to the 1m candles on the websocket and goes with the candle.
Original idea from some youtube video, works OK on ETH.
"""

import hashlib
import hmac
import json
import logging
import threading
import time

import requests
import websocket

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(threadName)s %(message)s")
log = logging.getLogger("ws-trader")

KEY = "Gh3Kq9Zx5Wv1Tn7Bm2Lc8Rd4Sf6Pj0YuEaIoQwXzCvBnMlKjHgFdSaPoIuYtReWq"
SECRET = "Nb6Vc2Xz8Lk4Jh0Gf7Ds3Ap9Oi5Uy1Tr6Ew2Qm8Nb4Vc0Xz7Lk3Jh9Gf5Ds1Ap6O"

REST = "https://fapi.binance.com"
STREAM = "wss://fstream.binance.com/market/ws/ethusdt@kline_1m"
SYMBOL = "ETHUSDT"
QTY = 0.15
MAX_SECONDS = 12

closes = []
position = {"side": None, "entry": 0.0, "orders": []}
lock = threading.Lock()
finished = threading.Event()


def api(method, path, params=None):
    params = dict(params or {})
    params["timestamp"] = int(time.time() * 1000)
    q = "&".join(f"{k}={v}" for k, v in params.items())
    params["signature"] = hmac.new(SECRET.encode(), q.encode(), hashlib.sha256).hexdigest()
    headers = {"X-MBX-APIKEY": KEY}
    if method == "POST":
        r = requests.post(REST + path, data=params, headers=headers, timeout=5)
    elif method == "DELETE":
        r = requests.delete(REST + path, params=params, headers=headers, timeout=5)
    else:
        r = requests.get(REST + path, params=params, headers=headers, timeout=5)
    if r.status_code != 200:
        log.error("%s %s -> %s %s", method, path, r.status_code, r.text)
        r.raise_for_status()
    return r.json()


def open_trade(price, up):
    side, out = ("BUY", "SELL") if up else ("SELL", "BUY")
    k = 1 if up else -1
    log.info("signal %s at %.2f", side, price)
    api("POST", "/fapi/v1/order", {"symbol": SYMBOL, "side": side, "type": "MARKET", "quantity": QTY})
    sl = api(
        "POST",
        "/fapi/v1/algoOrder",
        {
            "algoType": "CONDITIONAL",
            "symbol": SYMBOL,
            "side": out,
            "type": "STOP_MARKET",
            "triggerPrice": "%.2f" % (price * (1 - 0.01 * k)),
            "quantity": QTY,
            "reduceOnly": "true",
        },
    )
    # take profit as a limit order, saves fees
    tp = api(
        "POST",
        "/fapi/v1/order",
        {
            "symbol": SYMBOL,
            "side": out,
            "type": "LIMIT",
            "timeInForce": "GTC",
            "price": "%.2f" % (price * (1 + 0.015 * k)),
            "quantity": QTY,
            "reduceOnly": "true",
        },
    )
    position.update(side=side, entry=price, sl=sl["algoId"], tp=tp["orderId"])


def close_trade(ws):
    try:
        risk = api("GET", "/fapi/v2/positionRisk", {"symbol": SYMBOL})
        amt = sum(float(p["positionAmt"]) for p in risk)
        api("DELETE", "/fapi/v1/order", {"symbol": SYMBOL, "orderId": position["tp"]})
        if amt:
            api(
                "POST",
                "/fapi/v1/order",
                {
                    "symbol": SYMBOL,
                    "side": "SELL" if amt > 0 else "BUY",
                    "type": "MARKET",
                    "quantity": abs(amt),
                    "reduceOnly": "true",
                },
            )
        api("DELETE", "/fapi/v1/algoOrder", {"algoId": position["sl"]})
    except Exception:
        log.exception("close failed")
    finished.set()
    ws.close()


def on_message(ws, message):
    msg = json.loads(message)
    if msg.get("e") != "kline":
        return
    k = msg["k"]
    with lock:
        closes.append(float(k["c"]))
        if position["side"] is None and len(closes) >= 2:
            open_trade(closes[-1], closes[-1] >= float(k["o"]))
            # dont block the socket thread
            threading.Timer(0.7, close_trade, args=(ws,)).start()


def on_error(ws, error):
    log.error("socket error: %s", error)


def on_close(ws, code, reason):
    log.info("socket closed %s %s", code, reason)


def on_open(ws):
    log.info("connected to %s", STREAM)


if __name__ == "__main__":
    api("POST", "/fapi/v1/leverage", {"symbol": SYMBOL, "leverage": 5})
    app = websocket.WebSocketApp(
        STREAM, on_open=on_open, on_message=on_message, on_error=on_error, on_close=on_close
    )
    t = threading.Thread(target=app.run_forever, kwargs={"ping_interval": 60}, daemon=True)
    t.start()
    if not finished.wait(MAX_SECONDS):
        log.error("no trade within %s s, giving up", MAX_SECONDS)
        raise SystemExit(1)
    t.join(0.5)
    log.info("bye")
