"""Binance's official SDK, genuine, on the local exchange: its orders are recorded, judged and concluded."""

import contextlib
import importlib.util
import inspect
import os
import pickle
import re
import socket
import time
from decimal import Decimal
from unittest import mock

import pytest
from odd_server import OddServer, answer, reset
from record_sink import keep_record
from repository import ROOT

import exit_shim
from exit_shim.clients.accounts import label_of
from exit_shim.clients.binance_sdk import denial
from exit_shim.clients.binance_sdk_doors import PACKAGE, REST_DOORS, WEBSOCKET_DOORS
from exit_shim.clients.registry import can_be_cloned, clone_client
from exit_shim.domain.events import Resolution
from exit_shim.errors import ExitOrderDenied
from exit_shim.guard.policy import parse_policy
from exit_shim.resolving import RetryPolicy
from exit_shim.testing import faults

if importlib.util.find_spec(PACKAGE) is None:
    assert not os.environ.get("EXIT_SHIM_FOREIGN_CLIENTS"), f"{PACKAGE} is missing: pip install it"
    pytest.skip(f"{PACKAGE} is not installed; pip install 'exit_shim[clients]'", allow_module_level=True)

from binance_common import errors
from binance_common.configuration import ConfigurationRestAPI, ConfigurationWebSocketAPI
from binance_common.models import ApiResponse
from binance_common.signature import Signers
from binance_common.utils import get_signature
from binance_sdk_derivatives_trading_usds_futures import DerivativesTradingUsdsFutures
from binance_sdk_derivatives_trading_usds_futures.rest_api.models import (
    ModifyMultipleOrdersBatchOrdersParameterInner,
    NewAlgoOrderResponse,
    NewAlgoOrderSideEnum,
    NewAlgoOrderTypeEnum,
    PlaceMultipleOrdersBatchOrdersParameterInner,
)
from binance_sdk_derivatives_trading_usds_futures.rest_api.rest_api import (
    DerivativesTradingUsdsFuturesRestAPI,
)
from binance_sdk_derivatives_trading_usds_futures.websocket_api import models
from Crypto.PublicKey import ECC, RSA

KEY, SECRET, PROXY_PASSWORD = "PlAnTeDkEy4711", "pLaNtEdSeCrEt0815", "pLaNtEdPaSs42"
SYMBOL, OWNER, LEGACY = "BTCUSDT", "exit_brain_v3", "position_monitor"
STOP = {"algo_type": "CONDITIONAL", "symbol": SYMBOL, "side": "SELL", "type": "STOP_MARKET"}
WHOLE = {**STOP, "trigger_price": 50_000, "close_position": "true"}
TARGET = {**WHOLE, "type": "TAKE_PROFIT_MARKET", "trigger_price": 70_000}
LIMIT = {
    "symbol": SYMBOL,
    "side": "SELL",
    "type": "LIMIT",
    "quantity": 0.01,
    "price": 70_000.0,
    "time_in_force": "GTC",
    "reduce_only": "true",
}
CLOSE = {"symbol": SYMBOL, "side": "SELL", "type": "MARKET", "quantity": 0.01, "reduce_only": "true"}


def client_on(url, **options):
    """A client of the SDK, as a bot makes it."""
    options = {"retries": 1, "backoff": 1, "timeout": 5000, **options}
    return DerivativesTradingUsdsFutures(
        ConfigurationRestAPI(KEY, SECRET, base_path=url, **options),
        ConfigurationWebSocketAPI(KEY, SECRET, stream_url=f"{url.replace('http', 'ws')}/ws-fapi/v1"),
    )


@pytest.fixture
def sdk(exchange):
    """A client of the SDK on the local exchange, with a position of 0.02."""
    exchange.register(KEY, SECRET)
    client = client_on(exchange.url)
    client.rest_api.new_order(SYMBOL, "BUY", "MARKET", quantity=0.02)
    yield client
    client.rest_api._session.close()


@pytest.fixture(params=["the client", "its REST API", "the class"])
def rest(request, sdk):
    """The REST API of a client under the shim, by each way to cover it."""
    if request.param == "the class":
        exit_shim.install()
        return sdk.rest_api
    if request.param == "its REST API":
        return exit_shim.wrap(sdk.rest_api)
    return exit_shim.wrap(sdk).rest_api


def lines_of(records, *names):
    """The records' lines, as tuples of some of their fields."""
    return [tuple(record.flat()[name] for name in names) for record in records]


# Recorded


def test_orders_of_each_kind_are_recorded(rest, recorded):
    """Each is recorded once, with door, kind, trigger, module and the exchange's ids."""
    stop = rest.new_algo_order(**WHOLE, client_algo_id="mine").data()
    target = rest.new_algo_order(**TARGET).data()
    trail = rest.new_algo_order(
        **{**STOP, "type": "TRAILING_STOP_MARKET"}, quantity=0.01, callback_rate=1.5, reduce_only="true"
    ).data()
    close = rest.new_order(**CLOSE).data()
    rest.test_order(SYMBOL, "SELL", "MARKET", reduce_only="true", quantity=0.01)
    lines = lines_of(recorded(), "door", "operation", "kind", "trigger_price", "algo_id", "order_id")
    algo, order = "POST /fapi/v1/algoOrder", "POST /fapi/v1/order"
    assert lines == [
        (algo, "place", "sl", "50000", stop.algo_id, None),
        (algo, "place", "tp", "70000", target.algo_id, None),
        (algo, "place", "trailing", None, trail.algo_id, None),
        (order, "place", "close", None, None, close.order_id),
        ("POST /fapi/v1/order/test", "test", "close", None, None, 0),
    ]
    who = {"module": "test_binance_sdk", "function": "test_orders_of_each_kind_are_recorded"}
    for record in recorded():
        line = record.flat()
        assert {name: line[name] for name in who} == who
        assert (line["outcome"], line["evidence"]) == ("accepted", "stack")
    assert recorded()[0].flat()["client_order_id"] == "mine"


def test_cancels_and_changes_know_their_targets(rest, recorded):
    """A cancel or change names the order that it is about, its kind and its module; so does a cancel-all."""
    stop = rest.new_algo_order(**WHOLE).data()
    resting = rest.new_order(**LIMIT).data()
    rest.modify_order(SYMBOL, "SELL", 0.01, 71_000.0, order_id=resting.order_id)
    rest.cancel_algo_order(algo_id=stop.algo_id)
    rest.cancel_order(SYMBOL, resting.order_id)
    both = [rest.new_order(**LIMIT).data().order_id for _ in range(2)]
    rest.cancel_multiple_orders(SYMBOL, order_id_list=both)
    rest.new_algo_order(**WHOLE)
    rest.auto_cancel_all_open_orders(SYMBOL, 60_000)
    rest.cancel_all_open_orders(SYMBOL)
    rest.cancel_all_algo_open_orders(SYMBOL)
    records = [record for record in recorded() if record.flat()["operation"] != "place"]
    assert lines_of(records, "door", "kind", "outcome") == [
        ("PUT /fapi/v1/order", "other_exit", "accepted"),
        ("DELETE /fapi/v1/algoOrder", "sl", "accepted"),
        ("DELETE /fapi/v1/order", "other_exit", "accepted"),
        ("DELETE /fapi/v1/batchOrders", "other_exit", "accepted"),
        ("DELETE /fapi/v1/batchOrders", "other_exit", "accepted"),
        ("POST /fapi/v1/countdownCancelAll", "unknown", "accepted"),
        ("DELETE /fapi/v1/allOpenOrders", "unknown", "accepted"),
        ("DELETE /fapi/v1/algoOpenOrders", "sl", "accepted"),
    ]
    targets = [target for record in records for target in record.intent.targets]
    assert {target.module for target in targets} == {"test_binance_sdk"}
    assert next(target.algo_id for target in targets if target.kind == "sl") == stop.algo_id


def test_batches_are_recorded_order_by_order(rest, recorded):
    """Each order of a batch has its own ids or its own refusal, as models or as tables."""
    model = PlaceMultipleOrdersBatchOrdersParameterInner
    made = rest.place_multiple_orders(
        [model(**LIMIT), {**LIMIT, "price": 7.0}, {**CLOSE, "side": "BUY"}]
    ).data()
    changed = ModifyMultipleOrdersBatchOrdersParameterInner(
        order_id=made[0].order_id, symbol=SYMBOL, side="SELL", quantity=0.01, price=71_000.0
    )
    rest.modify_multiple_orders([changed])
    assert lines_of(recorded(), "door", "outcome", "order_id", "price", "error_code") == [
        ("POST /fapi/v1/batchOrders", "accepted", made[0].order_id, "70000.0", None),
        ("POST /fapi/v1/batchOrders", "rejected", None, "7.0", -4013),
        ("POST /fapi/v1/batchOrders", "rejected", None, None, made[2].code),
        ("PUT /fapi/v1/batchOrders", "accepted", made[0].order_id, "71000.0", None),
    ]


def test_the_fields_are_those_that_arrive(exchange, sdk):
    """Positional arguments, enums, models, numbers and flags are read as the exchange receives them."""
    calls = [
        ("new_algo_order", ("CONDITIONAL", SYMBOL, NewAlgoOrderSideEnum.SELL), {
            "type": NewAlgoOrderTypeEnum["STOP_MARKET"], "trigger_price": Decimal("5E+4"), "quantity": 0.01,
            "reduce_only": True, "client_algo_id": None, "recv_window": 5000}),
        ("new_order", (SYMBOL, "SELL", "LIMIT", None, "GTC"), {"quantity": 0.01, "price": 7e4}),
        ("place_multiple_orders", ([PlaceMultipleOrdersBatchOrdersParameterInner(**LIMIT)],), {}),
        ("cancel_multiple_orders", (SYMBOL, [1, 2]), {}),
    ]  # fmt: skip
    doors = {door.method: door for door in REST_DOORS}
    for name, args, kwargs in calls:
        with contextlib.suppress(errors.BadRequestError):
            getattr(sdk.rest_api, name)(*args, **kwargs)
        request = exchange.requests[-1]
        asked = doors[name].describe(args, kwargs)
        sent = {key: value for key, value in request.params.items() if key not in {"timestamp", "signature"}}
        read = {key: str(value).replace("'", '"').replace(" ", "") for key, value in asked.params.items()}
        assert read == sent
        assert asked.door.method == f"{request.method} {request.path}"


def test_an_entry_is_not_recorded_and_a_query_is_passed(rest, recorded):
    """What is no exit is counted, and queries return what the exchange says."""
    entry = rest.new_order(SYMBOL, "BUY", "MARKET", quantity=0.01).data()
    assert rest.query_order(SYMBOL, entry.order_id).data().order_id == entry.order_id
    stop = rest.new_algo_order(**WHOLE).data()
    assert rest.query_algo_order(algo_id=stop.algo_id).data().algo_status == "NEW"
    assert lines_of(recorded(), "kind") == [("sl",)]


def test_the_wrapped_client_is_the_same_to_the_bot(sdk):
    """Its parts keep their identity and class, and what a method returns is the SDK's own response."""
    client = exit_shim.wrap(sdk)
    assert client.rest_api is client.rest_api
    assert client.websocket_api is client.websocket_api
    assert isinstance(client.rest_api, DerivativesTradingUsdsFuturesRestAPI)
    assert inspect.signature(client.rest_api.new_order) == inspect.signature(sdk.rest_api.new_order)
    response = client.rest_api.new_algo_order(**WHOLE)
    assert type(response).__name__ == "ApiResponse"
    assert (response.status, response.data().algo_status) == (200, "NEW")


def test_the_answer_is_read_without_the_bots_data(rest, recorded, monkeypatch):
    """`data()` is the bot's: for the record it is not called, and nothing is parsed again."""
    parse = mock.Mock(wraps=NewAlgoOrderResponse.from_dict)
    monkeypatch.setattr(NewAlgoOrderResponse, "from_dict", parse)
    monkeypatch.setattr(ApiResponse, "data", mock.Mock(side_effect=ValueError("no model fits")))
    rest.new_algo_order(**WHOLE, client_algo_id="mine")
    ((outcome, algo_id),) = lines_of(recorded(), "outcome", "algo_id")
    assert outcome == "accepted"
    assert algo_id > 0
    assert parse.call_count == 1


@pytest.mark.parametrize("is_parsed", [True, False])
def test_an_answer_of_another_release_is_read_or_left(rest, recorded, is_parsed):
    """Where the answer is kept elsewhere it is parsed; where that fails the order is in doubt, quietly."""

    def data_function():
        if not is_parsed:
            raise ValueError("no model fits")
        return mock.Mock(model_dump=lambda **_: {"algoId": 7})

    module = f"{PACKAGE}.rest_api.api.trade_api.send_request"
    with mock.patch(module, return_value=ApiResponse(data_function, 200, {})):
        rest.new_algo_order(**WHOLE)
    assert lines_of(recorded(), "outcome", "algo_id") == [("accepted", 7) if is_parsed else ("unknown", None)]


def test_another_release_without_some_methods(exchange, sdk, monkeypatch, recorded):
    """Its other methods are doors all the same, and what is missing is missing through the proxy, too."""
    monkeypatch.delattr(DerivativesTradingUsdsFuturesRestAPI, "cancel_algo_order")
    exit_shim.install()
    client = exit_shim.wrap(sdk)
    assert not hasattr(client.rest_api, "cancel_algo_order")
    client.rest_api.new_algo_order(**WHOLE)
    assert lines_of(recorded(), "kind") == [("sl",)]


def test_the_accounts_label_is_that_of_the_key_and_address(sdk, exchange):
    """The client, its REST API and its WebSocket API are one account."""
    labels = {label_of(client) for client in (sdk, sdk.rest_api, sdk.websocket_api, exit_shim.wrap(sdk))}
    assert len(labels) == 1
    assert labels.pop().endswith(f"@127.0.0.1:{exchange.port}")
    live = DerivativesTradingUsdsFutures(
        ConfigurationRestAPI(KEY, SECRET), ConfigurationWebSocketAPI(KEY, SECRET)
    )
    assert "@" not in label_of(live.rest_api)
    assert label_of(live.websocket_api) == label_of(live.rest_api)


# Failures

UNKNOWN_503 = "Unknown error, please check your request or try again later."
ANSWERS = {
    "refused": (answer(400, {"code": -2021, "msg": "Order would immediately trigger."}), "rejected", -2021),
    "in doubt": (answer(400, {"code": -1006, "msg": "Execution status unknown."}), "unknown", -1006),
    "bad key": (answer(401, {"code": -2015, "msg": "Invalid API-key."}), "rejected", -2015),
    "firewall": (answer(403, "<html>WAF</html>", "text/html"), "rejected", None),
    "not there": (answer(404, "<html>404</html>", "text/html"), "rejected", None),
    "backend": (answer(408, {"code": -1007, "msg": "Timeout waiting for response"}), "unknown", None),
    "banned": (answer(418, {"code": -1003, "msg": "Way too many requests; banned"}), "rejected", -1003),
    "too many": (answer(429, {"code": -1003, "msg": "Too many requests."}), "rejected", -1003),
    "503": (answer(503, {"code": -1000, "msg": UNKNOWN_503}), "unknown", None),
    "502": (answer(502, "<html>Bad Gateway</html>", "text/html"), "unknown", None),
    "no JSON": (answer(200, "<html>proxy</html>", "text/html"), "unknown", None),
    "no order": (answer(200, {}), "unknown", None),
    "reset": (reset, "unknown", None),
}


def end_of(client):
    """What a bot gets for an order: the type of an answer, or the error."""
    try:
        return type(client.new_order(**CLOSE).data())
    except Exception as error:  # noqa: BLE001 - compared as a whole
        return f"{type(error)} {error}"


@pytest.mark.parametrize("case", ANSWERS)
def test_what_a_failure_proves(case, recorded):
    """Each failure is recorded as what it proves, sent once, and raised as without the shim."""
    behave, outcome, code = ANSWERS[case]
    with OddServer(behave) as server:
        client = client_on(server.url).rest_api
        ends = [end_of(sender) for sender in (client, exit_shim.wrap(client))]
        client._session.close()
    assert len(server.requests) == 2
    assert ends[0] == ends[1]
    assert lines_of(recorded(), "outcome", "error_code") == [(outcome, code)]


def test_what_was_never_sent(recorded):
    """No connection, a missing field and an unknown argument: nothing left."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    rest = exit_shim.wrap(client_on(url)).rest_api
    for error, fields in (
        (errors.NetworkError, CLOSE),
        (errors.RequiredError, {**CLOSE, "side": None}),
        (TypeError, {**CLOSE, "stopPrice": 1}),
    ):
        with pytest.raises(error):
            rest.new_order(**fields)
    assert lines_of(recorded(), "outcome") == [("not_sent",)] * 3


def test_the_sdks_own_raw_request_is_recorded(rest, recorded):
    """It is broken in 18.1.0, before it sends; a release that mends it sends an order that is recorded."""
    fields = {"algoType": "CONDITIONAL", "symbol": SYMBOL, "side": "SELL", "type": "STOP_MARKET"}
    more = {"triggerPrice": 50_000, "closePosition": "true"}
    try:
        rest.send_signed_request("/fapi/v1/algoOrder", "POST", fields, more)
        expected = "accepted"
    except TypeError:
        expected = "not_sent"
    rest_of = lines_of(recorded(), "door", "kind", "trigger_price", "outcome")
    assert rest_of == [("POST /fapi/v1/algoOrder", "sl", "50000", expected)]


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        ([(400, {"code": -2011, "msg": "Unknown order sent."})], "rejected"),
        ([(503, {}), (400, {"code": -2011, "msg": "Unknown order sent."})], "unknown"),
        ([(503, {}), (200, {"orderId": 7, "status": "CANCELED"})], "accepted"),
    ],
)
def test_only_a_cancel_that_was_repeated_is_in_doubt(answers, outcome, recorded):
    """The SDK repeats a cancel after HTTP 503: a refusal of the second may be due to the first."""
    left = [answer(status, body) for status, body in answers]

    def answer_next(connection, request):
        left.pop(0)(connection, request)

    with OddServer(answer_next) as server:
        rest = exit_shim.wrap(client_on(server.url)).rest_api
        with contextlib.suppress(errors.BadRequestError):
            rest.cancel_order(SYMBOL, 7)
        rest._session.close()
    assert len(server.requests) == len(answers)
    assert lines_of(recorded(), "outcome") == [(outcome,)]


def test_no_secret_is_left(tmp_path, caplog, exchange):
    """Key, secret and a proxy's password are in no file and no line, whatever fails."""
    url = f"http://127.0.0.1:{exchange.port}"
    proxy = {
        "protocol": "http",
        "host": "127.0.0.1",
        "port": 1,
        "auth": {"username": "u", "password": PROXY_PASSWORD},
    }
    for options in ({}, {"proxy": proxy}):
        rest = exit_shim.wrap(client_on(url, **options)).rest_api
        for fields in (CLOSE, {**CLOSE, "new_client_order_id": KEY}, {**CLOSE, "symbol": SECRET}):
            with pytest.raises(errors.Error):
                rest.new_order(**fields)
        rest._session.close()
    exit_shim.shim.default_shim().close()
    left = caplog.text + "".join(
        file.read_bytes().decode("latin-1") for file in tmp_path.rglob("*") if file.is_file()
    )
    secrets = (KEY, SECRET, PROXY_PASSWORD)
    assert [secret for secret in secrets if secret in left or secret.upper() in left] == []


# Judged


class Bot:
    """A shim that enforces around a client of the SDK."""

    def __init__(self, client, denied="raise"):
        self.records = []
        text = f'level = "enforce"\n[modes.EXIT_BRAIN_V3]\nowners = ["{OWNER}"]\nlegacy = ["{LEGACY}"]\n'
        policy = parse_policy(text + f'on_deny = "{denied}"\n', "it")
        self.shim = exit_shim.ExitShim(journal=False, policy=policy, mode="EXIT_BRAIN_V3", sinks=[self])
        self.client = self.shim.wrap(client)

    def on(self, recorded):
        keep_record(self.records, recorded)

    def by(self, module, method, *args, **fields):
        with exit_shim.attributed(module):
            return getattr(self.client.rest_api, method)(*args, **fields)

    def ends(self):
        self.shim.flush()
        return [(record.intent.attribution.module, record.flat()["outcome"]) for record in self.records]


@pytest.fixture
def make_bot(sdk):
    """Make bots on the local exchange."""
    made = []

    def make(denied="raise"):
        made.append(Bot(sdk, denied))
        return made[-1]

    yield make
    for bot in made:
        bot.shim.close()


@pytest.mark.parametrize("denied", ["raise", "return_none"])
def test_under_cover_a_legacy_order_is_denied(make_bot, exchange, denied):
    """The owner's stop covers the position, so a legacy stop and cancel raise the SDK's own error."""
    bot = make_bot(denied)
    owners = bot.by(OWNER, "new_algo_order", **WHOLE).data()
    for method, fields in (
        ("new_algo_order", {**TARGET, "trigger_price": 71_000}),
        ("new_order", LIMIT),
        ("cancel_algo_order", {"algo_id": owners.algo_id}),
        ("cancel_all_algo_open_orders", {"symbol": SYMBOL}),
    ):
        with pytest.raises(errors.BadRequestError) as raised:
            bot.by(LEGACY, method, **fields)
        assert isinstance(raised.value, ExitOrderDenied)
        assert raised.value.status_code == -2010
        assert LEGACY in raised.value.error_message
    assert [row["algoId"] for row in exchange.open_algo_orders()] == [owners.algo_id]
    assert exchange.open_orders() == []
    assert bot.ends() == [(OWNER, "accepted"), *[(LEGACY, "denied")] * 4]


def test_without_cover_a_legacy_stop_goes_out(make_bot, exchange):
    """Nothing protects the position, so it is sent, and the record says that it was let out."""
    bot = make_bot()
    bot.by(LEGACY, "new_algo_order", **WHOLE)
    assert len(exchange.open_algo_orders()) == 1
    bot.shim.flush()
    assert [reason.code for reason in bot.records[-1].reasons][-1] == "PROTECTIVE_OVERRIDE"


def test_a_simulated_order_is_answered_like_a_real_one(make_bot, exchange):
    """The bot gets a response with parsed data, can ask for the order and cancel it; nothing is sent."""
    bot = make_bot("simulate")
    bot.by(OWNER, "new_algo_order", **WHOLE)
    response = bot.by(LEGACY, "new_algo_order", **{**TARGET, "trigger_price": 71_000})
    placed = response.data()
    assert (type(placed).__name__, placed.algo_status, response.status) == (
        "NewAlgoOrderResponse",
        "NEW",
        200,
    )
    assert bot.by(LEGACY, "query_algo_order", algo_id=placed.algo_id).data().algo_id == placed.algo_id
    assert str(bot.by(LEGACY, "cancel_algo_order", algo_id=placed.algo_id).data().algo_id) == str(
        placed.algo_id
    )
    batch = bot.by(LEGACY, "place_multiple_orders", [LIMIT]).data()
    assert [type(order).__name__ for order in batch] == ["PlaceMultipleOrdersResponse"]
    assert len(exchange.open_algo_orders()) == 1
    assert exchange.open_orders() == []


def test_a_denial_can_be_pickled():
    """It arrives in another process as what it is."""
    arrived = pickle.loads(pickle.dumps(denial("no", (), -2010)))
    assert isinstance(arrived, errors.BadRequestError)
    assert isinstance(arrived, ExitOrderDenied)
    assert (arrived.status_code, arrived.error_message, arrived.code) == (-2010, "no", -2010)


class Resolutions:
    """A sink that keeps how orders in doubt were concluded."""

    def __init__(self):
        self.found = []

    def on(self, recorded):
        if isinstance(recorded.event, Resolution):
            self.found.append(recorded.event)


@pytest.mark.parametrize("is_executed", [True, False])
def test_an_order_in_doubt_is_concluded(exchange, sdk, is_executed):
    """The exchange is asked with the SDK's key and address, and what it says concludes the order."""
    sink = Resolutions()
    pace = RetryPolicy(absent_after_s=0.6, looks=3, first_s=0.02, longest_s=0.2, weight_a_minute=600)
    shim = exit_shim.ExitShim(sinks=[sink], resolve=pace)
    exchange.faults.inject(faults.unknown_error(executed=is_executed), path="algoOrder")
    with pytest.raises(errors.ServerError):
        shim.wrap(sdk).rest_api.new_algo_order(**WHOLE, client_algo_id="mine")
    until = time.monotonic() + 60
    while not sink.found:
        assert time.monotonic() < until
        time.sleep(0.02)
    shim.close()
    assert [event.result for event in sink.found] == ["accepted" if is_executed else "not_there"]


# Clones


@pytest.mark.parametrize("kind", ["RSA", "Ed25519"])
@pytest.mark.parametrize("is_path", [True, False])
@pytest.mark.parametrize("passphrase", [None, "open sesame"])
def test_a_clone_signs_with_the_private_key(tmp_path, kind, is_path, passphrase):
    """An RSA or Ed25519 key, as text or path, with or without a passphrase, signs as the SDK does."""
    protection = (
        {"passphrase": passphrase, "protection": "PBKDF2WithHMAC-SHA1AndAES128-CBC"} if passphrase else {}
    )
    key = RSA.generate(2048) if kind == "RSA" else ECC.generate(curve="ed25519")
    options = {"pkcs": 8} if kind == "RSA" else {"use_pkcs8": True}
    pem = key.export_key(format="PEM", **options, **protection)
    pem = pem.decode() if isinstance(pem, bytes) else pem
    (tmp_path / "key.pem").write_text(pem)
    private_key = str(tmp_path / "key.pem") if is_path else pem
    configuration = ConfigurationRestAPI(
        KEY, base_path="http://127.0.0.1:1", private_key=private_key, private_key_passphrase=passphrase
    )
    client = DerivativesTradingUsdsFuturesRestAPI(configuration)
    assert can_be_cloned(client)
    clone = clone_client(client).client()
    signature = clone._generate_signature({"symbol": SYMBOL}, uri_encode=False)
    assert signature == get_signature(
        configuration, f"symbol={SYMBOL}", Signers.get_signer(private_key, passphrase)
    )
    clone.session.close()


def test_a_clone_asks_as_the_client_does(exchange, sdk):
    """Address, key, time limit, proxy and the session's settings are the client's; the answer is right."""
    proxy = {"protocol": "http", "host": "10.0.0.1", "port": 8080, "auth": {"username": "u", "password": "p"}}
    with_proxy = client_on(exchange.url, proxy=proxy, timeout=1500)
    with_proxy.rest_api._session.verify = False
    taken = clone_client(with_proxy).client()
    assert taken._requests_params == {
        "timeout": 1.5,
        "proxies": dict.fromkeys(("http", "https"), "http://u:p@10.0.0.1:8080"),
    }
    assert taken.session.verify is False
    for client in (sdk, sdk.rest_api, sdk.websocket_api):
        asking = clone_client(client).client()
        (position,) = asking.futures_position_information(symbol=SYMBOL)
        assert float(position["positionAmt"]) == 0.02
        asking.session.close()


def test_wrapping_makes_nothing_of_the_client(tmp_path):
    """The REST API is made when the bot asks for it, and a key that cannot be read fails there."""
    configuration = ConfigurationRestAPI(KEY, private_key=str(tmp_path / "no.pem"))
    client = exit_shim.wrap(DerivativesTradingUsdsFutures(configuration))
    assert configuration.base_path is None
    with pytest.raises(ValueError, match="private key"):
        _ = client.rest_api


def test_what_does_not_really_send_is_not_cloned(sdk):
    """A mock, a client without credentials and one whose methods or transport were replaced."""
    kind = DerivativesTradingUsdsFuturesRestAPI
    nameless = kind(ConfigurationRestAPI(base_path="http://127.0.0.1:1"))
    replaced = kind(sdk.rest_api.configuration)
    replaced.new_order = print
    own = type("Own", (kind,), {"new_order": lambda *_, **__: None})(sdk.rest_api.configuration)
    assert can_be_cloned(sdk.rest_api)
    for client in (mock.create_autospec(kind), nameless, replaced, own):
        assert not can_be_cloned(client)
    with mock.patch(f"{PACKAGE}.rest_api.api.trade_api.send_request"):
        assert not can_be_cloned(sdk.rest_api)


# The WebSocket API


@pytest.fixture(params=["the client", "its WebSocket API", "the class"])
async def websocket(request, sdk):
    """A connection of the WebSocket API under the shim, by each way to cover it."""
    if request.param == "the class":
        exit_shim.install()
        api = sdk.websocket_api
    else:
        api = (
            exit_shim.wrap(sdk.websocket_api)
            if request.param == "its WebSocket API"
            else exit_shim.wrap(sdk).websocket_api
        )
    connection = await api.create_connection()
    yield connection
    await connection.close_connection()


async def test_orders_by_websocket_are_recorded_once(websocket, recorded):
    """Places, changes and cancels have door, module, ids, targets and the refusal that is returned."""
    stop = (await websocket.new_algo_order(**WHOLE)).data().result
    await websocket.cancel_algo_order(algo_id=stop.algo_id)
    resting = (await websocket.new_order(**LIMIT)).data().result
    await websocket.modify_order(SYMBOL, "SELL", 0.01, 71_000.0, order_id=resting.order_id)
    await websocket.cancel_order(SYMBOL, order_id=resting.order_id)
    refused = await websocket.new_algo_order(**{**WHOLE, "trigger_price": 90_000})
    assert refused.data()["error"]["code"] == -2021
    second = (await websocket.new_algo_order(**WHOLE)).data().result
    await websocket.send_signed_message(
        {"method": "algoOrder.cancel", "params": {"algo_id": second.algo_id}}, websocket.signer
    )
    lines = lines_of(recorded(), "door", "kind", "outcome", "error_code")
    assert lines == [
        ("WS algoOrder.place", "sl", "accepted", None),
        ("WS algoOrder.cancel", "sl", "accepted", None),
        ("WS order.place", "other_exit", "accepted", None),
        ("WS order.modify", "other_exit", "accepted", None),
        ("WS order.cancel", "other_exit", "accepted", None),
        ("WS algoOrder.place", "sl", "rejected", -2021),
        ("WS algoOrder.place", "sl", "accepted", None),
        ("WS algoOrder.cancel", "sl", "accepted", None),
    ]
    assert {line for (line,) in lines_of(recorded(), "module")} == {"test_binance_sdk"}
    assert recorded()[0].flat()["algo_id"] == stop.algo_id


async def test_an_answer_by_websocket_that_no_model_fits_is_read(websocket, recorded, monkeypatch):
    """The bot's `data()` fails then; the record has what the exchange said."""
    monkeypatch.setattr(
        models.NewAlgoOrderResponse, "model_validate", mock.Mock(side_effect=ValueError("no"))
    )
    await websocket.new_algo_order(**WHOLE)
    ((outcome, algo_id),) = lines_of(recorded(), "outcome", "algo_id")
    assert outcome == "accepted"
    assert algo_id > 0


@pytest.mark.parametrize("denied", ["raise", "simulate"])
async def test_an_order_by_websocket_is_held_back(make_bot, exchange, denied):
    """Under an owner's cover a legacy order is denied with the SDK's error, or answered as if it rested."""
    bot = make_bot(denied)
    bot.by(OWNER, "new_algo_order", **WHOLE)
    connection = await bot.client.websocket_api.create_connection()
    with exit_shim.attributed(LEGACY):
        placing = connection.new_algo_order(**{**TARGET, "trigger_price": 71_000})
        if denied == "raise":
            with pytest.raises(errors.BadRequestError):
                await placing
        else:
            assert (await placing).data().result.algo_status == "NEW"
    await connection.close_connection()
    assert len(exchange.open_algo_orders()) == 1


async def test_an_order_without_a_connection_was_not_sent(sdk, recorded):
    """The WebSocket API says so by an error of its own."""
    api = exit_shim.wrap(sdk.websocket_api)
    with pytest.raises(ValueError, match="No WebSocket connections"):
        await api.new_algo_order(**WHOLE)
    assert lines_of(recorded(), "outcome") == [("not_sent",)]


def test_the_doors_of_websocket_orders_read_their_own_arguments():
    """The fourth positional argument is the message's id there, and a position side by REST."""
    args = SYMBOL, "SELL", "LIMIT", "BOTH"
    (by_rest,) = [door.describe(args, {}) for door in REST_DOORS if door.method == "new_order"]
    (by_websocket,) = [door.describe(args, {}) for door in WEBSOCKET_DOORS if door.method == "new_order"]
    assert by_rest.params["positionSide"] == by_websocket.params["id"] == "BOTH"


def test_the_examples_of_its_page_run(exchange, sdk, recorded):
    """The page's Python examples run as they stand, the orders on the local exchange."""
    page, names = (ROOT / "docs/how-to/binance-sdk.md").read_text(), {}
    for example in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(example, "binance-sdk.md", "exec"), names)
        names["client"] = exit_shim.wrap(sdk)
    assert lines_of(recorded(), "kind", "outcome") == [("sl", "accepted")]


def test_the_rest_api_in_a_client_cannot_be_replaced(exchange):
    """As without the shim: the property has no setter."""
    for client in (client_on(exchange.url), exit_shim.wrap(client_on(exchange.url))):
        with pytest.raises(AttributeError):
            client.rest_api = None
        with pytest.raises(AttributeError):
            del client.rest_api
