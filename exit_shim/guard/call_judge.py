"""Answer the gateway's question what becomes of a call, with the guard's verdicts."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from exit_shim.domain.decisions import GO, Call, Decision, Go, Withhold
from exit_shim.domain.doors import Door
from exit_shim.domain.orders import upper
from exit_shim.domain.verdicts import ALLOWED
from exit_shim.guard.judge import Guard
from exit_shim.guard.protective_override import with_verdict
from exit_shim.guard.withholding import WithheldCall, answer_query, end_simulated

SENDS_NOTHING: Final = frozenset({"query", "test"})


class CallJudge:
    """Gives each order of a call its verdict, and decides whether the call may leave.

    Args:
        guard: Judges.

    Attributes:
        sees_entries: Whether entries come here, too: what anybody sends ends the snapshots of its symbol.
    """

    def __init__(self, guard: Guard) -> None:
        self.sees_entries = guard.enforces
        self._guard = guard

    def answers(self, door: Door, params: Mapping[str, Any]) -> bool:
        """Return whether a query may be about a simulated order, of whatever account."""
        simulated = self._guard.simulated
        return any(map(simulated.may_have, door.references(params)))

    def before(self, call: Call) -> Decision:
        """Decide what becomes of a call, and put the verdicts into its intents."""
        if call.door.operation == "query":
            return self._answer_query(call)
        has_denial = self._judge_intents(call) if call.intents else False
        touch = self._make_touch(call) if self.sees_entries else None
        # A guard that enforces no more still answers for the orders that it has simulated.
        if has_denial and (self.sees_entries or call.door.operation != "place"):
            return WithheldCall(self._guard, call, touch)
        if call.door.payload == "symbol":
            end_simulated(self._guard, call.intents)
        return GO if touch is None else Go(touch)

    def _judge_intents(self, call: Call) -> bool:
        """Put the verdicts into the intents of a call; return whether one of them is to be held back."""
        has_denial = False
        for place, intent in enumerate(call.intents):
            try:
                verdict = self._guard.judge(intent, call.params)
            except Exception as error:  # noqa: BLE001 - nothing is held back for a bug
                self._guard.report("judge an order", error)
                continue
            if verdict is not ALLOWED:
                call.intents[place] = with_verdict(intent, verdict)
                has_denial = has_denial or verdict.is_held
        return has_denial

    def _answer_query(self, call: Call) -> Decision:
        try:
            answer = answer_query(self._guard, call)
        except Exception as error:  # noqa: BLE001 - then the exchange answers
            self._guard.report("answer a query", error)
            return GO
        return GO if answer is None else Withhold((), lambda: answer)

    def _make_touch(self, call: Call) -> Callable[[], None] | None:
        """Return what ends the snapshots that a call makes obsolete; None for a call that changes nothing."""
        if call.door.operation in SENDS_NOTHING:
            return None
        try:
            symbols = self._symbols_of(call)
        except Exception as error:  # noqa: BLE001 - the order goes out all the same
            self._guard.report("find the symbols of a call", error)
            symbols = {None}
        account, expire = call.account, self._guard.snapshots.expire

        def touch() -> None:
            for symbol in symbols:
                expire(account, symbol)

        return touch

    def _symbols_of(self, call: Call) -> set[str | None]:
        """Return the symbols that a call is about; None among them for any."""
        door = call.door
        if door.payload != "batch" and call.intents and call.intents[0].order.symbol is not None:
            return {call.intents[0].order.symbol}
        orders = door.batch(call.params) if door.payload == "batch" else (call.params,)
        symbols = {upper(order.get("symbol") or "") or None for order in orders}
        if None in symbols and call.intents and door.payload in {"reference", "references"}:
            return self._symbols_of_targets(call)
        return symbols

    def _symbols_of_targets(self, call: Call) -> set[str | None]:
        """Return the symbols of orders that a call names by their ids alone."""
        find = self._guard.book.find_live
        symbols: set[str | None] = set()
        for intent in call.intents:
            exits = [find(intent.account, target) for target in intent.targets]
            symbols.update(None if live is None else live.symbol for live in exits or [None])
        return symbols
