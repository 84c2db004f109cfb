"""A bot as people wrote it in 2024: stops have an orderId, open orders list them, the user stream tells of them.

It knows nothing of exit_shim, nor of what Binance changed on 2025-12-09. On today's exchange it dies at its first
stop; with `exit-shim run --bridge` it lives to the end:

    exit-shim run --local examples/bot_of_2024/main.py            # fails
    exit-shim run --local --bridge examples/bot_of_2024/main.py   # does its three trades
"""

import queue
import threading

from binance import Client, ThreadedWebsocketManager

SYMBOL, QUANTITY = "BTCUSDT", 0.01
TRADES, LOOKS = 3, 2_000
LEVERAGES = 10, 20


class Bot:
    """Opens a position, guards it with a stop and a take, trails the stop, and waits for either to fill."""

    def __init__(self) -> None:
        self.client = Client("a-key-of-2024", "a-secret-of-2024")
        self.filled: "queue.Queue[int]" = queue.Queue()
        self.streams = ThreadedWebsocketManager("a-key-of-2024", "a-secret-of-2024")
        self.streams.daemon = True  # its thread never ends if it is stopped while it connects
        self.hears = threading.Event()

    def listen(self) -> None:
        """Start the user stream, and wait until it tells of a change of leverage: what fills before is not heard."""
        self.streams.start()
        self.streams.start_futures_user_socket(callback=self.on_event)
        for leverage in LEVERAGES * LOOKS:
            self.client.futures_change_leverage(symbol=SYMBOL, leverage=leverage)
            if self.hears.wait(0.1):
                return
        raise RuntimeError("the user stream tells nothing")

    def on_event(self, event: dict) -> None:
        """Take an event of the user stream: the fill of an exit ends the trade."""
        self.hears.set()
        order = event.get("o", {})
        if event.get("e") == "ORDER_TRADE_UPDATE" and order["X"] == "FILLED" and order["ot"] != "MARKET":
            self.filled.put(order["i"])

    def price(self) -> float:
        """Return the last price."""
        return float(self.client.futures_symbol_ticker(symbol=SYMBOL)["price"])

    def place(self, kind: str, trigger: float) -> int:
        """Place an exit, and check that it is among the open orders."""
        order = self.client.futures_create_order(
            symbol=SYMBOL, side="SELL", type=kind, stopPrice=round(trigger, 1), closePosition="true"
        )
        open_ids = {each["orderId"] for each in self.client.futures_get_open_orders(symbol=SYMBOL)}
        if order["orderId"] not in open_ids:
            raise RuntimeError(f"the exit {order['orderId']} is not among the open orders")
        return order["orderId"]

    def trade(self) -> None:
        """Do one trade, from entry to exit."""
        self.client.futures_create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=QUANTITY)
        best = entry = self.price()
        stop = self.place("STOP_MARKET", entry * 0.99)
        take = self.place("TAKE_PROFIT_MARKET", entry * 1.02)
        for _ in range(LOOKS):
            now = self.price()
            if now > best * 1.003:
                best = now
                self.client.futures_cancel_order(symbol=SYMBOL, orderId=stop)
                stop = self.place("STOP_MARKET", best * 0.99)
            try:
                done = self.filled.get(timeout=0.01)
            except queue.Empty:
                continue
            if done in {stop, take}:
                order = self.client.futures_get_order(symbol=SYMBOL, orderId=done)
                print(f"{order['origType']} filled at {order['avgPrice']}, entry {entry}")
                break
        else:
            raise RuntimeError("no exit filled")
        self.client.futures_cancel_all_open_orders(symbol=SYMBOL)

    def run(self) -> None:
        """Do the trades, and end flat with nothing resting."""
        try:
            self.listen()
            for _ in range(TRADES):
                self.trade()
            left = self.client.futures_get_open_orders(symbol=SYMBOL)
            print(f"{TRADES} trades, {len(left)} orders left")
        finally:
            self.streams.stop()


if __name__ == "__main__":
    Bot().run()
