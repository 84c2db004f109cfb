"""How the exchange is asked in the place of a ccxt client: by a clone with its credentials and its ways."""

import contextlib
from unittest import mock

import pytest
import requests
import requests_mock
from ccxt_world import SELL, STOP, SYMBOL, Desk, connect, need_ccxt, point
from Crypto.PublicKey import ECC, RSA
from guarded_bot import ENFORCE, LEGACY, OWNER

import exit_shim
from exit_shim.clients.ccxt import CCXT
from exit_shim.clients.registry import can_be_cloned, clone_client
from exit_shim.exchange.authority import Authority
from exit_shim.testing import LocalExchange

need_ccxt()

import ccxt  # noqa: E402 - where it is installed
import ccxt.async_support  # noqa: E402
import ccxt.pro  # noqa: E402

KEYS = {"apiKey": "some-api-key", "secret": "some-secret"}
COVER = (*SELL, {**STOP, "stopLossPrice": 48_000})


def cloned(client):
    """The python-binance client that a clone of a ccxt client makes."""
    assert can_be_cloned(client)
    return clone_client(client).client()


def by(module, method, *args):
    with exit_shim.attributed(module):
        return method(*args)


def is_denied_under_cover(exchange, desk, client):
    """Whether a legacy stop is denied while the owner's covers the position: the guard could ask."""
    client.create_order(SYMBOL, "market", "buy", 0.01)
    by(OWNER, client.create_order, *COVER)
    seen = len(exchange.order_requests)
    with contextlib.suppress(exit_shim.ExitOrderDenied):
        by(LEGACY, client.create_order, *SELL, STOP)
    assert len(exchange.order_requests) == seen + (desk.take("outcome")[-1] != ("denied",))
    return len(exchange.order_requests) == seen


@pytest.mark.parametrize(
    "pem",
    [
        RSA.generate(2048).export_key().decode(),
        ECC.generate(curve="ed25519").export_key(format="PEM"),
    ],
    ids=["RSA", "Ed25519"],
)
def test_private_keys_sign_for_the_clone_too(pem):
    """A key in PEM is taken as the secret; the clone signs as ccxt does."""
    with LocalExchange(any_key=True) as exchange:
        client = connect(exchange, apiKey="key-of-a-pair", secret=pem)
        client.create_order(SYMBOL, "market", "buy", 0.01)
        asking = cloned(client)
        assert asking.futures_position_information(symbol="BTCUSDT")[0]["positionAmt"] == "0.010"
        query = "symbol=BTCUSDT&timestamp=1"
        own = client.sign("order", ["fapiPrivate"], "GET", {"symbol": "BTCUSDT"})["url"]
        assert len(own.rpartition("signature=")[2]) > 80
        signature = asking._generate_signature({"symbol": "BTCUSDT", "timestamp": 1}, False)
        if "RSA" in pem:  # deterministic: the two can be compared
            assert signature == client.rsa(query, pem, "sha256")
        else:
            assert signature == client.eddsa(client.encode(query), pem, "ed25519")


@pytest.mark.parametrize("ahead_ms", [-45_000, 45_000])
def test_the_clock_offset_has_ccxts_direction(ahead_ms):
    """What ccxt measured is subtracted; a clone whose clock is off by that is refused with -1021."""
    from exit_shim.exchange.server import system_clock  # noqa: PLC0415 - beside its use

    with LocalExchange(clock=lambda: system_clock() + ahead_ms) as exchange:
        desk, own = Desk(ENFORCE), connect(exchange)
        client = desk.shim.wrap(own)
        asking = cloned(own)
        assert asking.timestamp_offset == 0
        own.load_time_difference()
        assert abs(own.options["timeDifference"] + ahead_ms) < 5_000
        assert clone_client(client.__wrapped__).offset_ms == -own.options["timeDifference"]
        CCXT.refresh_clone(asking, own)
        assert asking.timestamp_offset == -own.options["timeDifference"]
        assert is_denied_under_cover(exchange, desk, client)
        desk.shim.close()


def test_coin_m_and_portfolio_margin_are_asked_where_the_client_asks():
    """All three addresses come from the client's own table."""
    client = ccxt.binancecoinm(KEYS)
    point(client.urls["api"], "http://127.0.0.1:4711/some/path")
    asking = cloned(client)
    assert asking.FUTURES_URL == "http://127.0.0.1:4711/some/path/fapi"
    assert asking.FUTURES_COIN_URL == "http://127.0.0.1:4711/some/path/dapi"
    assert asking.PAPI_URL == "http://127.0.0.1:4711/some/path/papi"
    demo = ccxt.binanceusdm(KEYS)
    demo.enable_demo_trading(True)
    assert clone_client(demo).host == "demo-fapi.binance.com"


@pytest.mark.parametrize(
    ("settings", "sync", "is_async"),
    [
        ({}, {}, {}),
        ({"httpProxy": "http://p:1"}, {"http": "http://p:1"}, {"http": "http://p:1", "https": "http://p:1"}),
        (
            {"httpsProxy": "http://p:1"},
            {"https": "http://p:1"},
            {"http": "http://p:1", "https": "http://p:1"},
        ),
        *[
            ({name: "socks5h://p:1"}, *[{"http": "socks5h://p:1", "https": "socks5h://p:1"}] * 2)
            for name in ("socksProxy", "socks_proxy")
        ],
        ({"proxies": {"https": "http://p:2"}}, {"https": "http://p:2"}, {}),
        ({"aiohttp_proxy": "http://p:3"}, {}, {"http": "http://p:3", "https": "http://p:3"}),
    ],
)
def test_a_clone_goes_through_the_clients_proxy(settings, sync, is_async):
    """Each of ccxt's settings means for the clone what it means for the client."""
    for package, expected in ((ccxt, sync), (ccxt.async_support, is_async)):
        options = cloned(package.binanceusdm({**KEYS, **settings}))._requests_params
        assert options.get("proxies", {}) == expected
        assert options["timeout"] == 10


def test_a_clone_checks_certificates_as_the_client_does():
    """validateServerSsl, verify and cafile; the environment is trusted where the client trusts it."""
    for kind, settings, verify in (
        (ccxt.binanceusdm, {}, True),
        (ccxt.binanceusdm, {"validateServerSsl": False}, False),
        (ccxt.binanceusdm, {"validateServerSsl": "ca.pem"}, "ca.pem"),
        (ccxt.binanceusdm, {"verify": False}, False),
        (ccxt.async_support.binanceusdm, {}, True),
        (ccxt.async_support.binanceusdm, {"verify": False}, False),
        (ccxt.async_support.binanceusdm, {"cafile": "ca.pem"}, "ca.pem"),
    ):
        asking = cloned(kind({**KEYS, **settings}))
        assert asking._requests_params.get("verify", asking.session.verify) == verify
    assert not cloned(ccxt.binanceusdm(KEYS)).session.trust_env
    assert cloned(ccxt.binanceusdm({**KEYS, "requests_trust_env": True})).session.trust_env
    assert not cloned(ccxt.pro.binanceusdm(KEYS)).session.trust_env
    assert cloned(ccxt.pro.binanceusdm({**KEYS, "aiohttp_trust_env": True})).session.trust_env


class Signing(ccxt.binanceusdm):
    """A bot's exchange that signs in a way of its own."""

    def sign(self, *args, **kwargs):
        return super().sign(*args, **kwargs)


class Helping(ccxt.binanceusdm):
    """A bot's exchange with a helper."""

    def protect(self):
        return self.create_order(*SELL, STOP)


def test_only_what_really_sends_is_cloned(exchange, monkeypatch):
    """Genuine clients and subclasses are; what is mocked, signs otherwise or lacks credentials is not."""
    genuine = [kind(KEYS) for kind in (ccxt.binance, ccxt.binancecoinm, Helping, ccxt.pro.binance)]
    desk = Desk()
    genuine.append(desk.shim.wrap(connect(exchange)).__wrapped__)
    assert [can_be_cloned(client) for client in genuine] == [True] * 5
    with desk.shim.install():
        assert can_be_cloned(ccxt.binanceusdm(KEYS))
        assert can_be_cloned(desk.shim.wrap(connect(exchange)).__wrapped__)
    desk.shim.close()
    others = [Signing(KEYS), ccxt.binanceusdm(), ccxt.binanceus(KEYS)]
    others += [
        ccxt.binanceusdm({**KEYS, "proxyUrl": "http://p:1/"}),
        ccxt.binanceusdm({**KEYS, "secret": ""}),
    ]
    others.append(ccxt.binanceusdm({**KEYS, "session": mock.Mock()}))
    replaced, odd = ccxt.binanceusdm(KEYS), ccxt.binanceusdm(KEYS)
    replaced.fetch = mock.Mock()
    odd.urls["api"]["fapiPrivate"] = "https://some.gateway/binance"
    assert [can_be_cloned(client) for client in (*others, replaced, odd)] == [False] * 8
    with requests_mock.Mocker():
        assert not can_be_cloned(ccxt.binanceusdm(KEYS))
    with mock.patch.object(ccxt.binance, "fetch", autospec=True):
        assert not can_be_cloned(ccxt.binanceusdm(KEYS))
    monkeypatch.setattr(requests.Session, "request", lambda *_, **__: None)
    assert not can_be_cloned(ccxt.binanceusdm(KEYS))


@pytest.mark.parametrize("package", ["ccxt", "ccxt.async_support"])
async def test_the_guard_asks_with_tls_and_an_authority_of_ones_own(package, tmp_path):
    """A clone trusts the private authority that the exchange was given, sync and async."""
    authority = Authority()
    file = tmp_path / "ca.pem"
    file.write_bytes(authority.pem if isinstance(authority.pem, bytes) else authority.pem.encode())
    with LocalExchange(tls=authority) as exchange:
        name = "validateServerSsl" if package == "ccxt" else "cafile"
        own = connect(exchange, package=package, **{name: str(file)})
        point(own.urls["api"], f"https://127.0.0.1:{exchange.tls_port}")
        desk = Desk(ENFORCE)
        client = desk.shim.wrap(own)
        if package == "ccxt":
            assert is_denied_under_cover(exchange, desk, client)
        else:
            await client.create_order(SYMBOL, "market", "buy", 0.01)
            with exit_shim.attributed(OWNER):
                await client.create_order(*COVER)
            with exit_shim.attributed(LEGACY), pytest.raises(ccxt.InvalidOrder):
                await client.create_order(*SELL, STOP)
            await client.close()
        desk.shim.close()
