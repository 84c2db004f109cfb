"""The context that a rule is given, and the result that it returns."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from exit_shim.domain.attributions import Attribution
from exit_shim.domain.events import Target
from exit_shim.domain.orders import ExitOrder, Operation, Reach
from exit_shim.domain.verdicts import Facts
from exit_shim.guard.book import EMPTY_CONTEXT, BookContext
from exit_shim.guard.live_exits import PositionKey
from exit_shim.guard.policy import CompiledPolicy, Grant, Rule

NANOSECONDS: Final = 1_000_000_000

NOWHERE: Final = PositionKey(None, None, "BOTH", None)


class RuleContext(NamedTuple):
    """One order to judge, and what is around it.

    Attributes:
        operation: What is asked for: "place", "modify" or "cancel".
        order: The order.
        who: The module that asked, and how it was found.
        mode: The mode in force.
        grant: What the policy grants the module.
        compiled_policy: The policy.
        account: The account's label.
        targets: The orders that a cancel or change is about.
        params: The order's own fields in the call.
        now: When it was asked for, in ns since the epoch.
        door: The client's method.
        delegated_to: The owner that the symbol is delegated to.
        position: What the order guards.
        book: The live exits around it.
        store: Of a cancel-all, what it reaches.
        is_bridged: Whether the bridge carries it out.
    """

    operation: Operation
    order: ExitOrder
    who: Attribution
    mode: str
    grant: Grant
    compiled_policy: CompiledPolicy
    account: str | None = None
    targets: tuple[Target, ...] = ()
    params: Mapping[str, Any] | None = None
    now: int = 0
    door: str = ""
    delegated_to: str | None = None
    position: PositionKey = NOWHERE
    book: BookContext = EMPTY_CONTEXT
    store: Reach | None = None
    is_bridged: bool = False

    def rule(self, code: str) -> Rule:
        """Return the settings of a rule."""
        return self.compiled_policy.rule(code)


RuleResult: TypeAlias = Mapping[str, object] | str | None
"""The facts of what a rule found, by short names; empty where its code says it all, None for nothing."""

RuleFunction: TypeAlias = Callable[[RuleContext], RuleResult]


def facts_in(result: RuleResult) -> Facts | None:
    """Return the facts that a rule found, as text; a value that is no mapping is kept as one fact."""
    if result is None:
        return None
    if not isinstance(result, Mapping):
        return {"detail": str(result)} if result != "" else {}
    return {str(name): str(value) for name, value in result.items() if value is not None}
