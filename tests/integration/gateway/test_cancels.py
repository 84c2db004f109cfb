"""Cancels and changes: recorded with what they took away, and whose it was."""

import importlib
import sys
import textwrap

import pytest
from binance.exceptions import BinanceAPIException

import exit_shim


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Two modules of a bot: one that places, one that does what it likes to others' orders."""
    (tmp_path / "guardian.py").write_text(
        textwrap.dedent("""
        def stop(client, price=50000, **more):
            return client.futures_create_order(
                symbol="BTCUSDT", side="SELL", type="STOP_MARKET", stopPrice=price, closePosition=True, **more
            )

        def take(client, price=66000):
            return client.futures_create_order(
                symbol="BTCUSDT", side="SELL", type="LIMIT", quantity=0.01, price=price,
                timeInForce="GTC", reduceOnly="true",
            )
        """)
    )
    (tmp_path / "raider.py").write_text(
        textwrap.dedent("""
        def do(client, method, **params):
            return getattr(client, method)(**params)
        """)
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("guardian"), importlib.import_module("raider")
    for name in ("guardian", "raider"):
        del sys.modules[name]


@pytest.fixture
def wrapped(client, exchange):
    own = exit_shim.wrap(client)
    own.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    return own


def last(recorded):
    return recorded()[-1].flat()


@pytest.mark.parametrize("by", ["algoId", "clientAlgoId"])
def test_a_cancel_names_whose_stop_it_took(wrapped, modules, recorded, by):
    """A cancel by either id is recorded with who asked, what it took away, and who had placed that."""
    guardian, raider = modules
    placed = guardian.stop(wrapped)
    raider.do(wrapped, "futures_cancel_algo_order", **{by: placed[by]})
    line = last(recorded)
    assert (line["operation"], line["module"], line["kind"], line["outcome"]) == (
        "cancel",
        "raider",
        "sl",
        "accepted",
    )
    (target,) = line["targets"]
    assert (target["module"], target["kind"], target["algo_id"]) == ("guardian", "sl", placed["algoId"])


def test_futures_cancel_order_reaches_both_stores(wrapped, modules, recorded):
    """futures_cancel_order is told apart by the id that it is given."""
    guardian, raider = modules
    stop, take = guardian.stop(wrapped), guardian.take(wrapped)
    raider.do(wrapped, "futures_cancel_order", symbol="BTCUSDT", algoId=stop["algoId"])
    assert last(recorded)["kind"] == "sl"
    raider.do(wrapped, "futures_cancel_order", symbol="BTCUSDT", orderId=take["orderId"])
    assert last(recorded)["kind"] == "other_exit"


def test_a_cancel_all_takes_one_store(wrapped, modules, recorded):
    """A cancel-all is recorded with all that it took: ordinary orders, or conditional ones on demand."""
    guardian, raider = modules
    guardian.stop(wrapped)
    take = guardian.take(wrapped)
    raider.do(wrapped, "futures_cancel_all_open_orders", symbol="BTCUSDT")
    assert [target["order_id"] for target in last(recorded)["targets"]] == [take["orderId"]]
    raider.do(wrapped, "futures_cancel_all_open_orders", symbol="BTCUSDT", conditional=True)
    assert [(target["module"], target["kind"]) for target in last(recorded)["targets"]] == [
        ("guardian", "sl")
    ]
    raider.do(wrapped, "futures_cancel_all_algo_open_orders", symbol="BTCUSDT")
    assert not last(recorded)["targets"]


def test_a_list_of_cancels_is_a_record_each(wrapped, modules, recorded):
    """Each id of futures_cancel_orders is concluded by its own element of the answer."""
    guardian, raider = modules
    take = guardian.take(wrapped)
    raider.do(wrapped, "futures_cancel_orders", symbol="BTCUSDT", orderidlist=[take["orderId"], 12345])
    lines = [record.flat() for record in recorded()][-2:]
    assert [(line["kind"], line["outcome"], line["error_code"]) for line in lines] == [
        ("other_exit", "accepted", None),
        ("unknown", "rejected", -2011),
    ]


def test_a_refused_cancel_takes_nothing_away(wrapped, modules, recorded):
    """After a cancel that the exchange refused, the stop is still known as its placer's."""
    guardian, raider = modules
    placed = guardian.stop(wrapped)
    with pytest.raises(BinanceAPIException):  # an algo order's id is no order's
        raider.do(wrapped, "futures_cancel_order", symbol="BTCUSDT", orderId=placed["algoId"])
    assert (last(recorded)["kind"], last(recorded)["outcome"]) == ("unknown", "rejected")
    raider.do(wrapped, "futures_cancel_algo_order", algoId=placed["algoId"])
    assert last(recorded)["targets"][0]["module"] == "guardian"
    with pytest.raises(BinanceAPIException):
        raider.do(wrapped, "futures_cancel_algo_order", algoId=placed["algoId"])
    assert last(recorded)["targets"][0].get("module") is None


def test_a_change_is_recorded_with_its_target(wrapped, modules, recorded):
    """futures_modify_order is recorded with the new fields, and the kind and placer of what it changes."""
    guardian, raider = modules
    take = guardian.take(wrapped)
    raider.do(
        wrapped,
        "futures_modify_order",
        symbol="BTCUSDT",
        orderId=take["orderId"],
        side="SELL",
        quantity=0.01,
        price=67000,
    )
    line = last(recorded)
    assert (line["operation"], line["module"], line["kind"], line["price"]) == (
        "modify",
        "raider",
        "other_exit",
        "67000",
    )
    assert line["targets"][0]["module"] == "guardian"


def test_counts_tell_placing_from_cancelling(wrapped, modules):
    """Cancels do not swell the count of exit orders; they have their own."""
    guardian, raider = modules
    placed = guardian.stop(wrapped)
    raider.do(wrapped, "futures_cancel_algo_order", algoId=placed["algoId"])
    summary = exit_shim.get_exit_order_metrics().get_summary()
    assert (summary["total_orders"], summary["cancels"]) == (1, 1)


def test_a_test_order_is_recorded_as_one(wrapped, recorded):
    """futures_create_test_order is no exit at the exchange, and is recorded as what it is."""
    wrapped.futures_create_test_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    assert (last(recorded)["operation"], last(recorded)["outcome"]) == ("test", "accepted")
    assert exit_shim.get_exit_order_metrics().get_summary()["test_orders"] == 1


def test_what_never_rests_is_not_taken_away(wrapped, modules, recorded):
    """An exit at market is filled at once: a cancel-all after it did not take it."""
    _, raider = modules
    raider.do(
        wrapped,
        "futures_create_order",
        symbol="BTCUSDT",
        side="SELL",
        type="MARKET",
        quantity=0.01,
        reduceOnly=True,
    )
    raider.do(wrapped, "futures_cancel_all_open_orders", symbol="BTCUSDT")
    assert not last(recorded)["targets"]
