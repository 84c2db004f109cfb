"""Trust in the certificate authority of a run, in this process only."""

import functools
import gc
import os
import ssl
from collections.abc import Callable
from typing import Any, Final

BUNDLE_VARIABLES: Final = (
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "WEBSOCKET_CLIENT_CA_BUNDLE",
)
"""Environment variables that name the bundle that a whole machine trusts."""

SYSTEM_BUNDLES: Final = (
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs/ca-certificates.crt",
)
"""Bundles of systems, besides those that OpenSSL was built with."""


def trust_authority(pem: str) -> None:
    """Make clients that trust the usual authorities trust this one too, in this process from now on.

    The usual ones are the system's and certifi's. A client that names others of its own, or compares the
    certificate itself, is left as it is.

    Args:
        pem: The authority's certificate.
    """
    load = ssl.SSLContext.load_verify_locations
    trust = functools.partial(_add, load, pem)
    _replace("set_default_verify_paths", lambda former: _trusting(former, trust, lambda *_, **__: True))
    _replace("load_verify_locations", lambda former: _trusting(former, trust, _names_usual_bundle))
    # requests and aiohttp make theirs when they are imported.
    for each in gc.get_objects():
        if issubclass(type(each), ssl.SSLContext):
            trust(each)


def _add(load: Callable[..., None], pem: str, context: ssl.SSLContext) -> None:
    load(context, cadata=pem)


def _replace(name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    setattr(ssl.SSLContext, name, wrap(getattr(ssl.SSLContext, name)))


def _trusting(
    former: Callable[..., Any], trust: Callable[[ssl.SSLContext], None], is_usual: Callable[..., bool]
) -> Callable[..., Any]:
    @functools.wraps(former)
    def method(self: ssl.SSLContext, *args: Any, **kwargs: Any) -> Any:
        answer = former(self, *args, **kwargs)
        if is_usual(*args, **kwargs):
            trust(self)
        return answer

    return method


def _names_usual_bundle(cafile: Any = None, capath: Any = None, cadata: object = None) -> bool:  # noqa: ARG001
    asked = {os.path.realpath(os.fsdecode(path)) for path in (cafile, capath) if path is not None}
    return bool(asked & _usual_bundles())


def _usual_bundles() -> set[str]:
    """Return the paths of the bundles that a whole machine trusts."""
    defaults = ssl.get_default_verify_paths()
    paths: list[str | None] = [
        defaults.cafile,
        defaults.capath,
        defaults.openssl_cafile,
        defaults.openssl_capath,
    ]
    paths += [*SYSTEM_BUNDLES, *map(os.environ.get, BUNDLE_VARIABLES)]
    try:
        import certifi  # noqa: PLC0415 - a bot need not have it
    except ModuleNotFoundError:
        pass
    else:
        paths.append(certifi.where())
    return {os.path.realpath(path) for path in paths if path}
