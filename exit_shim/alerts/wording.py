"""The words of alerts. What comes from the journal is cut short, and holds nothing that acts. Pure."""

import re
from decimal import Decimal
from typing import Final

SECOND_NS: Final = 1_000_000_000

LONGEST: Final = 120
"""Characters kept of a text from the journal."""

MENTION: Final = re.compile(r"(<[@!#])|(@)(?=everyone\b|here\b|channel\b|all\b)")
"""What chat services turn into a call to everybody, or to somebody."""

MINUTE_S: Final = 60

UNITS: Final = ((86_400, "d"), (3_600, "h"), (MINUTE_S, "min"), (1, "s"))


def plain(text: object) -> str:
    """Return a text from the journal without controls, line breaks and mentions, cut short."""
    line = "".join(char if char.isprintable() else " " for char in str(text))
    line = MENTION.sub(r"\g<0> ", line)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def duration(ns: int) -> str:
    """Return how long, for people: "42 s", "5 min 10 s", "1 h 5 min"."""
    seconds = max(0, round(ns / SECOND_NS))
    if seconds < 2 * MINUTE_S:
        return f"{seconds} s"
    words = []
    for size, unit in UNITS:
        number, seconds = divmod(seconds, size)
        if number:
            words.append(f"{number} {unit}")
    return " ".join(words[:2])


def amount_text(amount: Decimal) -> str:
    """Return an amount without an exponent or a sign."""
    return f"{abs(amount):f}"


def lines(*pairs: tuple[str, str]) -> str:
    """Return names and values, a line each; those without a value are left out."""
    return "\n".join(f"{name}: {value}" for name, value in pairs if value)
