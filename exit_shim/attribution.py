"""Which module asked for an order, and what that answer rests on."""

import asyncio
import functools
import inspect
import os
import site
import sysconfig
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from types import CodeType, TracebackType
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeVar

import msgspec

Evidence = Literal["context", "stack", "bind", "unknown"]
"""In the order in which they count: said so in code; a frame of the call; a frame of the fetch; nothing."""

UNKNOWN_MODULE: Final = "unknown"

F = TypeVar("F", bound=Callable[..., Any])


class Frame(Protocol):
    """What is read of a stack frame; `types.FrameType` is one."""

    @property
    def f_code(self) -> Any:
        """The code object: its `co_filename`, and its name for people."""

    @property
    def f_lineno(self) -> int:
        """The line that runs."""

    @property
    def f_globals(self) -> dict[str, Any]:
        """The module's names; `__name__` is read."""

    @property
    def f_locals(self) -> Any:
        """Read of an event loop's own frame only: the future that it runs until."""

    @property
    def f_back(self) -> "Frame | None":
        """The caller."""


class Attribution(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Who asked for an order.

    `module` is the short name for people (`position_monitor`), `dotted_module` the importable one;
    `function`, `file` and `line` are the place that asked. `via` names the executors passed on the way,
    nearest to the client first.
    """

    module: str
    evidence: Evidence
    dotted_module: str | None = None
    function: str | None = None
    file: str | None = None
    line: int | None = None
    via: tuple[str, ...] = ()
    explanation: str | None = None


class Declared(NamedTuple):
    """What `attributed` says of the orders placed inside it; `outer` is what held before."""

    module: str
    kind: str | None
    explanation: str | None
    outer: "Declared | None" = None


declared: ContextVar[Declared | None] = ContextVar("exit_shim_attributed", default=None)


class attributed:  # noqa: N801 - reads as a word where it is used
    """Name the module that the orders placed inside are to be attributed to; outranks the stack.

    A context manager, in sync and async code alike, and a decorator of functions and coroutine
    functions. The name follows `create_task` and `asyncio.to_thread`, as context variables do; it does
    not follow a bare thread, a pool or a timer.

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
        declared.set(self._declared._replace(outer=declared.get()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        said = declared.get()
        declared.set(said.outer if said else None)

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


class Site(NamedTuple):
    """The place in the bot's own code that asked; `name` is None where no frame was the bot's.

    `via` holds the executors between it and the client, nearest to the client first.
    """

    name: str | None
    dotted: str
    code: CodeType | None
    line: int
    via: tuple[str, ...]


class SiteFinder:
    """Finds the first frame of the bot's own code that is not an executor.

    Skipped: the standard library, installed packages, this package. Passed through and kept in `via`:
    modules declared executors, by short or dotted name. What a file is stays the same for the life of
    the process, so it is decided once per file name (never per code object: identical functions in two
    files compare equal, and one would be taken for the other).

    The walk ends at an event loop, whose runner asked for nothing but the task that it waits for: behind a
    callback or a task that somebody else made there is only whoever started the bot.
    """

    def __init__(self, executors: frozenset[str]) -> None:
        self._executors = executors
        self._known: dict[str, tuple[str, bool] | None] = {}

    def find(self, frame: Frame | None) -> Site:
        """Walk outwards from `frame`."""
        via: tuple[str, ...] = ()
        known = self._known
        while frame is not None:
            code = frame.f_code
            try:
                own = known[code.co_filename]
            except KeyError:
                own = self._decide(code.co_filename, frame)
            if own is not None:
                name, is_executor = own
                if not is_executor:
                    dotted = frame.f_globals.get("__name__")
                    dotted = dotted if dotted and type(dotted) is str else name
                    return _new_site(Site, (name, dotted, code, frame.f_lineno, via))
                if own is _EVENT_LOOP:
                    if not waits_for_this_task(frame):
                        break
                elif name not in via:
                    via = (*via, name)
            frame = frame.f_back
        return _new_site(Site, (None, "", None, 0, via))

    def _decide(self, filename: str, frame: Frame) -> tuple[str, bool] | None:
        own = None
        said = frame.f_globals.get("__name__") or None
        if is_foreign(filename):
            own = _EVENT_LOOP if said == _EVENT_LOOP[0] else None
        elif isinstance(said, str) or not filename.startswith("<"):  # generated and nameless is no place
            dotted = said if isinstance(said, str) else "__main__"
            name = plain_text(short_name(dotted, filename))
            own = name, not self._executors.isdisjoint((name, dotted))
        if not filename.startswith("<"):  # "<string>" names many different texts
            self._known[filename] = own
        return own


_EVENT_LOOP: Final = ("asyncio.base_events", True)
"""What is known of the file that runs event loops."""


def waits_for_this_task(frame: Frame | None) -> bool:
    """Whether an event loop's frames belong to a `run_until_complete` of the very task that runs now."""
    while frame is not None and str(frame.f_globals.get("__name__")).startswith("asyncio."):
        if frame.f_code.co_name == "run_until_complete":
            return frame.f_locals.get("future") is asyncio.current_task()
        frame = frame.f_back
    return False


_new_site = tuple.__new__
"""Makes a Site in a third of the time: this is on the path of every order, entries included."""


def attribute(finder: SiteFinder, frame: Frame | None, bound_at: Site | None) -> Attribution:
    """Name who asked: from the context variable, else the call's stack, else where the method was fetched."""
    found = finder.find(frame)
    via = found.via
    evidence: Evidence = "stack"
    if found.name is None and bound_at is not None:
        found, evidence = bound_at, "bind"
        via = (*via, *(name for name in bound_at.via if name not in via))
    said = declared.get()
    if said is not None:
        module, evidence = said.module, "context"
    else:
        module = found.name or UNKNOWN_MODULE
    explanation = said.explanation if said else None
    if found.code is None:
        if said is None:
            evidence = "unknown"
        return Attribution(module=module, evidence=evidence, via=via, explanation=explanation)
    function = getattr(found.code, "co_qualname", found.code.co_name)  # co_qualname: Python 3.11
    return Attribution(
        module=module,
        evidence=evidence,
        dotted_module=plain_text(found.dotted),
        function=plain_text(function),
        file=plain_text(found.code.co_filename),
        line=found.line,
        via=via,
        explanation=explanation,
    )


def plain_text(value: object) -> str:
    """The text of `value` as UTF-8 can hold it: a file name may carry bytes that are none."""
    try:
        text = str.__str__(value) if isinstance(value, str) else str(value)
    except Exception:  # noqa: BLE001 - a name that cannot be told is told by its type
        text = f"<{type(value).__name__}>"
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def short_name(dotted: str, filename: str) -> str:
    """`backend.services.position_monitor` → `position_monitor`; a script or package main by its file."""
    name = dotted.rpartition(".")[2]
    if name != "__main__":
        return name
    path = Path(filename)
    return path.parent.name if path.stem == "__main__" else path.stem


@functools.lru_cache(maxsize=1)
def _foreign_roots() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    roots = {paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    roots.update({site.getusersitepackages(), os.path.dirname(os.__file__), os.path.dirname(__file__)})  # noqa: PTH120
    return tuple(root.rstrip(os.sep) + os.sep for root in roots)


def is_foreign(filename: str) -> bool:
    """True for the standard library, installed packages and exit_shim itself."""
    if filename.startswith("<frozen "):
        return True
    parts = filename.replace("\\", "/")
    return filename.startswith(_foreign_roots()) or "/site-packages/" in parts or "/dist-packages/" in parts
