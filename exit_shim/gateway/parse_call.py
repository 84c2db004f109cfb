"""Read what a call is about, in recorded terms: the first step of an order. Pure, given a book."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import msgspec

from exit_shim.domain.doors import Door
from exit_shim.domain.events import Target, common_kind
from exit_shim.domain.orders import (
    CONDITIONAL_KINDS,
    COUNTDOWN,
    ExitOrder,
    Kind,
    Reach,
    Reference,
    read_order,
)
from exit_shim.runtime.scrubbing import HIDDEN, SHORTEST_CREDENTIAL, Marks, marks_of_owner

S = TypeVar("S", bound=msgspec.Struct)

PLAIN_WORDS: Final = frozenset({*CONDITIONAL_KINDS, "CONTRACT_PRICE", "MARK_PRICE", "EXPIRE_MAKER"})
"""Words of Binance's that are as long as a credential may be, and are none."""

_new = tuple.__new__
"""Makes a named tuple in a third of the time."""


class TargetLookup(Protocol):
    """Find the orders that a cancel or change is about; the book does."""

    def find(self, account: str | None, reference: Reference) -> Target | None:
        """Return the order behind an id; None where nobody saw it placed."""

    def all_of(self, account: str | None, symbol: str | None, store: Reach) -> tuple[Target, ...]:
        """Return the live exits that a cancel-all removes."""


class Item(NamedTuple):
    """Hold one order of a call: its place in the batch, its fields, and what a cancel or change is about."""

    place: int | None
    order: ExitOrder
    targets: tuple[Target, ...] = ()


def reach_of(door: Door, params: Mapping[str, Any], *, is_bridged: bool) -> Reach | None:
    """Return what a cancel-all reaches; None for any other call."""
    store = door.reached_store(params)
    # A countdown goes out as it is.
    return "both" if is_bridged and store == "orders" and not door.comes_later else store


def read_call(
    door: Door,
    params: Mapping[str, Any],
    kind: Kind | None,
    book: TargetLookup,
    account: str | None,
    *,
    is_bridged: bool = False,
) -> list[Item]:
    """Return the exits that a call places, changes or cancels; none for an entry.

    Args:
        door: The row that describes the call.
        params: Its fields under Binance's names.
        kind: What the code declared the orders to be.
        book: Finds what a cancel or change is about.
        account: The account's label.
        is_bridged: Whether the bridge carries the call out.
    """
    if door.operation == "place":
        # Nearly every call; each step is before the send.
        if door.payload == "order":
            order = read_order({**params, **door.implies} if door.implies else params, kind)
            return [] if order is None else [_new(Item, (None, order, ()))]
        return [Item(place, order) for place, order in door.read(params, kind)]
    if door.operation == "test":
        return [Item(place, order) for place, order in door.read(params, kind)] or [
            Item(None, read_order(params, "unknown") or ExitOrder(kind="unknown"))
        ]
    if door.payload == "symbol":
        order = read_order({"symbol": params.get("symbol")}, "unknown") or ExitOrder(kind="unknown")
        reach = reach_of(door, params, is_bridged=is_bridged)
        targets = () if reach is None else book.all_of(account, order.symbol, reach)
        type_ = COUNTDOWN if door.comes_later else None
        own = ExitOrder(kind=kind or common_kind(targets), symbol=order.symbol, type=type_)
        return [Item(None, own, targets)]
    references = door.references(params)
    fields = door.batch(params) if door.payload == "batch" else [params] * len(references)
    single = door.payload in ("order", "reference")
    find = partial(_find_target, book, account, is_bridged=is_bridged)
    return [
        _change(None if single else place, own, find(reference), kind)
        for place, (own, reference) in enumerate(zip(fields, references, strict=True))
    ]


def hide(method: object, params: Mapping[str, Any], items: list[Item]) -> list[Item]:
    """Return the items without the client's credentials, which swapped variables may have put there."""
    marks: Marks | None = None
    # An order waits; nearly always it is enough to compare lengths.
    for value in params.values():
        kind = type(value)
        if kind is bool or kind is int or kind is float:
            continue
        if kind is str:
            if len(value) < SHORTEST_CREDENTIAL or value in PLAIN_WORDS:
                continue
            marks = marks or marks_of_owner(method)
            if len(value) < marks.shortest or not marks.are_in(value):
                continue
        return [
            Item(item.place, clean(item.order, method), tuple(clean(one, method) for one in item.targets))
            for item in items
        ]
    return items


def clean(fields: S, method: object) -> S:
    """Return recorded fields, each text with a credential of the method's client replaced as a whole."""
    marks = marks_of_owner(method)
    hidden = {
        name: HIDDEN
        for name in fields.__struct_fields__
        if isinstance(value := getattr(fields, name), str) and marks.are_in(value)
    }
    return msgspec.structs.replace(fields, **hidden) if hidden else fields


def in_other_store(reference: Reference) -> Reference:
    """Return an order's ids as those of a conditional order, as bridged calls may mean them."""
    return Reference(
        algo_id=reference.algo_id or reference.order_id,
        client_order_id=reference.client_order_id,
        store="conditional",
    )


def _find_target(
    book: TargetLookup, account: str | None, reference: Reference, *, is_bridged: bool
) -> Target:
    """Return the order that a cancel or change names; only its ids where it is not known."""
    target = book.find(account, reference)
    if target is None and is_bridged:
        target = book.find(account, in_other_store(reference))
    return target or Target(
        kind="unknown",
        order_id=reference.order_id,
        algo_id=reference.algo_id,
        client_order_id=reference.client_order_id,
    )


def _change(place: int | None, params: Mapping[str, Any], target: Target, kind: Kind | None) -> Item:
    order = read_order(params, kind) or read_order(params, target.kind)
    assert order is not None  # noqa: S101 - a given kind makes any fields an order
    return Item(place, order, (target,))
