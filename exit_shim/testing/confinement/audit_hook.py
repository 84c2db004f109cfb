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

from exit_shim.testing.confinement.dummy_hosts import NOTE
from exit_shim.testing.confinement.packages import OWN_SOCKETS, with_companions

PROXY_VARIABLES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "WS_PROXY", "WSS_PROXY")

OWN_INTERPRETERS: Final = frozenset({"_interpreters", "_xxsubinterpreters"})
"""Modules that make interpreters without this audit hook."""

FAMILIES: Final = frozenset({-1, socket.AF_INET, socket.AF_INET6, getattr(socket, "AF_UNIX", socket.AF_INET)})
"""Address families a socket may have. -1: as its file descriptor has it."""

LOOPBACK: Final = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}

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


NO_WAY: Final = "no option allows a real host"


class RealHostRefusedError(ConnectionRefusedError):
    """A refused connection to a host that is not the local exchange; nothing was sent."""


class ChildRefusedError(PermissionError):
    """A refused child process, whose connections could not be watched."""


Note = Callable[[str, str], None]
"""Called with the name of what was refused, and why."""


def confine(
    ports: Iterable[int],
    *,
    allow_packages: Iterable[str] = (),
    route: Callable[[Any], Any] = lambda target: target,
    note: Note = lambda _name, _reason: None,
) -> None:
    """Refuse every connection of this process but to loopback at `ports`, from now on.

    Name look-ups of other hosts, child processes and packages with sockets of their own are refused
    too. Proxy variables leave the environment, since a proxy on loopback would reach the world.

    Args:
        ports: TCP and UDP ports on 127.0.0.0/8 and ::1 that stay open.
        allow_packages: Packages with sockets of their own that may be imported; nobody watches them.
        route: Returns the address to connect to in place of the one that was asked for.
        note: Called with each host that is refused, in forks of this process too.
    """
    for name in PROXY_VARIABLES:
        os.environ.pop(name, None)
        os.environ.pop(name.lower(), None)
    # For those that the bot sets later on.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"
    _force_threaded_lookups()
    packages = OWN_SOCKETS - with_companions(allow_packages)
    refused = [name for name in packages if name in sys.modules and name not in DISARMED]
    if refused:
        raise ChildRefusedError(f"{', '.join(refused)} opens sockets past Python and is already imported")
    checks = _AuditChecks(frozenset(ports), packages, note).checks()

    def watch(event: str, args: tuple[Any, ...]) -> None:
        check = checks.get(event)
        if check is not None:
            check(args)

    _refuse_fork_exec()
    _refuse_interpreters()
    _check_before_socket(checks["socket.connect"], route, note)
    _watch_proactor(checks["socket.connect"], route)
    sys.addaudithook(watch)


class _AuditChecks:
    """The checks by audit event; each takes the event's arguments and raises to refuse."""

    def __init__(self, ports: frozenset[int], packages: frozenset[str], note: Note) -> None:
        self._ports = ports
        self._packages = packages
        self._note = note
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
        # The values that the system call will read, whatever a subclass shows.
        host, port = decode_host(tuple.__getitem__(target, 0)), tuple.__getitem__(target, 1)
        if not is_loopback(host):
            raise self._host_refusal(host, f"refused to connect to {host} at {port}")
        if not (port in self._ports or _is_own_pair()):
            way = f"--allow-port {port} opens it"
            self._note(f"{host}:{port}", way)
            raise self._refusal(errno.ECONNREFUSED, f"refused to connect to {host} at {port}", way)

    def _unix(self, path: str) -> None:
        if path not in SYSLOG and not os.path.normpath(path).startswith(self._temporary):
            raise self._refusal(
                errno.ECONNREFUSED,
                f"refused to connect to the unix socket {path!r}, whose listener may reach the world",
                "a database on this machine can be reached by TCP with --allow-port",
            )

    def family(self, args: tuple[Any, ...]) -> None:
        if args[1] not in FAMILIES:
            raise self._refusal(errno.EACCES, f"refused a socket of family {args[1]!r}", NO_WAY)

    def name(self, args: tuple[Any, ...]) -> None:
        host = decode_host(args[0][0] if isinstance(args[0], tuple) else args[0]) if args[0] else ""
        if host and not is_loopback(host):
            raise self._host_refusal(host, f"refused to look up {host!r}")

    def child(self, args: tuple[Any, ...]) -> None:
        raise ChildRefusedError(
            errno.EPERM,
            f"refused to start a child process ({args[0] if args else '?'!r}): what it connects to could "
            f"not be watched, and {self._rule}",
        )

    def package(self, args: tuple[Any, ...]) -> None:
        top = args[0].partition(".")[0]
        if top in OWN_INTERPRETERS:
            raise ImportError(f"{args[0]} can connect past Python, where nobody could watch it; {self._rule}")
        if top in self._packages:
            raise ImportError(
                f"{args[0]} can connect past Python, where nobody could watch it; {self._rule}; "
                f"--allow-package {top} allows it unwatched"
            )

    def _host_refusal(self, host: str, what: str) -> RealHostRefusedError:
        self._note(host, NO_WAY)
        return self._refusal(errno.ECONNREFUSED, what, NO_WAY)

    def _refusal(self, number: int, what: str, way: str) -> RealHostRefusedError:
        return RealHostRefusedError(number, f"{what}: {self._rule}; {way}")

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
    if isinstance(host, str):
        return str.__str__(host)
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
"""Packages that `_force_threaded_lookups` disarms if they are imported already."""


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


def _check_before_socket(
    check: Callable[[tuple[Any, ...]], None], route: Callable[[Any], Any], note: Note
) -> None:
    """Check an address before `socket` does, which looks its name up before its audit event.

    A datagram socket that would connect to a real host gets an address on loopback instead, and no peer.
    """

    def route_first(connect: Callable[..., Any], success: int | None) -> Callable[..., Any]:
        @functools.wraps(connect)
        def method(self: socket.socket, address: Any) -> Any:
            target = route(address)
            if _asks_own_address(self, target):
                # Without a peer the system itself refuses to send on it.
                self.bind((LOOPBACK[self.family], 0))
                note(decode_host(target[0]), NOTE)
                return success
            check((self, target))
            return connect(self, target)

        return method

    def check_first(send: Callable[..., Any], place: int) -> Callable[..., Any]:
        @functools.wraps(send)
        def method(self: socket.socket, *args: Any) -> Any:
            if len(args) > max(place, 0):
                check((self, args[place]))
            return send(self, *args)

        return method

    for name, success in (("connect", None), ("connect_ex", 0)):
        setattr(socket.socket, name, route_first(getattr(socket.socket, name), success))
    for name, place in (("sendto", -1), ("sendmsg", 3)):
        # Windows has no sendmsg.
        if hasattr(socket.socket, name):
            setattr(socket.socket, name, check_first(getattr(socket.socket, name), place))


def _asks_own_address(connection: socket.socket, target: Any) -> bool:
    """Return whether a connection is how many bots learn their own address; it sends nothing by itself."""
    if connection.type != socket.SOCK_DGRAM or connection.family not in LOOPBACK:
        return False
    return isinstance(target, tuple) and not is_loopback(decode_host(target[0])) and not _is_bound(connection)


def _is_bound(connection: socket.socket) -> bool:
    try:
        return bool(connection.getsockname()[1])
    except OSError:
        # Windows has no name for a socket that is not bound.
        return False


def _watch_proactor(check: Callable[[tuple[Any, ...]], None], route: Callable[[Any], Any]) -> None:
    """Check what asyncio's default event loop on Windows connects past `socket`."""
    if sys.platform == "win32":
        from asyncio.windows_events import IocpProactor  # noqa: PLC0415 - only Windows has it

        connect, sendto = IocpProactor.connect, IocpProactor.sendto

        def watched_connect(self: Any, conn: Any, address: Any) -> Any:
            target = route(address)
            check((conn, target))
            return connect(self, conn, target)

        def watched_sendto(self: Any, conn: Any, buf: Any, flags: int = 0, addr: Any = None) -> Any:
            check((conn, addr))
            return sendto(self, conn, buf, flags, addr)

        IocpProactor.connect, IocpProactor.sendto = watched_connect, watched_sendto
