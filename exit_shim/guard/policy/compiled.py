"""Look up what a policy grants one module on one symbol; worked out once and cached. Pure."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final, Literal, NamedTuple

from exit_shim.domain.modes import LEGACY
from exit_shim.domain.reason_codes import NEVER_DENY, OWNERSHIP, OWNERSHIP_CONFLICT, UNKNOWN_MODULE
from exit_shim.domain.verdicts import ALLOWED, Reason, Verdict
from exit_shim.guard.policy.model import Level, Mode, OnDeny, Policy, Rule, Scope, Takeover, modes_of
from exit_shim.guard.policy.rollout import is_in_rollout

Role = Literal["owner", "legacy", "monitor", "passthrough", "unknown"]

MAX_CACHED: Final = 20_000
"""Combinations remembered; beyond it they are worked out anew."""

NO_RULE: Final = Rule()

ROLES: Final[tuple[tuple[Role, str], ...]] = (
    ("owner", "owners"),
    ("legacy", "legacy"),
    ("monitor", "monitors"),
    ("passthrough", "passthrough"),
)
"""Each role, and the list of a mode that gives it."""


class Grant(NamedTuple):
    """The rights of one module in a mode, on a symbol, for a kind of exit.

    Attributes:
        role: The module's role.
        reason: What is wrong with its placing such an exit; None where it may.
        level: What follows from the reason.
        on_deny: What the module gets where it is denied.
        line: The line of the policy that says so.
        has_owner: Whether anybody owns these exits.
        is_taken_over: Whether the exit executor takes over what the module has resting.
        warned: The verdict where nothing is held back.
    """

    role: Role
    reason: Reason | None
    level: Level
    on_deny: OnDeny
    line: str
    has_owner: bool
    is_taken_over: bool
    warned: Verdict


class CompiledPolicy:
    """Answers what a policy says of one order.

    Args:
        policy: The policy.
        source: Where it comes from, for people.
    """

    def __init__(self, policy: Policy, source: str = "policy") -> None:
        self.policy = policy
        self.source = source
        self.modes = modes_of(policy)
        self._grants: dict[tuple[str, str | None, str, str | None, str], Grant] = {}
        self._levels: dict[tuple[str, str, str | None], Level] = {}

    def grant_for(self, module: str, dotted: str | None, mode: str, symbol: str | None, kind: str) -> Grant:
        """Return what the policy grants a module in a mode, on a symbol, for a kind of exit; cached."""
        key = (module, dotted, mode, symbol, kind)
        grant = self._grants.get(key)
        if grant is None:
            if len(self._grants) >= MAX_CACHED:
                self._grants.clear()
            grant = self._grants[key] = self._make_grant(*key)
        return grant

    def level(self, code: str, mode: str, symbol: str | None) -> Level:
        """Return the level of a rule in a mode on a symbol; cached."""
        key = (code, mode, symbol)
        level = self._levels.get(key)
        if level is None:
            if len(self._levels) >= MAX_CACHED:
                self._levels.clear()
            level = self._levels[key] = self._find_level(code, mode, symbol, None)
        return level

    def rule(self, code: str) -> Rule:
        """Return the settings of a rule."""
        return self.policy.rules.get(code, NO_RULE)

    def enforces(self) -> bool:
        """Return whether anything in the policy could hold an order back."""
        levels: list[Level | None] = [self.policy.level, *(rule.level for rule in self.policy.rules.values())]
        for mode in self.modes.values():
            levels += [mode.level, *mode.rules.values(), *(scope.level for scope in mode.scopes)]
        return "enforce" in levels

    def _make_grant(self, module: str, dotted: str | None, mode: str, symbol: str | None, kind: str) -> Grant:
        table = self.modes.get(mode) or self.modes[LEGACY]
        place, scope = find_scope(table, symbol, kind)
        role, key = self._find_role(table, scope, module, dotted)
        unknown = table.unknown if scope is None or scope.unknown is None else scope.unknown
        code: str | None = None
        if role in {"legacy", "monitor"}:
            code = OWNERSHIP_CONFLICT
        elif role == "unknown" and unknown != "allow":
            code = UNKNOWN_MODULE
        level = self._find_level(code or OWNERSHIP_CONFLICT, mode, symbol, scope)
        if code == UNKNOWN_MODULE and unknown == "warn" and level == "enforce":
            level = "warn"
        is_in_scope = scope is not None and getattr(scope, key, None) is not None
        where = f"modes.{mode}.scopes[{place}]" if is_in_scope else f"modes.{mode}"
        on_deny = self._find_on_deny(table, scope, role)
        owners = table.owners if scope is None or scope.owners is None else scope.owners
        line, reason, warned = f"{self.source}: {where}.{key}", None, ALLOWED
        if code is not None:
            is_observed = level == "observe"
            facts = {"module": module, "mode": mode, "role": role}
            reason = Reason(code, facts, is_observed=is_observed)
            warned = Verdict("allow" if is_observed else "warn", (reason,), line)
        # What a module may still place, it may also have resting.
        is_denied = reason is not None and level == "enforce"
        is_taken_over = is_denied and key in self._find_takeover(table, scope)
        return Grant(role, reason, level, on_deny, line, bool(owners), is_taken_over, warned)

    def _find_role(
        self, mode: Mode, scope: Scope | None, module: str, dotted: str | None
    ) -> tuple[Role, str]:
        """Return the role on whose list a module is named most exactly, and the key of that list."""
        best: tuple[int, Role, str] = (0, "unknown", "unknown")
        # On a tie the scope's lists go before the mode's.
        for table in (scope, mode):
            for role, field in ROLES:
                names = getattr(table, field, None) or ()
                # The scope has a list of its own.
                if table is mode and getattr(scope, field, None) is not None:
                    continue
                if (exactness := exactness_in(names, module, dotted)) > best[0]:
                    best = exactness, role, field
        return best[1:]

    def _find_on_deny(self, mode: Mode, scope: Scope | None, role: Role) -> OnDeny:
        if scope is not None and scope.on_deny is not None:
            return scope.on_deny
        if mode.on_deny is not None:
            return mode.on_deny
        return "simulate" if role == "monitor" else self.policy.on_deny

    def _find_takeover(self, mode: Mode, scope: Scope | None) -> Takeover:
        if scope is not None and scope.takeover is not None:
            return scope.takeover
        return self.policy.takeover if mode.takeover is None else mode.takeover

    def _find_level(self, code: str, mode: str, symbol: str | None, scope: Scope | None) -> Level:
        table = self.modes.get(mode) or self.modes[LEGACY]
        general = table.level or self.policy.level
        if scope is not None and scope.level is not None:
            general = scope.level
        level = table.rules.get(code) or self.rule(code).level
        if level is None:
            level = general if code in OWNERSHIP or general == "observe" else "warn"
        share = self.policy.rollout if table.rollout is None else table.rollout
        if level == "enforce" and (code in NEVER_DENY or not is_in_rollout(symbol, share)):
            return "warn"
        return level


def find_scope(mode: Mode, symbol: str | None, kind: str) -> tuple[int | None, Scope | None]:
    """Return the first scope of a mode that fits, with its place; None for both where none does."""
    for place, scope in enumerate(mode.scopes):
        if scope.symbols and not any(fnmatchcase(symbol or "", name.upper()) for name in scope.symbols):
            continue
        if scope.kinds and kind not in scope.kinds:
            continue
        return place, scope
    return None, None


def exactness_in(names: Iterable[str], module: str, dotted: str | None) -> int:
    """Return how exactly names have a module: 3 for its dotted name, 2 for its short one, 1 for a pattern."""
    exactness = 0
    for name in names:
        if name == dotted:
            return 3
        if name == module:
            exactness = 2
        elif not exactness and "*" in name and (fnmatchcase(module, name) or fnmatchcase(dotted or "", name)):
            exactness = 1
    return exactness
