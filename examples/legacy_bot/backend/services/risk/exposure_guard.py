"""Trims positions that are larger than the desk likes. Bolted on after a bad week, listed nowhere."""

import asyncio
import functools
import logging
import os

from binance.client import Client
from binance.exceptions import BinanceAPIException

from backend import config
from backend.utils.exchange import ExchangeRules, open_positions, ref

logger = logging.getLogger("exposure_guard")


class ExposureGuard:
    def __init__(self):
        self.client = Client(os.environ.get("BINANCE_API_KEY"), os.environ.get("BINANCE_API_SECRET"))
        self.rules = ExchangeRules(self.client)

    async def run_cycle(self, round_no):
        if round_no != config.GUARD_ROUND:
            return
        for position in open_positions(self.client, config.SYMBOLS):
            try:
                if position.quantity > config.MAX_QUANTITY.get(position.symbol, position.quantity):
                    await self._trim(position)
                if position.symbol == config.SCALE_OUT_SYMBOL and position.is_long:
                    self._scale_out(position)
            except BinanceAPIException as e:
                logger.warning("%s: not trimmed, %s %s", position.symbol, e.code, e.message)

    async def _trim(self, position):
        symbol = position.symbol
        excess = self.rules.quantity(symbol, round(position.quantity - config.MAX_QUANTITY[symbol], 8))
        if position.is_long:
            result = self.client.futures_market_sell_order(symbol=symbol, quantity=excess, reduceOnly=True)
        else:
            buy = functools.partial(
                self.client.futures_market_buy_order, symbol=symbol, quantity=excess, reduceOnly="true"
            )
            result = await asyncio.get_running_loop().run_in_executor(None, buy)
        logger.info("%s: %s too large by %s, trimmed (%s)", symbol, position.quantity, excess, ref(result))

    def _scale_out(self, position):
        symbol = position.symbol
        price = float(self.client.futures_mark_price(symbol=symbol)["markPrice"])
        result = self.client.futures_limit_sell_order(
            symbol=symbol,
            quantity=self.rules.quantity(symbol, position.quantity * config.SCALE_OUT_SHARE),
            price=self.rules.price(symbol, price * (1 + config.SCALE_OUT_PCT)),
            timeInForce="GTC",
            reduceOnly=True,
        )
        logger.info("%s: scaling out from above (%s)", symbol, ref(result))
