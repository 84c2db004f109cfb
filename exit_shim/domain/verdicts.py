"""What is to happen with an order, and why. Pure."""

from typing import Final, Literal

import msgspec

Action = Literal["allow", "warn", "deny", "simulate"]

OBSERVED: Final = " level=observe"
"""What a reason ends with that is recorded and not warned of."""


DENIED_CODE: Final = -2010
"""NEW_ORDER_REJECTED: a code that every bot on Binance already handles."""

DUPLICATED_CODE: Final = -4116
"""ClientOrderId is duplicated: of an order whose client order id a simulated order has."""


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is to happen with an order, and why.

    `reasons` are stable codes, each with its `key=value` facts. `policy` names the line of the policy that
    decided, `answer` what a caller gets whose order is held back, and `book` the live exits that it was held
    against, where it was. `error_code` is what a denial is answered with.
    """

    action: Action = "allow"
    reasons: tuple[str, ...] = ()
    policy: str | None = None
    on_deny: Literal["raise", "return_none", "simulate"] | None = None
    book: tuple[str, ...] = ()
    error_code: int = DENIED_CODE

    @property
    def is_held(self) -> bool:
        """Whether the order does not go out."""
        return self.action in {"deny", "simulate"}


ALLOWED: Final = Verdict()


def code_of(reason: str) -> str:
    """The stable code that a reason begins with."""
    return reason.partition(" ")[0]


def is_loud(reason: str) -> bool:
    """Whether a reason is to be warned of, not only recorded."""
    return not reason.endswith(OBSERVED)
