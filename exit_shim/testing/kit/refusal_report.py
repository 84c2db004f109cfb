"""Show a refused host or key as a few lines of a failed test: the bot's own places, and what was refused."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

REPORTED: Final = pytest.StashKey[set[str]]()
"""The refusals that a test's own report shows."""

MOST_ERRORS: Final = 32
"""How many causes of an error are looked at."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Cut short what libraries made of a refusal, which takes hundreds of lines."""
    report = yield
    guard = sys.modules.get("exit_shim.testing.kit.network_guard")
    if report.failed and call.excinfo is not None and guard is not None:
        refusal = find_refusal(call.excinfo.value, guard)
        if refusal is not None:
            shorten(report, item, call.excinfo, refusal)
    return report


def find_refusal(error: BaseException, guard: ModuleType) -> BaseException | None:
    """Return the refusal that led to an error; None where none did."""
    kinds = guard.RealHostRefusedError, guard.RealKeyRefusedError
    return next((cause for cause in causes_of(error) if isinstance(cause, kinds)), None)


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, what it was raised from, and what it groups."""
    pending: list[BaseException | None] = [error]
    seen: set[int] = set()
    while pending and len(seen) < MOST_ERRORS:
        cause = pending.pop(0)
        if cause is not None and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            pending += [cause.__cause__, cause.__context__, *getattr(cause, "exceptions", ())]


def shorten(
    report: pytest.TestReport,
    item: pytest.Item,
    failure: pytest.ExceptionInfo[BaseException],
    refusal: BaseException,
) -> None:
    """Have a report show the places in code that is not installed, and one error."""
    from exit_shim.attribution.code_files import is_foreign  # noqa: PLC0415 - the guard has loaded it

    entries = failure.traceback
    # What the bot itself made of the refusal is its own error; the refusal is in a section of the report.
    is_the_bots = not is_foreign(str(entries[-1].path))
    shown = failure if is_the_bots else pytest.ExceptionInfo.from_exception(refusal)
    own = entries.filter(lambda entry: not is_foreign(str(entry.path)))
    shown.traceback = own or entries[-1:]
    report.longrepr = shown.getrepr(style="short", chain=False, abspath=False)
    if not is_the_bots:
        item.stash.setdefault(REPORTED, set()).add(text_of(refusal))


def text_of(refusal: BaseException) -> str:
    """Return what was refused, without the error's number."""
    return str(getattr(refusal, "strerror", None) or refusal)
