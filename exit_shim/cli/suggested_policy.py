"""A policy to start from, made of what the record and the source show of each module. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

from exit_shim.cli.output import pluralize, printable
from exit_shim.cli.passthrough import Suggestion
from exit_shim.domain.attributions import UNKNOWN_MODULE
from exit_shim.domain.modes import LEGACY
from exit_shim.guard.policy.roles import Roles
from exit_shim.journal import Count
from exit_shim.journal.record_source import Fight
from exit_shim.scan.modules import SourceModule

EXECUTOR: Final = "exit_brain_executor"
"""The name by which exit_shim's own executor asks for orders, unless it is given another one."""

STOPS: Final = frozenset({"sl", "trailing", "breakeven"})
"""The kinds of exits that protect."""

MOST_MODULES: Final = 100
"""How many modules are listed: nobody reads more, and a record may have any number of names."""


class ModuleNumbers(NamedTuple):
    """What a module did.

    Attributes:
        module: Its short name.
        exits: The exits that it asked for.
        stops: Those that protect, and that the exchange took.
        closes: Those that close at once.
        taken: The orders of others that it cancelled or changed.
        lost: The orders of its own that others cancelled or changed.
        places: How many places in its source place exits, if no order of it was ever seen.
    """

    module: str
    exits: int = 0
    stops: int = 0
    closes: int = 0
    taken: int = 0
    lost: int = 0
    places: int = 0

    @property
    def text(self) -> str:
        """All of it in words."""
        if self.places:
            return f"never seen, but its source can place exits ({pluralize(self.places, 'place')})"
        return (
            f"{pluralize(self.exits, 'exit')} asked for, {pluralize(self.stops, 'stop')} accepted, "
            f"took {self.taken} of others, lost {self.lost} to others"
        )


class Advice(NamedTuple):
    """Who should be what.

    Attributes:
        owners: Who should own the exits, with why.
        legacy: Who should not act any more.
        passthrough: Helpers that send what others decided, with why.
        others: Who needs no role.
        mode: The mode that most orders were recorded in.
    """

    owners: dict[str, str]
    legacy: list[ModuleNumbers]
    passthrough: dict[str, str]
    others: list[ModuleNumbers]
    mode: str


def advise(
    counts: Sequence[Count],
    fights: Iterable[Fight],
    helpers: Iterable[Suggestion],
    source: Sequence[SourceModule] = (),
) -> Advice:
    """Return who should be what, of what modules did, and of what those in the source could do."""
    roles, numbers = Roles(), number_modules(counts, fights)
    passthrough = {**helpers_in_source(source, roles), **find_helpers(counts, helpers, roles)}
    modules = [each for each in numbers if each.module not in passthrough]
    owners = choose_owners(modules, roles)
    rest = [each for each in modules if each.module not in owners]
    legacy = [each for each in rest if each.module in roles.legacy or each.taken or each.stops]
    unseen = find_unseen(source, {each.module for each in numbers} | passthrough.keys() | owners.keys())
    legacy += [ModuleNumbers(each.name, places=each.places) for each in unseen if each.kinds != {"close"}]
    rest += [ModuleNumbers(each.name, places=each.places) for each in unseen if each.kinds == {"close"}]
    modes = Counter[str]()
    for count in counts:
        modes[count.mode] += count.orders
    mode = modes.most_common(1)[0][0] if modes else LEGACY
    return Advice(
        owners,
        legacy[:MOST_MODULES],
        passthrough,
        [each for each in rest if each not in legacy][:MOST_MODULES],
        mode if mode.isascii() and mode.isidentifier() and mode.isupper() else LEGACY,
    )


def number_modules(counts: Iterable[Count], fights: Iterable[Fight]) -> list[ModuleNumbers]:
    """Return what each module did, the most exits first."""
    totals: dict[str, Counter[str]] = {}
    for count in counts:
        site = count.site
        of_module = totals.setdefault(site.module, Counter())
        if site.operation == "place" and site.kind != "conditional":
            of_module["exits"] += count.orders
            of_module["closes"] += count.orders * (site.kind == "close")
            of_module["stops"] += count.orders * (site.kind in STOPS and count.state == "accepted")
    for fight in fights:
        totals.setdefault(fight.module, Counter())["taken"] += fight.orders
        if fight.victim is not None:
            totals.setdefault(fight.victim, Counter())["lost"] += fight.orders
    modules = [ModuleNumbers(module, **numbers) for module, numbers in totals.items() if is_writable(module)]
    return sorted(modules, key=lambda each: (-each.exits, each.module))


def is_writable(module: str) -> bool:
    """Return whether a policy can name a module."""
    return bool(module.strip()) and module != UNKNOWN_MODULE and "*" not in module and module.isprintable()


def find_helpers(counts: Iterable[Count], helpers: Iterable[Suggestion], roles: Roles) -> dict[str, str]:
    """Return the modules that send what others decided, each with why."""
    sent: Counter[str] = Counter()
    for count in counts:
        for module in filter(None, count.site.via.split(",")):
            if module in roles.passthrough:
                sent[module] += count.orders
    known = {module: f"sent {pluralize(number, 'order')} for others" for module, number in sent.items()}
    found = {
        each.module: f"always called by others: {', '.join(each.callers)}"
        for each in helpers
        if is_writable(each.module)
    }
    return {**known, **found}


def helpers_in_source(source: Iterable[SourceModule], roles: Roles) -> dict[str, str]:
    """Return the modules of the source that send what others decide, each with why."""
    return {
        each.name: f"in the source, sends what others decide: {', '.join(each.callers)}"
        for each in source
        if each.callers and is_writable(each.name) and each.name not in roles.owners | roles.legacy
    }


def find_unseen(source: Iterable[SourceModule], names: Collection[str]) -> list[SourceModule]:
    """Return the modules that could place exits and are not among these, those with most places first."""
    unseen = [each for each in source if each.name not in names and is_writable(each.name)]
    unique = {each.name: each for each in unseen}
    return sorted(unique.values(), key=lambda each: (-each.places, each.name))


def choose_owners(modules: Sequence[ModuleNumbers], roles: Roles) -> dict[str, str]:
    """Return who should own the exits, each with why."""
    named = {each.module: each.text for each in modules if each.module in roles.owners}
    if named:
        return named
    # Who takes what others placed cannot own: the fights would go on.
    peaceful = [each for each in modules if each.stops and not each.taken and each.module not in roles.legacy]
    if peaceful:
        best = max(peaceful, key=lambda each: each.stops)
        return {best.module: f"{best.text}: the most stops of those that take nothing of others"}
    if not modules:
        return {EXECUTOR: "exit_shim's own executor, since no module's stops were seen"}
    return {EXECUTOR: "exit_shim's own executor, since every module with stops takes others' or is legacy"}


def policy_text(advice: Advice, about: str, name: str, forecast: str | None) -> str:
    """Return the policy as a commented TOML file.

    Args:
        advice: Who should be what.
        about: What it is made from, in words.
        name: What the file is called, in a shell.
        forecast: What it would hold back where it is enforced, in words; None where that was not counted.
    """
    lines = [
        "# Who owns the exits of this bot: a policy to start from.",
        *comment(f"Written by `exit-shim init` from {about}."),
        "# Correct the lists, keep what fits. Every key: docs/reference/policy.md",
        "",
        "# 1. As it is, it only warns: nothing is held back.",
        *comment(f"2. `exit-shim whatif --policy {name}` shows what it would have held back: nothing yet."),
        '# 3. Once the warnings are those that you expect, uncomment `level = "enforce"` below; ask 2 again.',
        *(comment(f"   {forecast}") if forecast else []),
        'level = "warn"',
        "",
        *passthrough_lines(advice),
        f"[modes.{advice.mode}]",
        "# The modules that should hold the exits. Where enforced, only their stops count as cover.",
        *listed("owners", advice.owners.items()),
        "",
        "# The modules that should not place, move or cancel exits any more.",
        *listed("legacy", [(each.module, each.text) for each in advice.legacy]),
        "",
        "# Next step: hold back what legacy modules do, on a quarter of the symbols first.",
        '# level = "enforce"',
        "# rollout = 0.25",
        "",
        "# Next step: let nobody cancel the last stop of a position.",
        "# [rules.STRIPPED]",
        '# level = "enforce"',
    ]
    if advice.others:
        lines += ["", "# On no list, so no rule applies to them:"]
        for each in advice.others:
            lines += comment(
                f"  {each.module}: {each.text}{', only closes' * (each.closes == each.exits > 0)}"
            )
    return "\n".join(lines) + "\n"


def passthrough_lines(advice: Advice) -> list[str]:
    """Return the list of helpers, if there are any."""
    if not advice.passthrough:
        return []
    return [
        "# Helpers that send what others decided: orders are attributed to their callers.",
        *listed("passthrough", advice.passthrough.items()),
        "",
    ]


def listed(key: str, modules: Iterable[tuple[str, str]]) -> list[str]:
    """Return a key with a list of modules, each on a line with why."""
    lines = [f"    {quoted(module)},  # {printable(why)}" for module, why in modules]
    return [f"{key} = [", *lines, "]"] if lines else [f"{key} = []"]


def comment(text: str) -> list[str]:
    """Return a text as a comment."""
    return [f"# {printable(text)}"]


def quoted(text: str) -> str:
    """Return a text as a string of TOML."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
