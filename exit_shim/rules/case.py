"""What a rule is given: one order, who asks for it, what the policy says of both, and the book."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from exit_shim.attribution import Attribution
from exit_shim.book import NOTHING_NEAR, Near, Spot
from exit_shim.doors import Intent, Store
from exit_shim.orders import ExitOrder
from exit_shim.policy import Rule, Standing, Standings
from exit_shim.records import Target

NANOSECONDS: Final = 1_000_000_000

NOWHERE: Final = Spot(None, None, "BOTH", None)


class Case(NamedTuple):
    """One order to judge.

    `params` are its own fields in the call, `spot` is what it guards, `near` what the book had around it,
    `store` which orders a cancel-all reaches.
    """

    intent: Intent
    order: ExitOrder
    who: Attribution
    mode: str
    standing: Standing
    standings: Standings
    account: str | None = None
    targets: tuple[Target, ...] = ()
    params: Mapping[str, Any] | None = None
    now: int = 0
    door: str = ""
    delegated_to: str | None = None
    spot: Spot = NOWHERE
    near: Near = NOTHING_NEAR
    store: Store | None = None

    def rule(self, code: str) -> Rule:
        """The settings of a rule."""
        return self.standings.rule(code)


RuleFunction = Callable[[Case], str | None]
"""Returns the `key=value` facts of what it found, "" for none besides the code; None: nothing to say."""
