"""`exit-shim tail` follows every kind of event, each once and in its order."""

import json

import pytest
from bots import STOP, FakeClient

import exit_shim
from exit_shim.cli.clock import UTC_CLOCK
from exit_shim.cli.filters import select
from exit_shim.cli.tail import Follower
from exit_shim.domain.events import AlertSent, GuardFinding, Lost, OrderFindings, PositionSeen, Switch
from exit_shim.domain.recorded import RecordedEvent
from exit_shim.domain.verdicts import Reason
from exit_shim.journal import JournalReader


@pytest.fixture
def shim(tmp_path):
    """A shim with a journal of its own and no rules that find something."""
    shim = exit_shim.ExitShim(sinks=[], journal=tmp_path / "tailed.db", policy=exit_shim.Policy())
    shim.journal.open()
    yield shim
    shim.close()


def place(shim, module="position_monitor", symbol="BTCUSDT"):
    with exit_shim.attributed(module):
        shim.wrap(FakeClient()).futures_create_order(**{**STOP, "symbol": symbol})
    shim.flush()


def follower(shim, *, as_json=False, **options):
    return Follower(select(UTC_CLOCK, journal=str(shim.journal.path), **options), as_json=as_json)


def test_findings_come_after_their_order(shim, capsys):
    """An order is shown once; what was found about it later is a line of its own, once, with the module."""
    tail = follower(shim)
    place(shim)
    tail.look()
    (shown,) = capsys.readouterr().out.splitlines()
    assert "position_monitor  place  sl  BTCUSDT" in shown
    (record,) = JournalReader(shim.journal.path).read_records()
    about = RecordedEvent(record.run_id, record.seq, record.intent)
    shim.recorder.record(OrderFindings((Reason("CHURN", {"count": "9"}),)), about)
    shim.flush()
    for _ in range(3):
        tail.look()
    (found,) = capsys.readouterr().out.splitlines()
    assert found.endswith("position_monitor  found: CHURN count=9")


def test_what_is_about_no_order_is_shown_too(shim, capsys):
    """Positions when their cover changes, switches, findings, alerts and losses; in JSON with their kind."""
    seen = {"symbol": "BTCUSDT", "position_side": "BOTH", "source": "poller"}
    events = [
        PositionSeen(amount="0.5", exits=("1",), guarded="0.5", **seen),
        PositionSeen(amount="0.5", exits=("1",), guarded="0.5", mark_price="1", **seen),
        PositionSeen(amount="0.5", exits=(), guarded="0", **seen),
        PositionSeen(amount="0", **seen),
        Switch(by="me", enforce="on"),
        GuardFinding(Reason("DELEGATION_GAP"), "BTCUSDT"),
        AlertSent(alert="bare", key="k", title="BTCUSDT is bare", text="", to=("tgram",)),
        Lost("disk full", 3),
    ]
    as_text, as_json = follower(shim), follower(shim, as_json=True)
    for event in events:
        shim.recorder.record(event)
    shim.flush()
    as_text.look()
    lines = [line[len("2026-11-29 00:00:00.000  ") :] for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "position  BTCUSDT 0.5  covered",
        "position  BTCUSDT 0.5  BARE",
        "position  BTCUSDT 0  flat",
        "switch  enforce=on  by me",
        "guard  BTCUSDT  DELEGATION_GAP",
        "alert  BTCUSDT is bare  sent to tgram",
        "3 events lost: disk full",
    ]
    as_json.look()
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in told] == [
        *["position_seen"] * 4,
        *("switch", "guard_finding", "alert_sent", "lost"),
    ]


def test_filters_narrow_what_is_followed(shim, capsys):
    """A symbol narrows positions too; a module leaves orders alone. --since begins with what was before."""
    place(shim, symbol="BTCUSDT")
    place(shim, module="hybrid_tpsl", symbol="ETHUSDT")
    since_ns = next(JournalReader(shim.journal.path).read_records()).intent.ts
    for symbol in ("BTCUSDT", "ETHUSDT"):
        shim.recorder.record(
            PositionSeen(
                symbol=symbol, position_side="BOTH", amount="1", exits=(), guarded="0", source="poller"
            )
        )
    shim.flush()
    follower(shim, since=since_ns, symbol="ethusdt").look()
    assert ["ETHUSDT" in line for line in capsys.readouterr().out.splitlines()] == [True, True]
    follower(shim, since=since_ns, module="position_monitor").look()
    (line,) = capsys.readouterr().out.splitlines()
    assert "place  sl  BTCUSDT" in line


def test_it_says_what_it_listens_to(shim, capsys, monkeypatch):
    """Before anything happens: the journal, the filters and the zone, on stderr."""
    tail = follower(shim, symbol="ethusdt")
    monkeypatch.setattr(tail, "look", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        tail.follow()
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        f"listening to the journal {shim.journal.path}, --symbol 'ethusdt'; times are UTC; Ctrl-C ends it\n"
    )
