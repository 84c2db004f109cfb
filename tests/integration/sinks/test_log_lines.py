"""What the log lines say is true, and a pipeline can read them: as logfmt, or as structlog's JSON."""

import asyncio
import contextlib
import json
import logging
import os
import re
import subprocess
import sys
import textwrap
import time
from datetime import datetime

import pytest
from binance.exceptions import BinanceAPIException
from repository import ROOT

import exit_shim
from exit_shim.guard.policy import parse_policy
from exit_shim.testing import FakeClient, LocalExchange

pytestmark = pytest.mark.xdist_group("log lines")  # whose workers share what a fixture has run

BOT = ROOT / "examples" / "legacy_bot" / "main.py"

STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "stopPrice": 50000, "closePosition": True}
LIMIT = {
    "symbol": "BTCUSDT",
    "side": "SELL",
    "type": "LIMIT",
    "price": "70000",
    "quantity": "0.005",
    "timeInForce": "GTC",
    "reduceOnly": "true",
}
CHANGE = {"symbol": "BTCUSDT", "side": "SELL", "quantity": "0.004", "price": "71000"}
LEGACY, OWNER = "position_monitor", "exit_brain_v3"

PAIR = re.compile(r'([^\s="]+)(?:=("(?:[^"\\]|\\.)*"|[^\s="]*))?(?: |$)')


def parse_logfmt(line):
    """The fields of a line, read as strictly as logfmt is; a word without a value is a key too."""
    fields, at = {}, 0
    while at < len(line):
        pair = PAIR.match(line, at)
        assert pair, f"not logfmt from here on: {line[at:]}"
        key, value = pair.groups()
        assert key not in fields, f"{key} twice: {line}"
        fields[key] = json.loads(value) if value and value.startswith('"') else value
        at = pair.end()
    return fields


DRIVER = """
    import logging, random, runpy, sys
    import structlog
    import exit_shim
    from exit_shim.testing import LocalExchange, WalkingMarket
    from exit_shim.testing.redirect import redirect_clients

    how, script, out = sys.argv[1:]
    if how == "json":
        structlog.configure(
            processors=[structlog.processors.JSONRenderer()],
            logger_factory=structlog.PrintLoggerFactory(file=open(out, "w")),
        )
    else:
        logging.getLogger("exit_shim").setLevel("DEBUG")
        logging.getLogger("exit_shim").addHandler(logging.FileHandler(out))
    exchange = LocalExchange(market=WalkingMarket(seed=1))
    with exchange, redirect_clients(exchange.url, exchange.register):
        with exit_shim.ExitShim().install():
            sys.path[0] = script.rpartition("/")[0]
            random.seed(1)
            runpy.run_path(script, run_name="__main__")
            exit_shim.log_exit_metrics_summary()
"""


@pytest.fixture(scope="module", params=["logfmt", "json"])
def example_lines(request, tmp_path_factory):
    """The fields of every line that the example bot has logged, each line strictly parsed."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "driver.py").write_text(textwrap.dedent(DRIVER))
    out = folder / "lines"
    subprocess.run(
        [sys.executable, str(folder / "driver.py"), request.param, str(BOT), str(out)],
        env={**os.environ, "EXIT_SHIM_JOURNAL": str(folder / "journal.db"), "EXIT_MODE": "EXIT_BRAIN_V3"},
        check=True,
        capture_output=True,
        timeout=120,
    )
    lines = out.read_text().splitlines()
    assert len(lines) > 200
    if request.param == "logfmt":
        return [{**parse_logfmt(line), "event": line.partition(" kind=")[0]} for line in lines]
    return [json.loads(line, object_pairs_hook=without_repeats) for line in lines]


def without_repeats(pairs):
    """A JSON object, none of whose keys comes twice."""
    assert len(dict(pairs)) == len(pairs), pairs
    return dict(pairs)


def test_each_line_of_the_example_can_be_parsed(example_lines):
    """Keys are unique and values quoted; what a rule found is in one value, its code in another."""
    guard = [line for line in example_lines if "[EXIT_GUARD]" in str(line["event"])]
    assert len(guard) > 60
    for line in guard:
        assert line["reason"].partition(" ")[0] == line["code"]
        assert line["meaning"] == exit_shim.domain.reason_codes.REASONS[line["code"]]
    foreign = next(line for line in guard if line["code"] == "FOREIGN_CANCEL")
    assert "of=" in foreign["reason"]
    assert foreign["operation"] == "cancel"


def test_each_order_of_the_example_is_submitted_and_answered(example_lines):
    """As many orders are said to be submitted as are said to be answered, by every kind."""
    events = [line["event"] for line in example_lines if str(line["event"]).startswith("[EXIT_GATEWAY]")]
    for what in ("exit order", "cancel"):
        submitted = events.count(f"[EXIT_GATEWAY] submitting {what}")
        answered = [event for event in events if event.startswith(f"[EXIT_GATEWAY] {what} ")]
        assert submitted == len(answered) > 20


def test_a_value_is_quoted_where_it_has_to_be():
    """Quotes, equals signs, line breaks, backslashes, foreign and invisible characters come back the same."""
    odd = ['a "b"', "k=v", "two\nlines", "back\\slash", "", "Größe", "left\u202eright", "one"]
    fields = {f"k{number}": value for number, value in enumerate(odd)}
    (line, _), _ = exit_shim.runtime.logs.render(None, "", {"event": "text", **fields})
    assert line.isprintable()
    assert list(parse_logfmt(line).values()) == [None, *odd]
    (line, _), _ = exit_shim.runtime.logs.render(
        None, "", {"event": "text", "counts": {"a": 1}, "none": None}
    )
    assert json.loads(parse_logfmt(line)["counts"]) == {"a": 1}


class Sluggish:
    """A client that says when it was called, and takes its time to answer."""

    def __init__(self):
        self.called = self.answered = 0.0

    def futures_create_order(self, **params):
        self.called = time.time()
        time.sleep(0.05)
        self.answered = time.time()
        return {"orderId": 7}


class SluggishAsync(Sluggish):
    """The same with a coroutine."""

    async def futures_create_order(self, **params):
        self.called = time.time()
        await asyncio.sleep(0.05)
        self.answered = time.time()
        return {"orderId": 7}


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("client", [Sluggish(), SluggishAsync()])
def test_submitted_is_stamped_with_the_time_at_which_it_left(client, inline, caplog, monkeypatch):
    """Before the client was called and after the bot asked, or awaited; the answer with its own time."""
    monkeypatch.setattr(exit_shim.runtime.background, "INLINE", inline)
    caplog.set_level(logging.INFO, "exit_shim")
    shim = exit_shim.ExitShim(journal=False)
    place, asked = shim.wrap(client).futures_create_order, []

    async def later():
        sending = place(**STOP)
        await asyncio.sleep(0.02)
        asked.append(time.time())
        await sending

    if isinstance(client, SluggishAsync):
        asyncio.run(later())
    else:
        asked.append(time.time())
        place(**STOP)
    assert shim.flush(60)
    shim.close()
    submitted, accepted = caplog.records
    assert submitted.getMessage().startswith("[EXIT_GATEWAY] submitting exit order ")
    assert asked[0] <= submitted.created <= client.called
    assert client.answered <= accepted.created
    told = parse_logfmt(submitted.getMessage())["time"]
    assert datetime.fromisoformat(told.replace("Z", "+00:00")).timestamp() == pytest.approx(submitted.created)


class Guarded:
    """A bot on an exchange of its own, whose owner's stop covers its position, and what is logged of it."""

    def __init__(self, caplog, on_deny="raise"):
        caplog.set_level(logging.INFO, "exit_shim")
        self.caplog = caplog
        policy = parse_policy(f'level = "enforce"\non_deny = "{on_deny}"\n')
        self.shim = exit_shim.ExitShim(journal=False, policy=policy, mode="EXIT_BRAIN_V3")
        self.client = self.shim.wrap(FakeClient(exchange=LocalExchange()))
        self.client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
        self.stop = self.by(OWNER, "futures_create_order", **STOP)
        self.target = self.by(OWNER, "futures_create_order", **LIMIT)

    def by(self, module, method, **params):
        with exit_shim.attributed(module):
            return getattr(self.client, method)(**params)

    def lines(self, module, method, **params):
        """What is logged of one call, parsed."""
        self.caplog.clear()
        with contextlib.suppress(BinanceAPIException):
            self.by(module, method, **params)
        self.shim.flush()
        return [(record.getMessage(), parse_logfmt(record.getMessage())) for record in self.caplog.records]

    def ask(self, operation, module):
        """Have a module place, change or cancel an exit."""
        if operation == "place":
            return self.lines(module, "futures_create_order", **LIMIT)
        if operation == "modify":
            order_id = self.target["orderId"]
            return self.lines(module, "futures_modify_order", **CHANGE, orderId=order_id)
        return self.lines(module, "futures_cancel_order", symbol="BTCUSDT", algoId=self.stop["algoId"])


WHAT = {"place": "exit order", "modify": "change", "cancel": "cancel"}


@pytest.mark.parametrize("operation", WHAT)
@pytest.mark.parametrize(("on_deny", "outcome"), [("raise", "denied"), ("simulate", "simulated")])
def test_what_was_held_back_is_not_called_submitted(operation, on_deny, outcome, caplog):
    """The guard's lines have intent and verdict, one more says that nothing was sent; no other comes."""
    own = Guarded(caplog, on_deny)
    *guard, (text, fields) = own.ask(operation, LEGACY)
    own.shim.close()
    assert guard
    for said, found in guard:
        assert said.startswith("[EXIT_GUARD] ")
        assert (found["operation"], found["module"]) == (operation, LEGACY)
        assert found["verdict"] == ("deny" if on_deny == "raise" else "simulate")
        assert "placed an exit" not in found["meaning"]
    assert text.startswith(f"[EXIT_GATEWAY] {WHAT[operation]} {outcome} ")
    assert "nothing was sent" in fields["meaning"]
    assert fields["function"].endswith("by")


@pytest.mark.parametrize("operation", WHAT)
def test_what_was_accepted_is_submitted_and_accepted(operation, caplog):
    """The owner's order, change or cancel is two lines under its own name."""
    own = Guarded(caplog)
    events = [text.partition(" kind=")[0] for text, _ in own.ask(operation, OWNER)]
    own.shim.close()
    what = WHAT[operation]
    assert events[:2] == [f"[EXIT_GATEWAY] submitting {what}", f"[EXIT_GATEWAY] {what} accepted"]


CALLS = {
    "place": ("futures_create_order", STOP),
    "modify": ("futures_modify_order", {**CHANGE, "orderId": 1}),
    "cancel": ("futures_cancel_order", {"symbol": "BTCUSDT", "orderId": 1}),
}
FAILURES = {
    "unknown": ("IN DOUBT", TimeoutError("no answer")),
    "not_sent": ("NOT SENT", ConnectionRefusedError("nobody there")),
}


class Failing:
    """A client all of whose calls end in one exception."""

    def __init__(self, error):
        self.error = error

    def futures_create_order(self, **params):
        raise self.error

    futures_modify_order = futures_cancel_order = futures_create_order


@pytest.mark.parametrize("operation", CALLS)
@pytest.mark.parametrize("outcome", FAILURES)
def test_what_failed_on_the_way_is_told_as_what_it_is(operation, outcome, caplog):
    """The last line says what is known, and its advice fits; the line before it came at the send."""
    caplog.set_level(logging.INFO, "exit_shim")
    (words, error), (method, params) = FAILURES[outcome], CALLS[operation]
    with pytest.raises(type(error)):
        getattr(exit_shim.wrap(Failing(error)), method)(**params)
    *before, last = [record.getMessage() for record in caplog.records]
    fields = parse_logfmt(last)
    assert last.startswith(f"[EXIT_GATEWAY] {WHAT[operation]} {words} ")
    assert [text.partition(" kind=")[0] for text in before] == [
        f"[EXIT_GATEWAY] submitting {WHAT[operation]}"
    ]
    assert ("placing another" in fields["meaning"]) is (operation == "place" and outcome == "unknown")
    assert "never left" in fields["meaning"] or outcome == "unknown"


def test_a_rejected_cancel_is_rejected(caplog):
    """The exchange's refusal of a cancel is a submitted cancel that was rejected, with its code."""
    own = Guarded(caplog)
    lines = own.lines(OWNER, "futures_cancel_order", symbol="BTCUSDT", orderId=987654321)
    own.shim.close()
    assert [text.partition(" kind=")[0] for text, _ in lines] == [
        "[EXIT_GATEWAY] submitting cancel",
        "[EXIT_GATEWAY] cancel rejected",
    ]
    assert lines[1][1]["error_code"] == "-2011"


def test_a_conditional_order_is_not_called_an_exit(caplog):
    """Nothing shows that it is one, so its lines do not say so."""
    own = Guarded(caplog)
    entry = {**STOP, "closePosition": None, "quantity": 0.01, "side": "BUY", "stopPrice": 90000}
    events = [text.partition(" kind=")[0] for text, _ in own.lines(LEGACY, "futures_create_order", **entry)]
    own.shim.close()
    assert events == [
        "[EXIT_GATEWAY] submitting conditional order",
        "[EXIT_GATEWAY] conditional order accepted",
    ]
