"""The file of exit plans: what it can say, what it refuses, and which plan a position gets."""

import os
import pickle
import subprocess
import sys
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exit_shim.executor import (
    Breakeven,
    ExitRouter,
    HardStop,
    PartialTake,
    PlanError,
    PlanFileError,
    Trail,
    at_fraction,
    at_price,
    at_r,
    load_plans,
)
from exit_shim.executor.plan import resolve
from exit_shim.executor.plan_file_keys import PLAN_KEYS
from exit_shim.executor.plan_files import parse_plans
from exit_shim.guard.exchange_snapshot import OpenPosition

FIVE_LINES = """\
[[plans]]
hard_stop = "2 %"
takes = [{ share = "50 %", at = "1.5 R" }]
breakeven = { after = "first take" }
trail = { callback = "0.8 %" }
"""


def position(symbol="BTCUSDT", amount=1, entry="60000"):
    return OpenPosition(symbol, "BOTH", Decimal(amount), entry=None if entry is None else Decimal(entry))


@pytest.fixture
def write(tmp_path):
    """A function that writes a file of plans and returns its path."""

    def write(text):
        (tmp_path / "plans.toml").write_text(text)
        return tmp_path / "plans.toml"

    return write


def problems_of(text):
    with pytest.raises(PlanFileError) as caught:
        parse_plans(text)
    return list(caught.value.problems)


def rule(text):
    (one,) = parse_plans(f"[[plans]]\n{text}")
    return one


# What a file can say


def test_the_usual_plan_takes_five_lines(write):
    """Every position: hard stop 2 %, half at 1.5 R, breakeven after that, trail the rest by 0.8 %."""
    plans = load_plans(write(FIVE_LINES))
    assert isinstance(plans, ExitRouter)
    plan = plans.plan_for(position("ETHUSDT", amount=-2, entry="2000"))
    assert (plan.symbol, plan.position_side, plan.source) == ("ETHUSDT", "SHORT", "plans.toml")
    assert plan.legs == (
        HardStop(at_fraction("0.02")),
        PartialTake("0.5", at_r("1.5")),
        Breakeven("first_take"),
        Trail("0.008"),
    )
    levels = resolve(plan, Decimal(2000))
    assert (levels.hard, levels.takes, levels.lock) == (2040, (1940,), 2000)
    assert plan.trail_share == Decimal("0.5")


def test_every_key_reaches_the_plan():
    """Each key of the file sets the field of its name."""
    full = rule(
        """
        name = "majors"
        symbols = ["BTCUSDT"]
        side = "LONG"
        hard_stop = "59000.5"
        working_type = "CONTRACT_PRICE"
        price_protect = true
        takes = [{ share = 0.3, at = 61000, post_only = true }, { share = "20 %", at = "3 %" }]
        breakeven = { after = "1 R", lock = "0.1 %", include_costs = true }
        trail = { callback = "1 %", activation = "1.2 R", share = "25 %", native = true, min_step = "0.1 %" }
        basis = "remaining"
        may_widen = true
        reason = "as agreed"
        """
    )
    plan = full.plan("BTCUSDT", "LONG")
    assert plan.legs == (
        HardStop(at_price("59000.5"), "CONTRACT_PRICE", price_protect=True),
        PartialTake("0.3", at_price(61_000), post_only=True),
        PartialTake("0.2", at_fraction("0.03")),
        Breakeven(at_r(1), at_fraction("0.001"), include_costs=True),
        Trail("0.01", "0.25", at_r("1.2"), native=True, min_step="0.001"),
    )
    assert (full.name, plan.basis, plan.may_widen, plan.reason) == ("majors", "remaining", True, "as agreed")
    assert plan.plan_id.startswith("majors@")


@pytest.mark.parametrize(
    ("value", "offset"),
    [
        ('"2 %"', at_fraction("0.02")),
        ('"2%"', at_fraction("0.02")),
        ('"0.1 %"', at_fraction("0.001")),
        ('" 1.5 r "', at_r("1.5")),
        ('"61000.10"', at_price("61000.10")),
        ("61000.10", at_price("61000.10")),
        ("61000", at_price(61_000)),
    ],
)
def test_a_level_is_exact_with_any_unit(value, offset):
    """Per cent, R and prices are read without a float, from texts and from numbers of TOML."""
    text = f'symbols = "BTCUSDT"\nside = "LONG"\nhard_stop = "2 %"\ntakes = [{{ share = 1, at = {value} }}]'
    assert rule(text).legs[1].at == offset


# Which rule counts


def test_the_first_rule_that_fits_counts(write):
    """Rules are tried in the order of the file, by symbol patterns and side."""
    plans = load_plans(
        write(
            """
            [[plans]]
            name = "hands off"
            symbols = ["DOGE*", "ETHBTC"]
            leave_alone = true

            [[plans]]
            name = "long"
            symbols = "BTC*"
            side = "LONG"
            hard_stop = "1 %"

            [[plans]]
            symbols = ["BTC*", "ETH????"]
            hard_stop = "3 %"
            """
        )
    )
    assert plans.plan_for(position("DOGEUSDT")) is None
    assert plans.rule_for(position("DOGEUSDT")).name == "hands off"
    assert plans.plan_for(position("BTCUSDC")).hard_stop.at == at_fraction("0.01")
    assert plans.plan_for(position("BTCUSDC", amount=-1)).hard_stop.at == at_fraction("0.03")
    assert plans.rule_for(position("ETHUSDT")).name == "plans.toml#3"
    assert plans.plan_for(position("SOLUSDT")) is plans.rule_for(position("SOLUSDT")) is None


def test_a_plan_is_the_same_object_at_each_pass(write):
    """A router is asked at each pass, and must not build the plan anew."""
    plans = load_plans(write(FIVE_LINES))
    assert plans.plan_for(position()) is plans.plan_for(position(entry="61000"))
    assert plans.plan_for(position()) is not plans.plan_for(position(amount=-1))


# Errors


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no plan in the file; expected tables that begin with [[plans]]"),
        ("plans = 5", "no plan in the file; expected tables that begin with [[plans]]"),
        ("[[plan]]", "plan is not a key (did you mean plans?); expected [[plans]]"),
        ("plans = [5]", "plan 1 is 5; expected a table with name, symbols,"),
        ("[[plans]]", "plan 1: hard_stop is missing; expected a distance such as"),
        ('[[plans]]\nhard_stp = "2 %"', "plan 1: hard_stp is not a key (did you mean hard_stop?)"),
        ('[[plans]]\nname = "x"\nside = "long"', 'plan 1 (x): side = \'long\'; expected "LONG" or "SHORT"'),
        ("[[plans]]\nsymbols = []", "plan 1: symbols = []; expected a symbol or pattern in capitals"),
        ('[[plans]]\nsymbols = ["btc*"]', "plan 1: symbols = ['btc*']; expected a symbol or pattern"),
        ("[[plans]]\nsymbols = [5]", "plan 1: symbols = [5]; expected a symbol or pattern"),
        ('[[plans]]\nname = ""', "plan 1: name = ''; expected a text"),
        ('[[plans]]\nhard_stop = "2 pct"', "plan 1: hard_stop = '2 pct'; expected a distance such as"),
        ('[[plans]]\nhard_stop = "1 R"', "plan 1: hard_stop = '1 R'; expected a distance such as"),
        ('[[plans]]\nhard_stop = "1,5 %"', "plan 1: hard_stop = '1,5 %'; expected a distance such as"),
        ('[[plans]]\nhard_stop = "100 %"', "plan 1: hard_stop = '100 %': the fraction 1 is 100 % or more"),
        ('[[plans]]\nhard_stop = "-2 %"', "plan 1: the hard stop is -0.02 from the entry"),
        ("[[plans]]\nhard_stop = inf", "plan 1: hard_stop = Infinity: Decimal('Infinity') is not a finite"),
        ("[[plans]]\nhard_stop = true", "plan 1: hard_stop = True; expected a distance such as"),
        ("[[plans]]\nhard_stop = 0", "plan 1: hard_stop = 0: the price 0 is not above zero"),
        ("[[plans]]\nhard_stop = 2", "plan 1: the hard stop 2 is a price, which needs one symbol and a side"),
        ("[[plans]]\nhard_stop = 0.02", "plan 1: the hard stop 0.02 is a price, which needs one symbol"),
        (
            '[[plans]]\nsymbols = "BTC*"\nside = "LONG"\nhard_stop = "59000"',
            "plan 1: the hard stop 59000 is a price, which needs one symbol and a side; for a",
        ),
        (
            f"{FIVE_LINES}leave_alone = true",
            "plan 1: leave_alone excludes hard_stop, takes, breakeven, trail",
        ),
        (f'{FIVE_LINES}working_type = "LAST"', "plan 1: working_type = 'LAST'; expected \"MARK_PRICE\" or"),
        (f'{FIVE_LINES}price_protect = "no"', "plan 1: price_protect = 'no'; expected true or false"),
        (f'{FIVE_LINES}basis = "rest"', 'plan 1: basis = \'rest\'; expected "initial" or "remaining"'),
        (
            FIVE_LINES.replace("[{", "{").replace("}]", "}"),
            "plan 1: takes = {'share': '50 %', 'at': '1.5 R'}",
        ),
        (
            FIVE_LINES.replace("[{", "[5, {"),
            "plan 1: takes[1] is 5; expected a table with share, at, post_only",
        ),
        (FIVE_LINES.replace("share", "shre"), "plan 1: takes[1]: shre is not a key (did you mean share?)"),
        (FIVE_LINES.replace("share", "shre"), "plan 1: takes[1]: share is missing; expected a share of"),
        (
            FIVE_LINES.replace('"50 %"', "50"),
            "plan 1: takes[1]: share = 50; expected a share of the position",
        ),
        (FIVE_LINES.replace('"50 %"', '"150 %"'), "plan 1: takes[1]: share = '150 %'; expected a share"),
        (FIVE_LINES.replace('"50 %"', '"1 R"'), "plan 1: takes[1]: share = '1 R'; expected a share of"),
        (FIVE_LINES.replace('"50 %"', '"100 %"'), "plan 1: the takes close the whole position, and leave"),
        (FIVE_LINES.replace("1.5 R", "-1 R"), "plan 1: a take is -1 R from the entry; expected above zero"),
        (
            FIVE_LINES.replace("first take", "tp1"),
            "plan 1: breakeven: after = 'tp1'; expected \"first take\"",
        ),
        (FIVE_LINES.replace('"first take"', "[]"), 'plan 1: breakeven: after = []; expected "first take"'),
        (
            FIVE_LINES.replace('{ after = "first take" }', "true"),
            "plan 1: breakeven = True; expected a table",
        ),
        (
            FIVE_LINES.replace('"0.8 %"', "0.008"),
            "plan 1: trail: callback = 0.008; expected per cent such as",
        ),
        (
            FIVE_LINES.replace('"0.8 %"', '"0.8"'),
            "plan 1: trail: callback = '0.8'; expected per cent such as",
        ),
        (FIVE_LINES.replace('"0.8 %"', '"0.01 %"'), "plan 1: the trail's min_step is 0.0005; expected"),
        (
            FIVE_LINES.replace("0.8 %", '0.8 %", share = "all'),
            "plan 1: trail: share = 'all'; expected \"rest\" or a share of the position",
        ),
        (FIVE_LINES * 2, "plan 2 is never used: plan 1 is for all its positions; change their order"),
        (
            FIVE_LINES.replace("hard", 'symbols = ["ETH*", "BTC*"]\nhard')
            + FIVE_LINES.replace("hard", 'symbols = "BTCUSDT"\nside = "LONG"\nhard'),
            "plan 2 is never used: plan 1 is for all its positions",
        ),
    ],
)
def test_an_error_names_plan_key_value_and_what_was_expected(text, problem):
    """Whoever wrote the file finds the place, and what belongs there, in the message."""
    assert [one.startswith(problem) for one in problems_of(text)].count(True) == 1


def test_every_problem_of_a_file_is_named():
    """A file is corrected once, not once for each error."""
    text = '[[plans]]\nhard_stop = 1.5\nsides = "LONG"\n[[plans]]\nhard_stop = "x"\ntrail = {}\n[extra]\n'
    assert [problem[:24] for problem in problems_of(text)] == [
        "extra is not a key; expe",
        "plan 1: sides is not a k",
        "plan 2: hard_stop = 'x';",
        "plan 2: trail: callback ",
    ]


def test_an_error_names_its_file(write):
    """Each line of the message begins with the path, and survives a way through a process pool."""
    path = write("[[plans]]\n[[plans]]")
    with pytest.raises(PlanFileError) as caught:
        load_plans(path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert lines[1].startswith(f"{path}: plan 2: hard_stop is missing; expected ")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(
    "text", ["[[plans]", "x = 1e9999999999999999999999", f"x = {'9' * 5000}", f"x = {'[' * 5000}"]
)
def test_what_is_no_toml_is_an_error(text):
    """A text that cannot be parsed is an error of the file, whatever the parser raises."""
    (problem,) = problems_of(text)
    assert problem.startswith("not valid TOML: ")


def test_a_file_that_cannot_be_read_is_an_error(tmp_path):
    """A missing file, and one that is no text, is an error of the file."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("missing", "binary"):
        with pytest.raises(PlanFileError, match="the file cannot be read"):
            load_plans(tmp_path / name)


# Prices


@pytest.mark.parametrize(
    ("level", "is_taken"), [("59000", True), ("30001", True), ("29000", False), ("2", False), ("0.02", False)]
)
def test_a_stop_price_far_from_the_entry_is_refused(write, level, is_taken):
    """A per cent without its unit is a price where no stop ever fires; half the entry price is the limit."""
    text = f'[[plans]]\nsymbols = "BTCUSDT"\nside = "LONG"\nhard_stop = "{level}"'
    plans = load_plans(write(text))
    if is_taken:
        assert plans.plan_for(position()).hard_stop.at == at_price(level)
        return
    with pytest.raises(PlanError, match=f'the hard stop {level} is a price, .* write "{level} %"'):
        plans.plan_for(position())


def test_a_take_price_far_from_the_entry_is_refused(write):
    """A take at "1.5" is a multiple of R without its unit."""
    text = (
        '[[plans]]\nsymbols = "BTCUSDT"\nside = "SHORT"\nhard_stop = "2 %"\ntakes = [{ share = 1, at = 1.5 }]'
    )
    with pytest.raises(PlanError, match=r'the take 1\.5 is a price, .* write "1\.5 %" or "1\.5 R"'):
        load_plans(write(text)).plan_for(position(amount=-1))


# A file that changes


def test_a_changed_rule_is_another_plan(write):
    """A changed content replaces the plan in force, and only a changed content does."""
    path = write(FIVE_LINES)
    plans = load_plans(path)
    first = plans.plan_for(position())
    write(f"# as before\n{FIVE_LINES}")
    assert not plans.reload()
    assert plans.plan_for(position()) is first
    write(FIVE_LINES.replace("2 %", "3 %"))
    assert plans.reload()
    second = plans.plan_for(position())
    assert second.hard_stop.at == at_fraction("0.03")
    assert second.plan_id != first.plan_id
    assert [plan.plan_id[:13] for plan in (first, second)] == ["plans.toml#1@"] * 2


def test_a_plan_has_the_same_id_in_every_process(write):
    """A restart finds the plan in force under the id that it had before."""
    path = write(FIVE_LINES)
    code = (
        "import pathlib, sys; from exit_shim.executor.plan_files import parse_plans; "
        "text = pathlib.Path(sys.argv[1]).read_text(); "
        "print(parse_plans(text)[0].plan('BTCUSDT', 'LONG').plan_id)"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code, path],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert printed == {load_plans(path).plan_for(position()).plan_id}


def test_an_error_in_a_changed_file_leaves_the_plans_as_they_were(write):
    """A reload with an error says so once, and the rules that were read before stay in force."""
    path = write(FIVE_LINES)
    plans = load_plans(path)
    before = plans.plan_for(position())
    write("[[plans]]")
    with pytest.raises(PlanFileError, match="hard_stop is missing") as caught:
        plans.reload()
    assert caught.value.problems[-1] == "the plans that were read before stay in force"
    assert [plans.reload(), plans.reload()] == [False, False]
    assert plans.plan_for(position()) is before
    path.unlink()
    with pytest.raises(PlanFileError, match="cannot be read"):
        plans.reload()
    assert not plans.reload()
    write(FIVE_LINES)
    assert not plans.reload()
    write("[[plans]]")
    with pytest.raises(PlanFileError, match="hard_stop is missing"):
        plans.reload()


def test_plans_are_made_without_loading_the_guard():
    """A brain that only makes plans loads neither the guard nor a client library."""
    code = "from exit_shim.executor import ExitPlan, at_r; import sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert [
        name for name in loaded.split() if name.startswith(("exit_shim.guard", "exit_shim.clients"))
    ] == []


odd_values = st.sampled_from(
    [
        *("true", "0", "-1", "2", "1e400", "0.5", "nan", "-inf", "2026-11-28", "[]", "{}", "[[]]", "[{}]"),
        *('""', '"2 %"', '"-2 %"', '"1 R"', '"first take"', '"rest"', '"1e9 %"', '"²"', '"BTC*"', '"LONG"'),
        *('{ share = "50 %", at = "1 R" }', '[{ share = 0.5, at = "1 R" }]', '{ after = "1 R" }'),
        *('{ callback = "1 %" }', '{ callback = "1 %", share = 9 }', "9999999999999999999999999999999"),
    ]
)


@given(st.dictionaries(st.sampled_from(sorted(PLAN_KEYS)), odd_values, min_size=1))
def test_nothing_but_an_error_of_the_file_comes_of_odd_values(values):
    """Whatever stands in a file, its rules can be used, or a PlanFileError says why not."""
    text = "[[plans]]\n" + "\n".join(f"{key} = {value}" for key, value in values.items())
    try:
        (one,) = parse_plans(text)
    except PlanFileError:
        return
    assert (one.plan("BTCUSDT", one.side or "SHORT") is None) is (values.get("leave_alone") == "true")
