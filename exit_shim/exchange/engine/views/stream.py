"""The JSON of user data events, key by key in the order that production captures have them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from exit_shim.exchange.engine.algo import TRAILING, AlgoOrder
from exit_shim.exchange.engine.events import (
    AccountEvent,
    AlgoEvent,
    AssetsModeEvent,
    CalledPosition,
    LeverageEvent,
    ListenKeyEvent,
    MarginCallEvent,
    OrderEvent,
    PositionRow,
    TradeEvent,
    UserEvent,
)
from exit_shim.exchange.engine.numbers import fixed, plain
from exit_shim.exchange.engine.orders import Order
from exit_shim.exchange.engine.symbols import Symbol

from .account import break_even
from .orders import average_places

Json = dict[str, object]

#: The type in ORDER_TRADE_UPDATE of an order that liquidates; elsewhere it is a LIMIT.
LIQUIDATION = "LIQUIDATION"
#: The execution type of a conditional order in ORDER_TRADE_UPDATE, before ALGO_UPDATE existed.
_OLD_EXECUTIONS = {"NEW": "NEW", "CANCELED": "CANCELED", "EXPIRED": "EXPIRED", "TRIGGERING": "EXPIRED"}


def user_event(event: UserEvent, symbols: Mapping[str, Symbol], *, algo_service: bool = True) -> Json | None:
    """Return an event of the user data stream, None when there is none for it.

    Args:
        event: what happened.
        symbols: the contracts by name.
        algo_service: whether conditional orders have events of their own (since 2025-12-09).
    """
    if isinstance(event, OrderEvent):
        return order_trade_update(event, symbols[event.order.symbol])
    if isinstance(event, TradeEvent):
        return trade_lite(event, symbols[event.order.symbol])
    if isinstance(event, AlgoEvent):
        view = algo_update if algo_service else conditional_order_update
        return view(event, symbols[event.algo.symbol])
    return _account_event(event)


def _account_event(
    event: AccountEvent | MarginCallEvent | LeverageEvent | AssetsModeEvent | ListenKeyEvent,
) -> Json:
    if isinstance(event, AccountEvent):
        return account_update(event)
    if isinstance(event, MarginCallEvent):
        return margin_call(event)
    if isinstance(event, ListenKeyEvent):
        return listen_key_expired(event)
    return account_config_update(event)


def order_trade_update(event: OrderEvent, symbol: Symbol) -> Json:
    """Return ORDER_TRADE_UPDATE; `M` is only in an AMENDMENT that came with one."""
    order, trade = event.order, event.trade
    body: Json = {
        "s": order.symbol,
        "c": order.client_id,
        "S": order.side,
        "o": LIQUIDATION if order.liquidates else order.type,
        "f": order.time_in_force,
        "q": plain(order.quantity),
        "p": plain(order.price),
        "ap": plain(_rounded(order.average_price, average_places(symbol))),
        "sp": plain(order.stop_price),
        "x": event.execution,
        "X": order.status if event.execution != "NEW" else "NEW",
        "i": order.order_id,
        "l": plain(trade.quantity) if trade else "0",
        "z": plain(order.executed),
        "L": plain(trade.price) if trade else "0",
        "n": plain(trade.commission) if trade else "0",
        "N": "USDT",
        "T": event.time,
        "t": trade.trade_id if trade else 0,
        "b": plain(event.bids),
        "a": plain(event.asks),
        "m": trade.maker if trade else False,
        "R": order.reduce_only,
        "wt": order.working_type,
        "ot": LIQUIDATION if order.liquidates else order.original_type,
        "ps": order.position_side,
        "cp": order.close_position,
        "rp": plain(trade.realised) if trade else "0",
        "pP": order.price_protect,
        **_link(order),
        "V": order.self_trade_prevention,
        "pm": order.price_match,
        "gtd": order.good_till_date,
        "er": event.expiry,
    }
    if event.execution == "AMENDMENT" and order.modify_id is not None:
        body["M"] = order.modify_id
    return {"e": "ORDER_TRADE_UPDATE", "T": event.time, "E": event.time, "o": body}


def _link(order: Order) -> Json:
    """Return what links an order to its conditional order; before the Algo Service both had one id."""
    if order.algo_id in {None, order.order_id}:
        return {"si": 0, "ss": 0}
    return {"si": order.algo_id, "ss": -1, "st": "ALGO_CONDITION"}


def trade_lite(event: TradeEvent, symbol: Symbol) -> Json:
    """Return TRADE_LITE: flat, with all decimals of the symbol."""
    order, trade = event.order, event.trade
    return {
        "e": "TRADE_LITE",
        "E": event.time,
        "T": event.time,
        "s": order.symbol,
        "q": fixed(order.quantity, symbol.quantity_precision),
        "p": fixed(order.price, symbol.price_precision),
        "m": trade.maker,
        "c": order.client_id,
        "S": order.side,
        "L": fixed(trade.price, symbol.price_precision),
        "l": fixed(trade.quantity, symbol.quantity_precision),
        "t": trade.trade_id,
        "i": order.order_id,
    }


def algo_update(event: AlgoEvent, symbol: Symbol) -> Json:
    """Return ALGO_UPDATE; `ap`, `aq`, `act` need a child order, `rm` a denial."""
    algo = event.algo
    body: Json = {
        "caid": algo.client_id,
        "aid": algo.algo_id,
        "at": "CONDITIONAL",
        "o": algo.type,
        "s": algo.symbol,
        "S": algo.side,
        "ps": algo.position_side,
        "f": algo.time_in_force,
        "q": plain(algo.quantity),
        "X": algo.status,
        **_child(event, symbol),
        "tp": plain(algo.trigger_price),
        "p": plain(algo.price),
        "V": algo.self_trade_prevention,
        "wt": algo.working_type,
        "pm": algo.price_match,
        "cp": algo.close_position,
        "pP": algo.price_protect,
        "R": algo.reduce_only,
        "tt": algo.trigger_time,
        "gtd": algo.good_till_date,
    }
    if algo.reject_reason:
        body["rm"] = algo.reject_reason
    body["ia"] = algo.activated
    if algo.type == TRAILING:
        body["cr"] = plain(algo.callback_rate)
    return {"e": "ALGO_UPDATE", "T": event.time, "E": event.time, "o": body}


def conditional_order_update(event: AlgoEvent, symbol: Symbol) -> Json | None:
    """Return the event of a conditional order before the Algo Service, when it was an order like others.

    On its trigger it expired (`er` 8), and the order that it became had the same id. A denied
    one had the event CONDITIONAL_ORDER_TRIGGER_REJECT (deprecated on 2025-12-15).
    """
    algo, now = event.algo, event.time
    if algo.status == "REJECTED":
        body: Json = {"s": algo.symbol, "i": algo.algo_id, "r": algo.reject_reason}
        return {"e": "CONDITIONAL_ORDER_TRIGGER_REJECT", "E": now, "T": now, "or": body}
    execution = _OLD_EXECUTIONS.get(algo.status)
    if execution is None:
        return None
    expiry = {"TRIGGERING": "8", "EXPIRED": "6"}.get(algo.status, "0")
    order = _as_order(algo, execution)
    return order_trade_update(OrderEvent(time=now, execution=execution, order=order, expiry=expiry), symbol)


def _as_order(algo: AlgoOrder, status: str) -> Order:
    return Order(
        order_id=algo.algo_id,
        client_id=algo.client_id,
        symbol=algo.symbol,
        side=algo.side,
        position_side=algo.position_side,
        type=algo.type,
        time_in_force=algo.time_in_force,
        quantity=algo.quantity,
        price=algo.price,
        reduce_only=algo.reduce_only,
        close_position=algo.close_position,
        price_match=algo.price_match,
        self_trade_prevention=algo.self_trade_prevention,
        good_till_date=algo.good_till_date,
        time=algo.create_time,
        update_time=algo.update_time,
        status=status,
        stop_price=algo.trigger_price,
        working_type=algo.working_type,
        price_protect=algo.price_protect,
    )


def account_update(event: AccountEvent) -> Json:
    """Return ACCOUNT_UPDATE with the positions that changed."""
    # Since 2026-08-21 a funding fee names its symbol.
    funded = {"S": event.symbol} if event.reason == "FUNDING_FEE" else {}
    return {
        "e": "ACCOUNT_UPDATE",
        "T": event.time,
        "E": event.time,
        "a": {
            "B": [] if event.wallet is None else [_balance(event.wallet, event.cross)],
            "P": [_position(row) for row in event.positions],
            "m": event.reason,
            **funded,
        },
    }


def margin_call(event: MarginCallEvent) -> Json:
    """Return MARGIN_CALL; `cw` is only in that of cross positions."""
    head: Json = {"e": "MARGIN_CALL", "E": event.time}
    if event.cross is not None:
        head["cw"] = plain(event.cross)
    return {**head, "p": [_called(called) for called in event.positions]}


def account_config_update(event: LeverageEvent | AssetsModeEvent) -> Json:
    """Return ACCOUNT_CONFIG_UPDATE of a changed leverage or assets mode."""
    head: Json = {"e": "ACCOUNT_CONFIG_UPDATE", "T": event.time, "E": event.time}
    if isinstance(event, AssetsModeEvent):
        return {**head, "ai": {"j": event.multi_assets}}
    return {**head, "ac": {"s": event.symbol, "l": event.leverage}}


def listen_key_expired(event: ListenKeyEvent) -> Json:
    """Return the last event of a listen key."""
    return {"e": "listenKeyExpired", "E": event.time, "listenKey": event.listen_key}


def _called(called: CalledPosition) -> Json:
    row = called.row
    return {
        "s": row.position.symbol,
        "ps": row.position.side,
        "pa": plain(row.position.amount),
        "mt": row.margin_type,
        "iw": plain(row.isolated_wallet),
        "mp": plain(called.mark),
        "up": plain(row.unrealised),
        "mm": plain(_rounded(called.maintenance, 8)),
    }


def _rounded(value: Decimal, places: int) -> Decimal:
    return Decimal(fixed(value, places))


def _child(event: AlgoEvent, symbol: Symbol) -> Json:
    child = event.child
    if child is None:
        return {"ai": ""}
    return {
        "ai": str(child.order_id),
        "ap": plain(_rounded(child.average_price, average_places(symbol))),
        "aq": plain(child.executed),
        "act": child.type,
    }


def _balance(wallet: Decimal, cross: Decimal) -> Json:
    return {"a": "USDT", "wb": plain(wallet), "cw": plain(cross), "bc": "0"}


def _position(row: PositionRow) -> Json:
    position = row.position
    return {
        "s": position.symbol,
        "pa": plain(position.amount),
        "ep": plain(_rounded(position.entry, 12)),
        "cr": plain(position.realised),
        "up": plain(row.unrealised),
        "mt": "cross" if row.margin_type == "CROSSED" else "isolated",
        "iw": plain(row.isolated_wallet),
        "ps": position.side,
        "ma": "USDT",
        "bep": plain(_rounded(break_even(position), 12)),
    }
