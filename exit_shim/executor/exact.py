"""Exact numbers and right types for exit plans: a struct built in code takes any value unchecked. Pure."""

from decimal import Decimal, InvalidOperation
from typing import Final, TypeAlias

import msgspec

Number: TypeAlias = Decimal | int | str
"""An exact number; a float is refused, since 0.1 is not exact in it."""

MOST_DIGITS: Final = 20
"""How far from the decimal point a number may begin: no price, share or distance is larger or smaller."""

NONE: Final = type(None)


class PlanError(ValueError):
    """Raised for a plan that cannot be meant; `problems` has one sentence for each thing wrong."""

    def __init__(self, problems: tuple[str, ...] | str) -> None:
        self.problems = (problems,) if isinstance(problems, str) else problems
        super().__init__("the exit plan cannot be used: " + "; ".join(self.problems))

    def __reduce__(self) -> tuple[type["PlanError"], tuple[tuple[str, ...]]]:
        return type(self), (self.problems,)


def exact(value: Number) -> Decimal:
    """Return a finite exact number.

    Raises:
        PlanError: The value is a float, or no number.
    """
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str):
        raise PlanError(f"{value!r} is a {type(value).__name__}; expected Decimal, int or str")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise PlanError(f"{value!r} is not a number") from None
    if not number.is_finite():
        raise PlanError(f"{value!r} is not a finite number")
    if number and abs(number.adjusted()) > MOST_DIGITS:
        raise PlanError(f"{value!r} is out of range; expected 1E-{MOST_DIGITS} to 1E+{MOST_DIGITS}")
    return number


def make_exact(
    struct: msgspec.Struct, required: tuple[str, ...] = (), optional: tuple[str, ...] = ()
) -> list[str]:
    """Turn the numbers in some fields of a struct into `Decimal`; return what is wrong with them.

    Args:
        struct: The struct, which may be frozen.
        required: Fields with a number.
        optional: Fields with a number or None.
    """
    names = required + tuple(name for name in optional if getattr(struct, name) is not None)
    return [problem for name in names for problem in _convert(struct, name)]


def _convert(struct: msgspec.Struct, name: str) -> list[str]:
    try:
        msgspec.structs.force_setattr(struct, name, exact(getattr(struct, name)))
    except PlanError as error:
        return [f"{type(struct).__name__}.{name}: {problem}" for problem in error.problems]
    return []


def wrong_types(struct: msgspec.Struct, kinds: dict[str, type | tuple[type, ...]]) -> list[str]:
    """Return which fields of a struct have a value of another type than they must, a sentence each."""
    problems = []
    for name, kind in kinds.items():
        value = getattr(struct, name)
        options = kind if isinstance(kind, tuple) else (kind,)
        # True is an int to Python, and a mistake where a number belongs.
        if not isinstance(value, options) or (isinstance(value, bool) and bool not in options):
            expected = " or ".join("None" if option is NONE else option.__name__ for option in options)
            problems.append(f"{type(struct).__name__}.{name} is {value!r}; expected {expected}")
    return problems


def wrong_words(struct: msgspec.Struct, words: dict[str, tuple[str, ...]]) -> list[str]:
    """Return which fields of a struct have none of the words that they can have, a sentence each."""
    return [
        f"{type(struct).__name__}.{name} is {getattr(struct, name)!r}; "
        f"expected {' or '.join(map(repr, options))}"
        for name, options in words.items()
        if getattr(struct, name) not in options
    ]


def refuse(problems: list[str]) -> None:
    """Refuse a plan with a problem.

    Raises:
        PlanError: There is one.
    """
    if problems:
        raise PlanError(tuple(problems))
