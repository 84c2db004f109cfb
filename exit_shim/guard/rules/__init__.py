"""The guard's rules: each a pure function of one order and what is around it.

`fields` looks at the order alone; `books`, `cancels` and `owners` at the live exits, too. `custom` has the
rules of users.
"""

from collections.abc import Mapping
from typing import Final

from exit_shim.domain import reason_codes
from exit_shim.guard.rules.books import churn, duplicate_exit, oversized, stop_widened
from exit_shim.guard.rules.cancels import foreign_cancel, futile_cancel, stripped
from exit_shim.guard.rules.context import RuleContext, RuleFunction, facts_in
from exit_shim.guard.rules.custom import CustomRule, custom_codes, custom_rules, rule
from exit_shim.guard.rules.fields import ignored_param, naked_exit, refused_params
from exit_shim.guard.rules.owners import (
    is_guarded_by,
    is_own,
    is_owners,
    is_sent_by_owner,
    legacy_fallback,
)

FIELD_RULES: Final[Mapping[str, RuleFunction]] = {
    reason_codes.NAKED_EXIT: naked_exit,
    reason_codes.REFUSED_PARAMS: refused_params,
    reason_codes.IGNORED_PARAM: ignored_param,
}
"""Rules on the order alone."""

BOOK_RULES: Final[Mapping[str, RuleFunction]] = {
    reason_codes.LEGACY_FALLBACK: legacy_fallback,
    reason_codes.DUPLICATE_EXIT: duplicate_exit,
    reason_codes.OVERSIZED: oversized,
    reason_codes.CHURN: churn,
    reason_codes.STOP_WIDENED: stop_widened,
    reason_codes.FOREIGN_CANCEL: foreign_cancel,
    reason_codes.STRIPPED: stripped,
    reason_codes.FUTILE_CANCEL: futile_cancel,
}
"""Rules that look at the live exits, too; on an unsure book they only warn."""

RULES: Final[Mapping[str, RuleFunction]] = {**FIELD_RULES, **BOOK_RULES}

__all__ = [
    "BOOK_RULES",
    "FIELD_RULES",
    "RULES",
    "CustomRule",
    "RuleContext",
    "RuleFunction",
    "custom_codes",
    "custom_rules",
    "facts_in",
    "is_guarded_by",
    "is_own",
    "is_owners",
    "is_sent_by_owner",
    "legacy_fallback",
    "rule",
]
