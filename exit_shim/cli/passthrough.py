"""Which modules look like executors that nobody declared, judged by the recorded chains."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from exit_shim.domain.attributions import Step
from exit_shim.guard.policy import Roles
from exit_shim.journal import Stack

ENOUGH: Final = 2
DECIDE: Final = Roles().legacy | Roles().owners


class Suggestion(NamedTuple):
    """A probable executor: its short name, the modules that it acts for, and the line to configure it."""

    module: str
    callers: tuple[str, ...]

    @property
    def configuration(self) -> str:
        """What to pass to ExitShim."""
        return f"Roles(passthrough=Roles().passthrough | {{{self.module!r}}})"


class Seen:
    """What the chains say of one module that was taken for who asked, by the names that chains have."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.outer: set[str] = set()
        self.calls: set[Step] = set()
        self.is_alone = False

    def add(self, module: str, outer: Sequence[Step]) -> None:
        """Take in what stood behind it this time."""
        others = [step for step in outer if step.module != module]
        self.outer.update(step.module for step in others)
        self.calls.update(others[:1])
        self.is_alone |= not others


def probable_passthrough(stacks: Iterable[Stack]) -> list[Suggestion]:
    """Modules that are always called by others, and act for them.

    Named is a module behind which at least two different modules stand, and one every time; called by two
    or more besides the program's start, or from several places by modules that act at doors themselves.
    What `Roles` calls legacy or an owner by default decides for itself.
    """
    seen: dict[str, Seen] = {}
    acting: set[str] = set()
    starts: set[str] = set()
    for who in stacks:
        starts.update(step.module for step in who.chain if step.function == "<module>")
        at = next((place for place, step in enumerate(who.chain) if step.part == "chosen"), None)
        if at is None:
            continue
        module = who.chain[at].module
        acting.add(module)
        # What led to a fetch is not recorded; what is declared is told.
        if who.evidence in {"stack", "carried"}:
            seen.setdefault(module, Seen(who.module)).add(module, who.chain[at + 1 :])
    return [
        Suggestion(found.name, tuple(sorted({step.module for step in found.calls})))
        for module, found in sorted(seen.items())
        if DECIDE.isdisjoint((module, found.name)) and is_probable(found, acting, starts)
    ]


def is_probable(found: Seen, acting: set[str], starts: set[str]) -> bool:
    """Whether a module acts for others, by what was seen of all."""
    callers = {step.module for step in found.calls}
    if found.is_alone or len(found.outer) < ENOUGH:
        return False
    return len(callers - starts) >= ENOUGH or (
        len(found.calls) >= ENOUGH and callers <= acting and callers.isdisjoint(starts)
    )
