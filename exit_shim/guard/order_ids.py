"""The ids by which an order can be looked up: its numbers, and its client order id in each store.

The exchange keeps conditional orders and the others apart, and each store has numbers and names of its own.
"""

from collections.abc import Mapping
from typing import Final, Protocol, TypeAlias, TypeVar

from exit_shim.domain.events import Target
from exit_shim.domain.orders import Reference, Store

STORES: Final[tuple[Store, ...]] = ("conditional", "orders")

Key: TypeAlias = tuple[str | None, object]
"""An account, and one of the ids of its order."""


class HasTarget(Protocol):
    """An order with its ids."""

    @property
    def target(self) -> Target:
        """Return its ids."""


OrderT = TypeVar("OrderT", bound=HasTarget)


def keys_of(account: str | None, reference: Reference | Target, store: Store | None = None) -> list[Key]:
    """Return the ids under which an order can be looked up.

    Args:
        account: Whose order it is.
        reference: Its ids, as far as they are known.
        store: The store that a name is of; None where only the ids can tell.
    """
    if reference.algo_id:
        store = "conditional"
    elif reference.order_id:
        store = "orders"
    if store is not None:
        stores: tuple[Store, ...] = (store,)
    else:
        # The store that is meant comes first: an order in doubt may be kept under the other.
        stores = STORES if getattr(reference, "store", None) != "orders" else STORES[::-1]
    return number_keys(account, reference) + name_keys(account, reference.client_order_id, stores)


def number_keys(account: str | None, reference: Reference | Target) -> list[Key]:
    """Return the keys of an order's numbers."""
    ids = (
        reference.order_id and ("order", reference.order_id),
        reference.algo_id and ("algo", reference.algo_id),
    )
    return [(account, key) for key in ids if key]


def name_keys(account: str | None, name: str | None, stores: tuple[Store, ...]) -> list[Key]:
    """Return the keys of an order's client order id."""
    return [(account, ("client", store, name)) for store in stores] if name else []


def find_by_id(
    orders: Mapping[Key, OrderT], account: str | None, reference: Reference | Target
) -> OrderT | None:
    """Return the order behind an id; None where there is none."""
    for key in keys_of(account, reference):
        order = orders.get(key)
        # A number outranks a name, which others may have used since.
        if order is not None and not is_another(order.target, reference):
            return order
    return None


def is_another(target: Target, reference: Reference | Target) -> bool:
    """Return whether an order of the same name is not the one that is meant: its number or store differs."""
    meant_store = getattr(reference, "store", None)
    pairs = ((target.algo_id, reference.algo_id), (target.order_id, reference.order_id))
    if any(first and second and first != second for first, second in pairs):
        return True
    store = "conditional" if target.algo_id else "orders" if target.order_id else meant_store
    return meant_store is not None and store != meant_store
