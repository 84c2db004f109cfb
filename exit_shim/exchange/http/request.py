"""One HTTP request as the exchange reads it, without the web server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from urllib.parse import unquote, unquote_plus

import msgspec

_SIGNATURE = "signature="


class RawRequest(msgspec.Struct, frozen=True, dict=True):
    """A request as it arrived: query and body still percent-encoded; headers are asked for in lower case."""

    method: str
    path: str
    query: str
    body: str
    headers: Mapping[str, str]
    address: str = "127.0.0.1"

    @cached_property
    def params(self) -> dict[str, str]:
        """Return the decoded parameters of query and body; the query wins (Binance, general information)."""
        return _pairs(self.body) | _pairs(self.query)

    def signature_bases(self) -> Iterator[str]:
        """Walk the strings that a client may have signed: as sent, or decoded.

        Clients differ: python-binance signs the decoded form of an ordinary order and the encoded form
        of a batch.
        """
        raw = _unsigned(self.query) + _unsigned(self.body)
        yield raw
        yield unquote(raw)
        yield unquote_plus(raw)


def printable(text: str) -> str:
    """Return text of the web server without lone surrogates, which JSON cannot carry.

    It hands on bytes that are no UTF-8 in that form.
    """
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _pairs(text: str) -> dict[str, str]:
    pairs = [part.partition("=")[::2] for part in text.split("&") if part]
    if "%" in text or "+" in text:
        pairs = [(unquote_plus(name), unquote_plus(value)) for name, value in pairs]
    return dict(pairs)


def _unsigned(text: str) -> str:
    return "&".join([part for part in text.split("&") if not part.startswith(_SIGNATURE)])
