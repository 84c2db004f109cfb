"""Evidence before enforcement: whatif, audit and explain."""

import contextlib
import json

import pytest
from binance.exceptions import BinanceAPIException
from click.testing import CliRunner
from guarded_bot import COVER, ENFORCE, LIMIT, MONITOR, PART, STRANGER, SYMBOL, Bot

import exit_shim
from exit_shim.cli import app
from exit_shim.domain.events import Resolution
from exit_shim.guard.policy import parse_policy
from exit_shim.journal import read_records
from exit_shim.testing import FakeClient, LocalExchange, faults
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET

STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "stopPrice": 50000, "closePosition": True}
TARGET = {**STOP, "type": "TAKE_PROFIT_MARKET", "stopPrice": 70000}
LEGACY, OWNER = "position_monitor", "exit_brain_v3"


def command(*words):
    return CliRunner().invoke(app, words, catch_exceptions=False)


@pytest.fixture
def exchange():
    with LocalExchange() as local:
        yield local


def shim_on(policy=""):
    return exit_shim.ExitShim(policy=parse_policy(policy), mode="EXIT_BRAIN_V3", sinks=[])


def by(client, module, method="futures_create_order", **params):
    with exit_shim.attributed(module):
        return getattr(client, method)(**params)


@pytest.fixture
def history(exchange):
    """A journal in which a legacy module and an owner act, all let through."""
    shim = shim_on()
    client = shim.wrap(FakeClient(exchange=exchange))
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    first = by(client, LEGACY, **STOP)
    by(client, OWNER, "futures_cancel_algo_order", algoId=first["algoId"])
    owners = by(client, OWNER, **STOP)
    by(client, LEGACY, **TARGET)
    by(client, LEGACY, "futures_cancel_algo_order", algoId=owners["algoId"])
    by(client, LEGACY, **STOP)
    shim.close()


def test_whatif_tells_denied_from_overridden(history, tmp_path):
    """By module, rule, kind and symbol; and the positions whose stops the policy would have decided about."""
    (tmp_path / "new.toml").write_text('level = "enforce"\n')
    done = command("whatif", "--policy", str(tmp_path / "new.toml"), "--json")
    found = json.loads(done.output)
    assert (found["orders"], found["denied"], found["overridden"]) == (6, 3, 1)
    rows = {(row["fate"], row["module"], row["operation"], row["kind"]) for row in found["by"]}
    assert rows == {
        ("overridden", LEGACY, "place", "sl"),
        ("denied", LEGACY, "place", "tp"),
        ("denied", LEGACY, "cancel", "sl"),
        ("denied", LEGACY, "place", "sl"),
    }
    (position,) = found["positions"]
    assert (position["symbol"], position["side"]) == ("BTCUSDT", "SELL")
    assert position["place overridden"] == position["cancel denied"] == position["place denied"] == 1
    table = command("whatif", "--policy", str(tmp_path / "new.toml")).output
    assert "6 orders: 3 would be denied, 1 denied stop would be sent for lack of cover" in table
    assert "BTCUSDT long" in table


def test_whatif_of_rules_on_a_calls_own_fields(exchange, tmp_path):
    """What a journal lacks of a call is known by what the rules said then: their denials are predicted."""
    trailing = {"symbol": "BTCUSDT", "side": "SELL", "type": "TRAILING_STOP_MARKET", "quantity": 0.01}
    trailing |= {"callbackRate": 1, "activationPrice": 70000, "reduceOnly": "true"}
    shim = shim_on()
    client = shim.wrap(FakeClient(exchange=exchange))
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    by(client, OWNER, **STOP)
    with pytest.raises(BinanceAPIException):
        by(client, "first", **{**TARGET, "reduceOnly": "true"})
    by(client, "second", **trailing)
    by(client, "third", **TARGET)
    shim.close()
    (tmp_path / "new.toml").write_text(
        '[rules.REFUSED_PARAMS]\nlevel = "enforce"\n[rules.IGNORED_PARAM]\nlevel = "enforce"\n'
    )
    found = json.loads(command("whatif", "--policy", str(tmp_path / "new.toml"), "--json").output)
    assert [(row["module"], row["rule"], row["fate"]) for row in found["by"]] == [
        ("first", "REFUSED_PARAMS", "denied"),
        ("second", "IGNORED_PARAM", "denied"),
    ]


def test_whatif_of_a_policy_that_only_warns(history, tmp_path):
    """Nothing would be denied, and nothing is touched."""
    (tmp_path / "new.toml").write_text("")
    found = json.loads(command("whatif", "--policy", str(tmp_path / "new.toml"), "--json").output)
    assert (found["denied"], found["overridden"], found["positions"]) == (0, 0, [])


CANCEL, CANCEL_ALL = "futures_cancel_algo_order", "futures_cancel_all_open_orders"


def in_doubt(bot, _restart):
    """An owner's stop that was never answered, and rests."""
    bot.exchange.faults.inject(faults.unknown_error(executed=True), method="POST", path="algoOrder")
    yield bot, OWNER, "futures_create_order", STOP
    yield bot, LEGACY, "futures_create_order", PART


def resolve(bot, **found):
    """A look at the exchange, as the resolver has it in the journal."""
    bot.shim.flush()
    record = bot.records[-1]
    bot.shim.journal.append(Resolution(**found), (record.run_id, record.seq))


def not_there(bot, _restart):
    """An owner's stop that was never answered, and never was."""
    bot.exchange.faults.inject(faults.unknown_error(executed=False), method="POST", path="algoOrder")
    yield bot, OWNER, "futures_create_order", STOP
    resolve(bot, result="not_there", after_s=90.0)
    yield bot, LEGACY, "futures_create_order", PART


def taken_away_in_doubt(bot, _restart):
    """An owner's cancel of its stop that was never answered, and took effect."""
    placed = yield bot, OWNER, "futures_create_order", STOP
    bot.exchange.faults.inject(faults.unknown_error(executed=True), method="DELETE", path="algoOrder")
    yield bot, OWNER, CANCEL, {"algoId": placed["algoId"]}
    resolve(bot, result="accepted", status="CANCELED", after_s=90.0)
    yield bot, LEGACY, "futures_create_order", PART


def cancelled_after_a_restart(bot, restart):
    """A module that takes what an owner placed in an earlier run."""
    yield bot, OWNER, "futures_create_order", COVER
    placed = yield bot, OWNER, "futures_create_order", TARGET
    yield restart(), STRANGER, CANCEL, {"algoId": placed["algoId"]}


def all_cancelled_after_a_restart(bot, restart):
    """The same without a word of which."""
    yield bot, OWNER, "futures_create_order", COVER
    yield bot, OWNER, "futures_create_order", TARGET
    yield restart(), STRANGER, CANCEL_ALL, {"symbol": SYMBOL, "conditional": True}


def changed_after_a_restart(bot, restart):
    """A legacy module that changes what an owner placed in an earlier run."""
    yield bot, OWNER, "futures_create_order", COVER
    placed = yield bot, OWNER, "futures_create_order", LIMIT
    change = {"symbol": SYMBOL, "side": "SELL", "quantity": "0.004", "price": "71000"}
    yield restart(), LEGACY, "futures_modify_order", {**change, "orderId": placed["orderId"]}


def cancelled_again_and_again(bot, _restart):
    """What a cancel-all took that would have been denied is there for the next one, in its own store."""
    yield bot, OWNER, "futures_create_order", TARGET
    yield bot, OWNER, "futures_create_order", STOP
    for conditional in (True, True, False):
        yield bot, STRANGER, CANCEL_ALL, {"symbol": SYMBOL, "conditional": conditional}


def cancelled_though_denied(bot, _restart):
    """A cancel of what would not have been sent: where that was answered, so is its cancel."""
    yield bot, OWNER, "futures_create_order", COVER
    placed = yield bot, LEGACY, "futures_create_order", TARGET
    if placed:
        yield bot, LEGACY, CANCEL, {"algoId": placed["algoId"]}


def may_open(bot, _restart):
    """An owner's stop that may open as well as close covers nothing."""
    yield bot, OWNER, "futures_create_order", {**PART, "reduceOnly": "false"}
    yield bot, LEGACY, "futures_create_order", PART


def in_one_batch(bot, _restart):
    """The orders of a batch are judged before any of them is sent: these churn in the next one alone."""
    yield bot, OWNER, "futures_create_order", COVER
    for _ in range(2):
        yield bot, OWNER, "futures_place_batch_order", {"batchOrders": [{**LIMIT}, {**LIMIT}]}


def sized(bot, _restart):
    """More than the position, whose size a look has told; what would not have been sent does not add up."""
    bot.shim.watch(bot.client, every=60)
    yield bot, OWNER, "futures_create_order", COVER
    yield bot, OWNER, "futures_create_order", LIMIT
    bot.shim.account_feeds.pollers[0].look()
    yield bot, LEGACY, "futures_create_order", {**LIMIT, "quantity": "0.02"}
    yield bot, OWNER, "futures_create_order", {**LIMIT, "quantity": "0.005"}


@pytest.mark.parametrize(
    ("history", "policy", "denied", "overridden"),
    [
        (in_doubt, ENFORCE, 1, 0),
        (not_there, ENFORCE, 0, 1),
        (taken_away_in_doubt, ENFORCE, 0, 1),
        (cancelled_after_a_restart, ENFORCE, 1, 0),
        (all_cancelled_after_a_restart, ENFORCE, 1, 0),
        (changed_after_a_restart, ENFORCE, 1, 0),
        (cancelled_again_and_again, ENFORCE, 2, 0),
        (cancelled_though_denied, ENFORCE, 1, 0),
        (cancelled_though_denied, MONITOR, 1, 0),
        (may_open, ENFORCE, 0, 1),
        (in_one_batch, '[rules.CHURN]\nlevel = "enforce"\ntimes = 2\n', 2, 0),
        (sized, '[rules.OVERSIZED]\nlevel = "enforce"\n', 1, 0),
    ],
)
def test_whatif_predicts_each_denial(tmp_path, history, policy, denied, overridden):
    """Of the same history under `warn` it says as many denials and overrides as enforcing then makes."""
    found = {}
    for level in ("warn", "enforce"):
        path, exchange, bots = tmp_path / f"{level}.db", LocalExchange(), []

        def start(path=path, exchange=exchange, bots=bots, level=level):
            for running in bots:
                running.shim.close()
            bots.append(Bot(policy.replace("enforce", level), journal=path, exchange=exchange))
            if level == "enforce":
                # Its book is sure; under `warn` it knows no earlier run yet.
                bots[-1].shim.process_feed.run_once()
            return bots[-1]

        act_out(history(start().enter(), start))
        bots[-1].shim.close()
        records = list(read_records(path))
        found[level] = (
            sum(
                one.outcome.result in {"denied", "simulated"}
                and "SIMULATED_ORDER" not in str(one.reasons)  # an answer about a denied order
                for one in records
            ),
            sum("PROTECTIVE_OVERRIDE" in str(one.reasons) for one in records),
        )
    (tmp_path / "p.toml").write_text(policy)
    told = command(
        "whatif", "--policy", str(tmp_path / "p.toml"), "--from", str(tmp_path / "warn.db"), "--json"
    )
    assert found == {"warn": (0, 0), "enforce": (denied, overridden)}
    told = json.loads(told.output)
    assert (told["denied"], told["overridden"]) == (denied, overridden)


def act_out(acts):
    """Have modules do what a history says; what they are refused, they shrug off."""
    answer = None
    with contextlib.suppress(StopIteration):
        while True:
            bot, module, method, params = acts.send(answer)
            answer = None
            with contextlib.suppress(BinanceAPIException):
                answer = bot.by(module, method, **params)


@pytest.mark.parametrize(
    ("text", "more", "said"),
    [
        ('lvel = "warn"', [], "did you mean level?"),
        ("", ["--mode", "EXIT_BRAIN"], "did you mean EXIT_BRAIN_V3?"),
        ("", ["--from", "/nowhere/at/all.db"], "there is no journal at /nowhere/at/all.db"),
    ],
)
def test_whatif_says_what_is_wrong(history, tmp_path, text, more, said):
    """A wrong policy, mode or journal ends the command with the way out."""
    (tmp_path / "new.toml").write_text(text)
    done = command("whatif", "--policy", str(tmp_path / "new.toml"), *more)
    assert done.exit_code != 0
    assert said in done.output


def test_explain_tells_rule_policy_and_book(exchange):
    """A denied order is told with the rule, the policy's line, and the live exits beside it."""
    shim = shim_on('level = "enforce"')
    client = shim.wrap(FakeClient(exchange=exchange))
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    placed = by(client, OWNER, **STOP)
    with pytest.raises(exit_shim.ExitOrderDenied):
        by(client, LEGACY, **{**STOP, "clientAlgoId": "mine"})
    shim.close()
    told = command("explain", "mine").output
    assert "verdict   deny in EXIT_BRAIN_V3" in told
    assert "rule      OWNERSHIP_CONFLICT module=position_monitor" in told
    assert "policy    the policy given in code: modes.EXIT_BRAIN_V3.legacy" in told
    assert f"live exit sl whole position trigger=50000 of exit_brain_v3 id={placed['algoId']}" in told


def test_explain_tells_what_was_warned_of_and_beside_what(exchange):
    """An order that only a rule warned of is told with the rule, and the live exits around it then."""
    shim = exit_shim.ExitShim(sinks=[])
    client = shim.wrap(FakeClient(exchange=exchange))
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    placed = by(client, "first", **{**TARGET, "quantity": 0.01, "closePosition": False, "reduceOnly": "true"})
    by(client, "second", **{**TARGET, "clientAlgoId": "mine"})
    shim.close()
    told = command("explain", "mine").output
    assert "verdict   warn in LEGACY" in told
    assert "rule      DUPLICATE_EXIT other=first" in told
    assert f"live exit tp quantity=0.01 trigger=70000 of first id={placed['algoId']}" in told


def audit(exchange, *words):
    done = command("audit", "--local", exchange.url, "--json", *words)
    return done.exit_code, [json.loads(line) for line in done.output.splitlines() if line.startswith("{")]


def test_audit_finds_what_is_wrong_and_whose_it_is(exchange):
    """Bare positions, orphans, doubles, oversized exits and strangers' orders, each with the module."""
    exchange.register(LOCAL_KEY, LOCAL_SECRET)
    shim = shim_on()
    plain = FakeClient(exchange=exchange)
    client = shim.wrap(plain)
    assert audit(exchange) == (0, [])
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    status, (bare,) = audit(exchange)
    assert (status, bare["code"], bare["detail"]) == (1, "UNPROTECTED", "0.010 of 0.010 has no stop")
    by(client, OWNER, **STOP)
    shim.flush()
    assert audit(exchange) == (0, [])
    part = {**STOP, "quantity": 0.02, "reduceOnly": "true"}
    del part["closePosition"]
    by(client, LEGACY, **part)
    plain.futures_create_order(
        symbol="ETHUSDT", side="SELL", type="STOP_MARKET", stopPrice=1000, quantity=1, reduceOnly="true"
    )
    shim.flush()
    status, found = audit(exchange)
    assert status == 1
    assert [(flaw["code"], flaw["module"]) for flaw in found] == [
        ("DUPLICATE_EXIT", OWNER),
        ("DUPLICATE_EXIT", LEGACY),
        ("OVERSIZED", ""),
        ("ORPHAN", "unknown"),
        ("UNKNOWN_ORIGIN", "unknown"),
    ]
    assert {flaw["code"] for flaw in audit(exchange, "--symbol", "ETHUSDT")[1]} == {
        "ORPHAN",
        "UNKNOWN_ORIGIN",
    }
    shim.close()


def test_audit_only_reads(exchange):
    """It sends nothing that changes anything."""
    exchange.register(LOCAL_KEY, LOCAL_SECRET)
    audit(exchange)
    assert {request.method for request in exchange.requests} == {"GET"}


def test_audit_without_a_key_or_an_exchange(monkeypatch, exchange):
    """Status 2 and the way out."""
    for name in ("BINANCE_API_KEY", "BINANCE_API_SECRET"):
        monkeypatch.delenv(name, raising=False)
    done = command("audit")
    assert done.exit_code == 2
    assert "set BINANCE_API_KEY and BINANCE_API_SECRET" in done.output
    gone = exchange.url
    exchange.stop()
    assert command("audit", "--local", gone).exit_code == 2
