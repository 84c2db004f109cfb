"""Whose order it is: the record of its placing, by the names that exchange and bot have for it."""

from collections.abc import Callable, Iterable
from typing import Protocol

from exit_shim.accounts import exchange_of
from exit_shim.records import Record, Target


class Named(Protocol):
    """An order's names, as an exchange's row or a cancel gives them."""

    @property
    def algo_id(self) -> int | None:
        """The number of a conditional order."""

    @property
    def order_id(self) -> int | None:
        """The number of any other order."""

    @property
    def client_order_id(self) -> str | None:
        """The name that the bot gave it."""


def find_placing(target: Target, cancel: Record, read: Callable[[str], Iterable[Record]]) -> Record | None:
    """Return the last record before a cancel or change of the placing of an order that it is about."""
    about, name = cancel.submission, target.algo_id or target.order_id or target.client_order_id
    if name is None:
        return None
    found = [
        record
        for record in read(str(name))
        if is_placing(record, target, about.order.symbol)
        and record.submission.ts <= about.ts
        and exchange_of(record.submission.account) == exchange_of(about.account)
    ]
    return found[-1] if found else None


def is_placing(record: Record, order: Named, symbol: str | None) -> bool:
    """Return whether a record is of an order's placing: numbers are a symbol's own, and each store's."""
    submission, known = record.submission, record.resolution or record.conclusion
    if submission.intent != "place" or known is None:
        return False
    if symbol is not None and submission.order.symbol not in (None, symbol):
        return False
    ids = (known.algo_id, known.order_id, known.client_order_id or submission.order.client_order_id)
    own = (order.algo_id, order.order_id, order.client_order_id)
    return any(one is not None and one == other for one, other in zip(ids, own, strict=True))
