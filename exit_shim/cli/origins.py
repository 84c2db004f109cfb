"""Finds the record of an order's placing, by the ids that exchange and bot have for it."""

from collections.abc import Callable, Iterable
from typing import Final, Protocol

from exit_shim.domain.accounts import exchange_of
from exit_shim.domain.events import Record, Target

NEVER_THERE: Final = frozenset({"rejected", "denied", "not_sent", "not_there"})
"""Outcomes and resolutions of orders that the exchange never had."""


class OrderIds(Protocol):
    """The ids of an order, as an exchange's row or a cancel has them."""

    @property
    def algo_id(self) -> int | None:
        """The id of a conditional order."""

    @property
    def order_id(self) -> int | None:
        """The id of any other order."""

    @property
    def client_order_id(self) -> str | None:
        """The id that the bot gave it."""


def find_placing(target: Target, cancel: Record, read: Callable[[str], Iterable[Record]]) -> Record | None:
    """Return the last record that placed a cancel's or change's target before it; None for none."""
    about, name = cancel.intent, target.algo_id or target.order_id or target.client_order_id
    if name is None:
        return None
    placings = [
        record
        for record in read(str(name))
        if is_placing(record, target, about.order.symbol)
        and record.intent.ts <= about.ts
        and may_share_exchange(record.intent.account, about.account)
    ]
    return placings[-1] if placings else None


def may_share_exchange(account: str | None, other: str | None) -> bool:
    """Return whether two accounts may be at one exchange: fakes and adapters do not name theirs."""
    return account is None or other is None or exchange_of(account) == exchange_of(other)


def is_placing(record: Record, order: OrderIds, symbol: str | None) -> bool:
    """Return whether a record placed an order; ids are unique only within a symbol and an order store."""
    intent, answer = record.intent, record.resolution or record.outcome
    if intent.operation != "place" or (answer is not None and answer.result in NEVER_THERE):
        return False
    if symbol is not None and intent.order.symbol not in (None, symbol):
        return False
    name = intent.order.client_order_id
    # Without an outcome, as after a kill, only the bot's own id is known.
    ids = (
        (None, None, name)
        if answer is None
        else (answer.algo_id, answer.order_id, answer.client_order_id or name)
    )
    wanted = (order.algo_id, order.order_id, order.client_order_id)
    return any(id_ is not None and id_ == other for id_, other in zip(ids, wanted, strict=True))
