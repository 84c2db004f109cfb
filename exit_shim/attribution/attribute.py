"""Which module asked for an order, and what evidence there is for that."""

import asyncio
import functools
import inspect
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import CodeType, TracebackType
from typing import Any, Final, NamedTuple, TypeVar

from exit_shim.attribution.code_files import plain_text
from exit_shim.attribution.stack import (
    CallSite,
    PassedFrame,
    SiteFinder,
    frames_outwards,
    frames_within,
    may_run_a_loop,
    qualname,
    remember,
    step_of,
    via_of,
)
from exit_shim.domain.attributions import CHAIN, UNKNOWN_MODULE, Attribution, Declared, Evidence, Frame, Step
from exit_shim.runtime.context_variables import set_variable

F = TypeVar("F", bound=Callable[..., Any])


declared: ContextVar[Declared | None] = ContextVar("exit_shim_attributed", default=None)


def declare(declaration: Declared, by: object) -> None:
    """Let a declaration hold from here on, until `by` undoes it."""
    set_variable(declared, declaration._replace(by=by, outer=declared.get()))


def undo(by: object) -> None:
    """Undo the latest declaration of `by` here, and no other, such as the one around a generator."""
    inner, current = [], declared.get()
    while current is not None and current.by is not by:
        inner.append(current)
        current = current.outer
    if current is None:  # a generator that another task, or the end of the event loop, finishes
        return
    current = current.outer
    for declaration in reversed(inner):
        current = declaration._replace(outer=current)
    set_variable(declared, current)


class attributed:  # noqa: N801 - reads as a word where it is used
    """Name the module that the orders placed inside are to be attributed to; outranks the stack.

    A context manager, in sync and async code alike, and a decorator of functions and coroutine
    functions. The name follows `create_task` and `asyncio.to_thread`, as context variables do; it does
    not follow a bare thread, a pool or a timer. In a generator it holds in the code that iterates, too.

    Args:
        module: The name to record, such as "position_monitor".
        kind: What the orders are for: sl, tp, partial_tp, trailing, breakeven, close or other_exit.
            Declares them exits even where their fields do not show it.
        explanation: Why, for the person who reads the record.
    """

    __slots__ = ("_declared",)

    def __init__(self, module: str, *, kind: str | None = None, explanation: str | None = None) -> None:
        self._declared = Declared(
            plain_text(module),
            None if kind is None else plain_text(kind),
            None if explanation is None else plain_text(explanation),
        )

    def __enter__(self) -> "attributed":  # noqa: PYI034 - Self is not in Python 3.10's typing
        # The way back lies in the context, not in this object: two tasks may be inside the same one.
        declare(self._declared, by=self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        undo(by=self)

    def __call__(self, function: F) -> F:
        """Wrap a function or coroutine function so that its body runs inside this attribution."""

        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        @functools.wraps(function)
        async def inside_async(*args: Any, **kwargs: Any) -> Any:
            with self:
                return await function(*args, **kwargs)

        return inside_async if inspect.iscoroutinefunction(function) else inside  # type: ignore[return-value]


class CarriedFrame(NamedTuple):
    """Copy what `Frame` asks for of a frame that will have ended, without its local variables."""

    f_code: CodeType
    f_lineno: int
    f_lasti: int
    f_globals: dict[str, Any]
    f_back: "CarriedFrame | None"

    @property
    def f_locals(self) -> Mapping[str, Any]:
        """Return nothing: no local variable is kept alive."""
        return {}


# Threads and tasks that are made from inside inherit nothing of this.
carried: Final[dict[object, CarriedFrame | None]] = {}
"""The frames that handed a running call on, as `carry` copied them, by the thread or task that runs it."""


class ThreadMark(threading.local):
    """Identify the running thread; after a fork its number may soon be another thread's."""

    def __init__(self) -> None:
        self.mark = object()


_thread: Final = ThreadMark()


def running_in() -> object:
    """Return what identifies the running task, or else the event loop, or else the thread."""
    try:
        return asyncio.current_task() or asyncio.get_running_loop()
    except RuntimeError:
        return _thread.mark


def attribute(
    finder: SiteFinder, frame: Frame | None, bound_at: CallSite | None
) -> tuple[Attribution, Frame | None]:
    """Name who asked: by the context variable, the call's stack, what was carried along, or the fetch.

    Returns:
        The name and its evidence, and the frame that asked where it is still there to look outwards from.
    """
    if frame is not None and declared.get() is None:
        remembered = finder.attributions.get((id(frame.f_code), frame.f_lasti))
        if remembered is not None and remembered[1] is frame.f_globals.get("__name__"):
            return remembered[2], frame
    site, at = finder.nearest(frames_within(frame))
    who, asking = attribute_site(finder, site, at, bound_at)
    is_of_call = frame is not None and asking is frame and who.evidence == "stack"
    # Code that may run an event loop may be who asked this time, and only the loop's frame the next.
    if is_of_call and frame is not None and not may_run_a_loop(frame.f_code):
        remember(finder.attributions, frame, (frame.f_code, frame.f_globals.get("__name__"), who))
    return who, asking


def attribute_site(
    finder: SiteFinder, site: CallSite, at: Frame | None, bound_at: CallSite | None
) -> tuple[Attribution, Frame | None]:
    """Name who asked, as `attribute` does, for what `nearest` returned for the call's stack."""
    passed = site.passed
    evidence: Evidence = "stack"
    if site.role is None and carried and (handed_on := carried.get(running_in())) is not None:
        site, at = finder.nearest(frames_outwards(handed_on))
        passed, evidence = (*passed, *site.passed), "carried"
    if site.role is None and bound_at is not None:
        site, evidence = bound_at.with_line(), "bind"
        passed = (*passed, *site.passed)
    return _attribution(site, passed, evidence), None if site.role is None else at


def _attribution(site: CallSite, passed: tuple[PassedFrame, ...], evidence: Evidence) -> Attribution:
    role, code, declaration = site.role, site.code, declared.get()
    via = via_of(passed) if passed else ()
    chain = [step_of(frame) for frame in passed[: CHAIN - 1]]
    explanation = None
    if declaration is not None:
        module, explanation, evidence = declaration.module, declaration.explanation, "context"
    elif role is None:
        module, evidence = UNKNOWN_MODULE, "unknown"
    else:
        module = role.name
    if code is None or role is None:
        return Attribution(
            module=module, evidence=evidence, via=via, chain=tuple(chain), explanation=explanation
        )
    function = plain_text(qualname(code))
    chain.append(Step(role.label, "chosen", function, site.line))
    return Attribution(
        module=module,
        evidence=evidence,
        dotted_module=plain_text(site.dotted),
        function=function,
        file=plain_text(code.co_filename),
        line=site.line,
        via=via,
        chain=tuple(chain),
        explanation=explanation,
    )
