"""Tables for people, that fit the terminal: nothing breaks within a word, and columns make room in turn."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Final, NamedTuple

from exit_shim.cli.output import Line, Red, line_limit, printable, show_lines

GAP: Final = "  "

UNKNOWN: Final = "?"
"""The cell of what is not known."""

MIN_TEXT: Final = 24
"""The width that a column of text is given at least."""

MAX_WORD: Final = 48
"""The width beyond which a cell no longer widens its column: one long name must not part all rows."""


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        name: Its header.
        rank: When it is dropped where the terminal is narrow: the highest first, 0 never.
        wraps: Whether its cells are text that may go on in a next line.
        below: Whether its cells stand below their rows where it is dropped.
    """

    name: str
    rank: int = 0
    wraps: bool = False
    below: bool = False


class Layout(NamedTuple):
    """Where the columns of a table stand.

    Attributes:
        groups: The columns in each line of a row; one group unless even the essential ones are too wide.
        below: The columns whose cells stand below their rows.
        dropped: The columns that are not shown.
        widths: The width of each column.
        limit: The width of the terminal; None for none.
    """

    groups: Sequence[Sequence[int]]
    below: Sequence[int]
    dropped: Sequence[int]
    widths: Sequence[int]
    limit: int | None


def show_table(
    columns: Sequence[Column | str],
    rows: Iterable[Sequence[object]],
    *,
    see: str = "--json",
    indent: str = "",
    heads: Sequence[str] | None = None,
) -> None:
    """Print a table that fits the terminal, and say which columns were left out.

    See `table_lines` for the arguments.
    """
    show_lines(table_lines(columns, rows, see=see, indent=indent, heads=heads))


def table_lines(
    columns: Sequence[Column | str],
    rows: Iterable[Sequence[object]],
    *,
    see: str = "--json",
    indent: str = "",
    heads: Sequence[str] | None = None,
) -> Iterator[Line]:
    """Yield the lines of a table that fits the terminal, and which columns were left out.

    Args:
        columns: The columns; of mere names, the last one is text that may wrap.
        rows: Their cells; a `Red` one is red on a terminal.
        see: The option that shows all columns.
        indent: What stands before each line.
        heads: What each row belongs to, said above the first row of each.
    """
    spread = [as_column(column, is_last=column is columns[-1]) for column in columns]
    cells = [[clean(cell) for cell in row] for row in rows]
    layout = lay_out(spread, cells, limit_of(indent + GAP * (heads is not None)))
    yield from ([(indent, ""), *line] for line in draw_table(spread, cells, layout, heads))
    if layout.dropped:
        names = ", ".join(spread[place].name for place in layout.dropped)
        yield from text_lines(
            indent, f"Not shown for lack of room: {names}; see {see}, or widen the terminal."
        )


def draw_table(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], layout: Layout, heads: Sequence[str] | None
) -> Iterator[Line]:
    """Yield the lines of a table; of rows with heads each one above its rows, which are indented."""
    indent: Line = [] if heads is None else [(GAP, "")]
    yield from ([*indent, *line] for line in draw_row([column.name for column in columns], layout, "bold"))
    before: str | None = None
    for number, row in enumerate(rows):
        if heads is not None and heads[number] != before:
            before = heads[number]
            yield [(printable(before), "bold")]
        yield from ([*indent, *line] for line in draw_row(row, layout))
        yield from ([*indent, *line] for line in draw_below(row, layout))


def text_lines(head: str, text: str, *, style: str = "") -> Iterator[Line]:
    """Yield the lines of text behind a head; where it is long it goes on below itself.

    Args:
        head: What stands in front of the first line.
        text: The text; a `Red` one is red on a terminal.
        style: The style of the head.
    """
    limit = line_limit()
    lines = wrap(printable(text), (limit or 0) - len(head), limit)
    for number, line in enumerate(lines):
        yield [(head if number == 0 else " " * len(head), style), (line, red_if(text))]


def limit_of(indent: str) -> int | None:
    """Return the width that is left beside an indent; None where nothing limits it."""
    limit = line_limit()
    return None if limit is None else max(limit - len(indent), 1)


def as_column(column: Column | str, *, is_last: bool) -> Column:
    """Return a column that was given by its name alone."""
    return Column(column, wraps=is_last) if isinstance(column, str) else column


def clean(cell: object) -> str:
    """Return the text of a cell without terminal controls; a `Red` one stays so."""
    text = printable(str(cell))
    return Red(text) if isinstance(cell, Red) else text


def lay_out(columns: Sequence[Column], rows: Sequence[Sequence[str]], limit: int | None) -> Layout:
    """Return where columns stand: dropped by their ranks until the rest fits."""
    names = [column.name for column in columns]
    full = [max(map(len, cells)) for cells in zip(names, *rows, strict=True)]
    shown = list(range(len(columns)))
    if limit is None:
        return Layout([shown], [], [], full, None)
    least = [
        min(width, MIN_TEXT if column.wraps else MAX_WORD)
        for column, width in zip(columns, full, strict=True)
    ]
    says = [any(row[place] not in {"", UNKNOWN} for row in rows) for place in range(len(columns))]
    while line_width(shown, least) > limit and any(columns[place].rank for place in shown):
        # A column that says nothing goes before any other.
        shown.remove(
            max(shown, key=lambda place: (columns[place].rank > 0, not says[place], columns[place].rank))
        )
    hidden = [place for place in range(len(columns)) if place not in shown]
    below = [place for place in hidden if columns[place].below]
    dropped = [place for place in hidden if says[place] and not columns[place].below]
    groups = split_columns(shown, least, limit)
    if len(groups) == 1:
        widen(shown, least, full, [place for place in shown if columns[place].wraps], limit)
    return Layout(groups, below, dropped, least, limit)


def line_width(shown: Sequence[int], widths: Sequence[int]) -> int:
    """Return the width of a line that has these columns."""
    return sum(widths[place] for place in shown) + len(GAP) * (len(shown) - 1)


def widen(
    shown: Sequence[int], widths: list[int], full: Sequence[int], texts: Sequence[int], limit: int
) -> None:
    """Give columns of text what a line has left, the first ones first."""
    for place in texts:
        spare = limit - line_width(shown, widths)
        widths[place] = min(full[place], widths[place] + max(spare, 0))


def split_columns(shown: Sequence[int], widths: Sequence[int], limit: int) -> list[list[int]]:
    """Split columns into groups that each fit a line, where they do not fit into one."""
    groups: list[list[int]] = [[]]
    for place in shown:
        indent = len(GAP) * (len(groups) > 1)
        if groups[-1] and indent + line_width([*groups[-1], place], widths) > limit:
            groups.append([])
        groups[-1].append(place)
    return groups


def draw_row(row: Sequence[str], layout: Layout, style: str = "") -> Iterator[Line]:
    """Yield the lines of a row; cells of text go on below themselves."""
    for number, group in enumerate(layout.groups):
        wrapped = [wrap(row[place], layout.widths[place], layout.limit) for place in group]
        for cells in zip_longest(*wrapped, fillvalue=""):
            line: Line = [(GAP, "")] if number else []
            for place, cell in zip(group, cells, strict=True):
                is_last = place == group[-1]
                padding = "" if is_last else " " * (layout.widths[place] - len(cell)) + GAP
                line += [(cell, style or red_if(row[place])), (padding, "")]
            yield line


def draw_below(row: Sequence[str], layout: Layout) -> Iterator[Line]:
    """Yield the cells that stand below a row."""
    for place in layout.below:
        for text in wrap(row[place], (layout.limit or 0) - 2 * len(GAP), layout.limit) if row[place] else ():
            yield [(GAP * 2, ""), (text, red_if(row[place]))]


def red_if(cell: str) -> str:
    """Return the style of a cell."""
    return "red" if isinstance(cell, Red) else ""


def wrap(text: str, width: int, limit: int | None) -> list[str]:
    """Return text in lines of at most a width, unless a word is longer."""
    if limit is None or len(text) <= width or " " not in text:
        return [text]
    # Few tables have text that long.
    import textwrap  # noqa: PLC0415

    return textwrap.wrap(text, max(width, 1), break_long_words=False, break_on_hyphens=False) or [""]
