"""The gateway where a policy enforces: what it sends ends what was seen of that symbol at the exchange."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import CoroutineType
from typing import Any, Final, TypeAlias

from exit_shim.attribution.stack import CallSite, Frame
from exit_shim.clients.accounts import account_label
from exit_shim.clients.answers import Answer
from exit_shim.clients.doors import Door, DoorCall, is_coroutine_method
from exit_shim.domain.orders import upper
from exit_shim.gateway.gateway import Gateway, OrderCall

Touched: TypeAlias = tuple[tuple[str | None, str | None], ...]
"""Accounts, each with a symbol; None for all of them."""

NOTHING: Final[Touched] = ()
SAY_WHAT: Final = "say what a call is about"
SENDS_NOTHING: Final = frozenset({"query", "test"})


class GuardedGateway(Gateway):
    """Tells the guard's snapshots of everything that leaves, entries included: before, and once it is over.

    It is a class of its own so that entries cost nothing more where nothing is enforced.
    """

    def is_entry(self, door: Door, params: Mapping[str, Any]) -> bool:
        """Let `call` see every order."""
        return door.operation == "query" and super().is_entry(door, params)

    def call(  # noqa: D102 - as inherited
        self,
        asked: DoorCall,
        method: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        frame: Frame | None,
        bound_at: CallSite | None,
    ) -> Any:
        if asked.door.operation != "query" and super().is_entry(*asked):
            result = self._pass(asked, method, args, kwargs)
            if type(result) is CoroutineType:
                self.count_entry_coroutine()
            return result
        return super().call(asked, method, args, kwargs, frame, bound_at)

    def _pass(
        self, asked: DoorCall, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        touched = self._or(NOTHING, SAY_WHAT, self._touched_by, asked, method)
        if not touched:
            return method(*args, **kwargs)
        if is_coroutine_method(method):
            return self._named(self._pass_async(touched, method, args, kwargs), method)
        self._expire(touched)
        try:
            result = method(*args, **kwargs)
        finally:
            self._expire(touched)
        if type(result) is CoroutineType:  # a plain function around an async client
            return self._named(self._pass_on(touched, result), method)
        if issubclass(type(result), asyncio.Future):
            result.add_done_callback(lambda _: self._expire(touched))
        return result

    async def _pass_async(
        self,
        touched: Touched,
        method: Callable[..., Coroutine[Any, Any, Any]],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        self._expire(touched)
        return await self._pass_on(touched, method(*args, **kwargs))

    async def _pass_on(self, touched: Touched, sending: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await sending
        finally:
            self._expire(touched)

    def _prepare(
        self, asked: DoorCall, method: Callable[..., Any], frame: Frame | None, bound_at: CallSite | None
    ) -> OrderCall | None:
        passage = super()._prepare(asked, method, frame, bound_at)
        if passage is None or not passage.intents or asked.door.operation in SENDS_NOTHING:
            return passage
        account, symbol = passage.intents[0].account, passage.intents[0].order.symbol
        if symbol is not None and asked.door.payload != "batch":
            passage.touched = ((account, symbol),)  # at once: each call tells on the path of an order
        else:
            passage.touched = self._or(NOTHING, SAY_WHAT, self._touched_by, asked, method, passage)
        return passage

    def _intend(self, passage: OrderCall) -> None:
        self._expire(passage.touched)
        super()._intend(passage)

    def _conclude(self, passage: OrderCall, found: Sequence[Answer]) -> None:
        self._expire(passage.touched)
        super()._conclude(passage, found)

    def _expire(self, touched: Touched) -> None:
        for account, symbol in touched:
            try:
                self._guard.snapshots.expire(account, symbol)
            except Exception as error:  # noqa: BLE001, PERF203 - the order goes out all the same
                self.internal_errors.note("expire what was seen", error)

    def _touched_by(
        self, asked: DoorCall, method: Callable[..., Any], passage: OrderCall | None = None
    ) -> Touched:
        door, params = asked
        if door.operation in SENDS_NOTHING:
            return NOTHING
        account = account_label(method, self._account)
        orders = door.batch(params) if door.payload == "batch" else (params,)
        symbols = {upper(order.get("symbol") or "") or None for order in orders}
        if None in symbols and passage is not None and door.payload in {"reference", "references"}:
            symbols = self._symbols_of_targets(passage)
        return tuple((account, symbol) for symbol in symbols)

    def _symbols_of_targets(self, passage: OrderCall) -> set[str | None]:
        """Return the symbols of orders that a call names by their ids alone; None among them for any."""
        symbols: set[str | None] = set()
        for intent in passage.intents:
            lives = [self._book.find_live(intent.account, target) for target in intent.targets]
            symbols.update(None if live is None else live.symbol for live in lives or [None])
        return symbols
