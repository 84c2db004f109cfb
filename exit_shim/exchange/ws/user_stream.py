"""The user data stream: events of the account, for the connections with a live listen key."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from exit_shim.exchange.engine.engine import Exchange
from exit_shim.exchange.engine.events import ListenKeyEvent, UserEvent
from exit_shim.exchange.engine.views.stream import listen_key_expired, user_event
from exit_shim.exchange.faults.plan import FaultPlan

from .connection import StreamConnection

ALWAYS_SENT = "listenKeyExpired"


def publish(
    engine: Exchange, faults: FaultPlan, connections: Iterable[StreamConnection], event: UserEvent
) -> None:
    """Queue an event for every connection whose listen key lives and that wants events of its type.

    A dead or made-up key gets nothing and no error, as on production.
    """
    if isinstance(event, ListenKeyEvent):
        _end(faults, connections, event)
        return
    state = engine.state
    payload = user_event(event, state.symbols, algo_service=state.rules.algo_service)
    if payload is None:
        return
    text = msgspec.json.encode(payload).decode()
    now = event.time
    for connection in connections:
        for key in _keys(connection, str(payload["e"])):
            if engine.listen_keys.is_live(key, now):
                _push(faults, connection, key, payload, text, now)


def _end(faults: FaultPlan, connections: Iterable[StreamConnection], event: ListenKeyEvent) -> None:
    payload = listen_key_expired(event)
    text = msgspec.json.encode(payload).decode()
    for connection in connections:
        if event.listen_key not in _keys(connection, ALWAYS_SENT):
            continue
        if event.expired:
            # The connection stays open and silent (listenKeyExpired documentation).
            _push(faults, connection, event.listen_key, payload, text, event.time)
        else:
            connection.queue.close()


def _keys(connection: StreamConnection, event_type: str) -> list[str]:
    """Return the listen keys of a connection that want events of this type."""
    keys: dict[str, None] = {}
    for name in connection.names if connection.is_private else ():
        key, _, wanted = name.partition("@")
        if event_type == ALWAYS_SENT or wanted in {"", event_type}:
            keys[key] = None
    return list(keys)


def _push(
    faults: FaultPlan, connection: StreamConnection, key: str, payload: dict[str, object], text: str, now: int
) -> None:
    for _ in range(faults.deliver(payload, connection.name, now)):
        connection.push(key, text)
