"""Read the fields of old requests: ids, symbols, batches and lists of ids. Pure."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote_plus, unquote

from exit_shim.domain.orders import text, upper


def ids_in(params: Mapping[str, Any]) -> tuple[int | None, str | None]:
    """Return the order id, or the client order id, that a request names."""
    order_id, name = number_in(params, "orderId"), params.get("origClientOrderId")
    return order_id, None if order_id is not None or name is None else text(name)


def number_in(params: Mapping[str, Any], name: str) -> int | None:
    """Return a field that is a whole number."""
    written = text(params.get(name)) if params.get(name) is not None else ""
    return int(written) if written.isascii() and written.isdigit() else None


def symbol_in(params: Mapping[str, Any]) -> str:
    """Return the symbol that a request names."""
    return upper(params.get("symbol") or "")


def plain(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what belongs to every request: the options of the transport, and the window of time."""
    return {name: params[name] for name in ("requests_params", "recvWindow") if name in params}


def algo_reference(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what names the same order at the Algo Service."""
    order_id, name = ids_in(params)
    return {"clientAlgoId": name} if order_id is None else {"algoId": order_id}


def under_new_names(params: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return fields under the names of today; what a bot gave under such a name outranks the old one.

    Args:
        params: The fields. None is no value: python-binance does not send it.
        names: Today's names by the old ones.
    """
    fields = {names.get(name, name): value for name, value in params.items() if value is not None}
    return fields | {name: params[name] for name in names.values() if params.get(name) is not None}


def time_of(order: Mapping[str, Any]) -> int:
    """Return when an order was placed, in milliseconds since the epoch."""
    return int(order.get("time") or 0)


def listed_orders(params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the orders of a batch: a list, its JSON, or its JSON as it goes into a URL."""
    orders = params.get("batchOrders")
    if isinstance(orders, str):
        try:
            orders = json.loads(unquote(orders.replace("+", " ")))
        except ValueError:
            return []
    return [dict(order) for order in orders or () if isinstance(order, Mapping)]


def as_json(orders: list[Mapping[str, Any]]) -> str:
    """Return orders as the field `batchOrders`, the way python-binance writes it into the URL."""
    return quote_plus(json.dumps(orders, separators=(",", ":"), default=str))


def listed_ids(params: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the ids of a cancel by lists, with the field that names such an order alone."""
    for name, value in params.items():
        field = {"orderidlist": "orderId", "origclientorderidlist": "origClientOrderId"}.get(name.lower())
        if field is not None:
            listed = json.loads(unquote(value)) if isinstance(value, str) else value
            yield from ((field, each) for each in listed or ())


def id_lists(rest: Mapping[str, Any], wanted: list[tuple[str, Any]], places: list[int]) -> dict[str, Any]:
    """Return a cancel by lists of the ids at some places."""
    lists: dict[str, list[Any]] = {}
    for place in places:
        field, value = wanted[place]
        # python-binance sends a list as it is only under these names.
        lists.setdefault("orderidlist" if field == "orderId" else "origclientorderidlist", []).append(value)
    return {
        **rest,
        **{name: quote_plus(json.dumps(ids, separators=(",", ":"))) for name, ids in lists.items()},
    }
