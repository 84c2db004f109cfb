"""API key, permissions, timestamp and signature of a request."""

from __future__ import annotations

import hmac
import re

import msgspec

from exit_shim.exchange.engine.errors import (
    BAD_API_KEY_FORMAT,
    INVALID_PARAMETER,
    INVALID_SIGNATURE,
    INVALID_TIMESTAMP,
    REJECTED_ADDRESS,
    REJECTED_API_KEY,
    TIMESTAMP_AHEAD,
)
from exit_shim.exchange.engine.params import Params

from .request import RawRequest

DEFAULT_WINDOW = 5000
LONGEST_WINDOW = 60_000
#: How far a client's clock may run ahead, in milliseconds.
AHEAD = 1000
#: The ends of paths whose POST, PUT and DELETE leave the account unchanged.
_READS = ("/listenKey", "/userDataStream", "/getUserAsset", "/get-funding-asset")
#: HMAC in hex digits, Ed25519 or RSA in base64.
_SIGNATURE = re.compile(rb"[0-9a-f]{64}|[0-9a-z+/]{80,}={0,2}")
_KEY = re.compile(r"[!-~]{1,128}")


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """The secret and the permissions of an API key.

    Attributes:
        secret: the secret of its signatures; None if it is unknown, and a signature must only look like one.
        can_read: whether it may ask about the account.
        can_trade: whether it may do anything else ("Enable Futures").
        addresses: the addresses it may be used from, None for any.
    """

    secret: str | None
    can_read: bool = True
    can_trade: bool = True
    addresses: frozenset[str] | None = None


#: API keys by name; a bare secret stands for a key that may do everything.
Credentials = dict[str, "str | ApiKey"]


def check_key(request: RawRequest, credentials: Credentials, *, any_key: bool = False) -> str:
    """Return the API key of a request.

    Args:
        request: the request as it arrived.
        credentials: the registered keys; `any_key` adds others.
        any_key: whether a key that nobody registered is accepted, without its secret.

    Raises:
        ExchangeError: -2014 without one, -2015 for one that nobody registered, that lacks the
            permission, or that comes from elsewhere; all HTTP 401.
    """
    name = request.headers.get("x-mbx-apikey", "")
    if not _KEY.fullmatch(name):
        raise BAD_API_KEY_FORMAT.error()
    if name not in credentials:
        if not any_key:
            raise REJECTED_API_KEY.error()
        credentials[name] = ApiKey(secret=None)
    key = as_api_key(credentials[name])
    if key.addresses is not None and request.address not in key.addresses:
        raise REJECTED_ADDRESS.error(request.address)
    reads = request.method == "GET" or request.path.endswith(_READS)
    if not (key.can_read if reads else key.can_trade):
        raise REJECTED_API_KEY.error()
    return name


def as_api_key(credential: str | ApiKey) -> ApiKey:
    """Return a credential as an `ApiKey`."""
    return credential if isinstance(credential, ApiKey) else ApiKey(secret=credential)


def check_time(request: RawRequest, now: int, ahead: int = 0) -> int:
    """Refuse a request from the future or too old; return the time at which it becomes too old.

    Args:
        request: the request as it arrived.
        now: the exchange's time in milliseconds.
        ahead: how much of it was added by `advance`, which the clocks of clients know nothing of.

    Raises:
        ExchangeError: -1102 without a timestamp, -1021 outside `now - ahead - recvWindow` to `now + 1000`.
    """
    params = Params(request.params)
    timestamp = params.required_integer("timestamp")
    sent = params.integer("recvWindow")
    if sent is not None and sent > LONGEST_WINDOW:
        raise INVALID_PARAMETER.error("recvwindow")
    window = DEFAULT_WINDOW if sent is None else sent
    if timestamp >= now + AHEAD:
        raise TIMESTAMP_AHEAD.error()
    # A client may have asked for the time before or after any of it was added.
    too_late = timestamp + window + ahead
    if now > too_late:
        raise INVALID_TIMESTAMP.error()
    return too_late


def check_signature(request: RawRequest, secret: str | None) -> None:
    """Refuse a request that was signed with another secret, or not as it was sent.

    Args:
        request: the request as it arrived.
        secret: the secret that signs it; None accepts any text in the form of a signature.

    Raises:
        ExchangeError: -1102 without a signature, -1022 with a wrong one.
    """
    sent = Params(request.params).required("signature").lower().encode()
    if secret is None:
        if not _SIGNATURE.fullmatch(sent):
            raise INVALID_SIGNATURE.error()
        return
    if not any(hmac.compare_digest(_sign(secret, base), sent) for base in request.signature_bases()):
        raise INVALID_SIGNATURE.error()


def _sign(secret: str, base: str) -> bytes:
    text = base.encode(errors="replace")
    return hmac.digest(secret.encode(), text, "sha256").hex().encode()
