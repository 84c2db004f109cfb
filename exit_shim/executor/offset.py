"""Where a leg of an exit plan acts: a price, or a distance from the entry price. Pure."""

from decimal import Decimal
from typing import TYPE_CHECKING, Final

import msgspec

from exit_shim.executor.exact import Number, PlanError, exact, make_exact, refuse

COSTLY_FRACTION: Final = Decimal(1)
"""A fraction of this or more is taken for a per cent by mistake: 2 instead of 0.02."""


class Offset(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Name a price level: by itself, or by its distance from the entry price. Exactly one is given.

    A distance counts against the position for a hard stop, and in its favour everywhere else.

    Attributes:
        price: The level itself, in the quote asset.
        fraction: The distance as a fraction of the entry price: 0.02 is 2 %.
        r: The distance as a multiple of the initial risk, which is from the entry to the first hard stop.
    """

    price: Decimal | None = None
    fraction: Decimal | None = None
    r: Decimal | None = None

    if TYPE_CHECKING:

        def __init__(
            self, *, price: Number | None = None, fraction: Number | None = None, r: Number | None = None
        ) -> None: ...

    def __post_init__(self) -> None:
        """Refuse none or two of the three, and a fraction that is a per cent by mistake."""
        refuse(make_exact(self, optional=("price", "fraction", "r")))
        amounts = {name: getattr(self, name) for name in ("price", "fraction", "r")}
        chosen = {name: amount for name, amount in amounts.items() if amount is not None}
        if len(chosen) != 1:
            raise PlanError(f"expected one of price, fraction and r, got {', '.join(chosen) or 'none'}")
        if self.price is not None and self.price <= 0:
            raise PlanError(f"the price {self.price} is not above zero")
        if self.fraction is not None and abs(self.fraction) >= COSTLY_FRACTION:
            raise PlanError(f"the fraction {self.fraction} is 100 % or more; 0.02 is 2 %")

    def level(self, entry: Decimal, direction: int, risk: Decimal | None) -> Decimal:
        """Return the price at this distance.

        Args:
            entry: The entry price.
            direction: 1 where the level is above the entry for a positive distance, -1 where below.
            risk: The initial risk in the quote asset; None where there is none yet.

        Raises:
            PlanError: The distance is in R, and there is no risk yet.
        """
        if self.price is not None:
            return self.price
        if self.fraction is not None:
            return entry * (1 + direction * self.fraction)
        if risk is None or self.r is None:
            raise PlanError("a hard stop cannot be given in R: R is the distance to the hard stop")
        return entry + direction * self.r * risk

    def __str__(self) -> str:
        if self.price is not None:
            return f"{self.price:f}"
        return f"{self.fraction:%}" if self.fraction is not None else f"{self.r:f} R"


def at_price(price: Number) -> Offset:
    """Return the level at a price in the quote asset."""
    return Offset(price=exact(price))


def at_fraction(fraction: Number) -> Offset:
    """Return the level at a fraction of the entry price from it; "0.02" is 2 %."""
    return Offset(fraction=exact(fraction))


def at_r(multiple: Number) -> Offset:
    """Return the level at a multiple of the initial risk from the entry price."""
    return Offset(r=exact(multiple))


BREAK_EVEN: Final = Offset(fraction=Decimal(0))
"""The entry price."""
