"""API key, timestamp and signature of a request."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping

from exit_shim.testing.exchange.errors import (
    BAD_API_KEY_FORMAT,
    INVALID_PARAMETER,
    INVALID_SIGNATURE,
    INVALID_TIMESTAMP,
    REJECTED_API_KEY,
    TIMESTAMP_AHEAD,
)
from exit_shim.testing.exchange.params import Params

from .request import RawRequest

DEFAULT_WINDOW = 5000
LONGEST_WINDOW = 60_000
#: How far a client's clock may run ahead, in milliseconds.
AHEAD = 1000
_KEY = re.compile(r"[!-~]{1,128}")


def check_key(request: RawRequest, credentials: Mapping[str, str]) -> str:
    """Return the API key of a request.

    Raises:
        ExchangeError: -2014 without one, -2015 for one that nobody registered; both HTTP 401.
    """
    key = request.headers.get("x-mbx-apikey", "")
    if not _KEY.fullmatch(key):
        raise BAD_API_KEY_FORMAT.error()
    if key not in credentials:
        raise REJECTED_API_KEY.error()
    return key


def check_time(request: RawRequest, now: int) -> None:
    """Refuse a request that is from the future or too old.

    Raises:
        ExchangeError: -1102 without a timestamp, -1021 outside `now - recvWindow` to `now + 1000`.
    """
    params = Params(request.params)
    timestamp = params.required_integer("timestamp")
    window = params.integer("recvWindow")
    if window is not None and window > LONGEST_WINDOW:
        raise INVALID_PARAMETER.error("recvwindow")
    if timestamp >= now + AHEAD:
        raise TIMESTAMP_AHEAD.error()
    if now - timestamp > (DEFAULT_WINDOW if window is None else window):
        raise INVALID_TIMESTAMP.error()


def check_signature(request: RawRequest, secret: str) -> None:
    """Refuse a request whose HMAC-SHA256 is that of no string it could have signed.

    Raises:
        ExchangeError: -1102 without a signature, -1022 with a wrong one.
    """
    sent = Params(request.params).required("signature").lower().encode()
    if not any(hmac.compare_digest(_sign(secret, base), sent) for base in request.signature_bases):
        raise INVALID_SIGNATURE.error()


def _sign(secret: str, base: str) -> bytes:
    text = base.encode(errors="replace")
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest().encode()
