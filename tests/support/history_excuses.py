"""The stated exceptions to "as protected as without the guard", each as a predicate on what went before."""

import collections
from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import Any, NamedTuple

WHOLE = Decimal("Infinity")
DUPLICATE = -4116
DENIED = -2010
ONE_CLOSES_ALREADY = -4130


class Loss(NamedTuple):
    """When cover went, by what, and by whom."""

    moment: int
    cause: str
    by: str


class Denial(NamedTuple):
    """When a call was held back, and whose stops covered then: "owners", or "anybody"."""

    moment: int
    under: str


class Last(NamedTuple):
    """A module's last call on a position: when, and whose order has its name, where that was refused."""

    moment: int
    name_is_of: str | None


class Asked(NamedTuple):
    """A stop that a module asked for: when, on how much, and its id where it was accepted."""

    moment: int
    size: Decimal
    number: int | None


class Excuses:
    """What was held back of each module on one symbol, what it asked for since, and when cover went.

    Args:
        denied: The modules whose cancels of an owner's stop explain nothing: the guard is there to stop them.
    """

    def __init__(self, denied: Iterable[str]) -> None:
        self._denied = frozenset(denied)
        self._held: dict[str, Denial] = {}
        self._losses: dict[str, list[Loss]] = collections.defaultdict(list)
        self._asked: dict[tuple[str, str, str], list[Asked]] = collections.defaultdict(list)
        self._last: dict[tuple[str, str], Last] = {}
        self._timed_out: dict[tuple[str, str], int] = {}

    def note_held(self, module: str, moment: int, under: str) -> None:
        """A call was held back while stops of `under` covered everything."""
        self._held[module] = Denial(moment, under)

    def note_loss(self, under: str, loss: Loss) -> None:
        """Cover by `under` went."""
        self._losses[under].append(loss)

    def note_timed_out(self, module: str, side: str, moment: int) -> None:
        """A call was ended by a time limit shorter than a look."""
        self._timed_out[module, side] = moment

    def note_call(self, call: Any, moment: int, number: int | None, refused: str | None) -> None:
        """A call was made, held back or not.

        Args:
            call: The call.
            moment: When.
            number: The id of the stop that it placed.
            refused: Whose order has its name, where the exchange refused it for that.
        """
        module, side, params = call.bot.module, call.bot.side, call.params
        self._last[module, side] = Last(moment, refused)
        if params.get("type") in {"STOP_MARKET", "TRAILING_STOP_MARKET"}:
            size = WHOLE if params.get("closePosition") else Decimal(params["quantity"])
            self._asked[module, side, params["side"]].append(Asked(moment, size, number))

    def find(self, module: str, sides: tuple[str, str], size: Decimal, there: Collection[int]) -> str | None:
        """Return why a stop of a module may be there without the guard and not with it; None: no reason.

        Args:
            module: Whose stop is missing.
            sides: Of the position, and of its exits.
            size: The largest stop that is missing.
            there: The ids of its stops that are in both worlds.
        """
        since = self._timed_out.get((module, sides[0]))
        if since is not None and not self._has_asked(module, sides, size, there, since):
            return "a time limit shorter than a look ended its call, and it did not ask again"
        last = self._last.get((module, sides[0]))
        if last is not None and last.name_is_of is not None:
            return "the exchange refused its name, which an order has that would not be there"
        held = self._held.get(module)
        if held is None:
            return None
        loss = next((one for one in self._losses[held.under] if one.moment >= held.moment), None)
        if loss is None or (loss.by in self._denied and loss.cause.startswith("futures_cancel")):
            return None
        if self._has_asked(module, sides, size, there, loss.moment):
            return None
        whose = "" if held.under == "owners" else " by stops of anybody"
        return f"cover{whose} went by {loss.cause}, and it did not ask again"

    def _has_asked(
        self, module: str, sides: tuple[str, str], size: Decimal, there: Collection[int], since: int
    ) -> bool:
        """Return whether a module has asked for such a stop since, besides those that are in both worlds."""
        return any(
            asked.moment > since and asked.size >= size and asked.number not in there
            for asked in self._asked[(module, *sides)]
        )

    def __str__(self) -> str:
        return f"held={self._held} losses={dict(self._losses)} asked={dict(self._asked)} last={self._last}"
