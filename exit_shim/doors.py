"""The client methods that can place, change or cancel an exit order: one table, one row each."""

import functools
from collections.abc import Callable, Mapping, Sequence
from types import CodeType, FunctionType, MethodType
from typing import Any, Final, Literal

import msgspec

from exit_shim.orders import CONDITIONAL_KINDS, Kind, may_be_exit, read_order, upper
from exit_shim.orders import ExitOrder as ExitOrder  # noqa: PLC0414 - what a door yields

Intent = Literal["place", "modify", "cancel", "test"]


class Door(msgspec.Struct, frozen=True):
    """One row of the table.

    Args:
        method: The name on python-binance's `Client` and `AsyncClient`.
        intent: What going through it does to the exchange.
        implies: Fields that the method itself sets, under Binance's names.
        batch: The keyword that carries a list of orders, where there is one.
    """

    method: str
    intent: Intent = "place"
    implies: Mapping[str, str] = {}
    batch: str | None = None

    def may_carry_exit(self, params: Mapping[str, Any]) -> bool:
        """False only where every order inside is certainly an entry."""
        if self.batch is None:
            return may_be_exit(params, self.implies)
        return any(may_be_exit(order, self.implies) for order in self._batch(params))

    def orders(self, params: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """The orders inside a call, each under Binance's field names; the caller's own dicts, not copies."""
        if self.batch is not None:
            return self._batch(params)
        return [{**params, **self.implies} if self.implies else params]

    def read(self, params: Mapping[str, Any], kind: Kind | None) -> list[tuple[int | None, ExitOrder]]:
        """The exit orders inside a call, each with its place in the batch."""
        if self.batch is None:
            order = read_order(self.orders(params)[0], kind)
            return [] if order is None else [(None, order)]
        found = ((place, read_order(order, kind)) for place, order in enumerate(self._batch(params)))
        return [(place, order) for place, order in found if order is not None]

    def _batch(self, params: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        orders = params.get(self.batch or "")
        if not isinstance(orders, Sequence):
            return []
        return [order if isinstance(order, Mapping) else {} for order in orders]


DOORS: Final = (
    Door("futures_create_order"),
    Door("futures_create_algo_order"),
    Door("futures_place_batch_order", batch="batchOrders"),
    Door("futures_limit_order", implies={"type": "LIMIT"}),
    Door("futures_limit_buy_order", implies={"type": "LIMIT", "side": "BUY"}),
    Door("futures_limit_sell_order", implies={"type": "LIMIT", "side": "SELL"}),
    Door("futures_market_order", implies={"type": "MARKET"}),
    Door("futures_market_buy_order", implies={"type": "MARKET", "side": "BUY"}),
    Door("futures_market_sell_order", implies={"type": "MARKET", "side": "SELL"}),
)

DOOR_NAMES: Final[Mapping[str, Door]] = {door.method: door for door in DOORS}


def fix_client_order_ids(door: Door, method: object, params: dict[str, Any]) -> None:
    """Set the client order ids that python-binance is about to invent, so that an order in doubt has a name.

    Same field, prefix and generator as the client's own, and only where this very method of a genuine
    client generates one: read from its code, since releases differ. A mock, a fake or an adapter never
    matches, so what it is called with stays as the bot wrote it.
    """
    if type(method) is not MethodType or type(method.__func__) is not FunctionType:
        return
    names = _generated_ids(method.__func__.__code__)
    if not names or not method.__func__.__module__.startswith("binance."):
        return
    client: Any = method.__self__
    for order in door.orders(params) if door.batch else (params,):
        name = _id_name(names, {**order, **door.implies}.get("type"))
        if name is not None and name not in order and isinstance(order, dict):
            order[name] = client.CONTRACT_ORDER_PREFIX + client.uuid22()


@functools.lru_cache(maxsize=64)
def _generated_ids(code: CodeType) -> frozenset[str]:
    if "uuid22" not in code.co_names:
        return frozenset()
    return frozenset({"clientAlgoId", "newClientOrderId"}.intersection(map(str, code.co_consts)))


def _id_name(names: frozenset[str], order_type: object) -> str | None:
    """Which of the two a client will invent: since 1.0.33 conditional types go to the algo endpoint."""
    if "clientAlgoId" in names and (
        "newClientOrderId" not in names or upper(order_type) in CONDITIONAL_KINDS
    ):
        return "clientAlgoId"
    return "newClientOrderId" if "newClientOrderId" in names else None


def is_coroutine_method(method: Callable[..., Any]) -> bool:
    """Whether calling `method` yields a coroutine; the plain case costs no import of `inspect`."""
    function = getattr(method, "__func__", method)
    if type(function) is FunctionType:
        return bool(function.__code__.co_flags & 0x80)  # inspect.CO_COROUTINE
    return _looks_like_coroutine(method)


def _looks_like_coroutine(method: Callable[..., Any]) -> bool:
    import inspect  # noqa: PLC0415 - only mocks and callable objects come here

    return inspect.iscoroutinefunction(method)
