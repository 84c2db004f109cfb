"""Client order ids of the executor: which episode, leg and try an order belongs to. Pure."""

import base64
import functools
import hashlib
import re
from typing import Final, NamedTuple

HARD: Final = "hs"
"""The hard stop, which closes the whole position."""

HARD_QUANTITY: Final = "qs"
"""A hard stop on a quantity: while it moves, or where somebody else's closePosition stop has its place."""

BREAKEVEN: Final = "be"
TRAIL: Final = "tr"
NATIVE_TRAIL: Final = "nt"
CLOSE: Final = "cl"

MOVABLE: Final = (HARD_QUANTITY, BREAKEVEN, TRAIL)
"""The legs of stops on a quantity, which are moved by placing the new one first."""

ONCE_ONLY: Final = frozenset({HARD, TRAIL, NATIVE_TRAIL})
"""The stops whose end is looked up, besides the takes: a trail that fired is done, and a hard stop expires
with its position."""

_ID: Final = re.compile(r"xs-([a-z2-7]{8})-(hs|qs|be|tr|nt|cl|t[1-9][0-9]?)-([0-9a-z]{1,9})", re.ASCII)
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


class OwnId(NamedTuple):
    """Hold what a client order id of the executor says.

    Attributes:
        episode: The key of the position's episode, from flat to flat.
        leg: The leg: "hs", "qs", "be", "tr", "nt", "cl" or "t1", "t2" and so on for the takes.
        number: Counts the orders of the leg in the episode, from 1.
    """

    episode: str
    leg: str
    number: int

    def __str__(self) -> str:
        return f"xs-{self.episode}-{self.leg}-{to_base36(self.number)}"


def take_leg(index: int) -> str:
    """Return the leg of the take at an index, from 0."""
    return f"t{index + 1}"


def is_take(leg: str) -> bool:
    """Return whether a leg is a take."""
    return leg[0] == "t" and leg != TRAIL


def is_looked_up(leg: str) -> bool:
    """Return whether it matters how an order of a leg has ended."""
    return is_take(leg) or leg in ONCE_ONLY


# A pass reads the ids of the orders that rest, which are those of the pass before.
@functools.lru_cache(maxsize=4_096)
def read_id(client_order_id: str | None) -> OwnId | None:
    """Return what an id of the executor says; None for any other id."""
    match = None if client_order_id is None else _ID.fullmatch(client_order_id)
    return None if match is None else OwnId(match[1], match[2], int(match[3], 36))


def to_base36(number: int) -> str:
    """Return a number from 0 in base 36."""
    digits = ""
    while True:
        number, rest = divmod(number, 36)
        digits = _DIGITS[rest] + digits
        if not number:
            return digits


def episode_key(account: str | None, symbol: str, position_side: str, side: str, began: int) -> str:
    """Return the key of an episode, the same in every process that sees the position alike."""
    text = "|".join((account or "", symbol, position_side, side, str(began)))
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()[:8].lower()
