"""Read the settings in force: from the code, else the environment, else the policy file."""

import hashlib
import os
import sys
from collections.abc import Callable, Collection, Sequence
from typing import Final, Literal, NamedTuple, cast, get_args

import msgspec

from exit_shim.domain.accounts import exchange_of
from exit_shim.domain.modes import BRAIN_FLAG_VARIABLE, MODE_VARIABLE, resolve_mode
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
from exit_shim.guard.switches import Switches
from exit_shim.journal.spool import Sync
from exit_shim.resolving import PACE, RetryPolicy
from exit_shim.runtime.logs import GATEWAY, MODE, logger
from exit_shim.sinks import Sink
from exit_shim.sinks.log import LogSink

DISABLED_VARIABLE: Final = "EXIT_SHIM_DISABLED"
RESOLVE_VARIABLE: Final = "EXIT_SHIM_RESOLVE"
BRIDGE_VARIABLE: Final = "EXIT_SHIM_BRIDGE"
SYNC_VARIABLE: Final = "EXIT_SHIM_SYNC"
SYNCS: Final = get_args(Sync)
SHIP_VARIABLE: Final = "EXIT_SHIM_SHIP_TO"
OTEL_VARIABLE: Final = "EXIT_SHIM_OTEL"


def is_disabled() -> bool:
    """Return whether EXIT_SHIM_DISABLED turns the shim off."""
    return is_on(DISABLED_VARIABLE)


def is_on(variable: str) -> bool:
    """Return whether an environment variable is 1 or a word for it."""
    return os.environ.get(variable, "").strip().lower() in {"1", "true", "yes", "on"}


_ENCODED: Final[object] = getattr(os.environ, "encodekey", str)(MODE_VARIABLE)


def raw_mode() -> object:
    """Return EXIT_MODE as the environment holds it."""
    # Undecoded, which takes a fraction of the time: each order asks.
    try:
        return os.environ._data.get(_ENCODED)  # type: ignore[attr-defined]  # noqa: SLF001
    # Another Python's environment, or a stand-in for it.
    except AttributeError:
        return os.environ.get(MODE_VARIABLE)


def check_mode(mode: str, modes: Collection[str], otherwise: str) -> None:
    """Check that a mode is one of a policy's.

    Raises:
        ValueError: It is none; the text ends with what else is allowed, `otherwise`.
    """
    if mode not in modes:
        raise ValueError(f"mode={mode!r} is no mode; it must be one of {', '.join(modes)}, or {otherwise}")


def check_account(account: str | None) -> None:
    """Check the name of an account.

    Raises:
        ValueError: It has an @.
    """
    if exchange_of(account):
        raise ValueError(f"account={account!r} has an @, which separates the name from the exchange's host")


class CurrentMode:
    """Know which mode is in force at the moment.

    Args:
        code: The mode that the code gives; None: the environment's, else the policy's.
        policy: Which modes there are.
        switches: What `exit-shim mode` says, which comes first.
        warn: Called with each problem of the environment, once.
    """

    def __init__(
        self, code: str | None, policy: CompiledPolicy, switches: Switches, warn: Callable[[str], object]
    ) -> None:
        self._code = code
        self._policy = policy
        self._switches = switches
        self._warn = warn
        self._resolved: dict[object, str] = {}

    def read(self) -> str:
        """Return the mode in force."""
        if (switched := self._switches.mode) is not None:
            return switched
        if self._code is not None:
            return self._code
        written = raw_mode()
        mode = self._resolved.get(written)
        return self._resolve(written) if mode is None else mode

    def _resolve(self, written: object) -> str:
        mode, problems = resolve_mode(
            os.environ.get(MODE_VARIABLE) or self._policy.policy.mode,
            os.environ.get(BRAIN_FLAG_VARIABLE),
            tuple(self._policy.modes),
        )
        self._resolved[written] = mode
        for problem in problems:
            self._warn(f"{MODE} {problem}")
        return mode


class ChosenPolicy(NamedTuple):
    """Hold the compiled policy in force; `is_fallback` where the file that was found has an error."""

    compiled_policy: CompiledPolicy
    is_fallback: bool = False


def chosen_policy(policy: Policy | str | os.PathLike[str] | None, roles: Roles | None) -> ChosenPolicy:
    """Return the policy that the code gives, else that of a file, else one made of the roles.

    An error in the file that EXIT_SHIM_POLICY names, or that is beside the bot, is logged: orders are
    recorded and nothing is enforced.

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
                f"{GATEWAY} the policy is NOT IN FORCE: {error}. Orders are recorded and nothing is "
                "enforced. Correct the file and restart the bot"
            )
    source = "the built-in policy" if roles is None else "Roles"
    return ChosenPolicy(CompiledPolicy(of_roles(roles or Roles()), source), is_fallback)


def beside_the_bot() -> str | None:
    """Return the folder of the main script; None where there is none."""
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    return os.path.dirname(os.path.abspath(path)) if isinstance(path, str) else None  # noqa: PTH100, PTH120


def with_policy(roles: Roles, policy: Policy) -> Roles:
    """Return the roles with what the policy adds about whose code is whose."""
    passed = {name for mode in policy.modes.values() for name in mode.passthrough}
    return msgspec.structs.replace(
        roles,
        passthrough=roles.passthrough | passed | set(policy.passthrough),
        in_app=(*roles.in_app, *policy.in_app),
        not_in_app=(*roles.not_in_app, *policy.not_in_app),
        aliases={**roles.aliases, **policy.aliases},
    )


def pace_in_force(code: bool | RetryPolicy | None) -> RetryPolicy | None:
    """Return how patiently orders in doubt are looked up; None: not at all."""
    if isinstance(code, RetryPolicy):
        return code
    written = os.environ.get(RESOLVE_VARIABLE, "").strip().lower()
    is_wanted = written not in {"0", "false", "no", "off"} if code is None else code
    return PACE if is_wanted else None


def bridges_in_force(code: bool | None) -> bool:
    """Return whether old calls about conditional orders are to keep their contract."""
    return (
        os.environ.get(BRIDGE_VARIABLE, "").strip().lower() in {"1", "true", "yes", "on"}
        if code is None
        else code
    )


def sync_in_force(code: str | None) -> Sync:
    """Return what intents survive; warn of an environment that is misspelt.

    Raises:
        ValueError: The code gives another word.
    """
    written = code if code is not None else (os.environ.get(SYNC_VARIABLE) or "process").strip().lower()
    if written in SYNCS:
        return cast("Sync", written)
    if code is not None:
        raise ValueError(f"sync={code!r} is invalid; expected {', '.join(map(repr, SYNCS))} or None")
    logger().warning(
        f"{GATEWAY} {SYNC_VARIABLE}={written!r} is invalid; expected {' or '.join(SYNCS)}. Using process."
    )
    return "process"


def destination_in_force(code: str | Literal[False] | None) -> str | None:
    """Return the PostgreSQL DSN that the journal is copied to; None: it is not copied."""
    dsn = os.environ.get(SHIP_VARIABLE) if code is None else code
    return None if is_disabled() or not dsn else dsn


def sinks_in_force(code: Sequence[Sink] | None) -> Sequence[Sink]:
    """Return where events go; warn where OpenTelemetry is asked for and is not there."""
    if code is not None:
        return code
    sinks: list[Sink] = [LogSink()]
    if is_on(OTEL_VARIABLE):
        try:
            from exit_shim.sinks.otel import OtelSink  # noqa: PLC0415 - for those who use it

            sinks.append(OtelSink())
        # A missing library, or a provider of the environment that cannot be made, costs no bot its orders.
        except Exception as error:  # noqa: BLE001
            logger().warning(f"{GATEWAY} {OTEL_VARIABLE} has no effect: {error}")
    return sinks


def digest(roles: Roles, policy: Policy, mode: str | None) -> str:
    """Return eight hex digits that tell configurations apart, for a run's header."""
    configuration = msgspec.json.encode((mode, roles, policy), order="deterministic")
    return hashlib.blake2s(configuration, digest_size=4).hexdigest()
