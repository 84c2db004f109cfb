"""Binance's own connector, which is a package named `binance` too: its orders are recorded as what they are.

It cannot be installed beside python-binance, whose files it overwrites, so bots with it run in a process of
their own. `tests/support/connector` is laid out as binance-futures-connector 4.2.0; the environment's
EXIT_SHIM_TEST_CONNECTOR names a folder with the real one instead.
"""

import json
import os
import subprocess
import sys

import pytest
from odd_server import OddServer, answer
from repository import SUPPORT

from exit_shim.clients.accounts import key_label
from exit_shim.journal import read_records

CONNECTOR = os.environ.get("EXIT_SHIM_TEST_CONNECTOR") or str(SUPPORT / "connector")
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
    """Each answer is recorded as through python-binance, by a door of the client or of its requests."""
    servers = [OddServer(with_cookie(behave)) for behave, _, _ in ANSWERS.values()]
    said, records = run([server.url for server in servers], door)
    for server in servers:
        assert len(server.requests) == 1
        server.__exit__()
    lines = [record.flat() for record in records]
    found = {case: (line["outcome"], line["error_code"]) for case, line in zip(ANSWERS, lines, strict=True)}
    assert found == {case: (outcome, code) for case, (_, outcome, code) in ANSWERS.items()}
    assert {line["door"] for line in lines} == {door}
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
