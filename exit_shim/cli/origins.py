"""Whose order it is: the record of its placing, by the names that exchange and bot have for it."""

from collections.abc import Callable, Iterable
from typing import Final, Protocol

from exit_shim.clients.hosts import exchange_of
from exit_shim.domain.events import Record, Target

NEVER_THERE: Final = frozenset({"rejected", "denied", "not_sent", "not_there"})
"""Outcomes and resolutions of orders that the exchange never had."""


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
    about, name = cancel.intent, target.algo_id or target.order_id or target.client_order_id
    if name is None:
        return None
    found = [
        record
        for record in read(str(name))
        if is_placing(record, target, about.order.symbol)
        and record.intent.ts <= about.ts
        and are_at_one_exchange(record.intent.account, about.account)
    ]
    return found[-1] if found else None


def are_at_one_exchange(account: str | None, other: str | None) -> bool:
    """Return whether two accounts may be at one exchange: fakes and adapters do not say where they are."""
    return account is None or other is None or exchange_of(account) == exchange_of(other)


def is_placing(record: Record, order: Named, symbol: str | None) -> bool:
    """Return whether a record is of an order's placing: numbers are a symbol's own, and each store's."""
    intent, known = record.intent, record.resolution or record.outcome
    if intent.operation != "place" or (known is not None and known.result in NEVER_THERE):
        return False
    if symbol is not None and intent.order.symbol not in (None, symbol):
        return False
    name = intent.order.client_order_id
    # Without an outcome, as after a kill, the bot's own name is all that there is.
    ids = (
        (None, None, name)
        if known is None
        else (known.algo_id, known.order_id, known.client_order_id or name)
    )
    own = (order.algo_id, order.order_id, order.client_order_id)
    return any(one is not None and one == other for one, other in zip(ids, own, strict=True))
