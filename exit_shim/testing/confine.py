"""The confinement of a process to loopback, for runs that must never reach a real host.

It uses Python's audit events, which cannot be switched off again, so run it in a separate process. Code
that makes system calls past Python (ctypes, a C library with its own sockets) is not seen; the common
libraries of that kind are refused at import.
"""

import errno
import functools
import ipaddress
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from types import FrameType
from typing import Any, Final

PROXY_VARIABLES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "WS_PROXY", "WSS_PROXY")

OWN_SOCKETS: Final = frozenset(
    {
        "MySQLdb",
        "confluent_kafka",
        "curl_cffi",
        "grpc",
        "nautilus_trader",
        "primp",
        "psycopg",
        "psycopg2",
        "psycopg_binary",
        "psycopg_c",
        "pycares",
        "pycurl",
        "rnet",
        "tls_client",
        "uvloop",
        "winloop",
        "zmq",
    }
)
"""Packages that open connections past Python's `socket`, so that nobody could see where to."""

OWN_INTERPRETERS: Final = frozenset({"_interpreters", "_xxsubinterpreters"})
"""Modules that make interpreters in which no audit hook of this one runs."""

FAMILIES: Final = frozenset({-1, socket.AF_INET, socket.AF_INET6, getattr(socket, "AF_UNIX", socket.AF_INET)})
"""Address families a socket may have. -1: as its file descriptor has it."""

SYSLOG: Final = ("/dev/log", "/var/run/syslog")
"""Unix sockets that only take log lines."""


NAME_EVENTS: Final = (
    "socket.getaddrinfo",
    "socket.gethostbyaddr",
    "socket.gethostbyname",
    "socket.getnameinfo",
)

CHILD_EVENTS: Final = (
    "_winapi.CreateProcess",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
    "os.system",
    "pty.spawn",
    "subprocess.Popen",
)
"""Events of processes that the audit hook does not follow; the child of `os.fork` has it too."""


class RealHostRefusedError(ConnectionRefusedError):
    """A refused connection to a host that is not the local exchange; nothing was sent."""


class ChildRefusedError(PermissionError):
    """A refused child process, whose connections could not be watched."""


def confine(ports: Iterable[int]) -> None:
    """Refuse every connection of this process but to loopback at `ports`, from now on.

    Name look-ups of other hosts, child processes and packages with sockets of their own are refused
    too. Proxy variables leave the environment, since a proxy on loopback would reach the world.

    Args:
        ports: TCP and UDP ports on 127.0.0.0/8 and ::1 that stay open.
    """
    for name in PROXY_VARIABLES:
        os.environ.pop(name, None)
        os.environ.pop(name.lower(), None)
    # For those that the bot sets later on.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"
    _force_threaded_lookups()
    refused = [name for name in OWN_SOCKETS if name in sys.modules and name not in DISARMED]
    if refused:
        raise ChildRefusedError(f"{', '.join(refused)} opens sockets past Python and is already imported")
    checks = _AuditChecks(frozenset(ports)).checks()

    def watch(event: str, args: tuple[Any, ...]) -> None:
        check = checks.get(event)
        if check is not None:
            check(args)

    _refuse_fork_exec()
    _refuse_interpreters()
    _check_before_socket(checks["socket.connect"])
    _watch_proactor(checks["socket.connect"])
    sys.addaudithook(watch)


class _AuditChecks:
    """The checks by audit event; each takes the event's arguments and raises to refuse."""

    def __init__(self, ports: frozenset[int]) -> None:
        self._ports = ports
        # The sockets of multiprocessing.
        self._temporary = os.path.normpath(tempfile.gettempdir()) + os.sep
        allowed = ", ".join(map(str, sorted(ports)))
        self._rule = f"this run may connect to 127.0.0.1 at {allowed} and to nothing else"

    def address(self, args: tuple[Any, ...]) -> None:
        target = args[1]
        # A message on a connection that was looked at when it was made.
        if target is None:
            return
        if not isinstance(target, tuple):
            self._unix(os.fsdecode(target))
            return
        host, port = decode_host(target[0]), target[1]
        if not (is_loopback(host) and (port in self._ports or _is_own_pair())):
            raise self._refusal(errno.ECONNREFUSED, f"refused to connect to {host} at {port}")

    def _unix(self, path: str) -> None:
        if path not in SYSLOG and not os.path.normpath(path).startswith(self._temporary):
            raise self._refusal(
                errno.ECONNREFUSED,
                f"refused to connect to the unix socket {path!r}, whose listener may reach the world",
            )

    def family(self, args: tuple[Any, ...]) -> None:
        if args[1] not in FAMILIES:
            raise self._refusal(errno.EACCES, f"refused a socket of family {args[1]!r}")

    def name(self, args: tuple[Any, ...]) -> None:
        host = args[0][0] if isinstance(args[0], tuple) else args[0]
        if host and not is_loopback(decode_host(host)):
            raise self._refusal(errno.ECONNREFUSED, f"refused to look up {decode_host(host)!r}")

    def child(self, args: tuple[Any, ...]) -> None:
        raise ChildRefusedError(
            errno.EPERM,
            f"refused to start a child process ({args[0] if args else '?'!r}): what it connects to could "
            f"not be watched, and {self._rule}",
        )

    def package(self, args: tuple[Any, ...]) -> None:
        top = args[0].partition(".")[0]
        if top in OWN_SOCKETS or top in OWN_INTERPRETERS:
            raise ImportError(f"{args[0]} can connect past Python, where nobody could watch it; {self._rule}")

    def _refusal(self, number: int, what: str) -> RealHostRefusedError:
        return RealHostRefusedError(number, f"{what}: {self._rule}")

    def checks(self) -> Mapping[str, Callable[[tuple[Any, ...]], None]]:
        return {
            **dict.fromkeys(("socket.connect", "socket.sendto", "socket.sendmsg"), self.address),
            **dict.fromkeys(NAME_EVENTS, self.name),
            **dict.fromkeys(CHILD_EVENTS, self.child),
            "socket.__new__": self.family,
            "import": self.package,
        }


def decode_host(host: object) -> str:
    """Return a host as text; sockets take bytes too."""
    return bytes(host).decode(errors="replace") if isinstance(host, bytes | bytearray) else str(host)


def is_loopback(host: str) -> bool:
    """Return whether `host`, a name or an address, can only be this machine."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _is_own_pair() -> bool:
    """Return whether `socket.socketpair` connects two sockets of this process, as it does on Windows."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the documented way to the caller
    while frame is not None:
        if frame.f_code.co_name in {"socketpair", "_fallback_socketpair"}:
            return frame.f_globals.get("__name__") == "socket"
        frame = frame.f_back
    return False


def _refuse_fork_exec() -> None:
    """Refuse the one start of a child that raises no audit event (multiprocessing's spawn and forkserver)."""
    try:
        import _posixsubprocess  # noqa: PLC0415 - absent on Windows
    except ImportError:
        return

    def refuse(*args: object) -> int:
        raise ChildRefusedError(
            errno.EPERM,
            f"refused to start a child process ({args[0] if args else '?'!r}): what it connects to "
            "could not be watched; start the bot with multiprocessing's fork method, or without --local",
        )

    _posixsubprocess.fork_exec = refuse


def _refuse_interpreters() -> None:
    """Refuse new interpreters where the module that makes them is imported already (Python 3.14)."""

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise ImportError("another interpreter can connect past Python, where nobody could watch it")

    for name in OWN_INTERPRETERS & sys.modules.keys():
        vars(sys.modules[name])["create"] = refuse


DISARMED: Final = frozenset({"pycares"})
"""What `_look_up_in_python` takes care of where it is imported already."""


def _force_threaded_lookups() -> None:
    """Make aiohttp look names up through `socket`; with aiodns it asks name servers itself."""
    resolver = sys.modules.get("aiohttp.resolver")
    for user in (resolver, sys.modules.get("aiohttp.connector")):
        if user is not None and resolver is not None:
            vars(user)["DefaultResolver"] = resolver.ThreadedResolver
    pycares = sys.modules.get("pycares")
    if pycares is not None:
        vars(pycares)["Channel"] = _refuse_channel


def _refuse_channel(*_args: object, **_kwargs: object) -> None:
    raise RealHostRefusedError(
        errno.ECONNREFUSED, "refused to look up names past Python, where nobody could watch it"
    )


def _check_before_socket(check: Callable[[tuple[Any, ...]], None]) -> None:
    """Check an address before `socket` does, which looks its name up before its audit event."""

    def check_first(send: Callable[..., Any], place: int) -> Callable[..., Any]:
        @functools.wraps(send)
        def method(self: socket.socket, *args: Any) -> Any:
            if len(args) > max(place, 0):
                check((self, args[place]))
            return send(self, *args)

        return method

    for name, place in (("connect", 0), ("connect_ex", 0), ("sendto", -1), ("sendmsg", 3)):
        # Windows has no sendmsg.
        if hasattr(socket.socket, name):
            setattr(socket.socket, name, check_first(getattr(socket.socket, name), place))


def _watch_proactor(check: Callable[[tuple[Any, ...]], None]) -> None:
    """Check what asyncio's default event loop on Windows connects past `socket`."""
    if sys.platform == "win32":
        from asyncio.windows_events import IocpProactor  # noqa: PLC0415 - only Windows has it

        connect, sendto = IocpProactor.connect, IocpProactor.sendto

        def watched_connect(self: Any, conn: Any, address: Any) -> Any:
            check((conn, address))
            return connect(self, conn, address)

        def watched_sendto(self: Any, conn: Any, buf: Any, flags: int = 0, addr: Any = None) -> Any:
            check((conn, addr))
            return sendto(self, conn, buf, flags, addr)

        IocpProactor.connect, IocpProactor.sendto = watched_connect, watched_sendto
