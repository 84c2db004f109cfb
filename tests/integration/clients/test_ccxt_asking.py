"""Resolver, watch and executor ask the exchange in the place of a ccxt client."""

import pytest
from ccxt_world import COIN_SYMBOL, SELL, STOP, SYMBOL, connect, need_ccxt
from running_executor import legs, plan_for, until

import exit_shim
from exit_shim.executor import ExitExecutor
from exit_shim.journal import read_records
from exit_shim.resolving import RetryPolicy
from exit_shim.testing import faults

need_ccxt()

import ccxt  # noqa: E402 - where it is installed

QUICK = RetryPolicy(absent_after_s=0.6, looks=3, first_s=0.02, longest_s=0.2, weight_a_minute=600)


@pytest.fixture
def shim(tmp_path):
    own = exit_shim.ExitShim(journal=tmp_path / "asking.db", resolve=QUICK, sinks=[])
    yield own
    own.close()


def resolved(shim, count):
    """What the orders in doubt have come to, once there are so many."""

    def read():
        shim.journal.flush()
        records = [record for record in read_records(shim.journal.path) if record.resolution is not None]
        return [record.flat() for record in records]

    until(lambda: len(read()) == count)
    return [(line["kind"], line["outcome"], line["resolution"], line["algo_id"]) for line in read()]


def test_an_order_in_doubt_is_looked_up(exchange, shim):
    """Of two orders whose answers were lost the one had arrived, and the other had not."""
    client = shim.wrap(connect(exchange))
    client.create_order(SYMBOL, "market", "buy", 0.1)
    for fault in (faults.reset_after_execution(), faults.reset_before_execution()):
        exchange.faults.inject(fault, path="algoOrder")
        with pytest.raises(ccxt.NetworkError):
            client.create_order(*SELL, STOP)
        resolved(shim, 1 + (fault.name == faults.reset_before_execution().name))
    (stop,) = exchange.engine.open_algos()
    assert [line[:3] for line in resolved(shim, 2)] == [
        ("sl", "unknown", "accepted"),
        ("sl", "unknown", "not_there"),
    ]
    assert resolved(shim, 2)[0][3] == stop.algo_id


async def test_an_async_clients_order_in_doubt_is_looked_up(exchange, shim):
    """The same for ccxt.pro, over HTTP and over the WebSocket."""
    client = shim.wrap(connect(exchange, package="ccxt.pro", timeout=500))
    await client.create_order(SYMBOL, "market", "buy", 0.1)
    for count, place in enumerate((client.create_order, client.create_order_ws), 1):
        exchange.faults.inject(faults.reset_after_execution(), path="algoOrder")
        with pytest.raises(ccxt.NetworkError):
            await place(*SELL, STOP)
        assert [line[2] for line in resolved(shim, count)] == ["accepted"] * count
    await client.close()


def test_an_order_of_coin_m_in_doubt_is_looked_up(exchange, shim):
    """It is asked for under /dapi."""
    client = shim.wrap(connect(exchange, "binancecoinm"))
    client.create_order(COIN_SYMBOL, "market", "buy", 5)
    exchange.faults.inject(faults.reset_after_execution(), path="order")
    with pytest.raises(ccxt.NetworkError):
        client.create_order(COIN_SYMBOL, "market", "sell", 5, None, {"reduceOnly": True})
    assert [line[:3] for line in resolved(shim, 1)] == [("close", "unknown", "accepted")]


@pytest.mark.parametrize("package", ["ccxt", "ccxt.async_support"])
def test_watch_sees_what_was_cancelled_elsewhere(exchange, shim, package):
    """The account is polled through a clone: a stop that somebody else cancels leaves the book."""
    ours, other = shim.wrap(connect(exchange)), connect(exchange)
    ours.create_order(SYMBOL, "market", "buy", 0.1)
    stop = ours.create_order(*SELL, STOP)
    account, book = shim.account_of(ours), shim.guard.book
    assert [live.algo_id for live in book.all_of(account, "BTCUSDT", "both")] == [int(stop["id"])]
    shim.watch(shim.wrap(connect(exchange, package=package)), every=1.0)
    other.cancel_order(stop["id"], SYMBOL, {"trigger": True})
    until(lambda: book.all_of(account, "BTCUSDT", "both") == ())


@pytest.mark.parametrize("package", ["ccxt", "ccxt.async_support"])
def test_the_executor_protects_through_a_ccxt_exchange(exchange, shim, package):
    """It places its orders with a python-binance client of the same account."""
    connect(exchange).create_order(SYMBOL, "market", "buy", 0.1)
    executor = ExitExecutor(
        connect(exchange, package=package), plan_for, shim=shim, stream=False, every_s=1.0
    )
    executor.start()
    until(lambda: legs(exchange) == ["hs", "t1", "tr"])
    executor.stop()
    assert executor.account == shim.account_of(connect(exchange))
