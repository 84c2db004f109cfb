"""The room that resting orders leave to those that close, in both readings of the rules."""

import pytest

from conftest import START
from exit_shim.exchange.engine.events import OrderEvent

REFUSED = "ReduceOnly Order Failed. Please check your existing position and open orders."


class Position:
    """A long position of 0.010 BTC, in either mode and either reading, and what closes it."""

    def __init__(self, make_api, mode, *, strict=True):
        self.api = make_api(hedge_mode=mode == "hedge", strict_reduce_only=strict)
        self.hedge = {"positionSide": "LONG"} if mode == "hedge" else {}
        self.closes = self.hedge or {"reduceOnly": "true"}
        self.told = []
        self.api.order("BUY", "0.010", **self.hedge)
        self.api.engine.feed.listeners.append(self.told.append)

    def take(self, quantity, price=61_000):
        return self.api.limit("SELL", quantity, price, **self.closes)

    def close(self, quantity):
        return self.api.order("SELL", quantity, **self.closes)

    def stop(self, kind="STOP_MARKET", **more):
        return self.api.algo("SELL", kind, triggerPrice=59_000, **{**self.closes, **more})

    def fire(self, placed):
        self.api.engine.set_mark("BTCUSDT", 58_900)
        return self.api.algo_status(placed)

    @property
    def amount(self):
        return str(self.api.engine.position("BTCUSDT", self.hedge.get("positionSide", "BOTH")).amount)

    @property
    def resting(self):
        return [str(order.remaining) for order in self.api.engine.open_orders("BTCUSDT")]

    def expiries(self):
        changes = [event for event in self.told if isinstance(event, OrderEvent)]
        return [change.expiry for change in changes if change.execution == "EXPIRED"]


@pytest.fixture
def one_way(make_api):
    return Position(make_api, "one-way")


@pytest.fixture
def hedge(make_api):
    return Position(make_api, "hedge")


@pytest.fixture(params=["one-way", "hedge"])
def strict(request, make_api):
    return Position(make_api, request.param)


@pytest.fixture(params=["one-way", "hedge"])
def lenient(request, make_api):
    return Position(make_api, request.param, strict=False)


def test_a_second_take_without_room_is_refused(strict, refused):
    """With a LIMIT of the whole position resting, another finds nothing to close."""
    strict.take("0.010")
    with refused(-4118, REFUSED):
        strict.take("0.004", 62_000)
    assert strict.resting == ["0.010"]


def test_a_market_close_of_a_part_is_refused_beside_a_full_take(strict, refused):
    """Orders that rest come before a close of less than the position."""
    strict.take("0.010")
    with refused(-4118, REFUSED):
        strict.close("0.004")
    assert (strict.amount, strict.resting) == ("0.010", ["0.010"])


def test_what_fits_beside_the_resting_orders_goes(strict):
    """A part of the position can be closed in the room that they leave, to the last step."""
    strict.take("0.004")
    strict.take("0.003", 62_000)
    strict.close("0.003")
    assert (strict.amount, strict.resting) == ("0.007", ["0.004", "0.003"])


def test_room_is_free_again_after_a_cancel(strict):
    """A cancelled order occupies nothing."""
    placed = strict.take("0.010")
    strict.api.delete("order", symbol="BTCUSDT", orderId=placed["orderId"])
    strict.close("0.004")
    assert strict.amount == "0.006"


def test_a_reduce_only_limit_is_cut_to_the_room(one_way):
    """The answer's origQty says what was accepted, and so does the event of its NEW."""
    one_way.take("0.007")
    placed = one_way.take("0.010", 62_000)
    assert placed["origQty"] == "0.003"
    assert [str(event.order.quantity) for event in one_way.told] == ["0.007", "0.003"]


def test_a_hedge_close_is_not_cut(hedge, refused):
    """Without the flag nothing asks for cutting: more than the room is refused."""
    hedge.take("0.007")
    with refused(-4118, REFUSED):
        hedge.take("0.004", 62_000)
    with refused(-2022):
        hedge.take("0.011", 62_000)


def test_a_market_order_of_the_whole_position_comes_first(one_way):
    """A reduceOnly MARKET of at least the position goes through and knocks out what rests (`er` 4)."""
    one_way.take("0.006")
    one_way.take("0.004", 62_000)
    assert one_way.close("0.012")["executedQty"] == "0.010"
    assert (one_way.amount, one_way.resting, one_way.expiries()) == ("0.000", [], ["4", "4"])


def test_what_rests_is_knocked_out_though_the_book_is_thin(one_way):
    """The market order expires with what it got; the takes are gone all the same."""
    one_way.take("0.010")
    one_way.api.engine.set_book("BTCUSDT", [(59_990, "0.002")], [(60_010, 1)])
    assert one_way.close("0.010")["executedQty"] == "0.002"
    assert (one_way.amount, one_way.resting, one_way.expiries()) == ("0.008", [], ["9", "4"])


def test_a_hedge_close_of_the_whole_position_does_not_come_first(hedge, refused):
    """It carries no reduceOnly flag: refused until the resting order is cancelled (seen live in 2026-08)."""
    hedge.take("0.010")
    with refused(-4118, REFUSED):
        hedge.close("0.010")


def test_a_stop_of_the_whole_position_comes_first(one_way):
    """A fired STOP_MARKET with reduceOnly of at least the position knocks out the takes."""
    one_way.take("0.010")
    placed = one_way.stop(quantity="0.010")
    assert one_way.fire(placed) == "FINISHED"
    assert (one_way.amount, one_way.resting) == ("0.000", [])


def test_a_close_position_stop_comes_first(strict):
    """It closes whatever there is, in both modes, past the takes."""
    strict.take("0.010")
    placed = strict.api.algo("SELL", triggerPrice=59_000, closePosition="true", **strict.hedge)
    assert strict.fire(placed) == "FINISHED"
    assert (strict.amount, strict.resting) == ("0.000", [])


@pytest.mark.parametrize(("kind", "quantity"), [("STOP_MARKET", "0.004"), ("STOP", "0.010")])
def test_a_stop_without_room_is_rejected_as_it_fires(strict, kind, quantity):
    """A stop over a part, or one that becomes a LIMIT, is denied beside a full take."""
    price = {"price": 58_800} if kind == "STOP" else {}
    strict.take("0.010")
    placed = strict.stop(kind, quantity=quantity, **price)
    assert strict.fire(placed) == "REJECTED"
    assert strict.told[-1].algo.reject_reason == "Reduce Only reject"
    assert (strict.amount, strict.resting) == ("0.010", ["0.010"])


def test_a_hedge_stop_of_the_whole_position_is_rejected_beside_a_take(hedge):
    """Without the flag it does not come first either; only closePosition does."""
    hedge.take("0.004")
    assert hedge.fire(hedge.stop(quantity="0.010")) == "REJECTED"


def test_an_amended_take_is_cut_like_a_new_one(one_way, refused):
    """More quantity than the room beside the others is cut, and its own remainder counts as room."""
    one_way.take("0.004")
    placed = one_way.take("0.003", 62_000)
    terms = {"symbol": "BTCUSDT", "side": "SELL", "orderId": placed["orderId"]}
    assert one_way.api.put("order", **terms, quantity="0.009", price=62_100)["origQty"] == "0.006"


def test_a_batch_finds_the_room_that_its_first_orders_leave(one_way):
    """Each element is judged after the one before it."""
    take = '{"symbol":"BTCUSDT","side":"SELL","type":"LIMIT","timeInForce":"GTC","quantity":"0.010",'
    take += '"price":"61000","reduceOnly":"true"}'
    first, second = one_way.api.post("batchOrders", batchOrders=f"[{take},{take}]")
    assert (first["status"], second["code"]) == ("NEW", -4118)


def test_in_the_lenient_reading_they_share_the_position(lenient):
    """Takes over more than the position rest together, and a close of a part goes through beside them."""
    lenient.take("0.010")
    lenient.take("0.010", 62_000)
    lenient.close("0.004")
    assert lenient.amount == "0.006"
    lenient.api.engine.set_prices("BTCUSDT", bid=63_000, ask=63_000)
    assert (lenient.amount, lenient.resting) == ("0.000", [])


def test_a_saved_exchange_keeps_its_reading(make_api):
    """What was lenient is lenient after a restart."""
    engine = make_api(strict_reduce_only=False).engine
    assert not type(engine).parse(engine.dump(), clock=lambda: START).state.strict_reduce_only
