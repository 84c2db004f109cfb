"""Real hosts that a local exchange answers: their names lead to loopback, connections to its ports."""

import _socket
import errno
import functools
import itertools
import socket
from collections.abc import Callable, Iterable
from typing import Any, Final

from exit_shim.exchange.authority import BINANCE_DOMAINS
from exit_shim.testing.confinement.audit_hook import Note, RealHostRefusedError, decode_host, is_loopback

PLAIN_PORTS: Final = (80,)
TLS_PORTS: Final = (443, 9443)
"""The ports at which Binance's hosts speak HTTPS and WSS."""

NETWORK: Final = "127.77"
"""The first half of the addresses that answered names look up to. Nothing listens there."""

LOCALHOST: Final = "127.0.0.1"

LOOKUPS: Final = ("getaddrinfo", "gethostbyname", "gethostbyname_ex")


class RealHosts:
    """Send what goes to Binance's hosts, and to a few others, to a local exchange.

    Each name has an address of its own on loopback, so that a client may look up first and connect later,
    in whatever way. Only `connect` knows the exchange's ports.

    Args:
        plain_port: Where the exchange speaks HTTP.
        tls_port: Where it speaks HTTPS; None where it does not.
        others: Further hosts that it answers.
        note: Called with each host that is refused at a port, and why.
    """

    def __init__(self, plain_port: int, tls_port: int | None, others: Iterable[str], note: Note) -> None:
        self._ports = {**dict.fromkeys(PLAIN_PORTS, plain_port), **dict.fromkeys(TLS_PORTS, tls_port)}
        self._others = frozenset(others)
        self._note = note
        self._addresses: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._numbers = itertools.count(1)

    def address_of(self, host: object) -> str | None:
        """Return the address that stands for a host; None for one that is not answered."""
        name = decode_host(host).lower().rstrip(".")
        if not (is_binance(name) or name in self._others):
            return None
        if name not in self._addresses:
            number = next(self._numbers)
            address = self._addresses.setdefault(name, f"{NETWORK}.{number >> 8}.{number & 255}")
            self._names[address] = name
        return self._addresses[name]

    def route(self, target: Any) -> Any:
        """Return the address to connect to: the exchange's for an answered host, else `target` itself.

        Raises:
            RealHostRefusedError: At a port where the exchange does not answer for this host.
        """
        if not isinstance(target, tuple) or len(target) < 2:  # noqa: PLR2004 - host and port
            return target
        host, port = decode_host(target[0]), target[1]
        name = self._names.get(host, host)
        if self.address_of(name) is None:
            return target
        if port not in self._ports:
            raise self._refusal(
                name, port, f"the local exchange answers at {', '.join(map(str, self._ports))}"
            )
        if self._ports[port] is None:
            raise self._refusal(name, port, "TLS needs trustme: pip install 'exit_shim[local]'")
        return LOCALHOST, self._ports[port]

    def _refusal(self, name: str, port: int, reason: str) -> RealHostRefusedError:
        self._note(f"{name}:{port}", reason)
        return RealHostRefusedError(errno.ECONNREFUSED, f"refused to connect to {name} at {port}: {reason}")

    def answer_lookups(self) -> None:
        """Make every look-up of this process find the answered hosts, from now on."""
        # `socket.getaddrinfo` asks `_socket` at each call, the others are the very functions of `_socket`.
        for name in LOOKUPS:
            answering = self._answering(vars(_socket)[name])
            vars(_socket)[name] = answering
            if name != "getaddrinfo":
                vars(socket)[name] = answering
        reverse = {"gethostbyaddr": self._naming_address, "getnameinfo": self._naming_socket}
        for name, answering_with in reverse.items():
            vars(_socket)[name] = vars(socket)[name] = answering_with(vars(_socket)[name])

    def _answering(self, look_up: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(look_up)
        def answer(host: Any, *args: Any, **kwargs: Any) -> Any:
            return look_up(self._find(host) if host else host, *args, **kwargs)

        return answer

    # The system would ask a name server for the names of loopback addresses that it does not know.

    def _naming_address(self, look_up: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(look_up)
        def answer(host: Any) -> Any:
            address = decode_host(self._find(host))
            address = LOCALHOST if address == "localhost" else address
            return (self._name(address), [], [address]) if is_loopback(address) else look_up(address)

        return answer

    def _naming_socket(self, look_up: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(look_up)
        def answer(address: Any, flags: int) -> Any:
            if flags & socket.NI_NUMERICHOST or not is_loopback(decode_host(address[0])):
                return look_up(address, flags)
            host, service = look_up(address, flags | socket.NI_NUMERICHOST)
            return self._name(host), service

        return answer

    def _name(self, address: str) -> str:
        return self._names.get(address, "localhost")

    def _find(self, host: object) -> object:
        # Many bots look their own machine's name up, and a name server would learn it.
        if decode_host(host) == socket.gethostname():
            return LOCALHOST
        return self.address_of(host) or host


def is_binance(host: str) -> bool:
    """Return whether a host name, in lower case, is one of Binance's."""
    return any(host == domain or host.endswith(f".{domain}") for domain in BINANCE_DOMAINS)
