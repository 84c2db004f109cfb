"""Every code that the guard can give as its reason, and what it means."""

from collections.abc import Mapping
from typing import Final

OWNERSHIP_CONFLICT: Final = "OWNERSHIP_CONFLICT"
UNKNOWN_MODULE: Final = "UNKNOWN_MODULE"
DELEGATION_GAP: Final = "DELEGATION_GAP"
LEGACY_FALLBACK: Final = "LEGACY_FALLBACK"
DUPLICATE_EXIT: Final = "DUPLICATE_EXIT"
OVERSIZED: Final = "OVERSIZED"
FOREIGN_CANCEL: Final = "FOREIGN_CANCEL"
STRIPPED: Final = "STRIPPED"
FUTILE_CANCEL: Final = "FUTILE_CANCEL"
CHURN: Final = "CHURN"
STOP_WIDENED: Final = "STOP_WIDENED"
ORPHAN: Final = "ORPHAN"
NAKED_EXIT: Final = "NAKED_EXIT"
REFUSED_PARAMS: Final = "REFUSED_PARAMS"
IGNORED_PARAM: Final = "IGNORED_PARAM"
PROTECTIVE_OVERRIDE: Final = "PROTECTIVE_OVERRIDE"
SIMULATED_ORDER: Final = "SIMULATED_ORDER"
UNKNOWN_MODE: Final = "UNKNOWN_MODE"

REASONS: Final[Mapping[str, str]] = {
    OWNERSHIP_CONFLICT: "a module declared legacy or monitor acts on exits that an owner should hold",
    UNKNOWN_MODULE: "a module that the policy does not name acts on exits",
    DELEGATION_GAP: "a symbol was delegated to an owner, and no protective order of that owner came in time",
    LEGACY_FALLBACK: "a legacy module acts on a delegated symbol on which the owner has no exit",
    DUPLICATE_EXIT: "another module's live exit of the same kind guards the same position",
    OVERSIZED: "the live exits of one kind add up to more than the position",
    FOREIGN_CANCEL: "a cancel of what another module placed",
    STRIPPED: "a cancel of the last stop that covers the position",
    FUTILE_CANCEL: "a cancel-all that reaches no exit, while exits of the symbol rest in the store that it "
    "leaves alone",
    CHURN: "the same exit is replaced again and again",
    STOP_WIDENED: "a stop that is farther from the price than the one before it",
    ORPHAN: "an exit outlives its position",
    NAKED_EXIT: "meant to close, but nothing stops it from opening the other side",
    REFUSED_PARAMS: "a combination of fields that the exchange refuses",
    IGNORED_PARAM: "a field that the exchange or the client ignores without a word",
    PROTECTIVE_OVERRIDE: "a denied order was let through, since owners' stops do not surely cover "
    "the position",
    SIMULATED_ORDER: "a cancel or change of an order that was never sent, which the guard answered",
    UNKNOWN_MODE: "a switch to a mode that this process's policy does not have; it is ignored",
}
"""Each in the words that a log line says it with."""

ADVICE: Final[Mapping[str, str]] = {
    OWNERSHIP_CONFLICT: "Move this module's exits to the owner. If it is meant to act, take it off the list.",
    UNKNOWN_MODULE: "Put the module on a list, or set the mode's `unknown` to `allow`.",
    DELEGATION_GAP: "The owner cannot place or does not run: make it place, or take the symbol back.",
    LEGACY_FALLBACK: "Find out why the owner has no plan there.",
    DUPLICATE_EXIT: "Leave it to one of the modules.",
    OVERSIZED: "Cancel what is too much. In one-way mode reduceOnly caps it, in hedge mode the position side "
    "does.",
    CHURN: "Move it less often; the exchange limits orders.",
    STOP_WIDENED: "A trailing stop should only tighten.",
    FOREIGN_CANCEL: "Cancel by the ids of the module's own orders.",
    STRIPPED: "Place first, then cancel; with closePosition, place at once.",
    FUTILE_CANCEL: "Call what `instead` names, or pass `conditional=True`; nothing, if only entries were "
    "meant.",
    ORPHAN: "Cancel it; `exit-shim audit` lists them.",
    NAKED_EXIT: "Send reduceOnly in one-way mode, the right positionSide in hedge mode.",
    REFUSED_PARAMS: "See `fields`, `missing` and `error`.",
    IGNORED_PARAM: "See `field` and `meant`.",
    PROTECTIVE_OVERRIDE: "The owner must place its stop; `because` says what is missing.",
    SIMULATED_ORDER: "Nothing: the guard answered it.",
    UNKNOWN_MODE: "Name the mode in the policy of this process, or switch again.",
}
"""The advice for each code, in Markdown; the docs are made of it."""

OWNERSHIP: Final = frozenset({OWNERSHIP_CONFLICT, UNKNOWN_MODULE, FOREIGN_CANCEL})
"""The rules whose level is that of the mode; all others warn at most until they are given a level."""

NEVER_DENY: Final = frozenset(
    {
        DELEGATION_GAP,
        LEGACY_FALLBACK,
        FUTILE_CANCEL,
        ORPHAN,
        PROTECTIVE_OVERRIDE,
        SIMULATED_ORDER,
        UNKNOWN_MODE,
    }
)
"""Rules that find what no denial could mend."""

GAPS: Final[Mapping[str, str]] = {
    "no_position": "the symbol is flat",
    "no_owners_stop": "no stop of an owner rests that can only reduce the position",
    "stop_limit": "the owner's stop is a stop-limit, which can rest unfilled in a gap",
    "not_active": "the owner's stop has fired, or trails and is not activated",
    "already_crossed": "the price is beyond the trigger of the owner's stop",
    "too_far": "the owner's stop triggers farther from the price than cover_within",
    "beyond_liquidation": "the position would be liquidated before the owner's stop fires",
    "no_liquidation": "the exchange shows no liquidation price of the position, not even that it has none",
    "price_protected": "the owner's stop has priceProtect, which can keep it from firing",
    "no_trigger": "the exchange shows no trigger of the owner's stop",
    "no_price": "the exchange shows no price to measure the owner's stop by",
    "quantity_short": "the owners' stops add up to less than the position",
    "no_close_position": "in hedge mode only a stop with closePosition covers: the exchange refuses one "
    "on more than is left when it fires",
    "opens_beside": "the same call opens or grows the position",
    "closes_at_once": "the order is priced through the market, so it closes now",
    "name_is_taken": "a live order has its client order id, which the exchange itself refuses (-4116)",
    "over_budget": "looking at the exchange would have taken too much of the account's request weight",
    "timed_out": "the exchange did not answer in time",
    "could_not_be_asked": "the exchange could not be asked",
    "the_call_cannot_be_parted": "it is part of a call of which the rest had to go out",
    "the_guard_failed": "the guard itself failed, which is logged",
}
"""The gaps in cover: each word of `because` in PROTECTIVE_OVERRIDE, in a sentence."""
