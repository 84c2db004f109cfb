"""Which module asked for an order, and what that answer rests on."""

import asyncio
import functools
import inspect
import operator
import os
import re
import site
import sys
import sysconfig
from collections.abc import Callable, Collection, Mapping, Sequence
from contextvars import ContextVar
from fnmatch import fnmatchcase
from pathlib import Path
from types import CodeType, TracebackType
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeVar

import msgspec

Evidence = Literal["context", "stack", "carried", "bind", "unknown"]
"""In the order in which they count: said so in code; a frame of the call; a frame of where the call was
handed to a pool or thread by `carry`; a frame of the fetch; nothing."""

Part = Literal["chosen", "executor", "layer", "skipped", "outer"]
"""What a frame was taken for: who asked; passed through as declared an executor, or as a method with a
door's own name; the code of a library, the frames of one package in a row told as one; whoever called
the one who asked."""

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


class Step(msgspec.Struct, frozen=True, array_like=True):
    """One frame between an order and the start of its thread or task.

    `module` is the dotted name, or the short one where that says nothing (`__main__`); of a skipped
    library the name of its package, without function and line.
    """

    module: str
    part: Part
    function: str = ""
    line: int = 0


class Attribution(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Who asked for an order.

    `module` is the short name for people (`position_monitor`), `dotted_module` the importable one;
    `function`, `file` and `line` are the place that asked. `via` names the executors and layers passed on
    the way, `chain` the frames that the name was chosen from, at most 16; both nearest to the client first.
    """

    module: str
    evidence: Evidence
    dotted_module: str | None = None
    function: str | None = None
    file: str | None = None
    line: int | None = None
    via: tuple[str, ...] = ()
    chain: tuple[Step, ...] = ()
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


class Known(NamedTuple):
    """What is known of a file: the short name to record, what its frames are, and the name in a chain."""

    name: str
    part: Literal["own", "executor", "skipped", "loop"]
    label: str


class Passed(NamedTuple):
    """A frame that was passed through, as cheaply as it can be kept."""

    known: Known
    code: CodeType
    line: int


class Site(NamedTuple):
    """The place in the bot's own code that asked; `known` is None where no frame was the bot's.

    `passed` holds the frames between it and the client, nearest to the client first.
    """

    known: Known | None
    dotted: str
    code: CodeType | None
    line: int
    passed: tuple[Passed, ...]


class CodeOf(NamedTuple):
    """What is read of a code object, which cannot be pickled."""

    co_filename: str
    co_name: str
    co_qualname: str


def portable(site: Site | None) -> Site | None:
    """The same place, for another process."""
    if site is None:
        return None
    passed = tuple(frame._replace(code=_code_of(frame.code)) for frame in site.passed)
    return site._replace(code=site.code and _code_of(site.code), passed=passed)


def _code_of(code: Any) -> Any:
    return CodeOf(code.co_filename, code.co_name, _qualname(code))


CHAIN: Final = 16
"""How many frames of a chain are kept."""

FRAMES: Final = 64
"""How many frames behind the one that asked are looked at, for the chain."""


class SiteFinder:
    """Finds the first frame of the bot's own code that is not an executor.

    Skipped: the standard library, installed packages, this package. Passed through: modules declared
    executors, by short or dotted name, and functions that bear a door's own name, which are layers around
    the client. What a file is stays the same for the life of the process, so it is decided once per file
    name (never per code object: identical functions in two files compare equal, and one would be taken for
    the other).

    The walk ends at an event loop, whose runner asked for nothing but the task that it waits for: behind a
    callback or a task that somebody else made there is only whoever started the bot.

    Args:
        executors: Modules to pass through.
        layers: Names of functions to pass through.
        in_app: What counts as the bot's own though it lies among the installed packages.
        not_in_app: What does not count as the bot's own. Patterns as `matches` takes them.
        aliases: The name to record for a module, by its short or dotted name.
    """

    def __init__(
        self,
        executors: frozenset[str] = frozenset(),
        *,
        layers: Collection[str] = (),
        in_app: Collection[str] = (),
        not_in_app: Collection[str] = (),
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        self._executors = executors
        self._layers = frozenset(layers)
        self._in_app = tuple(in_app)
        self._not_in_app = tuple(not_in_app)
        self._aliases = dict(aliases or {})
        self._known: dict[str, Known | None] = {}
        self._packages: dict[str, Known] = {}
        self._generated: dict[tuple[str, str | None, str | None], Known | None] = {}

    def find(self, frame: Frame | None) -> Site:
        """Walk outwards from `frame`."""
        known, at = self._known, frame
        try:  # what nearly every fetch finds at once; this is on the path of entries too
            while at is not None:
                code = at.f_code
                own = known[code.co_filename]
                if own is not None:
                    if own[1] != "own" or code.co_name in self._layers:
                        break
                    dotted = at.f_globals.get("__name__")
                    dotted = dotted if dotted and type(dotted) is str else own[0]
                    return _new(Site, (own, dotted, code, at.f_lineno, ()))
                at = at.f_back
        except KeyError:
            pass
        return self.nearest(frame)[0]

    def nearest(self, frame: Frame | None) -> tuple[Site, Frame | None]:
        """The same, and the frame that was found."""
        passed: list[Passed] = []
        known, skipped = self._known, None
        while frame is not None:
            code = frame.f_code
            try:
                own = known[code.co_filename]
            except KeyError:
                own = self._decide(code.co_filename, frame)
            if own is not None and own is not skipped:
                part = own[1]
                if part == "own" and code.co_name not in self._layers:
                    dotted = frame.f_globals.get("__name__")
                    dotted = dotted if dotted and type(dotted) is str else own[0]
                    through = tuple(passed) if passed else ()
                    return _new(Site, (own, dotted, code, frame.f_lineno, through)), frame
                if part == "skipped":
                    skipped = own  # the frames of a package in a row are told once
                elif part == "loop" and not waits_for_this_task(frame):
                    break
                if len(passed) < CHAIN - 1:
                    passed.append(_new(Passed, (own, code, frame.f_lineno)))
            frame = frame.f_back
        return _new(Site, (None, "", None, 0, tuple(passed))), None

    def outer(self, frame: Frame, chain: list[Step]) -> None:
        """Put the bot's own frames outside `frame` into `chain`, nearest first, as far as there is room."""
        known = self._known
        at = frame.f_back
        for _ in range(FRAMES):
            if at is None:
                break
            code = at.f_code
            try:
                own = known[code.co_filename]
            except KeyError:
                own = self._decide(code.co_filename, at)
            if own is not None:
                part = own[1]
                if part == "own" or part == "executor":  # noqa: PLR1714 - a set costs more
                    function = _qualname(code)
                    function = function if function.isascii() else plain_text(function)
                    chain.append(Step(own[2], "outer", function, at.f_lineno))
                    if len(chain) >= CHAIN:
                        break
                elif part == "loop" and not waits_for_this_task(at):
                    break
            at = at.f_back

    def _decide(self, filename: str, frame: Frame) -> Known | None:
        names = frame.f_globals
        said, given = names.get("__name__"), names.get("__file__")
        said, given = said if isinstance(said, str) else None, given if isinstance(given, str) else None
        if not filename.startswith("<") or filename.startswith("<frozen "):
            if filename not in self._known:
                self._known[filename] = self._known_of(filename, said, names)
            return self._known[filename]
        key = (filename, said, given)  # "<string>" names many different texts
        if key not in self._generated:
            if len(self._generated) >= _GENERATED:
                self._generated.clear()
            self._generated[key] = self._known_of(given or filename, said, names)
        return self._generated[key]

    def _known_of(self, filename: str, said: str | None, names: Mapping[str, Any]) -> Known | None:
        if filename.startswith(_OWN_FOLDER) or (said or "").startswith("exit_shim."):
            return None
        if filename.startswith("<") and (not said or (said == "__main__" and is_worker())):
            return None  # generated and nameless is no place, nor is multiprocessing's own command line
        dotted = said or "__main__"
        if self._is_foreign(filename, dotted):
            package = plain_text(dotted.partition(".")[0])
            return (
                self._packages.setdefault(package, Known(package, "skipped", package))
                if said != _LOOP
                else Known(package, "loop", package)
            )
        short = notebook(names) if is_notebook(filename) else short_name(dotted, filename)
        name = plain_text(self._aliases.get(dotted, self._aliases.get(short, short)))
        is_executor = not self._executors.isdisjoint((name, short, dotted))
        label = name if dotted in _MAINS else plain_text(dotted)
        return Known(name, "executor" if is_executor else "own", label)

    def _is_foreign(self, filename: str, dotted: str) -> bool:
        if self._not_in_app and matches(self._not_in_app, dotted, filename):
            return True
        if self._in_app and matches(self._in_app, dotted, filename):
            return False
        return is_foreign(filename, dotted)


_GENERATED: Final = 4096
"""How many texts without a file are remembered; a notebook makes one for each cell that is run."""

_LOOP: Final = "asyncio.base_events"
_OWN_FOLDER: Final = os.path.dirname(os.path.abspath(__file__)) + os.sep  # noqa: PTH100, PTH120
_MAINS: Final = ("__main__", "__mp_main__")
"""The program; under multiprocessing's spawn its file is imported once more, under the second name."""

_new = tuple.__new__
"""Makes a named tuple in a third of the time: this is on the path of every order, entries included."""


def waits_for_this_task(frame: Frame | None) -> bool:
    """Whether an event loop's frames belong to a `run_until_complete` of the very task that runs now."""
    while frame is not None and str(frame.f_globals.get("__name__")).startswith("asyncio."):
        if frame.f_code.co_name == "run_until_complete":
            return frame.f_locals.get("future") is asyncio.current_task()
        frame = frame.f_back
    return False


class CarriedFrame(NamedTuple):
    """What is kept of a frame that has gone: what `Frame` asks for, and no local variable."""

    f_code: CodeType
    f_lineno: int
    f_globals: dict[str, Any]
    f_back: "CarriedFrame | None"

    @property
    def f_locals(self) -> Mapping[str, Any]:
        """None are kept."""
        return {}


class Carried(NamedTuple):
    """The frames that led to where the running call was handed on, as `carry` saw them, and where it runs.

    A thread, or a task, inherits nothing of this to the tasks and callbacks that are made from inside.
    """

    frames: CarriedFrame | None
    runs_in: object

    def here(self) -> CarriedFrame | None:
        """The frames, where this is still the call that was handed on."""
        return self.frames if self.runs_in is running_in() else None


carried: ContextVar[Carried | None] = ContextVar("exit_shim_carried", default=None)


def running_in() -> object:
    """The task, or else the event loop, that runs this; None outside of any."""
    try:
        return asyncio.current_task() or asyncio.get_running_loop()
    except RuntimeError:
        return None


def attribute(finder: SiteFinder, frame: Frame | None, bound_at: Site | None) -> Attribution:
    """Name who asked: by the context variable, the call's stack, what was carried along, or the fetch."""
    found, at = finder.nearest(frame)
    passed = found.passed
    evidence: Evidence = "stack"
    if found.known is None and (handed_on := carried.get()) is not None:
        found, at = finder.nearest(handed_on.here())
        passed, evidence = (*passed, *found.passed), "carried"
    if found.known is None and bound_at is not None:
        found, evidence = bound_at, "bind"
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
        chain = [_step(*frame) for frame in passed[: CHAIN - 1]]
    if code is None or found.known is None:
        return Attribution(
            module=module, evidence=evidence, via=via, chain=tuple(chain), explanation=explanation
        )
    function = _qualname(code)
    function = function if function.isascii() else plain_text(function)
    chain.append(Step(found.known.label, "chosen", function, found.line))
    if at is not None:
        finder.outer(at, chain)
    return Attribution(
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


_qualname: Final[Callable[[Any], str]] = operator.attrgetter(
    "co_qualname" if sys.version_info >= (3, 11) else "co_name"
)


def _step(known: Known, code: CodeType, line: int) -> Step:
    if known.part not in _NAMED:
        return Step(known.label, "skipped")
    return Step(
        known.label, "executor" if known.part == "executor" else "layer", plain_text(_qualname(code)), line
    )


def via_of(passed: Sequence[Passed]) -> tuple[str, ...]:
    """The names of the executors and layers among frames, once each."""
    return tuple(dict.fromkeys([own.name for own, _, _ in passed if own.part in _NAMED]))


_NAMED: Final = frozenset({"own", "executor"})


def plain_text(value: object) -> str:
    """The text of `value` as UTF-8 can hold it: a file name may carry bytes that are none."""
    if type(value) is str and value.isascii():
        return value
    try:
        text = str.__str__(value) if isinstance(value, str) else str(value)
    except Exception:  # noqa: BLE001 - a name that cannot be told is told by its type
        text = f"<{type(value).__name__}>"
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def short_name(dotted: str, filename: str) -> str:
    """`backend.services.position_monitor` → `position_monitor`; a script or package main by its file."""
    name = dotted.rpartition(".")[2]
    if name not in _MAINS:
        return name
    path = Path(filename)
    return path.parent.name if path.stem == "__main__" else path.stem


def is_worker() -> bool:
    """Whether multiprocessing started this process by a command line of its own."""
    return any(word.startswith("from multiprocessing.") for word in sys.orig_argv)


def is_notebook(filename: str) -> bool:
    """A cell's text, under IPython's name for it or in ipykernel's temporary file."""
    return filename.startswith("<ipython-input-") or bool(
        re.search(r"[\\/]ipykernel_\d+[\\/]\d+\.py$", filename)
    )


def notebook(names: Mapping[str, Any]) -> str:
    """The notebook's name as VS Code or Jupyter tell it to the kernel, else "notebook"."""
    told = names.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME")
    return Path(told).stem if isinstance(told, str) else "notebook"


def matches(patterns: Collection[str], dotted: str, filename: str) -> bool:
    """Whether a module is meant: by its dotted name, a package that it is in, or its file; `*` as in fnmatch.

    `trader` and `trader.*` mean the module `trader.risk`; `*/strategies/*.py` means files, with `/` on
    every platform.
    """
    path = filename.replace("\\", "/")
    return any(
        dotted.startswith(f"{pattern}.") or fnmatchcase(dotted, pattern) or fnmatchcase(path, pattern)
        for pattern in patterns
    )


@functools.lru_cache(maxsize=1)
def _foreign_roots() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    roots = {paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    roots.update({site.getusersitepackages(), os.path.dirname(os.__file__), os.path.dirname(__file__)})  # noqa: PTH120
    return tuple(root.rstrip(os.sep) + os.sep for root in roots)


LIBRARIES: Final = frozenset(
    {"aiohttp", "binance", "msgspec", "requests", "structlog", "urllib3", "websockets", "wrapt"}
)
"""What this package and python-binance rest on: foreign wherever it lies, such as beside the bot."""

WITHOUT_A_PLACE: Final = LIBRARIES | {"apscheduler", "backoff", "decorator", "retry", "retrying", "tenacity"}
"""In a frozen app all files have names without a folder to tell them by; these call what they are given."""


def is_foreign(filename: str, dotted: str = "") -> bool:
    """True for the standard library, installed packages and exit_shim itself."""
    frozen = filename.startswith("<frozen ")
    package = (filename[len("<frozen ") : -1] if frozen else dotted).partition(".")[0]
    if package in LIBRARIES:
        return True
    if (frozen or not (filename.startswith("<") or os.path.isabs(filename))) and (  # noqa: PTH117
        package in sys.stdlib_module_names or package in WITHOUT_A_PLACE
    ):
        return True
    parts = filename.replace("\\", "/")
    return filename.startswith(_foreign_roots()) or "/site-packages/" in parts or "/dist-packages/" in parts
