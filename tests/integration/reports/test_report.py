"""`exit-shim report`: what its page shows equals what the journal holds."""

import sys

import click
import plotly.graph_objects
import pytest
from written_journal import WrittenJournal

from exit_shim.cli import app
from exit_shim.domain.events import ExchangeUpdate, PositionSeen, Switch
from exit_shim.domain.verdicts import Reason
from exit_shim.journal import JournalReader, RecordFilter
from exit_shim.reports.figure_style import Palette
from exit_shim.reports.figures_counts import churn_figure, findings_figure, latency_figure, orders_figure
from exit_shim.reports.figures_ladder import ladder_figure
from exit_shim.reports.report_data import percentile
from exit_shim.reports.report_fold import read_report


def report(*words):
    """Run the command in this process; its errors are raised."""
    return app.main(["report", *map(str, words)], standalone_mode=False)


def see(journal, amount, guarded, exits):
    """Add a look of the poller at BTCUSDT."""
    seen = PositionSeen(
        account="mine",
        symbol="BTCUSDT",
        position_side="BOTH",
        amount=amount,
        mark_price="60000",
        guarded=guarded,
        exits=exits,
        source="poller",
        again_s=60.0,
    )
    journal.add("position_seen", seen)


@pytest.fixture
def fought(tmp_path):
    """A journal in which rearm cancels two stops of brain, and then nothing covers the position."""
    journal = WrittenJournal(tmp_path / "fought.db")
    see(journal, "0.01", "0", ())
    for level in ("50000", "51000"):
        stop = journal.order("brain", trigger_price=level, quantity="0.01", reduce_only=True)
        see(journal, "0.01", "0.01", (str(stop),))
        journal.cancel("rearm", stop, of="brain", function="Rearm.run", file="/bot/rearm.py", line=26)
    see(journal, "0.01", "0", ())
    journal.order("ladder", kind="tp", type="TAKE_PROFIT_MARKET", trigger_price="70000", quantity="0.01")
    journal.order("ladder", kind="tp", outcome="rejected", trigger_price="1")
    journal.add("switch", Switch(by="ops", enforce="on"))
    journal.write()
    return JournalReader(journal.path)


def test_the_data_is_what_the_journal_holds(fought):
    """Exits, fights, outcomes, cover and latencies of a report are those of the journal's own readers."""
    data = read_report(fought, RecordFilter())
    (ladder,) = data.ladders
    assert (data.orders, data.exits, data.ended_by_other) == (6, 3, 2)
    fights = {(fight.module, fight.victim, fight.orders) for fight in fought.read_fights()}
    assert {(*pair, number) for pair, number in data.pairs().items()} == fights == {("rearm", "brain", 2)}
    assert [line.ended_by.place for line in ladder.exits[:2]] == ["rearm.py:26", "rearm.py:26"]
    assert (data.count_state("accepted"), data.count_state("rejected")) == (5, 1)
    assert data.bares == ladder.bares == sum(span.cover == "bare" for span in ladder.spans) == 3
    by_rearm = [span for span in ladder.spans if span.cover == "bare" and span.by is not None]
    assert {(span.stop_of, span.by.module) for span in by_rearm} == {("brain", "rearm")}
    assert [switch.text for switch in data.switches] == ["enforce on"]
    assert sorted(data.latencies) == sorted(fought.read_latencies())
    assert percentile(data.latencies, "before_send", 0.99) == 100.0


def test_plotly_knows_each_property(fought):
    """Each figure is one that plotly accepts, which names an unknown property."""
    data = read_report(fought, RecordFilter())
    palette = Palette(data.modules)
    data.findings.counts = {("STRIPPED", 1): 2}
    for figure in (
        ladder_figure(data.ladders[0], palette, data.last_ns, data.offset_ns),
        churn_figure(data.churn, palette),
        findings_figure(data.findings, data.switches, data.offset_ns),
        orders_figure(data),
        latency_figure(data.latencies),
    ):
        plotly.graph_objects.Figure(figure)


def test_an_exit_that_the_exchange_told_of_first_has_its_own_price(tmp_path):
    """The price of an order is that of its record where the exchange told of it without one."""
    journal = WrittenJournal(tmp_path / "first.db")
    told = ExchangeUpdate(
        account="mine",
        symbol="BTCUSDT",
        side="SELL",
        position_side="BOTH",
        store="conditional",
        status="NEW",
        type="TRAILING_STOP_MARKET",
        kind="trailing",
        algo_id=4_000_000_002,
        source="stream",
    )
    journal.add("exchange_update", told)
    placed = journal.order("brain", kind="trailing", type="TRAILING_STOP_MARKET", activation_price="61000")
    assert placed == told.algo_id
    data = read_report(JournalReader(journal.write()), RecordFilter())
    assert [(line.module, line.price) for line in data.ladders[0].exits] == [("brain", 61000.0)]


def test_filters_narrow_what_is_drawn_and_not_the_cover(fought):
    """A module's report has its exits and orders alone; whether the position is covered stays the same."""
    data = read_report(fought, RecordFilter(module="ladder"))
    (ladder,) = data.ladders
    assert (data.orders, data.exits, {line.module for line in ladder.exits}) == (2, 1, {"ladder"})
    assert ladder.cover_ns == read_report(fought, RecordFilter()).ladders[0].cover_ns


def test_only_the_newest_exits_are_drawn_and_the_page_says_so(fought, tmp_path, monkeypatch):
    """Where a symbol has too many exits the oldest are counted, not drawn, and the page says how many."""
    monkeypatch.setattr("exit_shim.reports.report_fold.MOST_EXITS", 1)
    data = read_report(fought, RecordFilter(), most_exits=1)
    (ladder,) = data.ladders
    assert (len(ladder.exits), ladder.dropped, ladder.number) == (1, 2, 3)
    from exit_shim.reports.html_page import ladder_notes  # noqa: PLC0415

    assert any("Only the newest 1 exits are drawn; 2 older ones" in note for note in ladder_notes(ladder))


def test_an_empty_journal_gives_a_page_that_says_so(tmp_path, capsys):
    """The page of a journal without orders, or without fitting ones, says what is missing and what to do."""
    journal = WrittenJournal(tmp_path / "empty.db")
    page, path = tmp_path / "exits.html", journal.write()
    report("--journal", path, "-o", page)
    assert "has no exit orders yet" in page.read_text()
    assert "exit-shim run BOT.py" in page.read_text()
    assert "has no exit orders yet" in capsys.readouterr().err
    assert 'class="plot"' not in page.read_text()


def test_a_filter_that_matches_nothing_names_the_nearest(fought, tmp_path):
    """A mistyped module gives a page that names the one that was meant."""
    page = tmp_path / "exits.html"
    report("--journal", fought.path, "-o", page, "--module", "brian")
    assert "brain" in page.read_text()


def test_without_plotly_one_line_says_what_to_install(fought, tmp_path, monkeypatch):
    """Without the extra the command ends with one line, and leaves an older page as it is."""
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    page = tmp_path / "exits.html"
    page.write_text("older")
    with pytest.raises(click.ClickException, match=r"pip install 'exit_shim\[report\]'"):
        report("--journal", fought.path, "-o", page)
    assert page.read_text() == "older"


def test_a_page_that_cannot_be_written_is_one_line(fought, tmp_path):
    """A folder that is not there is named, and no temporary file stays behind."""
    with pytest.raises(click.ClickException, match="cannot be written: No such file"):
        report("--journal", fought.path, "-o", tmp_path / "nowhere" / "exits.html")
    report("--journal", fought.path, "-o", tmp_path / "exits.html")
    assert not list(tmp_path.glob(".exits.html.*"))


def test_a_million_names_stay_bounded(tmp_path):
    """The names of modules that are counted on their own are bounded; the others are one."""
    journal = WrittenJournal(tmp_path / "names.db")
    for number in range(1_050):
        journal.order(f"module_{number}", trigger_price="50000")
    data = read_report(JournalReader(journal.write()), RecordFilter())
    assert (len(data.modules), data.exits) == (1_001, 1_050)
    assert dict(data.churn.totals())["others"] == 50


def test_a_reason_is_counted_by_day(tmp_path):
    """Steps of time grow with the time that is shown, and begin at the full hours and days of its clock."""
    from exit_shim.reports.report_counts import DAY_NS, HOUR_NS, Buckets  # noqa: PLC0415

    assert Reason("STRIPPED").code
    hours, days = Buckets(750, 2 * HOUR_NS), Buckets(48, 2 * HOUR_NS)
    for hour in range(24 * 20):
        for buckets in (hours, days):
            buckets.add("STRIPPED", hour * HOUR_NS + 1)
    assert (hours.series().step_ns, days.series().step_ns) == (HOUR_NS, DAY_NS)
    assert sum(days.series().counts.values()) == 480
    assert days.series().start_ns(1) == DAY_NS - 2 * HOUR_NS


def test_the_source_is_the_denominator(fought, tmp_path, capsys):
    """With --source the page says how many places were seen, and names those that never were."""
    source = tmp_path / "bot"
    (source / "old").mkdir(parents=True)
    lines = ["client.futures_cancel_order(orderId=1)" if number in {25, 29} else "" for number in range(30)]
    for file in ("rearm.py", "old/rearm.py"):
        (source / file).write_text("\n".join(lines))
    page = tmp_path / "page.html"
    report("--journal", fought.path, "-o", page, "--source", source)
    text = page.read_text()
    assert "4 places in " in text
    assert "orders came from 1 of them" in text
    assert [name in text for name in ("rearm.py:30", "old/rearm.py:26", "old/rearm.py:30")] == [True] * 3
    assert ">rearm.py:26<" not in text
    report("--journal", fought.path, "-o", page)
    assert "of them. A place" not in page.read_text()
