"""Handlers of the market's trades, and how trades and aggregate trades are asked for in every market."""

from __future__ import annotations

from exit_shim.exchange.engine import market_trades as tape
from exit_shim.exchange.engine.candles import HOUR, MINUTE
from exit_shim.exchange.engine.errors import BAD_COMBINATION, LONGEST_HOURS, START_AFTER_END
from exit_shim.exchange.engine.numbers import fixed
from exit_shim.exchange.engine.symbols import ONBOARDED, Symbol
from exit_shim.exchange.engine.tape import MarketTrade
from exit_shim.exchange.engine.views import futures_data as views

from .api_call import ApiCall, Json
from .paging import NEVER, read_limit

MOST_HISTORICAL = 500
#: More trades than a look at the past finds.
MOST_FOUND = 10**6


def trades(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/trades: the newest, oldest first."""
    symbol = call.engine.state.symbol(call.params.required("symbol"))
    return [views.trade(done, symbol) for done in list_newest(call, symbol, read_limit(call.params))]


def historical_trades(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/historicalTrades: from `fromId` on, else the newest."""
    symbol = call.engine.state.symbol(call.params.required("symbol"))
    limit = read_limit(call.params, usual=100, most=MOST_HISTORICAL)
    return [views.trade(done, symbol) for done in list_historical(call, symbol, limit)]


def aggregate_trades(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/aggTrades."""
    symbol = call.engine.state.symbol(call.params.required("symbol"))
    return [
        views.aggregate(
            done, fixed(done.price, symbol.price_precision), fixed(done.quantity, symbol.quantity_precision)
        )
        for done in list_aggregates(call, symbol)
    ]


def list_newest(call: ApiCall, symbol: Symbol, limit: int) -> list[MarketTrade]:
    """Return the newest trades, oldest first."""
    return tape.list_newest(call.engine.state, symbol.name, limit)


def list_historical(call: ApiCall, symbol: Symbol, limit: int) -> list[MarketTrade]:
    """Return the trades from `fromId` on, else the newest; oldest first."""
    first = call.params.integer("fromId")
    if first is None:
        return list_newest(call, symbol, limit)
    return tape.list_from(call.engine.state, symbol.name, first, limit)


def list_aggregates(call: ApiCall, symbol: Symbol, *, one_hour: bool = True) -> list[MarketTrade]:
    """Read fromId, startTime, endTime and limit, and return the trades that they ask for, oldest first.

    Args:
        call: the request.
        symbol: the symbol of the trades.
        one_hour: whether a window of two times may be an hour at most.

    Raises:
        ExchangeError: -1128 for an id with a time, -1023 or -1127 for a window.
    """
    limit = read_limit(call.params)
    start, end = call.params.integer("startTime"), call.params.integer("endTime")
    if start is None and end is None:
        return list_historical(call, symbol, limit)
    if call.params.integer("fromId") is not None:
        raise BAD_COMBINATION.error()
    if start is not None and end is not None:
        if start > end:
            raise START_AFTER_END.error()
        if one_hour and end - start > HOUR:
            raise LONGEST_HOURS.error(1)
    if start is None:
        return _list_until(call, symbol, min(end or 0, call.engine.now()), limit)
    return tape.list_between(call.engine.state, symbol.name, start, NEVER if end is None else end, limit)


def _list_until(call: ApiCall, symbol: Symbol, end: int, limit: int) -> list[MarketTrade]:
    """Return the newest trades until a time, looking back a longer and longer way."""
    reach = MINUTE
    while True:
        start = max(end - reach, ONBOARDED)
        newest = tape.list_between(call.engine.state, symbol.name, start, end, MOST_FOUND)
        if len(newest) >= limit or start == ONBOARDED:
            return newest[-limit:]
        reach *= 4
