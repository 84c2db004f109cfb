"""The life of a whole NautilusTrader node with a strategy that trades and streams."""

import asyncio
from datetime import timedelta
from decimal import Decimal

from life import KEY, SECRET, Life
from nautilus_trader.adapters.binance import (
    BINANCE,
    BinanceAccountType,
    BinanceDataClientConfig,
    BinanceExecClientConfig,
    BinanceInstrumentProviderConfig,
    BinanceLiveDataClientFactory,
    BinanceLiveExecClientFactory,
)
from nautilus_trader.config import LiveExecEngineConfig, LoggingConfig, TradingNodeConfig
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import OrderSide, TriggerType
from nautilus_trader.model.identifiers import InstrumentId, TraderId
from nautilus_trader.trading.strategy import Strategy

INSTRUMENT = InstrumentId.from_str("BTCUSDT-PERP.BINANCE")


class Trader(Strategy):
    """Subscribe to everything and note what came."""

    def __init__(self):
        super().__init__()
        self.seen = {}

    def _note(self, name):
        self.seen[name] = self.seen.get(name, 0) + 1

    def on_start(self):
        self.subscribe_quote_ticks(INSTRUMENT)
        self.subscribe_trade_ticks(INSTRUMENT)
        self.subscribe_order_book_deltas(INSTRUMENT)
        self.subscribe_mark_prices(INSTRUMENT)
        self.subscribe_bars(BarType.from_str(f"{INSTRUMENT}-1-MINUTE-LAST-EXTERNAL"))
        self.request_bars(
            BarType.from_str(f"{INSTRUMENT}-1-HOUR-LAST-EXTERNAL"),
            start=self.clock.utc_now() - timedelta(days=2),
        )

    def on_quote_tick(self, tick):
        self._note("quotes")

    def on_trade_tick(self, tick):
        self._note("trades")

    def on_order_book_deltas(self, deltas):
        self._note("book")

    def on_bar(self, bar):
        self._note("bars")

    def on_mark_price(self, mark):
        self._note("mark prices")

    def on_historical_data(self, data):
        self._note("history")

    def on_order_event(self, event):
        self._note(type(event).__name__)
        if "Rejected" in type(event).__name__:
            self.seen.setdefault("reasons", []).append(event.reason)

    def place(self, kind, side, **more):
        instrument = self.cache.instrument(INSTRUMENT)
        for name in ("price", "trigger_price"):
            if name in more:
                more[name] = instrument.make_price(more[name])
        quantity = instrument.make_qty(Decimal(str(more.pop("quantity", "0.010"))))
        order = getattr(self.order_factory, kind)(
            instrument_id=INSTRUMENT, order_side=side, quantity=quantity, **more
        )
        self.submit_order(order)
        return order


async def until(condition):
    """Wait until something holds."""
    for _ in range(100):
        if condition():
            return
        await asyncio.sleep(0.1)
    raise TimeoutError("it did not become true")


async def trade(life, strategy):
    """Trade in each way that the adapter has."""
    cache, portfolio = strategy.cache, strategy.portfolio
    with life.step("start: instruments, account, history"):
        await until(lambda: cache.instrument(INSTRUMENT) and portfolio.account(INSTRUMENT.venue))
        assert len(cache.instruments()) > 1
        await until(lambda: strategy.seen.get("history"))
    with life.step("market order and position"):
        order = strategy.place("market", OrderSide.BUY)
        await until(lambda: order.is_closed)
        assert order.filled_qty == order.quantity, order
        await until(lambda: portfolio.is_net_long(INSTRUMENT))
    with life.step("limit order, amend, cancel"):
        order = strategy.place("limit", OrderSide.BUY, price=55_000)
        await until(lambda: order.is_open)
        instrument = cache.instrument(INSTRUMENT)
        strategy.modify_order(order, price=instrument.make_price(55_100), quantity=order.quantity)
        await until(lambda: order.price == instrument.make_price(55_100))
        strategy.cancel_order(order)
        await until(lambda: order.is_closed)
    with life.step("stop, take profit, trailing stop, cancel"):
        orders = [
            strategy.place("stop_market", OrderSide.SELL, trigger_price=55_000, reduce_only=True),
            strategy.place("market_if_touched", OrderSide.SELL, trigger_price=65_000, reduce_only=True),
            strategy.place(
                "stop_limit",
                OrderSide.SELL,
                trigger_price=54_000,
                price=53_990,
                trigger_type=TriggerType.MARK_PRICE,
            ),
        ]
        await until(lambda: all(order.is_open for order in orders))
        strategy.cancel_order(orders[2])
        await until(lambda: orders[2].is_closed)
        strategy.cancel_all_orders(INSTRUMENT)
        await until(lambda: all(order.is_closed for order in orders))
    with life.step("a stop fires"):
        order = strategy.place("stop_market", OrderSide.SELL, trigger_price=59_000, reduce_only=True)
        await until(lambda: order.is_open)
        life.set_price(58_900)
        await until(lambda: order.is_closed and portfolio.is_flat(INSTRUMENT))
    with life.step("-2019 is a rejection"):
        order = strategy.place("market", OrderSide.BUY, quantity="50")
        await until(lambda: order.is_closed)
        assert any("-2019" in reason for reason in strategy.seen["reasons"]), strategy.seen
    for name in ("quotes", "trades", "book", "mark prices", "bars"):
        with life.step(f"stream of {name}"):
            for number in range(10):
                life.set_price(60_000 + number % 3)
                # A candle is a bar once it is closed.
                life.control("advance", milliseconds=20_000)
                await asyncio.sleep(0.2)
                if strategy.seen.get(name):
                    break
            assert strategy.seen.get(name), strategy.seen


def make_node(life):
    """Return a node whose data and execution clients are pointed at the exchange."""
    shared = {
        "api_key": KEY,
        "api_secret": SECRET,
        "account_type": BinanceAccountType.USDT_FUTURES,
        "base_url_http": life.url,
        "instrument_provider": BinanceInstrumentProviderConfig(load_all=True),
    }
    streams = f"ws://{life.host}"
    node = TradingNode(
        TradingNodeConfig(
            trader_id=TraderId("LIFE-001"),
            logging=LoggingConfig(log_level="ERROR"),
            exec_engine=LiveExecEngineConfig(reconciliation=True),
            data_clients={BINANCE: BinanceDataClientConfig(**shared, base_url_ws=f"{streams}/all")},
            exec_clients={
                BINANCE: BinanceExecClientConfig(
                    **shared, base_url_ws=f"{streams}/ws-fapi/v1", base_url_ws_stream=f"{streams}/private"
                )
            },
        )
    )
    node.add_data_client_factory(BINANCE, BinanceLiveDataClientFactory)
    node.add_exec_client_factory(BINANCE, BinanceLiveExecClientFactory)
    return node


def live(life):
    """Live the whole life."""
    node, strategy = make_node(life), Trader()
    node.trader.add_strategy(strategy)
    node.build()

    async def run():
        running = asyncio.ensure_future(node.run_async())
        await asyncio.sleep(3)
        await trade(life, strategy)
        await node.stop_async()
        running.cancel()

    node.get_event_loop().run_until_complete(run())
    node.dispose()


if __name__ == "__main__":
    the_life = Life()
    live(the_life)
    the_life.end()
