"""Market streams: mark price and best bid and ask, sent when they change and once on subscribing."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from exit_shim.exchange.engine.engine import Exchange
from exit_shim.exchange.engine.events import QuoteEvent
from exit_shim.exchange.engine.views import stream as views
from exit_shim.exchange.faults.plan import FaultPlan

from .connection import StreamConnection

ALL_MARKS = frozenset({"!markPrice@arr", "!markPrice@arr@1s"})
ALL_BOOKS = "!bookTicker"
_MARK_SUFFIXES = frozenset({"markPrice", "markPrice@1s"})
_BOOK_SUFFIX = "bookTicker"

Payload = dict[str, object] | list[dict[str, object]]


def publish(
    engine: Exchange, faults: FaultPlan, connections: Iterable[StreamConnection], event: QuoteEvent
) -> None:
    """Queue a changed price for every connection that watches it."""
    payloads: dict[str, tuple[Payload, str]] = {}
    for connection in connections:
        for name in connection.names:
            if not _is_routed(connection, name) or not _shows(name, event.symbol):
                continue
            if name not in payloads:
                payload = _payload(engine, name, event.symbol)
                payloads[name] = payload, msgspec.json.encode(payload).decode()
            _push(faults, connection, name, *payloads[name], event.time)


def send_current_prices(
    engine: Exchange, faults: FaultPlan, connection: StreamConnection, names: Iterable[str]
) -> None:
    """Queue the current prices of newly subscribed streams.

    Production repeats the mark price every 3 seconds (or every second) and the book all the time, so a
    client never waits long for its first event; here prices stand still between changes.
    """
    now = engine.now()
    for name in names:
        for symbol in list_watched(engine, connection, (name,)):
            payload = _payload(engine, name, symbol)
            _push(faults, connection, name, payload, msgspec.json.encode(payload).decode(), now)
            if name in ALL_MARKS:
                break


def list_watched(engine: Exchange, connection: StreamConnection, names: Iterable[str]) -> list[str]:
    """Return the symbols whose prices these streams of a connection show."""
    routed = [name for name in names if _is_routed(connection, name)]
    return [symbol for symbol in engine.state.symbols if any(_shows(name, symbol) for name in routed)]


def _is_routed(connection: StreamConnection, name: str) -> bool:
    """Return whether a stream is served at the address of this connection; elsewhere it is silent.

    A legacy address without a route gets what /public has (Binance change log 2026-04-23).
    """
    is_mark = name in ALL_MARKS or name.partition("@")[2] in _MARK_SUFFIXES
    return connection.address.route in (("market",) if is_mark else ("public", ""))


def _shows(name: str, symbol: str) -> bool:
    if name == ALL_BOOKS or name in ALL_MARKS:
        return True
    base, _, kind = name.partition("@")
    return base == symbol.lower() and (kind == _BOOK_SUFFIX or kind in _MARK_SUFFIXES)


def _payload(engine: Exchange, name: str, symbol: str) -> Payload:
    state = engine.state
    if name in ALL_MARKS:
        return [views.mark_price(each, state.quotes[key], state.now) for key, each in state.symbols.items()]
    contract, quote = state.symbols[symbol], state.quotes[symbol]
    if name.endswith(_BOOK_SUFFIX):
        return views.book_ticker(contract, quote, state.now, state.ids.update)
    return views.mark_price(contract, quote, state.now)


def _push(
    faults: FaultPlan, connection: StreamConnection, name: str, payload: Payload, text: str, now: int
) -> None:
    first = payload[0] if isinstance(payload, list) else payload
    for _ in range(faults.deliver(first, connection.name, now)):
        connection.push(name, text)
