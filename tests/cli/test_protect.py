"""`exit-shim protect` as people start it: a process of its own against a local exchange over HTTP."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

import exit_shim
from exit_shim.guard.policy import parse_policy
from exit_shim.journal import JournalReader

PLANS = """
[[plans]]
name = "everything"
hard_stop = "2 %"
takes = [{ share = "50 %", at = "1.5 R" }]
breakeven = { after = "first take" }
"""

ONLY_ETH = """
[[plans]]
symbols = ["ETH*"]
hard_stop = "2 %"
"""

STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "stopPrice": 50000, "closePosition": True}
PART = {**STOP, "stopPrice": 57000, "quantity": "0.010", "reduceOnly": "true"}
del PART["closePosition"]

PATIENCE_S = 120
"""How long a test waits for what comes at once unless the machine is loaded."""


class Running:
    """A process of the command, with what it has printed so far."""

    def __init__(self, *words):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "exit_shim", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self.out, self.err = [], []
        self.threads = [
            threading.Thread(target=lines.extend, args=(stream,))
            for stream, lines in ((self.process.stdout, self.out), (self.process.stderr, self.err))
        ]
        for thread in self.threads:
            thread.start()

    def wait_for(self, text):
        """Wait until a line of the output has a text."""
        until(lambda: any(text in line for line in self.out), f"{text!r} in {self.out} {self.err}")

    def end(self, number=None):
        """Send a signal if one is given, wait for the end, and return the status."""
        if number is not None:
            self.process.send_signal(number)
        status = self.process.wait(PATIENCE_S)
        for thread in self.threads:
            thread.join(PATIENCE_S)
        self.process.stdout.close()
        self.process.stderr.close()
        return status


def until(is_so, what="it"):
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)


@pytest.fixture
def start(exchange):
    """Start the command against the test's exchange; what still runs at the end is killed."""
    started = []

    def run(*words):
        started.append(Running("protect", *words, "--local", exchange.url))
        return started[-1]

    yield run
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        if not one.process.stdout.closed:
            one.end()


@pytest.fixture
def protect(start):
    """Run the command to its end; return its status, output and errors."""

    def run(*words):
        running = start(*words)
        status = running.end()
        return status, "".join(running.out), "".join(running.err)

    return run


@pytest.fixture
def plans(tmp_path):
    path = tmp_path / "plans.toml"
    path.write_text(PLANS)
    return path


@pytest.fixture
def position(client):
    """A position that a genuine client has opened."""
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    return client


def command(*words):
    """Run another command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "exit_shim", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


def changes(exchange):
    """The requests that placed, changed or cancelled something."""
    sent = (one for one in exchange.requests if one.method != "GET" and "rder" in one.path)
    return [one for one in sent if not one.path.endswith("/test")]


def count_looks(exchange):
    """How often positions were read."""
    return sum("positionRisk" in one.path for one in exchange.requests)


def hard_stops(exchange):
    """The resting stops that close a whole position."""
    return [one for one in exchange.open_algo_orders() if one["closePosition"]]


def steps_in(path):
    """The steps that a journal has."""
    return [one.step for one in JournalReader(path).read_steps()]


def test_without_plans_nothing_is_placed(exchange, position, protect):
    """A bare position is named and ends with 1; a stop by anybody makes it 0. Nothing is ever sent."""
    before = len(changes(exchange))
    status, out, err = protect("--once")
    assert (status, len(changes(exchange))) == (1, before)
    assert "BTCUSDT BOTH  UNPROTECTED  guarded 0 of 0.01" in out
    assert "none: nothing is placed; give --plans FILE to protect" in err
    position.futures_create_order(**STOP)
    status, out, _ = protect("--once")
    assert (status, len(changes(exchange))) == (0, before + 1)
    assert "GUARDED  guarded 0.01 of 0.01" in out


def test_a_position_of_anybody_gets_its_plan(exchange, position, protect, plans):
    """One run places what the plan has; the next finds nothing to do and changes nothing."""
    status, out, err = protect("--once", "--plans", plans)
    assert status == 0
    assert "PROTECTED  guarded 0.01 of 0.01, plan everything@" in out
    assert [float(one["triggerPrice"]) for one in hard_stops(exchange)] == pytest.approx([58_800], abs=1)
    assert [float(one["price"]) for one in exchange.open_orders()] == pytest.approx([61_800], abs=1)
    assert "plans.toml, 1 rule" in err
    before = len(changes(exchange))
    assert protect("--once", "--plans", plans)[0] == 0
    assert len(changes(exchange)) == before


def test_a_position_without_a_plan_is_left_alone_and_reported(exchange, position, protect, plans):
    """It ends with 1, and no order goes out for it."""
    plans.write_text(ONLY_ETH)
    status, out, _ = protect("--once", "--plans", plans)
    assert status == 1
    assert "BTCUSDT BOTH  NO_PLAN" in out
    assert "no rule of the plans is for it; it is left alone" in out
    assert exchange.open_algo_orders() == []


def test_only_the_symbols_asked_for(exchange, position, protect, plans):
    """Other positions are neither shown nor protected."""
    position.futures_create_order(symbol="ETHUSDT", side="BUY", type="MARKET", quantity=1)
    status, out, _ = protect("--once", "--plans", plans, "--symbol", "ethusdt")
    assert (status, "BTCUSDT" in out) == (0, False)
    assert {one["symbol"] for one in exchange.open_algo_orders()} == {"ETHUSDT"}


def test_a_dry_run_prints_steps_and_does_none(exchange, position, protect, plans, tmp_path):
    """Each step is printed with its reason; nothing is sent, and nothing recorded."""
    before = len(changes(exchange))
    status, out, err = protect("--once", "--dry-run", "--plans", plans)
    assert (status, len(changes(exchange))) == (1, before)
    step = r"would place hs STOP_MARKET whole position at 58800\.\d: the position has no hard stop"
    assert re.search(step, out)
    assert "a dry run, nothing is placed" in err
    assert steps_in(tmp_path / "journal.db") == []


def test_json_has_the_steps(position, protect, plans):
    """One object a position: state, guard, next step and steps."""
    status, out, _ = protect("--once", "--dry-run", "--json", "--plans", plans)
    (line,) = map(json.loads, out.splitlines())
    assert (status, line["state"], line["guarded"], line["size"]) == (1, "UNPROTECTED", "0", "0.01")
    assert line["steps"][0]["step"] == "place"
    assert float(line["steps"][0]["trigger"]) == pytest.approx(58_800, abs=1)


def test_an_exchange_that_cannot_be_asked(plans):
    """It ends with 2 and names the exchange, and nothing is shown."""
    done = command("protect", "--once", "--plans", plans, "--local", "127.0.0.1:9")
    assert (done.returncode, done.stdout) == (2, "")
    assert "127.0.0.1:9 cannot be asked" in done.stderr


def test_a_key_that_is_missing_or_refused(exchange, protect, plans, monkeypatch):
    """Each ends with 2; what to set is said, and a refused key is not repeated."""
    monkeypatch.setenv("BINANCE_API_KEY", "nobodys-key-000000")
    monkeypatch.setenv("BINANCE_API_SECRET", "nobodys-secret-000000")
    status, out, err = protect("--once", "--plans", plans)
    assert (status, "-2015" in err or "-2014" in err) == (2, True)
    assert "nobodys" not in out + err
    for name in ("BINANCE_API_KEY", "BINANCE_API_SECRET"):
        monkeypatch.delenv(name)
    done = command("protect", "--once", "--plans", plans)
    assert (done.returncode, "set BINANCE_API_KEY and BINANCE_API_SECRET" in done.stderr) == (2, True)


def test_plans_that_cannot_be_read(exchange, position, protect, plans):
    """Every error of the file is named, nothing is asked of the exchange, and it ends with 2."""
    plans.write_text('[[plans]]\nhard_stop = "2 %"\ntrial = 1\ntakes = [{ share = "150 %", at = "1 R" }]\n')
    before = len(exchange.requests)
    status, _, err = protect("--once", "--plans", plans)
    assert (status, len(exchange.requests)) == (2, before)
    assert "trial is not a key" in err
    assert "nothing is protected until the plans can be read" in err
    status, _, err = protect("--once", "--plans", plans.with_name("none.toml"))
    assert (status, "cannot be read" in err) == (2, True)


def test_it_protects_what_is_opened_later_and_leaves_stops_at_its_end(exchange, client, start, plans):
    """A position opened meanwhile gets its stop; SIGTERM ends with 0, and every order stays."""
    running = start("--plans", plans, "--every", 1)
    until(lambda: any("streams" in line for line in running.err), "the start")
    client.futures_create_order(symbol="BTCUSDT", side="SELL", type="MARKET", quantity=0.01)
    running.wait_for("BTCUSDT BOTH  PROTECTED  guarded 0.01 of 0.01")
    assert [float(one["triggerPrice"]) for one in hard_stops(exchange)] == pytest.approx([61_200], abs=1)
    assert running.end(signal.SIGTERM) == 0
    assert "stopped; every order stays at the exchange" in running.err[-1]
    assert "stops cover 1 of 1 position" in running.err[-1]
    assert len(hard_stops(exchange)) == 1


def test_a_stop_that_somebody_takes_away_is_replaced(exchange, position, start, plans):
    """The cancel by another client is noticed, and a new hard stop is placed."""
    running = start("--plans", plans, "--every", 1)
    running.wait_for("PROTECTED")
    (stop,) = hard_stops(exchange)
    position.futures_cancel_algo_order(algoId=stop["algoId"])
    until(lambda: [one["algoId"] for one in hard_stops(exchange)] not in ([], [stop["algoId"]]), "a new stop")
    assert running.end(signal.SIGINT) == 0


def test_a_changed_file_is_followed_and_a_wrong_one_is_not(exchange, position, start, plans):
    """A new plan comes into force while it runs; with an error in the file the former plan stays."""
    running = start("--plans", plans, "--every", 1)
    running.wait_for("PROTECTED")
    plans.write_text(PLANS.replace('"1.5 R"', '"2 R"'))
    until(
        lambda: [float(one["price"]) for one in exchange.open_orders()] == pytest.approx([62_400], abs=1),
        "the moved take",
    )
    plans.write_text(PLANS.replace("hard_stop", "hard_stpo"))
    until(lambda: any("the plans that were read before stay in force" in line for line in running.err))
    assert running.end(signal.SIGTERM) == 0
    assert len(hard_stops(exchange)) == 1


def test_pause_and_resume_from_another_process(exchange, position, start, plans, tmp_path):
    """Paused, it touches nothing although something is to be done; resumed, it does it. Both are recorded."""
    running = start("--plans", plans, "--every", 1)
    running.wait_for("PROTECTED")
    done = command("protect", "pause", "btcusdt", "--by", "the desk")
    assert "its orders stay, and no executor acts on it; reaches every process" in done.stdout
    running.wait_for("HANDS_OFF")
    (take,) = exchange.open_orders()
    looks = count_looks(exchange)
    position.futures_cancel_order(symbol="BTCUSDT", orderId=take["orderId"])
    until(lambda: count_looks(exchange) > looks, "a pass")
    assert (exchange.open_orders(), len(hard_stops(exchange))) == ([], 1)
    assert command("protect", "resume", "BTCUSDT").returncode == 0
    until(exchange.open_orders, "the take")
    assert running.end(signal.SIGTERM) == 0
    switches = [
        json.loads(event.body)
        for event in JournalReader(tmp_path / "journal.db").read_events()
        if event.event == "switch"
    ]
    assert switches[0] == {"by": "the desk", "protect": "pause", "symbol": "BTCUSDT"}
    assert (switches[1]["protect"], "(pid " in switches[1]["by"]) == ("resume", True)


def test_a_pause_survives_a_restart(exchange, position, protect, plans):
    """A process that starts later keeps its hands off; where no process runs, that is said."""
    done = command("protect", "pause", "BTCUSDT")
    assert "no running process writes to" in done.stderr
    status, out, _ = protect("--once", "--plans", plans)
    assert (status, exchange.open_algo_orders()) == (1, [])
    assert "HANDS_OFF  guarded 0 of 0.01" in out
    assert "`exit-shim protect resume BTCUSDT` goes on" in out
    command("protect", "resume", "BTCUSDT")
    assert protect("--once", "--plans", plans)[0] == 0


@pytest.fixture
def bot(client):
    """A bot under an enforcing policy; returns what a legacy module gets for a stop of its own."""
    shims = []

    def ask(journal):
        policy = parse_policy('level = "enforce"\non_deny = "return_none"\nlook_within_s = 10\n')
        shims.append(exit_shim.ExitShim(journal=journal, policy=policy, mode="EXIT_BRAIN_V3", sinks=[]))
        wrapped = shims[-1].wrap(client)
        with exit_shim.attributed("position_monitor"):
            return wrapped.futures_create_order(**PART)

    yield ask
    for shim in shims:
        shim.close()


def test_a_bots_guard_knows_the_orders_through_the_shared_journal(position, protect, plans, bot, tmp_path):
    """With the same journal the owner's cover is known, and the legacy stop is denied."""
    assert protect("--once", "--plans", plans)[0] == 0
    assert bot(tmp_path / "journal.db") is None


def test_without_a_shared_journal_nothing_is_denied_and_that_is_said(position, protect, plans, bot, tmp_path):
    """Another journal knows nothing of the cover, so the stop goes out; the start says so."""
    _, _, err = protect("--once", "--plans", plans)
    assert "a bot with another EXIT_SHIM_JOURNAL knows nothing of them and denies nothing" in err
    assert "which no other process writes to now" in err
    assert bot(tmp_path / "another.db")["algoId"]


def test_the_start_names_who_shares_the_journal(position, protect, plans, bot, tmp_path):
    """A bot that writes to the same journal is named by its process."""
    assert bot(tmp_path / "journal.db")["algoId"]
    _, _, err = protect("--once", "--plans", plans)
    assert f"to which other processes write too: pid {os.getpid()}" in err


def test_another_name_of_the_account_is_noticed(position, protect, plans, bot, tmp_path):
    """Orders under another label only are pointed out, with the way to join them."""
    assert bot(tmp_path / "journal.db")["algoId"]
    _, _, err = protect("--once", "--plans", plans, "--account", "main")
    assert "--account NAME and ExitShim(account=NAME)" in err
    _, _, err = protect("--once", "--plans", plans)
    assert "ExitShim(account=NAME)" not in err


def test_the_start_says_whom_the_policy_takes_it_for(position, protect, plans, tmp_path, monkeypatch):
    """An owner in EXIT_BRAIN_V3; what a policy calls legacy is a problem, and an error in it ends with 2."""
    _, _, err = protect("--once", "--plans", plans)
    assert "exit_brain_executor is no owner there, so nothing is denied under its stops" in err
    monkeypatch.setenv("EXIT_MODE", "EXIT_BRAIN_V3")
    _, _, err = protect("--once", "--plans", plans)
    assert "exit_brain_executor is an owner, whose stops are cover" in err
    policy = tmp_path / "policy.toml"
    monkeypatch.setenv("EXIT_SHIM_POLICY", str(policy))
    policy.write_text('[modes.EXIT_BRAIN_V3]\nowners = ["me"]\nlegacy = ["exit_brain_executor"]\n')
    _, _, err = protect("--once", "--plans", plans)
    assert "PROBLEM: exit_brain_executor is legacy there" in err
    policy.write_text('levle = "enforce"\n')
    status, _, err = protect("--once", "--plans", plans)
    assert (status, "levle" in err) == (2, True)


def test_a_second_process_waits_for_the_first(exchange, position, start, plans):
    """It keeps its hands off and says whom it waits for; once the first is killed, it takes over."""
    first = start("--plans", plans, "--every", 1)
    first.wait_for("PROTECTED")
    second = start("--plans", plans, "--every", 1)
    second.wait_for(f"process {first.process.pid} is the executor of this account")
    before = len(changes(exchange))
    first.process.kill()
    second.wait_for("PROTECTED")
    assert len(changes(exchange)) == before
    assert second.end(signal.SIGTERM) == 0
