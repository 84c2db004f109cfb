"""Clients of the shim's own, made after the bot's: same account and hosts, no shared connection."""

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from exit_shim.clients.accounts import host_of, is_genuine
from exit_shim.clients.doors import is_coroutine_method
from exit_shim.clients.python_binance import is_own_module

SESSIONS: Final = (("requests.sessions", "Session"), ("aiohttp.client", "ClientSession"))

SENDS: Final = (
    ("requests.sessions", "Session", ("request", "send", "get", "post", "put", "delete", "get_adapter")),
    ("requests.adapters", "HTTPAdapter", ("send",)),
    ("aiohttp.client", "ClientSession", ("_request", "get", "post", "put", "delete")),
)
"""What a test's mocking library puts something else in the place of."""

OWN: Final = (
    "_request",
    "_request_futures_api",
    "_create_futures_api_uri",
    "_handle_response",
    "_get_request_kwargs",
    "_generate_signature",
)
"""What makes a client send to an exchange, and not to what a subclass has put in its place."""

TAKEN: Final = (
    "API_KEY",
    "API_SECRET",
    "PRIVATE_KEY",
    "TIME_UNIT",
    "_is_rsa",
    "demo",
    "testnet",
    "timestamp_offset",
    "tld",
)
"""What of a client's attributes is taken besides the constants of its class; nothing that a bot may have put
there, no connection, loop or answer, and not `verbose`, which has all headers logged."""


class ClientClone:
    """What it takes to ask in a client's place, taken from the client; holds nothing of the client itself.

    It holds the account's credentials, so only `host` and `offset_ms` of it may be shown. The latter is what
    the client adds to its clock for the exchange's.
    """

    __slots__ = ("_attributes", "_class", "_session", "host", "offset_ms")

    def __init__(self, client: Any) -> None:
        self._class = sys.modules["binance.client"].Client
        own, constants = vars(client), [name for name in dir(self._class) if name.isupper()]
        self._attributes: dict[str, Any] = {
            name: getattr(client, name) for name in (*constants, *TAKEN) if hasattr(client, name)
        }
        self._attributes["_requests_params"] = dict(_options(own, is_async=_is_async(client)))
        self._session = dict(_session_of(own, is_async=_is_async(client)))
        self.offset_ms = int(own.get("timestamp_offset") or 0)
        self.host = host_of(str(client._create_futures_api_uri("")))  # noqa: SLF001

    @property
    def is_at_home(self) -> bool:
        """Whether it asks a host of python-binance's own choice, to which other addresses of it belong."""
        own = self._attributes
        name = "TESTNET_" if own.get("testnet") else "DEMO_" if own.get("demo") else ""
        address = str(getattr(self._class, f"FUTURES_{name}URL", ""))
        return host_of(address.format(own.get("tld"))) == self.host

    def async_client(self) -> Any:
        """A genuine async client for the loop that runs, made without `__init__`; sends nothing."""
        kind = sys.modules["binance"].AsyncClient
        made = kind.__new__(kind)
        given = self._attributes["_requests_params"]
        proxies = given.get("proxies") or self._session.get("proxies") or {}
        vars(made).update(
            self._attributes,
            response=None,
            verbose=False,
            loop=asyncio.get_running_loop(),
            https_proxy=proxies.get("https") or proxies.get("http"),
            _requests_params=dict(_aiohttp_options(given, self._session)),
            _session_params={"trust_env": self._session["trust_env"]},
        )
        made.session = made._init_session()  # noqa: SLF001
        return made

    def client(self) -> Any:
        """A genuine sync client, made without `__init__`, which would make an event loop; sends nothing."""
        made = self._class.__new__(self._class)
        vars(made).update(self._attributes, response=None, verbose=False)
        made.session = made._init_session()  # noqa: SLF001
        for name, value in self._session.items():
            setattr(made.session, name, value)
        return made


def can_be_cloned(client: Any) -> bool:
    """Whether a client is python-binance's own and really sends; not a mock, a fake or an adapter."""
    try:
        session = vars(client)["session"]
        return (
            is_genuine(client)
            and not any(name in vars(client) for name in OWN)
            and all(_is_code(getattr(type(client), name), is_own_module) for name in OWN)
            and any(type(session) is _loaded(module, name) for module, name in SESSIONS)
            and all(_sends(module, name, methods) for module, name, methods in SENDS)
            and not any(name in vars(session) for _, _, methods in SENDS for name in methods)
            and all(_is_http(adapter) for adapter in getattr(session, "adapters", {}).values())
        )
    except (AttributeError, KeyError, TypeError):
        return False


def _sends(module: str, name: str, methods: tuple[str, ...]) -> bool:
    known = _loaded(module, name)
    return known is None or all(_is_of(getattr(known, method), module) for method in methods)


def _loaded(module: str, name: str) -> Any:
    return getattr(sys.modules.get(module), name, None)


def _is_of(function: Any, module: str) -> bool:
    """Return whether a function is still the one of this module."""
    return _is_code(function, lambda name: name.startswith(module))


def _is_code(function: Any, is_own: Callable[[str], bool]) -> bool:
    """Return whether a function is code of a module of one's own; a mock with its looks has `mock`."""
    named = is_own(str(getattr(function, "__module__", "")))
    return named and hasattr(function, "__code__") and not hasattr(function, "mock")


def _is_http(adapter: object) -> bool:
    known = _loaded("requests.adapters", "HTTPAdapter")
    return isinstance(adapter, known) and _is_of(type(adapter).send, "requests.adapters")


def _is_async(client: Any) -> bool:
    return is_coroutine_method(type(client)._request)  # noqa: SLF001


def _options(own: Mapping[str, Any], *, is_async: bool) -> Iterator[tuple[str, Any]]:
    """The options of each request; aiohttp's are not those of requests, except for the ones that matter."""
    given = own.get("_requests_params") or {}
    if not is_async:
        yield from given.items()
        return
    if isinstance(given.get("timeout"), (int, float)):
        yield "timeout", given["timeout"]
    if (proxy := own.get("https_proxy") or given.get("proxy")) is not None:
        yield "proxies", {"http": proxy, "https": proxy}
    if given.get("ssl") is False or given.get("verify_ssl") is False:
        yield "verify", False


def _aiohttp_options(given: Mapping[str, Any], session: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The way back: what matters of the options and the session of requests, for aiohttp."""
    if isinstance(given.get("timeout"), (int, float)):
        yield "timeout", given["timeout"]
    if given.get("verify", session.get("verify")) is False:
        yield "ssl", False


def _session_of(own: Mapping[str, Any], *, is_async: bool) -> Iterator[tuple[str, Any]]:
    session = own["session"]
    if is_async:
        yield "trust_env", bool(getattr(session, "_trust_env", False))
        return
    for name in ("verify", "cert", "trust_env", "auth", "max_redirects"):
        yield name, getattr(session, name)
    yield "proxies", dict(session.proxies)
