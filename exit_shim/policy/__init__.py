"""Who may own exits in which mode, and the verdict on one order. Pure."""

from exit_shim.policy.codes import OWNERSHIP_CONFLICT, REASONS
from exit_shim.policy.file import Delegation, Denied, Level, Mode, Policy, Rule, Scope, modes_of, of_roles
from exit_shim.policy.reading import (
    FILE_NAME,
    POLICY_VARIABLE,
    PolicyError,
    check,
    find_policy,
    meant,
    parse_policy,
    read_policy,
)
from exit_shim.policy.roles import Roles, names_in
from exit_shim.policy.standing import Standing, Standings
from exit_shim.policy.verdicts import ALLOWED, OBSERVED, Action, Verdict, code_of, is_loud

__all__ = [
    "ALLOWED",
    "FILE_NAME",
    "OBSERVED",
    "OWNERSHIP_CONFLICT",
    "POLICY_VARIABLE",
    "REASONS",
    "Action",
    "Delegation",
    "Denied",
    "Level",
    "Mode",
    "Policy",
    "PolicyError",
    "Roles",
    "Rule",
    "Scope",
    "Standing",
    "Standings",
    "Verdict",
    "check",
    "code_of",
    "find_policy",
    "is_loud",
    "meant",
    "modes_of",
    "names_in",
    "of_roles",
    "parse_policy",
    "read_policy",
]
