"""What a rule is given: one order, who asks for it, what the policy says of both, and the book."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from exit_shim.domain.attributions import Attribution
from exit_shim.domain.events import Target
from exit_shim.domain.orders import ExitOrder, Operation, Store
from exit_shim.domain.verdicts import Facts
from exit_shim.guard.book import EMPTY_CONTEXT, BookContext
from exit_shim.guard.live_exits import PositionKey
from exit_shim.guard.policy import CompiledPolicy, Grant, Rule

NANOSECONDS: Final = 1_000_000_000

NOWHERE: Final = PositionKey(None, None, "BOTH", None)


class RuleContext(NamedTuple):
    """One order to judge.

    `params` are its own fields in the call, `position` is what it guards, `near` what the book had around it,
    `store` which orders a cancel-all reaches.
    """

    operation: Operation
    order: ExitOrder
    who: Attribution
    mode: str
    standing: Grant
    compiled_policy: CompiledPolicy
    account: str | None = None
    targets: tuple[Target, ...] = ()
    params: Mapping[str, Any] | None = None
    now: int = 0
    door: str = ""
    delegated_to: str | None = None
    position: PositionKey = NOWHERE
    near: BookContext = EMPTY_CONTEXT
    store: Store | None = None

    def rule(self, code: str) -> Rule:
        """The settings of a rule."""
        return self.compiled_policy.rule(code)


Found: TypeAlias = Mapping[str, object] | str | None
"""The facts of what a rule found, by short names: empty where its code says it all, None for nothing."""

RuleFunction: TypeAlias = Callable[[RuleContext], Found]


def facts_in(found: Found) -> Facts | None:
    """Return what a rule found as text; a custom rule that returns something else has it in one fact."""
    if found is None:
        return None
    if not isinstance(found, Mapping):
        return {"detail": str(found)} if found != "" else {}
    return {str(name): str(value) for name, value in found.items() if value is not None}
