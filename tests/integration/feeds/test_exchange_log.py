"""What pollers, streams and executors record of positions and exits: each change once."""

import time
from types import SimpleNamespace

import pytest
from binance import Client

import exit_shim
from exit_shim.alerts.account import AccountSight
from exit_shim.domain.events import DECODERS, EVENT_NAMES
from exit_shim.feeds.exchange_log import ExchangeLog, Sight
from exit_shim.guard.exchange_snapshot import ask, bare, read_snapshot
from exit_shim.journal import JournalReader
from exit_shim.reports.lives import PositionName
from exit_shim.testing import LocalExchange
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET

STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "stopPrice": 50000, "closePosition": True}
ALGO_STOP = {
    "symbol": "BTCUSDT",
    "side": "SELL",
    "type": "STOP_MARKET",
    "algoType": "CONDITIONAL",
    "triggerPrice": 50000,
    "closePosition": "true",
}
EVENTS = {name: kind for kind, name in EVENT_NAMES.items()}


@pytest.fixture
def world(tmp_path):
    """A client on a local exchange, and a shim that watches its account when the test says so."""
    with LocalExchange() as exchange:
        exchange.register(LOCAL_KEY, LOCAL_SECRET)
        client = Client(LOCAL_KEY, LOCAL_SECRET, ping=False)
        client.FUTURES_URL = exchange.url + "/fapi"
        shim = exit_shim.ExitShim(journal=tmp_path / "exits.db", account="mine")
        yield client, shim
        shim.close()
        client.close_connection()


def facts(shim, name):
    shim.flush()
    stored = JournalReader(shim.journal.path).read_facts({name})
    return [DECODERS[EVENTS[name]].decode(each.body) for each in stored]


def test_a_poller_records_what_changed_and_no_more(world):
    """A position and its stop are recorded when first seen, not at each look, and once more when gone."""
    client, shim = world
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    placed = client.futures_create_order(**STOP)
    shim.watch(client, every=3600)
    (poller,) = shim.account_feeds.pollers
    for _ in range(3):
        poller.look()
    (seen,) = facts(shim, "position_seen")
    assert (seen.amount, seen.guarded, seen.exits) == ("0.01", "0.01", (str(placed["algoId"]),))
    assert (seen.account == poller.account, seen.source, seen.again_s) == (True, "poller", 3600)
    (update,) = facts(shim, "exchange_update")
    assert (update.status, update.kind, update.trigger, update.quantity) == ("NEW", "sl", "50000", None)

    client.futures_cancel_algo_order(symbol="BTCUSDT", algoId=placed["algoId"])
    poller.look()
    client.futures_create_order(symbol="BTCUSDT", side="SELL", type="MARKET", quantity=0.01)
    poller.look()
    poller.look()
    assert [(each.amount, each.guarded) for each in facts(shim, "position_seen")[1:]] == [
        ("0.01", "0"),
        ("0", None),
    ]
    assert [each.status for each in facts(shim, "exchange_update")] == ["NEW", "GONE"]


def test_an_open_position_is_recorded_again_for_its_price(world, monkeypatch):
    """What does not change is recorded again after a minute, so that nobody takes old news for new."""
    client, shim = world
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    shim.watch(client, every=3600)
    (poller,) = shim.account_feeds.pollers
    poller.look()
    later = time.monotonic() + 61
    monkeypatch.setattr("exit_shim.feeds.exchange_log.time.monotonic", lambda: later)
    poller.look()
    poller.look()
    first, again = facts(shim, "position_seen")
    assert (first.amount, first.mark_price is not None) == (again.amount, True)


def test_events_of_the_bots_own_stream_are_recorded(world):
    """A position and a cancelled stop that the bot's own stream tells of are recorded at their time."""
    _, shim = world
    shim.feed_user_event(
        {
            "e": "ACCOUNT_UPDATE",
            "T": 1_700_000_000_000,
            "a": {"P": [{"s": "BTCUSDT", "pa": "-0.500", "ep": "61000.0", "ps": "BOTH"}]},
        },
        "mine",
    )
    body = {
        "aid": 4000001, "caid": "x", "at": "CONDITIONAL", "o": "STOP_MARKET", "s": "BTCUSDT", "S": "BUY",
        "ps": "BOTH", "q": "0", "X": "CANCELED", "tp": "62000", "cp": True, "R": True,
    }  # fmt: skip
    event = {"e": "ALGO_UPDATE", "T": 1_700_000_001_000, "o": body}
    shim.feed_user_event(event, "mine")
    (seen,) = facts(shim, "position_seen")
    assert (seen.amount, seen.entry_price, seen.exits, seen.at) == (
        "-0.5",
        "61000",
        None,
        1_700_000_000_000_000_000,
    )
    (update,) = facts(shim, "exchange_update")
    assert (update.status, update.algo_id, update.quantity, update.at) == (
        "CANCELED",
        4000001,
        None,
        1_700_000_001_000_000_000,
    )


def test_a_bare_position_is_recorded_again_after_a_few_seconds(world, monkeypatch):
    """A stop that came and went between two looks must not be taken to be there still."""
    client, shim = world
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    shim.watch(client, every=3600)
    (poller,) = shim.account_feeds.pollers
    poller.look()
    later = time.monotonic() + 6
    monkeypatch.setattr("exit_shim.feeds.exchange_log.time.monotonic", lambda: later)
    poller.look()
    assert [seen.guarded for seen in facts(shim, "position_seen")] == ["0", "0"]


def test_a_slow_reading_does_not_overtake_the_stream(world, monkeypatch):
    """What the stream told after the exchange was asked stays; the next reading is recorded again."""
    client, shim = world
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    shim.watch(client, every=3600)
    (poller,) = shim.account_feeds.pollers
    poller.look()
    row = {"s": "BTCUSDT", "pa": "0.03", "ep": "60000.0", "ps": "BOTH"}
    event = {"e": "ACCOUNT_UPDATE", "T": 1_700_000_000_000, "a": {"P": [row]}}
    log = poller._exchange_log
    take = log.take_sight

    def take_late(*arguments):
        shim.feed_user_event(event, poller.account)
        take(*arguments)

    with monkeypatch.context() as late:
        late.setattr(log, "take_sight", take_late)
        poller.look()
    assert [seen.amount for seen in facts(shim, "position_seen")] == ["0.01", "0.03"]
    poller.look()
    assert [seen.amount for seen in facts(shim, "position_seen")] == ["0.01", "0.03", "0.01"]


class OldClient(Client):
    """A client of a release that has no method for the stops of the Algo Service."""

    futures_get_open_algo_orders = None


def test_an_older_release_sees_the_stops_of_the_algo_service(world):
    """A position with a stop is covered for python-binance before 1.0.33, too."""
    client, _ = world
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    client._request_futures_api("post", "algoOrder", True, data={**ALGO_STOP})
    old = OldClient(LOCAL_KEY, LOCAL_SECRET, ping=False)
    old.FUTURES_URL = client.FUTURES_URL
    for symbol in (None, "BTCUSDT"):
        snapshot = ask(read_snapshot(old, symbol, patience=5.0))
        assert (bare(snapshot), len(snapshot.resting), snapshot.has_algos) == ([], 1, True)
    old.close_connection()


def test_a_reading_without_the_algo_service_says_nothing_of_cover(world):
    """A client that cannot list those stops neither ends one nor calls a position bare."""
    client, _ = world
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    client._request_futures_api("post", "algoOrder", True, data={**ALGO_STOP})
    adapter = SimpleNamespace(
        futures_get_open_orders=client.futures_get_open_orders,
        futures_position_information=client.futures_position_information,
    )
    events = []
    log = ExchangeLog(events.append)
    for reader in (client, adapter):
        sight = AccountSight(reader, "mine", log, "watch", 1.0)
        assert sight.look_if_due()
        name = PositionName("mine", "BTCUSDT", "BOTH")
        assert bool(sight.see([name])) is sight.can_list_stops is (reader is client)
    ended = [
        each for each in events if EVENT_NAMES[type(each)] == "exchange_update" and each.status == "GONE"
    ]
    seen = [each.guarded for each in events if EVENT_NAMES[type(each)] == "position_seen"]
    assert (ended, set(seen)) == ([], {"0.01"})

    bare_log = []
    fresh = AccountSight(adapter, "mine", ExchangeLog(bare_log.append), "watch", 1.0)
    assert fresh.look_if_due()
    assert [(each.amount, each.exits, each.guarded) for each in bare_log] == [("0.01", None, None)]


def test_readings_count_after_the_clock_was_set_back(world):
    """Of two concurrent readings the older one is dropped; one from an hour before is news."""
    client, _ = world
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    placed = client.futures_create_order(**STOP)
    covered = ask(read_snapshot(client))
    client.futures_cancel_algo_order(symbol="BTCUSDT", algoId=placed["algoId"])
    bared = ask(read_snapshot(client))
    events, now = [], time.time_ns()
    log = ExchangeLog(events.append)
    hour_s = 3600 * 1_000_000_000
    for snapshot, asked in ((covered, now + hour_s), (bared, now + hour_s - 1_000_000_000), (bared, now)):
        log.take_sight("mine", Sight(snapshot.positions, snapshot.resting, asked), "watch", 1.0)
    assert [getattr(each, "guarded", None) or each.status for each in events] == ["NEW", "0.01", "0", "GONE"]


def test_what_cannot_be_recorded_ends_no_poller(world, monkeypatch):
    """A record that raises is a trouble of one look; the next one is done all the same."""
    client, shim = world
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    shim.watch(client, every=3600)
    (poller,) = shim.account_feeds.pollers
    troubles = []
    monkeypatch.setattr(poller, "_on_trouble", lambda *trouble: troubles.append(trouble))
    with monkeypatch.context() as failing:
        failing.setattr(poller._exchange_log, "take_sight", lambda *_: 1 / 0)
        poller.look()
    assert {type(error) for _, error in troubles} == {ZeroDivisionError}
    poller.look()
    assert [seen.amount for seen in facts(shim, "position_seen")] == ["0.01"]
