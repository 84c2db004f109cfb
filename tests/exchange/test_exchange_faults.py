"""Faults: what a client sees of each, what truly happened, when they hit, and that a seed repeats them."""

import hashlib
import hmac
import http.client
import json
import time

import pytest
import requests
from binance.exceptions import BinanceAPIException

from exit_shim.exchange.faults import FaultPlan
from exit_shim.exchange.http.request import RawRequest
from exit_shim.testing import FakeClient, LocalExchange, faults

ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010"}
UNKNOWN = "Unknown error, please check your request or try again later."
TIMEOUT = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
TOO_MANY = (
    "Too many requests; current limit is 2400 requests per minute. "
    "Please use the websocket for live updates to avoid polling the API."
)
UNEXPECTED = "An unexpected response was received from the message bus. Execution status unknown."
THROTTLED = (
    "Request throttled by system-level protection. Reduce-only/close-position orders are exempt. "
    "Please try again."
)


def signed(exchange, method, path, **params):
    query = "&".join(f"{name}={value}" for name, value in params.items())
    query += f"&timestamp={exchange.engine.now()}&recvWindow=60000"
    signature = hmac.new(b"local-secret", query.encode(), hashlib.sha256).hexdigest()
    return RawRequest(
        method, f"/fapi/v1/{path}", f"{query}&signature={signature}", "", {"x-mbx-apikey": "local-key"}
    )


def place(exchange, **more):
    """An order without a socket: its HTTP status and JSON."""
    answer = exchange.answer(signed(exchange, "POST", "order", **{**ORDER, **more}))
    return answer.status, json.loads(answer.body)


def held(exchange):
    return exchange.engine.position("BTCUSDT").amount


@pytest.fixture
def still():
    """An exchange without a socket."""
    return LocalExchange()


ANSWERS = {
    "unknown, without a code": (faults.unknown_error(executed=True), 503, None, UNKNOWN, True),
    "unknown, not executed": (faults.unknown_error(executed=False), 503, None, UNKNOWN, False),
    "unknown, with a code": (faults.unknown_error(executed=True, code=-1000), 503, -1000, UNKNOWN, True),
    "unavailable": (faults.service_unavailable(), 503, None, "Service Unavailable.", False),
    "internal": (
        faults.internal_error(),
        503,
        -1001,
        "Internal error; unable to process your request. Please try again.",
        False,
    ),
    "throttled": (faults.throttled(), 503, -1008, THROTTLED, False),
    "timed out after execution": (faults.timed_out(executed=True), 408, -1007, TIMEOUT, True),
    "timed out before execution": (faults.timed_out(executed=False), 408, -1007, TIMEOUT, False),
    "unexpected": (faults.unexpected_response(executed=True), 500, -1006, UNEXPECTED, True),
    "limited": (
        faults.too_many_requests(),
        429,
        -1003,
        TOO_MANY,
        False,
    ),
}


@pytest.mark.parametrize(("fault", "status", "code", "msg", "executed"), ANSWERS.values(), ids=ANSWERS)
def test_a_wrong_answer_says_one_thing_and_the_record_the_truth(still, fault, status, code, msg, executed):
    """The client sees status, code and text of the fault; the position and the log know what happened."""
    still.faults.inject(fault)
    found = place(still)
    assert (found[0], found[1].get("code"), found[1]["msg"]) == (status, code, msg)
    assert (held(still) != 0) is executed
    (record,) = still.requests
    assert (record.http_status, record.error_code, record.executed) == (status, code, executed)
    assert record.fault == fault.name
    assert place(still)[0] == 200


def test_a_body_without_a_code_names_time_and_path(still):
    """The 503 of production without a code has a timestamp and the path in its place."""
    still.faults.inject(faults.unknown_error())
    found = place(still)[1]
    assert set(found) == {"timestamp", "path", "msg"}
    assert found["path"] == "/fapi/v1/order"


def test_a_ban_names_its_end(still):
    """HTTP 418 tells until when, and 429 comes before it when they are injected so."""
    still.faults.inject(faults.too_many_requests(), times=2)
    still.faults.inject(faults.banned(60), times=1)
    assert [place(still)[0] for _ in range(4)] == [429, 429, 418, 200]
    assert still.requests[2].error_code == -1003


def test_a_throttled_exchange_spares_orders_that_reduce(still):
    """-1008 never hits reduceOnly or closing orders, queries or cancels, alone or in a batch."""
    place(still)
    still.faults.inject(faults.throttled(), times=None)
    assert place(still)[0] == 503
    assert place(still, side="SELL", reduceOnly="true")[0] == 200
    reducing = '[{"side":"SELL","reduceOnly":"TRUE"},{"side":"SELL","positionSide":"LONG"}]'
    mixed = '[{"side":"SELL","reduceOnly":"true"},{"side":"BUY"}]'
    meet = still.faults.meet
    assert meet("POST", "/fapi/v1/batchOrders", {"batchOrders": reducing}, 0).name == ""
    for batch in (mixed, "[", "{}", "[]", "[1]"):
        assert meet("POST", "/fapi/v1/batchOrders", {"batchOrders": batch}, 0).name == "throttled"
    assert meet("DELETE", "/fapi/v1/order", {}, 0).name == ""
    assert meet("POST", "/fapi/v1/order", {"closePosition": "true"}, 0).name == ""


@pytest.mark.parametrize(
    ("fault", "executed"),
    [
        (faults.reset_unread(), False),
        (faults.reset_before_execution(), False),
        (faults.reset_after_execution(), True),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_reset_leaves_the_client_in_the_dark(exchange, client, fault, executed):
    """Python-binance sees a broken connection either way; the exchange knows whether it acted."""
    exchange.faults.inject(fault, method="POST", path="order")
    with pytest.raises(requests.exceptions.ConnectionError):
        client.futures_create_order(**ORDER)
    assert (held(exchange) != 0) is executed
    record = exchange.order_requests[-1]
    assert (record.http_status, record.executed, record.fault) == (0, executed, fault.name)
    client.futures_create_order(**ORDER)


def test_a_reset_without_a_socket_is_a_connection_error(still):
    """The in-process face raises ConnectionResetError where a socket would be reset."""
    still.faults.inject(faults.reset_after_execution())
    with pytest.raises(ConnectionResetError, match="reset_after_execution"):
        place(still)
    assert held(still) != 0


def ask_again(connection):
    connection.request("GET", "/fapi/v1/ping")
    return connection.getresponse()


def test_refused_connections_come_back_on_the_same_port(exchange):
    """While connections are refused nobody gets in; afterwards the same address works."""
    port = exchange.port
    kept = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    kept.request("GET", "/fapi/v1/ping")
    kept.getresponse().read()
    kept.auto_open = False
    with exchange.refusing_connections():
        with pytest.raises(ConnectionRefusedError):
            ping(port)
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            ask_again(kept)
    kept.close()
    assert ping(port) == {}


def test_connections_can_be_refused_for_a_while(exchange):
    """An injected refusal drops the connection it hits, refuses the next, and ends by itself."""
    exchange.faults.inject(faults.refused_connections(3.0))
    with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
        ping(exchange.port)
    with pytest.raises(ConnectionRefusedError):
        ping(exchange.port)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            assert ping(exchange.port) == {}
            break
        except ConnectionRefusedError:
            time.sleep(0.02)
    else:
        pytest.fail("it did not come back")


def test_refusing_needs_a_running_exchange():
    """An exchange that does not listen has no connections to refuse."""
    with pytest.raises(RuntimeError, match="does not run"), LocalExchange().refusing_connections():
        pass


def ping(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", "/fapi/v1/ping")
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def test_a_trickle_arrives_whole(exchange):
    """The bytes come one at a time and make the answer in the end."""
    exchange.faults.inject(faults.trickled(0.01))
    started = time.monotonic()
    assert ping(exchange.port) == {}
    assert time.monotonic() - started >= 0.01


@pytest.mark.parametrize("answer_only", [False, True])
def test_a_delay_is_kept(exchange, answer_only):
    """Latency before or after the exchange acts is at least what was asked for, and no error."""
    exchange.faults.inject(faults.delayed(0.03, jitter=0.01, answer_only=answer_only))
    started = time.monotonic()
    assert ping(exchange.port) == {}
    assert time.monotonic() - started >= 0.03


def test_an_order_that_waits_past_its_window_is_refused_by_the_engine():
    """In time at the door, too late at the matching engine: -5028, and nothing was placed."""
    # It ticks at each look: when the request arrives, and when the exchange acts on it.
    clock = iter(range(1_790_000_000_000, 1_790_009_000_000, 3000))
    exchange = LocalExchange(clock=lambda: next(clock))
    now = 1_790_000_000_000
    query = f"symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.010&timestamp={now}&recvWindow=2000"
    signature = hmac.new(b"local-secret", query.encode(), hashlib.sha256).hexdigest()
    request = RawRequest(
        "POST", "/fapi/v1/order", f"{query}&signature={signature}", "", {"x-mbx-apikey": "local-key"}
    )
    answer = exchange.answer(request)
    assert (answer.status, answer.code) == (400, -5028)
    assert held(exchange) == 0


def test_a_skewed_clock_refuses_what_was_on_time(still):
    """With the exchange ahead, timestamps are too old (-1021), and its own clock says the same."""
    still.faults.inject(faults.skewed_clock(120_000), times=None)
    assert place(still)[1]["code"] == -1021
    told = json.loads(still.answer(RawRequest("GET", "/fapi/v1/time", "", "", {})).body)
    assert abs(told["serverTime"] - still.engine.now() - 120_000) < 5000
    still.faults.clear()
    still.faults.inject(faults.skewed_clock(-120_000))
    found = place(still)[1]
    assert found == {
        "code": -1021,
        "msg": "Timestamp for this request was 1000ms ahead of the server's time.",
    }
    assert held(still) == 0


def test_a_live_algo_order_can_be_denied(exchange, client):
    """GET algoOrder says -2013 for an order that openAlgoOrders lists and DELETE accepts."""
    stop = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "quantity": "0.010"}
    algo_id = client.futures_create_order(**stop, stopPrice="59000")["algoId"]
    exchange.faults.inject(faults.no_such_algo_order(), times=None)
    with pytest.raises(BinanceAPIException) as caught:
        client.futures_get_algo_order(algoId=algo_id)
    assert caught.value.code == -2013
    assert [row["algoId"] for row in client.futures_get_open_algo_orders()] == [algo_id]
    assert client.futures_cancel_algo_order(algoId=algo_id)["code"] == "200"


def test_a_page_instead_of_json(still):
    """A proxy's page is HTML with the status that was asked for."""
    still.faults.inject(faults.html_error(502, executed=False))
    answer = still.answer(signed(still, "POST", "order", **ORDER))
    assert (answer.status, answer.content_type) == (502, "text/html")
    assert answer.body.startswith(b"<html>")


# When


def test_a_rule_hits_what_it_names_and_as_often(still):
    """Method, path, endpoint, fields, skip and times each narrow a rule."""
    plan = still.faults
    rule = plan.inject(
        faults.timed_out(), method="POST", path="order", where={"side": "sell"}, skip=1, times=2
    )
    sell = ("POST", "/fapi/v1/order", {"side": "SELL"})
    assert [plan.meet(*sell, 0).name for _ in range(4)] == ["", "timed_out", "timed_out", ""]
    assert plan.meet("POST", "/fapi/v1/order", {"side": "BUY"}, 0).name == ""
    assert (rule.hits, rule.seen) == (2, 3)
    plan.inject(faults.timed_out(), path="/fapi/v1/order", times=None).cancel()
    assert plan.meet(*sell, 0).name == ""
    assert list(plan.hits) == [("timed_out", "POST", "/fapi/v1/order")] * 2


def test_a_rule_has_its_hours():
    """Since and until are times of the exchange's clock, the end not included."""
    plan = FaultPlan()
    plan.inject(faults.timed_out(), times=None, since_ms=10, until_ms=20)
    assert [plan.meet("GET", "/", {}, now).name for now in (9, 10, 19, 20)] == [
        "", "timed_out", "timed_out", "",
    ]  # fmt: skip


def series(seed):
    plan = FaultPlan(seed)
    plan.inject(faults.delayed(1, jitter=1), times=None, chance=0.5)
    plan.inject(faults.unknown_error(), times=None, chance=0.3)
    met = [plan.meet("POST", "/fapi/v1/order", {}, 0) for _ in range(60)]
    return [(fault.name, fault.delay, fault.executed) for fault in met]


def test_a_seed_repeats_itself():
    """The same rules and seed hit the same requests alike; another seed does not."""
    assert series(7) == series(7) != series(8)
    names = {name for name, _, _ in series(7)}
    assert names == {"", "delayed", "unknown_error"}
    assert {executed for name, _, executed in series(7) if name == "unknown_error"} == {True, False}


def test_another_rule_does_not_change_what_the_first_hits():
    """Each rule draws for itself."""

    def hit(*, also):
        plan = FaultPlan(3)
        plan.inject(faults.timed_out(), times=None, chance=0.5, path="order")
        if also:
            plan.inject(faults.html_error(), times=None, chance=0.5, path="leverage")
        return [plan.meet("POST", f"/fapi/v1/{path}", {}, 0).name for path in ("order", "leverage") * 20][::2]

    assert hit(also=True) == hit(also=False)


def test_delays_add_up_to_whatever_else_happens():
    """Background latency stays while another fault decides the answer."""
    plan = FaultPlan()
    plan.inject(faults.delayed(1), times=None)
    plan.inject(faults.timed_out())
    plan.inject(faults.html_error())
    first, second, third = (plan.meet("GET", "/", {}, 0) for _ in range(3))
    assert [(fault.name, fault.delay) for fault in (first, second, third)] == [
        ("timed_out", 1), ("html_error", 1), ("delayed", 1),
    ]  # fmt: skip


def test_a_plan_can_be_written_as_data():
    """A schedule names kinds, their arguments and the rule; a wrong name is an error that says so."""
    plan = FaultPlan()
    (rule,) = plan.schedule([{"fault": "banned", "with": {"seconds": 5}, "path": "order", "times": 2}])
    assert (rule.fault, rule.path, rule.times) == (faults.banned(5), "order", 2)
    for wrong in ("Fault", "nothing", None, "msgspec"):
        with pytest.raises(ValueError, match="is unknown; expected a function"):
            plan.schedule([{"fault": wrong}])


# Streams


def test_stream_events_are_lost_or_doubled_by_their_fields():
    """A rule looks into the event and into its `o`; requests do not use it up."""
    plan = FaultPlan()
    plan.inject(faults.lost_event(), where={"e": "ORDER_TRADE_UPDATE", "X": "FILLED"})
    plan.inject(faults.duplicated_event(), where={"e": "ACCOUNT_UPDATE"})
    assert plan.meet("POST", "/fapi/v1/order", {"e": "ACCOUNT_UPDATE"}, 0).name == ""
    filled = {"e": "ORDER_TRADE_UPDATE", "o": {"X": "FILLED"}}
    assert plan.deliver({"e": "ORDER_TRADE_UPDATE", "o": {"X": "NEW"}}) == 1
    assert [plan.deliver(filled), plan.deliver(filled)] == [0, 1]
    assert [plan.deliver({"e": "ACCOUNT_UPDATE"}) for _ in range(2)] == [2, 1]
    assert plan.hits[0] == ("lost_event", "EVENT", "ORDER_TRADE_UPDATE")


def test_a_stream_goes_silent_and_others_do_not():
    """From the event it hits, that connection delivers nothing, until the plan is cleared."""
    plan = FaultPlan()
    plan.inject(faults.silent_stream(), skip=1)
    assert [plan.deliver({"e": "x"}, "a") for _ in range(3)] == [1, 0, 0]
    assert plan.deliver({"e": "x"}, "b") == 1
    plan.clear()
    assert plan.deliver({"e": "x"}, "a") == 1


@pytest.mark.parametrize("kind", ["stop", "limit", "batch"])
def test_an_order_vanishes_some_time_after_it_was_accepted(kind):
    """It is NEW and listed, then CANCELED without a request, at its time; others of its kind stay."""
    exchange = LocalExchange()
    client, told = FakeClient(exchange=exchange), []
    exchange.faults.inject(faults.vanished_order(53), skip=1)
    take = {"side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01", "price": "50000"}
    stop = {"side": "SELL", "type": "STOP_MARKET", "stopPrice": 50_000, "quantity": "0.01"}
    placed = []
    for _ in range(3):
        if kind == "batch":
            placed += client.futures_place_batch_order(batchOrders=[{"symbol": "BTCUSDT", **take}])
        else:
            placed.append(client.futures_create_order(symbol="BTCUSDT", **(stop if kind == "stop" else take)))
    name = "algoId" if kind == "stop" else "orderId"
    first, gone, last = (order[name] for order in placed)
    exchange.engine.feed.listeners.append(told.append)
    exchange.advance(52_000)
    assert [order[name] for order in exchange.orders()] == [first, gone, last]
    exchange.advance(2_000)
    assert [order[name] for order in exchange.orders()] == [first, last]
    (event,) = told
    assert (event.algo if kind == "stop" else event.order).status == "CANCELED"
    assert [hit[0] for hit in exchange.faults.hits] == ["vanished_order"]


def test_an_order_that_has_filled_does_not_vanish():
    """What is closed by then stays as it is, and a refused order leaves nothing to cancel."""
    exchange = LocalExchange()
    client = FakeClient(exchange=exchange)
    exchange.faults.inject(faults.vanished_order(1), times=None)
    order = client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01")
    with pytest.raises(BinanceAPIException):
        client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0")
    exchange.advance(2_000)
    assert client.futures_get_order(symbol="BTCUSDT", orderId=order["orderId"])["status"] == "FILLED"
    assert exchange.internal_errors == []


def test_a_saved_exchange_still_cancels_what_is_to_vanish(tmp_path):
    """The time at which an order vanishes survives a restart."""
    exchange = LocalExchange(state=tmp_path / "exchange.json")
    exchange.faults.inject(faults.vanished_order(60))
    FakeClient(exchange=exchange).futures_create_order(
        symbol="BTCUSDT", side="SELL", type="STOP_MARKET", stopPrice=50_000, quantity="0.01"
    )
    exchange.save()
    again = LocalExchange(state=tmp_path / "exchange.json")
    assert len(again.orders()) == 1
    again.advance(60_000)
    assert again.orders() == []
