"""Take-profits and stops blended from confidence and volatility, placed through the safe executor."""

import logging
import os

from binance.client import Client
from binance.exceptions import BinanceAPIException

from backend import config
from backend.services.execution.safe_order_executor import SafeOrderExecutor
from backend.utils.exchange import ExchangeRules, closing_stops, open_positions

logger = logging.getLogger("hybrid_tpsl")


class HybridTPSL:
    def __init__(self):
        self.client = Client(os.environ.get("BINANCE_API_KEY"), os.environ.get("BINANCE_API_SECRET"))
        self.executor = SafeOrderExecutor()
        self.rules = ExchangeRules(self.client)
        self._managed = []

    async def run_cycle(self, round_no):
        for position in open_positions(self.client, config.SYMBOLS):
            if position.symbol not in self._managed:
                self._managed.append(position.symbol)
                await self._first_protection(position)
            elif not self._has_take_profit(position):
                logger.warning("%s: somebody took my take-profit away, putting it back", position.symbol)
                await self.place_take_profit(position)
            if round_no == config.BREAKEVEN_ROUND and position.symbol in config.BREAKEVEN_SYMBOLS:
                await self.move_stop_to_breakeven(position)

    async def _first_protection(self, position):
        if await self.place_stop_loss(position) is None:
            logger.info("%s: stop not taken, somebody else's must be resting", position.symbol)
        await self.place_take_profit(position)
        await self.place_partial_take_profit(position)
        if position.symbol == config.LADDER_SYMBOL:
            await self.place_ladder(position)

    async def place_stop_loss(self, position):
        mark = self._mark(position.symbol)
        stop_price = self.rules.price(position.symbol, position.worse(mark, config.HYBRID_SL_PCT))
        return await self.executor.place_order_with_safety(
            {
                "symbol": position.symbol,
                "side": position.exit_side,
                "type": "STOP_MARKET",
                "stopPrice": stop_price,
                "closePosition": "true",
                "workingType": "MARK_PRICE",
            },
            order_type="sl",
        )

    async def place_take_profit(self, position):
        mark = self._mark(position.symbol)
        target = self.rules.price(position.symbol, position.better(mark, config.HYBRID_TP_PCT))
        return await self.executor.place_order_with_safety(
            {
                "symbol": position.symbol,
                "side": position.exit_side,
                "type": "TAKE_PROFIT_MARKET",
                "stopPrice": target,
                "closePosition": "true",
                "workingType": "MARK_PRICE",
            },
            order_type="tp",
        )

    async def place_partial_take_profit(self, position):
        mark = self._mark(position.symbol)
        target = self.rules.price(position.symbol, position.better(mark, config.HYBRID_PARTIAL_TP_PCT))
        return await self.executor.place_order_with_safety(
            {
                "symbol": position.symbol,
                "side": position.exit_side,
                "type": "TAKE_PROFIT",
                "quantity": position.quantity / 3,  # the executor sorts out the digits
                "price": target,
                "stopPrice": target,
                "reduceOnly": True,
                "timeInForce": "GTC",
            },
            order_type="partial_tp",
        )

    async def place_ladder(self, position):
        """Two resting targets and a stop in one request. The stop leg used to work."""
        mark = self._mark(position.symbol)
        legs = [
            {
                "symbol": position.symbol,
                "side": position.exit_side,
                "type": "LIMIT",
                "timeInForce": "GTC",
                "quantity": str(self.rules.quantity(position.symbol, position.quantity * 0.2)),
                "price": str(self.rules.price(position.symbol, position.better(mark, pct))),
                "reduceOnly": "true",
            }
            for pct in config.LADDER_STEPS
        ]
        legs.append(
            {
                "symbol": position.symbol,
                "side": position.exit_side,
                "type": "STOP_MARKET",
                "quantity": str(self.rules.quantity(position.symbol, position.quantity * 0.4)),
                "stopPrice": str(
                    self.rules.price(position.symbol, position.worse(mark, config.HYBRID_SL_PCT))
                ),
                "reduceOnly": "true",
            }
        )
        return await self.executor.place_batch_with_safety(position.symbol, legs, order_type="ladder")

    async def move_stop_to_breakeven(self, position):
        """Stop at entry plus fees, or as near to it as the market lets us."""
        symbol = position.symbol
        wanted = position.better(position.entry_price, config.BREAKEVEN_FEES_PCT)
        allowed = position.worse(self._mark(symbol), config.BREAKEVEN_MIN_GAP_PCT)
        stop_price = self.rules.price(symbol, position.safer(wanted, allowed))
        for order in closing_stops(self.client, symbol, position.exit_side):
            logger.info("%s: removing the stop at %s for breakeven", symbol, order["triggerPrice"])
            try:
                self.client.futures_cancel_order(symbol=symbol, algoId=order["algoId"])
            except BinanceAPIException as e:
                logger.warning("%s: could not remove it, %s %s", symbol, e.code, e.message)
        return await self.executor.place_order_with_safety(
            {
                "symbol": symbol,
                "side": position.exit_side,
                "type": "STOP_MARKET",
                "stopPrice": stop_price,
                "closePosition": True,
                "workingType": "MARK_PRICE",
            },
            order_type="breakeven",
        )

    def _has_take_profit(self, position):
        orders = self.client.futures_get_open_orders(symbol=position.symbol, conditional=True)
        return any(o["orderType"] == "TAKE_PROFIT_MARKET" and o["closePosition"] for o in orders)

    def _mark(self, symbol):
        return float(self.client.futures_mark_price(symbol=symbol)["markPrice"])
