"""Opens positions when a signal arrives, and puts an emergency stop under each before anything else happens."""

import asyncio
import logging
import os

from binance.client import Client
from binance.exceptions import BinanceAPIException

from backend import config
from backend.utils.exchange import ExchangeRules, Position, ref

logger = logging.getLogger("event_driven_executor")


class EventDrivenExecutor:
    def __init__(self):
        self.client = Client(os.environ.get("BINANCE_API_KEY"), os.environ.get("BINANCE_API_SECRET"))
        self.rules = ExchangeRules(self.client)

    async def on_signals(self, signals):
        for signal in signals:
            position, price_at_signal = await self._open(signal)
            if position is None:
                logger.error("%s: no position after the entry, skipping the shield", signal["symbol"])
                continue
            await self._place_sl_shield(position, price_at_signal)

    async def _open(self, signal):
        symbol = signal["symbol"]
        self._prepare_symbol(symbol)
        price = self._last_price(symbol)
        quantity = self.rules.quantity(symbol, signal["quantity"])
        try:
            order = self._enter(signal, quantity, price)
        except BinanceAPIException as e:
            logger.error("%s: entry refused %s %s", symbol, e.code, e.message)
            return None, price
        logger.info(
            "%s: %s %s at about %s (order %s)", symbol, signal["direction"], quantity, price, ref(order)
        )
        return await self._wait_for_fill(symbol), price

    def _prepare_symbol(self, symbol):
        try:
            self.client.futures_change_margin_type(symbol=symbol, marginType="CROSSED")
        except BinanceAPIException as e:
            if e.code != -4046:  # already crossed
                logger.warning("%s: margin type: %s %s", symbol, e.code, e.message)
        self.client.futures_change_leverage(symbol=symbol, leverage=config.LEVERAGE)

    def _enter(self, signal, quantity, price):
        symbol = signal["symbol"]
        if signal["direction"] == "SHORT":
            return self.client.futures_market_sell_order(symbol=symbol, quantity=quantity)
        if signal["style"] == "limit":
            limit = self.rules.price(symbol, price * 1.002)
            return self.client.futures_limit_buy_order(
                symbol=symbol, quantity=quantity, price=limit, timeInForce="GTC"
            )
        return self.client.futures_create_order(symbol=symbol, side="BUY", type="MARKET", quantity=quantity)

    async def _wait_for_fill(self, symbol):
        for _ in range(5):
            for row in self.client.futures_position_information(symbol=symbol):
                if float(row["positionAmt"]):
                    return Position(row)
            await asyncio.sleep(0.01)
            self._last_price(symbol)
        return None

    async def _place_sl_shield(self, position, price_at_signal):
        symbol = position.symbol
        # Measured from the price at the signal; the fill may be somewhere else by now.
        stop_price = self.rules.price(symbol, position.worse(price_at_signal, config.EMERGENCY_SL_PCT))
        try:
            result = self.client.futures_create_order(
                symbol=symbol,
                side=position.exit_side,
                type="STOP_MARKET",
                stopPrice=stop_price,
                closePosition=True,
                workingType="MARK_PRICE",
            )
            logger.info("%s: shield at %s (%s)", symbol, stop_price, ref(result))
            return
        except BinanceAPIException as e:
            if e.code != -2021:
                logger.error("%s: shield refused %s %s", symbol, e.code, e.message)
                return
            logger.warning("%s: shield at %s would fire at once, adjusting", symbol, stop_price)

        adjusted = self.rules.price(
            symbol, position.worse(self._last_price(symbol), config.EMERGENCY_SL_RETRY_PCT)
        )
        try:
            result = self.client.futures_create_order(
                symbol=symbol,
                side=position.exit_side,
                type="STOP_MARKET",
                stopPrice=adjusted,
                closePosition=True,
                workingType="MARK_PRICE",
                priceProtect=True,
            )
            logger.info("%s: adjusted shield at %s (%s)", symbol, adjusted, ref(result))
        except BinanceAPIException as e:
            logger.error("%s: NO SHIELD, %s %s", symbol, e.code, e.message)

    def _last_price(self, symbol):
        return float(self.client.futures_symbol_ticker(symbol=symbol)["price"])
