"""A local exchange that stops leaves nothing open, whatever its clients are doing."""

import asyncio
import base64
import contextlib
import gc
import http.client
import socket
import struct
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
from effort import examples

from exit_shim.exchange import server
from exit_shim.testing import LocalExchange, faults

PING = b"GET /fapi/v1/ping HTTP/1.1\r\nHost: x\r\n\r\n"
ALL_SYMBOLS = b"GET /fapi/v1/exchangeInfo HTTP/1.1\r\nHost: x\r\n\r\n"
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + base64.b64encode(bytes(16)) + b"\r\n\r\n"
)
SUBSCRIBE = b'{"method":"SUBSCRIBE","params":["!bookTicker"],"id":1}'


def open_descriptors():
    """Count the open files and sockets of this process; 0 where the system does not list them."""
    listing = Path("/dev/fd")
    return len(list(listing.iterdir())) if listing.exists() else 0


@pytest.fixture
def nothing_left_open(monkeypatch):
    """Make each ResourceWarning an error, and demand that there is none and no new file descriptor."""
    left = []
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        monkeypatch.setattr(sys, "unraisablehook", lambda what: left.append(f"{what.exc_value!r}"))
        gc.collect()
        before = open_descriptors()
        left.clear()
        yield
        gc.collect()
        assert left == []
        assert open_descriptors() == before


@contextlib.contextmanager
def busy_loop(exchange):
    """Keep the exchange's thread waiting for its lock, as a slow test or a loaded machine does."""
    client = http.client.HTTPConnection("127.0.0.1", exchange.port)
    with contextlib.closing(client), exchange.lock:
        client.request("GET", "/fapi/v1/ping")
        time.sleep(0.05)  # the request has arrived then; were it late, the test would pass all the same
        yield


@pytest.fixture
def connect():
    """Connect to a port, several times; the connections are closed at the end of the test."""
    with contextlib.ExitStack() as opened:

        def connect(port, count):
            address = "127.0.0.1", port
            return [opened.enter_context(socket.create_connection(address)) for _ in range(count)]

        yield connect


def test_a_connection_that_arrives_with_the_stop_is_closed(nothing_left_open, connect):
    """A connection is accepted in the turn of the loop that hears of the stop; its socket is closed."""
    exchange = LocalExchange().start()
    stopping = threading.Thread(target=exchange.stop)
    with busy_loop(exchange):
        connect(exchange.port, 5)
        stopping.start()
        time.sleep(0.05)
    stopping.join()


def test_a_connection_that_arrives_as_connections_are_refused_is_closed(nothing_left_open, connect):
    """It is accepted in the turn of the loop in which the exchange begins to refuse; its socket is closed."""
    refusing, done = threading.Event(), threading.Event()

    def refuse():
        with exchange.refusing_connections():
            refusing.set()
            done.wait()

    thread = threading.Thread(target=refuse)
    with LocalExchange() as exchange:
        with busy_loop(exchange):
            connections = connect(exchange.port, 5)
            thread.start()
            time.sleep(0.05)
        refusing.wait()
        for connection in connections:
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""
        done.set()
        thread.join()


def test_the_port_does_not_come_back_after_the_stop(nothing_left_open):
    """An exchange that stops while it refuses connections for a while stays stopped."""
    exchange = LocalExchange().start()
    port = exchange.port
    exchange.faults.inject(faults.refused_connections(0.02), path="/fapi/v1/ping")
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as client:
        client.request("GET", "/fapi/v1/ping")
        with contextlib.suppress(ConnectionError, http.client.HTTPException):
            client.getresponse()
        exchange.stop()
    time.sleep(0.05)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_a_stop_that_cannot_be_says_so(monkeypatch):
    """While `lock` is held the exchange cannot stop: an error says so, and the next stop succeeds."""
    monkeypatch.setattr(server, "PATIENCE", 0.1)
    exchange = LocalExchange().start()
    with busy_loop(exchange), pytest.raises(RuntimeError, match="holds its lock"):
        exchange.stop()
    monkeypatch.undo()
    exchange.stop()
    with pytest.raises(RuntimeError, match="does not run"):
        _ = exchange.port


def test_an_exchange_without_descriptors_accepts_again(monkeypatch, caplog):
    """Where the system has no file descriptor left, the exchange says so and goes on when there is one."""
    accept, failures = socket.socket.accept, [OSError(24, "Too many open files")]

    def failing_accept(listening):
        if failures:
            raise failures.pop()
        return accept(listening)

    monkeypatch.setattr(socket.socket, "accept", failing_accept)
    with (
        LocalExchange() as exchange,
        contextlib.closing(http.client.HTTPConnection("127.0.0.1", exchange.port)) as client,
    ):
        client.request("GET", "/fapi/v1/ping")
        assert client.getresponse().status == 200
    assert "cannot accept a connection" in caplog.text


def test_a_task_that_swallows_its_cancellation_does_not_hold_up_the_stop(nothing_left_open):
    """As a handler of aiohttp does while it reads on after its answer: it is cancelled again."""

    async def stubborn():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        await asyncio.sleep(3600)

    with LocalExchange() as exchange:
        waiting = asyncio.run_coroutine_threadsafe(stubborn(), exchange._loop)
    assert waiting.done()


class Crowd:
    """Clients that connect and ask without a pause, at whatever exchange runs."""

    def __init__(self, size):
        self.port = None
        self.answered = threading.Event()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(size)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self):
        while not self._over.is_set():
            with (
                contextlib.suppress(OSError, TypeError),  # between two exchanges
                socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection,
            ):
                connection.sendall(PING)
                if connection.recv(65536).startswith(b"HTTP/1.1 200"):
                    self.answered.set()


def open_connections(port):
    """Return connections in every state that a client can leave one in."""
    states = {
        "connected": [],
        "half a request": [PING[:20]],
        "a request": [PING],
        "a body that does not come": [
            PING.replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\nContent-Length: 9\r\n\r\n")
        ],
        "answers that nobody reads": [ALL_SYMBOLS * 200],
        "a WebSocket": [HANDSHAKE, struct.pack("!BB4x", 0x81, 0x80 | len(SUBSCRIBE)) + SUBSCRIBE],
    }
    connections = []
    for sent in states.values():
        connection = socket.create_connection(("127.0.0.1", port))
        for data in sent:
            connection.sendall(data)
        connections.append(connection)
    return connections


def test_many_exchanges_leave_nothing_open(nothing_left_open):
    """Each stops under load with connections in every state, and no socket of it outlives it."""
    with Crowd(3) as crowd:
        for _ in range(examples(200)):
            with LocalExchange() as exchange:
                crowd.port = exchange.port
                connections = open_connections(exchange.port)
                assert crowd.answered.wait(60)
            for connection in connections:
                connection.close()
        crowd.port = None
