"""`exit-shim why`: the incident of a symbol on one screen, for whoever was asleep."""

import contextlib
import json
import re
import shlex
import sqlite3

import pytest
from virtual_time import jump, jumping
from watched_bot import WatchedBot

from exit_shim.testing import faults

DAY_S = 86_400


@pytest.fixture
def clock():
    """Time that the test moves on."""
    with jumping():
        yield jump


@pytest.fixture
def make(tmp_path, clock, monkeypatch):
    """Bots, closed at the end; commands run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    bots = []

    def bot(**options):
        bots.append(WatchedBot(tmp_path, **options))
        return bots[-1]

    yield bot
    for each in bots:
        each.close()


def words(text):
    """Return a text without its line breaks."""
    return " ".join(text.split())


def strip(bot, clock):
    """Have one module cancel the other's stop, three minutes after it was placed."""
    bot.enter()
    stop = bot.place("position_monitor")
    bot.look()
    clock(180)
    bot.look()
    bot.cancel("rearm", stop)
    clock(12)
    bot.look()
    return stop


def test_a_bare_position_with_who_bared_it_from_where(make, clock):
    """The screen answers at once, fits 80 columns and 30 lines, and its next command works."""
    bot = make()
    stop = strip(bot, clock)
    done = bot.run("why", "BTCUSDT")
    assert done.exit_code == 1
    text, lines = words(done.output), done.output.splitlines()
    # Beside the time that the test moves on, its own passes.
    assert re.match(r"BTCUSDT of account mine: BARE for 1\d s, since ", lines[0])
    assert "long 0.01, entry" in text
    assert f"sl STOP_MARKET 50000, whole position of position_monitor, order {stop}" in text
    assert "by rearm (not its own but position_monitor's)" in text
    assert "watched_bot.py:" in text
    assert "only warned, in mode LEGACY: FOREIGN_CANCEL, STRIPPED" in text
    assert 'one with rules.STRIPPED at "enforce" would have denied it' in text
    assert "0 > rearm cancels the sl STOP_MARKET 50000 of position_monitor" in text
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 30

    audit, explain, init = [line.removeprefix("next").strip() for line in lines if "exit-shim " in line][-3:]
    assert audit.startswith("exit-shim audit --symbol BTCUSDT")
    command = shlex.split(explain.partition("  ")[0])[1:]
    explained = bot.run(*command)
    assert explained.exit_code == 0
    assert "cancelled sl BTCUSDT" in explained.output
    assert init.startswith("exit-shim init")


def test_a_policy_says_what_it_would_have_done(make, clock, tmp_path):
    """The policy beside the bot is tried as it is, and where all of it is enforced."""
    bot = make()
    strip(bot, clock)
    policy = tmp_path / "exit_shim.toml"
    policy.write_text('[rules.STRIPPED]\nlevel = "enforce"\n')
    assert "exit_shim.toml would have denied it (STRIPPED)" in words(bot.run("why", "BTCUSDT").output)
    policy.write_text('level = "warn"\n')
    text = words(bot.run("why", "BTCUSDT").output)
    assert 'lets it through as it is; at "enforce" it would have denied it (FOREIGN_CANCEL, STRIPPED)' in text
    policy.write_text('lewel = "warn"\n')
    assert "did you mean level" in words(bot.run("why", "BTCUSDT").output)


def test_covered_now_but_bare_before(make, clock):
    """A gap that is over is told with its length, and the status says that all is well."""
    bot = make()
    strip(bot, clock)
    clock(30)
    again = bot.place("position_monitor")
    bot.look()
    clock(5)
    done = bot.run("why", "btc")
    text = words(done.output)
    assert done.exit_code == 0
    assert "COVERED now, since" in text
    assert f"held by sl STOP_MARKET 50000, whole position of position_monitor, order {again}" in text
    assert re.search(r"but was bare for 4\d s, from", text)
    assert "by rearm (not its own" in text


def test_what_nobody_saw_is_unknown_and_never_bare(make, clock):
    """Without a look at the exchange it says so, and still who took the last stop."""
    bot = make()
    bot.enter()
    bot.cancel("rearm", bot.place("position_monitor"))
    done = bot.run("why", "BTCUSDT")
    text = words(done.output)
    assert done.exit_code == 3
    assert "UNKNOWN whether it is protected: nobody looks at the exchange" in text
    assert "BARE" not in text
    assert "exit_shim.watch(client)" in text
    assert "by rearm (not its own but position_monitor's)" in text


def test_a_stop_that_was_refused_and_nothing_else(make, clock):
    """Where the only stop never came to be, that is told, and nobody knows whether the position is open."""
    bot = make()
    bot.enter()
    bot.place("position_monitor", stopPrice=61000)
    done = bot.run("why", "BTCUSDT")
    text = words(done.output)
    assert done.exit_code == 3
    assert "UNKNOWN whether it is protected: nobody looks at the exchange" in text
    assert "position_monitor asks for sl STOP_MARKET 61000: rejected -2021" in text
    (fields,) = map(json.loads, bot.run("why", "BTCUSDT", "--json").output.splitlines())
    assert (fields["cover"], fields["doubt"]) == ("unknown", "never_seen")
    assert "rejected -2021" in bot.run("explain", "BTCUSDT").output


def test_a_cancel_makes_no_third_side_in_hedge_mode(make, clock):
    """What names no side is told with the sides that are known, and a side that was only refused is named."""
    bot = make(hedge_mode=True)
    bot.enter(positionSide="LONG")
    stop = bot.place("position_monitor", positionSide="LONG")
    bot.look()
    bot.cancel("rearm", stop)
    bot.cancel("rearm", stop)
    bot.place("position_monitor", stopPrice=61000)
    bot.place("position_monitor", stopPrice=50000, positionSide="SHORT", side="BUY")
    heads = [line for line in bot.run("why", "BTCUSDT").output.splitlines() if line.startswith("BTCUSDT ")]
    assert [head.split(" of ")[0] for head in heads] == ["BTCUSDT LONG", "BTCUSDT SHORT"]


def test_a_lost_answer_is_in_doubt(make, clock):
    """A cancel that went unanswered leaves the cover unknown."""
    bot = make()
    bot.enter()
    stop = bot.place("position_monitor")
    bot.look()
    bot.exchange.faults.inject(faults.unknown_error(executed=True), method="DELETE", path="algoOrder")
    bot.cancel("rearm", stop)
    done = bot.run("why", "BTCUSDT")
    assert done.exit_code == 3
    assert "an order about its stops went unanswered" in words(done.output)


@pytest.mark.parametrize("way", ["fired", "by hand", "too small"])
def test_a_stop_that_no_module_took(make, clock, way):
    """Somebody's hand is told from a module's, a stop that fired from both, and a small stop from none."""
    bot = make()
    bot.enter()
    size = {"closePosition": None, "quantity": 0.004, "reduceOnly": True}
    stop = bot.place("position_monitor", **(size if way == "too small" else {}))
    bot.look()
    clock(30)
    if way == "fired":
        bot.exchange.set_mark("BTCUSDT", 49_000)
    elif way == "by hand":
        bot.raw.futures_cancel_algo_order(symbol="BTCUSDT", algoId=stop)
    clock(31)
    bot.look()
    done = bot.run("why", "BTCUSDT")
    text = words(done.output)
    if way == "fired":
        assert done.exit_code == 0
        assert "FLAT since" in text
        assert "sl STOP_MARKET 50000 of position_monitor is gone; no record says why" in text
    elif way == "by hand":
        assert done.exit_code == 1
        assert "it is not among the open orders any more, where it was last at " in text
        assert "no record says who took it" in text
        assert "cancelled by" not in text
    else:
        assert done.exit_code == 1
        assert "COVERED IN PART ONLY" in text
        assert "because its stops never closed all of it" in text


def test_both_sides_in_hedge_mode_the_urgent_one_first(make, clock):
    """Each side is a block of its own."""
    bot = make(hedge_mode=True)
    bot.enter(positionSide="LONG")
    bot.client.futures_create_order(
        symbol="BTCUSDT", side="SELL", type="MARKET", quantity=0.02, positionSide="SHORT"
    )
    bot.place("position_monitor", positionSide="LONG")
    short = {"side": "BUY", "stopPrice": 70000, "positionSide": "SHORT"}
    stop = bot.place("position_monitor", **short)
    bot.look()
    bot.cancel("rearm", stop)
    done = bot.run("why", "BTCUSDT")
    heads = [line for line in done.output.splitlines() if line.startswith("BTCUSDT ")]
    assert done.exit_code == 1
    assert [head.split(" of ")[0] for head in heads] == ["BTCUSDT SHORT", "BTCUSDT LONG"]
    assert "BARE" in heads[0]
    assert "COVERED" in heads[1]


def test_two_accounts_are_two_positions(make, clock):
    """An account's stop says nothing of another one's position; --account leaves one."""
    first, second = make(account="alpha"), make(account="beta")
    for bot in (first, second):
        bot.enter()
        stop = bot.place("position_monitor")
        bot.look()
    second.cancel("rearm", stop)
    first.shim.flush()
    done = second.run("why", "BTCUSDT")
    heads = [line for line in done.output.splitlines() if line.startswith("BTCUSDT ")]
    assert [" ".join(head.split()[3:5]) for head in heads] == ["beta: BARE", "alpha: COVERED"]
    assert second.run("why", "BTCUSDT", "--account", "alpha").exit_code == 0


def test_a_run_of_yesterday_is_told_as_of_when_it_was_last_seen(make, clock):
    """What ended is not said to be so now."""
    bot = make()
    strip(bot, clock)
    bot.end()
    clock(3 * DAY_S)
    done = bot.run("why", "BTCUSDT")
    text = words(done.output)
    assert done.exit_code == 3
    assert "BTCUSDT of account mine: BARE when it was last seen, 20" in text
    assert "(3 d ago)" in text
    assert "by rearm (not its own" in text


def test_a_symbol_without_a_record_names_the_nearest(make, clock):
    """A mistyped symbol is no answer, and says which there are."""
    bot = make()
    bot.enter()
    bot.place("position_monitor")
    done = bot.run("why", "BTCUSD1")
    assert done.exit_code == 3
    assert "has nothing of 'BTCUSD1' (did you mean BTCUSDT?); it has BTCUSDT" in done.output


def test_what_is_tried_again_and_again_is_one_line(make, clock):
    """A module that is refused every second does not push the rest off the screen."""
    bot = make()
    strip(bot, clock)
    for _ in range(40):
        bot.place("rearm", stopPrice=61000)
        clock(1)
    text = words(bot.run("why", "BTCUSDT").output)
    assert re.search(r"rearm asks for sl STOP_MARKET 61000: rejected -2021 \(40 times in \d+ s\)", text)


def test_without_a_symbol_it_is_the_most_urgent_one(make, clock):
    """Whoever does not know which symbol is told the worst."""
    bot = make()
    bot.enter("ETHUSDT", 0.1)
    bot.place("position_monitor", symbol="ETHUSDT", stopPrice=2500)
    strip(bot, clock)
    done = bot.run("why")
    assert done.exit_code == 1
    assert done.output.startswith("BTCUSDT ")


def test_json_has_the_whole_incident(make, clock):
    """A pipe gets everything that the screen shows, and more of it."""
    bot = make()
    stop = strip(bot, clock)
    done = bot.run("why", "BTCUSDT", "--json")
    assert done.exit_code == 1
    (fields,) = map(json.loads, done.output.splitlines())
    assert (fields["cover"], fields["now"]["amount"]) == ("bare", "0.01")
    assert fields["last_stop"]["order"] == str(stop)
    assert fields["taken_by"]["module"] == "rearm"
    assert fields["taken_by"]["reasons"] == ["FOREIGN_CANCEL", "STRIPPED"]
    assert fields["policy"]["enforced"] == "denied"
    assert [event["text"].split()[0] for event in fields["events"]] == ["position_monitor", "the", "rearm"]


def test_text_of_the_record_reaches_no_terminal(make, clock):
    """Names of modules are printed without the controls that they may have."""
    bot = make()
    bot.enter()
    stop = bot.place("\x1b[2Jevil\u202e")
    bot.look()
    bot.cancel("\x1b]0;title\x07", stop)
    output = bot.run("why", "BTCUSDT").output
    assert not set("\x1b\x07\u202e") & set(output)
    assert "\\x1b[2Jevil" in output


def test_the_summary_says_what_was_flat_when_nobody_looks_any_more(make, clock):
    """A position that was closed before the run ended is not one that may stand without a stop."""
    bot = make()
    strip(bot, clock)
    bot.raw.futures_create_order(symbol="BTCUSDT", side="SELL", type="MARKET", quantity=0.01)
    bot.look()
    assert "No position is open now." in bot.run("summary").output
    bot.end()
    clock(300)
    text = words(bot.run("summary").output)
    assert re.search(r"BTCUSDT 0: flat when last seen, [-\d]+ [:\d]+ UTC", text)
    assert "unknown" not in text


@pytest.mark.parametrize("damaged", ["'{\"account\":5}'", "substr(body, 1, 20)", "'5'", "''"])
def test_damaged_facts_cost_no_more_than_themselves(make, clock, damaged):
    """A fact that cannot be read is left out, and the rest is told."""
    bot = make()
    strip(bot, clock)
    bot.shim.flush()
    with contextlib.closing(sqlite3.connect(bot.journal)) as own, own:
        first = "(SELECT min(id) FROM events WHERE event = ?)"
        for name in ("position_seen", "exchange_update"):
            changed = own.execute(f"UPDATE events SET body = {damaged} WHERE id = {first}", (name,))
            assert changed.rowcount == 1
    assert "BARE for" in bot.run("why", "BTCUSDT", "--account", "mine").output
    done = bot.run("summary", "--symbol", "BTCUSDT")
    assert (done.exit_code, done.exception) == (0, None)


def test_explain_of_a_symbol_shows_its_incident_and_orders(make, clock):
    """Who has a symbol and no id is not told that no record is about it."""
    bot = make()
    strip(bot, clock)
    done = bot.run("explain", "BTCUSDT")
    assert done.exit_code == 0
    assert "BARE for 1" in done.output
    assert "the latest orders of BTCUSDT" in done.output
    assert "is a module, not an order" in bot.run("explain", "rearm").output
    assert "did you mean BTCUSDT" in bot.run("explain", "BTCUSD1").output
