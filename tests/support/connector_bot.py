"""A bot on Binance's connector, run as a program: python connector_bot.py SCENARIO '{"url": …, "key": …}'.

It runs apart from the tests, since the connector's files and those of python-binance are one package.
"""

import json
import pickle
import sys
import time
from pathlib import Path

from binance.api import API
from binance.cm_futures import CMFutures
from binance.error import ClientError
from binance.um_futures import UMFutures

import exit_shim
from exit_shim.clients.accounts import label_of
from exit_shim.clients.registry import can_be_cloned, clone_client
from exit_shim.resolving import RetryPolicy
from exit_shim.shim import default_shim

SYMBOL, OWNER, LEGACY = "BTCUSDT", "exit_brain_v3", "position_monitor"
STOP = {
    "algoType": "CONDITIONAL",
    "symbol": SYMBOL,
    "side": "SELL",
    "type": "STOP_MARKET",
    "triggerPrice": "50000",
    "closePosition": "true",
}
TARGET = {**STOP, "type": "TAKE_PROFIT_MARKET", "triggerPrice": "70000"}
LIMIT = {
    "symbol": SYMBOL,
    "side": "SELL",
    "type": "LIMIT",
    "quantity": "0.01",
    "price": "70000",
    "timeInForce": "GTC",
    "reduceOnly": "true",
}
ENTRY = {
    **LIMIT,
    "symbol": "ETHUSDT",
    "side": "BUY",
    "quantity": "0.1",
    "price": "2000",
    "reduceOnly": "false",
}
POLICY = f'level = "enforce"\n[modes.EXIT_BRAIN_V3]\nowners = ["{OWNER}"]\nlegacy = ["{LEGACY}"]\n'

ALGO = "/fapi/v1/algoOrder"


def make(wanted, kind=UMFutures, **options):
    """Return a client that is covered as the test wants it."""
    client = kind(wanted["key"], wanted["secret"], base_url=wanted["url"], timeout=5, **options)
    if wanted.get("way") == "the class":
        exit_shim.install()
        return client
    return exit_shim.wrap(client)


def life(wanted):
    """Place, change, cancel and query orders of each kind."""
    client = make(wanted)
    client.new_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.02)
    stop = client.sign_request("POST", ALGO, {**STOP, "clientAlgoId": "mine"})
    target = client.limited_encoded_sign_request("POST", ALGO, dict(TARGET))
    resting = client.new_order(**LIMIT)
    batch = client.new_batch_order([LIMIT, {**LIMIT, "price": "7"}])
    client.modify_order(SYMBOL, "SELL", 0.01, 71_000, orderId=resting["orderId"])
    client.sign_request("DELETE", ALGO, {"algoId": stop["algoId"]})
    client.cancel_order(SYMBOL, orderId=resting["orderId"])
    client.cancel_batch_order(SYMBOL, [batch[0]["orderId"]], [])
    client.countdown_cancel_order(SYMBOL, 60_000)
    client.cancel_open_orders(SYMBOL)
    client.sign_request("DELETE", "/fapi/v1/algoOpenOrders", {"symbol": SYMBOL})
    assert client.query_order(SYMBOL, orderId=resting["orderId"])["status"] == "CANCELED"
    client.new_order_test(symbol=SYMBOL, side="SELL", type="MARKET", quantity=0.01, reduceOnly="true")
    return [stop["algoId"], target["algoId"], resting["orderId"], batch[0]["orderId"], batch[1]["code"]]


def coin(wanted):
    """Place and cancel an order of COIN-M."""
    client = make(wanted, CMFutures)
    client.new_order(symbol="BTCUSD_PERP", side="SELL", type="STOP_MARKET", stopPrice=1, closePosition="true")
    client.cancel_order("BTCUSD_PERP", orderId=7)
    return label_of(CMFutures(wanted["key"], wanted["secret"]))


def shown(wanted):
    """Return the answers of a client that shows limits and headers."""
    client = make(wanted, show_limit_usage=True, show_header=True)
    answers = [
        client.new_order(symbol=SYMBOL, side="SELL", type="MARKET", quantity=1, reduceOnly="true"),
        client.cancel_order(SYMBOL, orderId=7),
    ]
    return [sorted(answer) for answer in answers]


def spot(wanted):
    """Place a spot order through the same base class, which the connector for spot shares."""

    class Spot(API):
        def new_order(self, symbol, side, kind, **more):
            return self.sign_request(
                "POST", "/api/v3/order", {"symbol": symbol, "side": side, "type": kind, **more}
            )

    client = make(wanted, Spot)
    client.new_order(SYMBOL, "SELL", "STOP_LOSS", stopPrice=1, quantity=1)
    return make(wanted, Spot).sign_request("POST", "/sapi/v1/margin/order", {"symbol": SYMBOL})


def guard(wanted):
    """Enforce: return what a legacy module gets under the owner's cover, and before."""
    Path("policy.toml").write_text(POLICY + f'on_deny = "{wanted["on_deny"]}"\n')
    shim = exit_shim.ExitShim(policy="policy.toml", mode="EXIT_BRAIN_V3")
    options = {"show_limit_usage": True} if wanted["is_shown"] else {}
    bare = UMFutures(wanted["key"], wanted["secret"], base_url=wanted["url"], timeout=5, **options)
    bare.new_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.02)
    client, ends = shim.wrap(bare), []
    for who, call in (
        (LEGACY, lambda: client.sign_request("POST", ALGO, dict(TARGET))),
        (OWNER, lambda: client.sign_request("POST", ALGO, dict(STOP))),
        (LEGACY, lambda: client.sign_request("POST", ALGO, {**TARGET, "triggerPrice": "71000"})),
        (LEGACY, lambda: client.new_order(**LIMIT)),
        (LEGACY, lambda: client.new_batch_order([LIMIT, LIMIT])),
        (LEGACY, lambda: client.new_batch_order([LIMIT, ENTRY])),
        (LEGACY, lambda: client.cancel_open_orders(SYMBOL)),
        (LEGACY, lambda: client.sign_request("DELETE", "/fapi/v1/algoOpenOrders", {"symbol": SYMBOL})),
    ):
        with exit_shim.attributed(who):
            ends.append(end_of(call))
    shim.close()
    return ends


def end_of(call):
    """Return what a call comes to, as JSON can carry it."""
    try:
        answer = call()
    except ClientError as error:
        again = pickle.loads(pickle.dumps(error))
        assert isinstance(again, ClientError), again
        return [error.status_code, again.error_code, isinstance(again, exit_shim.ExitOrderDenied)]
    if isinstance(answer, dict) and "data" in answer:
        return {"shown": outline(answer["data"])}
    return outline(answer)


def outline(answer):
    """Return the code of an answer, or its status; of each element of a list."""
    if isinstance(answer, list):
        return [outline(element) for element in answer]
    return answer.get("code") or answer.get("algoStatus") or answer.get("status")


def doubt(wanted):
    """Have an order in doubt concluded, and wait for that."""
    found = []

    class Sink:
        def on(self, recorded):
            if type(recorded.event).__name__ == "Resolution":
                found.append(recorded.event.result)

    pace = RetryPolicy(absent_after_s=0.6, looks=3, first_s=0.02, longest_s=0.2, weight_a_minute=600)
    shim = exit_shim.ExitShim(sinks=[Sink()], resolve=pace)
    bare = UMFutures(wanted["key"], wanted["secret"], base_url=wanted["url"], timeout=5)
    bare.new_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.02)
    try:
        shim.wrap(bare).sign_request("POST", ALGO, {**STOP, "clientAlgoId": "mine"})
    except Exception as error:  # noqa: BLE001 - any doubt
        end = type(error).__name__
    until = time.monotonic() + 60
    while not found and time.monotonic() < until:
        time.sleep(0.02)
    shim.close()
    return [end, *found]


def cloning(wanted):
    """Return what of several clients can be cloned, and what a clone has."""
    client = UMFutures(
        wanted["key"],
        wanted["secret"],
        base_url=wanted["url"],
        timeout=5,
        proxies={"https": "http://10.0.0.1:1"},
    )
    replaced = UMFutures(wanted["key"], wanted["secret"])
    replaced.send_request = print
    own = type("Own", (UMFutures,), {"sign_request": lambda *_: None})(wanted["key"], wanted["secret"])
    clients = (client, exit_shim.unwrap(exit_shim.wrap(client)), UMFutures(), replaced, own)
    clone = clone_client(client).client()
    return [
        [can_be_cloned(one) for one in clients],
        wanted["key"] == clone.API_KEY,
        clone._create_futures_api_uri("order"),
        clone._requests_params,
        label_of(UMFutures(wanted["key"], wanted["secret"])),
    ]


def signing(wanted):
    """Return whether a clone signs with the private key as the connector does."""
    from Crypto.PublicKey import RSA  # noqa: PLC0415 - for this scenario alone

    pem = RSA.generate(2048).export_key(passphrase="open sesame")
    client = UMFutures(
        wanted["key"], private_key=pem.decode(), private_key_passphrase="open sesame", base_url=wanted["url"]
    )
    signature = clone_client(client).client()._generate_signature({"symbol": SYMBOL}, uri_encode=False)
    return signature == client._get_sign(f"symbol={SYMBOL}").decode()


def both_packages(_wanted):
    """Return what can be imported of python-binance, and whether its package's own module is there."""
    import binance  # noqa: PLC0415
    from binance.async_client import AsyncClient  # noqa: PLC0415
    from binance.client import Client  # noqa: PLC0415

    return [Client.__name__, AsyncClient.__name__, hasattr(binance, "Client")]


if __name__ == "__main__":
    result = globals()[sys.argv[1]](json.loads(sys.argv[2]))
    default_shim().close()
    sys.stdout.write(json.dumps(result))
