"""The policy as it is written: typed, each key with its default. Pure."""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from exit_shim.domain.modes import EXIT_BRAIN_V3, LEGACY
from exit_shim.domain.orders import Kind
from exit_shim.guard.policy.roles import Roles

Level = Literal["observe", "warn", "enforce"]
"""The level of a rule: its findings are recorded, warned of too, or the order is held back."""

OnDeny = Literal["raise", "return_none", "simulate"]
"""The answer to a denied caller: ExitOrderDenied, None, or one that is marked as simulated."""

Unknown = Literal["allow", "warn", "deny"]

Takeover = tuple[Literal["legacy", "monitors", "unknown"], ...]
"""The lists of modules whose resting exits the exit executor takes over."""

Names = tuple[str, ...]


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """Change a mode for some symbols or kinds; a key that is not set is the mode's.

    Args:
        symbols: Symbols or patterns, such as "BTC*"; none given means all.
        kinds: Kinds of exits; none given means all.
        owners: As in the mode.
        legacy: As in the mode.
        monitors: As in the mode.
        unknown: As in the mode.
        level: As in the mode.
        on_deny: As in the mode.
        takeover: As in the mode.
    """

    symbols: Names = ()
    kinds: tuple[Kind, ...] = ()
    owners: Names | None = None
    legacy: Names | None = None
    monitors: Names | None = None
    unknown: Unknown | None = None
    level: Level | None = None
    on_deny: OnDeny | None = None
    takeover: Takeover | None = None


class Mode(msgspec.Struct, frozen=True, kw_only=True):
    """Say who may do what in a mode; modules go by short name, dotted name or pattern with `*`.

    Args:
        owners: Modules that hold the exits. For EXIT_BRAIN_V3, when not given: those of `Roles`.
        legacy: Modules that should not act any more. For EXIT_BRAIN_V3, when not given: those of `Roles`.
        monitors: Modules that may look and not place; denied, they get a simulated answer.
        passthrough: Modules that carry out what others decide; they are passed through in every mode.
        unknown: What to say to modules on none of the lists: allow, warn, or deny where enforced.
        level: The level of the ownership rules. None: the policy's.
        on_deny: What a denied caller gets. None: the policy's.
        takeover: Whose resting exits the exit executor takes over. None: the policy's.
        rollout: The share of symbols, 0 to 1, on which this mode enforces; on the others it warns. None: the
            policy's.
        rules: Levels of rules by code, for this mode.
        scopes: Exceptions by symbol and kind; the first that fits counts.
    """

    owners: Names | None = None
    legacy: Names | None = None
    monitors: Names = ()
    passthrough: Names = ()
    unknown: Unknown = "allow"
    level: Level | None = None
    on_deny: OnDeny | None = None
    takeover: Takeover | None = None
    rollout: float | None = None
    rules: Mapping[str, Level] = {}
    scopes: tuple[Scope, ...] = ()


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Set one rule.

    Args:
        level: Its level in every mode that has none of its own for it.
        within_s: The seconds that it looks at or waits for, where it does.
        times: How often something must happen, where it counts.
    """

    level: Level | None = None
    within_s: float | None = None
    times: int | None = None


class Delegation(msgspec.Struct, frozen=True, kw_only=True):
    """Give the exits of a symbol to one owner.

    Args:
        symbol: The symbol.
        to: The owner's name.
        within_s: The seconds in which a protective order of the owner must appear.
    """

    symbol: str
    to: str
    within_s: float = 30.0


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Say who may own exits, and what follows for the others.

    Args:
        mode: The mode where neither EXIT_MODE nor a switch says one.
        level: observe, warn or enforce, for the ownership rules of modes that say none.
        on_deny: What a denied caller gets: raise, return_none or simulate.
        takeover: The lists of modules whose resting exits the exit executor takes over where the policy
            denies them, once its own stops cover the position; empty: none.
        cover_within: How far from the price an owner's stop may trigger and still cover, as a share of the
            price, above 0 and up to 1.
        market_closes: "allow": an exit that closes now (MARKET, LIMIT with IOC or FOK, or a price through the
            market) is never denied; "judge": as any other exit.
        rollout: The share of symbols, 0 to 1, on which enforce holds; chosen by a stable hash.
        look_within_s: The longest that a look at the exchange takes before an order is denied.
        look_share: The part of an address's request weight, 2,400 a minute, that looks may use; 0 to 1.
        passthrough: Modules to pass through when an order is attributed, besides those of `Roles`.
        in_app: As in `Roles`.
        not_in_app: As in `Roles`.
        aliases: As in `Roles`.
        modes: Each mode by its name.
        rules: Settings of rules by code.
        delegate: Symbols that are delegated from the start.
    """

    mode: str | None = None
    level: Level = "warn"
    on_deny: OnDeny = "raise"
    takeover: Takeover = ("legacy",)
    cover_within: float = 0.5
    market_closes: Literal["allow", "judge"] = "allow"
    rollout: float = 1.0
    look_within_s: float = 0.5
    look_share: float = 0.25
    passthrough: Names = ()
    in_app: Names = ()
    not_in_app: Names = ()
    aliases: Mapping[str, str] = {}
    modes: Mapping[str, Mode] = {}
    rules: Mapping[str, Rule] = {}
    delegate: tuple[Delegation, ...] = ()


BUILT_IN: Final[Mapping[str, Mode]] = {
    LEGACY: Mode(),
    EXIT_BRAIN_V3: Mode(owners=tuple(sorted(Roles().owners)), legacy=tuple(sorted(Roles().legacy))),
}


def modes_of(policy: Policy) -> Mapping[str, Mode]:
    """Return all modes, the built-in ones with what the policy changes."""
    modes = dict(BUILT_IN)
    for name, mode in policy.modes.items():
        base = BUILT_IN.get(name, BUILT_IN[LEGACY])
        modes[name] = msgspec.structs.replace(
            mode,
            owners=base.owners if mode.owners is None else mode.owners,
            legacy=base.legacy if mode.legacy is None else mode.legacy,
        )
    return modes


def of_roles(roles: Roles) -> Policy:
    """Return the policy that `Roles` describe, which only warns."""
    mode = Mode(owners=tuple(sorted(roles.owners)), legacy=tuple(sorted(roles.legacy)))
    return Policy(modes={EXIT_BRAIN_V3: mode})


# Two threads that are the first to have msgspec (0.22.0) read into a class crash the process.
msgspec.json.Decoder(Policy)
