"""Colours, shapes and texts that all figures of a report share."""

import base64
import html
from array import array
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from exit_shim.reports.report_data import ELSEWHERE

Figure: TypeAlias = dict[str, Any]
"""A figure of plotly: its traces under "data", and its "layout"."""

OTHER_MODULES: Final = "other modules"

COLOURS: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
"""Those of Okabe and Ito that can be read on white and on black."""

GREY: Final = "#8A929B"
"""The colour of what has none of its own."""

SYMBOLS: Final = ("circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon")
"""The marker of each colour, for those who do not see colours."""

PATTERNS: Final = ("", "/", ".", "x", "-", "\\")
"""The hatching of each colour, in bars."""

DASHES: Final[Mapping[str, str]] = {
    "sl": "solid",
    "breakeven": "longdash",
    "trailing": "dashdot",
    "tp": "dash",
    "partial_tp": "dot",
}
"""The dash of each kind; others have `OTHER_DASH`."""

OTHER_DASH: Final = "longdashdot"

KIND_NAMES: Final[Mapping[str, str]] = {
    "sl": "stop loss",
    "tp": "take profit",
    "partial_tp": "partial take profit",
    "trailing": "trailing stop",
    "breakeven": "breakeven stop",
    "other_exit": "other exit",
    "close": "close",
    "conditional": "conditional order",
    "unknown": "unknown kind",
}

MOST_TEXT: Final = 80
"""The most characters of a name that a page shows."""


class Palette:
    """The colour, marker and hatching of each module, the same in all figures.

    Args:
        modules: The modules, the most important first; those beyond the colours share one.
    """

    def __init__(self, modules: Iterable[str]) -> None:
        self.named = [module for module in modules if module != ELSEWHERE][: len(COLOURS)]
        self._places = {module: place for place, module in enumerate(self.named)}

    def group(self, module: str) -> str:
        """Return the module, or the name of the group that it is shown in."""
        return module if module in self._places or module == ELSEWHERE else OTHER_MODULES

    def colour(self, module: str) -> str:
        """Return the colour of a module or group."""
        place = self._places.get(module)
        return GREY if place is None else COLOURS[place]

    def marker(self, module: str) -> str:
        """Return the marker of a module or group."""
        place = self._places.get(module)
        if place is None:
            return "hexagon" if module == ELSEWHERE else "star"
        return SYMBOLS[place]

    def pattern(self, module: str) -> str:
        """Return the hatching of a module or group."""
        place = self._places.get(module)
        return "+" if place is None else PATTERNS[place]


def dash_of(kind: str) -> str:
    """Return the dash of a kind."""
    return DASHES.get(kind, OTHER_DASH)


def kind_name(kind: str) -> str:
    """Return what people call a kind."""
    return KIND_NAMES.get(kind, kind)


def shown(text: object, most: int = MOST_TEXT) -> str:
    r"""Return a text from the journal as a page may show it: cut, and \x1b for what is not printable."""
    words = str(text)
    words = words if len(words) <= most else words[: most - 1] + "…"
    if words.isprintable():
        return words
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in words
    )


def plain(text: object) -> str:
    """Return a text from the journal for a figure: plotly reads tags and entities in its texts."""
    words = str(text)
    # Most texts are ids.
    if words.isalnum() and words.isascii() and len(words) <= MOST_TEXT:
        return words
    return html.escape(shown(words), quote=False)


def packed(values: "array[Any]") -> dict[str, str]:
    """Return numbers as plotly reads them in the least space."""
    kinds = {"d": "f8", "i": "i4", "B": "u1"}
    return {"dtype": kinds[values.typecode], "bdata": base64.b64encode(values.tobytes()).decode("ascii")}
