"""Clones: clients of python-binance that ask the exchange in the place of a bot's client, of any library."""

import asyncio
import contextlib
import importlib
import sys
import threading
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final, NamedTuple

from exit_shim.clients.hosts import host_of
from exit_shim.clients.python_binance_doors import HOSTS
from exit_shim.clients.python_binance_releases import hears_user_stream
from exit_shim.clients.sessions import aiohttp_options, requests_options, session_settings
from exit_shim.clients.twins import plain_of
from exit_shim.runtime.methods import is_coroutine_method

# Nothing that a bot may have put there, no connection, loop or answer, and not `verbose`, which logs headers.
COPIED: Final = (
    *("API_KEY", "API_SECRET", "PRIVATE_KEY", "TIME_UNIT", "_is_rsa"),
    *("demo", "testnet", "timestamp_offset", "tld"),
)
"""The attributes that a clone takes over, besides the constants of the class."""


class Credentials(NamedTuple):
    """Hold what a client of another library signs its requests with, and how it sends them.

    Attributes:
        key: The API key.
        secret: The HMAC secret; None where a private key signs.
        address: The scheme and host of USDⓈ-M futures, such as "https://fapi.binance.com".
        private_key: An RSA or Ed25519 key in PEM.
        private_key_password: What that is encrypted with.
        other_addresses: Addresses besides, by python-binance's names for them, such as FUTURES_COIN_URL.
        offset_ms: What the client adds to its clock to match the exchange's.
        options: Keyword arguments of `requests` for each request, such as `timeout` and `proxies`.
        session: Attributes of the `requests` session.
    """

    key: str
    secret: str | None
    address: str
    private_key: str | None = None
    private_key_password: str | None = None
    other_addresses: Mapping[str, str] = {}
    offset_ms: int = 0
    options: Mapping[str, Any] = {}
    session: Mapping[str, Any] = {}


def _client_class() -> Any:
    """Return python-binance's sync client class; a bot of another library has not imported it."""
    # From its own module: Binance's connector may have overwritten the package's `__init__`.
    return importlib.import_module("binance.client").Client


def import_early() -> None:
    """Import python-binance on a thread of its own, so that the first clone does not wait for it."""
    if "binance.client" not in sys.modules:
        with contextlib.suppress(RuntimeError):  # no more threads: the first clone imports it
            threading.Thread(target=_client_class, name="exit-shim-import", daemon=True).start()


def _async_client_class() -> Any:
    try:
        return importlib.import_module("binance.async_client").AsyncClient
    except ModuleNotFoundError:  # an old release
        return importlib.import_module("binance.client").AsyncClient


def _client_of(credentials: Credentials) -> Any:
    """Return a client with these credentials; nothing is sent."""
    kind = _client_class()
    # Not by `__init__`, which makes an event loop, and pings in old releases.
    client = kind.__new__(kind)
    vars(client).update({name: getattr(kind, name) for name in dir(kind) if name.isupper()})
    vars(client).update(
        API_KEY=credentials.key,
        API_SECRET=credentials.secret,
        PRIVATE_KEY=None,
        TIME_UNIT=None,
        FUTURES_URL=f"{credentials.address}/fapi",
        FUTURES_DATA_URL=f"{credentials.address}/futures/data",
        **credentials.other_addresses,
        _is_rsa=False,
        _requests_params=dict(credentials.options),
        demo=False,
        testnet=False,
        timestamp_offset=credentials.offset_ms,
        tld="com",
    )
    if credentials.private_key is not None:
        client.PRIVATE_KEY = client._init_private_key(  # noqa: SLF001
            credentials.private_key, credentials.private_key_password
        )
    client.session = client._init_session()  # noqa: SLF001
    for name, value in credentials.session.items():
        setattr(client.session, name, value)
    return client


class PythonBinanceClone:
    """Ask the exchange in the place of a python-binance client; see `ClientClone`."""

    __slots__ = ("_attributes", "_class", "_session", "host", "offset_ms")

    def __init__(self, client: Any) -> None:
        self._class = _client_class()
        uses_aiohttp = is_coroutine_method(type(client)._request)  # noqa: SLF001
        attributes, constants = vars(client), [name for name in dir(self._class) if name.isupper()]
        options = attributes.get("_requests_params") or {}
        proxy, session = attributes.get("https_proxy"), attributes["session"]
        self._attributes: dict[str, Any] = {
            name: getattr(client, name) for name in (*constants, *COPIED) if hasattr(client, name)
        }
        self._attributes["_requests_params"] = dict(requests_options(options, proxy, is_async=uses_aiohttp))
        self._session = dict(session_settings(session, is_async=uses_aiohttp))
        self.offset_ms = int(attributes.get("timestamp_offset") or 0)
        self.host = host_of(str(client._create_futures_api_uri("")))  # noqa: SLF001

    @classmethod
    def of_credentials(cls, credentials: Credentials) -> "PythonBinanceClone":
        """Make a clone for the account of another library's client."""
        return cls(_client_of(credentials))

    def client(self) -> Any:
        """Make a sync client; nothing is sent."""
        # Not by `__init__`, which makes an event loop, and pings in old releases.
        client = self._class.__new__(self._class)
        vars(client).update(self._attributes, response=None, verbose=False)
        client.session = client._init_session()  # noqa: SLF001
        for name, value in self._session.items():
            setattr(client.session, name, value)
        return plain_of(client)  # where the class is bridged

    def async_client(self) -> Any:
        """Make an async client for the running event loop; nothing is sent."""
        kind = _async_client_class()
        client = kind.__new__(kind)
        options = self._attributes["_requests_params"]
        proxies = options.get("proxies") or self._session.get("proxies") or {}
        vars(client).update(
            self._attributes,
            response=None,
            verbose=False,
            loop=asyncio.get_running_loop(),
            https_proxy=proxies.get("https") or proxies.get("http"),
            _requests_params=dict(aiohttp_options(options, self._session)),
            _session_params={"trust_env": self._session["trust_env"]},
        )
        client.session = client._init_session()  # noqa: SLF001
        return plain_of(client)  # where the class is bridged

    def get(self, client: Any, prefix: str, path: str, params: Mapping[str, Any]) -> Any:
        """Send one signed GET with a client from `client()`."""
        name = HOSTS[prefix[:5]]
        request = getattr(client, name, None)
        if request is None:
            raise NotImplementedError(f"this python-binance has no {name}")
        return request("get", path, signed=True, data=dict(params))

    def why_no_user_stream(self, address: str | None) -> str | None:
        """Return why the account's user data stream cannot be had; None where it can be tried."""
        if not hears_user_stream(_socket_manager_class()):
            return (
                f"python-binance {version('python-binance')} connects to an address at which Binance has "
                "sent no user data since 2026-04-23: install 1.0.36 or later"
            )
        if address is None and not self._is_at_home:
            return (
                f"the client asks {self.host}, which is none of python-binance's own hosts: say where its "
                'stream is, by watch(client, stream="wss://…/")'
            )
        return None

    @property
    def _is_at_home(self) -> bool:
        """Return whether the host is one of python-binance's own, to which its other addresses belong."""
        attributes = self._attributes
        name = "TESTNET_" if attributes.get("testnet") else "DEMO_" if attributes.get("demo") else ""
        address = str(getattr(self._class, f"FUTURES_{name}URL", ""))
        return host_of(address.format(attributes.get("tld"))) == self.host

    def user_stream(self, client: Any, address: str | None, most_waiting: int) -> Any:
        """Return the socket of the user data stream, not connected yet."""
        return _socket_manager(client, address, most_waiting).futures_user_socket()

    def mark_prices(self, client: Any, address: str | None, most_waiting: int) -> Any:
        """Return the socket of the mark prices of all symbols, once a second; not connected yet."""
        return _socket_manager(client, address, most_waiting).all_mark_price_socket(fast=True)


def _socket_manager_class() -> Any:
    for module in ("binance.ws.streams", "binance.streams"):
        with contextlib.suppress(ModuleNotFoundError):
            return importlib.import_module(module).BinanceSocketManager
    raise NotImplementedError("this python-binance has no BinanceSocketManager")


def _socket_manager(client: Any, address: str | None, most_waiting: int) -> Any:
    """Return what makes sockets, for an address of one's own where there is one."""
    manager = _socket_manager_class()(client, max_queue_size=most_waiting)
    if address is not None:
        for name in ("FSTREAM_URL", "FSTREAM_TESTNET_URL", "FSTREAM_DEMO_URL"):
            setattr(manager, name, address.rstrip("/") + "/")
    return manager
