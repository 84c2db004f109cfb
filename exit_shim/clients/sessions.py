"""HTTP sessions of client libraries: whether they really send, and their options for a client of our own."""

import ssl
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

SESSIONS: Final = (("requests.sessions", "Session"), ("aiohttp.client", "ClientSession"))

SENDING_METHODS: Final = (
    ("requests.sessions", "Session", ("request", "send", "get", "post", "put", "delete", "get_adapter")),
    ("requests.adapters", "HTTPAdapter", ("send",)),
    ("aiohttp.client", "ClientSession", ("_request", "get", "post", "put", "delete")),
)
"""The methods that a test's mocking library replaces."""


def really_sends(session: object) -> bool:
    """Return whether a session is the transport's own and no mocking library has replaced its methods."""
    names = {name for _, _, methods in SENDING_METHODS for name in methods}
    return (
        any(type(session) is loaded(module, name) for module, name in SESSIONS)
        and sends_at_all()
        and names.isdisjoint(vars(session))
        and all(_is_http(adapter) for adapter in getattr(session, "adapters", {}).values())
    )


def sends_at_all() -> bool:
    """Return whether no mocking library has replaced a transport's methods: a new session really sends."""
    return all(_are_genuine(module, name, methods) for module, name, methods in SENDING_METHODS)


def loaded(module: str, name: str) -> Any:
    """Return a name of a module; None where the module is not imported."""
    return getattr(sys.modules.get(module), name, None)


def has_earlier_attempts(response: object) -> bool:
    """Return whether urllib3 had sent the request of a response of requests before, and it had failed."""
    retries = getattr(getattr(response, "raw", None), "retries", None)
    return bool(getattr(retries, "history", None))


def is_genuine_code(function: Any, owns_module: Callable[[str], object]) -> bool:
    """Return whether a function is code of a module that `owns_module` accepts, and not a mock of it."""
    # An autospec mock takes over `__module__` and `__code__`, and has `mock` besides.
    is_owned = owns_module(str(getattr(function, "__module__", "")))
    return bool(is_owned) and hasattr(function, "__code__") and not hasattr(function, "mock")


def _are_genuine(module: str, name: str, methods: tuple[str, ...]) -> bool:
    owner = loaded(module, name)
    return owner is None or all(_is_of(getattr(owner, method), module) for method in methods)


def _is_of(function: Any, module: str) -> bool:
    return is_genuine_code(function, lambda name: name.startswith(module))


def _is_http(adapter: object) -> bool:
    kind = loaded("requests.adapters", "HTTPAdapter")
    return isinstance(adapter, kind) and _is_of(type(adapter).send, "requests.adapters")


def requests_options(
    options: Mapping[str, Any], https_proxy: object, *, is_async: bool
) -> Iterator[tuple[str, Any]]:
    """Yield a client's request options as `requests` takes them.

    Args:
        options: The client's own, for `requests`, or for aiohttp where it is async.
        https_proxy: The proxy that an async client holds besides.
        is_async: Whether the client uses aiohttp.
    """
    if not is_async:
        yield from options.items()
        return
    # Only what decides where a request goes, and how long it may take.
    if isinstance(options.get("timeout"), (int, float)):
        yield "timeout", options["timeout"]
    if (proxy := https_proxy or options.get("proxy")) is not None:
        yield "proxies", {"http": proxy, "https": proxy}
    if options.get("ssl") is False or options.get("verify_ssl") is False:
        yield "verify", False


def aiohttp_options(options: Mapping[str, Any], session: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield options and session settings of `requests` as aiohttp's request options."""
    if isinstance(options.get("timeout"), (int, float)):
        yield "timeout", options["timeout"]
    verify = options.get("verify", session.get("verify"))
    if verify is False:
        yield "ssl", False
    elif isinstance(verify, str):  # an authority of one's own
        yield "ssl", ssl.create_default_context(cafile=verify)


def session_settings(session: Any, *, is_async: bool) -> Iterator[tuple[str, Any]]:
    """Yield the settings of a session as attributes of a `requests` session."""
    if is_async:
        yield "trust_env", bool(getattr(session, "_trust_env", False))
        return
    for name in ("verify", "cert", "trust_env", "auth", "max_redirects"):
        yield name, getattr(session, name)
    yield "proxies", dict(session.proxies)
