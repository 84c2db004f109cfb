"""What `exit_records` says of findings, bare positions and names, in runs of pytest of its own."""

import pytest

MODULES = {
    "guardian": """
def stop(client, order):
    return client.futures_create_order(**order)
def cancel(client, **order):
    client.futures_cancel_algo_order(symbol="BTCUSDT", **order)
""",
    "raider": """
def cancel(client, **order):
    client.futures_cancel_algo_order(symbol="BTCUSDT", **order)
def cancel_all(client):
    client.futures_cancel_all_algo_open_orders(symbol="BTCUSDT")
""",
}
IMPORTS = """
import guardian, raider

PART = {**STOP, "closePosition": None, "quantity": 0.01, "reduceOnly": "true"}
del PART["closePosition"]

def said(assertion, kind=AssertionError):
    with pytest.raises(kind) as failed:
        assertion()
    return str(failed.value).splitlines()
"""


@pytest.fixture
def outcome(run, pytester):
    """Run tests of two modules, each of which has to pass."""
    pytester.makepyfile(**MODULES)

    def run_tests(text, *options, count=1):
        result = run(IMPORTS + text, *options)
        result.assert_outcomes(passed=count)

    return run_tests


def test_reasons_are_found_and_refused(outcome):
    """`without` lists what has the reason, `with_reason` returns it; each can be chained."""
    outcome(
        """
def test_it(fake_client, exit_records):
    exit_records.without("STRIPPED", "FOREIGN_CANCEL")
    fake_client.futures_create_order(**OPEN)
    placed = guardian.stop(fake_client, STOP)
    assert exit_records.without("STRIPPED").placed_by("guardian").one()
    assert said(lambda: exit_records.with_reason("STRIPPED"))[0] == "no exit order with STRIPPED; recorded:"
    raider.cancel(fake_client, algoId=placed["algoId"])
    title, row = said(lambda: exit_records.without("OVERSIZED", "STRIPPED"))
    assert title == "1 exit order with OVERSIZED or STRIPPED:"
    assert row.startswith("  cancel sl  BTCUSDT")
    assert "raider" in row and "STRIPPED position_side=BOTH" in row
    exit_records.with_reason("FOREIGN_CANCEL").cancelled_by("raider").with_reason("STRIPPED").one()
    exit_records.without("OVERSIZED").placed_by("guardian").without("STRIPPED")
    with pytest.raises(AssertionError):
        exit_records.cancelled_by("guardian")

async def test_async(fake_async_client, exit_records):
    await fake_async_client.futures_create_order(**OPEN)
    placed = await fake_async_client.futures_create_order(**STOP)
    await fake_async_client.futures_cancel_algo_order(symbol="BTCUSDT", algoId=placed["algoId"])
    exit_records.with_reason("STRIPPED").cancelled_by("test_it").one()
""",
        count=2,
    )


def test_what_is_about_no_order_is_found_too(outcome):
    """A symbol whose owner never placed is a finding without an order, of its own symbol."""
    outcome(
        """
import exit_shim, time

def test_it(fake_client, exit_records):
    client = exit_shim.wrap(fake_client)
    client.futures_create_order(**OPEN)
    guardian.stop(client, STOP)
    exit_shim.delegate("BTCUSDT", to="brain", within=0.01)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            exit_records.with_reason("DELEGATION_GAP")
            break
        except AssertionError:
            time.sleep(0.01)
    title, row = said(lambda: exit_records.without("DELEGATION_GAP"))
    assert title == "0 exit orders with DELEGATION_GAP:"
    assert row.startswith("  about no order  BTCUSDT  DELEGATION_GAP")
    with pytest.raises(AssertionError):
        exit_records.on("BTCUSDT").without("DELEGATION_GAP")
    exit_records.placed_by("guardian").without("DELEGATION_GAP")
"""
    )


def test_names_that_there_are_not_are_answered_with_the_nearest(outcome):
    """Modules and symbols, and kinds, outcomes and codes, which cannot be meant and are a ValueError."""
    outcome(
        """
def test_it(fake_client, exit_records):
    fake_client.futures_create_order(**OPEN)
    placed = guardian.stop(fake_client, STOP)
    raider.cancel(fake_client, algoId=placed["algoId"])
    assert said(lambda: exit_records.placed_by("gardian"))[0] == (
        "no exit order placed by 'gardian' (did you mean guardian?); recorded:"
    )
    assert said(lambda: exit_records.placed_by("raider"))[0] == "no exit order placed by 'raider'; recorded:"
    assert "'rider' (did you mean raider?)" in said(lambda: exit_records.cancelled_by("rider"))[0]
    assert "(did you mean guardian?)" in said(lambda: exit_records.nobody_but("gardian"))[0]
    assert "'BTCUSD' (did you mean BTCUSDT?)" in said(lambda: exit_records.on("BTCUSD"))[0]
    for wrong, right in (
        (lambda: exit_records.of_kind("trailling"), "no kind 'trailling' (did you mean trailing?)"),
        (lambda: exit_records.with_outcome("acepted"), "no outcome 'acepted' (did you mean accepted?)"),
        (lambda: exit_records.without("STRIPED"), "no reason 'STRIPED' (did you mean STRIPPED?)"),
        (lambda: exit_records.with_reason("foreign"), "no reason 'foreign'"),
    ):
        assert right in said(wrong, ValueError)[0]
"""
    )


def test_a_position_that_lost_its_stop_was_bare(outcome):
    """However shortly: who cancelled it is named. Placing first and cancelling then leaves nothing bare."""
    outcome(
        """
@pytest.mark.parametrize("client", ["fake_client", "binance_client"])
def test_it(request, exit_records, client):
    client = request.getfixturevalue(client)
    client.futures_create_order(**OPEN)
    placed = guardian.stop(client, PART)
    other = guardian.stop(client, {**PART, "stopPrice": 58000, "quantity": 0.005})
    guardian.cancel(client, algoId=placed["algoId"])
    exit_records.never_bare("BTCUSDT").placed_by("guardian")
    raider.cancel(client, algoId=other["algoId"])
    assert said(lambda: exit_records.placed_by("guardian").never_bare("BTCUSDT")) == [
        "BTCUSDT was bare once:",
        "  LONG 0.01 lost its stop at 58000, cancelled by raider (cancel:2), and is bare now",
    ]
    guardian.stop(client, STOP)
    raider.cancel_all(client)
    client.futures_create_order(**{**OPEN, "side": "SELL"})
    first, *lines = said(lambda: exit_records.never_bare("BTCUSDT"))
    assert first == "BTCUSDT was bare 2 times:"
    assert lines == [
        "  LONG 0.01 lost its stop at 58000, cancelled by raider (cancel:2), and was covered later",
        "  LONG 0.01 lost its stop at 59000, cancelled by raider (cancel_all:4), until it was closed",
    ]

@pytest.mark.exit_shim(rules="2025-12-08")
def test_before_the_algo_service(fake_client, exit_records):
    fake_client.futures_create_order(**OPEN)
    placed = fake_client._request_futures_api("post", "order", True, data=dict(STOP))
    exit_records.never_bare("BTCUSDT")
    fake_client.futures_cancel_order(symbol="BTCUSDT", orderId=placed["orderId"])
    assert "cancelled by test_it (" in said(lambda: exit_records.never_bare("BTCUSDT"))[1]
""",
        count=3,
    )


@pytest.mark.parametrize("options", ["", "trigger_delay=(17, 400)", "hedge=True"])
def test_a_stop_that_fires_leaves_nothing_bare(outcome, options):
    """From its trigger to the fill the stop is at work, also where that takes a while; so in hedge mode."""
    outcome(
        f"""
SIDE = {{"positionSide": "LONG"}} if {"hedge" in options} else {{}}

@pytest.mark.exit_shim({options})
def test_it(fake_client, local_exchange, exit_records):
    fake_client.futures_create_order(**OPEN, **SIDE)
    guardian.stop(fake_client, {{**STOP, **SIDE}})
    local_exchange.set_mark("BTCUSDT", 58_000)
    local_exchange.advance(1_000)
    assert local_exchange.positions() == []
    exit_records.never_bare("BTCUSDT")
    fake_client.futures_create_order(**OPEN, **SIDE)
    never = "  LONG 0.01 never had a stop and is bare now"
    assert said(lambda: exit_records.never_bare("BTCUSDT"))[1] == never
"""
    )


def test_sizes_that_nobody_knows_are_no_proof(outcome):
    """A mock's orders, a symbol without a position or none that trades: it fails, and never passes."""
    outcome(
        """
import exit_shim
from unittest.mock import MagicMock

def test_it(fake_client, exit_records):
    exit_shim.wrap(MagicMock()).futures_create_order(**STOP)
    unknown = "sizes are unknown: no position on 'BTCUSDT' was open at the test's local exchange"
    assert said(lambda: exit_records.never_bare("BTCUSDT")) == [unknown]
    assert said(lambda: exit_records.placed_by("test_it").never_bare("BTCUSDT")) == [unknown]
    assert "'BTCUSD' (did you mean BTCUSDT?)" in said(lambda: exit_records.never_bare("BTCUSD"))[0]
"""
    )


def test_the_marker_takes_the_exchanges_own_options(outcome):
    """Spread, reduce-only rule, rate limits and the times of triggers; a wrong one names what is right."""
    outcome(
        """
from binance.exceptions import BinanceAPIException

TAKE = {**PART, "type": "TAKE_PROFIT_MARKET", "stopPrice": 61000}
LIMIT = {"symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "price": 61000, "quantity": 0.01,
         "timeInForce": "GTC", "reduceOnly": "true"}

@pytest.mark.exit_shim(spread=50, strict_reduce_only=False, rate_limits=False, seed=7, trigger_delay=100)
def test_given(fake_client, _exit_shim_exchange):
    quote = fake_client.engine.quote("BTCUSDT")
    assert quote.ask - quote.bid == 100 * quote.ask.from_float(0.1).quantize(quote.ask)
    fake_client.futures_create_order(**OPEN)
    for _ in range(2):
        fake_client.futures_create_order(**LIMIT)
    guardian.stop(fake_client, STOP)
    fake_client.set_mark("BTCUSDT", 58_000)
    assert len(_exit_shim_exchange.positions()) == 1
    _exit_shim_exchange.advance(100)
    assert _exit_shim_exchange.positions() == []

def test_default(fake_client):
    fake_client.futures_create_order(**OPEN)
    fake_client.futures_create_order(**LIMIT)
    with pytest.raises(BinanceAPIException, match="-4118"):
        fake_client.futures_create_order(**LIMIT)
""",
        count=2,
    )
