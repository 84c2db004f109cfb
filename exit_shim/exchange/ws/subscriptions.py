"""The streams that a connection asks for: each is fed, refused with a reason, or silent and noted."""

from __future__ import annotations

from exit_shim.exchange.engine.engine import Exchange
from exit_shim.exchange.engine.errors import ExchangeError, Refusal
from exit_shim.exchange.unanswered import UnansweredLog

from .addresses import PRIVATE_ROUTES, StreamAddress, StreamMarket
from .connection import StreamConnection
from .stream_names import (
    LEGACY_USER,
    RefusedStreamError,
    Stream,
    UnknownStreamError,
    WrongRouteError,
    read_stream,
)

NOT_HERE = Refusal(-1020, "This operation is not supported. %s: %s")
DEAD_KEY = "the listen key is unknown or has ended"
NO_SPOT_ACCOUNT_EVENTS = "nothing happens to the spot account here, so it stays silent"
#: The name in the log for user data that stays silent: a listen key belongs in no report.
USER_DATA = "user data"
#: Characters that are noted of the name of a stream.
LONGEST_NAME = 100


def admit(
    engine: Exchange, log: UnansweredLog, connection: StreamConnection, name: str
) -> Stream | ExchangeError | None:
    """Return the stream of a name that a connection asks for, or the error of one that is refused.

    A name that Binance leaves silent stays so: it is noted, and None returned.
    """
    try:
        return read_stream(engine.state, connection.address, name)
    except RefusedStreamError as refused:
        connection.names.pop(name)
        log.note("stream", name[:LONGEST_NAME], str(refused))
        return NOT_HERE.error(name, refused)
    except UnknownStreamError as unknown:
        _note_silence(engine, log, connection, name, unknown)
        return None


def _note_silence(
    engine: Exchange, log: UnansweredLog, connection: StreamConnection, name: str, unknown: UnknownStreamError
) -> None:
    # ccxt numbers its connections: /public/ws/0.
    if name.isdecimal():
        return
    is_live = engine.listen_keys.is_live(name.partition("@")[0], engine.state.now)
    if _is_of_user(connection.address, name, unknown):
        if not is_live:
            is_spot = connection.address.market is StreamMarket.SPOT
            log.note("stream", USER_DATA, NO_SPOT_ACCOUNT_EVENTS if is_spot else DEAD_KEY)
    elif is_live:
        log.note("stream", USER_DATA, LEGACY_USER)
    else:
        log.note("stream", name[:LONGEST_NAME], str(unknown))


def _is_of_user(address: StreamAddress, name: str, unknown: UnknownStreamError) -> bool:
    """Return whether a name is a listen key, with or without an event, at an address with user data."""
    if address.route in PRIVATE_ROUTES:
        return not isinstance(unknown, WrongRouteError)
    return address.market is not StreamMarket.USD_M and "@" not in name and "!" not in name
