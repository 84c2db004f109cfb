"""Verdicts: what happens with an order, and the reasons. Pure."""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import msgspec

Action: TypeAlias = Literal["allow", "warn", "deny", "simulate"]

Facts: TypeAlias = Mapping[str, str]

DENIED_CODE: Final = -2010
"""NEW_ORDER_REJECTED: a code that every bot on Binance already handles."""

DUPLICATED_CODE: Final = -4116
"""ClientOrderId is duplicated: of an order whose client order id a simulated order has."""


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that the guard found about an order.

    `str(reason)` is how people read it: "OVERSIZED total=3 position=2".

    Attributes:
        code: One of `exit_shim.domain.reason_codes`, or the code of a custom rule.
        facts: Short names and their values; None for a code that says it all.
        is_observed: Whether the policy has it only recorded, and not warned of.
        is_unsure: Whether the rule is enforced, and only warned since the book may be wrong.
    """

    code: str
    facts: Facts | None = None
    is_observed: bool = False
    is_unsure: bool = False

    def fact(self, name: str) -> str | None:
        """Return the value of a fact; None where the reason has no such fact."""
        return None if self.facts is None else self.facts.get(name)

    def __str__(self) -> str:
        words = [self.code, *(f"{name}={value}" for name, value in (self.facts or {}).items())]
        words += ["sure=no"] * self.is_unsure + ["level=observe"] * self.is_observed
        return " ".join(words)


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """The decision about one order, and the reasons for it.

    Attributes:
        action: What happens with it.
        reasons: What the guard found, the one that decided first.
        policy: The line of the policy that decided.
        on_deny: What the caller of an order that is held back gets.
        book: The live exits that it was held against, in words.
        error_code: The exchange's code that a denial is answered with.
        is_about_simulated: Whether it is a cancel or change of a simulated order, which the guard answers.
        is_undecided: Whether only a look at the exchange can tell; such a verdict is never recorded.
    """

    action: Action = "allow"
    reasons: tuple[Reason, ...] = ()
    policy: str | None = None
    on_deny: Literal["raise", "return_none", "simulate"] | None = None
    book: tuple[str, ...] = ()
    error_code: int = DENIED_CODE
    is_about_simulated: bool = False
    is_undecided: bool = False

    @property
    def is_held(self) -> bool:
        """Whether the order does not go out as things stand."""
        return self.action in {"deny", "simulate"}

    @property
    def why(self) -> str:
        """All reasons in one line."""
        return "; ".join(map(str, self.reasons))

    def has(self, code: str) -> bool:
        """Return whether one of the reasons has a code."""
        return any(reason.code == code for reason in self.reasons)


ALLOWED: Final = Verdict()

UNDECIDED: Final = Verdict("deny", is_undecided=True)
"""Nobody denies the order yet: only a look at the exchange can tell whether it may leave."""
