"""Deny only under cover: each way in which a denial once left a position bare, as the bot met it."""

import asyncio
import contextlib
from decimal import Decimal

import pytest
from binance.exceptions import BinanceAPIException
from record_sink import keep_record
from virtual_time import jumping, new_loop

import exit_shim
from exit_shim.guard.policy import PolicyError, parse_policy
from exit_shim.guard.rules.custom import forget_custom_rules
from exit_shim.testing import FakeAsyncClient, FakeClient, LocalExchange, faults

SYMBOL, OWNER, LEGACY = "BTCUSDT", "exit_brain_v3", "position_monitor"
SELL = {"symbol": SYMBOL, "side": "SELL"}
WHOLE = {**SELL, "type": "STOP_MARKET", "stopPrice": 55000, "closePosition": True}
PART = {**SELL, "type": "STOP_MARKET", "stopPrice": 54000, "quantity": "0.010", "reduceOnly": "true"}
TARGET = {**SELL, "type": "TAKE_PROFIT_MARKET", "stopPrice": 66000, "quantity": "0.010", "reduceOnly": "true"}
LIMIT = {
    **SELL,
    "type": "LIMIT",
    "price": "66000",
    "quantity": "0.010",
    "timeInForce": "GTC",
    "reduceOnly": "true",
}
CANCEL_ALL = {"symbol": SYMBOL, "conditional": True}
LOOKS = ("openOrders", "openAlgoOrders", "positionRisk")
KINDS = pytest.mark.parametrize("denied", ["raise", "return_none", "simulate"])


class Bot:
    """A shim that enforces around a client, on an exchange with a position of 0.01."""

    def __init__(self, denied="raise", more="", client=None, own=(), **options):
        self.records = []
        text = f'level = "enforce"\n[modes.EXIT_BRAIN_V3]\nowners = ["{OWNER}"]\nlegacy = ["{LEGACY}"]\n'
        text += f'on_deny = "{denied}"\n'
        policy = parse_policy(text + more, "it", frozenset(own))
        self.shim = exit_shim.ExitShim(journal=False, policy=policy, mode="EXIT_BRAIN_V3", sinks=[self])
        self.exchange = options.pop("exchange", None) or LocalExchange(**options)
        self.app = FakeClient(exchange=self.exchange)
        self.client = self.shim.wrap(client or self.app)
        self.is_hedged = self.exchange.engine.hedge_mode

    def on(self, recorded):
        keep_record(self.records, recorded)

    def enter(self, quantity="0.010", side="BUY", position_side="LONG"):
        sides = {"positionSide": position_side} if self.is_hedged else {}
        self.app.futures_create_order(symbol=SYMBOL, side=side, type="MARKET", quantity=quantity, **sides)
        return self

    def by(self, module, method="futures_create_order", **params):
        if self.is_hedged and method == "futures_create_order":
            params = {"positionSide": "LONG", **params}
            params.pop("reduceOnly", None)
        with exit_shim.attributed(module):
            return getattr(self.client, method)(**params)

    def last_record(self):
        self.shim.flush()
        return self.records[-1]

    def resting(self):
        return [(algo.type, algo.trigger_price) for algo in self.exchange.engine.open_algos()]

    def position(self):
        return self.exchange.engine.position(SYMBOL, "LONG" if self.is_hedged else "BOTH").amount


@pytest.fixture
def make():
    made = []

    def make_bot(*args, **options):
        made.append(Bot(*args, **options))
        return made[-1]

    yield make_bot
    for bot in made:
        bot.shim.close()


@pytest.fixture(params=["in process", "over HTTP"])
def any_client(request, make):
    """A bot on a genuine client, without a socket and with one."""
    if request.param == "in process":
        return make
    client, exchange = request.getfixturevalue("client"), request.getfixturevalue("exchange")
    return lambda *args: make(*args, client=client, exchange=exchange)


def place_target_then_stop(bot, **stop):
    """What a legacy module does, in one `try`: it uses each answer, and gives up at the first exception."""
    with contextlib.suppress(BinanceAPIException, TypeError, KeyError):
        for order in (TARGET, {**WHOLE, **stop}):
            assert bot.by(LEGACY, **order)["algoId"]


def clear_then_place(bot, stop):
    """Another usual way: cancel everything, then place."""
    with contextlib.suppress(BinanceAPIException, TypeError, KeyError):
        assert bot.by(LEGACY, "futures_cancel_all_open_orders", **CANCEL_ALL)["code"]
        assert bot.by(LEGACY, **stop)["algoId"]


# a caller that stops at the first exception, and one that uses the answer


@KINDS
def test_a_target_without_cover_goes_out_so_that_the_stop_behind_it_is_placed(any_client, denied):
    """A legacy module's target and then its stop rest at the exchange, where no owner's stop does."""
    bot = any_client(denied).enter()
    place_target_then_stop(bot)
    assert [kind for kind, _ in bot.resting()] == ["TAKE_PROFIT_MARKET", "STOP_MARKET"]


@KINDS
def test_a_cancel_all_is_not_denied_for_an_owners_target(any_client, denied):
    """It goes out without cover, an owner's target with it: the stop that comes next is placed."""
    bot = any_client(denied).enter()
    bot.by(OWNER, **TARGET)
    clear_then_place(bot, WHOLE)
    assert bot.resting() == [("STOP_MARKET", 55000)]


@KINDS
def test_in_hedge_mode_two_thirds_are_no_cover(make, denied):
    """Owner's 0.02 of 0.03: the cancel-all goes out, and the module's stop on 0.03 closes the position."""
    bot = make(denied, hedge_mode=True).enter("0.030")
    bot.by(OWNER, **{**PART, "quantity": "0.020", "stopPrice": 55000})
    clear_then_place(bot, {**PART, "quantity": "0.030"})
    for mark in (54_500, 53_500):
        bot.exchange.set_mark(SYMBOL, mark)
    assert bot.position() == 0


@KINDS
def test_what_goes_out_without_cover_says_so(make, denied):
    """Its record has the reason to deny it, and PROTECTIVE_OVERRIDE with why it was let out."""
    bot = make(denied).enter()
    bot.by(LEGACY, **TARGET)
    reasons = bot.last_record().reasons
    assert [reason.code for reason in reasons] == ["OWNERSHIP_CONFLICT", "PROTECTIVE_OVERRIDE"]
    assert bot.last_record().flat()["outcome"] == "accepted"


@KINDS
def test_under_cover_all_of_it_is_held_back(make, denied):
    """With an owner's stop on the whole position a target, a stop, a cancel and a cancel-all are denied."""
    bot = make(denied).enter()
    placed = bot.by(OWNER, **WHOLE)
    before = bot.resting()
    for method, params in (
        ("futures_create_order", TARGET),
        ("futures_create_order", PART),
        ("futures_create_order", LIMIT),
        ("futures_cancel_algo_order", {"algoId": placed["algoId"]}),
        ("futures_cancel_all_open_orders", CANCEL_ALL),
    ):
        with contextlib.suppress(exit_shim.ExitOrderDenied):
            bot.by(LEGACY, method, **params)
    assert (bot.resting(), bot.exchange.engine.open_orders()) == (before, [])


@pytest.mark.parametrize("code", ["CHURN", "HOUSE"])
def test_other_rules_hold_back_only_under_cover_too(make, code):
    """CHURN and a rule of one's own at `enforce` hold an owner's target back under cover, and not without."""

    @exit_shim.rule("HOUSE")
    def house(case):
        return "house=yes" if case.order.type == "TAKE_PROFIT_MARKET" else None

    try:
        more = f'[rules.{code}]\nlevel = "enforce"\n' + ("times = 2\n" if code == "CHURN" else "")
        bot = make(more=more, own={"HOUSE"}).enter()
        for price in (66000, 66100, 66200):
            bot.by(OWNER, **{**TARGET, "stopPrice": price})
        bot.by(OWNER, **WHOLE)
        with pytest.raises(exit_shim.ExitOrderDenied):
            bot.by(OWNER, **{**TARGET, "stopPrice": 66300})
    finally:
        forget_custom_rules()
    assert len(bot.resting()) == 4


def test_stripped_holds_back_a_cancel_of_what_covers_and_no_other():
    """With STRIPPED a cancel that would bare the position is denied, and one of half a cover is not."""
    bot = Bot(more='[rules.STRIPPED]\nlevel = "enforce"\n').enter()
    half = bot.by(LEGACY, **{**PART, "quantity": "0.005"})
    bot.by(LEGACY, "futures_cancel_algo_order", algoId=half["algoId"])
    whole = bot.by(LEGACY, **PART)
    with pytest.raises(exit_shim.ExitOrderDenied):
        bot.by(LEGACY, "futures_cancel_algo_order", algoId=whole["algoId"])
    assert bot.resting() == [("STOP_MARKET", 54000)]
    bot.shim.close()


def test_there_is_no_strict_policy():
    """A policy that asks to deny without cover is refused."""
    with pytest.raises(PolicyError):
        parse_policy("strict = true\n", "it")


# what covers


def flat_again(bot):
    bot.app.futures_create_order(**SELL, type="MARKET", quantity="0.010", reduceOnly="true")


def short_of_margin(bot):
    """Margin for a liquidation price near 58,000; the position was opened before."""
    (row,) = bot.exchange.positions()
    assert Decimal(row["liquidationPrice"]) > 55_500


def trailing(**more):
    return {**SELL, "type": "TRAILING_STOP_MARKET", "quantity": "0.010", "reduceOnly": "true", **more}


NO_COVER = {
    "no stop": [],
    "98 % away": [{**WHOLE, "stopPrice": 1200}],
    "half the position": [{**PART, "quantity": "0.005"}],
    "a stop-limit": [{**PART, "type": "STOP", "price": 53990, "timeInForce": "GTC"}],
    "a trailing stop that waits": [trailing(callbackRate=5, activatePrice=61000)],
    "a target": [TARGET],
    "a stop that may open": [{key: value for key, value in PART.items() if key != "reduceOnly"}],
}


@pytest.mark.parametrize("stops", NO_COVER.values(), ids=NO_COVER)
def test_what_is_no_cover(make, stops):
    """With nothing but that of the owner's, nothing of a legacy module is denied."""
    bot = make().enter()
    for stop in stops:
        bot.by(OWNER, **stop)
    bot.by(LEGACY, **{**TARGET, "stopPrice": 67000})
    bot.by(LEGACY, "futures_cancel_all_open_orders", **CANCEL_ALL)
    assert bot.resting() == []


COVER = {
    "30 % away": [{**WHOLE, "stopPrice": 42000}],
    "on the mark price": [{**WHOLE, "workingType": "MARK_PRICE"}],
    "two that add up": [{**PART, "quantity": "0.004"}, {**PART, "quantity": "0.006"}],
    "more than the position": [{**PART, "quantity": "0.050"}],
    "a trailing stop at work": [trailing(callbackRate=5)],
}


@pytest.mark.parametrize("stops", COVER.values(), ids=COVER)
def test_what_is_cover(make, stops):
    """With that of the owner's, a legacy module's target is denied."""
    bot = make().enter()
    for stop in stops:
        bot.by(OWNER, **stop)
    with pytest.raises(exit_shim.ExitOrderDenied):
        bot.by(LEGACY, **TARGET)


def test_a_stop_beyond_the_liquidation_price_is_no_cover(make):
    """The position would be liquidated before it fires."""
    bot = make(wallet=70).enter("0.020")
    short_of_margin(bot)
    bot.by(OWNER, **{**WHOLE, "stopPrice": 55000})
    place_target_then_stop(bot, closePosition=False, quantity="0.020", reduceOnly="true", stopPrice=59000)
    assert ("STOP_MARKET", 59000) in bot.resting()


def test_a_stop_short_of_the_liquidation_price_is_cover(make):
    """With little margin, an owner's stop that fires before liquidation covers."""
    bot = make(wallet=70).enter("0.020")
    short_of_margin(bot)
    bot.by(OWNER, **{**WHOLE, "stopPrice": 58500})
    with pytest.raises(exit_shim.ExitOrderDenied):
        bot.by(LEGACY, **TARGET)


@pytest.mark.parametrize(
    ("working", "trigger", "prices", "covers"),
    [
        ("MARK_PRICE", 55000, {"last": 54000}, True),
        ("CONTRACT_PRICE", 55000, {"mark": 54000}, True),
        ("MARK_PRICE", 28000, {"last": 50000}, False),  # 53 % below the mark
        ("CONTRACT_PRICE", 28000, {"last": 50000}, True),  # 44 % below the last price
    ],
)
def test_a_stop_is_judged_by_its_own_price(make, working, trigger, prices, covers):
    """By the mark on MARK_PRICE, by the last price on CONTRACT_PRICE: the side it is on, and how far away."""
    bot = make().enter()
    bot.by(OWNER, **{**WHOLE, "stopPrice": trigger, "workingType": working})
    bot.exchange.set_prices(SYMBOL, **prices)
    with pytest.raises(exit_shim.ExitOrderDenied) if covers else contextlib.nullcontext():
        bot.by(LEGACY, **{**TARGET, "stopPrice": 70000})


def test_a_stop_that_was_crossed_and_did_not_fire_is_no_cover(make):
    """PriceProtect holds it back while mark and last price are far apart: it may not fire at all."""
    bot = make().enter()
    bot.by(OWNER, **{**WHOLE, "priceProtect": "TRUE"})
    bot.exchange.set_prices(SYMBOL, last=45_000)
    assert bot.resting()
    bot.by(LEGACY, **{**TARGET, "stopPrice": 70000})
    assert len(bot.resting()) == 2


def test_a_trailing_stop_without_is_activated_in_its_row_is_not_active(make, monkeypatch):
    """Where the exchange does not say that it watches the price, it is not taken to."""
    bot = make().enter()
    bot.by(OWNER, **trailing(callbackRate=5))
    listing = bot.app.futures_get_open_algo_orders

    def without(**params):
        return [{key: row[key] for key in row if key != "isActivated"} for row in listing(**params)]

    monkeypatch.setattr(bot.app, "futures_get_open_algo_orders", without)
    bot.by(LEGACY, **TARGET)
    assert len(bot.resting()) == 2


def test_a_stop_that_fired_and_filled_nothing_is_no_cover(make):
    """In hedge mode a stop on more than is left is refused when it fires: the next stop goes out."""
    bot = make(hedge_mode=True).enter("0.030")
    bot.by(OWNER, **{**PART, "quantity": "0.030"})
    bot.app.futures_create_order(**SELL, positionSide="LONG", type="MARKET", quantity="0.010")
    bot.exchange.set_mark(SYMBOL, 53_900)
    bot.exchange.set_mark(SYMBOL, 60_000)
    assert (bot.position(), bot.resting()) == (Decimal("0.020"), [])
    place_target_then_stop(bot)
    assert ("STOP_MARKET", 55000) in bot.resting()


@pytest.mark.parametrize("other", [{**TARGET, "quantity": "0.005"}, {**LIMIT, "quantity": "0.005"}])
def test_in_hedge_mode_a_smaller_exit_of_anybody_takes_the_cover_away(make, other):
    """Once it has filled, the owner's stop on the whole is more than what is left, and closes nothing."""
    bot = make(hedge_mode=True).enter()
    bot.by(LEGACY, **other)
    bot.by(OWNER, **PART)
    place_target_then_stop(bot)
    assert ("STOP_MARKET", 55000) in bot.resting()


def test_in_hedge_mode_both_sides_must_be_covered(make):
    """An owner's stop covers the long side alone: nothing of either side is denied."""
    bot = make(hedge_mode=True).enter().enter(side="SELL", position_side="SHORT")
    bot.by(OWNER, **WHOLE)
    bot.by(LEGACY, **TARGET)
    short = {"symbol": SYMBOL, "side": "BUY", "positionSide": "SHORT", "stopPrice": 65000}
    bot.by(LEGACY, **short, type="STOP_MARKET", closePosition=True)
    assert len(bot.resting()) == 3


def test_flat_is_not_covered(make):
    """An owner's stop that outlived its position is no cover: what a legacy module places goes out."""
    bot = make().enter()
    bot.by(OWNER, **PART)
    flat_again(bot)
    bot.by(LEGACY, **TARGET)
    assert len(bot.resting()) == 2


def test_another_symbols_stop_is_no_cover(make):
    """What covers is asked of the symbol of the order."""
    bot = make().enter()
    bot.app.futures_create_order(symbol="ETHUSDT", side="BUY", type="MARKET", quantity="0.1")
    bot.by(OWNER, **{**WHOLE, "symbol": "ETHUSDT", "stopPrice": 2800})
    place_target_then_stop(bot)
    assert len(bot.resting()) == 3


def test_a_name_in_the_other_store_makes_no_owners_stop(make):
    """Names are unique in each store: a legacy stop stays one though an owner's LIMIT has the same name."""
    bot = make().enter()
    bot.by(LEGACY, **WHOLE, clientAlgoId="a")
    bot.by(OWNER, **LIMIT, newClientOrderId="a")
    bot.by(LEGACY, **TARGET)
    assert [kind for kind, _ in bot.resting()] == ["STOP_MARKET", "TAKE_PROFIT_MARKET"]


# closes


@pytest.mark.parametrize("covering", [True, False])
@pytest.mark.parametrize(
    ("order", "is_a_close"),
    [
        ({"type": "MARKET"}, True),
        ({"type": "LIMIT", "timeInForce": "IOC", "price": "59000"}, True),
        ({"type": "LIMIT", "timeInForce": "FOK", "price": "59000"}, True),
        ({"type": "LIMIT", "timeInForce": "IOC", "price": "66000"}, True),
        ({"type": "LIMIT", "timeInForce": "GTC", "price": "59000"}, False),
    ],
    ids=["MARKET", "IOC", "FOK", "IOC that fills nothing", "GTC through the market"],
)
@pytest.mark.parametrize("hedge", [False, True], ids=["one-way", "hedge"])
def test_what_closes_now_goes_out(make, order, is_a_close, covering, hedge):
    """A reduce-only MARKET, IOC, FOK, or LIMIT through the market goes out, its kind as its fields say."""
    bot = make(hedge_mode=hedge).enter()
    if covering:
        bot.by(OWNER, **WHOLE)
    bot.by(LEGACY, **SELL, quantity="0.010", reduceOnly="true", **order)
    assert (bot.last_record().intent.order.kind == "close") is is_a_close
    assert bot.position() == (Decimal("0.010") if order.get("price") == "66000" else 0)


# orders that are answered and not sent


def status_of(bot, module, **ids):
    """What a module is told of a conditional order."""
    try:
        return bot.by(module, "futures_get_algo_order", **ids)["algoStatus"]
    except BinanceAPIException as error:
        return error.code


@pytest.fixture
def simulated(make):
    """A bot whose legacy module has a simulated closePosition stop, under an owner's quantity stop."""
    bot = make("simulate").enter()
    bot.owners = bot.by(OWNER, **PART)["algoId"]
    bot.simulated = bot.by(LEGACY, **WHOLE)["algoId"]
    assert bot.simulated < 0
    assert status_of(bot, LEGACY, algoId=bot.simulated) == "NEW"
    return bot


def close_in_app(bot):
    flat_again(bot)


def close_here(bot):
    bot.by(OWNER, **SELL, type="MARKET", quantity="0.010", reduceOnly="true")


def grow_in_app(bot):
    bot.enter("0.020")


def grow_here(bot):
    bot.by("entries", symbol=SYMBOL, side="BUY", type="MARKET", quantity="0.020")


def cancel_in_app(bot):
    bot.app.futures_cancel_algo_order(algoId=bot.owners)


def cancel_by_owner(bot):
    bot.by(OWNER, "futures_cancel_algo_order", algoId=bot.owners)


def fire(bot):
    bot.exchange.set_mark(SYMBOL, 53_000)


WAYS = [close_in_app, close_here, grow_in_app, grow_here, cancel_in_app, cancel_by_owner, fire]


@pytest.mark.parametrize("way", WAYS)
def test_a_simulated_stop_ends_with_its_position_and_with_the_cover(simulated, way):
    """Asked for afterwards it does not show as open; placed anew while the position is open, it is real."""
    way(simulated)
    assert status_of(simulated, LEGACY, algoId=simulated.simulated) != "NEW"
    if simulated.position():
        assert simulated.by(LEGACY, **WHOLE)["algoId"] > 0


def test_a_simulated_stop_does_not_come_back(simulated):
    """Once it has ended, cover that comes again does not open it."""
    cancel_in_app(simulated)
    assert status_of(simulated, LEGACY, algoId=simulated.simulated) != "NEW"
    simulated.by(OWNER, **PART)
    assert status_of(simulated, LEGACY, algoId=simulated.simulated) != "NEW"


def test_a_name_that_a_live_order_has_is_refused(make):
    """A simulated order under the name of an owner's stop is -4116; the owner is told of its own alone."""
    bot = make("simulate").enter()
    placed = bot.by(OWNER, **PART, clientAlgoId="sl")
    with pytest.raises(BinanceAPIException) as refused:
        bot.by(LEGACY, **WHOLE, clientAlgoId="sl")
    assert refused.value.code == -4116
    bot.app.futures_cancel_algo_order(algoId=placed["algoId"])
    assert status_of(bot, OWNER, clientAlgoId="sl") != "NEW"


def test_a_limits_name_that_a_live_order_has_is_refused(make):
    """So for an ordinary order."""
    bot = make("simulate").enter()
    bot.by(OWNER, **WHOLE)
    bot.by(OWNER, **LIMIT, newClientOrderId="tp")
    with pytest.raises(BinanceAPIException) as refused:
        bot.by(LEGACY, **{**LIMIT, "price": "67000"}, newClientOrderId="tp")
    assert refused.value.code == -4116


# a caller with a time limit


class Waiting:
    """An async bot with a time limit, while each read takes 1.5 seconds; no time really passes."""

    def __init__(self, bot, limit):
        self.bot = bot
        self.limit = limit
        self.loop = new_loop()
        self.client = bot.shim.wrap(FakeAsyncClient(exchange=bot.exchange))
        self.slow = bot.exchange.faults.inject(faults.delayed(1.5), method="GET", times=None)

    def place(self, **order):
        async def placing():
            with exit_shim.attributed(LEGACY):
                return await asyncio.wait_for(self.client.futures_create_order(**order), self.limit)

        try:
            return self.loop.run_until_complete(placing())
        except asyncio.TimeoutError:
            return None

    def close(self):
        self.loop.run_until_complete(asyncio.sleep(5))
        self.loop.close()

    def outcomes(self):
        self.bot.shim.flush()
        return [(record.intent.order.type, record.flat()["outcome"]) for record in self.bot.records]


@pytest.fixture
def waiting(make):
    with jumping():
        made = []

        def wait(limit):
            bot = make().enter()
            made.append(Waiting(bot, limit))
            return made[-1]

        yield wait
        for one in made:
            one.close()


def test_a_look_does_not_eat_a_time_limit_of_a_second(waiting):
    """The look ends after half a second, and the order goes out: no second try is needed."""
    one = waiting(1.0)
    assert one.place(**WHOLE)["algoId"] > 0
    assert one.bot.resting() == [("STOP_MARKET", 55000)]
    assert one.outcomes() == [("STOP_MARKET", "accepted")]


def test_a_call_that_its_time_limit_ends_is_recorded_as_not_sent(waiting):
    """It is in the journal, and the second call joins the look that still runs, and goes out."""
    one = waiting(0.4)
    assert one.place(**WHOLE) is None
    assert one.outcomes() == [("STOP_MARKET", "not_sent")]
    reads = one.slow.hits
    assert reads
    assert one.place(**WHOLE)["algoId"] > 0
    assert one.slow.hits == reads
    assert one.outcomes() == [("STOP_MARKET", "not_sent"), ("STOP_MARKET", "accepted")]
