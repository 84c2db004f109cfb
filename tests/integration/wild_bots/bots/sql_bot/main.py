# python main.py
# multi pair swing bot, trades are in trades.db (sqlite)
import random
import time

from binance.client import Client
from binance.exceptions import BinanceAPIException
from models import ExitOrder, Session, Status, Trade

KEY = "fR4gT8hY2jU6kI0lO5zP9xA3cS7vD1bF5nG9mH3qJ7wK1eL5rZ9tX3yC7uV1iB5o"
SECRET = "P0aN4sM8dQ2fW6gE0hR4jT8kY2lU6zI0xO4cP8vA2bS6nD0mF4qG8wH2eJ6rK0tL"
PAIRS = {"BNBUSDT": 0.2, "XRPUSDT": 60, "LINKUSDT": 8}

client = Client(KEY, SECRET)
db = Session()
info = {s["symbol"]: s for s in client.futures_exchange_info()["symbols"]}


def fmt(symbol, price):
    tick = next(f["tickSize"] for f in info[symbol]["filters"] if f["filterType"] == "PRICE_FILTER")
    t = float(tick)
    digits = len(tick.rstrip("0").split(".")[1]) if "." in tick.rstrip("0").rstrip(".") else 0
    return f"{round(price / t) * t:.{digits}f}"


def call(func, **kw):
    """retry, binance has hiccups"""
    for attempt in range(3):
        try:
            return func(**kw)
        except BinanceAPIException as e:
            print("  api error", e.code, e.message)
            if e.code in (-2021, -2022, -1111, -4164):
                raise
            time.sleep(0.5 * (attempt + 1))
    raise RuntimeError("gave up on %s" % func.__name__)


def enter(symbol, qty):
    closes = [float(k[4]) for k in client.futures_klines(symbol=symbol, interval="4h", limit=30)]
    side = "BUY" if closes[-1] > sum(closes) / len(closes) else "SELL"
    order = call(
        client.futures_create_order,
        symbol=symbol,
        side=side,
        type="MARKET",
        quantity=qty,
        newOrderRespType="RESULT",
        newClientOrderId="swing_%d_%s" % (time.time() * 1000, symbol[:3]),
    )
    done = call(client.futures_get_order, symbol=symbol, orderId=order["orderId"])
    trade = Trade(symbol=symbol, side=side, qty=qty, entry=float(done["avgPrice"]))
    db.add(trade)
    db.commit()
    print("opened", trade)
    return trade


def protect(trade, sl_pct=0.02, tp_pct=0.03):
    d = 1 if trade.side == "BUY" else -1
    out = "SELL" if d > 0 else "BUY"
    for kind, typ, pct in (("SL", "STOP_MARKET", -sl_pct), ("TP", "TAKE_PROFIT_MARKET", tp_pct)):
        price = trade.entry * (1 + d * pct)
        o = call(
            client.futures_create_order,
            symbol=trade.symbol,
            side=out,
            type=typ,
            stopPrice=fmt(trade.symbol, price),
            closePosition="true",
            workingType="MARK_PRICE",
            priceProtect="TRUE",
        )
        trade.orders.append(ExitOrder(binance_id=str(o["algoId"]), kind=kind, price=price))
    db.commit()


def trail(trade):
    mark = float(client.futures_mark_price(symbol=trade.symbol)["markPrice"])
    d = 1 if trade.side == "BUY" else -1
    old = db.query(ExitOrder).filter_by(trade_id=trade.id, kind="SL", active=1).first()
    new = mark * (1 - d * 0.015)
    if d * (new - old.price) <= 0:
        return
    call(client.futures_cancel_algo_order, symbol=trade.symbol, algoId=int(old.binance_id))
    old.active = 0
    o = call(
        client.futures_create_order,
        symbol=trade.symbol,
        side="SELL" if d > 0 else "BUY",
        type="STOP_MARKET",
        stopPrice=fmt(trade.symbol, new),
        closePosition="true",
    )
    trade.orders.append(ExitOrder(binance_id=str(o["algoId"]), kind="SL", price=new))
    db.commit()
    print("  trailed", trade.symbol, old.price, "->", new)


def leave(trade):
    for p in client.futures_position_information(symbol=trade.symbol):
        amt = float(p["positionAmt"])
        if amt:
            call(
                client.futures_create_order,
                symbol=trade.symbol,
                side="SELL" if amt > 0 else "BUY",
                type="MARKET",
                quantity=abs(amt),
                reduceOnly="true",
            )
            trade.exit = float(p["markPrice"])
    for o in trade.orders:
        if o.active:
            try:
                client.futures_cancel_algo_order(symbol=trade.symbol, algoId=int(o.binance_id))
            except BinanceAPIException as e:
                if e.code != -2011:  # already gone
                    raise
            o.active = 0
    trade.status = Status.CLOSED
    db.commit()


for symbol, qty in PAIRS.items():
    if db.query(Trade).filter_by(symbol=symbol, status=Status.OPEN).count():
        continue
    protect(enter(symbol, qty))

for loop in range(4):
    time.sleep(0.2)
    for t in db.query(Trade).filter_by(status=Status.OPEN):
        trail(t)

# one trade stays for tomorrow, its stop is on the exchange
trades = db.query(Trade).filter_by(status=Status.OPEN).all()
for t in trades[:-1]:
    leave(t)
print(db.query(Trade).count(), "trades in db,", db.query(ExitOrder).count(), "exit orders")
