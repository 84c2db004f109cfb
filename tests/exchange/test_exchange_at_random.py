"""Random histories on the bare engine: time goes forward, nothing hangs, a copy of it is the same."""

import contextlib
import random
from decimal import Decimal

import pytest

from conftest import START
from exit_shim.exchange.engine.algo import AlgoRef, NewAlgo
from exit_shim.exchange.engine.orders import NewOrder, OrderRef
from exit_shim.testing import Exchange, ExchangeError

TICK = Decimal("0.1")


class History:
    """One account on a clock of its own; `step` does one random thing, which may be refused."""

    def __init__(self, seed):
        self.draw = random.Random(seed)
        self.clock = START
        self.price = Decimal(60_000)
        self.made = 0
        self.last_event = 0
        self.hedge = self.draw.random() < 0.5
        self.engine = Exchange(
            clock=lambda: self.clock,
            hedge_mode=self.hedge,
            wallet=self.draw.choice([500, 5_000, 100_000]),
            trigger_delay=self.draw.choice([None, 0, 50, (17, 400)]),
            strict_reduce_only=self.draw.random() < 0.7,
            seed=seed,
        )
        self.engine.feed.listeners.append(self.listen)

    def listen(self, event):
        """Hold that no event is older than the one before it, with a look at the exchange from within."""
        assert event.time >= self.last_event
        self.last_event = event.time
        assert self.engine.now() == event.time

    def terms(self):
        self.made += 1
        side = self.draw.choice(["LONG", "SHORT"]) if self.hedge else "BOTH"
        return {
            "symbol": "BTCUSDT",
            "side": self.draw.choice(["BUY", "SELL"]),
            "position_side": side,
            "reduce_only": None if self.hedge else self.draw.choice([None, True, True]),
            "client_id": f"order-{self.made}",
        }

    def near(self, distance):
        return (self.price + self.draw.randint(-distance, distance)).quantize(TICK)

    def quantity(self):
        return Decimal(self.draw.choice(["0.001", "0.005", "0.010", "0.500"]))

    def market(self):
        self.engine.place_order(NewOrder(type="MARKET", quantity=self.quantity(), **self.terms()))

    def limit(self):
        terms = {"quantity": self.quantity(), "price": self.near(500), **self.terms()}
        self.engine.place_order(NewOrder(type="LIMIT", **terms))

    def stop(self):
        kind, terms = self.draw.choice(["STOP_MARKET", "TAKE_PROFIT_MARKET"]), self.terms()
        closes = self.draw.random() < 0.5
        size = {"close_position": True, "reduce_only": None} if closes else {"quantity": self.quantity()}
        self.engine.place_algo(NewAlgo(type=kind, trigger_price=self.near(800), **{**terms, **size}))

    def cancel(self):
        orders, algos = self.engine.open_orders(), self.engine.open_algos()
        if orders:
            self.engine.cancel_order("BTCUSDT", OrderRef(order_id=self.draw.choice(orders).order_id))
        if algos:
            self.engine.cancel_algo(AlgoRef(algo_id=self.draw.choice(algos).algo_id))

    def move(self):
        self.price = max(Decimal(1_000), self.price + self.draw.randint(-900, 900))
        self.engine.set_mark("BTCUSDT", self.price)

    def wait(self):
        self.clock += self.draw.randint(0, 60)

    def advance(self):
        self.engine.advance(self.draw.randint(0, 500))

    def restart(self):
        data = self.engine.dump()
        self.engine = Exchange.parse(data, clock=lambda: self.clock)
        assert self.engine.dump() == data
        self.engine.feed.listeners.append(self.listen)

    def step(self):
        trades = [self.market, self.limit, self.stop, self.cancel]
        acts = [*trades, self.move, self.wait, self.advance, self.restart]
        with contextlib.suppress(ExchangeError):
            self.draw.choices(acts, weights=[4, 4, 4, 2, 3, 2, 1, 0.5])[0]()


@pytest.mark.parametrize("seed", range(30))
def test_a_random_history_holds_together(seed):
    """No event is late, no wallet below zero, every trigger ends; and it happens twice alike."""
    histories = History(seed), History(seed)
    for _ in range(120):
        for history in histories:
            history.step()
            assert history.engine.wallet >= 0
            amounts = {each.side: each.amount for each in history.engine.state.positions.values()}
            assert amounts.get("LONG", 0) >= 0 >= amounts.get("SHORT", 0)
    for history in histories:
        history.engine.advance(1_000)
        assert "TRIGGERING" not in {algo.status for algo in history.engine.all_algos()}
    assert histories[0].engine.dump() == histories[1].engine.dump()
