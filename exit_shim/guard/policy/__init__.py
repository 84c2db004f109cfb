"""Who may own exits in which mode, and the verdict on one order. Pure."""

from exit_shim.guard.policy.compiled import CompiledPolicy, Grant
from exit_shim.guard.policy.load import (
    FILE_NAME,
    POLICY_VARIABLE,
    PolicyError,
    check,
    find_policy,
    meant,
    parse_policy,
    read_policy,
)
from exit_shim.guard.policy.model import (
    Delegation,
    Level,
    Mode,
    OnDeny,
    Policy,
    Rule,
    Scope,
    modes_of,
    of_roles,
)
from exit_shim.guard.policy.roles import Roles, names_in

__all__ = [
    "FILE_NAME",
    "POLICY_VARIABLE",
    "CompiledPolicy",
    "Delegation",
    "Grant",
    "Level",
    "Mode",
    "OnDeny",
    "Policy",
    "PolicyError",
    "Roles",
    "Rule",
    "Scope",
    "check",
    "find_policy",
    "meant",
    "modes_of",
    "names_in",
    "of_roles",
    "parse_policy",
    "read_policy",
]
