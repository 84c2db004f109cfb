"""Every endpoint that python-binance can call is answered or refused with a reason; the docs count them."""

import hashlib
import hmac
import inspect
import json
import warnings
from collections import Counter
from importlib.metadata import version
from urllib.parse import urlencode, urlsplit

import pytest
from binance import Client
from binance.exceptions import BinanceRegionException
from repository import ROOT

from exit_shim.exchange.http.refused import BELOW, EXACT, GONE, find_gone
from exit_shim.exchange.http.request import RawRequest
from exit_shim.exchange.http.routes import ROUTES
from exit_shim.testing import LocalExchange

COUNTED = "1.0.37"
NOW = 1_790_000_000_000
#: What the methods of the client are called with, by the name of the argument.
ARGUMENTS = {"symbol": "BTCUSDT", "pair": "BTCUSDT", "interval": "1h", "start_str": "1 hour ago UTC"}
#: What each request says; an endpoint takes of it what it knows.
PARAMS = {
    "symbol": "BTCUSDT",
    "pair": "BTCUSDT",
    "contractType": "PERPETUAL",
    "interval": "1h",
    "period": "1h",
    "asset": "USDT",
    "amount": "1",
    "type": "MAIN_UMFUTURE",
    "limit": "5",
}
#: Names of methods that belong to futures.
FUTURES = ("futures_", "papi_")


class AskedError(Exception):
    """A request was about to leave the client."""


class Recording(Client):
    """A genuine client that notes what it would ask, and sends nothing."""

    def _request(self, method, uri, signed, force_params=False, **_):
        raise AskedError(method.upper(), urlsplit(uri).path)


@pytest.fixture(scope="module")
def endpoints():
    """Return the method and path of every method of the client that makes a request, by its name."""
    client = Recording("key", "secret", ping=False)
    found = {}
    for name, method in inspect.getmembers(client, inspect.ismethod):
        if not name.startswith(("_", "ws_")):
            asked = ask(name, method)
            if asked is not None:
                found[name] = asked
    client.close_connection()
    client.loop.close()
    return found


def ask(name, method):
    needed = [
        argument.name
        for argument in inspect.signature(method).parameters.values()
        if argument.default is argument.empty
        and argument.kind not in {argument.VAR_KEYWORD, argument.VAR_POSITIONAL}
    ]
    given = {argument: ARGUMENTS.get(argument, "1") for argument in needed}
    if name == "futures_create_order":
        given |= {"symbol": "BTCUSDT", "type": "LIMIT"}
    if "place_batch_order" in name:
        given["batchOrders"] = []
    try:
        # Some say that Binance will take them away.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            method(**given)
    except AskedError as asked:
        return asked.args
    except (TypeError, BinanceRegionException):  # helpers that take something else, and those of binance.us
        return None
    return None


def send(exchange, method, path):
    query = urlencode({**PARAMS, "timestamp": NOW})
    signature = hmac.new(b"local-secret", query.encode(), hashlib.sha256).hexdigest()
    headers = {"x-mbx-apikey": "local-key"}
    return exchange.answer(RawRequest(method, path, f"{query}&signature={signature}", "", headers))


@pytest.fixture(scope="module")
def outcomes(endpoints):
    """Return what becomes of each endpoint: answered, refused, or gone at Binance too."""
    exchange = LocalExchange(clock=lambda: NOW, rate_limits=False)
    found = {}
    for method, path in set(endpoints.values()):
        answer = send(exchange, method, path)
        body = json.loads(answer.body)
        if answer.code == -5000:
            found[method, path] = "gone" if find_gone(method, path) else "unknown"
        elif answer.code == -1020:
            found[method, path] = "refused"
            assert body["msg"].startswith("This operation is not supported. ")
            assert body["msg"].endswith(".")
        else:
            found[method, path] = "answered"
    assert exchange.internal_errors == []
    return found


def test_no_endpoint_of_the_client_is_a_riddle(outcomes):
    """None of them is an unknown path: what is not there says why, or is not there at Binance either."""
    assert [endpoint for endpoint, outcome in outcomes.items() if outcome == "unknown"] == []


def test_what_is_refused_is_noted_with_its_reason():
    """A refusal and a path that is gone are in `unanswered`, each with its reason and how often."""
    exchange = LocalExchange(clock=lambda: NOW)
    for _ in range(2):
        send(exchange, "GET", "/fapi/v1/insuranceBalance")
    send(exchange, "GET", "/papi/v1/um/conditional/openOrders")
    send(exchange, "GET", "/fapi/v1/nonsense")
    assert [(row.name, row.reason, row.count) for row in exchange.unanswered] == [
        ("GET /fapi/v1/insuranceBalance", "The insurance fund pays without a balance of its own.", 2),
        (
            "GET /papi/v1/um/conditional/openOrders",
            "Binance took it away on 2026-04-28: use /papi/v1/um/algo/order.",
            1,
        ),
        ("GET /fapi/v1/nonsense", "", 1),
    ]


def test_the_reads_of_old_clients():
    """v1/account and v1/balance answer as v2 does; v1/positionRisk is retired and names its successor."""
    exchange = LocalExchange(clock=lambda: NOW)
    for name in ("account", "balance"):
        old, new = (send(exchange, "GET", f"/fapi/v{version}/{name}") for version in (1, 2))
        assert (old.status, old.body) == (200, new.body)
    answer = send(exchange, "GET", "/fapi/v1/positionRisk")
    text = "GET /fapi/v1/positionRisk is retired, please use GET /fapi/v2/positionRisk"
    assert json.loads(answer.body) == {"code": -5000, "msg": text}
    assert [(row.name, row.reason) for row in exchange.unanswered] == [("GET /fapi/v1/positionRisk", text)]


def test_nothing_is_both_answered_and_refused():
    """No line of the table of refusals is about an endpoint that is answered."""
    assert {f"{method} {path}" for method, path in ROUTES}.isdisjoint({*EXACT, *GONE})


def test_reasons_are_sentences():
    """Every reason is a short sentence, so that it reads well behind the text of -1020."""
    for reason in {*EXACT.values(), *BELOW.values(), *GONE.values()}:
        assert reason[0].isupper()
        assert reason.endswith(".")
        assert len(reason) < 120


@pytest.mark.skipif(
    version("python-binance") != COUNTED, reason="the page counts the endpoints of another release"
)
def test_the_docs_count_them(endpoints, outcomes):
    """The page about the exchange says how many endpoints are answered and refused, and is right."""
    of_futures = {asked for name, asked in endpoints.items() if name.startswith(FUTURES)}
    page = (ROOT / "docs/reference/exchange.md").read_text(encoding="utf-8")
    for asked, about in ((of_futures, "on futures"), (set(outcomes) - of_futures, "elsewhere")):
        count = Counter(outcomes[endpoint] for endpoint in asked)
        line = f"| {about} | {len(asked)} | {count['answered']} | {count['refused']} | {count['gone']} |"
        assert line in page
