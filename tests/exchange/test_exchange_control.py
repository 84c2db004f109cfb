"""Control of a running exchange over its own HTTP interface."""

import http.client
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple
from urllib.parse import urlencode

import pytest
from binance import Client
from binance.exceptions import BinanceAPIException

from exit_shim.testing import faults


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


def send(exchange, method, action, *, headers=None, body=None, **params):
    """Send a control request; return the answer as it came."""
    connection = http.client.HTTPConnection("127.0.0.1", exchange.port, timeout=60)
    connection.request(method, f"/exchange/{action}?{urlencode(params)}", body, headers or {})
    response = connection.getresponse()
    answer = Answer(response.status, response.headers, response.read())
    connection.close()
    return answer


def control(exchange, method, action, **more):
    """Send a control request; return status and answer."""
    answer = send(exchange, method, action, **more)
    return answer.status, json.loads(answer.body)


def limit(client, price, **more):
    given = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}
    return client.futures_create_order(**{**given, "price": price, **more})


def test_prices_are_set_together_or_one_by_one(exchange):
    """`price` sets all four but those that are sent beside it; without it the others stay."""
    _, all_of_them = control(exchange, "POST", "price", symbol="BTCUSDT", price=59_000, mark=59_010)
    assert (all_of_them["mark"], all_of_them["last"]) == ("59010", "59000.00")
    _, one = control(exchange, "POST", "price", symbol="BTCUSDT", last=58_000)
    assert one == {**all_of_them, "last": "58000"}


def test_what_a_price_reaches_trades(exchange, client):
    """A price that is set from outside fires stops as any other."""
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    client.futures_create_order(
        symbol="BTCUSDT", side="SELL", type="STOP_MARKET", stopPrice=59_000, closePosition=True
    )
    control(exchange, "POST", "price", symbol="BTCUSDT", price=59_000)
    assert exchange.positions() == []


def test_a_resting_order_is_filled_in_parts(exchange, client):
    """A fill takes a quantity at the order's own price, then the rest; prices stay."""
    order = limit(client, 50_000, newClientOrderId="mine")
    before = exchange.engine.quote("BTCUSDT")
    _, part = control(exchange, "POST", "fill", symbol="BTCUSDT", orderId=order["orderId"], quantity="0.004")
    assert (part["status"], part["executedQty"], part["avgPrice"]) == (
        "PARTIALLY_FILLED",
        "0.004",
        "50000.00000",
    )
    _, rest = control(exchange, "POST", "fill", symbol="BTCUSDT", origClientOrderId="mine")
    assert (rest["status"], rest["executedQty"]) == ("FILLED", "0.010")
    assert exchange.engine.quote("BTCUSDT") == before
    status, answer = control(exchange, "POST", "fill", symbol="BTCUSDT", origClientOrderId="mine")
    assert (status, answer["code"]) == (400, -2013)


def test_time_is_added(exchange, client):
    """`advance` lets time pass, and the client's requests are as good as ever."""
    before = exchange.engine.now()
    _, answer = control(exchange, "POST", "advance", milliseconds=3_600_000)
    assert answer["now"] >= before + 3_600_000
    assert client.futures_position_information() == []


def test_the_state_has_positions_and_both_kinds_of_orders(exchange, client):
    """Positions and orders come as the exchange's endpoints have them; prices of idle symbols on request."""
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    client.futures_create_order(
        symbol="BTCUSDT", side="SELL", type="STOP_MARKET", stopPrice=59_000, closePosition=True
    )
    limit(client, 2_000, symbol="ETHUSDT")
    _, state = control(exchange, "GET", "state", symbol="BTCUSDT")
    assert state["positions"] == client.futures_position_information(symbol="BTCUSDT")
    assert state["algoOrders"] == client.futures_get_open_orders(symbol="BTCUSDT", conditional=True)
    assert state["orders"] == []
    _, everything = control(exchange, "GET", "state")
    assert everything["orders"] == client.futures_get_open_orders()
    assert everything["prices"].keys() == {"BTCUSDT", "ETHUSDT"}
    _, idle_too = control(exchange, "GET", "state", all=True)
    assert idle_too["prices"].keys() == exchange.engine.state.symbols.keys()


def test_faults_limits_and_the_log_of_requests_leave_it_alone(exchange):
    """A fault that hits every request misses it, and no record of a client's request is made."""
    exchange.faults.inject(faults.reset_unread(), times=None)
    assert control(exchange, "GET", "state")[0] == 200
    assert exchange.requests == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:80"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example"},
        {"Host": "evillocalhost"},
    ],
    ids=["host", "suffix", "origin", "no-origin", "origin-suffix", "no-dot"],
)
def test_a_page_of_another_site_may_not_control_it(exchange, headers):
    """A foreign Host (DNS rebinding) or Origin (a form of a page) is refused, and nothing changes."""
    before = exchange.engine.quote("BTCUSDT")
    status, answer = control(exchange, "POST", "price", headers=headers, symbol="BTCUSDT", price=1)
    assert status == 403
    assert "only programs on this machine" in answer["msg"]
    assert exchange.engine.quote("BTCUSDT") == before


@pytest.mark.parametrize("origin", ["http://localhost:5173", "http://127.0.0.1", "http://app.localhost:80"])
def test_a_page_on_this_machine_may_control_it(exchange, origin):
    """A browser asks first whether it may send JSON, and shows the answer to the page."""
    asking = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    asked = send(exchange, "OPTIONS", "price", headers=asking)
    assert (asked.status, asked.headers["Access-Control-Allow-Origin"]) == (204, origin)
    assert asked.headers["Access-Control-Allow-Headers"] == "content-type"
    assert asked.headers["Access-Control-Allow-Methods"] == "DELETE, GET, POST"
    headers = {"Origin": origin, "Content-Type": "application/json", "Host": "fapi.binance.localhost"}
    done = send(exchange, "POST", "price", headers=headers, body='{"symbol": "BTCUSDT", "price": 61000.5}')
    assert (done.status, done.headers["Access-Control-Allow-Origin"]) == (200, origin)
    assert exchange.engine.quote("BTCUSDT").mark == Decimal("61000.5")


def test_a_page_of_another_site_learns_nothing(exchange):
    """Neither the question of its browser nor the answer names it as one that may read."""
    for method in ("OPTIONS", "GET"):
        refused = send(exchange, method, "state", headers={"Origin": "https://evil.example"})
        assert refused.status == 403
        assert "Access-Control-Allow-Origin" not in refused.headers


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://evil.example", 403),
        ("null", 403),
        ("http://localhost:5173", 101),
        ("https://fapi.binance.com", 101),
    ],
)
def test_a_page_of_another_site_places_no_order_by_websocket(exchange, origin, status):
    """The WebSocket API is for programs; a browser would let any page open it. Clients may name its host."""
    connection = http.client.HTTPConnection("127.0.0.1", exchange.port, timeout=60)
    headers = {"Origin": origin, "Host": "fapi.binance.com", "Upgrade": "websocket", "Connection": "Upgrade"}
    headers |= {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    connection.request("GET", "/ws-fapi/v1", headers=headers)
    assert connection.getresponse().status == status
    connection.close()


def test_the_book_is_set_and_others_trade(exchange, client):
    """A MARKET order eats its way through the levels, and a foreign trade fills a resting order."""
    levels = {"symbol": "BTCUSDT", "bids": [["59990", "1"]], "asks": [[60010, 0.01], [60020.5, 5]]}
    status, quote = control(exchange, "POST", "book", body=json.dumps(levels))
    assert (status, quote["bid"], quote["ask"]) == (200, "59990", "60010")
    bought = client.futures_create_order(
        symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.02, newOrderRespType="RESULT"
    )
    assert client.futures_account_trades(symbol="BTCUSDT")[-1]["price"] == "60020.50"
    assert bought["executedQty"] == "0.020"
    resting = limit(client, 59_000)
    control(exchange, "POST", "trade", symbol="BTCUSDT", price=58_999, quantity=0.004)
    found = client.futures_get_order(symbol="BTCUSDT", orderId=resting["orderId"])
    assert (found["status"], found["executedQty"]) == ("PARTIALLY_FILLED", "0.004")


def test_the_market_is_let_go_and_stopped(exchange, client):
    """In the random mode a price moves when it is asked for, the same way for the same seed."""

    def ask_thrice():
        return [client.futures_symbol_ticker(symbol="BTCUSDT")["price"] for _ in range(3)]

    assert control(exchange, "GET", "market") == (200, {"mode": "flat", "speed": 1})
    assert len(set(ask_thrice())) == 1
    walks = []
    for _ in range(2):
        control(exchange, "POST", "price", symbol="BTCUSDT", price=60_000)
        assert control(exchange, "POST", "market", mode="random", seed=7, speed=0)[0] == 200
        walks.append(ask_thrice())
    assert walks[0] == walks[1]
    assert len(set(walks[0])) == 3
    control(exchange, "POST", "market", mode="flat")
    assert set(ask_thrice()) == {walks[1][-1]}


def test_a_file_is_replayed_for_a_program_only(exchange, client, tmp_path):
    """The prices of a file follow each other with time; a page in a browser may not name files."""
    file = tmp_path / "BTCUSDT-1m.csv"
    file.write_text("0,70000,70400,69900,70300,1\n60000,70300,70500,70200,70400,1\n")
    asked = json.dumps({"mode": "replay", "files": [str(file)]})
    page = {"Origin": "http://localhost:5173"}
    assert control(exchange, "POST", "market", headers=page, body=asked)[0] == 400
    assert control(exchange, "POST", "market", body=asked) == (200, {"mode": "replay", "speed": 1})
    limit(client, 50_000)
    control(exchange, "POST", "advance", milliseconds=60_000)
    assert exchange.engine.quote("BTCUSDT").last == 70_400


def test_faults_are_injected_listed_and_cleared(exchange, client):
    """Rules come one by one or as a list, say how often they have hit, and go by name or all together."""
    one = {"fault": "too_many_requests", "path": "order", "method": "POST", "where": {"side": "buy"}}
    assert control(exchange, "POST", "faults", body=json.dumps(one))[1][0]["times"] == 1
    more = [{"fault": "delayed", "with": {"seconds": 0.01}, "times": None}, {"fault": "lost_event"}]
    assert len(control(exchange, "POST", "faults", body=json.dumps(more))[1]) == 2
    assert control(exchange, "POST", "faults", fault="banned", path="allOrders", times=3)[0] == 200
    with pytest.raises(BinanceAPIException, match="Too many requests"):
        limit(client, 50_000)
    hits = {rule["fault"]: rule["hits"] for rule in control(exchange, "GET", "faults")[1]}
    assert hits == {"too_many_requests": 1, "delayed": 1, "lost_event": 0, "banned": 0}
    left = control(exchange, "DELETE", "faults", fault="delayed")[1]
    assert [rule["fault"] for rule in left] == ["too_many_requests", "lost_event", "banned"]
    assert control(exchange, "DELETE", "faults") == (200, [])
    assert limit(client, 50_000)["status"] == "NEW"


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"fault": "banned", "with": {"hours": 1}}, "'hours'; expected seconds"),
        ({"fault": "banned", "with": {"seconds": "long"}}, "Expected `float`, got `str`"),
        ({"fault": "reset_unread", "with": {"seconds": 1}}, "expected nothing"),
        ({"fault": "banned", "times": "often"}, "Expected `int | null`"),
        ({"fault": "Fault"}, "fault 'Fault' is unknown"),
        ({}, "fault None is unknown"),
    ],
)
def test_a_wrong_fault_is_told_why(exchange, rule, said):
    """The error names the wrong argument and the valid ones, and no rule of the list is added."""
    rows = [{"fault": "lost_event"}, rule]
    status, answer = control(exchange, "POST", "faults", body=json.dumps(rows))
    assert (status, said in answer["msg"]) == (400, True), answer
    assert exchange.faults.injections == []


def test_requests_and_what_is_missing_are_listed(exchange, client):
    """The newest requests come with what became of them, without signatures; so does what is not there."""
    limit(client, 50_000)
    client.futures_get_open_orders()
    with pytest.raises(BinanceAPIException):
        client.futures_get_order(symbol="BTCUSDT", orderId=1)
    with pytest.raises(BinanceAPIException):
        client._request_futures_api("get", "nothing", signed=False)
    newest = control(exchange, "GET", "requests", limit=4)[1]
    assert [(row["method"], row["path"], row["httpStatus"], row["errorCode"]) for row in newest] == [
        ("POST", "/fapi/v1/order", 200, None),
        ("GET", "/fapi/v1/openOrders", 200, None),
        ("GET", "/fapi/v1/order", 400, -2013),
        ("GET", "/fapi/v1/nothing", 404, -5000),
    ]
    assert newest[0]["params"]["price"] == "50000"
    assert "signature" not in newest[0]["params"]
    missing = control(exchange, "GET", "unanswered")[1]
    assert [(row["kind"], row["name"], row["count"]) for row in missing] == [
        ("endpoint", "GET /fapi/v1/nothing", 1)
    ]


def test_no_key_is_shown(exchange):
    """What may be a key or a token is hidden in the lists of requests and of what is not there."""
    key, token = "aB3" * 21 + "x", "123456789:AAE-" + "x_Y" * 10
    for path in (
        f"/bot{token}/sendMessage",
        f"/ws-nothing/{key}",
        f"/fapi/v1/order?apiKey={key}&listenKey={key}",
    ):
        connection = http.client.HTTPConnection("127.0.0.1", exchange.port, timeout=60)
        connection.request("GET", path)
        connection.getresponse().read()
        connection.close()
    missing = control(exchange, "GET", "unanswered")[1]
    assert [row["name"] for row in missing] == ["GET /bot***/sendMessage", "GET /ws-nothing/***"]
    assert control(exchange, "GET", "requests", limit=1)[1][0]["params"] == {}


def test_a_key_is_accepted(exchange):
    """A bot with keys of its own is let in, with the permissions that it was given."""
    stranger = Client("own-key", "own-secret", ping=False)
    stranger.FUTURES_URL = f"{exchange.url}/fapi"
    with pytest.raises(BinanceAPIException, match="API-key"):
        stranger.futures_account_balance()
    asked = {"key": "own-key", "secret": "own-secret", "canTrade": False}
    assert control(exchange, "POST", "keys", body=json.dumps(asked))[0] == 200
    assert stranger.futures_account_balance()
    with pytest.raises(BinanceAPIException, match="permissions"):
        limit(stranger, 50_000)


def test_the_exchange_goes_back_to_what_was_saved(exchange, client):
    """Orders, prices and time are those of the moment of saving; later ones are gone."""
    kept = limit(client, 50_000)
    control(exchange, "POST", "price", symbol="BTCUSDT", price=61_000)
    saved = send(exchange, "GET", "saved").body
    limit(client, 51_000)
    control(exchange, "POST", "price", symbol="BTCUSDT", price=40_000)
    assert send(exchange, "POST", "saved", body=saved).status == 200
    assert [order["orderId"] for order in client.futures_get_open_orders()] == [kept["orderId"]]
    assert client.futures_mark_price(symbol="BTCUSDT")["markPrice"] == "61000.00000000"


def test_the_exchange_begins_again(exchange, client):
    """A reset has prices and account of the beginning; streams and logs learn what comes then."""
    heard = []
    exchange.engine.feed.listeners.append(heard.append)
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    control(exchange, "POST", "price", symbol="BTCUSDT", price=40_000)
    control(exchange, "POST", "advance", milliseconds=3_600_000)
    assert control(exchange, "POST", "reset")[0] == 200
    assert client.futures_position_information() == []
    assert exchange.engine.wallet == 10_000
    heard.clear()
    order = limit(client, 50_000)
    assert [event.order.order_id for event in heard] == [order["orderId"]]
    with pytest.raises(BinanceAPIException, match="Invalid symbol"):
        limit(client, 1, symbol="NOSUCHUSDT")
    assert [missing.name for missing in exchange.unanswered] == ["NOSUCHUSDT"]


def test_a_body_does_as_well_as_a_query(exchange):
    """What `curl -d` sends is read."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    status, answer = control(exchange, "POST", "price", headers=form, body="symbol=BTCUSDT&price=61000")
    assert (status, answer["last"]) == (200, "61000.00")


@pytest.mark.parametrize(
    ("method", "action", "params", "status", "said"),
    [
        ("POST", "price", {"symbol": "BTCUSDT"}, 400, "no price was sent"),
        ("POST", "price", {"symbol": "BTCUSDT", "price": 0}, 400, "is invalid; expected a number above zero"),
        (
            "POST",
            "price",
            {"symbol": "BTCUSDT", "price": "much"},
            400,
            "`$.price`; expected symbol; optional: price, mark",
        ),
        ("POST", "price", {"symbol": "NONE", "price": 1}, 400, "Invalid symbol."),
        ("POST", "fill", {"symbol": "BTCUSDT", "orderId": 1}, 400, "Order does not exist."),
        ("POST", "advance", {"milliseconds": -1}, 400, "time cannot go back"),
        ("POST", "advance", {}, 400, "missing required field `milliseconds`; expected milliseconds"),
        ("POST", "advance", {"milliseconds": 1, "s": 1}, 400, "unknown field `s`; expected milliseconds"),
        ("POST", "fill", {"symbol": "BTCUSDT"}, 400, "expected `orderId` or `origClientOrderId`"),
        ("POST", "book", {"symbol": "BTCUSDT", "bids": "[[1, 2]]"}, 400, "expected symbol, bids, asks"),
        ("POST", "trade", {"symbol": "BTCUSDT", "price": 1, "quantity": 0}, 400, "a number above zero"),
        ("POST", "faults", {"fault": "hunger"}, 400, "fault 'hunger' is unknown"),
        (
            "POST",
            "faults",
            {"fault": "banned", "often": 3},
            400,
            "unknown field `often`; expected fault, with",
        ),
        ("POST", "market", {"mode": "up"}, 400, "'up' is invalid; expected one of flat, random"),
        ("POST", "market", {"mode": "flat", "speed": -1}, 400, "speed=-1.0 is invalid; expected steps"),
        (
            "POST",
            "market",
            {"mode": "replay", "files": '["/no/BTCUSDT.csv"]'},
            400,
            "expected a file of candles",
        ),
        ("GET", "requests", {"limit": 0}, 400, "limit=0 is invalid; expected 1 or more"),
        ("POST", "keys", {"key": "k"}, 400, "expected key, secret; optional: canRead, canTrade"),
        ("POST", "reset", {"hard": 1}, 400, "unknown field `hard`; expected nothing"),
        ("POST", "saved", {}, 400, "not a saved exchange"),
        ("GET", "price", {}, 404, "expected one of GET /exchange/state"),
        ("POST", "nothing", {}, 404, "unknown control request"),
    ],
)
def test_a_wrong_request_is_told_why(exchange, method, action, params, status, said):
    """Each mistake is answered with what was expected, and changes nothing."""
    before = exchange.engine.quote("BTCUSDT")
    answered, answer = control(exchange, method, action, **params)
    assert (answered, said in answer["msg"]) == (status, True), answer
    assert exchange.engine.quote("BTCUSDT") == before
