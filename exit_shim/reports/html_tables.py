"""Tables and other pieces of HTML, made of untrusted text."""

import html
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from exit_shim.reports.figure_style import shown

MOST_ROWS: Final = 25
"""How many rows of a table are shown; the others are added up in a last one."""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


class Table(NamedTuple):
    """A table; a cell that is a number stands to the right.

    Attributes:
        caption: What it shows.
        head: The names of its columns.
        rows: Its cells: numbers, `Markup`, or text that will be escaped.
        more: What a last line says of the rows that are not shown.
        anchor: Its id in the page.
        row_anchors: The ids of its rows, as far as they have any.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[object]]
    more: str = ""
    anchor: str = ""
    row_anchors: Sequence[str] = ()


def escape(text: object) -> str:
    """Return a text as HTML shows it; `Markup` stays as it is."""
    return text if isinstance(text, Markup) else html.escape(shown(text, 300))


def tag(name: str, *content: object, **attributes: object) -> Markup:
    """Return an element; what is no `Markup` in it is escaped. `class_` is the attribute `class`."""
    pairs = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value not in (None, "")
    )
    return Markup(f"<{name}{pairs}>{''.join(map(escape, content))}</{name}>")


def join(pieces: Iterable[object]) -> Markup:
    """Return pieces one after the other."""
    return Markup("".join(map(escape, pieces)))


def code(text: str) -> Markup:
    """Return a command or an id."""
    return tag("code", text)


def render_table(table: Table) -> Markup:
    """Return a table that scrolls within itself where the window is narrow."""
    numeric = [
        bool(table.rows) and all(is_number(row[place]) for row in table.rows)
        for place in range(len(table.head))
    ]
    head = [
        tag("th", name, scope="col", class_="number" if is_numeric else "")
        for name, is_numeric in zip(table.head, numeric, strict=True)
    ]
    rows = [
        tag("tr", *(render_cell(cell, is_first=not place) for place, cell in enumerate(row)), id=anchor)
        for row, anchor in zip(table.rows, padded(table.row_anchors, len(table.rows)), strict=True)
    ]
    if table.more:
        rows.append(tag("tr", tag("td", table.more, colspan=len(table.head), class_="more")))
    body = tag(
        "table",
        tag("caption", table.caption),
        tag("thead", tag("tr", *head)),
        tag("tbody", *rows),
        id=table.anchor,
    )
    return tag("div", body, class_="table", tabindex="0", role="region", aria_label=table.caption)


def render_cell(cell: object, *, is_first: bool) -> Markup:
    """Return a cell; the first one of a row names it."""
    if is_number(cell):
        return tag("td", f"{cell:,}", class_="number")
    if is_first:
        return tag("th", cell, scope="row")
    return tag("td", cell)


def is_number(cell: object) -> bool:
    """Return whether a cell is a number."""
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def padded(anchors: Sequence[str], number: int) -> list[str]:
    """Return as many ids as there are rows."""
    return [*anchors[:number], *[""] * (number - len(anchors))]
