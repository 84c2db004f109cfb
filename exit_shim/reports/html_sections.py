"""The tables of a report: the numbers of each figure."""

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from exit_shim.journal import IN_DOUBT
from exit_shim.journal.record_source import LATENCY_BUCKETS_US
from exit_shim.reports.figure_style import kind_name
from exit_shim.reports.figures_counts import MEASURES, OUTCOMES, bound_text
from exit_shim.reports.figures_ladder import ENDS
from exit_shim.reports.html_tables import MOST_ROWS, Markup, Table, code, escape, join, tag
from exit_shim.reports.report_data import (
    ELSEWHERE,
    HOW,
    STATES,
    Caller,
    CoverSpan,
    ExitLine,
    FightKey,
    FightSite,
    Ladder,
    ReportData,
    Series,
    percentile,
)
from exit_shim.reports.report_text import NOTHING, Clock, count_text, duration_text, length_text, share_text
from exit_shim.reports.source_coverage import MOST_NEVER, SourceCoverage

MOST_MATRIX: Final = 12
"""How many modules the matrix has rows and columns for."""

DOES: Final = {"cancel": "cancels", "modify": "changes"}

REST: Final = "other modules"


def exits_table(ladder: Ladder) -> Table:
    """Return the exits of a symbol by module, kind and how they ended."""
    ways = [how for how in HOW if any(key[2] == how for key in ladder.counts)]
    sums: Counter[tuple[str, str]] = Counter()
    for (module, kind, _), number in ladder.counts.items():
        sums[module, kind] += number
    rows: list[Sequence[object]] = [
        [module, kind_name(kind), number, *(ladder.counts[module, kind, how] for how in ways)]
        for (module, kind), number in sorted(sums.items(), key=lambda item: (-item[1], item[0]))
    ]
    total = [
        *("all", "all", ladder.number),
        *(sum(number for key, number in ladder.counts.items() if key[2] == how) for how in ways),
    ]
    shown, more = cut(rows, "row")
    return Table(
        f"{ladder.symbol}: exits by module, and how they ended",
        ["placed by", "kind", "exits", *ways],
        [*shown, total],
        more,
    )


def taken_table(ladder: Ladder, clock: Clock) -> Table:
    """Return the exits of a symbol that another module ended: the crosses, the newest first."""
    taken = [line for line in ladder.exits if line.is_ended_by_other]
    rows = [taken_row(line, clock) for line in reversed(taken[-MOST_ROWS:])]
    rest = ladder.ended_by_other - len(rows)
    return Table(
        f"{ladder.symbol}: exits that another module ended (✕)",
        ["ended", "ended by", "how", "placed by", "kind", "price", "after", "order"],
        rows,
        f"and {rest:,} earlier ones" if rest > 0 else "",
    )


def taken_row(line: ExitLine, clock: Clock) -> Sequence[object]:
    """Return the row of an exit that another module ended."""
    by, ended_ns = line.ended_by or Caller("?", "?", "?"), line.ended_ns or line.placed_ns
    price = NOTHING if line.price is None else f"{line.price:,.10g}"
    return [
        *(clock.stamp(ended_ns), who(by), ENDS[line.end], line.module),
        *(kind_name(line.kind), price, length_text(ended_ns - line.placed_ns), code(line.name)),
    ]


def who(caller: Caller) -> Markup:
    """Return the module, and below from where."""
    return stacked(*lines_of(caller))


def lines_of(caller: Caller) -> tuple[str, str]:
    """Return the module, and from where in it."""
    return caller.module, f"{caller.place} {caller.function}"


def stacked(*lines: object) -> Markup:
    """Return lines of which the later ones say more of the first."""
    spans = [tag("span", line) for line in lines]
    return tag("span", *(piece for span in spans for piece in (span, " ")), class_="stacked")


def bare_table(ladder: Ladder, clock: Clock) -> Table:
    """Return the times in which positions of a symbol were bare, the longest first."""
    bare = [span for span in ladder.spans if span.cover == "bare"]
    bare.sort(key=lambda span: (-span.length_ns, -span.start_ns))
    rows = [bare_row(span, clock) for span in bare[:MOST_ROWS]]
    rest = ladder.bares - len(rows)
    return Table(
        f"{ladder.symbol}: when it was bare, and who bared it",
        ["since", "for", "side", "its last stop", "ended by"],
        rows,
        f"and {rest:,} shorter ones" if rest > 0 else "",
    )


def bare_row(span: CoverSpan, clock: Clock) -> Sequence[object]:
    """Return the row of a time in which a position was bare."""
    side = span.position.position_side
    stop = (
        "none was seen" if span.stop is None else stacked(code(span.stop), f"of {span.stop_of or ELSEWHERE}")
    )
    by = "nobody known" if span.by is None else who(span.by)
    return [clock.stamp(span.start_ns), length_text(span.length_ns), side, stop, by]


def symbols_table(data: ReportData, drawn: int) -> Table:
    """Return all symbols with their cover, the most troubled first."""
    rows: list[Sequence[object]] = []
    for place, ladder in enumerate(data.ladders[: 8 * MOST_ROWS]):
        name: object = ladder.symbol
        if place < drawn:
            name = tag("a", ladder.symbol, href=f"#symbol-{place}")
        lengths = (length_text(ladder.cover_ns[cover]) for cover in ("covered", "partly", "bare", "unknown"))
        rows.append([name, ladder.number, ladder.ended_by_other, ladder.bares, *lengths])
    rest = len(data.ladders) - len(rows)
    return Table(
        "Symbols, the most troubled first",
        ["symbol", "exits", "ended by another", "times bare", "covered", "partly", "bare", "not known"],
        rows,
        f"and {count_text(rest, 'symbol')} more" if rest > 0 else "",
    )


def matrix(data: ReportData) -> Markup:
    """Return who cancels whom: a table whose cells are shaded by their counts, and lead to the places."""
    pairs = data.pairs()
    rows, columns = leading(pairs, 0), leading(pairs, 1)
    counts: Counter[tuple[str, str]] = Counter()
    for (module, victim), number in pairs.items():
        counts[module if module in rows else REST, victim if victim in columns else REST] += number
    rows += [REST] * any(module == REST for module, _ in counts)
    columns += [REST] * any(victim == REST for _, victim in counts)
    most = max(counts.values(), default=1)
    anchors = pair_anchors(data)
    head = tag(
        "tr",
        tag("td", "took ↓ the exits of →", class_="corner"),
        *(tag("th", breakable(victim), scope="col") for victim in columns),
        tag("th", "all", scope="col", class_="sum"),
    )
    body = [
        tag(
            "tr",
            tag("th", module, scope="row"),
            *(matrix_cell(counts[module, victim], most, anchors.get((module, victim))) for victim in columns),
            tag("td", f"{sum(counts[module, victim] for victim in columns):,}", class_="number sum"),
        )
        for module in rows
    ]
    sums = [sum(counts[module, victim] for module in rows) for victim in columns]
    foot = tag(
        "tr",
        tag("th", "all", scope="row", class_="sum"),
        *(tag("td", f"{number:,}", class_="number sum") for number in [*sums, sum(sums)]),
    )
    caption = "Exits taken: rows cancelled or changed what columns had placed"
    table = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *body, foot), id="matrix")
    return tag("div", table, class_="table matrix", tabindex="0", role="region", aria_label=caption)


def breakable(name: str) -> Markup:
    """Return a name that may go on in a next line after each of its words."""
    return Markup(escape(name).replace("_", "_<wbr>"))


def matrix_cell(number: int, most: int, anchor: str | None) -> Markup:
    """Return a cell of the matrix."""
    if not number:
        return tag("td", "·", class_="number none")
    text = f"{number:,}"
    content = text if anchor is None else tag("a", text, href=f"#{anchor}")
    # The square root keeps small counts visible beside large ones.
    return tag("td", content, class_="number heat", style=f"--heat: {12 + 76 * (number / most) ** 0.5:.0f}%")


def leading(pairs: Counter[tuple[str, str]], side: int) -> list[str]:
    """Return the modules on one side of the matrix, those with the most first."""
    sums: Counter[str] = Counter()
    for pair, number in pairs.items():
        sums[pair[side]] += number
    return [module for module, _ in sums.most_common(MOST_MATRIX)]


def pair_anchors(data: ReportData) -> dict[tuple[str, str], str]:
    """Return the id in the page of the first place of each pair in the table of places."""
    anchors: dict[tuple[str, str], str] = {}
    for place, (key, _) in enumerate(sorted_fights(data)[: 8 * MOST_ROWS]):
        anchors.setdefault((key.caller.module, key.victim), f"fight-{place}")
    return anchors


def fights_table(data: ReportData) -> Table:
    """Return the places in the bot that take exits from other modules, and how to list the records."""
    fights = sorted_fights(data)
    rows = []
    for key, site in fights[: 8 * MOST_ROWS]:
        rows.append(
            [
                stacked(*lines_of(key.caller), command(data, "records", "--module", key.caller.module)),
                *(DOES[key.operation], key.victim, site.orders),
                stacked(data.clock.stamp(site.last_ns), join([site.symbol, " ", code(site.last)])),
            ]
        )
    rest = sum(site.orders for _, site in fights[len(rows) :])
    return Table(
        "The places in the bot that do it",
        ["module, place, and how to list its records", "does", "exits of", "orders", "last"],
        rows,
        f"and {count_text(rest, 'order')} at {len(fights) - len(rows):,} more places" if rest else "",
        row_anchors=[f"fight-{place}" for place in range(len(rows))],
    )


def command(data: ReportData, *words: str) -> Markup:
    """Return a command that reads the same journal or database."""
    return code(shlex.join(["exit-shim", *words, *data.options]))


def sorted_fights(data: ReportData) -> list[tuple[FightKey, FightSite]]:
    """Return the places that take exits: pair by pair, those with the most orders first."""
    pairs = data.pairs()
    return sorted(
        data.fights.items(),
        key=lambda item: (
            -pairs[item[0].caller.module, item[0].victim],
            item[0].caller.module,
            item[0].victim,
            -item[1].orders,
            item[0],
        ),
    )


def churn_table(data: ReportData) -> Table:
    """Return the orders of each module by what they did."""
    rows = []
    for module in data.modules[:MOST_ROWS]:
        counts: Counter[str] = Counter()
        for (name, operation, _), number in data.states.items():
            if name == module:
                counts[operation] += number
        total = sum(counts.values())
        rows.append(
            [module, total, counts["place"], counts["modify"], counts["cancel"], *busiest(data, module)]
        )
    rest = len(data.modules) - len(rows)
    return Table(
        "Orders by module",
        ["module", "orders", "placed", "changed", "cancelled", "most at once", "busiest since"],
        rows,
        f"and {count_text(rest, 'module')} more" if rest > 0 else "",
    )


def busiest(data: ReportData, module: str) -> tuple[int, str]:
    """Return the count and the beginning of the step of time in which a module had the most orders."""
    steps = [(number, -step) for (name, step), number in data.churn.counts.items() if name == module]
    number, step = max(steps, default=(0, 0))
    return number, data.clock.second(data.churn.start_ns(-step)) if number else NOTHING


def findings_table(findings: Series, clock: Clock) -> Table:
    """Return how often the guard gave each reason, and when first and last."""
    rows = []
    totals = findings.totals()
    for name, number in totals[:MOST_ROWS]:
        steps = [step for key, step in findings.counts if key == name]
        first, last = (clock.second(findings.start_ns(step)) for step in (min(steps), max(steps)))
        rows.append([code(name), number, first, last])
    rest = sum(number for _, number in totals[MOST_ROWS:])
    return Table(
        "Findings by reason",
        ["reason", "findings", "first since", "last since"],
        rows,
        f"and {rest:,} of {len(totals) - len(rows)} more reasons" if rest else "",
    )


def switches_table(data: ReportData) -> Table:
    """Return the switches, numbered as in the figure."""
    numbered = list(enumerate(data.switches, 1))
    rows = [
        [str(place), data.clock.stamp(switch.ts), switch.text, switch.by]
        for place, switch in numbered[-MOST_ROWS:]
    ]
    rest = len(numbered) - len(rows)
    return Table(
        "Switches of mode and enforcement",
        ["no.", "time", "switched to", "by"],
        rows,
        f"and {rest:,} earlier ones" if rest else "",
    )


def outcomes_table(data: ReportData) -> Table:
    """Return what became of the orders of each module."""
    states = [state for state in STATES if data.count_state(state)]
    rows: list[Sequence[object]] = []
    for module in data.modules:
        counts: Counter[str] = Counter()
        for (name, _, state), number in data.states.items():
            if name == module:
                counts[state] += number
        rows.append([module, sum(counts.values()), *(counts[state] for state in states)])
        if len(rows) == MOST_ROWS:
            break
    rest = len(data.modules) - len(rows)
    rows.append(["all", data.orders, *(data.count_state(state) for state in states)])
    return Table(
        "What became of the orders of each module",
        ["module", "orders", *(OUTCOMES[state][0] for state in states)],
        rows,
        f"the sum is also of {count_text(rest, 'module')} more" if rest else "",
    )


def latency_table(data: ReportData) -> Table:
    """Return the histograms as numbers."""
    orders = {(str(bucket.measure), bucket.upper_us): bucket.orders for bucket in data.latencies}
    bounds = (*LATENCY_BUCKETS_US, float("inf"))
    shown = [bound for bound in bounds if any(upper == bound for _, upper in orders)]
    rows = [
        [bound_text(bound), *(orders.get((measure, bound), 0) for measure in MEASURES)] for bound in shown
    ]
    return Table(
        "Orders by how long they took", ["at most", *(name for name, _, _ in MEASURES.values())], rows
    )


def latency_sentence(data: ReportData) -> str:
    """Say how much the shim adds, in the middle and at the worst."""
    parts = []
    for share, words in ((0.5, "half of the orders"), (0.99, "99 %")):
        bound = percentile(data.latencies, "before_send", share)
        if bound is not None:
            parts.append(f"at most {duration_text(bound)} to {words}")
    return f"Before the send, the shim adds {' and '.join(parts)}." if parts else ""


def cut(rows: list[Sequence[object]], noun: str) -> tuple[list[Sequence[object]], str]:
    """Return the first rows, and what is to be said of the others."""
    rest = len(rows) - MOST_ROWS
    return rows[:MOST_ROWS], f"and {count_text(rest, noun)} more" if rest > 0 else ""


def ladder_sentence(ladder: Ladder) -> Markup:
    """Say in a line what happened on a symbol."""
    taken, bare_ns = ladder.ended_by_other, ladder.cover_ns["bare"]
    pieces: list[object] = [count_text(ladder.number, "exit")]
    if taken:
        share = share_text(taken, ladder.number)
        pieces += [", ", tag("strong", f"{taken:,} ({share}) ended by another module")]
    if bare_ns or ladder.bares:
        pieces += [", ", tag("strong", f"bare for {length_text(bare_ns)}", class_="bad")]
        pieces += [f" ({count_text(ladder.bares, 'time')})"]
    if not any(ladder.cover_ns[cover] for cover in ("covered", "partly", "bare", "flat")):
        pieces += [", cover not known"]
    return tag("p", join([*pieces, "."]), class_="lead")


def headline(data: ReportData) -> str:
    """Say who fights whom the most."""
    pairs = data.pairs()
    if not pairs:
        return "No module took an exit of another one."
    (module, victim), number = pairs.most_common(1)[0]
    whose = "that were placed elsewhere" if victim == ELSEWHERE else f"of {victim}"
    more = f", the most of {len(pairs):,} such pairs" if len(pairs) > 1 else ""
    return f"{module} took {count_text(number, 'exit')} {whose}{more}."


def facts(data: ReportData) -> Iterable[tuple[str, str, bool]]:
    """Return the key figures: each with its name and whether it is bad news."""
    bare_ns, known_ns = (
        data.cover_ns("bare"),
        sum(data.cover_ns(cover) for cover in ("covered", "partly", "bare")),
    )
    yield "exits", f"{data.exits:,}", False
    share = share_text(data.ended_by_other, data.exits)
    yield "ended by another module", f"{data.ended_by_other:,} ({share})", data.ended_by_other > 0
    if known_ns:
        yield f"bare, {count_text(data.bares, 'time')}", length_text(bare_ns), data.bares > 0
    else:
        yield "bare", "not known", False
    denied, in_doubt = data.count_state("denied"), data.count_state(IN_DOUBT)
    yield "denied by the guard", f"{denied:,}", False
    yield "in doubt", f"{in_doubt:,}", in_doubt > 0
    if data.coverage is not None:
        places = data.coverage.places
        yield f"of {count_text(places, 'place')} in the source seen", f"{data.coverage.seen:,}", False
    if lost := sum(data.lost.values()):
        yield "events lost", f"{lost:,}", True


def coverage_sentence(coverage: SourceCoverage) -> str:
    """Return how many of the places in the source were seen."""
    return (
        f"{count_text(coverage.places, 'place')} in {coverage.root} can send exit orders; "
        f"orders came from {coverage.seen:,} of them. A place that was never seen has not run in this time, "
        "or its client is not wrapped."
    )


def never_table(coverage: SourceCoverage) -> Table:
    """Return the places of the source that no order came from."""
    hidden = len(coverage.never) - MOST_NEVER
    return Table(
        "Places in the source that were never seen",
        ("place", "function", "sends"),
        [(code(row.place), row.function, row.sends) for row in coverage.never[:MOST_NEVER]],
        more=f"{hidden} more; exit-shim scan lists all" if hidden > 0 else "",
    )
