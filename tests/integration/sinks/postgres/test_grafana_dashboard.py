"""The PostgreSQL dashboard: every question is answered by a real database, as its reader."""

from collections import Counter
from datetime import datetime, timedelta, timezone

import pytest
from grafana import load_dashboard, sql_of, targets_of
from made import fill, ship

from exit_shim.domain.events import GuardFinding, PositionSeen
from exit_shim.domain.verdicts import Reason
from exit_shim.journal import Journal, JournalReader, state_of

DASHBOARD = load_dashboard("postgresql.json")
ACCOUNT = "key-0a1b2c3d"
SEEN = {"symbol": "BTCUSDT", "position_side": "BOTH", "exits": (), "source": "watch", "again_s": 60.0}


def raise_it(error):
    raise error


@pytest.fixture
def answers(central, path):
    """Ask every panel's question of a database; return the rows by title, and the variable's values."""
    fill(path, 70)
    journal = Journal(path, raise_it)
    sights = {
        "BTCUSDT": ("0.01", "0"),
        "ETHUSDT": ("-2", "2.0"),
        "XRPUSDT": ("10", "4"),
        "ODD“ä”": ("x", None),
        "SOLUSDT": ("0", "0"),
    }
    for symbol, (amount, guarded) in sights.items():
        seen = {**SEEN, "symbol": symbol, "amount": amount, "guarded": guarded}
        journal.append(PositionSeen(account=ACCOUNT, **seen))
    journal.append(PositionSeen(**SEEN, amount="1", guarded="0"))
    journal.append(GuardFinding(Reason("DELEGATION_GAP", {}), "BTCUSDT"))
    journal.close()
    ship(path, central.writer)
    now = datetime.now(timezone.utc)
    since, until = now - timedelta(hours=1), now + timedelta(minutes=1)
    (variable,) = DASHBOARD["templating"]["list"][1:]
    accounts = [value for (value,) in central.rows(variable["query"], dsn=central.reader)]

    def ask(title, values=tuple(accounts)):
        (target,) = [target for panel, target in targets_of(DASHBOARD) if panel == title]
        return central.rows(sql_of(target, since, until, account=values), dsn=central.reader)

    return ask, accounts


def test_every_question_is_answered(answers):
    """Each panel's SQL runs as exit_shim_reader, and finds something."""
    ask, accounts = answers
    titles = [title for title, _ in targets_of(DASHBOARD)]
    assert accounts == ["", ACCOUNT]
    assert [title for title in titles if not ask(title)] == []
    assert len(set(titles)) == len(DASHBOARD["panels"])


def test_the_answers_are_those_of_the_journal(answers, path):
    """Positions, orders, fights, findings and doubts are what the journal has."""
    ask, _ = answers
    source = JournalReader(path)
    records = list(source.read_records())
    covers = {(row[0], row[1]): row[3] for row in ask("Protection as last seen")}
    assert covers == {
        (ACCOUNT, "BTCUSDT"): "bare",
        (ACCOUNT, "ETHUSDT"): "covered",
        (ACCOUNT, "XRPUSDT"): "partly",
        (ACCOUNT, "ODD“ä”"): "unknown",
        ("", "BTCUSDT"): "bare",
    }
    assert ask("Bare positions") == [(2,)]
    assert ask("Bare positions", [ACCOUNT]) == [(1,)]
    states = Counter(state_of(record.outcome, record.resolution) for record in records)
    assert totals(ask("What became of orders")) == states
    assert totals(ask("Orders by module")) == Counter(record.intent.attribution.module for record in records)
    assert ask("Orders in doubt") == [(states["in doubt"],)]
    assert sorted(row[-1] for row in ask("In doubt")) == sorted(
        f"{record.run_id}:{record.seq}"
        for record in records
        if state_of(record.outcome, record.resolution) == "in doubt"
    )
    fights = {tuple(row[:4]): row[5] for row in ask("Who fights whom")}
    assert fights == {tuple(fight[:4]): fight.orders for fight in source.read_fights()}
    found = Counter({each.code: 0 for each in source.read_finding_counts()})
    for each in source.read_finding_counts():
        found[each.code] += each.number
    assert totals(ask("Findings")) == found
    ((host, lag, _newest),) = ask("Lag by host")
    assert host
    assert 0 <= lag < 3600


def totals(rows):
    """The sums of a time series by the name of its line."""
    sums = Counter()
    for _time, name, number in rows:
        sums[name] += number
    return sums
