"""What a rule is given: one order, who asks for it, what the policy says of both, and the book."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from exit_shim.domain.attributions import Attribution
from exit_shim.domain.events import Target
from exit_shim.domain.orders import ExitOrder, Operation, Store
from exit_shim.guard.book import NOTHING_NEAR, BookContext, PositionKey
from exit_shim.guard.policy import CompiledPolicy, Grant, Rule

NANOSECONDS: Final = 1_000_000_000

NOWHERE: Final = PositionKey(None, None, "BOTH", None)


class RuleContext(NamedTuple):
    """One order to judge.

    `params` are its own fields in the call, `spot` is what it guards, `near` what the book had around it,
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
    spot: PositionKey = NOWHERE
    near: BookContext = NOTHING_NEAR
    store: Store | None = None

    def rule(self, code: str) -> Rule:
        """The settings of a rule."""
        return self.compiled_policy.rule(code)


RuleFunction = Callable[[RuleContext], str | None]
"""Returns the `key=value` facts of what it found, "" for none besides the code; None: nothing to say."""
