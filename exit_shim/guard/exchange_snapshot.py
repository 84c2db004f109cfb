"""What rests at the exchange and what is open there, as a client's answers tell it. Pure but for the asking.

Both order stores are read: since 2025-12-09 stops are in the Algo Service's, before that among the orders.
"""

from collections.abc import Callable, Generator, Mapping
from decimal import Decimal
from functools import partial
from typing import Any, Final, NamedTuple

from exit_shim.clients.registry import is_genuine, support_of
from exit_shim.domain.events import Target
from exit_shim.domain.orders import (
    CONDITIONAL_KINDS,
    Reference,
    Store,
    closes_hedge_side,
    flag,
    kind_of,
    upper,
)
from exit_shim.guard.amounts import to_decimal
from exit_shim.guard.live_exits import PROTECTIVE_TYPES, LiveExit, PositionKey

TRAILING: Final = "TRAILING_STOP_MARKET"

WAITS: Final = frozenset({"NEW", "PARTIALLY_FILLED"})
"""The statuses of an order that will still act. One that is being triggered may come to nothing."""

LISTS: Final = ("orders", "algos", "positions")
"""The reads that a snapshot is made of."""

LAST_PRICE: Final = "last"
READS: Final = (*LISTS, LAST_PRICE)
"""The same with the last price, without which a snapshot is whole too."""

MAY_LACK: Final = frozenset({"algos", LAST_PRICE})
"""Reads that older releases and adapters have no method for."""

Question = Callable[[], Any]


class OpenOrder(NamedTuple):
    """An order that waits at the exchange.

    `is_active`: its status says that it will still act, and a trailing stop's row says that it is activated.
    `working_type`: which price triggers it, MARK_PRICE or CONTRACT_PRICE. `callback_rate` is in percent.
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

    @property
    def can_only_reduce(self) -> bool:
        """Whether it is an exit."""
        return self.close_position or self.reduce_only or closes_hedge_side(self.side, self.position_side)

    @property
    def is_protective(self) -> bool:
        """Whether it is a stop that watches the price now; a trailing one does once it is activated."""
        return self.type in PROTECTIVE_TYPES and self.can_only_reduce and self.is_active

    @property
    def store(self) -> Store:
        """In which of the exchange's two it is."""
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
        """What it guards."""
        return PositionKey(account, self.symbol, self.position_side, self.side)


class OpenPosition(NamedTuple):
    """An open position; `amount` is negative for a short one.

    `mark` is the mark price of its symbol. `liquidation` is 0 where no price liquidates it, None where
    none is told.
    """

    symbol: str
    position_side: str
    amount: Decimal
    mark: Decimal | None = None
    liquidation: Decimal | None = None

    @property
    def exit_side(self) -> str:
        """The side of the orders that reduce it."""
        return "SELL" if self.amount > 0 else "BUY"

    def position_key(self, account: str | None) -> PositionKey:
        """What an exit of it guards."""
        return PositionKey(account, self.symbol, self.position_side, self.exit_side)

    def is_guarded_by(self, order: OpenOrder) -> bool:
        """Whether an order is an exit of this position."""
        return (order.symbol, order.position_side, order.side) == (
            self.symbol,
            self.position_side,
            self.exit_side,
        ) and order.can_only_reduce


class Snapshot(NamedTuple):
    """Positions and resting orders, as they were seen together.

    `last` is the last price, where one symbol was asked about and the price was told. `asked` is when the
    exchange was asked, in ns since the epoch.
    """

    positions: tuple[OpenPosition, ...]
    resting: tuple[OpenOrder, ...]
    last: Decimal | None = None
    asked: int = 0

    def size_of(self, key: PositionKey) -> Decimal:
        """Return the size of a position; 0 where it is not open."""
        amounts = (held.amount for held in self.positions if held.position_key(key.account) == key)
        return abs(next(amounts, Decimal(0)))


class UnreadableError(ValueError):
    """An answer that is not what the exchange would give."""


def read_snapshot(
    client: Any, symbol: str | None = None, patience: float | None = None
) -> Generator[Question, Any, Snapshot]:
    """Yields the questions to ask, takes their answers, and returns what they say.

    Of one symbol it takes three requests of weight 1, 1 and 5; of all 40, 40 and 5. With `patience`, a
    genuine sync client waits no longer than that many seconds for each.

    Raises:
        UnreadableError: An answer is not a list of rows: a mock's, an adapter's, another product's.
    """
    answers: dict[str, Any] = {}
    for name in LISTS:
        asked = question(client, name, symbol, patience)
        if asked is not None:
            answers[name] = yield asked
    return snapshot_from(answers)


def question(client: Any, name: str, symbol: str | None, patience: float | None = None) -> Question | None:
    """Return one of the `READS` as a call of the client's method; None where the client lacks the method."""
    library = support_of(client)
    method = getattr(client, library.reads[name], None)
    if method is None:
        if name in MAY_LACK:
            return None
        raise UnreadableError(f"{type(client).__name__} has no {library.reads[name]}")
    named: dict[str, Any] = {} if symbol is None else {"symbol": symbol}
    if patience is not None and is_genuine(client):
        named.update(library.time_limit(patience))
    return partial(method, **named)


def snapshot_from(answers: Mapping[str, Any]) -> Snapshot:
    """Read the answers to the `READS`, by their names.

    Raises:
        UnreadableError: An answer is not a list of rows: a mock's, an adapter's, another product's.
    """
    orders, algos = rows(answers["orders"]), rows(answers.get("algos", []))
    return Snapshot(
        tuple(held for row in rows(answers["positions"]) if (held := read_position(row)).amount),
        tuple(map(read_resting, [*orders, *algos])),
        price_in(answers.get(LAST_PRICE)),
    )


def price_in(ticker: Any) -> Decimal | None:
    """Return the price that a ticker's answer has; None where it has none above zero."""
    return price(ticker.get("price")) if isinstance(ticker, Mapping) else None


def price(written: object) -> Decimal | None:
    """Return a price above zero; Binance writes "0" where there is none."""
    found = to_decimal(written)
    return found if found is not None and found > 0 else None


def ask(questions: Generator[Question, Any, Snapshot]) -> Snapshot:
    """Carry the questions out with a sync client."""
    answer = None
    try:
        while True:
            answer = questions.send(answer)()
    except StopIteration as done:
        snapshot: Snapshot = done.value
        return snapshot


def rows(answer: Any) -> list[Mapping[str, Any]]:
    """The rows of a list answer."""
    if hasattr(answer, "close") and hasattr(answer, "send"):
        answer.close()  # a coroutine, from a method that looked sync
    if not isinstance(answer, list) or not all(isinstance(row, Mapping) for row in answer):
        raise UnreadableError(f"a {type(answer).__name__} is no list of rows")
    return answer


def read_position(row: Mapping[str, Any]) -> OpenPosition:
    """One row of positionRisk."""
    amount = to_decimal(row.get("positionAmt"))
    if amount is None:
        raise UnreadableError("a position without positionAmt")
    return OpenPosition(
        upper(row.get("symbol")),
        upper(row.get("positionSide") or "BOTH"),
        amount,
        price(row.get("markPrice")),
        to_decimal(row.get("liquidationPrice")),
    )


def read_resting(row: Mapping[str, Any]) -> OpenOrder:
    """One row of openOrders or openAlgoOrders."""
    kind = upper(row.get("orderType") or row.get("origType") or row.get("type"))
    acts = upper(row.get("algoStatus" if "algoId" in row else "status")) in WAITS
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
        is_active=acts and (kind != TRAILING or row.get("isActivated") is True),
        order_id=integer(row.get("orderId")),
        algo_id=integer(row.get("algoId")),
        client_order_id=text_or_none(row.get("clientOrderId") or row.get("clientAlgoId")),
        working_type=upper(row.get("workingType") or "CONTRACT_PRICE"),
        callback_rate=price(row.get("callbackRate") or row.get("priceRate")),
        activation=price(row.get("activatePrice")),
        price_protect=flag(row.get("priceProtect")),
    )


def as_live(order: OpenOrder, account: str | None, seen: int) -> LiveExit:
    """The same order as a book has it, of an unknown module; `seen` in ns since the epoch."""
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
        known=seen,
    )


def integer(value: object) -> int | None:
    """An id, where it is one."""
    return value if type(value) is int else None


def text_or_none(value: object) -> str | None:
    """A client's id, where it is one."""
    return value if isinstance(value, str) and value else None


def covers(stops: list[OpenOrder], size: Decimal) -> bool:
    """Whether stops of one position, together, close `size` of it."""
    return any(stop.close_position for stop in stops) or (size > 0 and guarded(stops, size) >= size)


def guarded(stops: list[OpenOrder], size: Decimal) -> Decimal:
    """How much of a position of `size` stops on a quantity close.

    In one-way mode reduceOnly cuts what is more than the position. In hedge mode such a stop is refused when
    it fires, and closes nothing; the position is then what those that fired before it have left.
    """
    quantities = [stop.quantity for stop in sorted(stops, key=fires) if stop.quantity is not None]
    if all(stop.position_side == "BOTH" for stop in stops):
        return sum(quantities, Decimal(0))
    closed = Decimal(0)
    for quantity in quantities:
        if quantity <= size - closed:
            closed += quantity
    return closed


def fires(stop: OpenOrder) -> tuple[bool, Decimal]:
    """Sorts stops of one position by when they fire: of a trailing one nobody knows, so it goes last."""
    if stop.trigger is None or stop.type == TRAILING:
        return True, -(stop.quantity or Decimal(0))
    return False, -stop.trigger if stop.side == "SELL" else stop.trigger


def bare(snapshot: Snapshot) -> list[tuple[OpenPosition, Decimal]]:
    """The positions that their stops do not cover whole, each with how much is bare."""
    found = []
    for held in snapshot.positions:
        stops = [order for order in snapshot.resting if order.is_protective and held.is_guarded_by(order)]
        if not covers(stops, abs(held.amount)):
            found.append((held, abs(held.amount) - guarded(stops, abs(held.amount))))
    return found


def orphans(snapshot: Snapshot) -> list[OpenOrder]:
    """Exits that reduce no open position."""
    return [
        order
        for order in snapshot.resting
        if order.can_only_reduce and not any(held.is_guarded_by(order) for held in snapshot.positions)
    ]


def oversized_exits(snapshot: Snapshot) -> list[tuple[OpenPosition, str, Decimal]]:
    """Positions whose exits of one type add up to more than they are: which type, and how much."""
    found = []
    for held in snapshot.positions:
        totals: dict[str, Decimal] = {}
        for order in snapshot.resting:
            if held.is_guarded_by(order) and order.quantity and not order.close_position:
                totals[order.type] = totals.get(order.type, Decimal(0)) + order.quantity
        found += [(held, kind, total) for kind, total in totals.items() if total > abs(held.amount)]
    return found


def duplicates(snapshot: Snapshot) -> list[tuple[OpenPosition, tuple[OpenOrder, ...]]]:
    """Positions with more than one stop."""
    found = []
    for held in snapshot.positions:
        stops = tuple(
            order
            for order in snapshot.resting
            if order.type in PROTECTIVE_TYPES and held.is_guarded_by(order)
        )
        if len(stops) > 1:
            found.append((held, stops))
    return found
