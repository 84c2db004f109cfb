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
