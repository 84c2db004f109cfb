"""The timeline: lives of exits and spans of cover, from a journal that a genuine client filled."""

import time

import pytest
from binance import Client

import exit_shim
from exit_shim.journal import JournalReader, RecordFilter
from exit_shim.reports.situation import fold, read_positions
from exit_shim.reports.timeline import Timeline
from exit_shim.testing import LocalExchange
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET

STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "stopPrice": 50000, "closePosition": True}


@pytest.fixture
def world(tmp_path):
    """A shim with a journal, and a genuine client on a local exchange with an open long position."""
    with LocalExchange() as exchange:
        exchange.register(LOCAL_KEY, LOCAL_SECRET)
        client = Client(LOCAL_KEY, LOCAL_SECRET, ping=False)
        client.FUTURES_URL = exchange.url + "/fapi"
        shim = exit_shim.ExitShim(journal=tmp_path / "exits.db", account="mine")
        yield exchange, client, shim
        shim.close()
        client.close_connection()


def look(shim):
    """Have the poller read the exchange once."""
    (poller,) = shim.account_feeds.pollers
    poller.look()


def cover_of(shim):
    shim.flush()
    states = read_positions(JournalReader(shim.journal.path), time.time_ns())
    return {(state.position.symbol, state.cover) for state in states}, states


def as_module(name, function):
    """Call a function as another module of the bot does."""
    with exit_shim.attributed(name):
        return function()


def test_who_bared_a_position_and_since_when(world):
    """A position is covered, bare by the module that cancelled its stop, and covered again."""
    _, client, shim = world
    wrapped = shim.wrap(client)
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    placed = as_module("brain", lambda: wrapped.futures_create_order(**STOP))
    shim.watch(client, every=3600)
    look(shim)
    assert cover_of(shim)[0] == {("BTCUSDT", "covered")}

    as_module("rearm", lambda: wrapped.futures_cancel_algo_order(symbol="BTCUSDT", algoId=placed["algoId"]))
    covers, (state,) = cover_of(shim)
    assert covers == {("BTCUSDT", "bare")}
    assert state.last_stop.module == "brain"
    assert state.last_stop.ended_by.module == "rearm"

    as_module("brain", lambda: wrapped.futures_create_order(**STOP))
    assert cover_of(shim)[0] == {("BTCUSDT", "covered")}
    look(shim)
    assert cover_of(shim)[0] == {("BTCUSDT", "covered")}

    client.futures_create_order(symbol="BTCUSDT", side="SELL", type="MARKET", quantity=0.01)
    look(shim)
    shim.flush()
    timeline = Timeline()
    fold(JournalReader(shim.journal.path), timeline, RecordFilter(symbol="BTCUSDT"))
    timeline.finish(time.time_ns())
    spans = [span for span in timeline.spans if span.position.position_side == "BOTH"]
    assert [span.cover for span in spans if span.cover != "unknown"] == ["covered", "bare", "covered", "flat"]
    (bare,) = [span for span in spans if span.cover == "bare"]
    assert (bare.last_stop.module, bare.by.module) == ("brain", "rearm")
    assert timeline.lives[0].end == "cancelled"


def test_without_a_size_nothing_is_said_to_be_bare(world):
    """A position whose size nobody saw is unknown, with and without a stop."""
    _, client, shim = world
    wrapped = shim.wrap(client)
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    placed = as_module("brain", lambda: wrapped.futures_create_order(**STOP))
    as_module("rearm", lambda: wrapped.futures_cancel_algo_order(symbol="BTCUSDT", algoId=placed["algoId"]))
    shim.flush()
    timeline = Timeline()
    fold(JournalReader(shim.journal.path), timeline, RecordFilter())
    timeline.finish(time.time_ns())
    assert {span.cover for span in timeline.spans} == {"unknown"}
    (life,) = timeline.lives
    assert (life.module, life.ended_by.module, life.is_ended_by_other) == ("brain", "rearm", True)
