"""Walking a stack: which frame is the bot's own code, and what lies between it and the client."""

import asyncio
import itertools
import operator
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import CodeType, CoroutineType, GeneratorType
from typing import Any, Final, Literal, NamedTuple, TypeVar

from exit_shim.attribution.code_files import (
    MAINS,
    PACKAGE_FOLDER,
    is_foreign,
    is_notebook,
    is_worker,
    matches,
    notebook,
    plain_text,
    short_name,
)
from exit_shim.domain.attributions import CHAIN, Attribution, Frame, Step

MAX_OUTER_FRAMES: Final = 64
"""How many frames behind the one that asked are looked at, for the chain."""

MAX_POSITIONS: Final = 4096
"""How many positions in the code are remembered."""

# More than a bot has; but one that compiles texts may give each a file name of its own.
MAX_FILES: Final = 16_384
"""How many files are remembered."""

LOOP_FRAMES: Final = 8
"""How many frames an event loop written in Python has of its own, at most, behind a task."""

# The code that awaits a coroutine is not the code that asked for it.
_WALK_ENDS: Final[dict[int, CodeType]] = {}

_RUN_LOOP: Final = frozenset({"run_forever", "run_until_complete"})
_NAMED: Final = frozenset({"own", "passthrough"})

# Makes a named tuple in a third of the time: this is on the path of every order, entries included.
_new = tuple.__new__

qualname: Final[Callable[[Any], str]] = operator.attrgetter(
    "co_qualname" if sys.version_info >= (3, 11) else "co_name"
)

K = TypeVar("K", bound=tuple[Any, ...])

# By the identity of the code, since code of copied files compares equal, and by the instruction in it. The
# remembered value begins with the code, so that its identity is not given to another.
Positions = dict[tuple[int, int], K]


class ModuleRole(NamedTuple):
    """Say what a module is: the name to record, what its frames count as, and its name in a chain."""

    name: str
    part: Literal["own", "passthrough", "skipped"]
    label: str


class PassedFrame(NamedTuple):
    """Keep a frame between who asked and the client, in the cheapest form."""

    role: ModuleRole
    code: CodeType
    line: int


class CallSite(NamedTuple):
    """Name the place in the bot's own code that asked; `role` is None where no frame was the bot's.

    `passed` holds the frames between it and the client, nearest to the client first. `instruction` stands
    for the line until somebody asks for that.
    """

    role: ModuleRole | None
    dotted: str
    code: CodeType | None
    line: int
    passed: tuple[PassedFrame, ...]
    instruction: int | None = None

    def with_line(self) -> "CallSite":
        """Return the same place with its line looked up."""
        # Not at the fetch of a method, whose place is hardly ever needed.
        if self.code is None or self.instruction is None:
            return self
        lines = (line for start, end, line in self.code.co_lines() if start <= self.instruction < end)
        return self._replace(line=next(lines, None) or self.code.co_firstlineno, instruction=None)


class CodeName(NamedTuple):
    """Hold what is read of a code object, which itself cannot be pickled."""

    co_filename: str
    co_name: str
    co_qualname: str


def without_code(site: CallSite | None) -> CallSite | None:
    """Return the same place without code objects, so that it can be pickled."""
    if site is None:
        return None
    passed = tuple(frame._replace(code=_code_name(frame.code)) for frame in site.passed)
    return site.with_line()._replace(code=site.code and _code_name(site.code), passed=passed)


def _code_name(code: Any) -> Any:
    return CodeName(code.co_filename, code.co_name, qualname(code))


class SiteFinder:
    """Find the first frame of the bot's own code that is not in a passthrough module.

    Skipped are the standard library, installed packages and this package. Passed through are modules
    declared passthrough, by short or dotted name, and functions that bear a door's own name, which are layers
    around the client. The walk ends where the running task or callback of an event loop begins: see
    `frames_within`.

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
        is_foreign(os.sep)  # asks the interpreter now: a child of a fork might find its lock shut forever
        # What a module is stays the same for the life of the process, so it is decided once per file name and
        # module name: one file may be imported under two names, and two texts compiled under one file name.
        # Never per code object: equal functions of two files compare equal, and one would pass for the other.
        self._roles: dict[tuple[str | None, ...], ModuleRole | None] = {}
        self._packages: dict[str, ModuleRole] = {}
        self.attributions: Positions[tuple[CodeType, object, Attribution]] = {}
        """What `attribute` returned for the positions that asked."""
        self._outer_steps: Positions[tuple[CodeType, object, Step | None]] = {}

    def find(self, frame: Frame | None) -> CallSite:
        """Walk outwards from `frame` to the place that asked."""
        # Nearly every fetch is in the bot's own code, and this is on the path of entries too.
        if frame is not None:
            code, module = frame.f_code, frame.f_globals.get("__name__")
            try:
                role = self._roles[code.co_filename, module]
            except (KeyError, TypeError):
                role = None
            if role is not None and role[1] == "own" and code.co_name not in self._layers:
                return _new(CallSite, (role, module or role[0], code, 0, (), frame.f_lasti))
        return self.nearest(frames_within(frame))[0]

    def nearest(self, frames: Iterable[Frame]) -> tuple[CallSite, Frame | None]:
        """Return the first of the frames that is the bot's own, as a place and as it is."""
        passed: list[PassedFrame] = []
        roles, skipped = self._roles, None
        for frame in frames:
            code, module = frame.f_code, frame.f_globals.get("__name__")
            try:
                role = roles[code.co_filename, module]
            except (KeyError, TypeError):
                role = self._role_of(code.co_filename, frame)
            if role is not None and role is not skipped:
                part = role[1]
                if part == "own" and code.co_name not in self._layers:
                    dotted = module if module and type(module) is str else role[0]
                    through = tuple(passed) if passed else ()
                    return _new(CallSite, (role, dotted, code, frame.f_lineno, through, None)), frame
                if part == "skipped":
                    skipped = role  # the frames of a package in a row are recorded once
                if len(passed) < CHAIN - 1:
                    passed.append(_new(PassedFrame, (role, code, frame.f_lineno)))
        return CallSite(None, "", None, 0, tuple(passed)), None

    def outer(self, frame: Frame, room: int) -> tuple[Step, ...]:
        """Return the bot's own frames outside `frame`, nearest first, at most `room`."""
        steps = self._outer_steps
        chain: list[Step] = []
        # Without an event loop no generator is needed, each step of which is a call.
        within = None if asyncio._get_running_loop() is None else iter(frames_within(frame))  # noqa: SLF001
        outer: Frame | None = frame if within is None else next(within, None)
        for _ in range(MAX_OUTER_FRAMES):
            outer = outer and (outer.f_back if within is None else next(within, None))
            if outer is None or len(chain) >= room:
                break
            # A bot is in the same few places again and again.
            remembered = steps.get((id(outer.f_code), outer.f_lasti))
            if remembered is None or remembered[1] is not outer.f_globals.get("__name__"):
                remembered = self._read_outer(outer)
            if remembered[2] is not None:
                chain.append(remembered[2])
        return tuple(chain)

    def _read_outer(self, frame: Frame) -> tuple[CodeType, object, Step | None]:
        """Return the step of a frame in the chain of another, as it is remembered."""
        code, step = frame.f_code, None
        role = self._role_of(code.co_filename, frame)
        if role is not None and role.part != "skipped":
            step = Step(role.label, "outer", plain_text(qualname(code)), frame.f_lineno)
        remembered = code, frame.f_globals.get("__name__"), step
        remember(self._outer_steps, frame, remembered)
        return remembered

    def _role_of(self, filename: str, frame: Frame) -> ModuleRole | None:
        names = frame.f_globals
        module, file = names.get("__name__"), names.get("__file__")
        module, file = module if isinstance(module, str) else None, file if isinstance(file, str) else None
        is_generated = filename.startswith("<") and not filename.startswith("<frozen ")
        # "<string>" names many different texts
        key = (filename, module, file) if is_generated else (filename, module)
        if key not in self._roles:
            if len(self._roles) >= MAX_FILES:
                self._roles.clear()
            self._roles[key] = self._decide_role((is_generated and file) or filename, module, names)
        return self._roles[key]

    def _decide_role(self, filename: str, module: str | None, names: Mapping[str, Any]) -> ModuleRole | None:
        """Return what a module is; None for this package and for code without a place."""
        if filename.startswith(PACKAGE_FOLDER) or (module or "").startswith("exit_shim."):
            return None
        if filename.startswith("<") and (not module or (module == "__main__" and is_worker())):
            return None  # generated and nameless is no place, nor is multiprocessing's own command line
        dotted = module or "__main__"
        if self._is_foreign(filename, dotted):
            package = plain_text(dotted.partition(".")[0])
            return self._packages.setdefault(package, ModuleRole(package, "skipped", package))
        short = notebook(names) if is_notebook(filename) else short_name(dotted, filename)
        name = plain_text(self._aliases.get(dotted, self._aliases.get(short, short)))
        is_passthrough = not self._passthrough.isdisjoint((name, short, dotted))
        label = name if dotted in MAINS else plain_text(dotted)
        return ModuleRole(name, "passthrough" if is_passthrough else "own", label)

    def _is_foreign(self, filename: str, dotted: str) -> bool:
        if self._not_in_app and matches(self._not_in_app, dotted, filename):
            return True
        if self._in_app and matches(self._in_app, dotted, filename):
            return False
        return is_foreign(filename, dotted)


def remember(positions: Positions[K], frame: Frame, value: K) -> None:
    """Remember something of a frame's position in the code; `value` begins with the frame's code."""
    if len(positions) >= MAX_POSITIONS:
        positions.clear()
    positions[id(frame.f_code), frame.f_lasti] = value


def frames_outwards(frame: Frame | None) -> Iterator[Frame]:
    """Yield a frame, its caller, and so on."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def frames_within(frame: Frame | None) -> Iterator[Frame]:
    """Yield the frames from `frame` outwards, up to where the running task or callback begins.

    Behind that is the code that runs the event loop, which asked for nothing. Only behind the task that its
    `run_until_complete` waits for does the walk go on.
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
        if id(frame.f_code) in _WALK_ENDS:
            return
        yield frame
        if frame is begins:
            behind = frame.f_back
            break
        frame = frame.f_back
    for at in frames_outwards(_waiting_for(task, loop, behind)):
        if _is_of(loop, "_run_once", at):  # a loop in a loop, as nest_asyncio has them
            break
        yield at


def end_walk_at(code: CodeType) -> None:
    """End the walk at a coroutine function of ours, to which the attribution is carried."""
    _WALK_ENDS[id(code)] = code


def may_run_a_loop(code: CodeType) -> bool:
    """Return whether code names a method that runs an event loop."""
    return not _RUN_LOOP.isdisjoint(code.co_names)


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
    for at in itertools.islice(frames_outwards(behind), LOOP_FRAMES):
        if _is_of(loop, "run_until_complete", at):
            return at if any(value is task for value in at.f_locals.values()) else None
    # A loop in C has no frame; it asked the task to call it back.
    calls = getattr(task, "_callbacks", None) or ()
    is_waited_for = any("run_until_complete" in str(getattr(call, "__qualname__", "")) for call, _ in calls)
    return behind if is_waited_for else None


def _is_of(loop: object, method: str, frame: Frame) -> bool:
    """Return whether a frame runs this method of this very event loop."""
    return frame.f_code.co_name == method and frame.f_locals.get("self") is loop


def step_of(frame: PassedFrame) -> Step:
    """Return a passed frame as a step of the chain."""
    role, code, line = frame
    if role.part not in _NAMED:
        return Step(role.label, "skipped")
    part: Final = "passthrough" if role.part == "passthrough" else "layer"
    return Step(role.label, part, plain_text(qualname(code)), line)


def via_of(passed: Sequence[PassedFrame]) -> tuple[str, ...]:
    """Return the names of the passthrough modules and layers among frames, once each."""
    return tuple(dict.fromkeys([role.name for role, _, _ in passed if role.part in _NAMED]))
