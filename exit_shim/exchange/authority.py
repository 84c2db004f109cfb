"""A throwaway certificate authority, for clients that speak TLS to a local exchange."""

from __future__ import annotations

import contextvars
import ssl
from collections.abc import Iterable
from typing import Final

BINANCE_DOMAINS: Final = ("binance.com", "binance.us", "binance.vision", "binance.info", "binancefuture.com")
"""The domains of Binance's hosts, testnet and demo included."""

LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "::1", "binance.localhost", "*.binance.localhost")
"""Names that lead to this machine by themselves."""

DISTRUST: Final = "the client does not trust the run's authority: it pins its own certificates"
"""Why a client that ends its handshake is not answered."""


class Authority:
    """Sign the certificate of a local exchange; a client that trusts this authority trusts the exchange.

    Its key never leaves this process, and a new authority is made for each run. It needs trustme, which
    comes with the extra `local`.

        with LocalExchange(tls=Authority()) as exchange:
            requests.get(exchange.tls_url + "/fapi/v1/ping", verify="ca.pem")

    Args:
        names: further host names of the certificate, beside Binance's own and those of this machine.

    Attributes:
        pem: the authority's certificate as text, for clients to trust; it is no secret.

    Raises:
        ModuleNotFoundError: when trustme is missing.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        try:
            import trustme  # noqa: PLC0415 - an extra
        except ModuleNotFoundError as missing:
            raise ModuleNotFoundError(
                "TLS needs trustme: pip install 'exit_shim[local]'", name=missing.name
            ) from missing
        authority = trustme.CA(organization_name="exit_shim local exchange")
        binance = [name for domain in BINANCE_DOMAINS for name in (domain, f"*.{domain}")]
        self.pem = authority.cert_pem.bytes().decode()
        self._certificate = authority.issue_cert(*dict.fromkeys((*LOCAL_NAMES, *binance, *names)))

    def server_context(self) -> ssl.SSLContext:
        """Return the TLS context of a server; it remembers the name that each client asks for."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._certificate.configure_cert(context)
        context.sni_callback = _keep_name
        return context


#: The name that the client of a handshake asks for; a list, since the callbacks of one connection share it.
asked_name: contextvars.ContextVar[list[str]] = contextvars.ContextVar("asked_name")


def _keep_name(_: ssl.SSLObject | ssl.SSLSocket, name: str | None, _context: ssl.SSLContext) -> None:
    names = asked_name.get(None)
    if names is not None and name:
        names.append(name)
