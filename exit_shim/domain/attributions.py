"""Define who asked for an order, on what evidence, and what is read of a stack."""

from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple, Protocol

import msgspec

Part = Literal["chosen", "passthrough", "layer", "skipped", "outer"]
"""The part of a frame: the module that asked; declared passthrough; a method with a door's own name; library
code, in which a package's frames in a row count as one; a caller of the module that asked."""


class Step(msgspec.Struct, frozen=True, array_like=True):
    """Hold one frame between an order and the start of its thread or task.

    `module` is the dotted name, or the short one where that says nothing (`__main__`). Of a skipped library
    it is the package, without function and line.
    """

    module: str
    part: Part
    function: str = ""
    line: int = 0


Evidence = Literal["context", "stack", "carried", "bind", "unknown"]
"""Strongest first. `context`: declared in code. `stack`: a frame of the call. `carried`: a frame of the code
that started the thread or pool work. `bind`: a frame of the code that fetched the method."""


UNKNOWN_MODULE: Final = "unknown"


class Attribution(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Say who asked for an order.

    `module` is the short name for people (`position_monitor`), `dotted_module` the importable one;
    `function`, `file` and `line` are the place that asked. `via` names the passthrough modules and layers on
    the way, `chain` the frames up to the module that asked, at most 16; both nearest to the client first.
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


CHAIN: Final = 16
"""How many frames of a chain are kept."""


class Frame(Protocol):
    """Describe what is read of a stack frame; `types.FrameType` is one."""

    @property
    def f_code(self) -> Any:
        """Return the code object, of which the file name and the qualified name are read."""

    @property
    def f_lineno(self) -> int:
        """Return the line that runs."""

    @property
    def f_lasti(self) -> int:
        """Return the instruction that runs."""

    @property
    def f_globals(self) -> dict[str, Any]:
        """Return the module's names, of which `__name__` and `__file__` are read."""

    @property
    def f_locals(self) -> Any:
        """Return the local variables; read of an event loop's frames only, for the loop and its task."""

    @property
    def f_back(self) -> "Frame | None":
        """Return the caller's frame."""


class Declared(NamedTuple):
    """Hold what `attributed` declares for the orders placed inside it.

    `by` is the object that declared it, and `outer` what was declared around it.
    """

    module: str
    kind: str | None
    explanation: str | None
    by: object = None
    outer: "Declared | None" = None


class FrameFinder(Protocol):
    """Walk a stack; what it returns for a place is handed back to it unread."""

    def find(self, frame: Frame | None) -> Any:
        """Return the place in the bot's own code outwards from a frame."""

    def outer(self, frame: Frame, room: int) -> tuple[Step, ...]:
        """Return the bot's own frames outside a frame, nearest first, at most `room`."""


class Attributor(Protocol):
    """Answer once for each order: who asked, in which mode, on whose account."""

    @property
    def finder(self) -> FrameFinder:
        """Return what walks the stack."""

    declared: Callable[[], Declared | None]
    """Returns what `attributed` declares here."""

    attribute: Callable[[Frame | None, Any], tuple[Attribution, Frame | None]]
    """Returns who asked, by the frame of the call and the place of the fetch, and the frame that asked."""

    current_mode: Callable[[], str]
    account_of: Callable[..., str | None]
    """Returns the label of the account behind a client's method, or of the `identity` that a call shows."""
