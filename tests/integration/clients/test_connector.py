"""Binance's own connector, which is a package named `binance` too: its orders are recorded as what they are.

Its `binance/__init__.py` and python-binance's are one file, so bots with it run in a process of their own.
`tests/support/connector` is laid out as binance-futures-connector 4.2.0; the environment's
EXIT_SHIM_TEST_CONNECTOR names a folder with the real one instead, which most tests need:
`pip install --no-deps --target FOLDER binance-futures-connector`.
"""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from odd_server import OddServer, answer
from repository import SUPPORT

from exit_shim.clients.accounts import key_label
from exit_shim.journal import read_records
from exit_shim.testing import faults

REAL = os.environ.get("EXIT_SHIM_TEST_CONNECTOR")
REQUIRED = os.environ.get("EXIT_SHIM_FOREIGN_CLIENTS")
CONNECTOR = REAL or str(SUPPORT / "connector")
KEY, SECRET = "PlAnTeD+Key/4711==", "pLaNtEd&Secret%2F0815"
COOKIE = "planted-cookie-value-42"

BOT = """
import json, logging, sys
import exit_shim
from binance.um_futures import UMFutures

logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
logging.getLogger("urllib3").setLevel(logging.ERROR)
logging.getLogger().setLevel(logging.INFO)
urls, key, secret, door = json.loads(sys.argv[1])
if door == "sign_request":
    routes = {("post", "fapi/v1/order"): exit_shim.Door(""), ("delete", "fapi/v1/order"): CANCEL}
    exit_shim.install(doors={UMFutures: [exit_shim.Door(door, routes=routes)]})
for url in urls:
    client = UMFutures(key, secret, base_url=url, timeout=5)
    if door != "sign_request":
        client = exit_shim.wrap(client, doors=[exit_shim.Door(door)])
    try:
        client.new_order(symbol="BTCUSDT", side="SELL", type="MARKET", quantity=1, reduceOnly="true")
    except Exception as error:
        print(type(error).__name__)
exit_shim.shim.default_shim().close()
""".replace("CANCEL", 'exit_shim.Door("", "cancel", "reference")')

UNKNOWN_503 = "Unknown error, please check your request or try again later."


def with_cookie(behave):
    """The behaviour, with a header that is a credential."""

    def answer_with_cookie(connection, request):
        class Headed:
            def sendall(self, data):
                head, _, rest = data.partition(b"\r\n")
                connection.sendall(head + f"\r\nSet-Cookie: session={COOKIE}\r\n".encode() + rest)

        behave(Headed(), request)

    return answer_with_cookie


ANSWERS = {
    "accepted": (answer(200, {"orderId": 7, "clientOrderId": "x"}), "accepted", None),
    "503 unknown": (answer(503, {"code": -1000, "msg": UNKNOWN_503}), "unknown", -1000),
    "503 unknown, no code": (answer(503, {"msg": UNKNOWN_503}), "unknown", None),
    "503 page": (answer(503, "<html>503</html>", "text/html"), "unknown", None),
    "408 -1007": (answer(408, {"code": -1007, "msg": "Timeout waiting for response"}), "unknown", -1007),
    "400 -1006": (answer(400, {"code": -1006, "msg": "Execution status unknown."}), "unknown", -1006),
    "refused": (answer(400, {"code": -2021, "msg": "Order would immediately trigger."}), "rejected", -2021),
    "too many": (answer(429, {"code": -1003, "msg": "Too many requests."}), "rejected", -1003),
    "firewall": (answer(403, "<html>WAF</html>", "text/html"), "rejected", None),
    "throttled": (answer(503, {"code": -1008, "msg": "Request throttled by system"}), "rejected", -1008),
    "unavailable": (answer(503, {"msg": "Service Unavailable."}), "rejected", None),
}


def run(urls, door="new_order"):
    """A bot with the connector; returns what it wrote to its streams, and the orders that it recorded."""
    done = subprocess.run(
        [sys.executable, "-c", BOT, json.dumps([urls, KEY, SECRET, door])],
        env={**os.environ, "PYTHONPATH": CONNECTOR},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr, list(read_records(os.environ["EXIT_SHIM_JOURNAL"]))


@pytest.mark.parametrize("door", ["new_order", "sign_request"])
def test_what_the_connectors_errors_prove(tmp_path, door):
    """Each answer is recorded as through python-binance.

    A door that is declared for a method further out records the order; one that is declared for the method
    that has the connector's own door is not needed, and that one records it.
    """
    servers = [OddServer(with_cookie(behave)) for behave, _, _ in ANSWERS.values()]
    said, records = run([server.url for server in servers], door)
    for server in servers:
        assert len(server.requests) == 1
        server.__exit__()
    lines = [record.flat() for record in records]
    found = {case: (line["outcome"], line["error_code"]) for case, line in zip(ANSWERS, lines, strict=True)}
    assert found == {case: (outcome, code) for case, (_, outcome, code) in ANSWERS.items()}
    assert {line["door"] for line in lines} == {"new_order" if door == "new_order" else "POST /fapi/v1/order"}
    assert said.count("ClientError") >= 4
    left = said + "".join(
        file.read_bytes().decode("latin-1") for file in tmp_path.rglob("*") if file.is_file()
    )
    assert [secret for secret in (KEY, SECRET, COOKIE) if secret in left] == []


def test_an_order_that_the_connector_did_not_send(tmp_path):
    """Nobody listens, so nothing left; the account is the key's, at the place where the client goes."""
    (record,) = run(["http://127.0.0.1:1"])[1]
    assert record.flat()["outcome"] == "not_sent"
    assert record.intent.account == f"{key_label(KEY)}@127.0.0.1:1"


# The real connector, beside python-binance


@pytest.fixture(scope="module", params=["the connector last", "python-binance last"])
def site(request, tmp_path_factory):
    """A folder with both, as pip leaves it after installing them in this order."""
    if REAL is None:
        assert not REQUIRED, "binance-futures-connector is missing: set EXIT_SHIM_TEST_CONNECTOR"
        pytest.skip("binance-futures-connector is not there: set EXIT_SHIM_TEST_CONNECTOR to its folder")
    folder = tmp_path_factory.mktemp("site")
    python_binance = Path(find_spec("binance").origin).parent
    packages = [python_binance, Path(REAL) / "binance"]
    for package in packages if request.param == "the connector last" else reversed(packages):
        shutil.copytree(package, folder / "binance", dirs_exist_ok=True)
    return folder


@pytest.fixture
def live(site, exchange, tmp_path):
    """Run a scenario of the connector's bot on the local exchange; returns what it printed last."""
    exchange.register(KEY, SECRET)

    def run_scenario(name, url=exchange.url, **more):
        wanted = {"url": url, "key": KEY, "secret": SECRET, **more}
        done = subprocess.run(
            [sys.executable, str(SUPPORT / "connector_bot.py"), name, json.dumps(wanted)],
            env={**os.environ, "PYTHONPATH": str(site)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        left = (
            done.stdout
            + done.stderr
            + "".join(file.read_bytes().decode("latin-1") for file in tmp_path.rglob("*") if file.is_file())
        )
        assert [secret for secret in (KEY, SECRET) if secret in left] == []
        return json.loads(done.stdout.splitlines()[-1])

    return run_scenario


def lines_of(*names):
    """The journal's lines, as tuples of some of their fields."""
    return [
        tuple(record.flat()[name] for name in names)
        for record in read_records(os.environ["EXIT_SHIM_JOURNAL"])
    ]


@pytest.mark.parametrize("way", ["the client", "the class"])
def test_a_bots_life_is_recorded(live, way):
    """Each order is recorded once, with door, kind, module, ids, targets and the outcome of its own."""
    stop, target, resting, in_batch, refused = live("life", way=way)
    order, algo, batch = "/fapi/v1/order", "/fapi/v1/algoOrder", "/fapi/v1/batchOrders"
    lines = lines_of("door", "kind", "outcome", "order_id", "algo_id", "error_code")
    assert lines[:6] == [
        (f"POST {algo}", "sl", "accepted", None, stop, None),
        (f"POST {algo}", "tp", "accepted", None, target, None),
        (f"POST {order}", "other_exit", "accepted", resting, None, None),
        (f"POST {batch}", "other_exit", "accepted", in_batch, None, None),
        (f"POST {batch}", "other_exit", "rejected", None, None, refused),
        (f"PUT {order}", "other_exit", "accepted", resting, None, None),
    ]
    assert [line[:3] for line in lines[6:]] == [
        (f"DELETE {algo}", "sl", "accepted"),
        (f"DELETE {order}", "other_exit", "accepted"),
        (f"DELETE {batch}", "other_exit", "accepted"),
        ("POST /fapi/v1/countdownCancelAll", "unknown", "accepted"),
        ("DELETE /fapi/v1/allOpenOrders", "unknown", "accepted"),
        ("DELETE /fapi/v1/algoOpenOrders", "tp", "accepted"),
        (f"POST {order}/test", "close", "accepted"),
    ]
    records = list(read_records(os.environ["EXIT_SHIM_JOURNAL"]))
    assert {(record.flat()["module"], record.flat()["function"]) for record in records} == {
        ("connector_bot", "life")
    }
    assert records[0].flat()["client_order_id"] == "mine"
    targets = [target for record in records for target in record.intent.targets]
    assert {target.module for target in targets} == {"connector_bot"}
    assert [target.order_id or target.algo_id for target in targets] == [
        *(resting, stop, resting, in_batch, target)
    ]


@pytest.mark.parametrize("way", ["the client", "the class"])
def test_orders_of_coin_m_are_recorded(live, way):
    """CMFutures sends to /dapi; an account at Binance's live host needs no address in its label."""
    with OddServer(answer(200, {"orderId": 7, "status": "NEW"})) as server:
        label = live("coin", server.url, way=way)
    assert label == key_label(KEY)
    assert lines_of("door", "kind", "outcome", "order_id") == [
        ("POST /dapi/v1/order", "sl", "accepted", 7),
        ("DELETE /dapi/v1/order", "sl", "accepted", 7),
    ]


def test_answers_with_limits_and_headers_are_read(live):
    """The ids lie under `data` then; the bot gets all of it."""
    with OddServer(answer(200, {"orderId": 7, "status": "NEW"})) as server:
        keys = live("shown", server.url)
    assert keys == [["data", "header", "limit_usage"]] * 2
    assert lines_of("outcome", "order_id") == [("accepted", 7)] * 2


@pytest.mark.parametrize("way", ["the client", "the class"])
def test_spot_orders_pass_unrecorded(live, way):
    """The connector for spot inherits from the same class; its orders are none of futures."""
    with OddServer(answer(200, {"orderId": 7})) as server:
        live("spot", server.url, way=way)
    assert len(server.requests) == 2
    assert lines_of("door") == []


@pytest.mark.parametrize("is_shown", [False, True])
@pytest.mark.parametrize("on_deny", ["raise", "simulate"])
def test_a_guard_that_enforces_holds_and_releases(live, exchange, on_deny, is_shown):
    """Without cover a legacy order goes out; under the owner's it is denied as the connector would."""
    ends = live("guard", on_deny=on_deny, is_shown=is_shown)
    denied, element = [400, -2010, True], -2010
    expected = {
        "raise": ["NEW", "NEW", denied, denied, [element] * 2, [element, "NEW"], 200, denied],
        "simulate": ["NEW", "NEW", "NEW", "NEW", ["NEW"] * 2, ["NEW"] * 2, 200, 200],
    }[on_deny]
    found = [end["shown"] if isinstance(end, dict) else end for end in ends]
    assert found == expected
    assert len(exchange.open_algo_orders()) == 2
    assert [row["side"] for row in exchange.open_orders()] == ["BUY"]


@pytest.mark.parametrize("is_executed", [True, False])
def test_an_order_in_doubt_is_concluded(live, exchange, is_executed):
    """The exchange is asked through a client of python-binance with the same key and address."""
    exchange.faults.inject(faults.unknown_error(executed=is_executed), path="algoOrder")
    assert live("doubt") == ["ServerError", "accepted" if is_executed else "not_there"]


def test_a_clone_asks_as_the_client_does(live):
    """It has the key, address, time limit and proxies; what does not really send has none."""
    can_be, has_key, url, options, label = live("cloning", "http://127.0.0.1:1")
    assert can_be == [True, True, False, False, False]
    assert has_key
    assert url == "http://127.0.0.1:1/fapi/v1/order"
    assert options == {"timeout": 5, "proxies": {"https": "http://10.0.0.1:1"}}
    assert label == key_label(KEY)


def test_a_clone_signs_with_the_private_key(live):
    """An RSA key with a passphrase signs as the connector does."""
    assert live("signing") is True


def test_python_binance_can_be_imported_in_either_order(live, site):
    """Its modules are there; only the names of its package are gone where the connector came last."""
    is_connectors = not (site / "binance" / "__init__.py").read_text().strip()
    assert live("both_packages") == ["Client", "AsyncClient", not is_connectors]
