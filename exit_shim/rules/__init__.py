"""The guard's rules: each a pure function of one order and what is known beside it."""

from collections.abc import Mapping
from typing import Final

from exit_shim.policy import codes
from exit_shim.rules.books import churn, duplicate_exit, oversized, stop_widened
from exit_shim.rules.cancels import foreign_cancel, futile_cancel, stripped
from exit_shim.rules.case import Case, RuleFunction
from exit_shim.rules.fields import ignored_param, naked_exit, refused_params
from exit_shim.rules.own import OwnRule, own_codes, own_rules, rule
from exit_shim.rules.owners import is_guarded_by, is_own, is_owners, legacy_fallback

FIELD_RULES: Final[Mapping[str, RuleFunction]] = {
    codes.NAKED_EXIT: naked_exit,
    codes.REFUSED_PARAMS: refused_params,
    codes.IGNORED_PARAM: ignored_param,
}
"""Rules on the order alone."""

BOOK_RULES: Final[Mapping[str, RuleFunction]] = {
    codes.LEGACY_FALLBACK: legacy_fallback,
    codes.DUPLICATE_EXIT: duplicate_exit,
    codes.OVERSIZED: oversized,
    codes.CHURN: churn,
    codes.STOP_WIDENED: stop_widened,
    codes.FOREIGN_CANCEL: foreign_cancel,
    codes.STRIPPED: stripped,
    codes.FUTILE_CANCEL: futile_cancel,
}
"""Rules that look at the live exits too; on an unsure book they only warn."""

RULES: Final[Mapping[str, RuleFunction]] = {**FIELD_RULES, **BOOK_RULES}

__all__ = [
    "BOOK_RULES",
    "FIELD_RULES",
    "RULES",
    "Case",
    "OwnRule",
    "RuleFunction",
    "is_guarded_by",
    "is_own",
    "is_owners",
    "legacy_fallback",
    "own_codes",
    "own_rules",
    "rule",
]
