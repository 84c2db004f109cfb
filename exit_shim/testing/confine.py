"""Keeping a process on loopback, for runs that must not reach a real host whatever the bot does.

It rests on Python's audit events, which cannot be switched off again: it is meant for a process of its
own. Code that makes system calls past Python (ctypes, a C library with its own sockets) is not seen;
the common ones of those are refused at import.
"""

import ipaddress
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from types import FrameType
from typing import Any, Final

PROXY_VARIABLES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "WS_PROXY", "WSS_PROXY")

OWN_SOCKETS: Final = frozenset({"curl_cffi", "grpc", "pycares", "pycurl", "uvloop", "winloop"})
"""Packages that open connections past Python's `socket`, so that nobody could see where to."""


class RealHostRefusedError(ConnectionRefusedError):
    """A connection to anything but the local exchange was asked for; nothing was sent."""


class ChildRefusedError(PermissionError):
    """A child process was asked for, in which connections could not be watched."""


def confine(ports: Iterable[int]) -> None:
    """From now on, for good, this process connects to loopback at `ports` and to nothing else.

    Name look-ups of other hosts, child processes and packages with sockets of their own are refused
    too. Proxy variables leave the environment, since a proxy on loopback would reach the world.

    Args:
        ports: TCP and UDP ports on 127.0.0.0/8 and ::1 that stay open.
    """
    for name in PROXY_VARIABLES:
        os.environ.pop(name, None)
        os.environ.pop(name.lower(), None)
    refused = [name for name in OWN_SOCKETS if name in sys.modules]
    if refused:
        raise ChildRefusedError(f"{', '.join(refused)} opens sockets past Python and is already imported")
    checks = _checks(frozenset(ports))

    def watch(event: str, args: tuple[Any, ...]) -> None:
        check = checks.get(event)
        if check is not None:
            check(args)

    _refuse_fork_exec()
    sys.addaudithook(watch)


def _checks(ports: frozenset[int]) -> Mapping[str, Callable[[tuple[Any, ...]], None]]:
    rule = f"this run may connect to 127.0.0.1 at {', '.join(map(str, sorted(ports)))} and to nothing else"

    def address(args: tuple[Any, ...]) -> None:
        target = args[1]
        if isinstance(target, tuple) and target and isinstance(target[0], str):  # AF_INET, AF_INET6
            host, port = target[0], target[1]
            if not (is_loopback(host) and (port in ports or _is_own_pair())):
                raise RealHostRefusedError(f"refused to connect to {host} at {port}: {rule}")

    def name(args: tuple[Any, ...]) -> None:
        host = args[0].decode() if isinstance(args[0], bytes) else args[0]
        if host and not is_loopback(host):
            raise RealHostRefusedError(f"refused to look up {host!r}: {rule}")

    def child(args: tuple[Any, ...]) -> None:
        raise ChildRefusedError(
            f"refused to start a child process ({args[0] if args else '?'!r}): what it connects to "
            f"could not be watched, and {rule}"
        )

    def package(args: tuple[Any, ...]) -> None:
        if args[0].partition(".")[0] in OWN_SOCKETS:
            raise ImportError(f"{args[0]} opens sockets past Python, where they cannot be watched; {rule}")

    return {
        **dict.fromkeys(("socket.connect", "socket.sendto", "socket.sendmsg"), address),
        **dict.fromkeys(("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"), name),
        **dict.fromkeys(
            (
                "subprocess.Popen",
                "os.exec",
                "os.posix_spawn",
                "os.spawn",
                "os.startfile",
                "os.system",
                "pty.spawn",
                "cpython.PyInterpreterState_New",
            ),
            child,
        ),
        "import": package,
    }


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, can only be this machine."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


def _is_own_pair() -> bool:
    """Windows has no socketpair: the standard library connects two sockets of this process instead."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001
    while frame is not None:
        if frame.f_code.co_name in {"socketpair", "_fallback_socketpair"}:
            return frame.f_globals.get("__name__") == "socket"
        frame = frame.f_back
    return False


def _refuse_fork_exec() -> None:
    """The one way to a child that raises no audit event, used by multiprocessing's spawn and forkserver."""
    try:
        import _posixsubprocess  # noqa: PLC0415 - absent on Windows
    except ImportError:
        return

    def refuse(*args: object) -> int:
        raise ChildRefusedError(
            f"refused to start a child process ({args[0] if args else '?'!r}): what it connects to "
            "could not be watched; start the bot with multiprocessing's fork method, or without --local"
        )

    _posixsubprocess.fork_exec = refuse
