"""Taking over: what rests of modules that the policy denies goes, once the executor's own stops cover."""

import pytest
from guarded_bot import ENFORCE, LEGACY, LIMIT, PART, STOP, STRANGER, TARGET, Bot

import exit_shim
from exit_shim.exchange.faults import service_unavailable
from exit_shim.executor import ExitExecutor, ExitPlan, HardStop, at_fraction
from exit_shim.executor.executor import MODULE
from exit_shim.guard.delegations import Delegations
from exit_shim.guard.policy import Delegation
from exit_shim.testing import FakeClient, LocalExchange

STRICT = ENFORCE + '[rules.STRIPPED]\nlevel = "enforce"\n[rules.FOREIGN_CANCEL]\nlevel = "enforce"\n'

DELEGATED = f'[[delegate]]\nsymbol = "BTCUSDT"\nto = "{MODULE}"\n'


def plan_for(position):
    return ExitPlan(
        symbol=position.symbol, position_side=position.side, legs=(HardStop(at_fraction("0.03")),)
    )


class Owned(Bot):
    """The same bot with an executor beside it, in either position mode."""

    def __init__(self, policy=ENFORCE, *, hedge=False, **options):
        super().__init__(policy, hedge_mode=hedge, **options)
        self.hedge = hedge
        self.executor = ExitExecutor(self.client, plan_for, shim=self.shim)

    def enter(self):
        side = {"positionSide": "LONG"} if self.hedge else {}
        self.client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01", **side)
        return self

    def place(self, module, **params):
        """Place an exit as a module of the bot; None: by hand, past the shim."""
        if self.hedge:
            params = {key: value for key, value in params.items() if key != "reduceOnly"}
            params["positionSide"] = "LONG"
        if module is None:
            answer = FakeClient(exchange=self.exchange).futures_create_order(**params)
        else:
            answer = self.by(module, **params)
        return answer.get("algoId") or answer["orderId"]

    def protect(self, passes=4):
        """Do passes; return the states, of which the last one says that nothing is left to do."""
        return [protection.state for _ in range(passes) for protection in self.executor.protect()]

    def resting(self):
        engine = self.exchange.engine
        return [one.algo_id for one in engine.open_algos()] + [one.order_id for one in engine.open_orders()]

    def placed_by(self, module):
        return [
            record.outcome.algo_id or record.outcome.order_id
            for record in self.records
            if record.intent.attribution.module == module and record.intent.operation == "place"
        ]


MODES = pytest.mark.parametrize("hedge", [False, True], ids=["one-way", "hedge"])


@MODES
@pytest.mark.parametrize("policy", [ENFORCE, STRICT], ids=["plain", "strict"])
def test_legacy_exits_go_once_the_executor_covers(hedge, policy):
    """Stops and targets of a legacy module are cancelled in the passes after the hard stop is listed."""
    bot = Owned(policy, hedge=hedge).enter()
    legacy = [bot.place(LEGACY, **PART), bot.place(LEGACY, **TARGET), bot.place(LEGACY, **LIMIT)]
    assert bot.executor.protect()[0].state == "MOVING"
    assert set(legacy) < set(bot.resting())
    assert bot.protect()[-1] == "PROTECTED"
    assert bot.resting() == bot.placed_by(MODULE)
    (stop,) = bot.exchange.engine.open_algos()
    assert stop.close_position


@MODES
@pytest.mark.parametrize("policy", [ENFORCE, STRICT], ids=["plain", "strict"])
def test_a_legacy_stop_yields_its_slot(hedge, policy):
    """A stop on the quantity goes before the cancel of a closePosition stop, the hard stop after it."""
    bot = Owned(policy, hedge=hedge).enter()
    bot.place(LEGACY, **STOP)
    steps = [step for _ in range(6) for step in bot.executor.protect()[0].steps]
    types = [(type(step).__name__, step.leg) for step in steps]
    assert types == [("Place", "qs"), ("Cancel", None), ("Place", "hs"), ("Cancel", "qs")]
    (stop,) = bot.exchange.engine.open_algos()
    assert (stop.close_position, stop.algo_id) == (True, bot.placed_by(MODULE)[-1])


@pytest.mark.parametrize(
    ("policy", "module"),
    [
        (ENFORCE, None),
        (ENFORCE, STRANGER),
        (ENFORCE + '[modes.EXIT_BRAIN_V3]\nunknown = "deny"\n', STRANGER),
        (ENFORCE, "exit_brain_v3"),
        (ENFORCE + "takeover = []\n", LEGACY),
        (ENFORCE + '[modes.EXIT_BRAIN_V3]\nowners = ["exit_brain_v3"]\n', LEGACY),
        ("rollout = 0.0\n" + ENFORCE, LEGACY),
        ('level = "warn"\n', LEGACY),
        ('level = "observe"\n', LEGACY),
        (ENFORCE + '[[modes.EXIT_BRAIN_V3.scopes]]\nsymbols = ["BTC*"]\nlevel = "warn"\n', LEGACY),
        (ENFORCE + '[[modes.EXIT_BRAIN_V3.scopes]]\nsymbols = ["BTC*"]\ntakeover = []\n', LEGACY),
    ],
    ids=[
        "hand",
        "no list",
        "denied",
        "owner",
        "off",
        "no owner",
        "rollout",
        "warn",
        "observe",
        "scope level",
        "scope",
    ],
)
@pytest.mark.parametrize("exit_", [STOP, PART, LIMIT], ids=["closePosition", "quantity", "LIMIT"])
def test_what_is_not_denied_stays(policy, module, exit_):
    """Orders by hand, of owners and of modules on no list stay, and those of allowed modules."""
    bot = Owned(policy).enter()
    order = bot.place(module, **exit_)
    assert bot.protect()[-1] == "PROTECTED"
    assert order in bot.resting()


def test_the_mode_and_the_switch_decide():
    """In LEGACY, and with enforcement switched off, nothing is taken over; afterwards it is."""
    bot = Owned().enter()
    order = bot.place(LEGACY, **PART)
    bot.shim.switch(enforce=False)
    assert bot.protect()[-1] == "PROTECTED"
    bot.shim.switch(enforce=True, mode="LEGACY")
    assert bot.protect()[-1] == "PROTECTED"
    assert order in bot.resting()
    bot.shim.switch(mode="EXIT_BRAIN_V3")
    assert bot.protect()[-1] == "PROTECTED"
    assert order not in bot.resting()


def test_modules_on_no_list_can_be_taken_over():
    """`takeover` may name those that `unknown = "deny"` denies; an order by hand still stays."""
    policy = ENFORCE + 'takeover = ["unknown"]\n[modes.EXIT_BRAIN_V3]\nunknown = "deny"\n'
    bot = Owned(policy).enter()
    strange, legacy, by_hand = (bot.place(module, **PART) for module in (STRANGER, LEGACY, None))
    bot.protect()
    assert strange not in bot.resting()
    assert {legacy, by_hand} < set(bot.resting())


def test_orders_of_an_earlier_run_are_known(tmp_path):
    """Who placed an order is read from the journal where this process did not place it."""
    exchange, journal = LocalExchange(), tmp_path / "journal.db"
    before = Owned(journal=journal, exchange=exchange).enter()
    order = before.place(LEGACY, **PART)
    before.shim.close()
    bot = Owned(journal=journal, exchange=exchange)
    assert bot.protect()[-1] == "PROTECTED"
    assert order not in bot.resting()


def test_an_executor_in_a_process_of_its_own(tmp_path):
    """Through the journal the bot's guard knows its stops as the owner's, and it the bot's modules."""
    exchange, journal = LocalExchange(), tmp_path / "journal.db"
    bot = Owned(ENFORCE + 'on_deny = "return_none"\n', journal=journal, exchange=exchange).enter()
    order = bot.place(LEGACY, **PART)
    shim = exit_shim.ExitShim(journal=journal, policy=bot.shim.policy, mode="EXIT_BRAIN_V3", sinks=[])
    bot.executor = ExitExecutor(FakeClient(exchange=exchange), plan_for, shim=shim)
    assert bot.shim.flush()
    assert bot.protect()[-1] == "PROTECTED"
    assert order not in bot.resting()
    assert shim.flush()
    assert bot.by(LEGACY, **STOP) is None
    assert bot.by(LEGACY, "futures_cancel_all_open_orders", symbol="BTCUSDT", conditional=True) is None
    (stop,) = bot.exchange.engine.open_algos()
    assert stop.close_position
    shim.close()


def test_what_is_left_is_cancelled_until_it_is_gone():
    """A cancel that fails after the position was closed is sent again in the next pass."""
    bot = Owned().enter()
    bot.protect()
    bot.by(STRANGER, symbol="BTCUSDT", side="SELL", type="MARKET", quantity="0.01", reduceOnly="true")
    bot.place(LEGACY, **{**PART, "stopPrice": 41000})
    bot.exchange.faults.inject(service_unavailable(), method="DELETE", path="algoOrder")
    assert [each.state for each in bot.executor.protect()] == ["SWEEPING"]
    assert bot.resting()
    assert bot.protect() == ["SWEEPING", "FLAT"]
    assert bot.resting() == []


def test_an_account_with_a_name(tmp_path):
    """The book is asked under the account's name, as the bot gave it."""
    exchange, journal = LocalExchange(), tmp_path / "journal.db"
    bot = Owned(journal=journal, exchange=exchange).enter()
    bot.shim = exit_shim.ExitShim(
        journal=journal, policy=bot.shim.policy, mode="EXIT_BRAIN_V3", sinks=[bot], account="main"
    )
    bot.client = bot.shim.wrap(FakeClient(exchange=exchange))
    bot.executor = ExitExecutor(bot.client, plan_for, shim=bot.shim)
    order = bot.place(LEGACY, **PART)
    assert bot.protect()[-1] == "PROTECTED"
    assert order not in bot.resting()


def test_what_is_left_of_a_denied_module_goes_when_flat():
    """After the position is closed, nothing of the executor and of denied modules rests."""
    bot = Owned().enter()
    bot.protect()
    by_hand = bot.place(None, **{**PART, "stopPrice": 40000})
    with exit_shim.attributed("exit_brain_v3"):
        bot.client.futures_create_order(
            symbol="BTCUSDT", side="SELL", type="MARKET", quantity="0.01", reduceOnly="true"
        )
    bot.place(LEGACY, **{**PART, "stopPrice": 41000})
    bot.protect()
    assert bot.resting() == [by_hand]


@MODES
def test_a_delegation_to_the_executor_has_no_gap(hedge):
    """A symbol that is delegated to it is reported while it does not cover, and not once it does."""
    bot = Owned(hedge=hedge).enter()

    def gaps():
        delegations = Delegations([Delegation(symbol="BTCUSDT", to=MODULE, within_s=1e-9)])
        return [reason.code for _, reason in delegations.gaps(bot.shim.guard.book)]

    assert gaps() == ["DELEGATION_GAP"]
    bot.protect()
    assert gaps() == []


def test_a_delegated_symbol_falls_back_only_before_it_covers():
    """A legacy module that acts there is a LEGACY_FALLBACK until the executor has its stop."""
    bot = Owned(ENFORCE + 'on_deny = "return_none"\n' + DELEGATED).enter()

    def fallbacks():
        codes = [reason.code for record in bot.records for reason in record.reasons]
        return codes.count("LEGACY_FALLBACK")

    bot.place(LEGACY, **PART)
    assert fallbacks() == 1
    bot.protect()
    assert bot.by(LEGACY, **PART) is None
    assert fallbacks() == 1


def test_its_last_cancels_strip_nothing():
    """The book learns from the executor that a position is closed: what it sweeps guards nothing any more."""
    bot = Owned().enter()
    bot.place(None, **STOP)
    assert bot.protect()[-1] == "PROTECTED"
    bot.by(STRANGER, symbol="BTCUSDT", side="SELL", type="MARKET", quantity="0.01", reduceOnly="true")
    assert bot.protect() == ["SWEEPING", "FLAT"]
    assert bot.resting() == []
    assert not [r for record in bot.records for r in record.reasons if r.code == "STRIPPED"]


def test_a_denied_module_cannot_touch_the_executors_stop():
    """Its cancel, and its cancel-all, are denied under the executor's cover."""
    bot = Owned().enter()
    bot.protect()
    (stop,) = bot.resting()
    with pytest.raises(exit_shim.ExitOrderDenied):
        bot.by(LEGACY, "futures_cancel_algo_order", symbol="BTCUSDT", algoId=stop)
    with pytest.raises(exit_shim.ExitOrderDenied):
        bot.by(LEGACY, "futures_cancel_all_algo_open_orders", symbol="BTCUSDT")
    assert bot.resting() == [stop]
