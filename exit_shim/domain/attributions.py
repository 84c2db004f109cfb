"""Which module asked for an order, and what that answer rests on."""

from typing import Final, Literal

import msgspec

Part = Literal["chosen", "passthrough", "layer", "skipped", "outer"]
"""What a frame was taken for: who asked; passed through as declared an executor, or as a method with a
door's own name; the code of a library, the frames of one package in a row told as one; whoever called
the one who asked."""


class Step(msgspec.Struct, frozen=True, array_like=True):
    """One frame between an order and the start of its thread or task.

    `module` is the dotted name, or the short one where that says nothing (`__main__`); of a skipped
    library the name of its package, without function and line.
    """

    module: str
    part: Part
    function: str = ""
    line: int = 0


Evidence = Literal["context", "stack", "carried", "bind", "unknown"]
"""In the order in which they count: said so in code; a frame of the call; a frame of where the call was
handed to a pool or thread by `carry`; a frame of the fetch; nothing."""


UNKNOWN_MODULE: Final = "unknown"


class Attribution(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Who asked for an order.

    `module` is the short name for people (`position_monitor`), `dotted_module` the importable one;
    `function`, `file` and `line` are the place that asked. `via` names the executors and layers passed on
    the way, `chain` the frames up to the one that the name was chosen from, at most 16; both nearest to the
    client first.
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
