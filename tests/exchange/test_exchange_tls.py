"""The local exchange with TLS, and API keys that nobody registered."""

import contextlib
import hashlib
import hmac
import http.client
import json
import socket
import ssl
import time
from urllib.parse import urlencode

import pytest

from exit_shim.exchange import ApiKey, LocalExchange
from exit_shim.exchange.authority import DISTRUST, Authority


@pytest.fixture(scope="module")
def authority():
    """A throwaway authority; making one costs some milliseconds."""
    return Authority(["extra.example"])


@pytest.fixture
def secure(authority):
    """A running exchange that speaks TLS too, and accepts any key."""
    with LocalExchange(tls=authority, any_key=True) as exchange:
        yield exchange


def trusting(authority):
    """Return a context that trusts this authority alone."""
    return ssl.create_default_context(cadata=authority.pem)


@contextlib.contextmanager
def connected(exchange, context, name="fapi.binance.localhost"):
    """Connect with TLS as if to this host."""
    with (
        socket.create_connection(("127.0.0.1", exchange.tls_port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname=name) as connection,
    ):
        yield connection


def ask(connection, name="fapi.binance.localhost", line="GET /fapi/v1/time"):
    """Send one request and return the whole answer."""
    connection.sendall(f"{line} HTTP/1.0\r\nHost: {name}\r\n\r\n".encode())
    return connection.makefile("rb").read()


@pytest.mark.parametrize(
    "name",
    [
        *("localhost", "127.0.0.1", "fapi.binance.localhost", "api.binance.localhost"),
        *("fapi.binance.com", "testnet.binancefuture.com", "extra.example"),
    ],
)
def test_the_certificate_holds_for_each_name(secure, authority, name):
    """Who trusts the authority is answered under every name of the certificate."""
    with connected(secure, trusting(authority), name) as connection:
        assert b"serverTime" in ask(connection, name)


def test_a_name_that_is_not_in_the_certificate_is_no_exchange(secure, authority):
    """The certificate holds for no other host."""
    with pytest.raises(ssl.SSLCertVerificationError), connected(secure, trusting(authority), "evil.example"):
        pass


def test_nobody_else_trusts_the_authority(secure):
    """A client with the system's trust refuses the certificate, and the exchange names the host."""
    with pytest.raises(ssl.SSLCertVerificationError), connected(secure, ssl.create_default_context()):
        pass
    assert await_unanswered(secure) == [("host", "fapi.binance.localhost", DISTRUST, 1)]


def test_a_client_that_leaves_after_the_handshake_is_named(secure):
    """A client that compares the certificate itself and leaves without a request is named, too."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with connected(secure, context, "dapi.binance.com"):
        pass
    assert await_unanswered(secure) == [("host", "dapi.binance.com", DISTRUST, 1)]


def await_unanswered(exchange):
    """Return what is noted, once something is: the server hears of an end a moment later."""
    deadline = time.monotonic() + 60
    while not exchange.unanswered and time.monotonic() < deadline:
        time.sleep(0.005)
    return [(each.kind, each.name, each.reason, each.count) for each in exchange.unanswered]


def test_an_answered_client_and_a_look_at_the_port_are_not_named(secure, authority):
    """Who sends a request, and who only looks whether somebody listens, is not named."""
    socket.create_connection(("127.0.0.1", secure.tls_port)).close()
    with connected(secure, trusting(authority)) as connection:
        ask(connection)
    secure.stop()
    assert secure.unanswered == []


def test_a_silent_client_does_not_hold_up_the_end(authority):
    """An exchange stops at once though a client has not begun its handshake, or sends no request."""
    with LocalExchange(tls=authority) as exchange, contextlib.ExitStack() as closing:
        closing.enter_context(socket.create_connection(("127.0.0.1", exchange.tls_port)))
        closing.enter_context(connected(exchange, trusting(authority)))
        start = time.monotonic()
        exchange.stop()
        assert time.monotonic() - start < 30
        assert exchange.unanswered == []


def test_both_ports_refuse_and_come_back(secure, authority):
    """Inside refusing_connections neither port accepts anybody, and both are back afterwards."""
    with secure.refusing_connections():
        for port in (secure.port, secure.tls_port):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port))
    with connected(secure, trusting(authority)) as connection:
        assert b"serverTime" in ask(connection)


def test_a_chosen_port_for_tls(authority):
    """The port of TLS can be chosen, and one that is taken ends the start with an error and no open port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            LocalExchange(tls=authority, tls_port=port).start()
    with LocalExchange(tls=authority, tls_port=port) as exchange:
        assert exchange.tls_url == f"https://127.0.0.1:{port}"


def test_without_tls_there_is_no_port_for_it():
    """An exchange without an authority says how to get one when it is asked for its TLS address."""
    with LocalExchange() as exchange, pytest.raises(RuntimeError, match="tls="):
        _ = exchange.tls_url


def signed(exchange, key, secret, *, signature=None):
    """Ask for the account with this key; return status and answer."""
    query = urlencode({"timestamp": int(time.time() * 1000)})
    made = signature or hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()
    connection = http.client.HTTPConnection("127.0.0.1", exchange.port, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", f"/fapi/v2/balance?{query}&signature={made}", headers={"X-MBX-APIKEY": key})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def test_any_key_is_accepted_with_any_signature(secure):
    """With any_key a key that nobody registered may do everything, whatever secret it signs with."""
    assert signed(secure, "A" * 64, "one")[0] == 200
    assert signed(secure, "A" * 64, "another")[0] == 200


@pytest.mark.parametrize("signature", ["abc", "z" * 64, "0" * 63])
def test_the_signature_of_any_key_must_look_like_one(secure, signature):
    """A text that cannot be a signature is refused even if the secret is unknown."""
    assert signed(secure, "A" * 64, "", signature=signature) == (
        400,
        {"code": -1022, "msg": "Signature for this request is not valid."},
    )


def test_any_key_needs_a_key(secure):
    """A request without a key, or with one that cannot be one, is refused."""
    assert signed(secure, "", "one")[1]["code"] == -2014


def test_a_registered_key_is_checked_beside_any_other(secure):
    """The signature of a key whose secret is known is checked, also when the key came before its secret."""
    assert signed(secure, "B" * 64, "guess")[0] == 200
    secure.register("B" * 64, ApiKey(secret="right"))
    assert signed(secure, "B" * 64, "guess")[1]["code"] == -1022
    assert signed(secure, "B" * 64, "right")[0] == 200
    assert signed(secure, "local-key", "wrong")[1]["code"] == -1022


def test_without_any_key_strangers_are_refused():
    """By default a key that nobody registered is refused."""
    with LocalExchange() as exchange:
        assert signed(exchange, "A" * 64, "one")[1]["code"] == -2015
