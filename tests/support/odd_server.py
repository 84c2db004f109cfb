"""An exchange on loopback that answers as badly as a test wants it to."""

import contextlib
import json
import socket
import struct
import threading

from binance import AsyncClient, Client

import exit_shim
from exit_shim.testing.close_client import close_client


class OddServer:
    """Reads each request and lets `behave(connection, request)` answer; keeps the requests it has read."""

    def __init__(self, behave):
        self.behave = behave
        self.requests = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection):
        with connection, contextlib.suppress(OSError):
            request = read_request(connection)
            if request:
                self.requests.append(request)
                self.behave(connection, request)


def read_request(connection):
    """One whole request as text."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := connection.recv(65536)):
            return ""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
    )
    while len(body) < length:
        body += connection.recv(65536)
    return (head + b"\r\n\r\n" + body).decode()


def answer(status, body, content_type="application/json"):
    """Behaviour: this answer, complete."""
    if not isinstance(body, str):
        body = json.dumps(body)

    def behave(connection, _request):
        data = body.encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {len(data)}\r\n"
        connection.sendall(f"{head}Connection: close\r\n\r\n".encode() + data)

    return behave


def hang(connection, _request):
    """Behaviour: no answer, for as long as the client waits."""
    connection.settimeout(5)
    connection.recv(1)


def reset(connection, _request):
    """Behaviour: the connection is torn down after the request was read."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def hang_up(_connection, _request):
    """Behaviour: the connection is closed in good order, without an answer."""


def cut_short(connection, _request):
    """Behaviour: half an answer, then nothing."""
    connection.sendall(
        b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"orderId":'
    )


@contextlib.contextmanager
def sync_client(url, **options):
    """A genuine client on `url`, wrapped."""
    own = Client("key", "secret", ping=False, **options)
    own.FUTURES_URL = url + "/fapi"
    try:
        yield exit_shim.wrap(own)
    finally:
        close_client(own)


@contextlib.asynccontextmanager
async def async_client_on(url, **options):
    """A genuine async client on `url`, wrapped."""
    own = AsyncClient("key", "secret", **options)
    own.FUTURES_URL = url + "/fapi"
    try:
        yield exit_shim.wrap(own)
    finally:
        await own.close_connection()
