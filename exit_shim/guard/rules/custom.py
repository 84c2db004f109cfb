"""Custom rules: plain functions under a code, registered in code or by an entry point."""

import functools
import re
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Final, NamedTuple, TypeVar

from exit_shim.domain.reason_codes import REASONS
from exit_shim.guard.rules.context import RuleFunction

GROUP: Final = "exit_shim.rules"
"""The group of entry points: the name is the code, the object the function."""

CODE: Final = re.compile(r"[A-Z][A-Z0-9_]*")

F = TypeVar("F", bound=RuleFunction)


class CustomRule(NamedTuple):
    """A rule that is not exit_shim's."""

    code: str
    function: RuleFunction


@functools.cache
def _installed() -> tuple[EntryPoint, ...]:
    """Return the entry points of all packages."""
    # Cached: looking for them takes longer than all else at a start.
    return tuple(entry_points(group=GROUP))


_registered: dict[str, RuleFunction] = {}


def rule(code: str) -> Callable[[F], F]:
    """Register a function as a rule: `@exit_shim.rule("MY_CODE")`.

    It is called with a `RuleContext` for every exit order, change and cancel. It returns None where it finds
    nothing, else a dict of facts. One that raises is counted and skipped. The policy sets its level under
    `rules.MY_CODE`: at "enforce" it is asked before the send, else in the background soon after.

    Raises:
        ValueError: The code is not in capitals, or is one of exit_shim's own.
    """
    if not CODE.fullmatch(code):
        raise ValueError(f"rule code {code!r} must be in capitals, digits and _, such as 'TOO_LATE'")
    if code in REASONS:
        raise ValueError(f"rule code {code!r} is exit_shim's own; choose another")

    def register(function: F) -> F:
        _registered[code] = function
        return function

    return register


def forget_custom_rules() -> None:
    """Forget what `rule` registered; for tests."""
    _registered.clear()


def custom_codes() -> frozenset[str]:
    """Return the codes of all rules that are not exit_shim's."""
    return frozenset(_registered) | {point.name for point in _installed()}


def custom_rules(report: Callable[[str, Exception], None]) -> tuple[CustomRule, ...]:
    """Return the rules registered in code and by packages; one that cannot be loaded is reported."""
    functions = dict(_registered)
    for point in _installed():
        if point.name in functions or point.name in REASONS or not CODE.fullmatch(point.name):
            continue
        try:
            functions[point.name] = point.load()
        except Exception as error:  # noqa: BLE001 - a package's failure is not the bot's
            report(f"load the rule {point.name}", error)
    return tuple(CustomRule(code, function) for code, function in functions.items())
