"""The example bot under enforcement, with the market moving against it.

Held against the engine's own state, tick by tick, not against what the shim says.
"""

import json
import subprocess
import sys
import textwrap

import pytest
from click.testing import CliRunner
from repository import ROOT

from exit_shim.cli import app
from exit_shim.journal import read_records

# Each worker would run the bots of a fixture of its own.
pytestmark = pytest.mark.xdist_group("enforced bot")

SLOW = pytest.mark.slow
DENIALS = ["raise", pytest.param("return_none", marks=SLOW), pytest.param("simulate", marks=SLOW)]

LEGACY = {
    "position_monitor",
    "trailing_stop_manager",
    "hybrid_tpsl",
    "event_driven_executor",
    "dynamic_trailing_rearm",
    "exposure_guard",
}
OWNER = "exit_brain_executor"

POLICY = """
look_within_s = 10
level = "{level}"
mode = "EXIT_BRAIN_V3"
on_deny = "{denied}"
[modes.EXIT_BRAIN_V3]
unknown = "deny"
"""

DRIVER = """
    import json, runpy, sys, threading
    from decimal import Decimal
    import exit_shim
    from exit_shim.testing import LocalExchange
    from exit_shim.testing.redirect import redirect_clients

    journal, policy, script, out = sys.argv[1:]
    STOPS = {"STOP", "STOP_MARKET", "TRAILING_STOP_MARKET"}
    AGAINST = {"BTCUSDT": -1, "ETHUSDT": -1, "SOLUSDT": 1}
    ticks, bare, covered, done = 0, [], set(), threading.Event()

    def is_bare(engine, symbol):
        amount = engine.position(symbol).amount
        if not amount:
            covered.discard(symbol)
            return False
        side, guarded = "SELL" if amount > 0 else "BUY", Decimal(0)
        for algo in engine.open_algos(symbol):
            active = algo.type != "TRAILING_STOP_MARKET" or algo.activated
            reduces = algo.close_position or algo.reduce_only
            if algo.type in STOPS and algo.side == side and active and reduces:
                guarded += abs(amount) if algo.close_position else algo.quantity
        if guarded >= abs(amount):
            covered.add(symbol)
            return False
        return symbol in covered  # before its first stop no position is protected, by anybody

    def tick(exchange):
        global ticks
        with exchange.lock:
            ticks += 1
            for symbol, way in AGAINST.items():
                bare.extend([symbol] * is_bare(exchange.engine, symbol))
                away = min(ticks * Decimal("0.00003"), Decimal("0.02"))
                exchange.engine.set_mark(symbol, round(opening[symbol] * (1 + way * away), 2))
                bare.extend([symbol] * is_bare(exchange.engine, symbol))

    def market(exchange):
        while not done.wait(0.001):
            tick(exchange)

    with LocalExchange(rate_limits=False) as exchange, redirect_clients(exchange.url, exchange.register):
        opening = {symbol: exchange.engine.quote(symbol).mark for symbol in AGAINST}
        shim = exit_shim.ExitShim(journal=journal, policy=policy, sinks=[])
        with shim.install():
            moving = threading.Thread(target=market, args=(exchange,))
            moving.start()
            sys.path[0] = script.rpartition("/")[0]
            try:
                runpy.run_path(script, run_name="__main__")
            finally:
                done.set()
                moving.join()
        shim.close()
        now = {symbol: exchange.engine.quote(symbol).mark for symbol in AGAINST}
        moved = {symbol: float(now[symbol] / opening[symbol] - 1) for symbol in AGAINST}
        resting = [str(order.algo_id) for order in exchange.engine.open_algos()]
        resting += [str(order.order_id) for order in exchange.engine.open_orders()]
        held = [symbol for symbol in AGAINST if exchange.engine.position(symbol).amount]
        troubles = shim.internal_errors.count
    seen = {"ticks": ticks, "bare": bare, "resting": resting, "held": held, "moved": moved}
    seen["troubles"] = troubles
    json.dump(seen, open(out, "w"))
"""


def run_bot(folder, level, denied="raise"):
    """One run of the bot and its owner; what the engine saw, and the journal's records."""
    folder.mkdir()
    policy, out, journal = folder / "policy.toml", folder / "out.json", folder / "journal.db"
    policy.write_text(POLICY.format(level=level, denied=denied))
    script = ROOT / "examples" / "exit_brain" / "main.py"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(DRIVER), *map(str, (journal, policy, script, out))],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(out.read_text()), list(read_records(journal)), folder


def told_of(records, symbol):
    """What was recorded of a symbol, with when: which call bared its position, and what the guard saw."""
    about = [r for r in records if symbol in str(r.intent)]
    return "\n".join(
        f"{(r.intent.ts - about[0].intent.ts) / 1e6:8.1f} ms {r.intent.attribution.module} "
        f"{r.intent.operation} {r.intent.order.type} {r.intent.order.quantity} "
        f"{[target.algo_id for target in r.intent.targets]} {r.outcome} {r.reasons}"
        for r in about
    )


@pytest.fixture(scope="module")
def warned(tmp_path_factory):
    return run_bot(tmp_path_factory.mktemp("bot") / "warn", "warn")


@pytest.fixture(scope="module", params=DENIALS)
def enforced(request, tmp_path_factory):
    return run_bot(tmp_path_factory.mktemp("bot") / "enforce", "enforce", request.param)


def test_every_position_was_protected_throughout(enforced):
    """From its first stop on, at no tick was more of a position open than its stops cover."""
    seen, records, _ = enforced
    assert seen["bare"] == [], told_of(records, seen["bare"][0])
    assert seen["ticks"] > 100
    assert seen["moved"]["BTCUSDT"] < 0 < seen["moved"]["SOLUSDT"]
    assert seen["held"] == []  # closing at market went through
    assert seen["troubles"] == 0


def test_only_the_owners_orders_rest(enforced):
    """No legacy order rests on the exchange at the end."""
    seen, records, _ = enforced
    names = {
        str(number): record.intent.attribution.module
        for record in records
        if record.outcome is not None
        for number in (record.outcome.algo_id, record.outcome.order_id)
        if number is not None
    }
    assert {names[number] for number in seen["resting"]} <= {OWNER}


def test_each_legacy_attempt_is_an_event_with_its_reason(enforced):
    """Each exit that a legacy module tried to place is recorded: denied, or let out with the reason."""
    _, records, _ = enforced
    placed = [r for r in records if r.intent.operation == "place" and r.intent.attribution.module in LEGACY]
    assert {r.intent.attribution.module for r in placed} >= LEGACY - {"dynamic_trailing_rearm"}
    for record in placed:
        codes = {reason.code for reason in record.reasons}
        assert codes & {"OWNERSHIP_CONFLICT", "UNKNOWN_MODULE"}
        if record.outcome.result not in {"denied", "simulated"}:
            assert record.intent.order.type == "MARKET" or "PROTECTIVE_OVERRIDE" in codes


def attempts(records):
    """What was held back, as far as two runs of the bot can be compared."""
    return {
        (r.intent.attribution.module, r.intent.operation, r.intent.order.kind)
        for r in records
        if r.outcome is not None and r.outcome.result in {"denied", "simulated"}
    }


def test_whatif_on_the_warn_journal_predicted_every_one(warned, enforced):
    """What was held back is what `whatif` said of the journal that was recorded while nothing was."""
    _, records, folder = enforced
    before = warned[2] / "journal.db"
    done = CliRunner().invoke(
        app, ["whatif", "--policy", str(folder / "policy.toml"), "--from", str(before), "--json"]
    )
    predicted = {(row["module"], row["operation"], row["kind"]) for row in json.loads(done.output)["by"]}
    happened = attempts(records)
    assert happened
    places = {one for one in happened if one[1] == "place"}
    assert places <= predicted
    assert {one[:2] for one in happened} <= {one[:2] for one in predicted}


def test_without_enforcement_the_same_bot_strips_its_positions(warned):
    """The comparison means something: while the guard only warned, positions were bare at some ticks."""
    seen, records, _ = warned
    assert not attempts(records)
    assert seen["bare"]
