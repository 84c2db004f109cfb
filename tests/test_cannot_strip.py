"""The guard cannot strip a position: whatever modules do, it is as protected as without the guard.

Two exchanges live the same history, one behind an enforcing guard, one bare. The truth is the engines'.
"""

import contextlib
from decimal import Decimal

import pytest
from binance.exceptions import BinanceAPIException
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import exit_shim
from exit_shim.policy import parse_policy
from exit_shim.testing import FakeClient, LocalExchange, faults

OWNER, LEGACY, STRANGER = "exit_brain_v3", ("position_monitor", "trailing_stop_manager"), "exposure_guard"
MODULES = (OWNER, *LEGACY, STRANGER)
STOPS = {"STOP", "STOP_MARKET", "TRAILING_STOP_MARKET"}
SYMBOL = "BTCUSDT"

modules = st.sampled_from(MODULES)
names = st.sampled_from([None, None, "a", "b"])
quantities = st.sampled_from(["0.005", "0.010", "0.020"])


class World:
    """One exchange, and the ids that orders of the history got there."""

    def __init__(self, client, exchange, hedge):
        self.client = client
        self.exchange = exchange
        self.engine = exchange.engine
        self.ids = {}
        self.side = "LONG" if hedge else "BOTH"

    def position(self):
        return self.engine.position(SYMBOL, self.side).amount

    def bare(self):
        """How much of the position no stop covers, by the engine's own state."""
        amount = self.position()
        closing = "SELL" if amount > 0 else "BUY"
        guarded = Decimal(0)
        for algo in self.engine.open_algos(SYMBOL):
            if algo.type in STOPS and (algo.side, algo.position_side) == (closing, self.side):
                guarded += self.guards(algo, abs(amount))
        return max(abs(amount) - guarded, Decimal(0))

    def guards(self, algo, size):
        """How much of a position one stop closes when it fires."""
        if algo.type == "TRAILING_STOP_MARKET" and not algo.activated:
            return 0
        if algo.close_position:
            return size
        if self.side == "BOTH":
            return algo.quantity if algo.reduce_only else 0
        return algo.quantity if algo.quantity <= size else 0  # more than the position is refused


class Twins(RuleBasedStateMachine):
    """Modules that do legal and illegal things, in any order, in both worlds at once."""

    policy = 'level = "enforce"\ndenied = "raise"\n'
    hedge = False

    def __init__(self):
        super().__init__()
        on, off = (LocalExchange(hedge_mode=self.hedge, rate_limits=False) for _ in range(2))
        self.shim = exit_shim.ExitShim(
            policy=parse_policy(self.policy), mode="EXIT_BRAIN_V3", journal=False, sinks=[]
        )
        self.on = World(self.shim.wrap(FakeClient(exchange=on)), on, self.hedge)
        self.off = World(FakeClient(exchange=off), off, self.hedge)
        self.numbers = 0
        self.taken_by_owner = False

    def both(self, module, act):
        """Have a module do the same in both worlds; what the exchange or the guard refuses, it shrugs off."""
        for world in (self.on, self.off):
            with exit_shim.attributed(module), contextlib.suppress(BinanceAPIException):
                act(world)

    def fields(self, **more):
        hedge = {"positionSide": "LONG"} if self.hedge else {}
        return {"symbol": SYMBOL, "side": "SELL" if self.side_is_long() else "BUY", **hedge, **more}

    def side_is_long(self):
        return self.hedge or self.off.position() >= 0

    def reducing(self):
        return {} if self.hedge else {"reduceOnly": "true"}

    @initialize(quantity=quantities, long=st.booleans())
    def begin(self, quantity, long):
        self.enter(quantity, long)

    @precondition(lambda self: self.on.position() == self.off.position() == 0)
    @rule(quantity=quantities, long=st.booleans())
    def enter(self, quantity, long):
        side = "BUY" if long or self.hedge else "SELL"
        hedge = {"positionSide": "LONG"} if self.hedge else {}
        for world in (self.on, self.off):
            world.client.futures_create_order(
                symbol=SYMBOL, side=side, type="MARKET", quantity=quantity, **hedge
            )

    def stop_order(self, whole, quantity, distance, trailing):
        away = Decimal(60_000) * (1 - distance if self.side_is_long() else 1 + distance)
        if trailing:
            return self.fields(
                type="TRAILING_STOP_MARKET", callbackRate=2, quantity=quantity, **self.reducing()
            )
        size = {"closePosition": "true"} if whole else {"quantity": quantity, **self.reducing()}
        return self.fields(type="STOP_MARKET", stopPrice=str(round(away, 1)), **size)

    def place(self, module, order, name=None, arrives=None):
        """Under a name of the bot's own or not; `arrives` says whether an order does that is not answered."""
        self.numbers += 1
        number, named = self.numbers, {} if name is None else {"clientAlgoId": name}

        def act(world):
            if arrives is not None:
                fault = faults.unknown_error(executed=arrives)
                world.exchange.faults.inject(fault, method="POST", path="algoOrder")
            answer = world.client.futures_create_order(**order, **named)
            world.ids[number] = (answer or {}).get("algoId")

        self.both(module, act)
        self.on.exchange.faults.clear()  # of an order that the guard held back it is left over

    distances = st.sampled_from([Decimal("0.02"), Decimal("0.05"), Decimal("0.1")])

    shapes = st.tuples(st.booleans(), quantities, distances, st.booleans())

    @rule(module=modules, shape=shapes, name=names, arrives=st.sampled_from([None, None, None, True, False]))
    def stop(self, module, shape, name, arrives):
        whole, quantity, distance, trailing = shape
        self.place(module, self.stop_order(whole, quantity, distance, trailing and not whole), name, arrives)

    @rule(module=modules, name=names)
    def cancel_by_name(self, module, name):
        def act(world):
            world.client.futures_cancel_algo_order(clientAlgoId=name)

        if name is not None:
            self.note_owner(module, lambda: self.both(module, act))

    @rule(module=modules, quantity=quantities)
    def target(self, module, quantity):
        price = 66_000 if self.side_is_long() else 54_000
        kind = {"type": "TAKE_PROFIT_MARKET", "stopPrice": price, "quantity": quantity}
        self.place(module, self.fields(**kind, **self.reducing()))

    @rule(module=modules, which=st.integers(0, 3))
    def cancel(self, module, which):
        if self.numbers:
            self.take(module, max(self.numbers - which, 1))

    def take(self, module, number):
        def act(world):
            if world.ids.get(number) is not None:
                world.client.futures_cancel_algo_order(algoId=world.ids[number])

        self.note_owner(module, lambda: self.both(module, act))

    def note_owner(self, module, act):
        before = self.on.bare()
        act()
        if module == OWNER and self.on.bare() > before:
            self.taken_by_owner = True

    @rule(
        module=modules, which=st.integers(0, 3), whole=st.booleans(), quantity=quantities, distance=distances
    )
    def cancel_then_place(self, module, which, whole, quantity, distance):
        if self.numbers:
            self.take(module, max(self.numbers - which, 1))
        self.place(module, self.stop_order(whole, quantity, distance, False))

    @rule(module=modules, conditional=st.booleans())
    def cancel_all(self, module, conditional):
        def act(world):
            world.client.futures_cancel_all_open_orders(symbol=SYMBOL, conditional=conditional)

        self.note_owner(module, lambda: self.both(module, act))

    @rule(module=modules, what=st.sampled_from(["close", "wipe", "fall", "rise", *["nothing"] * 4]))
    def something_rare(self, module, what):
        if what == "close":
            self.close_at_market(module)
            self.clear_orphans()
        elif what == "wipe":  # by hand, in the app: no shim sees it
            for world in (self.on, self.off):
                world.engine.cancel_all_algos(SYMBOL)
        elif what in {"fall", "rise"}:
            self.the_market_moves(56_500 if what == "fall" else 63_500)

    def close_at_market(self, module):
        def act(world):
            order = self.fields(type="MARKET", quantity=str(abs(world.position())), **self.reducing())
            world.client.futures_create_order(**order)

        self.both(module, act)

    def the_market_moves(self, price):
        for world in (self.on, self.off):
            world.engine.set_mark(SYMBOL, price)
            world.engine.set_mark(SYMBOL, 60_000)
        if self.on.position() != self.off.position():
            self.begin_anew()
        self.clear_orphans()

    def clear_orphans(self):
        """What outlives its position was not placed for the next one: that it would guard it is luck."""
        if self.on.position() == self.off.position() == 0:
            for world in (self.on, self.off):
                world.engine.cancel_all_algos(SYMBOL)
            self.taken_by_owner = False

    def begin_anew(self):
        """A different stop fired: from here on the histories could not be compared."""
        for world in (self.on, self.off):
            world.engine.cancel_all_algos(SYMBOL)
        self.close_at_market(STRANGER)
        self.taken_by_owner = False

    @invariant()
    def as_protected_as_without_the_guard(self):
        if self.on.position() != self.off.position():
            return
        is_barer = self.on.bare() > self.off.bare()
        assert self.taken_by_owner or not is_barer
        self.taken_by_owner = self.taken_by_owner and is_barer  # until it has placed again

    @invariant()
    def nothing_failed_inside(self):
        assert self.shim.troubles.count == 0

    def teardown(self):
        self.shim.close()


RUNS = settings(  # no shrinking: a history that fails is short enough, and this is dear
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("hedge", [False, True], ids=["one-way", "hedge"])
@pytest.mark.parametrize("denied", ["raise", "none", "monitor"])
def test_a_position_is_as_protected_as_without_the_guard(denied, hedge):
    """At no step is more of it bare than without the guard, but between an owner's cancel and its stop."""

    class Machine(Twins):
        policy = f'level = "enforce"\ndenied = "{denied}"\n'

    Machine.hedge = hedge
    run_state_machine_as_test(Machine, settings=RUNS)


def test_not_even_an_owner_strips_where_that_is_enforced():
    """With STRIPPED enforced, an owner's cancel that would leave a position bare is denied too."""

    class Machine(Twins):
        policy = 'level = "enforce"\n[rules.STRIPPED]\nlevel = "enforce"\n'

        def note_owner(self, module, act):
            act()

    run_state_machine_as_test(Machine, settings=RUNS)
