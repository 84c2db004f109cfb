"""Make python-binance clients that ask the exchange in the place of a ccxt client.

Facts: the code of ccxt 4.5.90.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from exit_shim.clients.ccxt_answers import owns_module
from exit_shim.clients.python_binance_clone import Credentials, PythonBinanceClone
from exit_shim.clients.sessions import is_genuine_code, loaded, really_sends, sends_at_all, session_settings
from exit_shim.clients.twins import inside_doors
from exit_shim.runtime.methods import is_coroutine_method

SENDING: Final = ("request", "fetch2", "sign", "fetch", "handle_errors")
"""The methods that make a client send to an exchange; a subclass may have replaced one."""

MARKETS: Final = {
    "fapiPrivate": "/fapi/v1",
    "dapiPrivate": "/dapi/v1",
    "papi": "/papi/v1",
}
"""The API sections of futures, with how their addresses end."""

ADDRESSES: Final = {"FUTURES_COIN_URL": ("dapiPrivate", "/dapi"), "PAPI_URL": ("papi", "/papi")}
"""python-binance's names for other addresses: the section, and what stands behind the host."""

WITHOUT_FUTURES: Final = "binanceus"
"""The exchange that inherits Binance's futures addresses but has no futures."""

OTHER_PROXIES: Final = (
    *("proxyUrl", "proxy_url", "proxyUrlCallback", "proxy_url_callback"),
    *("httpProxyCallback", "http_proxy_callback", "httpsProxyCallback", "https_proxy_callback"),
    *("socksProxyCallback", "socks_proxy_callback"),
)
"""The attributes that set a proxy in a way that a clone cannot use."""

PROXIES: Final = {
    "httpProxy": ("http",),
    "http_proxy": ("http",),
    "httpsProxy": ("https",),
    "https_proxy": ("https",),
    "socksProxy": ("http", "https"),
    "socks_proxy": ("http", "https"),
}
"""The attributes that hold a proxy, with the schemes of the requests that a sync client sends through it."""


def is_async(client: Any) -> bool:
    """Return whether the methods of a client are awaited."""
    fetch: Any = getattr(type(client), "fetch2", None)
    return is_coroutine_method(fetch)


def can_be_cloned(client: Any) -> bool:
    """Return whether a client is ccxt's own, really sends, and has credentials for futures."""
    kind, attributes = type(client), vars(client)
    try:
        return (
            not any(name in attributes for name in SENDING)
            and all(is_genuine_code(inside_doors(getattr(kind, name)), owns_module) for name in SENDING)
            and all(isinstance(value, str) and value for value in (client.apiKey, client.secret))
            and client.id != WITHOUT_FUTURES
            and address_of(client, "fapiPrivate") is not None
            and not any(getattr(client, name, None) for name in OTHER_PROXIES)
            and _really_sends(client)
        )
    except (AttributeError, KeyError, TypeError):
        return False


def _really_sends(client: Any) -> bool:
    if client.session is None and is_async(client):  # its first request makes one
        return sends_at_all()
    return really_sends(client.session)


def address_of(client: Any, section: str) -> str | None:
    """Return scheme, host and what else stands before the API's own path; None where that is unusual."""
    url, end = client.urls["api"].get(section), MARKETS[section]
    if not isinstance(url, str) or not url.rstrip("/").endswith(end):
        return None
    return url.rstrip("/").removesuffix(end)


def clone(client: Any) -> PythonBinanceClone:
    """Take from a client what it needs to ask the exchange in its place."""
    is_private_key = "PRIVATE KEY" in client.secret
    return PythonBinanceClone.of_credentials(
        Credentials(
            client.apiKey,
            None if is_private_key else client.secret,
            str(address_of(client, "fapiPrivate")),
            private_key=client.secret if is_private_key else None,
            other_addresses=dict(_other_addresses(client)),
            offset_ms=offset_of(client),
            options=dict(_options(client)),
            session=_session(client),
        )
    )


def _other_addresses(client: Any) -> Iterator[tuple[str, str]]:
    for name, (section, path) in ADDRESSES.items():
        if (address := address_of(client, section)) is not None:
            yield name, f"{address}{path}"


def offset_of(client: Any) -> int:
    """Return what a client adds to its clock: ccxt subtracts the difference that it has measured."""
    options = client.options
    difference = options.get("timeDifference") if isinstance(options, dict) else None
    return -int(difference) if isinstance(difference, (int, float)) else 0


def refresh_clone(cloned: Any, client: Any) -> None:
    """Give a cloned client the clock offset of the bot's, and no last answer."""
    cloned.timestamp_offset = offset_of(client)
    cloned.response = None


def _session(client: Any) -> Mapping[str, Any]:
    if is_async(client):
        return {"trust_env": bool(client.aiohttp_trust_env)}
    return dict(session_settings(client.session, is_async=False))


def _options(client: Any) -> Iterator[tuple[str, Any]]:
    """Yield a client's options as `requests` takes them."""
    if isinstance(client.timeout, (int, float)):
        yield "timeout", client.timeout / 1000
    if proxies := dict(_proxies(client)):
        yield "proxies", proxies
    verify = _verify(client)
    if verify is not True:
        yield "verify", verify


def _proxies(client: Any) -> Iterator[tuple[str, str]]:
    uses_aiohttp = is_async(client)
    for name, schemes in PROXIES.items():
        if proxy := getattr(client, name, None):
            # aiohttp sends everything through it.
            yield from ((scheme, proxy) for scheme in (("http", "https") if uses_aiohttp else schemes))
            return
    if uses_aiohttp and (proxy := getattr(client, "aiohttp_proxy", None)):
        yield from (("http", proxy), ("https", proxy))
    elif not uses_aiohttp and isinstance(proxies := getattr(client, "proxies", None), dict):
        yield from proxies.items()


def _verify(client: Any) -> Any:
    """Return whether and by which authority a client checks certificates."""
    if not is_async(client):
        return client.verify and getattr(client, "validateServerSsl", True)
    if not client.verify:
        return False
    where = loaded("certifi", "where")
    return True if where is None or client.cafile == where() else client.cafile
