"""Handlers of the account, its positions, settings and stream keys."""

from __future__ import annotations

from exit_shim.exchange.engine.errors import INVALID_PARAMETER, INVALID_POSITION_SIDE, MANDATORY
from exit_shim.exchange.engine.request_parser import POSITION_SIDES
from exit_shim.exchange.engine.views import account as views
from exit_shim.exchange.engine.views import income as income_views
from exit_shim.exchange.engine.views import market_data as data_views
from exit_shim.exchange.engine.views.market import order_limits as order_limits_view

from .api_call import ApiCall, Json
from .paging import keep_oldest, keep_within, read_limit, read_week, read_window

SUCCESS: dict[str, object] = {"code": 200, "msg": "success"}


def position_risk_v2(call: ApiCall) -> Json:
    """Answer GET /fapi/v2/positionRisk."""
    return views.position_risk_v2(call.engine.state, _symbol(call))


def position_risk_v3(call: ApiCall) -> Json:
    """Answer GET /fapi/v3/positionRisk."""
    return views.position_risk_v3(call.engine.state, _symbol(call))


def account_v2(call: ApiCall) -> Json:
    """Answer GET /fapi/v2/account and /fapi/v1/account."""
    return views.account_v2(call.engine.state)


def account_v3(call: ApiCall) -> Json:
    """Answer GET /fapi/v3/account."""
    return views.account_v3(call.engine.state)


def balance(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/balance, /fapi/v2/balance and /fapi/v3/balance."""
    return views.balance(call.engine.state)


def leverage(call: ApiCall) -> Json:
    """Answer POST /fapi/v1/leverage."""
    symbol, leverage = call.params.required("symbol"), call.params.required_integer("leverage")
    limit = call.engine.set_leverage(symbol, leverage)
    return {"leverage": leverage, "maxNotionalValue": f"{limit:f}", "symbol": symbol}


def margin_type(call: ApiCall) -> Json:
    """Answer POST /fapi/v1/marginType."""
    symbol = call.params.required("symbol")
    call.params.required("marginType")
    chosen = call.params.choice("marginType", ("ISOLATED", "CROSSED"), INVALID_PARAMETER)
    call.engine.set_margin_type(symbol, chosen or "CROSSED")
    return dict(SUCCESS)


def set_position_mode(call: ApiCall) -> Json:
    """Answer POST /fapi/v1/positionSide/dual."""
    hedge_mode = call.params.boolean("dualSidePosition")
    if hedge_mode is None:
        raise MANDATORY.error("dualsideposition")
    call.engine.set_hedge_mode(hedge_mode)
    return dict(SUCCESS)


def position_mode(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/positionSide/dual."""
    return {"dualSidePosition": call.engine.hedge_mode}


def set_assets_mode(call: ApiCall) -> Json:
    """Answer POST /fapi/v1/multiAssetsMargin."""
    multi_assets = call.params.boolean("multiAssetsMargin")
    if multi_assets is None:
        raise MANDATORY.error("multiassetsmargin")
    call.engine.set_multi_assets(multi_assets)
    return dict(SUCCESS)


def assets_mode(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/multiAssetsMargin."""
    return {"multiAssetsMargin": call.engine.state.account.multi_assets}


def move_margin(call: ApiCall) -> Json:
    """Answer POST /fapi/v1/positionMargin: type 1 adds, 2 takes out."""
    symbol, amount = call.params.required("symbol"), call.params.required_decimal("amount")
    call.params.required("type")
    kind = call.params.choice("type", ("1", "2"), INVALID_PARAMETER)
    side = call.params.choice("positionSide", POSITION_SIDES, INVALID_POSITION_SIDE) or "BOTH"
    move = call.engine.move_margin(symbol, side, amount, adds=kind == "1")
    text = "Successfully modify position margin."
    return {"amount": float(move.amount), "code": 200, "msg": text, "type": int(kind or 1)}


def margin_moves(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/positionMargin/history."""
    symbol, kind = call.params.required("symbol"), call.params.integer("type")
    call.engine.state.symbol(symbol)
    window = read_window(call.params, call.engine.now())
    moves = [
        move
        for move in call.engine.state.margin_moves
        if move.symbol == symbol and kind in {None, 1 if move.adds else 2}
    ]
    in_window = keep_within(window, moves, lambda move: move.time)
    return [income_views.margin_move(move) for move in keep_oldest(call.params, in_window)]


def income(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/income: of the last seven days unless times are sent, oldest first.

    `page` is ignored, since it is no longer accepted since 2026-10-16: pages are asked for by startTime.
    """
    symbol, kind = _symbol(call), call.params.text("incomeType")
    window = read_week(call.params, call.engine.now(), from_id=False)
    trades = keep_within(window, call.engine.trades(symbol), lambda trade: trade.time)
    moves = keep_within(window, [] if symbol else call.engine.state.spot.transfers, lambda move: move.time)
    paid = [row for row in call.engine.state.funding_payments if symbol in {None, row.symbol}]
    fees = keep_within(window, paid, lambda payment: payment.time)
    booked = [
        *income_views.income(trades), *income_views.transfers(moves), *income_views.funding_fees(fees),
    ]  # fmt: skip
    rows = [row for row in sorted(booked, key=_time_of) if kind in {None, row["incomeType"]}]
    return rows[: read_limit(call.params, usual=100)]


def commission_rate(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/commissionRate."""
    return data_views.commission_rate(call.engine.state.symbol(call.params.required("symbol")))


def leverage_brackets(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/leverageBracket."""
    name = _symbol(call)
    if name is not None:
        return [data_views.leverage_brackets(call.engine.state.symbols[name])]
    return [data_views.leverage_brackets(symbol) for symbol in call.engine.state.symbols.values()]


def symbol_config(call: ApiCall) -> Json:
    """Answer GET /fapi/v1/symbolConfig."""
    return views.symbol_config(call.engine.state, _symbol(call))


def order_limits(call: ApiCall) -> Json:  # noqa: ARG001 - every handler takes the call
    """Answer GET /fapi/v1/rateLimit/order."""
    return order_limits_view()


def open_stream(call: ApiCall) -> Json:
    """Answer POST /fapi/v1/listenKey: a live key is extended and returned again."""
    return {"listenKey": call.engine.listen_keys.open(call.api_key, call.engine.now())}


def keep_stream(call: ApiCall) -> Json:
    """Answer PUT /fapi/v1/listenKey."""
    return {"listenKey": call.engine.listen_keys.keep_alive(call.api_key, call.engine.now())}


def close_stream(call: ApiCall) -> Json:
    """Answer DELETE /fapi/v1/listenKey."""
    call.engine.close_listen_key(call.api_key)
    return {}


def _time_of(row: dict[str, object]) -> int:
    time = row["time"]
    return time if isinstance(time, int) else 0


def _symbol(call: ApiCall) -> str | None:
    name = call.params.text("symbol")
    return call.engine.state.symbol(name).name if name else None
