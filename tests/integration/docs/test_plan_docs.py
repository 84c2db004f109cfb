"""The page of exit plans: its examples run, and its keys are those of the code."""

import re
from decimal import Decimal

import pytest
from repository import ROOT

from exit_shim import executor
from exit_shim.executor import Breakeven, HardStop, PartialTake, PlanError, Trail, at_fraction, at_r
from exit_shim.executor.plan_file_keys import PLAN_KEYS
from exit_shim.executor.plan_files import load_plans, parse_plans
from exit_shim.guard.exchange_snapshot import OpenPosition

PAGE = ROOT / "docs/reference/plans.md"
TEXT = PAGE.read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def position(symbol, amount=1):
    return OpenPosition(symbol, "BOTH", Decimal(amount), entry=Decimal(60_000))


@pytest.fixture
def names():
    """What the Python examples of the page define, one after the other."""
    names = {}
    for example in blocks("python"):
        exec(compile(example, "plans.md", "exec"), names)
    return names


def test_the_five_lines_are_the_plan_in_code(names):
    """The file at the top of the page and the plan below it say the same."""
    five, _ = blocks("toml")
    assert len(five.splitlines()) == 5
    (rule,) = parse_plans(five)
    assert rule.plan("BTCUSDT", "LONG").legs == names["plan"].legs


def test_the_router_of_the_page_routes(names):
    """The function is a router: a plan for one position, none for another."""
    assert names["route"](position("DOGEUSDT")) is None
    plan = names["route"](position("ETHUSDT", -1))
    assert (plan.position_side, plan.takes[0].at) == ("SHORT", at_r(2))


def test_the_file_of_the_page_gives_its_plans(tmp_path):
    """The longer file gives each position what the page says."""
    (tmp_path / "plans.toml").write_text(blocks("toml")[1])
    plans = load_plans(tmp_path / "plans.toml")
    assert plans.plan_for(position("DOGEUSDT")) is None
    bitcoin = plans.plan_for(position("BTCUSDT"))
    assert bitcoin.legs == (
        HardStop(at_fraction("0.015")),
        PartialTake("0.3", at_r(1)),
        PartialTake("0.3", at_r(2), post_only=True),
        Breakeven(at_r(1), at_fraction("0.001"), include_costs=True),
        Trail("0.008", activation=at_r(2)),
    )
    assert re.fullmatch("bitcoin, long@[0-9a-f]{8}", bitcoin.plan_id)
    assert plans.plan_for(position("BTCUSDT", -1)).hard_stop.at == at_fraction("0.03")


def test_the_brain_of_the_page_is_read(names):
    """The brain's plan becomes ours, leg by leg."""
    plan = names["router"].plan_for(position("BTCUSDT"))
    assert plan.legs == (
        HardStop(at_fraction("0.025")),
        PartialTake("0.25", at_r(1)),
        Trail("0.015", "0.75", at_fraction("0.05")),
    )


def test_a_forgotten_unit_is_an_error():
    """The example of a mistake on the page is one."""
    (mistake,) = re.findall(r"`(hard_stop = 2)`", TEXT)
    with pytest.raises(ValueError, match="which needs one symbol and a side"):
        parse_plans(f"[[plans]]\n{mistake}")
    with pytest.raises(PlanError, match="is a float"):
        PartialTake(0.1, at_r(1))


@pytest.mark.parametrize(
    ("heading", "keys"),
    [
        ("Keys of a plan", PLAN_KEYS),
        ("Keys of a take", PLAN_KEYS["takes"].keys),
        ("Keys of breakeven", PLAN_KEYS["breakeven"].keys),
        ("Keys of a trail", PLAN_KEYS["trail"].keys),
    ],
)
def test_every_key_is_in_the_reference(heading, keys):
    """The page lists exactly the keys that a file can have."""
    section = TEXT.split(f"### {heading}\n")[1].split("\n#")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(keys)


def test_every_public_name_is_in_the_reference():
    """What the package exports for plans is described on the page."""
    described = set(re.findall(r":: exit_shim\.executor\.(\w+)", TEXT))
    assert {
        name for name in executor.__all__ if getattr(executor, name).__module__ in PLAN_MODULES
    } == described


PLAN_MODULES = {
    f"exit_shim.executor.{name}"
    for name in ("brain_plans", "brain_router", "exact", "legs", "offset", "plan", "plan_files", "router")
}
