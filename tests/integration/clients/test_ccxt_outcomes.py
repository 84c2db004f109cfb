"""What ccxt's answers and exceptions prove of an order, and what they must not show."""

import asyncio
import contextlib

import pytest
from ccxt_world import LIMIT, SELL, STOP, SYMBOL, Desk, connect, need_ccxt
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from exit_shim.clients.answers import read_failure
from exit_shim.clients.ccxt import CCXT
from exit_shim.testing import faults
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET

need_ccxt()

import ccxt  # noqa: E402 - where it is installed

WHAT = ("outcome", "error_code")

FAULTS = {
    "503 unknown": (faults.unknown_error(executed=True), "unknown", None),
    "503 page": (faults.html_error(executed=True), "unknown", None),
    "408 -1007": (faults.timed_out(executed=True), "unknown", -1007),
    "-1006": (faults.unexpected_response(executed=True), "unknown", -1006),
    "reset": (faults.reset_after_execution(), "unknown", None),
    "no answer in time": (faults.delayed(2, answer_only=True), "unknown", None),
    "503 unavailable": (faults.service_unavailable(), "rejected", None),
    "-1001": (faults.internal_error(), "rejected", -1001),
    "429": (faults.too_many_requests(), "rejected", -1003),
    "418": (faults.banned(0.01), "rejected", -1003),
    "403 page": (faults.html_error(403), "rejected", None),
}


@pytest.fixture
def desk():
    own = Desk()
    yield own
    own.shim.close()


def failing(exchange, name):
    fault, outcome, code = FAULTS[name]
    exchange.faults.clear()
    exchange.faults.inject(fault, path="algoOrder")
    return outcome, code


def test_what_each_failure_proves(desk, exchange):
    """A refusal is rejected whatever exception ccxt makes of it; what may have been executed is in doubt."""
    client = desk.shim.wrap(connect(exchange, timeout=700))
    client.create_order(SYMBOL, "market", "buy", 0.1)
    for name in FAULTS:
        expected = failing(exchange, name)
        with pytest.raises(ccxt.BaseError):
            client.create_order(*SELL, STOP)
        assert (name, *desk.take(*WHAT)) == (name, expected)


async def test_what_each_failure_proves_to_an_async_client(desk, exchange):
    """The same exceptions have other causes with aiohttp."""
    client = desk.shim.wrap(connect(exchange, package="ccxt.async_support", timeout=700))
    await client.create_order(SYMBOL, "market", "buy", 0.1)
    for name in FAULTS:
        expected = failing(exchange, name)
        with pytest.raises(ccxt.BaseError):
            await client.create_order(*SELL, STOP)
        assert (name, *desk.take(*WHAT)) == (name, expected)
    await client.close()


def test_refusals_are_rejected(desk, exchange):
    """Alone, in a batch of several, and in a batch of one, which ccxt raises although the status is 200."""
    client = desk.shim.wrap(connect(exchange))
    client.create_order(SYMBOL, "market", "buy", 0.1)
    whole = {"stopLossPrice": 50_000, "closePosition": True}
    client.create_order(*SELL, whole)
    desk.take()
    for params, code in (({**STOP, "stopLossPrice": 95_000}, -2021), (whole, -4130)):
        with pytest.raises(ccxt.ExchangeError):
            client.create_order(*SELL, params)
        assert desk.take(*WHAT) == [("rejected", code)]
    with pytest.raises(ccxt.ExchangeError):
        client.create_order(SYMBOL, "limit", "buy", 0.01, 60_000, {"reduceOnly": True})
    assert desk.take(*WHAT) == [("rejected", -2022)]
    (order,) = client.create_orders(
        [
            {
                "symbol": SYMBOL,
                "type": "limit",
                "side": "sell",
                "amount": 0.01,
                "price": 90_000,
                "params": {"reduceOnly": True},
            }
        ]
    )
    desk.take()
    client.cancel_orders(["77", order["id"]], SYMBOL)
    assert desk.take(*WHAT) == [("rejected", -2011), ("accepted", None)]
    with pytest.raises(ccxt.BaseError):
        client.cancel_orders(["78"], SYMBOL)
    assert desk.take(*WHAT) == [("rejected", -2011)]


def test_what_was_not_sent(desk, exchange):
    """Ccxt refuses some orders itself; those that reach its request are recorded, as not sent."""
    own = connect(exchange)
    client = desk.shim.wrap(own)
    with pytest.raises(ccxt.InvalidOrder):
        client.create_order(SYMBOL, "STOP_MARKET", "sell", 0.01)
    assert desk.take() == []
    own.secret = ""
    with pytest.raises(ccxt.AuthenticationError):
        client.create_order(*SELL, STOP)
    own.secret = LOCAL_SECRET
    own.httpProxy = own.httpsProxy = "http://127.0.0.1:1"
    with pytest.raises(ccxt.InvalidProxySettings):
        client.create_order(*SELL, STOP)
    own.httpProxy = own.httpsProxy = None
    own.urls["api"]["fapiPrivate"] = "http://127.0.0.1:1/fapi/v1"
    with pytest.raises(ccxt.NetworkError):
        client.create_order(*SELL, STOP)
    assert desk.take("outcome") == [("not_sent",)] * 3


async def test_what_an_async_client_did_not_send(desk, exchange):
    """No connection, by HTTP and by WebSocket: nothing left."""
    client = desk.shim.wrap(connect(exchange, package="ccxt.pro"))
    client.urls["api"]["fapiPrivate"] = "http://127.0.0.1:1/fapi/v1"
    client.urls["api"]["ws"]["ws-api"]["linear"] = "ws://127.0.0.1:1/ws-fapi/v1"
    for place in (client.create_order, client.create_order_ws):
        with pytest.raises(ccxt.NetworkError):
            await place(*SELL, STOP)
    assert desk.take("outcome") == [("not_sent",)] * 2
    await client.close()


async def test_an_order_over_a_websocket_that_breaks_is_in_doubt(desk, exchange):
    """The message has left, and no answer comes: whether by a reset or by a time limit of the caller's."""
    client = desk.shim.wrap(connect(exchange, package="ccxt.pro"))
    await client.create_order(SYMBOL, "market", "buy", 0.1)
    await client.create_order_ws(*SELL, STOP)
    desk.take()
    exchange.faults.inject(faults.reset_after_execution(), path="algoOrder")
    with pytest.raises(ccxt.NetworkError):
        await client.create_order_ws(*SELL, STOP)
    assert desk.take("outcome") == [("unknown",)]
    exchange.faults.inject(faults.delayed(2, answer_only=True), path="algoOrder")
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(client.create_order_ws(*SELL, STOP), 0.5)
    assert desk.take("outcome") == [("unknown",)]
    await client.close()


def test_a_repeated_request_proves_nothing_of_its_first_attempt(desk, exchange):
    """With maxRetriesOnFailure the first attempt may have been executed; a first refusal is certain."""
    client = desk.shim.wrap(connect(exchange))
    client.create_order(SYMBOL, "market", "buy", 0.1)
    for options, params in (({"maxRetriesOnFailure": 2}, {}), ({}, {"maxRetriesOnFailure": 2})):
        client.options.pop("maxRetriesOnFailure", None)
        client.options.update(options)
        exchange.faults.inject(faults.unknown_error(executed=True), path="algoOrder")
        with pytest.raises(ccxt.ExchangeError, match="-4116"):
            client.create_order(*SELL, {**STOP, **params})
        with pytest.raises(ccxt.ExchangeError, match="-2021"):
            client.create_order(*SELL, {**STOP, **params, "stopLossPrice": 95_000})
        assert desk.take(*WHAT) == [("unknown", -4116), ("rejected", -2021)]


def test_an_exception_without_its_frames_is_read_by_its_text():
    """One that was pickled or made anew shows its code only; what that does not prove is in doubt."""
    for text, expected in {
        'binanceusdm {"code":-2021,"msg":"Order would immediately trigger."}': ("rejected", -2021),
        'binanceusdm {"code":"-4130","msg":"x"}': ("rejected", -4130),
        'binance {"code":-1007,"msg":"Timeout waiting for response"}': ("unknown", -1007),
        'binance {"code":-1000,"msg":"An unknown error"}': ("unknown", -1000),
        'binanceusdm {"id":"1","status":503,"error":{"msg":"Service Unavailable."}}': ("rejected", None),
        'binanceusdm {"id":"1","status":503,"error":{"msg":"Unknown error, please check"}}': (
            "unknown",
            None,
        ),
        "binanceusdm POST https://fapi.binance.com/fapi/v1/order": ("unknown", None),
    }.items():
        answer = read_failure(ccxt.ExchangeError(text), library=CCXT)
        assert (answer.result, answer.error_code) == expected


def test_an_error_during_another_is_judged_by_itself(desk, exchange):
    """A bot that closes at market while it handles a refused stop: each order has its own outcome."""
    client = desk.shim.wrap(connect(exchange, timeout=700))
    client.create_order(SYMBOL, "market", "buy", 0.1)
    try:
        client.create_order(*SELL, {**STOP, "stopLossPrice": 95_000})
    except ccxt.ExchangeError:
        failing(exchange, "reset")
        with pytest.raises(ccxt.NetworkError):
            client.create_order(*SELL, STOP)
        exchange.faults.inject(faults.unknown_error(executed=False), path="order")
        with pytest.raises(ccxt.ExchangeNotAvailable):
            client.create_order(*LIMIT)
    assert desk.take(*WHAT) == [("rejected", -2021), ("unknown", None), ("unknown", None)]


def test_no_secret_is_kept(desk, exchange, tmp_path, capfd):
    """No key, secret or signature is recorded, whatever failed; ccxt's own text has the signed URL."""
    desk = Desk(journal=str(tmp_path / "own.db"))
    client = desk.shim.wrap(connect(exchange, timeout=700))
    client.create_order(SYMBOL, "market", "buy", 0.1)
    for name in FAULTS:
        failing(exchange, name)
        with pytest.raises(ccxt.BaseError) as raised:
            client.cancel_order("5", SYMBOL, {"trigger": True})
        if name == "reset":
            assert "signature=" in str(raised.value)
    client.create_order(*SELL, {**STOP, "clientAlgoId": LOCAL_KEY[:36]})
    desk.shim.close()
    output = capfd.readouterr()
    left = [output.out, output.err]
    left += [file.read_bytes().decode("latin-1") for file in tmp_path.rglob("*") if file.is_file()]
    signatures = [request.params.get("signature") for request in exchange.requests]
    secrets = [LOCAL_KEY, LOCAL_SECRET, *filter(None, signatures)]
    assert len(secrets) > 10
    assert [secret for secret in secrets if any(secret in text for text in left)] == []


class Stubborn(ccxt.binanceusdm):
    """Sends again by itself where an answer stays out, and then where nobody listens."""

    elsewhere = None

    def fetch(self, url, *args, **kwargs):
        try:
            return super().fetch(url, *args, **kwargs)
        except ccxt.NetworkError:
            pass
        return super().fetch(self.elsewhere or url, *args, **kwargs)


@pytest.mark.parametrize(
    ("elsewhere", "code"),
    [("http://127.0.0.1:1/fapi/v1/algoOrder", None), (None, -4116)],
    ids=["gone", "twice"],
)
def test_a_bots_own_retry_leaves_the_order_in_doubt(desk, exchange, elsewhere, code):
    """The second attempt proves nothing of the first, which the exchange has executed."""
    client = desk.shim.wrap(connect(exchange, Stubborn))
    client.create_order(SYMBOL, "market", "buy", 0.1)
    client.elsewhere = elsewhere
    exchange.faults.inject(faults.reset_after_execution(), path="algoOrder", times=1)
    with pytest.raises(ccxt.BaseError):
        client.create_order(*SELL, STOP)
    assert desk.take(*WHAT) == [("unknown", code)]
    assert len(exchange.open_algo_orders()) == 1


class Failing(ccxt.binanceusdm):
    """Fails after each request, as where a bot writes down what it sent."""

    def fetch2(self, *args, **kwargs):
        super().fetch2(*args, **kwargs)
        raise RuntimeError("the bot's database is gone")


@pytest.mark.parametrize("way", ["wrap", "install"])
def test_a_failure_after_the_send_is_not_taken_for_one_before(desk, exchange, way):
    """Where a method of the bot's around the send fails, the order may have left."""
    client = connect(exchange, Failing)
    with desk.shim.install() if way == "install" else contextlib.nullcontext():
        client = desk.shim.wrap(client) if way == "wrap" else client
        with pytest.raises(RuntimeError):
            client.create_order(*LIMIT[:5], {})
        with pytest.raises(RuntimeError):
            client.create_order(*SELL, STOP)
    assert desk.take(*WHAT)[-1] == ("unknown", None)


@pytest.mark.parametrize(("retries", "expected"), [(3, ("unknown", -2011)), (0, ("unknown", None))])
def test_a_cancel_that_urllib3_repeats_is_in_doubt(desk, exchange, retries, expected):
    """A session may send a cancel again: that it is gone the second time does not prove a refusal."""
    client = desk.shim.wrap(connect(exchange))
    client.session.mount("http://", HTTPAdapter(max_retries=Retry(retries, backoff_factor=0)))
    client.create_order(SYMBOL, "market", "buy", 0.1)
    made = client.create_order(*LIMIT)
    desk.take()
    exchange.faults.inject(faults.reset_after_execution(), method="DELETE", times=1)
    with pytest.raises(ccxt.BaseError):
        client.cancel_order(made["id"], SYMBOL)
    assert desk.take(*WHAT) == [expected]


def test_a_cancel_of_what_is_gone_is_rejected(desk, exchange):
    """A session that would repeat, and did not, has its answer believed."""
    client = desk.shim.wrap(connect(exchange))
    client.session.mount("http://", HTTPAdapter(max_retries=Retry(3)))
    with pytest.raises(ccxt.OrderNotFound):
        client.cancel_order("12345", SYMBOL)
    assert desk.take(*WHAT) == [("rejected", -2011)]
