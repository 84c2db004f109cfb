"""The legs of an exit plan: one way each in which a position is left, in exact numbers. Pure."""

from decimal import Decimal
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias, get_args

import msgspec

from exit_shim.executor.exact import NONE, Number, make_exact, refuse, wrong_types, wrong_words
from exit_shim.executor.offset import BREAK_EVEN, Offset

WorkingType = Literal["MARK_PRICE", "CONTRACT_PRICE"]


class HardStop(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="HARD_SL"):
    """Close the whole position at a level: a STOP_MARKET that always rests at the exchange.

    Attributes:
        at: The level; a distance counts against the position.
        working_type: The price that triggers it.
        price_protect: Whether it waits where mark price and last price are far apart, which may delay it.
    """

    kind: ClassVar[str] = "HARD_SL"

    at: Offset
    working_type: WorkingType = "MARK_PRICE"
    price_protect: bool = False

    def __post_init__(self) -> None:
        """Refuse values of the wrong type."""
        refuse(
            wrong_types(self, {"at": Offset, "price_protect": bool})
            + wrong_words(self, {"working_type": get_args(WorkingType)})
        )


class PartialTake(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="PARTIAL_TP"):
    """Close a share of the position at a profit: a LIMIT order, which can be moved in place.

    Attributes:
        share: How much of the position: 0.5 is half. Of what, the plan's `basis` says.
        at: The level; a distance counts in favour of the position.
        post_only: Whether it may only add to the order book (GTX), never trade at once.
    """

    kind: ClassVar[str] = "PARTIAL_TP"

    share: Decimal
    at: Offset
    post_only: bool = False

    if TYPE_CHECKING:

        def __init__(self, share: Number, at: Offset, post_only: bool = False) -> None: ...

    def __post_init__(self) -> None:
        """Make the share exact, and refuse values of the wrong type."""
        refuse(make_exact(self, ("share",)) + wrong_types(self, {"at": Offset, "post_only": bool}))


class Breakeven(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="BREAKEVEN"):
    """Move the stop of all that is left once the position has earned enough.

    Attributes:
        after: The level of the mark price that moves it, or "first_take": once a take was filled.
        lock: The level that it moves to; the default is the entry price, a distance locks in a profit.
        include_costs: Whether the fees of entry and exit, and the funding paid, are added to `lock`.
    """

    kind: ClassVar[str] = "BREAKEVEN"

    after: Offset | Literal["first_take"]
    lock: Offset = BREAK_EVEN
    include_costs: bool = False

    def __post_init__(self) -> None:
        """Refuse values of the wrong type."""
        problems = wrong_types(self, {"lock": Offset, "include_costs": bool})
        after: object = self.after
        if not isinstance(after, Offset) and after != "first_take":
            problems.append(f"Breakeven.after is {after!r}; expected Offset or 'first_take'")
        refuse(problems)


class Trail(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="TRAIL"):
    """Follow the best price at a distance, and close when the price comes back by that much.

    Attributes:
        callback: The distance as a fraction of the best price: 0.008 is 0.8 %.
        share: How much of the position it closes; None: all that the takes leave.
        activation: The level from which it follows; None: from the start.
        native: Whether it is the exchange's TRAILING_STOP_MARKET, which goes on without us, or a STOP_MARKET
            that the executor moves. A native one is never replaced, since its best price would be lost.
        min_step: By which fraction of its price a managed stop moves at least; fewer requests, later stop.
    """

    kind: ClassVar[str] = "TRAIL"

    callback: Decimal
    share: Decimal | None = None
    activation: Offset | None = None
    native: bool = False
    min_step: Decimal = Decimal("0.0005")

    if TYPE_CHECKING:

        def __init__(
            self,
            callback: Number,
            share: Number | None = None,
            activation: Offset | None = None,
            native: bool = False,
            min_step: Number = Decimal("0.0005"),
        ) -> None: ...

    def __post_init__(self) -> None:
        """Make the numbers exact, and refuse values of the wrong type."""
        refuse(
            make_exact(self, ("callback", "min_step"), optional=("share",))
            + wrong_types(self, {"activation": (Offset, NONE), "native": bool})
        )


Leg: TypeAlias = HardStop | PartialTake | Breakeven | Trail
