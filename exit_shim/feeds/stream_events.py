"""Read what an event of the user data stream says of exits and positions. Pure, except `take_in`.

Fields as Binance documents them: https://developers.binance.com/docs/derivatives/usds-margined-futures/user-data-streams
"""

import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple, TypeAlias

from exit_shim.domain.events import ExchangeUpdate, PositionSeen
from exit_shim.domain.orders import Reference, Store, kind_of, text, upper
from exit_shim.guard.amounts import to_decimal
from exit_shim.guard.book import Book
from exit_shim.guard.exchange_snapshot import OpenOrder, as_live, integer, read_open_order
from exit_shim.guard.live_exits import PositionKey

ORDER_NAMES: Final[Mapping[str, str]] = {
    "s": "symbol",
    "S": "side",
    "ps": "positionSide",
    "o": "type",
    "q": "origQty",
    "sp": "stopPrice",
    "cp": "closePosition",
    "R": "reduceOnly",
    "X": "status",
    "wt": "workingType",
    "AP": "activatePrice",
    "cr": "priceRate",
    "i": "orderId",
    "c": "clientOrderId",
}
ALGO_NAMES: Final[Mapping[str, str]] = {
    "s": "symbol",
    "S": "side",
    "ps": "positionSide",
    "o": "orderType",
    "q": "quantity",
    "tp": "triggerPrice",
    "cp": "closePosition",
    "R": "reduceOnly",
    "X": "algoStatus",
    "wt": "workingType",
    "ia": "isActivated",
    "aid": "algoId",
    "caid": "clientAlgoId",
}
"""The fields of an event, and their names in the lists of open orders."""

UPDATE_NAMES: Final[Mapping[str, Mapping[str, str]]] = {
    "ORDER_TRADE_UPDATE": ORDER_NAMES,
    "ALGO_UPDATE": ALGO_NAMES,
}
"""The events about one order, each with the names of its fields."""

NS_PER_MS: Final = 1_000_000

RESTS: Final = frozenset({"NEW", "PARTIALLY_FILLED"})
TRIGGERS: Final = frozenset({"TRIGGERING", "TRIGGERED"})
UNDONE: Final = frozenset({"CANCELED", "EXPIRED", "REJECTED"})
"""Ends that close nothing: the position stays as it is."""

ENDS: Final = UNDONE | {"FILLED", "EXPIRED_IN_MATCH", "FINISHED"}
"""FINISHED: the order that a conditional one became was filled, or was cancelled."""

BECOME_LIMIT: Final = frozenset({"STOP", "TAKE_PROFIT"})
"""Conditional types that rest as a LIMIT order once they are triggered; the others trade at once."""

EXIT_SIDES: Final[Mapping[str, tuple[str, ...]]] = {"LONG": ("SELL",), "SHORT": ("BUY",)}


class Rests(NamedTuple):
    """Say that an order is open at the exchange."""

    order: OpenOrder


class Over(NamedTuple):
    """Say that an order is not open any more.

    Attributes:
        store: Which of the exchange's two stores it was in.
        named: Its ids.
        undone: Whether it closed nothing.
        child: The order that a conditional one became.
        child_rests: Whether that one is open now.
    """

    store: Store
    named: Reference
    undone: bool = False
    child: int | None = None
    child_rests: bool = False


class Sized(NamedTuple):
    """Give positions' sizes: symbol, position side, side of the orders that reduce it, and size."""

    sizes: tuple[tuple[str, str, str, Decimal], ...]


class Gap(NamedTuple):
    """Say that events were missed, or will be."""

    why: str


News: TypeAlias = Rests | Over | Sized | Gap


def learned(event: Mapping[str, Any]) -> News | None:
    """Return what an event says; None where it says nothing about exits, or cannot be read.

    Args:
        event: As it comes from the stream, or from python-binance's sockets, whose own errors are events too.
    """
    event = _inner(event)
    read = READERS.get(text(event.get("e")))
    return None if read is None else read(event)


def symbol_in(event: Mapping[str, Any]) -> str | None:
    """Return the one symbol that an event is about; None where it may be about any."""
    # A change of the balance moves the liquidation price of other positions as well.
    event = _inner(event)
    for body in (_body(event, "o"), _body(event, "or"), _body(event, "ac"), event):
        if symbol := upper(body.get("s") or ""):
            return symbol
    return None


def take_in(
    book: Book,
    account: str | None,
    event: Mapping[str, Any],
    expire: Callable[[str | None, str | None], object],
) -> Gap | None:
    """Let a book learn from an event; return a gap, after which the exchange should be looked at.

    Args:
        book: What learns.
        account: The account's label.
        event: The event, as it came.
        expire: Called with the account and the symbol of which older knowledge is void; None for all.
    """
    expire(account, symbol_in(event))
    news, now = learned(event), time.time_ns()
    if isinstance(news, Gap):
        return news
    if isinstance(news, Rests):
        book.announce(as_live(news.order, account, now))
    elif isinstance(news, Over):
        book.end_order(
            account,
            news.store,
            news.named,
            undone=news.undone,
            child=news.child,
            child_rests=news.child_rests,
        )
    elif isinstance(news, Sized):
        for symbol, position_side, side, size in news.sizes:
            book.set_size(PositionKey(account, symbol, position_side, side), size)
    return None


def read_update(event: Mapping[str, Any], account: str | None) -> ExchangeUpdate | None:
    """Return what an event tells of an exit; None where it is about none."""
    event = _inner(event)
    names = UPDATE_NAMES.get(text(event.get("e")))
    body = _body(event, "o")
    if names is None:
        return None
    order = _resting(body, names)
    if (order.order_id is None and order.algo_id is None) or not order.can_only_reduce:
        return None
    fields = {
        name: getattr(order, name)
        for name in ("type", "side", "position_side", "close_position", "reduce_only")
    }
    child = text(body.get("ai") or "")
    at = body.get("T") or event.get("T") or event.get("E")
    return ExchangeUpdate(
        account=account,
        symbol=order.symbol,
        side=order.side,
        position_side=order.position_side,
        store=order.store,
        status=upper(body.get("X")),
        type=order.type,
        kind=kind_of(fields) or "unknown",
        quantity=None if order.quantity is None or order.close_position else f"{order.quantity:f}",
        trigger=None if order.trigger is None else f"{order.trigger:f}",
        order_id=order.order_id,
        algo_id=order.algo_id,
        client_order_id=order.client_order_id,
        became=int(child) if child.isascii() and child.isdigit() else None,
        source="stream",
        at=at * NS_PER_MS if isinstance(at, int) else None,
    )


def read_positions(
    event: Mapping[str, Any], account: str | None, again_s: float = 0.0
) -> tuple[PositionSeen, ...]:
    """Return the positions that an event of the account has."""
    event = _inner(event)
    if text(event.get("e")) != "ACCOUNT_UPDATE":
        return ()
    listed = _body(event, "a").get("P")
    rows = [row for row in listed if isinstance(row, Mapping)] if isinstance(listed, list) else []
    at = event.get("T")
    return tuple(
        PositionSeen(
            account=account,
            symbol=upper(row.get("s")),
            position_side=upper(row.get("ps") or "BOTH"),
            amount=plain(amount),
            entry_price=plain(entry) if (entry := to_decimal(row.get("ep"))) else None,
            source="stream",
            again_s=again_s,
            at=at * NS_PER_MS if isinstance(at, int) else None,
        )
        for row in rows
        if (amount := to_decimal(row.get("pa"))) is not None and row.get("s")
    )


def plain(amount: Decimal) -> str:
    """Return an amount as text without exponent and trailing zeros."""
    written = f"{amount:f}"
    return written.rstrip("0").rstrip(".") if "." in written else written


def _order(event: Mapping[str, Any]) -> News | None:
    body = _body(event, "o")
    order, status = _resting(body, ORDER_NAMES), upper(body.get("X"))
    if order.order_id is None:
        return None
    if status in ENDS:
        named = Reference(order.order_id, client_order_id=order.client_order_id)
        return Over("orders", named, undone=status in UNDONE)
    return Rests(order) if status in RESTS and order.type != "MARKET" and order.can_only_reduce else None


def _algo(event: Mapping[str, Any]) -> News | None:
    body = _body(event, "o")
    order, status = _resting(body, ALGO_NAMES), upper(body.get("X"))
    if order.algo_id is None:
        return None
    child = text(body.get("ai") or "")
    over = Over(
        "conditional",
        Reference(algo_id=order.algo_id, client_order_id=order.client_order_id),
        undone=status in UNDONE,
        child=int(child) if child.isascii() and child.isdigit() else None,
    )
    if status in ENDS:
        return over
    if status in TRIGGERS:
        if order.type not in BECOME_LIMIT:
            return over
        return None if over.child is None else over._replace(child_rests=True)
    return Rests(order) if status in RESTS and order.can_only_reduce else None


def _refused_trigger(event: Mapping[str, Any]) -> News | None:
    """Read an event that Binance sent until 2025-12-15: a conditional order was refused when it fired."""
    order_id = integer(_body(event, "or").get("i"))
    return None if order_id is None else Over("orders", Reference(order_id), undone=True)


def _account(event: Mapping[str, Any]) -> News | None:
    positions = _body(event, "a").get("P")
    rows = [row for row in positions if isinstance(row, Mapping)] if isinstance(positions, list) else []
    sizes = tuple(size for row in rows for size in _sizes(row))
    return Sized(sizes) if sizes else None


def _sizes(row: Mapping[str, Any]) -> list[tuple[str, str, str, Decimal]]:
    symbol, position_side = upper(row.get("s") or ""), upper(row.get("ps") or "BOTH")
    amount = to_decimal(row.get("pa"))
    if not symbol or amount is None:
        return []
    return [
        (symbol, position_side, side, abs(amount) if (amount > 0) == (side == "SELL") else Decimal(0))
        for side in EXIT_SIDES.get(position_side, ("SELL", "BUY"))
    ]


def _expired(_: Mapping[str, Any]) -> News:
    return Gap("its listen key expired")


def _error(event: Mapping[str, Any]) -> News:
    return Gap(f"python-binance says {text(event.get('type') or 'error')}")


def _inner(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the event without the wrapper of a combined stream."""
    inner = event.get("data")
    return inner if isinstance(inner, Mapping) else event


def _body(event: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    body = event.get(name)
    return body if isinstance(body, Mapping) else {}


def _resting(body: Mapping[str, Any], names: Mapping[str, str]) -> OpenOrder:
    return read_open_order({names[name]: value for name, value in body.items() if name in names})


READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], News | None]]] = {
    "ORDER_TRADE_UPDATE": _order,
    "ALGO_UPDATE": _algo,
    "CONDITIONAL_ORDER_TRIGGER_REJECT": _refused_trigger,
    "ACCOUNT_UPDATE": _account,
    "listenKeyExpired": _expired,
    "error": _error,
}
