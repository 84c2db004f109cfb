"""The screen of `run` and `summary`: the fights first, the counts last."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from exit_shim.cli.clock import NANOSECONDS, Clock
from exit_shim.cli.output import Line, Red, pluralize, printable, show_lines
from exit_shim.cli.overview import Baring, Feud, Found, Overview
from exit_shim.cli.tables import Column, table_lines, text_lines
from exit_shim.cli.totals import ModuleTotals, OrderTotals, states_text
from exit_shim.domain.reason_codes import DUPLICATE_EXIT, FOREIGN_CANCEL, ORPHAN, OVERSIZED, STRIPPED

if TYPE_CHECKING:
    from exit_shim.reports.timeline import PositionState

DOES: Final = {"cancel": "cancels", "modify": "changes"}

MOST_FEUDS: Final = 12
MOST_POSITIONS: Final = 10
"""The entries of a part of the screen, which has to stay a screen."""

FEWER: Final = (40, 30, 20, 12, 8, 6, 4, 3, 2, 1)
"""The most entries of a part, tried in this order until the parts fit their room together."""

HURTS: Final = frozenset({STRIPPED, FOREIGN_CANCEL, ORPHAN, OVERSIZED, DUPLICATE_EXIT})
"""The reasons whose counts are red on a terminal."""

NO_SIZES: Final = "no size was recorded of late; exit_shim.watch(client) records sizes"

INDENT: Final = "  "

TIMES: Final = "\N{MULTIPLICATION SIGN}"

MINUTE_S: Final = 60
HOUR_S: Final = 3600

SITE_COLUMNS: Final = (
    Column("does"),
    Column("kind"),
    Column("number"),
    Column("conflicts", 1),
    Column("place"),
    Column("outcome", 2, wraps=True),
    Column("function", 3),
    Column("via", 4),
    Column("evidence", 5),
)

MODULE_COLUMNS: Final = (
    Column("module"),
    Column("places"),
    Column("cancels"),
    Column("changes", 2),
    Column("conflicts"),
    Column("not accepted", 1, wraps=True, below=True),
)


def show_overview(overview: Overview, clock: Clock, *, with_sites: bool) -> None:
    """Print the screen; with sites also each place in the bot that places or cancels exits."""
    show_lines(overview_lines(overview, clock))
    if with_sites:
        show_lines(site_lines(overview.totals))


def fit(draw: Callable[[int], Iterable[Line]], room: int) -> list[Line]:
    """Return what is drawn with as many entries in each part as the room allows, at least one.

    Args:
        draw: Draws all parts with at most so many entries in each.
        room: The lines that there is room for.
    """
    lines: list[Line] = []
    for most in FEWER:
        lines = list(draw(most))
        if len(lines) <= room:
            break
    return lines


def overview_lines(
    overview: Overview, clock: Clock, *, most: int = FEWER[0], see: str = "--json", is_watched: bool = False
) -> Iterator[Line]:
    """Yield the lines of the screen.

    Args:
        overview: What is shown.
        clock: The zone for times.
        most: The most entries of a part.
        see: The option or command that shows what is left out.
        is_watched: Whether every position was seen, so that one that is not there is not open.
    """
    yield from feud_lines(overview.feuds, min(most, MOST_FEUDS), see)
    yield from finding_lines(overview.found, most, see)
    yield from in_doubt_lines(overview.totals)
    yield from cover_lines(overview, clock, most=most, see=see, is_watched=is_watched)
    yield from module_lines(overview.totals, most, see)
    yield from totals_lines(overview.totals, most, see)


def cover_lines(overview: Overview, clock: Clock, *, most: int, see: str, is_watched: bool) -> Iterator[Line]:
    """Yield which positions are bare now, and which ones were; see `overview_lines`."""
    most = min(most, MOST_POSITIONS)
    if overview.positions or not is_watched:
        yield from positions_now_lines(overview.positions, clock, most, see)
    if overview.barings:
        yield from baring_lines(overview.barings, most, see)


def heading(text: str) -> Line:
    """Return the line above a part."""
    return [(text, "bold")]


def plain(text: str) -> Line:
    """Return a line without a style."""
    return [(text, "")]


def more_lines(rest: Sequence[object], see: str, noun: str = "") -> Iterator[Line]:
    """Yield the line that says how many entries are left out, if any."""
    if rest:
        what = pluralize(len(rest), f"more {noun}") if noun else f"{len(rest)} more"
        yield from text_lines(INDENT, f"and {what}; see {see}")


def feud_lines(feuds: list[Feud], most: int, see: str) -> Iterator[Line]:
    """Yield who cancels or changes whose orders: first those of other modules, then those of nobody known."""
    known = [feud for feud in feuds if feud.victim is not None]
    if known:
        yield heading("Who fights whom")
    else:
        yield plain("No module cancelled or changed another one's exits.")
    feuds = [*known, *(feud for feud in feuds if feud.victim is None)]
    width = max((len(str(feud.orders)) for feud in feuds), default=0)
    for feud in feuds[:most]:
        yield from text_lines(f"{INDENT}{feud.orders:>{width}} {TIMES} ", feud_text(feud))
    if more := feuds[most:]:
        orders = pluralize(sum(feud.orders for feud in more), "order")
        pairs = pluralize(len(more), "more pair")
        yield from text_lines(INDENT, f"and {pairs} of modules, {orders}; see {see}")


def feud_text(feud: Feud) -> str:
    """Return a fight as a sentence."""
    # Entries have no records.
    whose = f"{feud.victim}'s" if feud.victim else "orders without a record, such as entries"
    where = "at" if len(feud.places) == 1 else "mostly at"
    return f"{feud.module} {DOES.get(feud.operation, feud.operation)} {whose}, {where} {feud.places[0]}"


def finding_lines(findings: list[Found], most: int, see: str) -> Iterator[Line]:
    """Yield what the guard found, by reason."""
    if not findings:
        yield plain("The guard found nothing.")
        return
    yield heading("Found")
    width = len(str(findings[0].number))
    names = max(len(each.code) for each in findings)
    for each in findings[:most]:
        text = f"{each.code:<{names}}  "
        head = f"{INDENT}{each.number:>{width}} {text}"
        yield from text_lines(head, each.meaning, style="red" if each.code in HURTS else "")
    yield from more_lines(findings[most:], see, "reason")


def in_doubt_lines(totals: OrderTotals) -> Iterator[Line]:
    """Yield how many orders are in doubt, if any."""
    if numbers := totals.in_doubt():
        by = ", ".join(f"{number} by {module}" for module, number in numbers.items())
        yield [(f"In doubt: {by}; see exit-shim reconcile", "red")]


def positions_now_lines(
    positions: "list[PositionState]", clock: Clock, most: int, see: str
) -> Iterator[Line]:
    """Yield the cover of the positions that were seen of late, the bare ones first."""
    held = [state for state in positions if state.cover != "flat"]
    if not positions:
        yield from text_lines("", f"Whether a position is bare now is not known: {NO_SIZES}.")
    elif not held:
        yield plain("No position is open now.")
    else:
        yield heading("Positions now")
    bare_first = sorted(held, key=lambda state: (state.cover != "bare", state.cover != "partly"))
    names = [name_text(state.position.symbol, state.position.position_side) for state in bare_first]
    width = max(map(len, names), default=0)
    for name, state in zip(names[:most], bare_first, strict=False):
        text = position_text(state, clock)
        yield from text_lines(f"{INDENT}{name:<{width}}  ", Red(text) if state.cover == "bare" else text)
    yield from more_lines(bare_first[most:], see)


def name_text(symbol: str, position_side: str) -> str:
    """Return the name of a position."""
    return printable(symbol if position_side == "BOTH" else f"{symbol} {position_side}")


def position_text(state: "PositionState", clock: Clock) -> str:
    """Return how a position is covered, since when, and who bared it."""
    if is_last_seen_flat(state):
        return f"0: flat when last seen, {clock.second(state.seen_ns or state.since_ns)} {clock.name}"
    amount = "size unknown" if state.amount is None else f"{state.amount:f}"
    text = f"{amount}: {state.cover.upper() if state.cover == 'bare' else state.cover}"
    text += f" since {clock.second(state.since_ns)} {clock.name}"
    by = None if state.last_stop is None else state.last_stop.ended_by
    if by is not None:
        text += f"; {by.module} took its last stop at {by.function.rpartition('.')[2]} {by.place}"
    return text


def is_last_seen_flat(state: "PositionState") -> bool:
    """Return whether a position was flat when it was seen last, and nobody looks any more."""
    return state.doubt == "not_seen_since" and state.amount == 0


def baring_lines(barings: list[Baring], most: int, see: str) -> Iterator[Line]:
    """Yield which positions were bare during the run, for how long, and who bared them."""
    yield heading("Bare during the run")
    names = [name_text(baring.symbol, baring.position_side) for baring in barings]
    width = max(map(len, names))
    for name, baring in zip(names[:most], barings, strict=False):
        yield from text_lines(f"{INDENT}{name:<{width}}  ", Red(baring_text(baring)))
    yield from more_lines(barings[most:], see)


def baring_text(baring: Baring) -> str:
    """Return how often and how long a position was bare, and through whom."""
    text = f"{pluralize(baring.times, 'time')}, {span_text(baring.total_ns)} in all"
    by = [f"{number} through {module}" for module, number in baring.by.items() if module]
    return text + (f", {', '.join(by)}" if by else "") + (", still now" if baring.is_now else "")


def span_text(ns: int) -> str:
    """Return a span of time in the unit that suits it."""
    seconds = ns / NANOSECONDS
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < MINUTE_S:
        return f"{seconds:.1f} s"
    if seconds < HOUR_S:
        return f"{seconds // MINUTE_S:.0f} min {seconds % MINUTE_S:.0f} s"
    return f"{seconds // HOUR_S:.0f} h {seconds % HOUR_S // MINUTE_S:.0f} min"


def module_lines(totals: OrderTotals, most: int, see: str) -> Iterator[Line]:
    """Yield what each module did."""
    rows = [module_row(module) for module in totals.by_module()]
    if rows:
        yield heading("By module")
        yield from table_lines(MODULE_COLUMNS, rows[:most], see="--sites", indent=INDENT)
        yield from more_lines(rows[most:], see, "module")


def module_row(module: ModuleTotals) -> tuple[object, ...]:
    """Return the cells of a module."""
    return (
        module.module,
        module.places or "",
        module.cancels or "",
        module.changes or "",
        Red(module.conflicts) if module.conflicts else "",
        states_text(module.others),
    )


def site_lines(totals: OrderTotals) -> Iterator[Line]:
    """Yield what each place in the bot did, by module."""
    sites = list(totals.site_fields())
    yield heading("By place")
    heads = [site["module"] for site in sites]
    yield from table_lines(SITE_COLUMNS, list(map(site_row, sites)), indent=INDENT, heads=heads)


def site_row(site: Mapping[str, Any]) -> tuple[object, ...]:
    """Return the cells of a place in the bot."""
    return (
        site["operation"],
        site["kind"],
        site["orders"],
        Red(site["conflicts"]) if site["conflicts"] else "",
        site["place"],
        " ".join(f"{state}={number}" for state, number in site["outcomes"].items()),
        site["function"],
        site["via"],
        site["evidence"],
    )


def totals_lines(totals: OrderTotals, most: int, see: str) -> Iterator[Line]:
    """Yield the totals, lost events, and which modules look like helpers."""
    yield from text_lines("", totals.in_words())
    if totals.lost:
        lost = pluralize(totals.lost, "event")
        yield [(f"{lost} lost: the journal could not be written; see exit-shim doctor", "red")]
    for suggestion in totals.suggestions[:most]:
        yield from text_lines(
            "",
            f"{suggestion.module} looks like a passthrough module: other modules always call it "
            f"({', '.join(suggestion.callers)}). To attribute its orders to them: "
            f"ExitShim(roles={suggestion.configuration})",
        )
    yield from more_lines(totals.suggestions[most:], see, "module")
