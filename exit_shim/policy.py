"""Who may own exits in which mode, and the verdict on one order. Pure."""

from collections.abc import Collection, Mapping
from typing import Final, Literal

import msgspec

from exit_shim.attribution import Attribution
from exit_shim.doors import Intent
from exit_shim.modes import EXIT_BRAIN_V3
from exit_shim.orders import ExitOrder

Action = Literal["allow", "warn", "deny", "suppress"]

OWNERSHIP_CONFLICT: Final = "OWNERSHIP_CONFLICT"

REASONS: Final[Mapping[str, str]] = {
    OWNERSHIP_CONFLICT: "a module declared legacy placed an exit that an owner should hold; let through, "
    "this guard only warns",
}
"""Every code that a verdict can give as its reason, in the words that a log line says it with."""


class Roles(msgspec.Struct, frozen=True, kw_only=True):
    """Who is who, by short or dotted module name; and what is the bot's own code.

    The defaults are those of the exit architecture that this package grew out of.

    Args:
        legacy: Modules that may act but should not where an owner is in force.
        executors: Modules that carry out what others decide; passed through when an order is attributed.
        owners: Modules that hold the exits in EXIT_BRAIN_V3.
        in_app: The bot's own code that lies among the installed packages.
        not_in_app: Code that is not the bot's though it lies beside it; outranks `in_app`. Patterns, both:
            a dotted name or a package (`trader` means `trader.risk` too), or a file, with `*` as in fnmatch.
        aliases: The name to record for a module, by its short or dotted name.

    Raises:
        TypeError: One of them is no collection of names.
        ValueError: A name is empty.
    """

    legacy: frozenset[str] = frozenset(
        {
            "position_monitor",
            "trailing_stop_manager",
            "hybrid_tpsl",
            "event_driven_executor",
            "dynamic_trailing_rearm",
        }
    )
    executors: frozenset[str] = frozenset({"safe_order_executor"})
    owners: frozenset[str] = frozenset({"exit_brain_executor", "exit_brain_v3"})
    in_app: tuple[str, ...] = ()
    not_in_app: tuple[str, ...] = ()
    aliases: Mapping[str, str] = {}

    def __post_init__(self) -> None:
        for field in ("legacy", "executors", "owners"):
            msgspec.structs.force_setattr(self, field, frozenset(names_in(field, getattr(self, field))))
        for field in ("in_app", "not_in_app"):
            msgspec.structs.force_setattr(self, field, tuple(names_in(field, getattr(self, field))))
        if not isinstance(self.aliases, Mapping):
            raise TypeError(
                f"aliases={self.aliases!r} must map a module's name to the one to record, "
                "such as {'pm2': 'position_monitor'}"
            )
        names_in("aliases", [*self.aliases, *self.aliases.values()])


def names_in(field: str, given: object) -> Collection[str]:
    """The names that a field of Roles was given, if that is what they are."""
    if isinstance(given, str) or not isinstance(given, Collection):
        raise TypeError(f"{field}={given!r} must be a collection of names, such as {{'safe_order_executor'}}")
    for name in given:
        if not isinstance(name, str):
            raise TypeError(f"{field} has {name!r}, which must be a module's name as text")
        if not name.strip():
            raise ValueError(f"{field} has {name!r}; a name cannot be empty")
    return given


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is to happen with an order, and why: stable codes, each with its `key=value` facts."""

    action: Action = "allow"
    reasons: tuple[str, ...] = ()


ALLOWED: Final = Verdict()


def judge(intent: Intent, order: ExitOrder, attribution: Attribution, mode: str, roles: Roles) -> Verdict:
    """The soft guard: an exit of a legacy module in EXIT_BRAIN_V3 is warned of and let through."""
    if mode != EXIT_BRAIN_V3 or intent not in {"place", "modify"} or order.kind in {"conditional", "unknown"}:
        return ALLOWED
    if roles.legacy.isdisjoint((attribution.module, attribution.dotted_module)):
        return ALLOWED
    return Verdict("warn", (f"{OWNERSHIP_CONFLICT} module={attribution.module} mode={mode} role=legacy",))
