"""The walk over a stack: which frame is the bot's own, and what lies between it and the client."""

import asyncio
import operator
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from types import CodeType
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeVar

import msgspec

from exit_shim.files import (
    MAINS,
    is_foreign,
    is_notebook,
    is_worker,
    matches,
    notebook,
    plain_text,
    short_name,
)

Part = Literal["chosen", "executor", "layer", "skipped", "outer"]
"""What a frame was taken for: who asked; passed through as declared an executor, or as a method with a
door's own name; the code of a library, the frames of one package in a row told as one; whoever called
the one who asked."""


CHAIN: Final = 16
"""How many frames of a chain are kept."""


FRAMES: Final = 64
"""How many frames behind the one that asked are looked at, for the chain."""


_GENERATED: Final = 4096
"""How many texts without a file are remembered; a notebook makes one for each cell that is run."""


PLACES: Final = 4096
"""How many places in the code are remembered."""


FILES: Final = 16_384
"""How many files are: more than a bot has, but one that compiles texts may give each a name of its own."""


_LOOP: Final = "asyncio.base_events"


_OWN_FOLDER: Final = os.path.dirname(os.path.abspath(__file__)) + os.sep  # noqa: PTH100, PTH120


_NAMED: Final = frozenset({"own", "executor"})


_new = tuple.__new__
"""Makes a named tuple in a third of the time: this is on the path of every order, entries included."""


qualname: Final[Callable[[Any], str]] = operator.attrgetter(
    "co_qualname" if sys.version_info >= (3, 11) else "co_name"
)


K = TypeVar("K", bound=tuple[Any, ...])

Places = dict[tuple[int, int], K]
"""What is remembered of places: by the identity of the code, for those of copied files are equal, and the
instruction in it."""


class Frame(Protocol):
    """What is read of a stack frame; `types.FrameType` is one."""

    @property
    def f_code(self) -> Any:
        """The code object: its `co_filename`, and its name for people."""

    @property
    def f_lineno(self) -> int:
        """The line that runs."""

    @property
    def f_lasti(self) -> int:
        """The instruction that runs."""

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


_AT_LOOP: Final = Step("asyncio", "skipped")
"""Stands for an event loop's frame."""


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

    `passed` holds the frames between it and the client, nearest to the client first. Which line an
    `instruction` stands in is looked up when somebody asks: a fetch's place is hardly ever needed.
    """

    known: Known | None
    dotted: str
    code: CodeType | None
    line: int
    passed: tuple[Passed, ...]
    instruction: int | None = None

    def with_line(self) -> "Site":
        """The same, its line looked up."""
        if self.code is None or self.instruction is None:
            return self
        lines = (line for start, end, line in self.code.co_lines() if start <= self.instruction < end)
        return self._replace(line=next(lines, None) or self.code.co_firstlineno, instruction=None)


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
    return site.with_line()._replace(code=site.code and _code_of(site.code), passed=passed)


def _code_of(code: Any) -> Any:
    return CodeOf(code.co_filename, code.co_name, qualname(code))


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
        is_foreign(os.sep)  # asks the interpreter now: a child of a fork might find its lock shut for good
        self._known: dict[str, Known | None] = {}
        self._packages: dict[str, Known] = {}
        self._generated: dict[tuple[str, str | None, str | None], Known | None] = {}
        self.told: Places[Any] = {}
        """What `attribute` said of a place that asked."""
        self._steps: Places[tuple[CodeType, Step | None]] = {}

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
                    return _new(Site, (own, dotted, code, 0, (), at.f_lasti))
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
                    return _new(Site, (own, dotted, code, frame.f_lineno, through, None)), frame
                if part == "skipped":
                    skipped = own  # the frames of a package in a row are told once
                elif part == "loop" and not waits_for_this_task(frame):
                    break
                if len(passed) < CHAIN - 1:
                    passed.append(_new(Passed, (own, code, frame.f_lineno)))
            frame = frame.f_back
        return Site(None, "", None, 0, tuple(passed)), None

    def outer(self, frame: Frame, room: int) -> tuple[Step, ...]:
        """The bot's own frames outside `frame`, nearest first, at most `room`."""
        steps = self._steps
        chain: list[Step] = []
        at = frame.f_back
        for _ in range(FRAMES):
            if at is None or len(chain) >= room:
                break
            kept = steps.get((id(at.f_code), at.f_lasti)) or self._look_at(at)
            step = kept[1]
            if step is _AT_LOOP:
                if not waits_for_this_task(at):
                    break
            elif step is not None:
                chain.append(step)
            at = at.f_back
        return tuple(chain)

    def _look_at(self, frame: Frame) -> tuple[CodeType, Step | None]:
        """What a frame is in the chain of another; remembered, for a bot is in the same few places again."""
        code, step = frame.f_code, None
        own = self._decide(code.co_filename, frame)
        if own is not None and own.part == "loop":
            step = _AT_LOOP
        elif own is not None and own.part != "skipped":
            step = Step(own.label, "outer", plain_text(qualname(code)), frame.f_lineno)
        kept = code, step
        if code.co_filename in self._known:  # a generated text's code may run as one module and as another
            keep(self._steps, frame, kept)
        return kept

    def _decide(self, filename: str, frame: Frame) -> Known | None:
        names = frame.f_globals
        said, given = names.get("__name__"), names.get("__file__")
        said, given = said if isinstance(said, str) else None, given if isinstance(given, str) else None
        if not filename.startswith("<") or filename.startswith("<frozen "):
            if filename in self._known:
                return self._known[filename]
            if len(self._known) >= FILES:
                self._known.clear()
            known = self._known[filename] = self._known_of(filename, said, names)
            return known
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
        label = name if dotted in MAINS else plain_text(dotted)
        return Known(name, "executor" if is_executor else "own", label)

    def _is_foreign(self, filename: str, dotted: str) -> bool:
        if self._not_in_app and matches(self._not_in_app, dotted, filename):
            return True
        if self._in_app and matches(self._in_app, dotted, filename):
            return False
        return is_foreign(filename, dotted)


def keep(places: Places[K], frame: Frame, kept: K) -> None:
    """Remember something of the place where a frame is; `kept` begins with its code, which keeps the id."""
    if len(places) >= PLACES:
        places.clear()
    places[id(frame.f_code), frame.f_lasti] = kept


def waits_for_this_task(frame: Frame | None) -> bool:
    """Whether an event loop's frames belong to a `run_until_complete` of the very task that runs now."""
    while frame is not None and str(frame.f_globals.get("__name__")).startswith("asyncio."):
        if frame.f_code.co_name == "run_until_complete":
            return frame.f_locals.get("future") is asyncio.current_task()
        frame = frame.f_back
    return False


def step_of(known: Known, code: CodeType, line: int) -> Step:
    """A frame that was passed through, as the chain keeps it."""
    if known.part not in _NAMED:
        return Step(known.label, "skipped")
    return Step(
        known.label, "executor" if known.part == "executor" else "layer", plain_text(qualname(code)), line
    )


def via_of(passed: Sequence[Passed]) -> tuple[str, ...]:
    """The names of the executors and layers among frames, once each."""
    return tuple(dict.fromkeys([own.name for own, _, _ in passed if own.part in _NAMED]))
