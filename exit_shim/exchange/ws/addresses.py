"""Addresses of stream connections: route, mode, streams and listen keys."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

API_PATH = "/ws-fapi/v1"
ROUTES = frozenset({"public", "market", "private"})


@dataclass(frozen=True)
class StreamAddress:
    """The address of a stream connection.

    Attributes:
        route: public, market, private, or "" for the legacy addresses without a route.
        combined: whether events come as {"stream": ..., "data": ...}.
        names: what was asked for: streams, or on /private listen keys, with their events as `key@EVENT`.
    """

    route: str
    combined: bool
    names: tuple[str, ...]


def read_address(path: str, query: str) -> StreamAddress | None:
    """Read a stream address (Binance, WebSocket base URL split); return None for any other path."""
    parts = path.strip("/").split("/")
    route = parts.pop(0) if parts[0] in ROUTES else ""
    if not parts or parts[0] not in {"ws", "stream"}:
        return None
    mode, *tail = parts
    pairs = parse_qsl(query, errors="replace")
    in_query = [name for key, value in pairs if key == "streams" for name in value.split("/")]
    names = [unquote(name) for name in tail] + in_query + _listen_keys(pairs)
    return StreamAddress(route, mode == "stream", tuple(dict.fromkeys(name for name in names if name)))


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
