"""Which module asked for an order, and what that answer rests on."""

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
    CHAIN,
    Frame,
    Site,
    SiteFinder,
    frames_outwards,
    frames_within,
    keep,
    may_run_a_loop,
    qualname,
    step_of,
    via_of,
)
from exit_shim.domain.attributions import UNKNOWN_MODULE, Attribution, Evidence, Step
from exit_shim.runtime.context_variables import set_variable

F = TypeVar("F", bound=Callable[..., Any])


class Declared(NamedTuple):
    """What `attributed` says of the orders placed inside it; `by` whom, and what held before, `outer`."""

    module: str
    kind: str | None
    explanation: str | None
    by: object = None
    outer: "Declared | None" = None


declared: ContextVar[Declared | None] = ContextVar("exit_shim_attributed", default=None)


def declare(said: Declared, by: object) -> None:
    """Let this hold from here on, until `by` undoes it."""
    set_variable(declared, said._replace(by=by, outer=declared.get()))


def undo(by: object) -> None:
    """Undo the latest that `by` declared here, and nobody else's, such as what holds around a generator."""
    inner, said = [], declared.get()
    while said is not None and said.by is not by:
        inner.append(said)
        said = said.outer
    if said is None:  # a generator that another task, or the end of the event loop, finishes
        return
    said = said.outer
    for one in reversed(inner):
        said = one._replace(outer=said)
    set_variable(declared, said)


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
    """What is kept of a frame that has gone: what `Frame` asks for, and no local variable."""

    f_code: CodeType
    f_lineno: int
    f_lasti: int
    f_globals: dict[str, Any]
    f_back: "CarriedFrame | None"

    @property
    def f_locals(self) -> Mapping[str, Any]:
        """None are kept."""
        return {}


carried: Final[dict[object, CarriedFrame | None]] = {}
"""The frames that led to where a running call was handed on, as `carry` saw them, by what runs it.

A thread, or a task, inherits nothing of this to the tasks and callbacks that are made from inside.
"""


class Thread(threading.local):
    """What stands for the running thread; its number may be another thread's soon, after a fork at once."""

    def __init__(self) -> None:
        self.mark = object()


_thread: Final = Thread()


def running_in() -> object:
    """Return what stands for the task that runs this, or else for the event loop, or else for the thread."""
    try:
        return asyncio.current_task() or asyncio.get_running_loop()
    except RuntimeError:
        return _thread.mark


def attribute(
    finder: SiteFinder, frame: Frame | None, bound_at: Site | None
) -> tuple[Attribution, Frame | None]:
    """Name who asked: by the context variable, the call's stack, what was carried along, or the fetch.

    Returns:
        The name and its evidence, and the frame that asked where it is still there to look outwards from.
    """
    if frame is not None and declared.get() is None:
        told = finder.told.get((id(frame.f_code), frame.f_lasti))
        if told is not None and told[1] is frame.f_globals.get("__name__"):
            return told[2], frame
    found, at = finder.nearest(frames_within(frame))
    who, asking = pieced_together(finder, found, at, bound_at)
    if (
        asking is not None
        and asking is frame
        and who.evidence == "stack"
        and not may_run_a_loop(frame.f_code)
    ):
        keep(finder.told, asking, (asking.f_code, asking.f_globals.get("__name__"), who))
    return who, asking


def pieced_together(
    finder: SiteFinder, found: Site, at: Frame | None, bound_at: Site | None
) -> tuple[Attribution, Frame | None]:
    """The same, for what `nearest` has found."""
    passed = found.passed
    evidence: Evidence = "stack"
    if found.known is None and carried and (handed_on := carried.get(running_in())) is not None:
        found, at = finder.nearest(frames_outwards(handed_on))
        passed, evidence = (*passed, *found.passed), "carried"
    if found.known is None and bound_at is not None:
        found, evidence = bound_at.with_line(), "bind"
        passed = (*passed, *found.passed)
    said = declared.get()
    if said is not None:
        module, explanation, evidence = said.module, said.explanation, "context"
    else:
        module, explanation = found.known.name if found.known else UNKNOWN_MODULE, None
        if found.known is None:
            evidence = "unknown"
    via: tuple[str, ...] = ()
    chain: list[Step] = []
    code = found.code
    if passed:
        via = via_of(passed)
        chain = [step_of(*frame) for frame in passed[: CHAIN - 1]]
    if code is None or found.known is None:
        return Attribution(
            module=module, evidence=evidence, via=via, chain=tuple(chain), explanation=explanation
        ), None
    function = qualname(code)
    function = function if function.isascii() else plain_text(function)
    chain.append(Step(found.known.label, "chosen", function, found.line))
    who = Attribution(
        module=module,
        evidence=evidence,
        dotted_module=plain_text(found.dotted),
        function=function,
        file=plain_text(code.co_filename),
        line=found.line,
        via=via,
        chain=tuple(chain),
        explanation=explanation,
    )
    return who, at
