"""Name who is who among a bot's modules, and what is the bot's own code. Pure."""

from collections.abc import Collection, Mapping

import msgspec


class Roles(msgspec.Struct, frozen=True, kw_only=True):
    """Name who is who, by short or dotted module name, and what is the bot's own code.

    The defaults are those of the exit architecture that this package grew out of.

    Args:
        legacy: Modules that may act but should not where an owner is in force.
        passthrough: Modules that carry out what others decide; passed through when an order is attributed.
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
    passthrough: frozenset[str] = frozenset({"safe_order_executor"})
    owners: frozenset[str] = frozenset({"exit_brain_executor", "exit_brain_v3"})
    in_app: tuple[str, ...] = ()
    not_in_app: tuple[str, ...] = ()
    aliases: Mapping[str, str] = {}

    def __post_init__(self) -> None:
        for field in ("legacy", "passthrough", "owners"):
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
    """Return the names in a field of `Roles`; raise where they are no names."""
    if isinstance(given, str) or not isinstance(given, Collection):
        raise TypeError(f"{field}={given!r} must be a collection of names, such as {{'safe_order_executor'}}")
    for name in given:
        if not isinstance(name, str):
            raise TypeError(f"{field} has {name!r}, which must be a module's name as text")
        if not name.strip():
            raise ValueError(f"{field} has {name!r}; a name cannot be empty")
    return given
