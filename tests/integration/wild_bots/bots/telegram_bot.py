"""Telegram controlled bot. /start opens, /stop closes, tells everything in the chat.
Needs: pip install python-binance requests
"""

import threading
import time
import traceback

import requests
from binance import Client

TOKEN = "6481937205:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw9"
CHAT_ID = "918273645"
TG = f"https://api.telegram.org/bot{TOKEN}"

API_KEY = "aZ3sX7dC1fV5gB9hN4jM8kL2qW6eR0tY4uI8oP3aS7dF1gH5jK9lZ2xC6vB0nM5q"
API_SECRET = "W9eR4tY8uI2oP6aS1dF5gH9jK3lZ7xC2vB6nM0qW5eR9tY3uI7oP1aS6dF0gH4jK"

SYMBOL = "DOGEUSDT"
AMOUNT = 500  # doge
running = False
stop_all = threading.Event()
offset = 0


def tg(text):
    try:
        r = requests.post(TG + "/sendMessage", data={"chat_id": CHAT_ID, "text": text}, timeout=5)
        if not r.json()["ok"]:
            print("telegram not ok", r.text)
    except Exception as e:
        print("telegram failed:", e)
        raise  # I want to know


def poll_commands():
    """second thread: reads what I type in the chat"""
    global offset, running
    while not stop_all.is_set():
        r = requests.get(TG + "/getUpdates", params={"offset": offset, "timeout": 1}, timeout=10).json()
        for u in r["result"]:
            offset = u["update_id"] + 1
            text = u.get("message", {}).get("text", "")
            if text == "/start":
                running = True
            elif text == "/stop":
                running = False
                stop_all.set()
        time.sleep(0.3)


class Bot:
    def __init__(self):
        self.client = Client(API_KEY, API_SECRET)
        self.qty = 0

    def price(self):
        return float(self.client.futures_symbol_ticker(symbol=SYMBOL)["price"])

    def open_long(self):
        p = self.price()
        self.qty = AMOUNT
        self.client.futures_create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=AMOUNT)
        # half at tp1, rest at tp2, everything at the stop - one batch
        orders = [
            {
                "symbol": SYMBOL,
                "side": "SELL",
                "type": "LIMIT",
                "timeInForce": "GTC",
                "quantity": str(AMOUNT // 2),
                "price": f"{p * f:.5f}",
                "reduceOnly": "true",
            }
            for f in (1.01, 1.02)
        ]
        for o in self.client.futures_place_batch_order(batchOrders=orders):
            if "code" in o:
                tg(f"TP failed: {o['msg']}")
        self.stop = self.client.futures_create_order(
            symbol=SYMBOL, side="SELL", type="STOP_MARKET", stopPrice=f"{p * 0.985:.5f}", closePosition="true"
        )
        tg(f"LONG {AMOUNT} {SYMBOL} @ {p}, SL -1.5% TP +1% +2%")

    def breakeven(self):
        p = self.price()
        self.client.futures_cancel_algo_order(symbol=SYMBOL, algoId=self.stop["algoId"])
        self.stop = self.client.futures_create_order(
            symbol=SYMBOL, side="SELL", type="STOP_MARKET", stopPrice=f"{p * 0.99:.5f}", closePosition="true"
        )
        tg("stop moved up")

    def close(self):
        self.client.futures_cancel_all_open_orders(symbol=SYMBOL)
        for p in self.client.futures_position_information(symbol=SYMBOL):
            if float(p["positionAmt"]):
                self.client.futures_create_order(
                    symbol=SYMBOL,
                    side="SELL",
                    type="MARKET",
                    quantity=p["positionAmt"],
                    reduceOnly="true",
                )
        self.client.futures_cancel_all_algo_open_orders(symbol=SYMBOL)
        tg("closed, balance %s" % self.client.futures_account()["totalWalletBalance"])


if __name__ == "__main__":
    me = requests.get(TG + "/getMe", timeout=5).json()
    print("telegram:", me["ok"])
    bot = Bot()
    tg("bot started, type /start")
    threading.Thread(target=poll_commands, daemon=True).start()
    deadline = time.time() + 1
    while not running and time.time() < deadline:
        time.sleep(0.1)
    # autostart when I forget
    try:
        bot.open_long()
        for i in range(4):
            time.sleep(0.25)
            if stop_all.is_set():
                break
            if i == 2:
                bot.breakeven()
        bot.close()
    except Exception:
        tg("ERROR " + traceback.format_exc()[-300:])
        raise
    finally:
        stop_all.set()
