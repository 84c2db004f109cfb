"""What a policy says of one module on one symbol, compiled once and looked up at each order. Pure."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final, Literal, NamedTuple

from exit_shim.domain.modes import LEGACY
from exit_shim.domain.reason_codes import NEVER_DENY, OWNERSHIP, OWNERSHIP_CONFLICT, UNKNOWN_MODULE
from exit_shim.domain.verdicts import ALLOWED, Reason, Verdict
from exit_shim.guard.policy.model import Level, Mode, OnDeny, Policy, Rule, Scope, modes_of
from exit_shim.guard.policy.rollout import is_in_rollout

Role = Literal["owner", "legacy", "monitor", "passthrough", "unknown"]

MAX_KNOWN: Final = 20_000
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
    """What a policy grants one module in a mode, on a symbol, for a kind of exit.

    Attributes:
        role: The module's role.
        reason: What is wrong with its placing such an exit; None where it may.
        level: What follows from the reason.
        on_deny: What the module gets where it is denied.
        line: The line of the policy that says so.
        has_owner: Whether anybody owns these exits.
        warned: The verdict where nothing is held back.
    """

    role: Role
    reason: Reason | None
    level: Level
    on_deny: OnDeny
    line: str
    has_owner: bool
    warned: Verdict


class CompiledPolicy:
    """A policy in the form in which orders ask it.

    Args:
        policy: The policy.
        source: Where it comes from, for people.
    """

    def __init__(self, policy: Policy, source: str = "policy") -> None:
        self.policy = policy
        self.source = source
        self.modes = modes_of(policy)
        self._known: dict[tuple[str, str | None, str, str | None, str], Grant] = {}
        self._levels: dict[tuple[str, str, str | None], Level] = {}

    def of(self, module: str, dotted: str | None, mode: str, symbol: str | None, kind: str) -> Grant:
        """What the policy says of a module; cached."""
        key = (module, dotted, mode, symbol, kind)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            found = self._known[key] = self._work_out(*key)
        return found

    def level(self, code: str, mode: str, symbol: str | None) -> Level:
        """The level of a rule; cached."""
        key = (code, mode, symbol)
        found = self._levels.get(key)
        if found is None:
            if len(self._levels) >= MAX_KNOWN:
                self._levels.clear()
            found = self._levels[key] = self._level(code, mode, symbol, None)
        return found

    def rule(self, code: str) -> Rule:
        """The settings of a rule."""
        return self.policy.rules.get(code, NO_RULE)

    def enforces(self) -> bool:
        """Whether anything in the policy could hold an order back."""
        said: list[Level | None] = [self.policy.level, *(rule.level for rule in self.policy.rules.values())]
        for mode in self.modes.values():
            said += [mode.level, *mode.rules.values(), *(scope.level for scope in mode.scopes)]
        return "enforce" in said

    def _work_out(self, module: str, dotted: str | None, mode: str, symbol: str | None, kind: str) -> Grant:
        said = self.modes.get(mode) or self.modes[LEGACY]
        place, scope = scope_of(said, symbol, kind)
        role, line = self._role(said, scope, module, dotted)
        unknown = said.unknown if scope is None or scope.unknown is None else scope.unknown
        code: str | None = None
        if role in {"legacy", "monitor"}:
            code = OWNERSHIP_CONFLICT
        elif role == "unknown" and unknown != "allow":
            code, line = UNKNOWN_MODULE, "unknown"
        level = self._level(code or OWNERSHIP_CONFLICT, mode, symbol, scope)
        if code == UNKNOWN_MODULE and unknown == "warn" and level == "enforce":
            level = "warn"
        own = None if place is None or scope is None or getattr(scope, line, None) is None else place
        where = f"modes.{mode}" + ("" if own is None else f".scopes[{own}]") + f".{line}"
        denied = self._denied(said, scope, role)
        owners = said.owners if scope is None or scope.owners is None else scope.owners
        line, reason, warned = f"{self.source}: {where}", None, ALLOWED
        if code is not None:
            is_observed = level == "observe"
            facts = {"module": module, "mode": mode, "role": role}
            reason = Reason(code, facts, is_observed=is_observed)
            warned = Verdict("allow" if is_observed else "warn", (reason,), line)
        return Grant(role, reason, level, denied, line, bool(owners), warned)

    def _role(self, said: Mode, scope: Scope | None, module: str, dotted: str | None) -> tuple[Role, str]:
        """The role on whose list the module is most exactly named; the scope's lists before the mode's."""
        best: tuple[int, Role, str] = (0, "unknown", "unknown")
        for table in (scope, said):
            for role, field in ROLES:
                names = getattr(table, field, None) or ()
                if table is said and getattr(scope, field, None) is not None:
                    continue  # the scope has its own
                if (exactness := named_by(names, module, dotted)) > best[0]:
                    best = exactness, role, field
        return best[1:]

    def _denied(self, said: Mode, scope: Scope | None, role: Role) -> OnDeny:
        if scope is not None and scope.on_deny is not None:
            return scope.on_deny
        if said.on_deny is not None:
            return said.on_deny
        return "simulate" if role == "monitor" else self.policy.on_deny

    def _level(self, code: str, mode: str, symbol: str | None, scope: Scope | None) -> Level:
        said = self.modes.get(mode) or self.modes[LEGACY]
        general = said.level or self.policy.level
        if scope is not None and scope.level is not None:
            general = scope.level
        own = said.rules.get(code) or self.rule(code).level
        level: Level
        if own is not None:
            level = own
        elif code in OWNERSHIP or general == "observe":
            level = general
        else:
            level = "warn"
        share = self.policy.rollout if said.rollout is None else said.rollout
        if level == "enforce" and (code in NEVER_DENY or not is_in_rollout(symbol, share)):
            return "warn"
        return level


def scope_of(mode: Mode, symbol: str | None, kind: str) -> tuple[int | None, Scope | None]:
    """The first scope of a mode that fits, and its place."""
    for place, scope in enumerate(mode.scopes):
        if scope.symbols and not any(fnmatchcase(symbol or "", name.upper()) for name in scope.symbols):
            continue
        if scope.kinds and kind not in scope.kinds:
            continue
        return place, scope
    return None, None


def named_by(names: Iterable[str], module: str, dotted: str | None) -> int:
    """How exactly a module is among the names: 3 by its dotted one, 2 by its short one, 1 by a pattern, 0."""
    found = 0
    for name in names:
        if name == dotted:
            return 3
        if name == module:
            found = 2
        elif not found and "*" in name and (fnmatchcase(module, name) or fnmatchcase(dotted or "", name)):
            found = 1
    return found
