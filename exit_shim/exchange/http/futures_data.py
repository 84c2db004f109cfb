"""Handlers of funding, open interest, ratios and the basis."""

from __future__ import annotations

from decimal import Decimal

from exit_shim.exchange.engine.candles import DAY, Candle
from exit_shim.exchange.engine.errors import INVALID_PARAMETER, START_AFTER_END
from exit_shim.exchange.engine.funding import list_rates
from exit_shim.exchange.engine.intervals import LENGTHS, candles, day, end_of, start_of
from exit_shim.exchange.engine.numbers import ZERO
from exit_shim.exchange.engine.symbols import ONBOARDED, Symbol
from exit_shim.exchange.engine.views import coin as coin_views
from exit_shim.exchange.engine.views import futures_data as views

from .api_call import ApiCall, Json
from .market_data import find_pair, read_perpetual
from .paging import read_limit, read_window

PERIODS = ("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d")
#: How far back the lists go.
REACH = 30 * DAY


def funding_rates(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/fundingRate: the newest unless times are sent; oldest first."""
    name, state = call.params.text("symbol"), call.engine.state
    symbols = [state.symbol(name)] if name else list(state.symbols.values())
    start, end = read_window(call.params, call.engine.now())
    limit = read_limit(call.params, usual=100)
    window = (max(start, ONBOARDED) if call.params.integer("startTime") is not None else 0, end)
    # All symbols are due at the same times, so each has its share in the limit.
    share = -(-limit // len(symbols))
    rates = [row for symbol in symbols for row in _list_rates(call, symbol, window, share)]
    rates.sort(key=lambda row: row[0])
    chosen = rates[:limit] if window[0] else rates[-limit:]
    return [views.funding_rate(*row) for row in chosen]


def funding_info(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/fundingInfo."""
    return [views.funding_info(symbol) for symbol in call.engine.state.symbols.values()]


def open_interest(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/openInterest: half of a day's volume, and the account's own positions."""
    state = call.engine.state
    symbol = state.symbol(call.params.required("symbol"))
    return views.open_interest(symbol, _interest(call, symbol, day(state, symbol.name).volume), state.now)


def coin_open_interest(call: ApiCall) -> Json:
    """Answer GET /dapi/v1/openInterest."""
    state = call.engine.state
    symbol = state.symbol(call.params.required("symbol"))
    fields = views.open_interest(symbol, _interest(call, symbol, day(state, symbol.name).volume), state.now)
    return {**coin_views.with_pair(fields, symbol), "contractType": "PERPETUAL"}


def open_interest_history(call: ApiCall) -> Json:
    """Answer GET /futures/data/openInterestHist."""
    symbol, period = _read_symbol(call), _read_period(call)
    rows, length = _list_periods(call, symbol, period, before=DAY), LENGTHS[period]
    whole_day = DAY // length
    return [
        {
            **_named(call, symbol),
            **views.open_interest_then(
                _interest(call, symbol, sum((row.volume for row in rows[at - whole_day : at]), ZERO)),
                rows[at].open,
                rows[at].start,
            ),
        }
        for at in range(whole_day, len(rows))
    ]


def account_ratio(call: ApiCall) -> Json:
    """Answer globalLongShortAccountRatio and topLongShortAccountRatio: nobody else has a position."""
    return _even(call, ("longAccount", "shortAccount"))


def position_ratio(call: ApiCall) -> Json:
    """Answer GET /futures/data/topLongShortPositionRatio."""
    of_coin = call.params.text("symbol") is None
    return _even(call, ("longPosition", "shortPosition") if of_coin else ("longAccount", "shortAccount"))


def taker_ratio(call: ApiCall) -> Json:
    """Answer GET /futures/data/takerlongshortRatio."""
    symbol, period = _read_symbol(call), _read_period(call)
    return [views.taker_ratio(row, row.start) for row in _list_periods(call, symbol, period)]


def coin_taker_volume(call: ApiCall) -> Json:
    """Answer GET /futures/data/takerBuySellVol, of COIN-M."""
    symbol, period = read_perpetual(call), _read_period(call)
    return [views.taker_volumes(symbol, row) for row in _list_periods(call, symbol, period)]


def basis(call: ApiCall) -> Json:
    """Answer GET /futures/data/basis."""
    symbol, period = read_perpetual(call), _read_period(call)
    pair = call.params.required("pair")
    return [views.basis(pair, row.open, row.start) for row in _list_periods(call, symbol, period)]


def delivery_price(call: ApiCall) -> Json:
    """Answer GET /futures/data/delivery-price: only perpetual contracts trade."""
    find_pair(call, call.params.required("pair"))
    return []


def constituents(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/constituents."""
    symbol = find_pair(call, call.params.required("symbol"))
    return views.constituents(symbol, call.engine.quote(symbol.name).mark, call.engine.now())


def _list_rates(
    call: ApiCall, symbol: Symbol, window: tuple[int, int], limit: int
) -> list[tuple[int, Symbol, Decimal, Decimal]]:
    """Return time, symbol, rate and mark price of at most `limit` fundings of a window."""
    rows = list_rates(call.engine.state, symbol.name, window, limit)
    return [(row.time, symbol, row.rate, row.mark) for row in rows]


def _even(call: ApiCall, names: tuple[str, str]) -> Json:
    symbol, period = _read_symbol(call), _read_period(call)
    return [
        {**_named(call, symbol), **views.even_ratio(*names, row.start)}
        for row in _list_periods(call, symbol, period)
    ]


def _read_symbol(call: ApiCall) -> Symbol:
    # COIN-M asks by pair.
    pair = call.params.text("pair")
    if pair is not None:
        return find_pair(call, pair)
    return call.engine.state.symbol(call.params.required("symbol"))


def _named(call: ApiCall, symbol: Symbol) -> dict[str, object]:
    pair = call.params.text("pair")
    return {"symbol": symbol.name} if pair is None else {"pair": pair, "contractType": "PERPETUAL"}


def _read_period(call: ApiCall) -> str:
    call.params.required("period")
    return call.params.choice("period", PERIODS, INVALID_PARAMETER) or ""


def _list_periods(call: ApiCall, symbol: Symbol, period: str, *, before: int = 0) -> list[Candle]:
    """Return the candles of the periods that a request asks for, and of some time `before` them."""
    state, limit = call.engine.state, read_limit(call.params, usual=30, most=500)
    length = LENGTHS[period]
    start, end = call.params.integer("startTime"), call.params.integer("endTime")
    if start is not None and end is not None and start > end:
        raise START_AFTER_END.error()
    if start is not None and start < state.now - REACH:
        raise INVALID_PARAMETER.error("startTime")
    # A period is listed when it is over.
    last = start_of(period, min(state.now if end is None else end, state.now))
    first = max(state.now - REACH, last - (limit - 1) * length) if start is None else start
    first = end_of(period, start_of(period, first - 1))
    window = (first - before, min(last, first + (limit - 1) * length))
    return candles(state, symbol.name, period, window, limit + before // length)


def _interest(call: ApiCall, symbol: Symbol, volume: Decimal) -> Decimal:
    positions = call.engine.state.open_positions()
    position_size = sum((abs(row.amount) for row in positions if row.symbol == symbol.name), ZERO)
    return volume / 2 + position_size
