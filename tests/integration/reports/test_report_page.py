"""The page of `exit-shim report` in a real Chromium: it needs nothing, fits a phone, and obeys no text."""

import re

import pytest
from binance import Client
from browser import opened
from written_journal import WrittenJournal

import exit_shim
from exit_shim.cli import app
from exit_shim.domain.events import GuardFinding, PositionSeen, Switch
from exit_shim.domain.verdicts import Reason
from exit_shim.journal import JournalReader, RecordFilter
from exit_shim.reports.report_fold import read_report
from exit_shim.testing import LocalExchange
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET

STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "closePosition": True}
TARGET = {"symbol": "BTCUSDT", "side": "SELL", "type": "TAKE_PROFIT_MARKET", "quantity": 0.002}

PLANTED = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    "</script><script>alert(3)</script>",
    "<a href=javascript:alert(4)>click</a>",
    '"><b onmouseover=alert(5)>%{x}',
)

WAIT = "html[data-drawn=all]"

CROSSES = """
    [...document.querySelectorAll(".plot")].flatMap((plot) => plot.data)
        .filter(({meta}) => meta && meta.role === "crosses")
        .reduce((sum, {text}) => sum + text.length, 0)
"""

OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

# The text that plotly shows beside the first point of each trace, one figure after the other.
HOVER = """
    async () => {
        const labels = [], plots = ["#symbol-0", "#churn", "#findings"].map((place) => `${place} .plot`);
        for (const plot of plots.map((place) => document.querySelector(place))) {
            for (const [curve, trace] of plot.data.entries()) {
                const axes = trace.yaxis === "y2" ? "xy2" : "xy";
                Plotly.Fx.hover(plot, [{curveNumber: curve, pointNumber: 0}], axes);
                await new Promise((done) => setTimeout(done, 80));  // plotly shows one label in 50 ms
                labels.push(plot.querySelector(".hoverlayer").textContent);
            }
        }
        return labels;
    }
"""


def write(path, tmp_path, *words):
    """Write the page of a journal; return its address."""
    page = tmp_path / "exits.html"
    app.main(["report", "--journal", str(path), "-o", str(page), *words], standalone_mode=False)
    return page.as_uri()


def numbers_of(sheet, caption):
    """Return the rows of the table of a caption: the texts of their cells."""
    table = sheet.page.locator("table", has=sheet.page.locator("caption", has_text=caption)).first
    return [row.locator("th, td").all_inner_texts() for row in table.locator("tbody tr").all()]


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """The journal of modules that fight, as a genuine client on a local exchange filled it."""
    path = tmp_path_factory.mktemp("lived") / "exits.db"
    with LocalExchange() as exchange:
        exchange.register(LOCAL_KEY, LOCAL_SECRET)
        client = Client(LOCAL_KEY, LOCAL_SECRET, ping=False)
        client.FUTURES_URL = exchange.url + "/fapi"
        shim = exit_shim.ExitShim(journal=path, account="mine", sinks=[])
        wrapped = shim.wrap(client)
        client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
        shim.watch(client, every=3600)
        for level in (50000, 50500, 51000):
            with exit_shim.attributed("brain"):
                stop = wrapped.futures_create_order(**STOP, stopPrice=level)
                wrapped.futures_create_order(**TARGET, stopPrice=level + 20000, reduceOnly="true")
            for poller in shim.account_feeds.pollers:
                poller.look()
            with exit_shim.attributed("rearm"):
                wrapped.futures_cancel_algo_order(symbol="BTCUSDT", algoId=stop["algoId"])
        shim.close()
        client.close_connection()
    return path


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
def test_the_page_shows_the_journal_and_asks_nobody(chromium, lived, tmp_path, scheme, width):
    """Tables and crosses equal the journal; no error, no request; light and dark; a phone is wide enough."""
    data = read_report(JournalReader(lived), RecordFilter())
    foreign = sum(fight.orders for fight in JournalReader(lived).read_fights())
    assert foreign == data.ended_by_other == 3
    with opened(chromium, write(lived, tmp_path), width=width, scheme=scheme) as sheet:
        sheet.page.wait_for_selector(WAIT)
        assert sheet.page.evaluate(CROSSES) == foreign
        assert numbers_of(sheet, "Exits taken")[0][:2] == ["rearm", "3"]
        orders = {row[0]: int(row[1]) for row in numbers_of(sheet, "Orders by module")}
        assert orders == {"brain": 6, "rearm": 3}
        (symbol,) = numbers_of(sheet, "Symbols, the most troubled first")
        assert symbol[:4] == ["BTCUSDT", str(data.exits), "3", str(data.bares)]
        assert sheet.page.evaluate(OVERFLOW) <= 0
        paper = sheet.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", paper))) < 300) == (scheme == "dark")
        assert (sheet.complaints, sheet.requests, sheet.dialogs) == ([], [], [])


def test_a_cell_of_the_matrix_leads_to_its_places(chromium, lived, tmp_path):
    """A count of who cancels whom is a link to the places in the bot, with the command that lists them."""
    with opened(chromium, write(lived, tmp_path)) as sheet:
        sheet.page.locator("#matrix td.heat a").first.click()
        target = sheet.page.locator("tr:target")
        assert "rearm" in target.inner_text()
        assert f"exit-shim records --module rearm --journal {lived}" in target.inner_text()


def test_a_button_hides_a_module(chromium, lived, tmp_path):
    """The legend's buttons show and hide the exits of a module in each ladder."""
    traces = "document.querySelector('.plot').data.filter(({meta}) => meta.module)"
    shown = f"{traces}.filter(({{visible}}) => visible !== false).length"
    with opened(chromium, write(lived, tmp_path)) as sheet:
        sheet.page.wait_for_selector(WAIT)
        before = sheet.page.evaluate(shown)
        sheet.page.locator("button", has_text="brain").click()
        assert (before > 0, sheet.page.evaluate(shown)) == (True, 0)
        sheet.page.locator("button", has_text="brain").click()
        assert sheet.page.evaluate(shown) == before


def test_it_prints_in_the_colours_of_paper(chromium, lived, tmp_path):
    """A dark page is light in print, as wide as a sheet, with all tables open; and dark again afterwards."""
    ink = "getComputedStyle(document.querySelector('.plot .xtick text, .plot .ytick text')).fill"
    with opened(chromium, write(lived, tmp_path), scheme="dark") as sheet:
        sheet.page.wait_for_selector(WAIT)
        before = sheet.page.evaluate(ink)
        sheet.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert sheet.page.evaluate(ink) == "rgb(68, 68, 68)" != before
        assert sheet.page.locator("details:not([open])").count() == 0
        assert sheet.page.locator(".plot .main-svg").first.get_attribute("width") == "700"
        sheet.page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert sheet.page.evaluate(ink) == before
        assert sheet.page.locator("details[open]").count() == 0


def test_planted_texts_are_shown_and_not_obeyed(chromium, tmp_path):
    """Tags, handlers and links in texts of the journal are text in tables, figures and hover labels."""
    journal = WrittenJournal(tmp_path / "planted.db")
    for number, text in enumerate(PLANTED):
        seen = {
            "account": text,
            "position_side": "BOTH",
            "amount": "0.01",
            "source": "poller",
        }
        stop = journal.order(text, function=text, file=text, line=1, trigger_price="50000", symbol=text)
        other = PLANTED[number - 1]
        journal.cancel(other, stop, of=text, function=other, file=other, symbol=text)
        journal.add("position_seen", PositionSeen(symbol=text, exits=(), guarded="0", mark_price="5", **seen))
        journal.add("guard_finding", GuardFinding(Reason(text)))
        journal.add("switch", Switch(by=text, mode=text))
    with opened(chromium, write(journal.write(), tmp_path)) as sheet:
        sheet.page.wait_for_selector(WAIT)
        labels = " ".join(sheet.page.evaluate(HOVER))
        shown = sheet.page.locator("body").inner_text()
        assert [text for text in PLANTED if text not in shown or text not in labels] == []
        assert sheet.page.locator("img, a[href^=javascript], section b[onmouseover]").count() == 0
        sheet.page.wait_for_timeout(100)
        assert (sheet.complaints, sheet.requests, sheet.dialogs) == ([], [], [])


def test_many_exits_are_drawn_in_webgl(chromium, tmp_path, monkeypatch):
    """A symbol with very many exits is drawn in WebGL when it comes into view, and is erased behind it."""
    monkeypatch.setattr("exit_shim.reports.figures_ladder.MOST_SVG", 2)
    monkeypatch.setattr("exit_shim.reports.html_page.MOST_SVG", 2)
    journal = WrittenJournal(tmp_path / "many.db")
    for symbol in "ABCDE":
        for level in range(3):
            journal.order("brain", symbol=symbol, trigger_price=str(50000 + level))
    with opened(chromium, write(journal.write(), tmp_path)) as sheet:
        for place in range(5):
            sheet.page.locator(f"#symbol-{place}").scroll_into_view_if_needed()
            sheet.page.wait_for_selector(f"#symbol-{place} .plot.drawn .gl-canvas")
        assert sheet.page.locator(".plot.drawn[data-gl]").count() <= 4
        assert (sheet.complaints, sheet.requests) == ([], [])
