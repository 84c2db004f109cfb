"""The walk over a stack: which frame is the bot's own, and what lies between it and the client."""

import asyncio
import itertools
import operator
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import CodeType, CoroutineType, GeneratorType
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeVar

from exit_shim.attribution.code_files import (
    MAINS,
    is_foreign,
    is_notebook,
    is_worker,
    matches,
    notebook,
    plain_text,
    short_name,
)
from exit_shim.domain.attributions import Step

CHAIN: Final = 16
"""How many frames of a chain are kept."""


FRAMES: Final = 64
"""How many frames behind the one that asked are looked at, for the chain."""


PLACES: Final = 4096
"""How many places in the code are remembered."""


FILES: Final = 16_384
"""How many files are: more than a bot has, but one that compiles texts may give each a name of its own."""


_RUNNERS: Final = frozenset({"run_forever", "run_until_complete"})


_LOOP_FRAMES: Final = 8
"""How many frames an event loop written in Python has of its own, at most, behind a task."""


_OWN_FOLDER: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep  # noqa: PTH100, PTH120


_NAMED: Final = frozenset({"own", "passthrough"})


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
        """Read of an event loop's own frame only: the loop, and the future that it runs until."""

    @property
    def f_back(self) -> "Frame | None":
        """The caller."""


class Known(NamedTuple):
    """What is known of a file: the short name to record, what its frames are, and the name in a chain."""

    name: str
    part: Literal["own", "passthrough", "skipped"]
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
    the client. What a module is stays the same for the life of the process, so it is decided once per file
    name and module name: one file may be imported under two names, and two texts may be compiled under one
    file name. Never per code object: identical functions in two files compare equal, and one would be taken
    for the other.

    The walk ends where the running task or callback of an event loop begins: see `frames_within`.

    Args:
        passthrough: Modules to pass through.
        layers: Names of functions to pass through.
        in_app: What counts as the bot's own though it lies among the installed packages.
        not_in_app: What does not count as the bot's own. Patterns as `matches` takes them.
        aliases: The name to record for a module, by its short or dotted name.
    """

    def __init__(
        self,
        passthrough: frozenset[str] = frozenset(),
        *,
        layers: Collection[str] = (),
        in_app: Collection[str] = (),
        not_in_app: Collection[str] = (),
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        self._passthrough = passthrough
        self._layers = frozenset(layers)
        self._in_app = tuple(in_app)
        self._not_in_app = tuple(not_in_app)
        self._aliases = dict(aliases or {})
        is_foreign(os.sep)  # asks the interpreter now: a child of a fork might find its lock shut for good
        self._known: dict[tuple[str | None, ...], Known | None] = {}
        self._packages: dict[str, Known] = {}
        self.told: Places[Any] = {}
        """What `attribute` said of a place that asked."""
        self._steps: Places[tuple[CodeType, object, Step | None]] = {}

    def find(self, frame: Frame | None) -> Site:
        """Walk outwards from `frame`."""
        # Nearly every fetch is in the bot's own code. This is on the path of entries too.
        if frame is not None:
            code, said = frame.f_code, frame.f_globals.get("__name__")
            try:
                own = self._known[code.co_filename, said]
            except (KeyError, TypeError):
                own = None
            if own is not None and own[1] == "own" and code.co_name not in self._layers:
                return _new(Site, (own, said or own[0], code, 0, (), frame.f_lasti))
        return self.nearest(frames_within(frame))[0]

    def nearest(self, frames: Iterable[Frame]) -> tuple[Site, Frame | None]:
        """Return the first of the frames that is who asked, as a place and as it is."""
        passed: list[Passed] = []
        known, skipped = self._known, None
        for frame in frames:
            code, said = frame.f_code, frame.f_globals.get("__name__")
            try:
                own = known[code.co_filename, said]
            except (KeyError, TypeError):
                own = self._decide(code.co_filename, frame)
            if own is not None and own is not skipped:
                part = own[1]
                if part == "own" and code.co_name not in self._layers:
                    dotted = said if said and type(said) is str else own[0]
                    through = tuple(passed) if passed else ()
                    return _new(Site, (own, dotted, code, frame.f_lineno, through, None)), frame
                if part == "skipped":
                    skipped = own  # the frames of a package in a row are told once
                if len(passed) < CHAIN - 1:
                    passed.append(_new(Passed, (own, code, frame.f_lineno)))
        return Site(None, "", None, 0, tuple(passed)), None

    def outer(self, frame: Frame, room: int) -> tuple[Step, ...]:
        """The bot's own frames outside `frame`, nearest first, at most `room`."""
        steps = self._steps
        chain: list[Step] = []
        for at in itertools.islice(frames_within(frame), 1, FRAMES + 1):
            if len(chain) >= room:
                break
            kept = steps.get((id(at.f_code), at.f_lasti))
            if kept is None or kept[1] is not at.f_globals.get("__name__"):
                kept = self._look_at(at)
            if kept[2] is not None:
                chain.append(kept[2])
        return tuple(chain)

    def _look_at(self, frame: Frame) -> tuple[CodeType, object, Step | None]:
        """What a frame is in the chain of another; remembered, for a bot is in the same few places again."""
        code, step = frame.f_code, None
        own = self._decide(code.co_filename, frame)
        if own is not None and own.part != "skipped":
            step = Step(own.label, "outer", plain_text(qualname(code)), frame.f_lineno)
        kept = code, frame.f_globals.get("__name__"), step
        keep(self._steps, frame, kept)
        return kept

    def _decide(self, filename: str, frame: Frame) -> Known | None:
        names = frame.f_globals
        said, given = names.get("__name__"), names.get("__file__")
        said, given = said if isinstance(said, str) else None, given if isinstance(given, str) else None
        is_generated = filename.startswith("<") and not filename.startswith("<frozen ")
        # "<string>" names many different texts
        key = (filename, said, given) if is_generated else (filename, said)
        if key not in self._known:
            if len(self._known) >= FILES:
                self._known.clear()
            self._known[key] = self._known_of((is_generated and given) or filename, said, names)
        return self._known[key]

    def _known_of(self, filename: str, said: str | None, names: Mapping[str, Any]) -> Known | None:
        if filename.startswith(_OWN_FOLDER) or (said or "").startswith("exit_shim."):
            return None
        if filename.startswith("<") and (not said or (said == "__main__" and is_worker())):
            return None  # generated and nameless is no place, nor is multiprocessing's own command line
        dotted = said or "__main__"
        if self._is_foreign(filename, dotted):
            package = plain_text(dotted.partition(".")[0])
            return self._packages.setdefault(package, Known(package, "skipped", package))
        short = notebook(names) if is_notebook(filename) else short_name(dotted, filename)
        name = plain_text(self._aliases.get(dotted, self._aliases.get(short, short)))
        is_executor = not self._passthrough.isdisjoint((name, short, dotted))
        label = name if dotted in MAINS else plain_text(dotted)
        return Known(name, "passthrough" if is_executor else "own", label)

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


def frames_outwards(frame: Frame | None) -> Iterator[Frame]:
    """Yield a frame, its caller, and so on."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def frames_within(frame: Frame | None) -> Iterator[Frame]:
    """Yield the frames from `frame` outwards, up to where the running task or callback begins.

    Behind that is whoever runs the event loop, who asked for nothing, except for the one task that its
    `run_until_complete` waits for: then the walk goes on behind it.
    """
    loop = asyncio._get_running_loop()  # noqa: SLF001 - the public one raises where none runs
    return frames_outwards(frame) if loop is None else _frames_in(loop, frame)


def _frames_in(loop: Any, frame: Frame | None) -> Iterator[Frame]:
    task = asyncio.current_task(loop)
    begins, behind = _first_frame(task), None
    while frame is not None:
        # A callback has no first frame to know it by, and uvloop no frames at all: then who runs the loop is
        # known by its code, which names the method that it calls.
        if (begins is None and may_run_a_loop(frame.f_code)) or _is_of(loop, "_run_once", frame):
            behind = frame
            break
        yield frame
        if frame is begins:
            behind = frame.f_back
            break
        frame = frame.f_back
    for at in frames_outwards(_waiting_for(task, loop, behind)):
        if _is_of(loop, "_run_once", at):  # a loop in a loop, as nest_asyncio has them
            break
        yield at


def may_run_a_loop(code: CodeType) -> bool:
    """Whether code names what runs an event loop."""
    return not _RUNNERS.isdisjoint(code.co_names)


def _first_frame(task: Any) -> Frame | None:
    """Return the outermost frame of a task; None where that cannot be known."""
    coroutine = getattr(task, "get_coro", lambda: None)()
    if type(coroutine) is CoroutineType:
        return coroutine.cr_frame
    return coroutine.gi_frame if type(coroutine) is GeneratorType else None


def _waiting_for(task: Any, loop: object, behind: Frame | None) -> Frame | None:
    """Return the frame behind a task that waits for that task to complete; None where nobody does."""
    if task is None:
        return None
    for at in itertools.islice(frames_outwards(behind), _LOOP_FRAMES):
        if _is_of(loop, "run_until_complete", at):
            return at if any(value is task for value in at.f_locals.values()) else None
    # A loop in C has no frame; it asked the task to call it back.
    calls = getattr(task, "_callbacks", None) or ()
    is_waited_for = any("run_until_complete" in str(getattr(call, "__qualname__", "")) for call, _ in calls)
    return behind if is_waited_for else None


def _is_of(loop: object, method: str, frame: Frame) -> bool:
    """Whether a frame runs this method of this very event loop."""
    return frame.f_code.co_name == method and frame.f_locals.get("self") is loop


def step_of(known: Known, code: CodeType, line: int) -> Step:
    """A frame that was passed through, as the chain keeps it."""
    if known.part not in _NAMED:
        return Step(known.label, "skipped")
    return Step(
        known.label,
        "passthrough" if known.part == "passthrough" else "layer",
        plain_text(qualname(code)),
        line,
    )


def via_of(passed: Sequence[Passed]) -> tuple[str, ...]:
    """The names of the executors and layers among frames, once each."""
    return tuple(dict.fromkeys([own.name for own, _, _ in passed if own.part in _NAMED]))
