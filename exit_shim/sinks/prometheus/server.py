"""Serve metrics over HTTP: GET /metrics, and nothing else."""

import socket
import socketserver
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from exit_shim.sinks.prometheus.exporter import Exporter

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATH: Final = "/metrics"

PATIENCE_S: Final = 10.0
"""How long a connection may be silent."""

MOST_AT_ONCE: Final = 32
"""How many connections are answered at once; each takes a thread."""

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class MetricsServer:
    """Serve an exporter's metrics on a port; `start` returns at once.

    Args:
        exporter: The metrics.
        host: The address to listen at.
        port: The port; 0 for one that is free.

    Attributes:
        port: The port that it listens on.
        url: Where the metrics are.
        is_local: Whether only this machine can reach it, by a name of its own.

    Raises:
        OSError: The port is in use, or the address is not this machine's.
    """

    def __init__(self, exporter: Exporter, host: str = "127.0.0.1", port: int = 0) -> None:
        from prometheus_client import make_wsgi_app  # noqa: PLC0415 - an extra

        make = _Server6 if ":" in host else _Server
        self._server = make((host, port), _Handler)
        self.is_local = host in LOOPBACK
        app = make_wsgi_app(exporter.registry)
        self._server.set_app(only_metrics(app, LOOPBACK if self.is_local else None))
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="exit-shim-metrics", daemon=True
        )
        self.port: int = self._server.server_address[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}{PATH}"

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def only_metrics(app: "WSGIApplication", hosts: Iterable[str] | None) -> "WSGIApplication":
    """Return an application that answers for the path of the metrics alone.

    Args:
        app: What answers.
        hosts: The names that a request may call this machine by; None for any. A page in a browser could
            otherwise read a loopback port through a name of its own.
    """

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if hosts is not None and host_name(environ.get("HTTP_HOST", "")) not in hosts:
            return refuse(start_response, HTTPStatus.FORBIDDEN, "wrong Host")
        if environ.get("PATH_INFO") != PATH:
            return refuse(start_response, HTTPStatus.NOT_FOUND, f"only {PATH} is here")
        return app(environ, start_response)

    return answer


def host_name(header: str) -> str:
    """Return the name in a Host header, without port and brackets."""
    name = header.rpartition("]")[0] if header.startswith("[") else header.partition(":")[0]
    return name.strip("[]").lower()


def refuse(start_response: Callable[..., Any], status: HTTPStatus, text: str) -> list[bytes]:
    """Answer with a status and a line of text."""
    start_response(f"{status.value} {status.phrase}", [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{text}\n".encode()]


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    """Answers each request on a thread of its own, so many at once."""

    daemon_threads = True
    request_queue_size = MOST_AT_ONCE

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._slots = threading.BoundedSemaphore(MOST_AT_ONCE)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer on a thread; hang up where too many connections have one."""
        # To wait here would hold up `stop`.
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            # No thread could be started.
            self._slots.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, then let the next one have the place."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def server_bind(self) -> None:
        """Bind, without asking a name server for the name of the address as HTTPServer does."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = map_address(self.server_address)
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a scraper that went away is nobody's trouble."""


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    """Answers without writing to stderr."""

    timeout = PATIENCE_S

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Log nothing."""

    def address_string(self) -> str:
        """Return the client's address as it is."""
        return str(self.client_address[0])


def map_address(address: Any) -> tuple[str, int]:
    """Return host and port of a socket's address."""
    return str(address[0]), int(address[1])
