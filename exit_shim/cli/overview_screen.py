"""The screen of `run` and `summary`: the fights first, the counts last."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from exit_shim.cli.clock import NANOSECONDS, Clock
from exit_shim.cli.output import Red, pluralize, printable, say, say_styled
from exit_shim.cli.overview import Baring, Feud, Found, Overview
from exit_shim.cli.tables import Column, show_table, show_text
from exit_shim.cli.totals import ModuleTotals, OrderTotals, states_text
from exit_shim.domain.reason_codes import DUPLICATE_EXIT, FOREIGN_CANCEL, ORPHAN, OVERSIZED, STRIPPED

if TYPE_CHECKING:
    from exit_shim.reports.timeline import PositionState

DOES: Final = {"cancel": "cancels", "modify": "changes"}

MOST_FEUDS: Final = 12
MOST_POSITIONS: Final = 10
"""The lines of a part of the screen, which has to stay a screen."""

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
    show_feuds(overview.feuds)
    show_found(overview.found)
    show_in_doubt(overview.totals)
    show_positions_now(overview.positions, clock)
    if overview.barings:
        show_barings(overview.barings)
    show_modules(overview.totals)
    if with_sites:
        show_sites(overview.totals)
    show_totals(overview.totals)


def show_feuds(feuds: list[Feud]) -> None:
    """Print who cancels or changes whose orders."""
    if not feuds:
        say("No module cancelled or changed another one's exits.")
        return
    say_styled("Who fights whom", "bold")
    width = len(str(feuds[0].orders))
    for feud in feuds[:MOST_FEUDS]:
        show_text(f"{INDENT}{feud.orders:>{width}} {TIMES} ", feud_text(feud))
    if more := feuds[MOST_FEUDS:]:
        orders = pluralize(sum(feud.orders for feud in more), "order")
        say(f"{INDENT}and {pluralize(len(more), 'more pair')} of modules, {orders}; see --json")


def feud_text(feud: Feud) -> str:
    """Return a fight as a sentence."""
    whose = f"{feud.victim}'s" if feud.victim else "orders that nobody is known to have placed"
    where = "at" if len(feud.places) == 1 else "mostly at"
    return f"{feud.module} {DOES.get(feud.operation, feud.operation)} {whose}, {where} {feud.places[0]}"


def show_found(found: list[Found]) -> None:
    """Print what the guard found, by reason."""
    if not found:
        say("The guard found nothing.")
        return
    say_styled("Found", "bold")
    width = len(str(found[0].number))
    names = max(len(each.code) for each in found)
    for each in found:
        text = f"{each.code:<{names}}  "
        head = f"{INDENT}{each.number:>{width}} {text}"
        show_text(head, each.meaning, style="red" if each.code in HURTS else "")


def show_in_doubt(totals: OrderTotals) -> None:
    """Print how many orders are in doubt, if any."""
    if numbers := totals.in_doubt():
        by = ", ".join(f"{number} by {module}" for module, number in numbers.items())
        say_styled(f"In doubt: {by}; see exit-shim reconcile", "red")


def show_positions_now(positions: "list[PositionState]", clock: Clock) -> None:
    """Print the cover of the positions that were seen of late, the bare ones first."""
    held = [state for state in positions if state.cover != "flat"]
    if not positions:
        show_text("", f"Whether a position is bare now is not known: {NO_SIZES}.")
    elif not held:
        say("No position is open now.")
    else:
        say_styled("Positions now", "bold")
    bare_first = sorted(held, key=lambda state: (state.cover != "bare", state.cover != "partly"))
    names = [name_text(state.position.symbol, state.position.position_side) for state in bare_first]
    width = max(map(len, names), default=0)
    for name, state in zip(names[:MOST_POSITIONS], bare_first, strict=False):
        text = position_text(state, clock)
        show_text(f"{INDENT}{name:<{width}}  ", Red(text) if state.cover == "bare" else text)
    if more := bare_first[MOST_POSITIONS:]:
        say(f"{INDENT}and {len(more)} more; see --json")


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


def show_barings(barings: list[Baring]) -> None:
    """Print which positions were bare during the run, for how long, and who bared them."""
    say_styled("Bare during the run", "bold")
    names = [name_text(baring.symbol, baring.position_side) for baring in barings]
    width = max(map(len, names))
    for name, baring in zip(names[:MOST_POSITIONS], barings, strict=False):
        show_text(f"{INDENT}{name:<{width}}  ", Red(baring_text(baring)))
    if more := barings[MOST_POSITIONS:]:
        say(f"{INDENT}and {len(more)} more; see --json")


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


def show_modules(totals: OrderTotals) -> None:
    """Print what each module did."""
    rows = [module_row(module) for module in totals.by_module()]
    if rows:
        say_styled("By module", "bold")
        show_table(MODULE_COLUMNS, rows, see="--sites", indent=INDENT)


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


def show_sites(totals: OrderTotals) -> None:
    """Print what each place in the bot did, by module."""
    sites = list(totals.site_fields())
    say_styled("By place", "bold")
    heads = [site["module"] for site in sites]
    show_table(SITE_COLUMNS, list(map(site_row, sites)), indent=INDENT, heads=heads)


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


def show_totals(totals: OrderTotals) -> None:
    """Print the totals, lost events, and which modules look like helpers."""
    show_text("", totals.in_words())
    if totals.lost:
        lost = pluralize(totals.lost, "event")
        say_styled(f"{lost} lost: the journal could not be written; see exit-shim doctor", "red")
    for suggestion in totals.suggestions:
        show_text(
            "",
            f"{suggestion.module} looks like a passthrough module: other modules always call it "
            f"({', '.join(suggestion.callers)}). To attribute its orders to them: "
            f"ExitShim(roles={suggestion.configuration})",
        )
