"""A snapshot of the exchange: what rests and what is open there, read from a client's answers.

Both order stores are read: since 2025-12-09 stops rest in that of the Algo Service, before that among the
orders.
"""

from collections.abc import Callable, Generator, Mapping
from decimal import Decimal
from functools import partial
from typing import Any, Final, Literal, NamedTuple

from exit_shim.clients.registry import is_genuine, support_of
from exit_shim.domain.events import Target
from exit_shim.domain.orders import (
    CONDITIONAL_KINDS,
    PROTECTIVE_TYPES,
    Reference,
    Store,
    closes_hedge_side,
    flag,
    kind_of,
    upper,
)
from exit_shim.guard.amounts import to_decimal
from exit_shim.guard.live_exits import LiveExit, PositionKey

TRAILING: Final = "TRAILING_STOP_MARKET"

WAITING: Final = frozenset({"NEW", "PARTIALLY_FILLED"})
"""The statuses of an order that will still act; one that is being triggered may come to nothing."""

LISTS: Final = ("orders", "algos", "positions")
"""The reads that a snapshot is made of."""

LAST_PRICE: Final = "last"
READS: Final = (*LISTS, LAST_PRICE)
"""All reads; a snapshot is complete without the last price, too."""

MAY_LACK: Final = frozenset({"algos", LAST_PRICE})
"""Reads for which adapters may have no method."""

Question = Callable[[], Any]


class OpenOrder(NamedTuple):
    """An order that waits at the exchange.

    Attributes:
        is_active: Whether it will still act, by its status; a trailing stop must be activated, too.
        working_type: The price that triggers it, MARK_PRICE or CONTRACT_PRICE.
        callback_rate: Of a trailing stop, in percent.
        price: Of a LIMIT order.
        executed: How much of it was filled.
    """

    symbol: str
    side: str
    position_side: str
    type: str
    quantity: Decimal | None
    trigger: Decimal | None
    close_position: bool
    reduce_only: bool
    is_active: bool
    order_id: int | None = None
    algo_id: int | None = None
    client_order_id: str | None = None
    working_type: str = "CONTRACT_PRICE"
    callback_rate: Decimal | None = None
    activation: Decimal | None = None
    price_protect: bool = False
    price: Decimal | None = None
    executed: Decimal = Decimal(0)

    @property
    def can_only_reduce(self) -> bool:
        """Whether it is an exit."""
        return self.close_position or self.reduce_only or closes_hedge_side(self.side, self.position_side)

    @property
    def is_protective(self) -> bool:
        """Whether it is a stop that watches the price now; a trailing stop does once it is activated."""
        return self.type in PROTECTIVE_TYPES and self.can_only_reduce and self.is_active

    @property
    def store(self) -> Store:
        """Which of the exchange's two stores it is in."""
        return "orders" if self.algo_id is None else "conditional"

    @property
    def reference(self) -> Reference:
        """Its ids."""
        return Reference(self.order_id, self.algo_id, self.client_order_id)

    @property
    def name(self) -> str:
        """Its id, for people."""
        return str(self.algo_id or self.order_id or self.client_order_id)

    def position_key(self, account: str | None) -> PositionKey:
        """Return what it guards."""
        return PositionKey(account, self.symbol, self.position_side, self.side)


class OpenPosition(NamedTuple):
    """An open position.

    Attributes:
        amount: Negative for a short position.
        mark: The mark price of its symbol.
        liquidation: Its liquidation price; 0 where no price liquidates it, None where the row has none.
        entry: Its average entry price.
        updated: When it changed last, in ms since the epoch.
    """

    symbol: str
    position_side: str
    amount: Decimal
    mark: Decimal | None = None
    liquidation: Decimal | None = None
    entry: Decimal | None = None
    updated: int = 0

    @property
    def side(self) -> Literal["LONG", "SHORT"]:
        """The side that is held, in one-way mode too."""
        return "LONG" if self.amount > 0 else "SHORT"

    @property
    def size(self) -> Decimal:
        """Its amount without the sign."""
        return abs(self.amount)

    @property
    def exit_side(self) -> str:
        """The side of the orders that reduce it."""
        return "SELL" if self.amount > 0 else "BUY"

    def position_key(self, account: str | None) -> PositionKey:
        """Return what an exit of it guards."""
        return PositionKey(account, self.symbol, self.position_side, self.exit_side)

    def is_guarded_by(self, order: OpenOrder) -> bool:
        """Return whether an order is an exit of this position."""
        return (order.symbol, order.position_side, order.side) == (
            self.symbol,
            self.position_side,
            self.exit_side,
        ) and order.can_only_reduce


class Snapshot(NamedTuple):
    """Positions and resting orders, as they were seen together.

    Attributes:
        positions: The open positions.
        resting: The orders of both stores.
        last: The last price, where one symbol was asked about.
        asked: When the exchange was asked, in ns since the epoch.
        has_algos: Whether the Algo Service's store was read; without it nobody knows what covers a position.
    """

    positions: tuple[OpenPosition, ...]
    resting: tuple[OpenOrder, ...]
    last: Decimal | None = None
    asked: int = 0
    has_algos: bool = True

    def size_of(self, key: PositionKey) -> Decimal:
        """Return the size of a position; 0 where it is not open."""
        amounts = (open_.amount for open_ in self.positions if open_.position_key(key.account) == key)
        return abs(next(amounts, Decimal(0)))


class UnreadableError(ValueError):
    """Raised for an answer that is not what the exchange would give."""


def read_snapshot(
    client: Any, symbol: str | None = None, patience: float | None = None
) -> Generator[Question, Any, Snapshot]:
    """Yield the questions to ask, take their answers, and return the snapshot that they make.

    One symbol takes three requests of weight 1, 1 and 5; all symbols 40, 40 and 5.

    Args:
        client: The client to ask with.
        symbol: The symbol; None for all of them.
        patience: The seconds that a genuine sync client waits for each answer; None for its own limit.

    Raises:
        UnreadableError: An answer is not a list of rows: a mock's, an adapter's, another product's.
    """
    answers: dict[str, Any] = {}
    for name in LISTS:
        ask_it = question(client, name, symbol, patience)
        if ask_it is not None:
            answers[name] = yield ask_it
    return snapshot_from(answers)


def question(client: Any, name: str, symbol: str | None, patience: float | None = None) -> Question | None:
    """Return one of the `READS` as a call; None where the client has no way to send it."""
    library = support_of(client)
    if name not in library.reads:
        raise UnreadableError(f"a client of {library.name} is asked through a clone only")
    method = getattr(client, library.reads[name], None)
    if method is None and is_genuine(client):
        method = library.read_without_method(client, name)
    if method is None:
        if name in MAY_LACK:
            return None
        raise UnreadableError(f"{type(client).__name__} has no {library.reads[name]}")
    arguments: dict[str, Any] = {} if symbol is None else {"symbol": symbol}
    if patience is not None and is_genuine(client):
        arguments.update(library.time_limit(patience))
    return partial(method, **arguments)


def snapshot_from(answers: Mapping[str, Any]) -> Snapshot:
    """Return the snapshot that the answers to the `READS` make, by their names.

    Raises:
        UnreadableError: An answer is not a list of rows: a mock's, an adapter's, another product's.
    """
    orders, algos = rows(answers["orders"]), rows(answers.get("algos", []))
    return Snapshot(
        tuple(position for row in rows(answers["positions"]) if (position := read_position(row)).amount),
        tuple(map(read_open_order, [*orders, *algos])),
        price_in(answers.get(LAST_PRICE)),
        has_algos="algos" in answers,
    )


def price_in(ticker: Any) -> Decimal | None:
    """Return the price in a ticker's answer; None where it has none above zero."""
    return price(ticker.get("price")) if isinstance(ticker, Mapping) else None


def price(written: object) -> Decimal | None:
    """Return a price above zero; Binance writes "0" where there is none."""
    amount = to_decimal(written)
    return amount if amount is not None and amount > 0 else None


def ask(questions: Generator[Question, Any, Snapshot]) -> Snapshot:
    """Ask the questions with a sync client, and return the snapshot."""
    answer = None
    try:
        while True:
            answer = questions.send(answer)()
    except StopIteration as done:
        snapshot: Snapshot = done.value
        return snapshot


def rows(answer: Any) -> list[Mapping[str, Any]]:
    """Return the rows of a list answer."""
    if hasattr(answer, "close") and hasattr(answer, "send"):
        # A coroutine, from a method that looked sync.
        answer.close()
    if not isinstance(answer, list) or not all(isinstance(row, Mapping) for row in answer):
        raise UnreadableError(f"expected a list of rows from the exchange, got {type(answer).__name__}")
    return answer


def read_position(row: Mapping[str, Any]) -> OpenPosition:
    """Return the position of a row of positionRisk."""
    amount = to_decimal(row.get("positionAmt"))
    if amount is None:
        raise UnreadableError("expected a position with positionAmt, got a row without it")
    return OpenPosition(
        upper(row.get("symbol")),
        upper(row.get("positionSide") or "BOTH"),
        amount,
        price(row.get("markPrice")),
        to_decimal(row.get("liquidationPrice")),
        price(row.get("entryPrice")),
        integer(row.get("updateTime")) or 0,
    )


def read_open_order(row: Mapping[str, Any]) -> OpenOrder:
    """Return the order of a row of openOrders or openAlgoOrders."""
    kind = upper(row.get("orderType") or row.get("origType") or row.get("type"))
    is_waiting = upper(row.get("algoStatus" if "algoId" in row else "status")) in WAITING
    return OpenOrder(
        symbol=upper(row.get("symbol")),
        side=upper(row.get("side")),
        position_side=upper(row.get("positionSide") or "BOTH"),
        type=kind,
        quantity=to_decimal(row.get("quantity") if "algoId" in row else row.get("origQty")),
        trigger=to_decimal(row.get("triggerPrice") or row.get("stopPrice"))
        if kind in CONDITIONAL_KINDS
        else None,
        close_position=flag(row.get("closePosition")),
        reduce_only=flag(row.get("reduceOnly")),
        is_active=is_waiting and (kind != TRAILING or row.get("isActivated") is True),
        order_id=integer(row.get("orderId")),
        algo_id=integer(row.get("algoId")),
        client_order_id=text_or_none(row.get("clientOrderId") or row.get("clientAlgoId")),
        working_type=upper(row.get("workingType") or "CONTRACT_PRICE"),
        callback_rate=price(row.get("callbackRate") or row.get("priceRate")),
        activation=price(row.get("activatePrice")),
        price_protect=flag(row.get("priceProtect")),
        price=price(row.get("price")),
        executed=to_decimal(row.get("executedQty")) or Decimal(0),
    )


def as_live(order: OpenOrder, account: str | None, seen: int) -> LiveExit:
    """Return an order as the book has it, of an unknown module; `seen` in ns since the epoch."""
    fields = {
        name: getattr(order, name)
        for name in ("type", "side", "position_side", "close_position", "reduce_only")
    }
    return LiveExit(
        account,
        order.symbol,
        "conditional" if order.type in CONDITIONAL_KINDS else "orders",
        Target(
            kind=kind_of(fields) or "unknown",
            order_id=order.order_id,
            algo_id=order.algo_id,
            client_order_id=order.client_order_id,
        ),
        order.position_key(account),
        order.type,
        None if order.quantity is None or order.close_position else f"{order.quantity:f}",
        None if order.trigger is None else f"{order.trigger:f}",
        order.close_position,
        ts=seen,
        accepted_at=seen,
    )


def integer(value: object) -> int | None:
    """Return an id that is a number; None for anything else."""
    return value if type(value) is int else None


def text_or_none(value: object) -> str | None:
    """Return an id that is text; None for anything else."""
    return value if isinstance(value, str) and value else None


def covers(stops: list[OpenOrder], size: Decimal) -> bool:
    """Return whether stops of one position, together, close `size` of it."""
    return any(stop.close_position for stop in stops) or (size > 0 and guarded(stops, size) >= size)


def guarded(stops: list[OpenOrder], size: Decimal) -> Decimal:
    """Return how much of a position of `size` stops on a quantity close, one after the other."""
    quantities = [stop.quantity for stop in sorted(stops, key=firing_order) if stop.quantity is not None]
    # In one-way mode reduceOnly cuts what is more than the position. In hedge mode the exchange refuses such
    # a stop when it fires.
    if all(stop.position_side == "BOTH" for stop in stops):
        return sum(quantities, Decimal(0))
    closed = Decimal(0)
    for quantity in quantities:
        if quantity <= size - closed:
            closed += quantity
    return closed


def firing_order(stop: OpenOrder) -> tuple[bool, Decimal]:
    """Return the key that sorts stops of one position by when they fire; trailing stops go last."""
    if stop.trigger is None or stop.type == TRAILING:
        return True, -(stop.quantity or Decimal(0))
    return False, -stop.trigger if stop.side == "SELL" else stop.trigger


def bare(snapshot: Snapshot) -> list[tuple[OpenPosition, Decimal]]:
    """Return the positions that their stops do not cover whole, each with how much is bare."""
    positions = []
    for position in snapshot.positions:
        size = abs(position.amount)
        stops = [order for order in snapshot.resting if order.is_protective and position.is_guarded_by(order)]
        if not covers(stops, size):
            positions.append((position, size - guarded(stops, size)))
    return positions


def orphans(snapshot: Snapshot) -> list[OpenOrder]:
    """Return the exits that reduce no open position."""
    return [
        order
        for order in snapshot.resting
        if order.can_only_reduce and not any(position.is_guarded_by(order) for position in snapshot.positions)
    ]


def oversized_exits(snapshot: Snapshot) -> list[tuple[OpenPosition, str, Decimal]]:
    """Return the positions whose exits of one type add up to more: which type, and how much."""
    exceeded = []
    for position in snapshot.positions:
        totals: dict[str, Decimal] = {}
        for order in snapshot.resting:
            if position.is_guarded_by(order) and order.quantity and not order.close_position:
                totals[order.type] = totals.get(order.type, Decimal(0)) + order.quantity
        size = abs(position.amount)
        exceeded += [(position, kind, total) for kind, total in totals.items() if total > size]
    return exceeded


def duplicates(snapshot: Snapshot) -> list[tuple[OpenPosition, tuple[OpenOrder, ...]]]:
    """Return the positions with more than one stop, each with its stops."""
    doubled = []
    for position in snapshot.positions:
        stops = tuple(
            order
            for order in snapshot.resting
            if order.type in PROTECTIVE_TYPES and position.is_guarded_by(order)
        )
        if len(stops) > 1:
            doubled.append((position, stops))
    return doubled
