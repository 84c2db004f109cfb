"""The guard of a test with fixtures: it refuses every host but this machine, and clients with real keys.

It is removed when the test is over. Sockets that are not opened through Python's `socket` (uvloop, gRPC,
curl, a child process) are not seen.
"""

from __future__ import annotations

import asyncio
import asyncio.proactor_events
import contextlib
import errno
import ipaddress
import re
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any, Final

from exit_shim.attribution.code_files import is_foreign
from exit_shim.testing.confinement.audit_hook import RealHostRefusedError, is_loopback

_REAL_KEY: Final = re.compile(r"[A-Za-z0-9]{64}", re.ASCII)
_MOST_PACKAGES: Final = 4


class RealKeyRefusedError(PermissionError):
    """A refused client whose API key looks like one of a real account."""


class NetworkGuard:
    """Check connections and keys, and remember what was refused.

    Args:
        test: The test that runs, for the messages.
        allowed: Hosts besides this machine.
    """

    def __init__(self, test: str, allowed: Iterable[str]) -> None:
        self.refused: list[str] = []
        self._test = test
        self._allowed = {host.lower() for host in allowed}

    def check_address(self, target: object) -> None:
        """Refuse a connection to another machine.

        Raises:
            RealHostRefusedError: With what tried to connect, and where to.
        """
        # A path, or numbers, of families that do not leave this machine.
        if not (isinstance(target, tuple) and target and isinstance(target[0], str)):
            return
        host = target[0]
        if not (is_loopback(host) or host.lower() in self._allowed):
            self._refuse_host(f"connect to {host} at port {target[1]}")

    def check_name(self, host: object) -> None:
        """Refuse to look up the name of another machine; an address needs no look-up.

        Raises:
            RealHostRefusedError: With what asked, and for which name.
        """
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
        if not isinstance(name, str) or not name or _is_address(name):
            return
        if not (is_loopback(name.lower()) or name.lower() in self._allowed):
            self._refuse_host(f"look up {name!r}")

    def allow_addresses(self, host: object, addresses: Iterable[str]) -> None:
        """Allow the addresses of a host that is allowed."""
        if isinstance(host, str) and host.lower() in self._allowed:
            self._allowed.update(addresses)

    def check_key(self, *texts: object) -> None:
        """Refuse keys and secrets that look real (64 letters and digits), without repeating them.

        Raises:
            RealKeyRefusedError: With what made the client.
        """
        if not any(isinstance(text, str) and _REAL_KEY.fullmatch(text) for text in texts):
            return
        who = _who(sys._getframe(1))  # noqa: SLF001 - the documented way to the caller
        message = (
            f"{who} made a client with an API key or secret that looks real "
            f"(64 letters and digits) in {self._test}: a test needs none. Give the client no key, or one of "
            "another length; the local exchange takes any."
        )
        self.refused.append(message)
        raise RealKeyRefusedError(errno.EPERM, message)

    def _refuse_host(self, deed: str) -> None:
        who = _who(sys._getframe(2))  # noqa: SLF001 - as above
        message = (
            f"{who} tried to {deed} in {self._test}: while a fixture of exit_shim is in use, "
            "only this machine can be reached. Clients of python-binance made in the test are on the local "
            "exchange if it asks for local_exchange; hosts that it needs are named in the ini option "
            "exit_shim_allowed_hosts."
        )
        self.refused.append(message)
        raise RealHostRefusedError(errno.ECONNREFUSED, message)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _who(frame: FrameType | None) -> str:
    """Return the nearest place in code that is not installed, else the packages on the way."""
    packages: list[str] = []
    while frame is not None:
        name, file = str(frame.f_globals.get("__name__", "?")), frame.f_code.co_filename
        package = name.partition(".")[0]
        if not is_foreign(file):
            place = f"{frame.f_code.co_name} ({file}:{frame.f_lineno})"
            return f"{place}, through {_listed(packages)}," if packages else place
        if package not in packages and package not in sys.stdlib_module_names | {"exit_shim"}:
            packages.append(package)
        frame = frame.f_back
    return _listed(packages) if packages else "a thread without a Python frame"


def _listed(packages: list[str]) -> str:
    return ", ".join(reversed(packages[-_MOST_PACKAGES:]))


@contextlib.contextmanager
def watch_network(guard: NetworkGuard) -> Iterator[None]:
    """Ask `guard` about every connection, look-up and python-binance client inside the block."""
    with contextlib.ExitStack() as undo:
        _watch_sockets(guard, undo)
        _watch_names(guard, undo)
        _watch_proactor(guard, undo)
        _watch_clients(guard, undo)
        yield


def _replace(owner: Any, name: str, new: Callable[..., Any], undo: contextlib.ExitStack) -> None:
    """Set an attribute until `undo` ends; restore an inherited one to being inherited."""
    if name in vars(owner):
        undo.callback(setattr, owner, name, vars(owner)[name])
    else:
        undo.callback(delattr, owner, name)
    setattr(owner, name, new)


def _watch_sockets(guard: NetworkGuard, undo: contextlib.ExitStack) -> None:
    kind: Any = socket.socket
    connect, connect_ex, sendto = kind.connect, kind.connect_ex, kind.sendto

    def checked_connect(self: socket.socket, address: Any, /) -> None:
        guard.check_address(address)
        connect(self, address)

    def checked_connect_ex(self: socket.socket, address: Any, /) -> int:
        guard.check_address(address)
        return int(connect_ex(self, address))

    def checked_sendto(self: socket.socket, data: Any, *rest: Any) -> int:
        if rest:
            guard.check_address(rest[-1])
        return int(sendto(self, data, *rest))

    _replace(kind, "connect", checked_connect, undo)
    _replace(kind, "connect_ex", checked_connect_ex, undo)
    _replace(kind, "sendto", checked_sendto, undo)


def _watch_names(guard: NetworkGuard, undo: contextlib.ExitStack) -> None:
    getaddrinfo, gethostbyname, gethostbyname_ex = (
        socket.getaddrinfo,
        socket.gethostbyname,
        socket.gethostbyname_ex,
    )
    look_up = asyncio.BaseEventLoop.getaddrinfo

    def checked_getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        guard.check_name(host)
        addresses = getaddrinfo(host, *args, **kwargs)
        guard.allow_addresses(host, (str(address[0]) for *_, address in addresses))
        return addresses

    def checked_gethostbyname(name: Any, /) -> str:
        guard.check_name(name)
        address = gethostbyname(name)
        guard.allow_addresses(name, [address])
        return address

    def checked_gethostbyname_ex(name: Any, /) -> tuple[str, list[str], list[str]]:
        guard.check_name(name)
        answer = gethostbyname_ex(name)
        guard.allow_addresses(name, answer[2])
        return answer

    async def checked_look_up(self: Any, host: Any, *args: Any, **kwargs: Any) -> Any:
        # Here the task that asks is on the stack; in the resolver's thread it is not.
        guard.check_name(host)
        return await look_up(self, host, *args, **kwargs)

    _replace(socket, "getaddrinfo", checked_getaddrinfo, undo)
    _replace(socket, "gethostbyname", checked_gethostbyname, undo)
    _replace(socket, "gethostbyname_ex", checked_gethostbyname_ex, undo)
    _replace(asyncio.BaseEventLoop, "getaddrinfo", checked_look_up, undo)


def _watch_proactor(guard: NetworkGuard, undo: contextlib.ExitStack) -> None:
    """Check what asyncio's default event loop on Windows connects past `socket`."""
    loop = asyncio.proactor_events.BaseProactorEventLoop
    sock_connect = loop.sock_connect

    async def checked(self: Any, sock: socket.socket, address: Any) -> None:
        guard.check_address(address)
        await sock_connect(self, sock, address)

    _replace(loop, "sock_connect", checked, undo)


def _watch_clients(guard: NetworkGuard, undo: contextlib.ExitStack) -> None:
    import binance  # noqa: PLC0415 - slow to import
    import wrapt  # noqa: PLC0415 - as above

    # Older releases have no `base_client` to import it from.
    base = binance.Client.__mro__[-2]

    @wrapt.decorator
    def checked(init: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # Its __del__ asks for it, however far the constructor came.
        client.session = None
        guard.check_key(*args[:2], kwargs.get("api_key"), kwargs.get("api_secret"))
        init(*args, **kwargs)

    _replace(base, "__init__", checked(base.__init__), undo)
