"""The policy: who may own exits in which mode, and what follows for the others. Pure.

`model` is the policy as it is written, `load` reads it from TOML, `compiled` answers for one order, and
`rollout` chooses the symbols on which it enforces.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exit_shim.guard.policy.compiled import CompiledPolicy, Grant
    from exit_shim.guard.policy.load import (
        FILE_NAME,
        POLICY_VARIABLE,
        PolicyError,
        check,
        find_policy,
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
else:
    # Commands that only read the journal must not wait for the rest.
    from exit_shim.runtime.lazy_names import on_first_use

    __getattr__ = on_first_use(
        __name__,
        {
            "exit_shim.guard.policy.compiled": ("CompiledPolicy", "Grant"),
            "exit_shim.guard.policy.load": (
                "FILE_NAME",
                "POLICY_VARIABLE",
                "PolicyError",
                "check",
                "find_policy",
                "parse_policy",
                "read_policy",
            ),
            "exit_shim.guard.policy.model": (
                "Delegation",
                "Level",
                "Mode",
                "OnDeny",
                "Policy",
                "Rule",
                "Scope",
                "modes_of",
                "of_roles",
            ),
            "exit_shim.guard.policy.roles": ("Roles", "names_in"),
        },
    )

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
    "modes_of",
    "names_in",
    "of_roles",
    "parse_policy",
    "read_policy",
]
