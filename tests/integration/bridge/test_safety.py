"""The bridge between two requests: half lists, failed second calls, the guard and the record."""

import pytest
from binance import Client
from binance.exceptions import BinanceAPIException
from bridge_worlds import LOCAL_KEY, LOCAL_SECRET, SYMBOL

import exit_shim
import exit_shim.runtime.internal_errors
from exit_shim.bridge import calls, cautions
from exit_shim.journal import read_records
from exit_shim.testing import LocalExchange, faults

STOP = {"symbol": SYMBOL, "side": "SELL", "type": "STOP_MARKET", "stopPrice": 50000, "closePosition": "true"}
LIMIT = {
    "symbol": SYMBOL, "side": "SELL", "type": "LIMIT", "price": 70000, "quantity": 0.01, "timeInForce": "GTC",
    "reduceOnly": "true",
}  # fmt: skip
ENFORCED = """
mode = "EXIT_BRAIN_V3"
level = "enforce"

[modes.EXIT_BRAIN_V3]
owners = ["brain"]
legacy = ["legacy"]
"""


class Bot:
    """A bridged client of an exchange with an open position, and what its owner is told."""

    def __init__(self, exchange, path, **settings):
        self.exchange = exchange
        exchange.register(LOCAL_KEY, LOCAL_SECRET)
        self.bare = Client(LOCAL_KEY, LOCAL_SECRET, ping=False)
        self.bare.FUTURES_URL = exchange.url + "/fapi"
        self.shim = exit_shim.ExitShim(journal=path, bridge=True, sinks=[], **settings)
        self.client = self.shim.wrap(self.bare)
        self.told = []
        self.shim.bridge.cautions._warn = lambda text, **fields: self.told.append((text, fields))
        self.shim.bridge.warn = self.shim.bridge.cautions._warn
        self.bare.futures_create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01)

    def records(self):
        self.shim.flush()
        return list(read_records(self.shim.journal.path))

    def requests(self):
        """Return the verb and path of each request so far."""
        return [(each.method, each.path.rpartition("/")[2]) for each in self.exchange.requests]


@pytest.fixture
def bot(tmp_path):
    """A bot on today's exchange."""
    with LocalExchange() as exchange:
        bot = Bot(exchange, tmp_path / "exits.db")
        yield bot
        bot.shim.close()
        bot.bare.close_connection()


def test_a_record_says_what_was_asked_and_what_was_sent(bot):
    """One call is one record, with the requests that took its place."""
    placed = bot.client.futures_create_order(**STOP, newClientOrderId="mine")
    bot.client.futures_cancel_order(symbol=SYMBOL, orderId=placed["orderId"])
    place, cancel = bot.records()
    assert (place.intent.is_bridged, place.outcome.sent) == (True, ("POST algoOrder",))
    assert (place.intent.door, place.intent.order.client_order_id) == ("futures_create_order", "mine")
    assert place.outcome.order_id == place.outcome.algo_id == placed["orderId"]
    assert (cancel.outcome.result, cancel.outcome.sent) == ("accepted", ("DELETE algoOrder",))
    assert cancel.intent.targets[0].kind == "sl"
    assert tuple(cancel.flat()["sent"]) == ("DELETE algoOrder",)


def test_one_request_where_one_suffices(bot):
    """A stop is placed, asked for and cancelled by a known id with one request each, and a list takes two."""
    before = len(bot.requests())
    placed = bot.client.futures_create_order(**STOP)
    bot.client.futures_get_order(symbol=SYMBOL, orderId=placed["orderId"])
    bot.client.futures_get_open_orders(symbol=SYMBOL)
    bot.client.futures_cancel_order(symbol=SYMBOL, orderId=placed["orderId"])
    assert bot.requests()[before:] == [
        ("POST", "algoOrder"),
        ("GET", "algoOrder"),
        ("GET", "openAlgoOrders"),
        ("GET", "openOrders"),
        ("DELETE", "algoOrder"),
    ]


@pytest.mark.parametrize("path", ["openAlgoOrders", "openOrders"])
def test_no_list_is_half_a_list(bot, path):
    """Where one of the two lists cannot be had, the call raises what that request raised."""
    bot.client.futures_create_order(**STOP)
    bot.exchange.faults.inject(faults.service_unavailable(), method="GET", path=path, times=1)
    with pytest.raises(BinanceAPIException) as failed:
        bot.client.futures_get_open_orders(symbol=SYMBOL)
    assert failed.value.status_code == 503


def test_not_there_is_never_said_on_one_stores_word(bot):
    """While the second store cannot be asked, an unknown order is in doubt, and not absent."""
    bot.exchange.faults.inject(faults.service_unavailable(), method="GET", path="algoOrder", times=1)
    with pytest.raises(BinanceAPIException) as failed:
        bot.client.futures_get_order(symbol=SYMBOL, orderId=77)
    assert failed.value.status_code == 503
    with pytest.raises(BinanceAPIException) as absent:
        bot.client.futures_get_order(symbol=SYMBOL, orderId=77)
    assert absent.value.code == -2013


def test_a_cancel_all_that_is_done_by_half_raises_and_says_so(bot):
    """Where the second cancel fails, the bot sees the failure and the owner reads what was done."""
    bot.client.futures_create_order(**STOP)
    bot.client.futures_create_order(**LIMIT)
    bot.exchange.faults.inject(faults.service_unavailable(), method="DELETE", path="algoOpenOrders", times=1)
    with pytest.raises(BinanceAPIException):
        bot.client.futures_cancel_all_open_orders(symbol=SYMBOL)
    assert bot.exchange.open_orders() == []
    assert len(bot.exchange.open_algo_orders()) == 1
    assert ("a bridged call was done by half", {"done": calls.STOPS_LEFT}) in bot.told


def test_an_accepted_order_is_never_lost_to_a_failing_translation(bot, monkeypatch):
    """When the exchange accepted and the translation fails, the bot gets the exchange's own answer."""

    def fail(*_):
        raise RuntimeError("a bug of the bridge")

    monkeypatch.setattr(calls, "to_placed", fail)
    monkeypatch.setattr(exit_shim.runtime.internal_errors, "RERAISE", False)
    answer = bot.client.futures_create_order(**STOP)
    assert answer["algoStatus"] == "NEW"
    assert len(bot.exchange.open_algo_orders()) == 1
    assert bot.shim.internal_errors.count == 1


def test_the_guard_judges_a_bridged_cancel_all_once_and_with_both_stores(bot):
    """A cancel-all through the bridge strips the position, and is not called futile."""
    bot.client.futures_create_order(**STOP)
    bot.client.futures_cancel_all_open_orders(symbol=SYMBOL)
    bot.shim.flush()
    cancel = bot.records()[-1]
    assert (cancel.intent.store, len(cancel.intent.targets)) == ("both", 1)
    assert "STRIPPED" in {reason.code for reason in cancel.reasons}
    assert "FUTILE_CANCEL" not in {reason.code for reason in cancel.reasons}
    assert bot.exchange.open_algo_orders() == []


def test_an_owners_stop_cannot_be_cancelled_by_its_new_found_id(tmp_path):
    """Under a policy that enforces, a legacy module's cancel by orderId and its cancel-all are denied."""
    policy = tmp_path / "exit_shim.toml"
    policy.write_text(ENFORCED)
    with LocalExchange() as exchange:
        bot = Bot(exchange, tmp_path / "exits.db", policy=policy, mode="EXIT_BRAIN_V3")
        with exit_shim.attributed("brain"):
            placed = bot.client.futures_create_order(**STOP)
        with exit_shim.attributed("legacy"):
            (listed,) = bot.client.futures_get_open_orders(symbol=SYMBOL)
            assert listed["orderId"] == placed["orderId"]
            with pytest.raises(exit_shim.ExitOrderDenied):
                bot.client.futures_cancel_order(symbol=SYMBOL, orderId=listed["orderId"])
            with pytest.raises(exit_shim.ExitOrderDenied):
                bot.client.futures_cancel_all_open_orders(symbol=SYMBOL)
        assert len(bot.exchange.open_algo_orders()) == 1
        bot.shim.close()
        bot.bare.close_connection()


def test_what_the_owner_should_know_is_said_once(bot):
    """The first cancel-all, and the first list of conditional orders by the bot itself, are warned of."""
    for _ in range(2):
        bot.client.futures_cancel_all_open_orders(symbol=SYMBOL)
        bot.client.futures_get_open_algo_orders(symbol=SYMBOL)
    assert [text for text, _ in bot.told] == [cautions.DESTRUCTIVE, cautions.SEES_TWICE]


def test_adapted_code_passes_untouched(bot):
    """Calls of today's own methods are answered as the exchange answers them."""
    algo = {"symbol": SYMBOL, "side": "SELL", "type": "STOP_MARKET", "triggerPrice": 50000}
    placed = bot.client.futures_create_algo_order(**algo, closePosition="true", clientAlgoId="today")
    assert "orderId" not in placed
    (listed,) = bot.client.futures_get_open_orders(symbol=SYMBOL, conditional=True)
    assert "orderId" not in listed
    assert bot.client.futures_cancel_algo_order(symbol=SYMBOL, algoId=placed["algoId"])["code"] == "200"


def test_the_weight_is_warned_of_when_it_runs_out(bot):
    """At four fifths of the weight of a minute the owner is told, once a minute."""
    bot.exchange.service.gate.limits.count_weight(2_000, bot.exchange.engine.now())
    for _ in range(3):
        bot.client.futures_get_open_orders(symbol=SYMBOL)
    ((text, fields),) = bot.told
    assert "weight" in text
    assert fields["used"] > 1_920


def test_the_ids_are_found_again_after_a_restart(bot, tmp_path):
    """A process that knows nothing finds, lists and cancels what an earlier one placed."""
    placed = bot.client.futures_create_order(**STOP, newClientOrderId="mine")
    again = Bot(bot.exchange, tmp_path / "second.db")
    assert again.client.futures_get_order(symbol=SYMBOL, orderId=placed["orderId"])["clientOrderId"] == "mine"
    assert (
        again.client.futures_get_order(symbol=SYMBOL, origClientOrderId="mine")["orderId"]
        == placed["orderId"]
    )
    assert again.client.futures_cancel_order(symbol=SYMBOL, origClientOrderId="mine")["status"] == "CANCELED"
    again.shim.close()
    again.bare.close_connection()


def test_without_the_bridge_nothing_is_changed(tmp_path):
    """An unbridged call is sent as it is, and its record says so."""
    with LocalExchange() as exchange:
        exchange.register(LOCAL_KEY, LOCAL_SECRET)
        client = Client(LOCAL_KEY, LOCAL_SECRET, ping=False)
        client.FUTURES_URL = exchange.url + "/fapi"
        shim = exit_shim.ExitShim(journal=tmp_path / "exits.db", sinks=[])
        client.futures_create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01)
        assert "orderId" not in shim.wrap(client).futures_create_order(**STOP)
        shim.flush()
        (record,) = read_records(shim.journal.path)
        assert (record.intent.is_bridged, record.outcome.sent) == (False, ())
        shim.close()
        client.close_connection()


def test_an_owners_stop_that_was_placed_unbridged_cannot_be_cancelled_by_its_algo_id(tmp_path):
    """What the executor placed with a plain client is denied to a legacy module by the id that it lists."""
    policy = tmp_path / "exit_shim.toml"
    policy.write_text(ENFORCED)
    with LocalExchange() as exchange:
        bot = Bot(exchange, tmp_path / "exits.db", policy=policy, mode="EXIT_BRAIN_V3")
        with exit_shim.attributed("brain"):
            placed = bot.shim.wrap(bot.bare, bridge=False).futures_create_order(**STOP)
        with exit_shim.attributed("legacy"):
            with pytest.raises(exit_shim.ExitOrderDenied):
                bot.client.futures_cancel_order(symbol=SYMBOL, orderId=placed["algoId"])
            (answer,) = bot.client.futures_cancel_orders(symbol=SYMBOL, orderidlist=[placed["algoId"]])
            assert answer["code"] == -2010
        assert len(exchange.open_algo_orders()) == 1
        bot.shim.close()
        bot.bare.close_connection()


def test_an_installed_bridge_records_what_was_sent(tmp_path):
    """A call on a client whose class is bridged is one record, which names the requests."""
    with LocalExchange() as exchange:
        exchange.register(LOCAL_KEY, LOCAL_SECRET)
        shim = exit_shim.ExitShim(journal=tmp_path / "exits.db", sinks=[])
        with shim.install(bridge=True):
            client = Client(LOCAL_KEY, LOCAL_SECRET, ping=False)
            client.FUTURES_URL = exchange.url + "/fapi"
            client.futures_create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01)
            client.futures_create_order(**STOP)
            client.futures_cancel_all_open_orders(symbol=SYMBOL)
        shim.flush()
        place, cancel = read_records(shim.journal.path)
        assert (place.intent.is_bridged, place.outcome.sent) == (True, ("POST algoOrder",))
        assert (cancel.intent.store, cancel.outcome.sent[:2]) == (
            "both",
            ("DELETE allOpenOrders", "DELETE algoOpenOrders"),
        )
        assert shim.gateway.entry_orders() == 1
        shim.close()
        client.close_connection()


def test_a_call_that_its_caller_ends_halfway_is_told_of(bot, monkeypatch):
    """Where an interrupt ends a cancel-all between its two requests, the owner reads what was done."""
    bot.client.futures_create_order(**STOP)
    send, sent = type(bot.bare)._request, []

    def interrupted(client, method, uri, *args, **kwargs):
        sent.append(uri)
        if "algoOpenOrders" in uri:
            raise KeyboardInterrupt
        return send(client, method, uri, *args, **kwargs)

    monkeypatch.setattr(type(bot.bare), "_request", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bot.client.futures_cancel_all_open_orders(symbol=SYMBOL)
    assert any("ended during DELETE algoOpenOrders" in fields.get("done", "") for _, fields in bot.told)
