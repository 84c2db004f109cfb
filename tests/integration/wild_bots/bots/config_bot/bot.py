#!/usr/bin/env python3
# keys and settings are in config.json, log goes to logs/bot.log
import json
import logging
import os
import sys
import time
import urllib.request

here = os.path.dirname(os.path.abspath(__file__))
cfg = json.load(open(os.path.join(here, "config.json")))
os.makedirs(os.path.dirname(cfg["log_file"]), exist_ok=True)
logging.basicConfig(
    filename=cfg["log_file"], level=logging.DEBUG, format="%(asctime)s [%(levelname)s] %(name)s: %(message)s"
)
log = logging.getLogger("bot")

from exchange import BinanceError, Exchange  # noqa

BANNER = r"""
   __ _ __   ____ ___  __    ____ ____
  / _` |\ \ / / _` \ \/ /   | __ ) _ )
 | (_| | \ V / (_| |>  <    | _ \ _ \
  \__,_|  \_/ \__,_/_/\_\   |___/___/   v0.9
"""


def screen(**values):
    os.system("cls" if os.name == "nt" else "clear")
    print(BANNER)
    for k, v in values.items():
        print(f"  {k:<12} {v}")
    sys.stdout.flush()


def my_ip():
    # for the api key whitelist
    with urllib.request.urlopen("https://api.ipify.org?format=json", timeout=5) as r:
        return json.loads(r.read())["ip"]


def steps(ex, symbol):
    for s in ex.call("GET", "/fapi/v1/exchangeInfo", signed=False)["symbols"]:
        if s["symbol"] == symbol:
            f = {x["filterType"]: x for x in s["filters"]}
            return f["PRICE_FILTER"]["tickSize"], f["MARKET_LOT_SIZE"]["stepSize"]
    raise SystemExit(f"{symbol} not listed")


def to_step(x, step):
    digits = max(0, len(step.rstrip("0").partition(".")[2]))
    return f"{int(x / float(step) + 1e-9) * float(step):.{digits}f}"


def main():
    ex = Exchange(cfg)
    sym = cfg["symbol"]
    ip = my_ip()
    log.info("my ip is %s", ip)
    tick, step = steps(ex, sym)
    if ex.call("GET", "/fapi/v1/positionSide/dual")["dualSidePosition"]:
        ex.call("POST", "/fapi/v1/positionSide/dual", dualSidePosition="false")
    ex.call("POST", "/fapi/v1/leverage", symbol=sym, leverage=cfg["leverage"])
    depth = ex.call("GET", "/fapi/v1/depth", signed=False, symbol=sym, limit=20)
    bids = sum(float(b[1]) for b in depth["bids"])
    asks = sum(float(a[1]) for a in depth["asks"])
    long = bids >= asks
    d = 1 if long else -1
    side, out = ("BUY", "SELL") if long else ("SELL", "BUY")
    price = float(depth["asks"][0][0] if long else depth["bids"][0][0])
    qty = to_step(cfg["margin_usdt"] * cfg["leverage"] / price, step)
    log.info("book %.1f/%.1f -> %s %s", bids, asks, side, qty)

    ex.call("POST", "/fapi/v1/order", symbol=sym, side=side, type="MARKET", quantity=qty)
    sl = ex.call(
        "POST",
        "/fapi/v1/algoOrder",
        algoType="CONDITIONAL",
        symbol=sym,
        side=out,
        type="STOP_MARKET",
        triggerPrice=to_step(price * (1 - d * cfg["stop_loss"]), tick),
        closePosition="true",
    )
    # ladder of take profits, all in one request
    part = to_step(float(qty) / len(cfg["take_profits"]), step)
    ladder = [
        {
            "symbol": sym,
            "side": out,
            "type": "LIMIT",
            "timeInForce": "GTC",
            "quantity": part,
            "price": to_step(price * (1 + d * tp), tick),
            "reduceOnly": "true",
        }
        for tp in cfg["take_profits"]
    ]
    answer = ex.call("POST", "/fapi/v1/batchOrders", batchOrders=json.dumps(ladder))
    ids = [o["orderId"] for o in answer if "orderId" in o]
    log.info("ladder %s", answer)

    for n in range(cfg["loops"]):
        time.sleep(0.3)
        p = ex.call("GET", "/fapi/v1/premiumIndex", signed=False, symbol=sym)
        pos = ex.call("GET", "/fapi/v2/positionRisk", symbol=sym)[0]
        screen(ip=ip, symbol=sym, mark=p["markPrice"], pos=pos["positionAmt"], pnl=pos["unRealizedProfit"])
        if n == 2:
            # stop closer
            ex.call("DELETE", "/fapi/v1/algoOrder", algoId=sl["algoId"])
            sl = ex.call(
                "POST",
                "/fapi/v1/algoOrder",
                algoType="CONDITIONAL",
                symbol=sym,
                side=out,
                type="TRAILING_STOP_MARKET",
                callbackRate="1.5",
                quantity=qty,
                reduceOnly="true",
            )
    # cancel the far targets, the trailing stop does the rest over night
    try:
        ex.call(
            "DELETE", "/fapi/v1/batchOrders", symbol=sym, orderIdList=json.dumps(ids[1:]).replace(" ", "")
        )
    except BinanceError as e:
        log.error("cancel: %s", e)
    log.info("open algo orders %s", ex.call("GET", "/fapi/v1/openAlgoOrders", symbol=sym))
    print("leaving, trailing stop", sl["algoId"], "is on")


if __name__ == "__main__":
    main()
