"""The life of an exit, from its placing to its end, and the spans of a position's cover."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final, Literal, NamedTuple, TypeAlias

from exit_shim.domain.events import ExchangeUpdate, Outcome, Record, Resolution, Target
from exit_shim.domain.orders import CONDITIONAL_KINDS, PROTECTIVE_TYPES, Kind, Store
from exit_shim.journal.order_state import site_of

End: TypeAlias = Literal["filled", "cancelled", "changed", "expired", "gone"]
"""How an exit ended. "changed": another price or quantity took its place. "gone": the exchange lists it no
more, and nothing told why."""

Cover: TypeAlias = Literal["covered", "partly", "bare", "unknown", "flat"]
"""Whether stops close the whole position; "unknown" where its size, or what rests, is not known."""

MOST_DIGITS: Final = 30
"""No price or quantity has more digits before or behind its point."""

TRAILING: Final = "TRAILING_STOP_MARKET"

Id: TypeAlias = tuple[str | None, str, str]
"""An account, which of an order's ids, and the id."""


class PositionName(NamedTuple):
    """One position of an account."""

    account: str | None
    symbol: str
    position_side: str


class Actor(NamedTuple):
    """Who did something, from where, and which record says so.

    Attributes:
        module: The module's short name.
        function: Its function, "?" where unknown.
        place: Its file and line, such as "file.py:26".
        run_id: The run of the record.
        seq: Its number in that run.
    """

    module: str
    function: str
    place: str
    run_id: str
    seq: int


@dataclass(eq=False)
class Life:
    """One exit order from its placing to its end.

    Attributes:
        position: What it guards.
        side: BUY or SELL.
        kind: What it is for.
        type: The order's type.
        store: Which of the exchange's stores it rests in.
        placed_ns: When it was asked for, or first seen, in nanoseconds since the epoch.
        quantity: None for the whole position, or where it is not a number.
        level: The price it waits for: its trigger, else its limit, else its activation price.
        close_position: Whether it closes whatever the position is.
        waits_for_activation: Whether it is a trailing stop that may not be activated yet.
        placed_by: Who placed it; None for an order that the exchange told of and no record is about.
        is_in_doubt: Whether it may not rest at all.
        accepted_ns: When its placing was answered.
        doubted_ns: When a request about it went unanswered last.
        listed_ns: When the exchange listed it last, as far as that was recorded.
        has_fired: Whether it was triggered, and rests as a LIMIT order.
        ended_ns: When it ended; None while it lives.
        end: How it ended.
        ended_by: Who cancelled or changed it; None where nobody is known.
        ids: All of its ids.
    """

    position: PositionName
    side: str | None
    kind: Kind
    type: str | None
    store: Store
    placed_ns: int
    quantity: Decimal | None = None
    level: Decimal | None = None
    close_position: bool = False
    waits_for_activation: bool = False
    placed_by: Actor | None = None
    is_in_doubt: bool = False
    accepted_ns: int = 0
    doubted_ns: int = 0
    listed_ns: int = 0
    has_fired: bool = False
    ended_ns: int | None = None
    end: End | None = None
    ended_by: Actor | None = None
    ids: tuple[Id, ...] = ()

    @property
    def module(self) -> str | None:
        """The module that placed it."""
        return None if self.placed_by is None else self.placed_by.module

    @property
    def is_stop(self) -> bool:
        """Whether it is a stop that can only reduce the position."""
        return self.type in PROTECTIVE_TYPES and self.kind != "conditional" and not self.has_fired

    @property
    def is_ended_by_other(self) -> bool:
        """Whether a module cancelled or changed what another one, or nobody known, had placed."""
        return self.ended_by is not None and self.ended_by.module != self.module

    @property
    def name(self) -> str:
        """The id that people know it by: the exchange's, else the bot's."""
        return self.ids[0][2] if self.ids else "?"


@dataclass(eq=False)
class Span:
    """A time in which the cover of a position stayed the same.

    Attributes:
        position: The position.
        start_ns: Its beginning, in nanoseconds since the epoch.
        cover: The cover.
        end_ns: Its end; None while it lasts.
        last_stop: Of a bare span, the stop whose end bared the position; None where none was seen.
    """

    position: PositionName
    start_ns: int
    cover: Cover
    end_ns: int | None = None
    last_stop: Life | None = None

    @property
    def by(self) -> Actor | None:
        """Who bared the position; None where nobody did, or nobody is known."""
        return None if self.last_stop is None else self.last_stop.ended_by


def actor_of(record: Record) -> Actor:
    """Return who asked for an order."""
    site = site_of(record.intent)
    return Actor(site.module, site.function, site.place, record.run_id, record.seq)


def life_of_record(record: Record, *, is_in_doubt: bool) -> Life:
    """Return the life that the placing of an exit begins."""
    intent, order = record.intent, record.intent.order
    answer = record.resolution or record.outcome
    position = PositionName(intent.account, order.symbol or "?", order.position_side or "BOTH")
    return Life(
        position,
        order.side,
        order.kind,
        order.type,
        store_of(order.type),
        intent.ts,
        quantity=None if order.close_position else number(order.quantity),
        level=number(order.trigger_price) or number(order.price) or number(order.activation_price),
        close_position=order.close_position,
        waits_for_activation=order.activation_price is not None,
        placed_by=actor_of(record),
        is_in_doubt=is_in_doubt,
        ids=tuple(
            ids_of(intent.account, answer, order.client_order_id)
            if answer is not None
            else ids_of(intent.account, None, order.client_order_id)
        ),
    )


def life_of_update(update: ExchangeUpdate, at: int) -> Life:
    """Return the life of an order that the exchange told of, and no record is about so far."""
    return Life(
        PositionName(update.account, update.symbol, update.position_side),
        update.side,
        update.kind,
        update.type,
        update.store,
        at,
        quantity=number(update.quantity),
        level=number(update.trigger) or number(update.price),
        close_position=update.quantity is None,
        # Only the exchange's lists show whether it is activated.
        waits_for_activation=update.type == TRAILING,
        ids=tuple(ids_of(update.account, update)),
    )


def store_of(order_type: str | None) -> Store:
    """Return the store in which an order of a type rests."""
    return "conditional" if order_type in CONDITIONAL_KINDS else "orders"


def ids_of(
    account: str | None,
    source: Outcome | Resolution | Target | ExchangeUpdate | None,
    client_order_id: str | None = None,
) -> Iterator[Id]:
    """Yield the ids of an order, the exchange's first."""
    if source is not None:
        if source.algo_id is not None:
            yield account, "algo", str(source.algo_id)
        if source.order_id is not None:
            yield account, "order", str(source.order_id)
        client_order_id = source.client_order_id or client_order_id
    if client_order_id is not None:
        yield account, "name", client_order_id


def number(written: str | None) -> Decimal | None:
    """Return the number that a text has; None for none, for zero and for what is no number."""
    return None if written is None else amount_of(written) or None


def amount_of(written: str) -> Decimal | None:
    """Return the number that a text has, zero too; None for what is no number, or none of an order."""
    try:
        amount = Decimal(written)
    except InvalidOperation:
        return None
    # Written out, 1e999999 is a million digits.
    return amount if amount.is_finite() and abs(amount.adjusted()) <= MOST_DIGITS else None
