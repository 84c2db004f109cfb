"""Put a report together: one HTML file that needs nothing else."""

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

from exit_shim.reports.figure_style import OTHER_MODULES, Palette, dash_of, kind_name, plain
from exit_shim.reports.figures_counts import churn_figure, findings_figure, latency_figure, orders_figure
from exit_shim.reports.figures_ladder import MOST_SVG, ladder_figure
from exit_shim.reports.html_sections import (
    bare_table,
    churn_table,
    command,
    coverage_sentence,
    exits_table,
    facts,
    fights_table,
    findings_table,
    headline,
    ladder_sentence,
    latency_sentence,
    latency_table,
    matrix,
    never_table,
    outcomes_table,
    switches_table,
    symbols_table,
    taken_table,
)
from exit_shim.reports.html_tables import Markup, Table, code, join, render_table, tag
from exit_shim.reports.report_data import ELSEWHERE, Ladder, ReportData
from exit_shim.reports.report_text import count_text
from exit_shim.reports.source_coverage import SourceCoverage

MOST_SYMBOLS: Final = 12
"""How many symbols have a figure of their own, the most troubled."""

POLICY: Final = (
    "default-src 'none'; script-src {hashes} 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)
"""What the page may do: run its own two scripts, and ask nobody for anything. plotly makes functions of text
where it draws in WebGL."""

HOW_TO_WATCH: Final = "exit_shim.watch(client)"


def write_page(data: ReportData, stream: IO[str], plotly_js: str, why_empty: str = "") -> None:
    """Write a report.

    Args:
        data: What it shows.
        stream: Where to; it is written piece by piece, for it may be large.
        plotly_js: The source of plotly.js.
        why_empty: What to say where there is nothing to show.
    """
    for piece in page_pieces(data, plotly_js, why_empty):
        stream.write(piece)


def page_pieces(data: ReportData, plotly_js: str, why_empty: str) -> Iterator[str]:
    """Yield the page piece by piece."""
    # Newlines are made uniform where HTML is read, and would change what the policy's hash is of.
    scripts = [
        text.replace("\r\n", "\n").replace("</script", "<\\/script") for text in (plotly_js, asset("js"))
    ]
    policy = POLICY.format(hashes=" ".join(map(digest, scripts)))
    title = f"Exits of {data.source}"
    yield "<!DOCTYPE html>\n"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
    yield tag("title", title)
    yield f"<style>{asset('css')}</style></head><body>"
    yield head(data)
    yield "<main>"
    yield from sections(data) if data.orders or data.exits else [empty_page(data, why_empty)]
    yield "</main>"
    yield foot(data)
    for script in scripts:
        yield f"<script>{script}</script>"
    yield "</body></html>\n"


def asset(kind: str) -> str:
    """Return the page's style or script."""
    return Path(__file__).with_name(f"report_page.{kind}").read_text("utf-8")


def digest(script: str) -> str:
    """Return how a policy names a script."""
    sha = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return f"'sha256-{sha}'"


def head(data: ReportData) -> Markup:
    """Return the top of the page: what it is about, and the key figures."""
    about = [data.source.removeprefix("the ")]
    if data.first_ns is not None:
        first, last = data.clock.full(data.first_ns), data.clock.full(data.last_ns)
        last = data.clock.second(data.last_ns) if data.clock.is_one_day else last
        about.append(f"{first} to {last} {zone_text(data)}")
    if len(data.accounts) == 1:
        about.append(f"account {data.accounts[0]}")
    elif data.accounts:
        about.append(count_text(len(data.accounts), "account"))
    about += data.filters
    pieces = [tag("h1", "Exit orders"), tag("p", " · ".join(about), class_="about")]
    if data.orders or data.exits:
        figures = [
            tag("div", tag("dd", number), tag("dt", name), class_="bad" if is_bad else "")
            for name, number, is_bad in facts(data)
        ]
        pieces += [tag("p", headline(data), class_="headline"), tag("dl", *figures, class_="facts")]
    return tag("header", *pieces)


def zone_text(data: ReportData) -> str:
    """Return the zone, with its offset where its name does not say it."""
    minutes = data.offset_ns // 60_000_000_000
    if data.zone == "UTC":
        return data.zone
    return f"{data.zone} (UTC{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02})"


def foot(data: ReportData) -> Markup:
    """Return the end of the page."""
    made = f"Made {data.clock.full(data.made_ns)} {zone_text(data)} by exit-shim report."
    return tag("footer", tag("p", made, " All times are on one clock: ", zone_text(data), "."))


def empty_page(data: ReportData, why: str) -> Markup:
    """Say that there is nothing to show, why that may be, and what to do."""
    why = why or f"{data.source} has nothing that fits"
    then = join(
        ["Remove or widen a filter: ", command(data, "records"), " lists the orders that there are."]
        if data.filters
        else ["Run the bot under the shim, and make the report again: ", code("exit-shim run BOT.py")]
    )
    return tag("section", tag("h2", f"{why[0].upper()}{why[1:]}."), tag("p", then), class_="empty")


def sections(data: ReportData) -> Iterator[str]:
    """Yield the sections of a page that has something to show."""
    palette = Palette(data.modules)
    drawn = [ladder for ladder in data.ladders[:MOST_SYMBOLS] if ladder.exits or ladder.spans]
    figures = Figures()
    yield from ladders_section(data, drawn, palette, figures)
    yield section("fights", "Who cancels whom", *fights_pieces(data))
    churn = figures.add(churn_figure(data.churn, palette), "Orders by module over time")
    yield section("churn", "Who is busy when", churn, render_table(churn_table(data)))
    yield section("findings", "What the guard found", *findings_pieces(data, figures))
    orders = figures.add(orders_figure(data), "What became of the orders that were asked for")
    yield section("orders", "What became of the orders", orders, render_table(outcomes_table(data)))
    if data.coverage is not None:
        yield section("source", "What the source could send", *coverage_pieces(data.coverage))
    yield section("cost", "What the shim costs", *cost_pieces(data, figures))


def coverage_pieces(coverage: SourceCoverage) -> Iterator[Markup]:
    """Yield what is said of the places in the source: how many were seen, and which never."""
    yield tag("p", coverage_sentence(coverage))
    if coverage.never:
        yield render_table(never_table(coverage))


def section(anchor: str, title: str, *content: object) -> Markup:
    """Return a section of the page."""
    return tag("section", tag("h2", title), *content, id=anchor)


class Figures:
    """Give each figure its place in the page; the page's script draws it there."""

    def __init__(self) -> None:
        self._number = 0

    def add(self, figure: dict[str, Any], label: str, *, is_gl: bool = False) -> Markup:
        """Return the place of a figure, with its data."""
        self._number += 1
        place = tag(
            "div",
            *("", tag("p", "Drawing…", class_="wait")),
            class_="plot",
            id=f"plot-{self._number}",
            role="img",
            aria_label=label,
            data_gl="yes" if is_gl else "",
            style=f"height: {figure['layout']['height']}px",
        )
        # No text can end the element that it is in.
        text = json.dumps(figure, separators=(",", ":")).replace("<", "\\u003c")
        return Markup(f'{place}<script type="application/json" class="data">{text}</script>')


def ladders_section(
    data: ReportData, drawn: list[Ladder], palette: Palette, figures: Figures
) -> Iterator[str]:
    """Yield the section of the symbols."""
    yield '<section id="symbols"><h2>Exits and cover by symbol</h2>'
    yield render_table(symbols_table(data, len(drawn)))
    if not data.positions_seen:
        yield tag(
            *("p", "Cover is not known: nothing told the journal how large the positions are. Call "),
            *(code(HOW_TO_WATCH), " in the bot, and it will be."),
            class_="note",
        )
    if len(data.ladders) > len(drawn):
        words = f"The {len(drawn)} most troubled of {count_text(len(data.ladders), 'symbol')} are drawn; "
        yield tag("p", words, "narrow the report by ", code("--symbol"), " to draw others.", class_="note")
    yield legend(drawn, palette)
    for place, ladder in enumerate(drawn):
        yield symbol_piece(place, ladder, data, palette, figures)
    yield "</section>"


def symbol_piece(place: int, ladder: Ladder, data: ReportData, palette: Palette, figures: Figures) -> Markup:
    """Return what is shown of a symbol: the figure, and its numbers."""
    is_gl = len(ladder.exits) > MOST_SVG
    figure = ladder_figure(ladder, palette, data.last_ns, data.offset_ns)
    label = f"{ladder.symbol}: exits over time and price, and the cover of its positions"
    pieces = [ladder_sentence(ladder), figures.add(figure, label, is_gl=is_gl)]
    if notes := ladder_notes(ladder):
        pieces.append(tag("p", " ".join(notes), class_="note"))
    tables = [exits_table(ladder)]
    if ladder.bares:
        tables.append(bare_table(ladder, data.clock))
    pieces.append(tag("div", *map(render_table, tables), class_="tables"))
    if ladder.ended_by_other:
        pieces.append(folded(taken_table(ladder, data.clock)))
    words = command(data, "records", "--symbol", ladder.symbol)
    pieces.append(tag("p", "All of its records: ", words, class_="command"))
    return tag("article", tag("h3", ladder.symbol), *pieces, id=f"symbol-{place}")


def ladder_notes(ladder: Ladder) -> list[str]:
    """Say what the figure of a symbol leaves out."""
    notes = []
    if ladder.dropped:
        drawn = f"Only the newest {len(ladder.exits):,} exits are drawn"
        notes.append(f"{drawn}; {ladder.dropped:,} older ones are in the table alone.")
    without = sum(line.price is None for line in ladder.exits)
    if without:
        where = "stand at the market's price then" if ladder.prices.times else "are in the table alone"
        notes.append(f"Exits without a price of their own ({without:,}) {where}.")
    if not ladder.prices.times:
        notes.append("Nothing told the journal its price.")
    return notes


def folded(table: Table) -> Markup:
    """Return a table that opens when it is asked for."""
    return tag("details", tag("summary", table.caption), render_table(table))


def legend(drawn: list[Ladder], palette: Palette) -> Markup:
    """Return the modules and kinds of all ladders: buttons that show and hide them."""
    modules = {palette.group(line.module) for ladder in drawn for line in ladder.exits}
    kinds = sorted({line.kind for ladder in drawn for line in ladder.exits})
    order = [name for name in (*palette.named, OTHER_MODULES, ELSEWHERE) if name in modules]
    return tag(
        "div",
        *(legend_button("module", module, module, palette) for module in order),
        tag("span", "", class_="break"),
        *(legend_button("kind", kind, kind_name(kind), palette) for kind in kinds),
        tag("span", tag("b", "✕", class_="cross"), "ended by another module", class_="key"),
        tag("span", Markup('<i class="bare"></i>'), "bare", class_="key"),
        tag("span", Markup('<i class="partly"></i>'), "partly covered", class_="key"),
        tag("span", Markup('<i class="covered"></i>'), "covered", class_="key"),
        tag("span", Markup('<i class="unknown"></i>'), "not known", class_="key"),
        class_="legend",
        role="group",
        aria_label="Show and hide exits",
    )


def legend_button(role: str, value: str, text: str, palette: Palette) -> Markup:
    """Return the button of a module or kind, with its colour and marker, or its dash."""
    is_module = role == "module"
    swatch = tag(
        "canvas",
        class_="swatch",
        width="56",
        height="24",
        aria_hidden="true",
        data_colour=palette.colour(value) if is_module else "",
        data_symbol=palette.marker(value) if is_module else "",
        data_dash="solid" if is_module else dash_of(value),
    )
    return tag(
        *("button", swatch, text),
        type="button",
        aria_pressed="true",
        data_role=role,
        data_value=plain(value) if is_module else value,
    )


def fights_pieces(data: ReportData) -> Iterator[object]:
    """Yield who cancels whom."""
    if not data.fights:
        yield tag("p", "No module cancelled or changed an exit of another one.")
        return
    yield matrix(data)
    yield render_table(fights_table(data))


def findings_pieces(data: ReportData, figures: Figures) -> Iterator[object]:
    """Yield the findings, and the switches."""
    if not data.findings.counts and not data.switches:
        yield tag("p", "The guard found nothing, and nothing was switched.")
        return
    figure = findings_figure(data.findings, data.switches, data.offset_ns)
    yield figures.add(figure, "Findings by reason over time, and switches of mode and enforcement")
    if data.findings.counts:
        yield render_table(findings_table(data.findings, data.clock))
    if data.switches:
        yield render_table(switches_table(data))


def cost_pieces(data: ReportData, figures: Figures) -> Iterator[object]:
    """Yield what the shim costs."""
    if not data.latencies:
        yield tag("p", "No order was sent, so nothing was measured.")
        return
    yield tag("p", latency_sentence(data), class_="lead")
    yield figures.add(latency_figure(data.latencies), "How long orders took, as shares of the orders")
    yield render_table(latency_table(data))
