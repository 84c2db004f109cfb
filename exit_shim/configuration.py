"""What is in force: code, environment and policy file, read in that order."""

import hashlib
import os
import sys
from typing import Final, NamedTuple, cast, get_args

import msgspec

from exit_shim.domain.modes import MODE_VARIABLE
from exit_shim.guard.policy import (
    CompiledPolicy,
    Policy,
    PolicyError,
    Roles,
    check,
    find_policy,
    of_roles,
    read_policy,
)
from exit_shim.guard.rules import custom_codes
from exit_shim.journal.spool import Sync
from exit_shim.resolving import PACE, RetryPolicy
from exit_shim.runtime.logs import GATEWAY, logger

DISABLED_VARIABLE: Final = "EXIT_SHIM_DISABLED"
RESOLVE_VARIABLE: Final = "EXIT_SHIM_RESOLVE"
SYNC_VARIABLE: Final = "EXIT_SHIM_SYNC"
SYNCS: Final = get_args(Sync)
SHIP_VARIABLE: Final = "EXIT_SHIM_SHIP_TO"


def is_disabled() -> bool:
    """EXIT_SHIM_DISABLED=1: `wrap` hands back the client itself and nothing is recorded."""
    return os.environ.get(DISABLED_VARIABLE, "").strip().lower() in {"1", "true", "yes", "on"}


_ENCODED: Final[object] = getattr(os.environ, "encodekey", str)(MODE_VARIABLE)


def raw_mode() -> object:
    """EXIT_MODE as the environment holds it, undecoded: this is asked before each order is sent."""
    try:
        return os.environ._data.get(_ENCODED)  # type: ignore[attr-defined]  # noqa: SLF001
    except AttributeError:  # another Python's, or a stand-in
        return os.environ.get(MODE_VARIABLE)


class ChosenPolicy(NamedTuple):
    """The policy in force, compiled; `is_fallback` where the file that was found has an error."""

    compiled_policy: CompiledPolicy
    is_fallback: bool = False


def chosen_policy(policy: Policy | str | os.PathLike[str] | None, roles: Roles | None) -> ChosenPolicy:
    """Return the policy that the code gives, else that of a file that is found, else that of the roles.

    An error in a policy that the code gives is raised. One in a file that is found (by EXIT_SHIM_POLICY, or
    beside the bot) costs the policy, loudly, and not the record: nothing is enforced.

    Raises:
        PolicyError: The policy that the code gives has an error.
    """
    if isinstance(policy, Policy):
        check(policy, own_rules=custom_codes())
        return ChosenPolicy(CompiledPolicy(policy, "the policy given in code"))
    if policy is not None:
        return ChosenPolicy(CompiledPolicy(read_policy(policy, custom_codes()), os.fspath(policy)))
    path, is_fallback = find_policy(beside_the_bot()), False
    if path is not None:
        try:
            return ChosenPolicy(CompiledPolicy(read_policy(path, custom_codes()), os.fspath(path)))
        except PolicyError as error:
            is_fallback = True
            logger().error(
                f"{GATEWAY} the policy is NOT IN FORCE: {error}. Orders are recorded and nothing is enforced "
                "until it is corrected and the bot restarted"
            )
    source = "the built-in policy" if roles is None else "Roles"
    return ChosenPolicy(CompiledPolicy(of_roles(roles or Roles()), source), is_fallback)


def beside_the_bot() -> str | None:
    """The folder of the main script, where there is one."""
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    return os.path.dirname(os.path.abspath(path)) if isinstance(path, str) else None  # noqa: PTH100, PTH120


def with_policy(roles: Roles, policy: Policy) -> Roles:
    """The roles, with what the policy adds to telling whose code is whose."""
    passed = {name for mode in policy.modes.values() for name in mode.passthrough}
    return msgspec.structs.replace(
        roles,
        passthrough=roles.passthrough | passed | set(policy.passthrough),
        in_app=(*roles.in_app, *policy.in_app),
        not_in_app=(*roles.not_in_app, *policy.not_in_app),
        aliases={**roles.aliases, **policy.aliases},
    )


def pace_in_force(said: bool | RetryPolicy | None) -> RetryPolicy | None:
    """How patiently orders in doubt are asked about, by the code or the environment; None: not at all."""
    if isinstance(said, RetryPolicy):
        return said
    written = os.environ.get(RESOLVE_VARIABLE, "").strip().lower()
    wanted = written not in {"0", "false", "no", "off"} if said is None else said
    return PACE if wanted else None


def sync_in_force(said: str | None) -> Sync:
    """What intents are to survive, by the code or the environment; a misspelt environment is warned of."""
    written = said if said is not None else (os.environ.get(SYNC_VARIABLE) or "process").strip().lower()
    if written in SYNCS:
        return cast("Sync", written)
    if said is not None:
        raise ValueError(
            f"sync={said!r} is no promise of ours; it must be one of {', '.join(SYNCS)}, or None"
        )
    known = ", ".join(SYNCS)
    logger().warning(
        f"{GATEWAY} {SYNC_VARIABLE}={written!r} is unknown; it must be one of {known}. Using process."
    )
    return "process"


def digest(roles: Roles, policy: Policy, mode: str | None) -> str:
    """Eight hex digits that tell configurations apart, for a run's header."""
    said = msgspec.json.encode((mode, roles, policy), order="deterministic")
    return hashlib.blake2s(said, digest_size=4).hexdigest()
