# cash & carry / hedge bot: looks at my spot bag, shorts the same coin on futures when the trend is bad
import time
from decimal import ROUND_DOWN, Decimal

from binance.client import Client
from binance.exceptions import BinanceAPIException

client = Client(
    "xC9vB4nM0qW6eR2tY8uI4oP0aS6dF2gH8jK4lZ0xC6vB2nM8qW4eR0tY6uI2oP8aS",
    "S3dF9gH5jK1lZ8xC4vB0nM7qW3eR9tY6uI2oP8aS5dF1gH7jK4lZ0xC6vB3nM9qW5",
)
COIN = "ETH"
PAIR = COIN + "USDT"
HEDGE = Decimal("0.5")  # half of the bag
MIN_NOTIONAL = 25


def spot_bag():
    total = Decimal(0)
    for b in client.get_account()["balances"]:
        if b["asset"] == COIN:
            total = Decimal(b["free"]) + Decimal(b["locked"])
    print("spot", COIN, total)
    return total


def spot_trend():
    k = client.get_klines(symbol=PAIR, interval=Client.KLINE_INTERVAL_1HOUR, limit=100)
    c = [float(x[4]) for x in k]
    ema = c[0]
    for x in c[1:]:
        ema = ema + (x - ema) * 2 / 51
    return "down" if c[-1] < ema else "up"


def step_size():
    info = client.get_symbol_info(PAIR)  # spot
    print("spot status", info["status"], "base", info["baseAsset"])
    fut = [s for s in client.futures_exchange_info()["symbols"] if s["symbol"] == PAIR][0]
    f = {x["filterType"]: x for x in fut["filters"]}
    return Decimal(f["LOT_SIZE"]["stepSize"]), Decimal(f["PRICE_FILTER"]["tickSize"])


def main():
    if client.get_system_status()["status"] != 0:
        print("maintenance")
        return
    step, tick = step_size()
    spot = Decimal(client.get_symbol_ticker(symbol=PAIR)["price"])
    perp = Decimal(client.futures_symbol_ticker(symbol=PAIR)["price"])
    mark = client.futures_mark_price(symbol=PAIR)
    print(f"spot {spot} perp {perp} basis {(perp / spot - 1) * 100:.3f}% funding {mark['lastFundingRate']}")
    print("trend", spot_trend())

    bag = spot_bag()
    qty = (max(bag, Decimal("0.2")) * HEDGE).quantize(step, ROUND_DOWN)
    if qty * perp < MIN_NOTIONAL:
        print("bag too small")
        qty = (Decimal(MIN_NOTIONAL * 2) / perp).quantize(step, ROUND_DOWN)

    try:
        client.futures_change_margin_type(symbol=PAIR, marginType="ISOLATED")
    except BinanceAPIException as e:
        if e.code != -4046:
            raise
    client.futures_change_leverage(symbol=PAIR, leverage=2)

    print("hedging: short", qty)
    client.futures_create_order(
        symbol=PAIR,
        side="SELL",
        type="LIMIT",
        timeInForce="IOC",
        quantity=qty,
        price=(perp * Decimal("0.995")).quantize(tick),
    )
    pos = client.futures_position_information(symbol=PAIR)[0]
    amt = Decimal(pos["positionAmt"])
    if amt == 0:
        raise SystemExit("hedge not filled")
    # catastrophe stop + cover lower
    client.futures_create_order(
        symbol=PAIR,
        side="BUY",
        type="STOP_MARKET",
        stopPrice=(perp * Decimal("1.05")).quantize(tick),
        closePosition="true",
        timeInForce="GTE_GTC",
    )
    tp = client.futures_create_order(
        symbol=PAIR,
        side="BUY",
        type="LIMIT",
        timeInForce="GTC",
        quantity=abs(amt),
        price=(perp * Decimal("0.95")).quantize(tick),
        reduceOnly="true",
    )
    # move the cover order a bit with the market
    for i in range(3):
        time.sleep(0.3)
        now = Decimal(client.get_orderbook_ticker(symbol=PAIR)["bidPrice"])
        cover = (now * Decimal("0.96")).quantize(tick)
        if cover == Decimal(tp["price"]):
            continue  # -5027 otherwise
        tp = client.futures_modify_order(
            symbol=PAIR, side="BUY", orderId=tp["orderId"], quantity=abs(amt), price=cover
        )
        print("cover order moved to", tp["price"])
    for b in client.futures_account_balance():
        if b["asset"] == "USDT":
            print("futures wallet", b["balance"])
    # unhedge
    client.futures_cancel_order(symbol=PAIR, orderId=tp["orderId"])
    client.futures_create_order(symbol=PAIR, side="BUY", type="MARKET", quantity=abs(amt), reduceOnly=True)
    client.futures_cancel_all_algo_open_orders(symbol=PAIR)
    print("unhedged, income", len(client.futures_income_history(symbol=PAIR)))


if __name__ == "__main__":
    main()
