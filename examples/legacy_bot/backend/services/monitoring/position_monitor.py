"""Watches every position and keeps it protected. Also plans, places, moves and closes: it grew."""

import asyncio
import logging
import os

from binance.client import Client
from binance.exceptions import BinanceAPIException

from backend import config
from backend.services.planning.exit_planner import build_plan
from backend.utils.exchange import ExchangeRules, closing_stops, open_positions, ref

logger = logging.getLogger("position_monitor")


class PositionMonitor:
    def __init__(self):
        self.client = Client(os.environ.get("BINANCE_API_KEY"), os.environ.get("BINANCE_API_SECRET"))
        self.rules = ExchangeRules(self.client)
        self._seen = []
        self._planned = []
        self._sl_backup = {}

    # -- the loop ----------------------------------------------------------------------------------------

    async def run_cycle(self, round_no):
        for position in open_positions(self.client, config.SYMBOLS):
            symbol = position.symbol
            if symbol not in self._seen:
                self._seen.append(symbol)
                await self._set_tpsl_for_position(position)
            elif not closing_stops(self.client, symbol, position.exit_side):
                logger.warning("%s: UNPROTECTED, restoring the stop from backup", symbol)
                self._restore_emergency_sl(position)
            else:
                self._adjust_tpsl_dynamically(position)
                self._place_partials_from_plan(position)

    async def close_everything(self):
        for position in open_positions(self.client, config.SYMBOLS):
            try:
                self.client.futures_cancel_all_open_orders(symbol=position.symbol)
                self.client.futures_cancel_all_open_orders(symbol=position.symbol, conditional=True)
            except BinanceAPIException as e:
                logger.warning("%s: could not clear orders, %s %s", position.symbol, e.code, e.message)
            self._emergency_close(position)
            await asyncio.sleep(config.PAUSE)
        leftovers = open_positions(self.client, config.SYMBOLS)
        if leftovers:
            logger.error("still open: %s", ", ".join(p.symbol for p in leftovers))
        else:
            logger.info("flat")

    # -- first protection --------------------------------------------------------------------------------

    async def _set_tpsl_for_position(self, position):
        try:
            # Clean slate. The shield that the executor has just placed goes with it.
            self.client.futures_cancel_all_open_orders(symbol=position.symbol, conditional=True)
        except BinanceAPIException as e:
            logger.warning("%s: clean slate failed, %s %s", position.symbol, e.code, e.message)
        self._place_initial_partial_tp(position)
        await asyncio.sleep(config.PAUSE)
        if not self._place_trailing_stop(position):
            self._place_fixed_sl(position)

    def _place_initial_partial_tp(self, position):
        symbol = position.symbol
        target = self.rules.price(symbol, position.better(self._mark(symbol), config.INITIAL_PARTIAL_TP_PCT))
        try:
            result = self.client.futures_create_order(
                symbol=symbol,
                side=position.exit_side,
                type="TAKE_PROFIT_MARKET",
                stopPrice=target,
                quantity=self.rules.quantity(symbol, position.quantity * config.INITIAL_PARTIAL_TP_SHARE),
                reduceOnly=True,
                workingType="MARK_PRICE",
            )
            logger.info("%s: first partial target at %s (%s)", symbol, target, ref(result))
        except BinanceAPIException as e:
            logger.warning("%s: first partial target refused, %s %s", symbol, e.code, e.message)

    def _place_trailing_stop(self, position):
        symbol = position.symbol
        # Above the market, always. Right for longs.
        activation = self.rules.price(symbol, self._mark(symbol) * (1 + config.TRAILING_ACTIVATION_PCT))
        try:
            result = self.client.futures_create_order(
                symbol=symbol,
                side=position.exit_side,
                type="TRAILING_STOP_MARKET",
                quantity=self.rules.quantity(symbol, position.quantity),
                callbackRate=config.TRAILING_CALLBACK_RATE,
                activatePrice=activation,
                reduceOnly=True,
                workingType="MARK_PRICE",
            )
            backup = position.worse(activation, config.FIXED_SL_PCT)
            self._sl_backup[symbol] = self.rules.price(symbol, backup)
            logger.info("%s: trailing from %s (%s)", symbol, activation, ref(result))
            return True
        except BinanceAPIException as e:
            logger.warning("%s: trailing refused, %s %s", symbol, e.code, e.message)
            return False

    def _place_fixed_sl(self, position):
        symbol = position.symbol
        stop_price = self.rules.price(symbol, position.worse(self._mark(symbol), config.FIXED_SL_PCT))
        try:
            result = self.client.futures_create_order(
                symbol=symbol,
                side=position.exit_side,
                type="STOP_MARKET",
                stopPrice=stop_price,
                closePosition=True,
                workingType="MARK_PRICE",
            )
            self._sl_backup[symbol] = stop_price
            logger.info("%s: fixed stop at %s instead (%s)", symbol, stop_price, ref(result))
        except BinanceAPIException as e:
            logger.error("%s: NO STOP, %s %s", symbol, e.code, e.message)

    # -- later rounds ------------------------------------------------------------------------------------

    def _adjust_tpsl_dynamically(self, position):
        symbol = position.symbol
        plan = build_plan(symbol)
        stop_price = self.rules.price(symbol, position.worse(self._mark(symbol), plan["sl_pct"]))
        try:
            for order in closing_stops(self.client, symbol, position.exit_side):
                logger.info("%s: stop at %s is not in the plan, removing it", symbol, order["triggerPrice"])
                self.client.futures_cancel_order(symbol=symbol, algoId=order["algoId"])
            result = self.client.futures_create_order(
                symbol=symbol,
                side=position.exit_side,
                type="STOP_MARKET",
                stopPrice=stop_price,
                closePosition=True,
                workingType="MARK_PRICE",
            )
            self._sl_backup[symbol] = stop_price
            logger.info("%s: planned stop at %s (%s)", symbol, stop_price, ref(result))
        except BinanceAPIException as e:
            logger.error("%s: planned stop refused, %s %s", symbol, e.code, e.message)

    def _place_partials_from_plan(self, position):
        symbol = position.symbol
        if symbol in self._planned:
            return
        self._planned.append(symbol)
        mark = self._mark(symbol)
        for pct, share in build_plan(symbol)["partials"]:
            target = self.rules.price(symbol, position.better(mark, pct))
            try:
                result = self.client.futures_create_order(
                    symbol=symbol,
                    side=position.exit_side,
                    type="TAKE_PROFIT_MARKET",
                    stopPrice=target,
                    quantity=self.rules.quantity(symbol, position.quantity * share),
                    reduceOnly="true",
                    workingType="MARK_PRICE",
                )
                logger.info("%s: planned partial target at %s (%s)", symbol, target, ref(result))
            except BinanceAPIException as e:
                logger.warning("%s: planned partial target refused, %s %s", symbol, e.code, e.message)

    def _restore_emergency_sl(self, position):
        symbol = position.symbol
        nearest = position.worse(self._mark(symbol), 0.01)
        stop_price = self.rules.price(symbol, position.safer(self._sl_backup.get(symbol, nearest), nearest))
        try:
            result = self.client.futures_create_order(
                symbol=symbol,
                side=position.exit_side,
                type="STOP_MARKET",
                stopPrice=stop_price,
                closePosition=True,
                workingType="MARK_PRICE",
                priceProtect=True,
            )
            logger.info("%s: emergency stop back at %s (%s)", symbol, stop_price, ref(result))
        except BinanceAPIException as e:
            logger.error("%s: EMERGENCY STOP FAILED, %s %s", symbol, e.code, e.message)

    def _emergency_close(self, position):
        symbol = position.symbol
        try:
            result = self.client.futures_create_order(
                symbol=symbol,
                side=position.exit_side,
                type="MARKET",
                quantity=self.rules.quantity(symbol, position.quantity),
                reduceOnly=True,
            )
            logger.info("%s: closed %s at market (%s)", symbol, position.quantity, ref(result))
        except BinanceAPIException as e:
            logger.error("%s: CLOSE FAILED, %s %s", symbol, e.code, e.message)

    def _mark(self, symbol):
        return float(self.client.futures_mark_price(symbol=symbol)["markPrice"])
