"""Addresses of stream connections: market, route, mode, streams and listen keys."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from urllib.parse import parse_qsl, unquote

#: The routes of user data: of futures, and of portfolio margin.
PRIVATE_ROUTES = frozenset({"private", "pm"})
#: Not on Binance: the streams of /public and /market, for clients that know a single address.
BOTH = "all"
ROUTES = PRIVATE_ROUTES | {"public", "market", BOTH}


class StreamMarket(Enum):
    """The market whose streams an address has."""

    USD_M = "USDⓈ-M"
    COIN_M = "COIN-M"
    SPOT = "spot"


#: The beginnings of paths that mean another market than USDⓈ-M on a bare 127.0.0.1.
PREFIXES = {StreamMarket.COIN_M: "coin", StreamMarket.SPOT: "spot"}
_MARKETS = {prefix: market for market, prefix in PREFIXES.items()}
_SPOT_LABEL = re.compile(r"(data-|demo-)?stream[0-9]*", re.ASCII)


def market_of_host(host: str) -> StreamMarket:
    """Return the market that a host of Binance streams, USDⓈ-M for any other host.

    Args:
        host: a Host header, such as "stream.binance.com:9443".
    """
    label, _, rest = host.lower().partition(".")
    if label == "dstream":
        return StreamMarket.COIN_M
    # stream.binancefuture.com is the testnet of USDⓈ-M.
    if _SPOT_LABEL.fullmatch(label) and rest and not rest.startswith("binancefuture."):
        return StreamMarket.SPOT
    return StreamMarket.USD_M


@dataclass(frozen=True)
class StreamAddress:
    """The address of a stream connection.

    Attributes:
        route: public, market, all, private, pm, or "" for the legacy addresses without a route.
        combined: whether events come as {"stream": ..., "data": ...}.
        names: what was asked for: streams, or on /private listen keys, with their events as `key@EVENT`.
        market: the market of its streams.
    """

    route: str
    combined: bool
    names: tuple[str, ...]
    market: StreamMarket = StreamMarket.USD_M


def read_address(path: str, query: str, host: str = "") -> StreamAddress | None:
    """Read a stream address (Binance, WebSocket base URL split); return None for any other path.

    The market is that of the host; a path that begins with /spot or /coin names it on a bare 127.0.0.1.
    """
    parts = path.strip("/").split("/")
    market = _MARKETS.get(parts[0])
    if market is None:
        market = market_of_host(host)
    else:
        parts.pop(0)
    route = parts.pop(0) if parts and parts[0] in ROUTES else ""
    if not parts or parts[0] not in {"ws", "stream"}:
        return None
    mode, *tail = parts
    pairs = parse_qsl(query, errors="replace")
    in_query = [name for key, value in pairs if key == "streams" for name in value.split("/")]
    names = [unquote(name) for name in tail] + in_query + _listen_keys(pairs)
    asked = tuple(dict.fromkeys(name for name in names if name))
    return StreamAddress(route, mode == "stream", asked, market)


def _listen_keys(pairs: list[tuple[str, str]]) -> list[str]:
    """Return `key` or `key@EVENT` for every listenKey; `events` belongs to the listenKey before it."""
    events_by_key: dict[str, list[str]] = {}
    key = ""
    for name, value in pairs:
        if name == "listenKey":
            key = value
            events_by_key.setdefault(key, [])
        elif name == "events" and key:
            events_by_key[key] += [event for event in value.split("/") if event]
    return [
        name
        for key, events in events_by_key.items()
        for name in ([f"{key}@{event}" for event in events] or [key])
    ]
