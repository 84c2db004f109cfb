"""Who may read the page: hosts, token and cookie, and the headers of each answer. Pure."""

import hashlib
import hmac
import ipaddress
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""No code or style but the page's own files; no other server; in no frame."""

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "exit-shim",
}
"""The headers of every answer."""

METHODS: Final = frozenset({"GET", "HEAD"})

OPEN_PATHS: Final = frozenset(
    {"/page.css", "/page.js", "/ladder.js", "/words.js", "/sign-in", "/sign-in.js", "/icon.svg"}
)
"""The paths that need no token: they are the same for everybody."""

SHORTEST_TOKEN: Final = 16


class Access(NamedTuple):
    """Who may read.

    Attributes:
        hosts: The names that a browser may call this server by.
        token: What a browser must know; None where everybody on this machine may read.
        port: The port, which the cookie's name has: cookies are the same for all ports of a host.
    """

    hosts: frozenset[str]
    token: str | None
    port: int

    @property
    def cookie_name(self) -> str:
        """The name of the cookie."""
        return f"exit_shim_{self.port}"

    @property
    def cookie_value(self) -> str:
        """The value of the cookie, which does not give the token away."""
        key = (self.token or "").encode()
        return hmac.new(key, b"exit-shim serve", hashlib.sha256).hexdigest()

    def knows_host(self, host: str, local_address: str | None) -> bool:
        """Return whether a request's Host is one of ours, or the very address that it came to."""
        name = host_name(host)
        return name in self.hosts or (local_address is not None and name == local_address)

    def admits(self, cookies: Mapping[str, str], authorization: str) -> bool:
        """Return whether a request brings the cookie or the token."""
        if self.token is None:
            return True
        cookie = cookies.get(self.cookie_name, "")
        return is_same(cookie, self.cookie_value) or self.is_token(authorization)

    def is_token(self, authorization: str) -> bool:
        """Return whether an Authorization header has the token."""
        scheme, _, given = authorization.partition(" ")
        return self.token is not None and scheme.lower() == "bearer" and is_same(given.strip(), self.token)


def host_name(host: str) -> str:
    """Return the name in a Host header, without its port and brackets."""
    name = host.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.rpartition(":")[0] if ":" in name else name


def allowed_hosts(bound: str, more: Collection[str]) -> frozenset[str]:
    """Return the names by which a server may be called."""
    return LOOPBACK_NAMES | {bound.lower()} | {host_name(name) for name in more}


def is_loopback(bound: str) -> bool:
    """Return whether only this machine can reach an address."""
    if bound.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(bound).is_loopback
    except ValueError:
        return False


def is_cross_site(headers: Mapping[str, str]) -> bool:
    """Return whether another site's page asks, and not a person who follows a link."""
    is_foreign = headers.get("Sec-Fetch-Site", "none") in {"cross-site", "same-site"}
    return is_foreign and headers.get("Sec-Fetch-Mode") != "navigate"


def is_same(text: str, other: str) -> bool:
    """Compare two secrets in a time that tells nothing."""
    return hmac.compare_digest(text.encode(errors="replace"), other.encode())
