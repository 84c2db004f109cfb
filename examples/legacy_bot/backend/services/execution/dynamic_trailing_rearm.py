"""Re-arms trailing stops now and then. Older than the trailing stop manager, and never switched off."""

import logging
import os

from binance.client import Client
from binance.exceptions import BinanceAPIException

from backend import config
from backend.utils.exchange import ExchangeRules, open_positions, ref

logger = logging.getLogger("dynamic_trailing_rearm")


class DynamicTrailingRearm:
    def __init__(self):
        self.client = Client(os.environ.get("BINANCE_API_KEY"), os.environ.get("BINANCE_API_SECRET"))
        self.rules = ExchangeRules(self.client)

    async def run_cycle(self, round_no):
        if round_no % config.REARM_EVERY != 1:
            return
        for position in open_positions(self.client, config.SYMBOLS):
            try:
                # There may be an old trailing stop among them, so everything conditional goes.
                self.client.futures_cancel_all_open_orders(symbol=position.symbol, conditional=True)
                logger.info("%s: wiped all conditional orders", position.symbol)
                if position.is_long:
                    self._rearm_long(position)
                else:
                    self._rearm_short(position)
            except BinanceAPIException as e:
                logger.warning("%s: not re-armed, %s %s", position.symbol, e.code, e.message)

    def _rearm_long(self, position):
        symbol = position.symbol
        price = float(self.client.futures_symbol_ticker(symbol=symbol)["price"])
        result = self.client.futures_create_algo_order(
            symbol=symbol,
            side="SELL",
            type="TRAILING_STOP_MARKET",
            quantity=self.rules.quantity(symbol, position.quantity),
            activatePrice=self.rules.price(symbol, price * (1 + config.REARM_ACTIVATION_PCT)),
            callbackRate=config.REARM_CALLBACK_RATE,
            reduceOnly="true",
        )
        logger.info("%s: trailing stop re-armed (%s)", symbol, ref(result))

    def _rearm_short(self, position):
        symbol = position.symbol
        price = float(self.client.futures_symbol_ticker(symbol=symbol)["price"])
        result = self.client.futures_create_order(
            symbol=symbol,
            side="BUY",
            type="TRAILING_STOP_MARKET",
            quantity=self.rules.quantity(symbol, position.quantity),
            activationPrice=self.rules.price(symbol, price * (1 - config.REARM_ACTIVATION_PCT)),
            callbackRate=config.REARM_CALLBACK_RATE,
            reduceOnly=True,
        )
        logger.info("%s: trailing stop re-armed (%s)", symbol, ref(result))
