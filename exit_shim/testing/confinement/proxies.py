"""Proxies on loopback: an allowed port must not lead a confined run to real hosts."""

import errno
import functools
import re
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final

from exit_shim.testing.confinement.audit_hook import Note, RealHostRefusedError

HTTP_PROXY: Final = re.compile(rb"CONNECT |[A-Z]+ https?://")
SOCKS4: Final = re.compile(rb"\x04\x01(\x00\x50|\x01\xbb|\x24\xeb)")
"""A request to connect to port 80, 443 or 9443."""

SOCKS5: Final = re.compile(rb"\x05[\x01-\x09]")
GREETING: Final = 2
"""Bytes of a SOCKS5 greeting without the methods that it lists."""

REASON: Final = "a proxy leads to real hosts; start the bot without it"


def refuse_proxies(ports: frozenset[int], note: Note) -> None:
    """Refuse requests to a proxy at one of these loopback ports, from now on.

    Args:
        ports: The ports that the bot may use for other things, such as its database.
        note: Called with each proxy that is refused, and why.
    """
    # A proxy may speak TLS itself.
    for kind, names in ((socket.socket, ("send", "sendall", "sendmsg")), (ssl.SSLSocket, ("send",))):
        for name in names:
            # Windows has no sendmsg.
            if hasattr(kind, name):
                setattr(kind, name, _watched(getattr(kind, name), ports, note))


def asks_proxy(data: Any) -> bool:
    """Return whether a client begins to talk to an HTTP or SOCKS proxy with these bytes."""
    if HTTP_PROXY.match(data) or SOCKS4.match(data):
        return True
    return bool(SOCKS5.match(data)) and len(data) == GREETING + data[1]


def _watched(send: Callable[..., Any], ports: frozenset[int], note: Note) -> Callable[..., Any]:
    @functools.wraps(send)
    def method(self: socket.socket, data: Any, *args: Any) -> Any:
        first = data
        if not isinstance(data, bytes | bytearray | memoryview):
            # asyncio hands sendmsg an iterator: what is looked at must be sent all the same.
            data = list(data)
            first = data[0] if data else b""
        if asks_proxy(first) and (port := _peer_port(self)) in ports:
            note(f"127.0.0.1:{port}", REASON)
            # httpx reads on after a failed write, and would wait for an answer.
            self.shutdown(socket.SHUT_RDWR)
            raise RealHostRefusedError(
                errno.ECONNREFUSED, f"refused to use the proxy at 127.0.0.1:{port}: {REASON}"
            )
        return send(self, data, *args)

    return method


def _peer_port(connection: socket.socket) -> int | None:
    try:
        peer = connection.getpeername()
    except OSError:
        return None
    return peer[1] if isinstance(peer, tuple) else None
