"""Suggests which modules only send what others decided, from the recorded call chains."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from exit_shim.domain.attributions import Step
from exit_shim.guard.policy import Roles
from exit_shim.journal import Stack

ENOUGH: Final = 2
"""How many different modules, or places, must be seen before a suggestion is made."""

DECIDING: Final = Roles().legacy | Roles().owners
"""Modules that decide for themselves, by the default roles."""


class Suggestion(NamedTuple):
    """A probable passthrough module: its short name and the modules that call it."""

    module: str
    callers: tuple[str, ...]

    @property
    def configuration(self) -> str:
        """Return the Python expression for `ExitShim(roles=...)`."""
        return f"Roles(passthrough=Roles().passthrough | {{{self.module!r}}})"


class SenderHistory:
    """Every chain in which one module sent the order, as it builds up."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.outer_modules: set[str] = set()
        self.calls: set[Step] = set()
        self.was_alone = False

    def add(self, module: str, outer: Sequence[Step]) -> None:
        """Add the frames that led to the module in one chain."""
        others = [step for step in outer if step.module != module]
        self.outer_modules.update(step.module for step in others)
        self.calls.update(others[:1])
        self.was_alone |= not others

    def callers(self) -> set[str]:
        """Return the modules that called this one directly."""
        return {step.module for step in self.calls}


def suggest_passthrough(stacks: Iterable[Stack]) -> list[Suggestion]:
    """Return the modules that others always call, and that act for them.

    At least two different modules stand behind such a module, and one every time. It is called by two or
    more besides the program's start, or from several places by modules that use doors themselves. Default
    legacy modules and owners are never suggested.
    """
    histories: dict[str, SenderHistory] = {}
    senders: set[str] = set()
    starts: set[str] = set()
    for stack in stacks:
        starts.update(step.module for step in stack.chain if step.function == "<module>")
        at = next((place for place, step in enumerate(stack.chain) if step.part == "chosen"), None)
        if at is None:
            continue
        module = stack.chain[at].module
        senders.add(module)
        # With other evidence the callers are not recorded, or the code named the module.
        if stack.evidence in {"stack", "carried"}:
            history = histories.setdefault(module, SenderHistory(stack.module))
            history.add(module, stack.chain[at + 1 :])
    return [
        Suggestion(history.name, tuple(sorted(history.callers())))
        for module, history in sorted(histories.items())
        if DECIDING.isdisjoint((module, history.name)) and is_passthrough(history, senders, starts)
    ]


def is_passthrough(history: SenderHistory, senders: set[str], starts: set[str]) -> bool:
    """Return whether a module only sends what others decided."""
    callers = history.callers()
    if history.was_alone or len(history.outer_modules) < ENOUGH:
        return False
    return len(callers - starts) >= ENOUGH or (
        len(history.calls) >= ENOUGH and callers <= senders and callers.isdisjoint(starts)
    )
