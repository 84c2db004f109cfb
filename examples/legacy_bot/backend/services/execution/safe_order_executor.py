"""Sends what it is told to send, and tries again when that makes sense. It decides nothing."""

import asyncio
import logging
import os

from binance.client import Client
from binance.exceptions import BinanceAPIException

from backend.utils.exchange import ExchangeRules, ref

logger = logging.getLogger("safe_order_executor")

PRECISION_ERRORS = (-1111, -4014, -4023)
TRANSIENT_ERRORS = (-1001, -1008)


class SafeOrderExecutor:
    MAX_ATTEMPTS = 3

    def __init__(self):
        self.client = Client(os.environ.get("BINANCE_API_KEY"), os.environ.get("BINANCE_API_SECRET"))
        self.rules = ExchangeRules(self.client)

    async def place_order_with_safety(self, order_params, order_type):
        symbol = order_params["symbol"]
        for attempt in range(1, self.MAX_ATTEMPTS + 1):
            try:
                result = self.client.futures_create_order(**order_params)
            except BinanceAPIException as e:
                if e.code in PRECISION_ERRORS:
                    logger.info("%s %s: too many digits (%s), rounding", symbol, order_type, e.code)
                    order_params = self._rounded(order_params)
                elif e.code in TRANSIENT_ERRORS:
                    logger.info("%s %s: exchange is busy (%s), again", symbol, order_type, e.code)
                    await asyncio.sleep(0.01 * attempt)
                else:
                    logger.warning("%s %s: refused %s %s", symbol, order_type, e.code, e.message)
                    return None
            else:
                logger.info("%s %s: placed %s", symbol, order_type, ref(result))
                return result
        logger.error("%s %s: gave up after %d attempts", symbol, order_type, self.MAX_ATTEMPTS)
        return None

    async def place_batch_with_safety(self, symbol, orders, order_type):
        try:
            results = self.client.futures_place_batch_order(batchOrders=orders)
        except BinanceAPIException as e:
            logger.warning("%s %s: batch refused %s %s", symbol, order_type, e.code, e.message)
            return []
        for order, result in zip(orders, results):
            if "code" in result:
                logger.warning("%s %s: %s leg refused %s", symbol, order_type, order["type"], result["code"])
            else:
                logger.info("%s %s: %s leg placed %s", symbol, order_type, order["type"], ref(result))
        return results

    def _rounded(self, order_params):
        rounded = dict(order_params)
        for field in ("price", "stopPrice"):
            if field in rounded:
                rounded[field] = self.rules.price(rounded["symbol"], rounded[field])
        if "quantity" in rounded:
            rounded["quantity"] = self.rules.quantity(rounded["symbol"], rounded["quantity"])
        return rounded
