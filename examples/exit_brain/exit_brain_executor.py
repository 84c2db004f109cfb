"""The missing muscle: one owner that keeps a stop under every position, and nobody else's beside it.

It places first and cancels then, so a position is never bare while its stop moves. That takes a stop on a
quantity: of closePosition stops the exchange takes one a side (-4130).
"""

import logging
import os
import threading
from decimal import ROUND_DOWN, Decimal

from binance.client import Client
from binance.exceptions import BinanceAPIException

logger = logging.getLogger("exit_brain_executor")

STOP_PCT = Decimal("0.03")
PAUSE = 0.005  # seconds between rounds


class ExitBrainExecutor:
    def __init__(self):
        self.client = Client(os.environ.get("BINANCE_API_KEY"), os.environ.get("BINANCE_API_SECRET"))
        self.tick = {
            entry["symbol"]: Decimal(f["tickSize"])
            for entry in self.client.futures_exchange_info()["symbols"]
            for f in entry["filters"]
            if f["filterType"] == "PRICE_FILTER"
        }
        self.mine = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="exit-brain")

    # -- life --------------------------------------------------------------------------------------------

    def start(self):
        self._thread.start()

    def stop(self):
        self._stopping.set()
        self._thread.join()
        self.ensure_protection()

    def _run(self):
        while not self._stopping.wait(PAUSE):
            self.ensure_protection()

    # -- one round ---------------------------------------------------------------------------------------

    def ensure_protection(self):
        try:
            rows = self.client.futures_position_information()
            held = {row["symbol"]: Decimal(row["positionAmt"]) for row in rows if Decimal(row["positionAmt"])}
            for symbol, amount in held.items():
                self._protect(symbol, amount)
            for symbol in set(self.mine) - set(held):
                self._cancel(self.mine.pop(symbol)[0])
        except BinanceAPIException as e:
            logger.warning("round cut short: %s %s", e.code, e.message)

    def _protect(self, symbol, amount):
        resting = {order["algoId"] for order in self.client.futures_get_open_algo_orders(symbol=symbol)}
        before = self.mine.get(symbol)
        if before is None or before[0] not in resting or before[1] != amount:
            self.mine[symbol] = self._place(symbol, amount), amount
        for algo_id in resting - {self.mine[symbol][0]}:  # the old one, and whatever others put there
            self._cancel(algo_id)

    def _place(self, symbol, amount):
        mark = Decimal(self.client.futures_mark_price(symbol=symbol)["markPrice"])
        trigger = mark * (1 - STOP_PCT if amount > 0 else 1 + STOP_PCT)
        order = self.client.futures_create_order(
            symbol=symbol,
            side="SELL" if amount > 0 else "BUY",
            type="STOP_MARKET",
            triggerPrice=str((trigger / self.tick[symbol]).to_integral_value(ROUND_DOWN) * self.tick[symbol]),
            quantity=str(abs(amount)),
            reduceOnly="true",
            workingType="MARK_PRICE",
        )
        logger.info("%s: stop %s under %s", symbol, order["triggerPrice"], amount)
        return order["algoId"]

    def _cancel(self, algo_id):
        try:
            self.client.futures_cancel_algo_order(algoId=algo_id)
        except BinanceAPIException as e:
            if e.code != -2011:  # gone already
                raise
