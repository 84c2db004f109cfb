"""The steps that can be done for one position, and what is seen of it when they are decided. Pure."""

from decimal import Decimal
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from exit_shim.executor.contract_rules import ContractRules
from exit_shim.executor.order_ids import OwnId
from exit_shim.guard.exchange_snapshot import OpenOrder, OpenPosition


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Place an order.

    Attributes:
        leg: The leg that it is for.
        why: A sentence for people.
        name: Its client order id.
        type: STOP_MARKET, TRAILING_STOP_MARKET or LIMIT.
        quantity: None for the whole position.
        trigger: The trigger price of a stop, or the activation price of a native trail.
        price: The price of a LIMIT order.
        callback: Of a native trail, as a fraction.
        working_type: The price that triggers a stop.
        price_protect: Whether a stop waits where mark price and last price are far apart.
        post_only: Whether a LIMIT order may only add to the order book.
    """

    leg: str
    why: str
    name: OwnId
    type: Literal["STOP_MARKET", "TRAILING_STOP_MARKET", "LIMIT"]
    quantity: Decimal | None
    trigger: Decimal | None = None
    price: Decimal | None = None
    callback: Decimal | None = None
    working_type: str = "MARK_PRICE"
    price_protect: bool = False
    post_only: bool = False


class Amend(msgspec.Struct, frozen=True, kw_only=True):
    """Change quantity and price of a LIMIT order in place; the quantity includes what was filled."""

    leg: str
    why: str
    order: OpenOrder
    quantity: Decimal
    price: Decimal


class Cancel(msgspec.Struct, frozen=True, kw_only=True):
    """Cancel an order; `leg` is None of somebody else's."""

    leg: str | None
    why: str
    order: OpenOrder


class LookUp(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for an order by its client order id."""

    leg: str
    why: str
    name: OwnId


class Close(msgspec.Struct, frozen=True, kw_only=True):
    """Close the position at the market.

    Attributes:
        leg: Always "cl".
        why: A sentence for people.
        name: The client order id.
        level: Only where a fresh price is beyond this; None: in any case.
    """

    leg: str
    why: str
    name: OwnId
    level: Decimal | None


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """Do nothing for a leg, for a stated reason."""

    leg: str
    why: str


Step: TypeAlias = Place | Amend | Cancel | LookUp | Close | Wait
"""One thing to do for a position, and why."""


class Scene(NamedTuple):
    """What is seen of one position now.

    Attributes:
        position: The position.
        orders: The exits of this position that rest, of anybody.
        price: The price that stops are triggered by; None where it is not known.
        rules: What the contract asks of orders.
        now_ms: The time, in ms since the epoch.
        taken_over: The orders of others that the executor is to cancel once it covers the position.
        is_complete: Whether both order stores were read whole.
    """

    position: OpenPosition
    orders: tuple[OpenOrder, ...]
    price: Decimal | None
    rules: ContractRules
    now_ms: int
    taken_over: frozenset[str] = frozenset()
    is_complete: bool = True
