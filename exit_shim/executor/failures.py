"""The ladder: what the executor does when the exchange does not take an order. Pure.

Facts: Binance's error codes of USDⓈ-M futures; `docs/reference/executor.md` is made from this table.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from exit_shim.domain.answers import Answer

Reaction = Literal["retry", "slot", "crossed", "flat", "room", "rules", "duplicate", "gone", "back_off"]
"""How the executor reacts.

retry: again soon. slot: another closePosition stop has the place; a stop on a quantity goes beside it.
crossed: look at a fresh price; beyond the hard stop the position is closed. flat: read the position again.
room: resting reduce-only orders are in the way; the executor's own takes give way to an emergency. rules:
read the contract's rules again. duplicate: the order is there already; it will be listed. gone: nothing is
left to do. back_off: later, with growing pauses.
"""


class Rung(NamedTuple):
    """One row of the ladder.

    Attributes:
        reaction: What happens.
        pause_ms: How long the leg waits before it is tried again; it doubles up to `LONGEST_MS`.
        meaning: What the code means, for people.
        action: What the executor does, for people.
    """

    reaction: Reaction
    pause_ms: int
    meaning: str
    action: str


LONGEST_MS: Final = 60_000

TOO_MANY_ALGOS: Final = -4045

ROOM_TAKEN: Final = frozenset({-4118, -2022})
"""Resting orders that close leave no room for another."""

LADDER: Final[Mapping[int, Rung]] = {
    -2021: Rung(
        "crossed",
        500,
        "the price is at the trigger price or beyond it",
        "a fresh price is read; beyond the hard stop the position is closed, else the stop is tried again",
    ),
    -4130: Rung(
        "slot",
        1_000,
        "a closePosition stop of this direction rests already",
        "if it is as tight it counts as the hard stop, else a stop on the quantity goes beside it",
    ),
    -4116: Rung("duplicate", 500, "the client order id is in use", "the order is there; the lists show it"),
    -4509: Rung(
        "flat",
        500,
        "the exchange sees no position for a closePosition order",
        "the position is read again; if it is open, a stop on the quantity goes first",
    ),
    -4045: Rung(
        "back_off",
        2_000,
        "the account has 200 conditional orders",
        "native trails that are not active yet give way to the hard stop, and it is tried again",
    ),
    -4118: Rung(
        "room",
        1_000,
        "resting reduce-only orders leave no room",
        "takes wait; for an emergency the executor cancels its own takes first",
    ),
    -2022: Rung(
        "flat", 1_000, "a reduce-only order would not reduce", "the position is read again before another try"
    ),
    -1106: Rung("retry", 500, "reduceOnly in hedge mode", "the position mode is read again"),
    -4061: Rung("retry", 500, "the position side does not fit the mode", "the position mode is read again"),
    -1111: Rung("rules", 500, "too many decimals", "the contract's rules are read again"),
    -4003: Rung("rules", 5_000, "the quantity is under the minimum", "the contract's rules are read again"),
    -4014: Rung("rules", 500, "the price is not on the tick", "the contract's rules are read again"),
    -4023: Rung("rules", 500, "the quantity is not on the step", "the contract's rules are read again"),
    -4016: Rung("back_off", 5_000, "the price is above the exchange's band", "the take waits for the price"),
    -4024: Rung("back_off", 5_000, "the price is below the exchange's band", "the take waits for the price"),
    -4164: Rung("back_off", 30_000, "the order is under the minimum notional", "the take waits"),
    -5022: Rung("back_off", 1_000, "a post-only order would have traded", "the take waits for the price"),
    -5027: Rung("gone", 0, "the amendment changes nothing", "nothing: the order is as it should be"),
    -2011: Rung("gone", 0, "the order is not open any more", "the lists are read again"),
    -2013: Rung("gone", 0, "there is no such order", "the lists are read again"),
    -2019: Rung("back_off", 2_000, "the margin is insufficient", "it is tried again, and said"),
    -4131: Rung(
        "retry",
        500,
        "the order book is too thin for a market order",
        "an IOC limit order follows, each a step deeper; the position is read again before each",
    ),
    -1001: Rung("back_off", 500, "the exchange had an internal error; nothing was done", "it is tried again"),
    -1008: Rung(
        "back_off", 500, "the exchange is overloaded; nothing was done", "it is tried again: stops first"
    ),
    -1015: Rung("back_off", 2_000, "too many orders", "takes and trails wait longer than the hard stop"),
    -1003: Rung(
        "back_off", 5_000, "too many requests", "it waits, and then goes on with the hard stop first"
    ),
    -1021: Rung("retry", 1_000, "the clock of this machine is off", "it is said; set the clock"),
    -2014: Rung("back_off", 30_000, "the API key is malformed", "it is said at start"),
    -2015: Rung("back_off", 30_000, "the key, address or permission is refused", "it is said at start"),
    -2010: Rung("retry", 1_000, "the order was refused", "it is tried again, and said"),
}
"""The codes with a reaction of their own."""

OTHER: Final = Rung("back_off", 1_000, "another refusal", "it is tried again with growing pauses, and said")

NOT_SENT: Final = Rung("retry", 500, "the request did not leave", "it is tried again")

IN_DOUBT: Final = Rung(
    "retry",
    0,
    "no answer: a timeout, -1006, -1007, or HTTP 503",
    "the order is looked up under its id before anything else of the leg; a second guard may go out",
)


def rung_of(answer: Answer) -> Rung:
    """Return what to do about an order that was not taken."""
    if answer.result == "not_sent":
        return NOT_SENT
    return OTHER if answer.error_code is None else LADDER.get(answer.error_code, OTHER)


def pause_ms(rung: Rung, tries: int) -> int:
    """Return how long a leg waits after so many refusals in a row."""
    return int(min(rung.pause_ms * 2 ** min(tries - 1, 16), LONGEST_MS))
