"""One HTTP request as the exchange reads it, without the web server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import parse_qsl, unquote, unquote_plus

_SIGNATURE = "signature="


@dataclass(frozen=True)
class RawRequest:
    """A request as it arrived: query and body still percent-encoded, header names in lower case."""

    method: str
    path: str
    query: str
    body: str
    headers: Mapping[str, str]
    address: str = "127.0.0.1"

    @cached_property
    def params(self) -> dict[str, str]:
        """Return the decoded parameters of query and body; the query wins (Binance, general information)."""
        return {**_pairs(self.body), **_pairs(self.query)}

    @property
    def signature_bases(self) -> tuple[str, ...]:
        """Return the strings that a client may have signed: as sent, or decoded.

        Clients differ: python-binance signs the decoded form of an ordinary order and the encoded form
        of a batch.
        """
        raw = _unsigned(self.query) + _unsigned(self.body)
        return raw, unquote(raw), unquote_plus(raw)


def printable(text: str) -> str:
    """Return text of the web server without lone surrogates, which JSON cannot carry.

    It hands on bytes that are no UTF-8 in that form.
    """
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _pairs(text: str) -> dict[str, str]:
    return dict(parse_qsl(text, keep_blank_values=True, errors="replace"))


def _unsigned(text: str) -> str:
    return "&".join(part for part in text.split("&") if not part.startswith(_SIGNATURE))
