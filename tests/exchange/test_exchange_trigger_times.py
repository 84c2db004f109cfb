"""The steps of a trigger: apart in time, from a seed, and open to what comes in between."""

import asyncio

import pytest

from conftest import START
from exit_shim.exchange.engine.events import AlgoEvent, OrderEvent
from exit_shim.testing import Exchange, FakeClient, LocalExchange

PRODUCTION = (17, 400)


def steps(engine):
    """Record the events of triggers and their orders as (milliseconds, what)."""
    told = []

    def listen(event):
        what = getattr(event, "execution", None) or getattr(getattr(event, "algo", None), "status", None)
        if what is not None:
            told.append((event.time - START, what))

    engine.feed.listeners.append(listen)
    return told


def fire(api, **stop):
    """Open a position with a stop on it, and let the price reach the stop."""
    api.order("BUY", "0.010")
    placed = api.algo("SELL", triggerPrice=59_000, **(stop or {"closePosition": "true"}))
    told = steps(api.engine)
    api.engine.set_mark("BTCUSDT", 58_900)
    return placed, told


def test_by_default_the_steps_pass_within_the_operation(api):
    """The price move returns when the stop is FINISHED; the events before it are apart in time."""
    placed, told = fire(api)
    assert [what for _, what in told] == ["TRIGGERING", "NEW", "TRADE", "TRIGGERED", "FINISHED"]
    triggering, new, trade, triggered, finished = [time for time, _ in told]
    assert triggering == 0
    assert 17 <= new == trade <= 40
    assert 1 <= triggered - trade <= 11
    assert 1 <= finished - triggered <= 11
    assert api.engine.now() == START + finished
    assert api.get("algoOrder", algoId=placed["algoId"])["triggerTime"] == START


def test_the_time_that_a_trigger_took_is_not_added(api):
    """The given clock goes on by itself and is caught up with: triggers move no clock for ever."""
    fire(api)
    api.clock.advance(1_000)
    assert (api.engine.now(), api.engine.ahead) == (START + 1_000, 0)


def test_with_a_delay_the_steps_pass_by_the_clock(make_api):
    """Nothing happens before its time, and each step only when the clock reaches it."""
    api = make_api(trigger_delay=PRODUCTION)
    placed, told = fire(api)
    at = [(0, "TRIGGERING", "TRIGGERING", "")]
    for _ in range(450):
        api.engine.advance(1)
        answer = api.get("algoOrder", algoId=placed["algoId"])
        at.append((api.engine.now() - START, told[-1][1], answer["algoStatus"], answer["actualOrderId"]))
    seen = {}
    for time, *state in at:
        seen.setdefault(tuple(state), time)
    child = str(api.get("allOrders", symbol="BTCUSDT")[-1]["orderId"])
    assert list(seen) == [
        ("TRIGGERING", "TRIGGERING", ""),
        ("TRADE", "TRIGGERING", ""),
        ("TRIGGERED", "TRIGGERED", child),
        ("FINISHED", "FINISHED", child),
    ]
    assert list(seen.values()) == [time for time, what in told if what != "NEW"]
    assert 17 <= seen["TRADE", "TRIGGERING", ""] <= 400


def test_one_step_over_all_of_them_stamps_each_with_its_time(make_api):
    """However late the clock is looked at, the events have the times at which they were due."""
    fine, coarse = make_api(trigger_delay=PRODUCTION), make_api(trigger_delay=PRODUCTION)
    told = [fire(api)[1] for api in (fine, coarse)]
    for _ in range(450):
        fine.engine.advance(1)
    coarse.engine.advance(450)
    assert told[0] == told[1]
    assert len({time for time, _ in told[0]}) == 4


def test_the_times_come_from_the_seed(make_api):
    """One seed draws the same times twice, different orders and seeds draw different ones."""
    told = [fire(make_api(seed=seed))[1] for seed in (1, 1, 2, 3)]
    assert told[0] == told[1]
    assert len({tuple(each) for each in told}) > 1


def test_a_position_that_is_closed_in_between_denies_the_stop(make_api):
    """While it is TRIGGERING a close comes in; the stop finds nothing and is REJECTED."""
    api = make_api(trigger_delay=PRODUCTION)
    placed, told = fire(api)
    api.order("SELL", "0.010", reduceOnly="true")
    api.engine.advance(400)
    assert told[-1][1] == "REJECTED"
    assert api.algo_status(placed) == "REJECTED"
    assert api.engine.position("BTCUSDT").amount == 0


def test_a_stop_that_is_triggering_cannot_be_cancelled(make_api, refused):
    """Nor does a cancel of all reach it: it fills all the same."""
    api = make_api(trigger_delay=PRODUCTION)
    placed, _ = fire(api)
    with refused(-4117):
        api.delete("algoOrder", algoId=placed["algoId"])
    api.delete("algoOpenOrders", symbol="BTCUSDT")
    api.engine.advance(450)
    assert api.algo_status(placed) == "FINISHED"


def test_the_price_of_the_fill_is_that_of_its_moment(make_api):
    """A stop that fires at one price is filled at the price of the time at which its order comes."""
    api = make_api(trigger_delay=PRODUCTION)
    fire(api)
    api.engine.set_mark("BTCUSDT", 58_000)
    api.engine.advance(450)
    assert api.engine.trades("BTCUSDT")[-1].price == 58_000


def test_a_child_that_rests_finishes_when_it_closes(make_api):
    """TRIGGERED comes beside the resting LIMIT; FINISHED comes a moment after its fill."""
    api = make_api(trigger_delay=50)
    _, told = fire(api, type="STOP", quantity="0.010", price=59_500)
    api.engine.advance(100)
    assert [what for _, what in told] == ["TRIGGERING", "NEW", "TRIGGERED"]
    api.engine.set_mark("BTCUSDT", 59_600)
    filled = api.engine.now() - START
    api.engine.advance(11)
    assert [what for _, what in told[3:]] == ["TRADE", "FINISHED"]
    assert 1 <= told[-1][0] - filled <= 11


def test_a_saved_exchange_goes_on_with_a_trigger(make_api):
    """Saved while TRIGGERING, it fires after the restart at the time that was drawn."""
    api, again = make_api(trigger_delay=PRODUCTION), make_api(trigger_delay=PRODUCTION)
    _, told = fire(api)
    fire(again)
    restored = Exchange.parse(again.engine.dump(), clock=again.clock)
    told_after = steps(restored)
    for engine in (api.engine, restored):
        engine.advance(450)
    assert told[1:] == told_after


def test_a_listener_sees_the_moment_of_its_event():
    """Reading the exchange from a listener moves nothing on: the position goes with its own event."""
    exchange = LocalExchange()
    client, seen = FakeClient(exchange=exchange), []
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01")
    client.futures_create_order(
        symbol="BTCUSDT", side="SELL", type="STOP_MARKET", stopPrice=59_000, closePosition=True
    )

    def look(event):
        if isinstance(event, (OrderEvent, AlgoEvent)):
            status = event.order.status if isinstance(event, OrderEvent) else event.algo.status
            seen.append((status, len(exchange.positions()), exchange.engine.now() == event.time))

    exchange.engine.feed.listeners.append(look)
    exchange.set_mark("BTCUSDT", 58_900)
    assert seen == [
        ("TRIGGERING", 1, True),
        ("NEW", 0, True),
        ("FILLED", 0, True),
        ("TRIGGERED", 0, True),
        ("FINISHED", 0, True),
    ]


@pytest.mark.parametrize("delay", [-1, (400, 17)])
def test_a_delay_that_cannot_be_is_refused(make_api, delay):
    """Below zero, or the longest before the shortest."""
    with pytest.raises(ValueError, match=r"trigger_delay=.* is invalid; expected milliseconds"):
        make_api(trigger_delay=delay)


async def test_a_server_delivers_each_step_by_itself(make_streams):
    """Nobody asks anything after the price move: the events come as the clock reaches them."""
    streams = await make_streams(trigger_delay=PRODUCTION)
    user = await streams.user()
    await streams.order("BUY", "0.01")
    await streams.stop("SELL", triggerPrice="59000", closePosition="true")
    await streams.hear(user, 5)
    streams.exchange.set_mark("BTCUSDT", 58_900)
    (triggering,) = await streams.hear(user, 1)
    streams.advance(450)
    told = [event["o"]["X"] for event in await streams.hear(user, 6) if "o" in event]
    assert triggering["o"]["X"] == "TRIGGERING"
    assert told == ["NEW", "FILLED", "TRIGGERED", "FINISHED"]


async def test_a_request_comes_in_between_over_http(make_streams):
    """While a stop is TRIGGERING its position can be read, and it is still there."""
    streams = await make_streams(trigger_delay=PRODUCTION)
    await streams.order("BUY", "0.01")
    await streams.stop("SELL", triggerPrice="59000", closePosition="true")
    streams.exchange.set_mark("BTCUSDT", 58_900)
    client = streams.client
    held, waiting = await asyncio.gather(
        client.futures_position_information(), client.futures_get_open_orders(conditional=True)
    )
    assert ([row["positionAmt"] for row in held], waiting) == (["0.010"], [])
    streams.exchange.advance(450)
    assert await streams.client.futures_position_information() == []
