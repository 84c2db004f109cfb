"""Writing an exchange down and going on from there."""

import json
from decimal import Decimal

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from exit_shim.exchange.engine.algo import NewAlgo
from exit_shim.exchange.engine.orders import NewOrder
from exit_shim.exchange.engine.views import account
from exit_shim.testing import Exchange, LocalExchange, WalkingMarket

START = 1_790_000_000_000
DAY = 24 * 60 * 60 * 1000


def busy(api):
    """An account with a bit of everything."""
    api.post("leverage", symbol="ETHUSDT", leverage=5)
    api.post("marginType", symbol="ETHUSDT", marginType="ISOLATED")
    api.order("BUY", "1", symbol="ETHUSDT")
    api.post("positionMargin", symbol="ETHUSDT", amount="10", type=1)
    api.order("BUY", "0.010")
    api.engine.set_book("BTCUSDT", [("59990", "0.5")], [("60010", "0.002")])
    api.limit("BUY", "0.005", "60010", newClientOrderId="partly")
    date = api.clock.now + DAY
    api.limit("SELL", "0.010", "3200", symbol="ETHUSDT", timeInForce="GTD", goodTillDate=date)
    api.algo("SELL", triggerPrice="59000", closePosition="true")
    api.algo("SELL", "TRAILING_STOP_MARKET", quantity="0.010", callbackRate="1")
    api.delete("algoOrder", algoId=api.algo("SELL", triggerPrice="58000", quantity="0.010")["algoId"])
    api.post("countdownCancelAll", symbol="BTCUSDT", countdownTime=5000)


def seen(engine):
    state = engine.state
    return (
        json.dumps([account.account_v2(state), account.position_risk_v2(state, None)]),
        engine.all_orders(),
        engine.all_algos(),
        engine.trades(),
        state.quotes,
        state.books,
        state.candles.rows,
    )


def test_an_exchange_goes_on_where_it_was(api):
    """Everything an account can see is the same, and the same events make the same of it."""
    busy(api)
    copy = Exchange.parse(api.engine.dump(), clock=api.clock)
    assert seen(copy) == seen(api.engine)
    for engine in (api.engine, copy):
        engine.walk("BTCUSDT", ["61000", "60300", "58900"])
    api.clock.advance(DAY)
    for engine in (api.engine, copy):
        engine.run_due()
    assert seen(copy) == seen(api.engine)
    assert copy.position("BTCUSDT").amount == 0
    assert copy.open_orders() == []


def test_a_walking_market_goes_on_with_its_walk():
    """Prices after loading are those that would have come without it."""
    first = Exchange(market=WalkingMarket(seed=4))
    for _ in range(7):
        first.ask_price("BTCUSDT")
    copy = Exchange.parse(first.dump(), market=WalkingMarket(seed=4))
    assert [copy.ask_price("BTCUSDT") for _ in range(5)] == [first.ask_price("BTCUSDT") for _ in range(5)]


def test_a_local_exchange_keeps_its_state_in_a_file(tmp_path):
    """Made with `state` it begins afresh, saves there, and goes on from there the next time."""
    path = tmp_path / "state.json"
    first = LocalExchange(state=path, hedge_mode=True, wallet=500)
    first.set_mark("BTCUSDT", 61_000)
    first.save()
    again = LocalExchange(state=str(path))
    assert (again.engine.hedge_mode, again.engine.wallet, again.engine.quote("BTCUSDT").last) == (
        True, 500, 61_000,
    )  # fmt: skip
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


def test_saving_needs_a_place():
    """Without a file there is a ValueError that says what to give."""
    with pytest.raises(ValueError, match="give `path`"):
        LocalExchange().save()


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"version": 2}'])
def test_what_is_no_saved_exchange_is_named(tmp_path, data):
    """The error says which file and what is wrong with it."""
    path = tmp_path / "state.json"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"state.json: not a saved exchange"):
        LocalExchange(state=path)


def test_another_version_is_refused():
    """A file of a later version is not half understood."""
    data = json.loads(Exchange().dump())
    with pytest.raises(ValueError, match="has version 99; expected 1"):
        Exchange.parse(json.dumps({**data, "version": 99}).encode())


@settings(max_examples=examples(50))
@given(st.lists(st.sampled_from(["buy", "sell", "up", "down", "limit", "stop", "save"]), max_size=20))
def test_saving_at_any_time_changes_nothing(steps):
    """However often it is saved and loaded in between, a history ends the same."""

    def run(*, saving):
        engine = Exchange(clock=lambda: START)
        for number, step in enumerate(steps):
            if step == "save" and saving:
                engine = Exchange.parse(engine.dump(), clock=lambda: START)
            act(engine, step, number)
        return seen(engine)

    assert run(saving=True) == run(saving=False)


def act(engine, step, number):
    terms = {"symbol": "BTCUSDT", "client_id": f"n{number}", "quantity": Decimal("0.010")}
    if step in {"up", "down"}:
        last = engine.quote("BTCUSDT").last
        engine.set_mark("BTCUSDT", last * (101 if step == "up" else 99) / 100)
    elif step in {"buy", "sell"}:
        engine.place_order(NewOrder(**terms, side=step.upper(), type="MARKET"))
    elif step == "limit":
        price = engine.quote("BTCUSDT").last // 100 * 99
        engine.place_order(NewOrder(**terms, side="BUY", type="LIMIT", price=price))
    elif step == "stop":
        price = engine.quote("BTCUSDT").last // 100 * 98
        engine.place_algo(NewAlgo(**terms, side="SELL", type="STOP_MARKET", trigger_price=price))
