"""EXIT_MODE and the soft ownership guard."""

import os

import pytest
from log_capture import captured_events

import exit_shim
from exit_shim.domain.attributions import Attribution
from exit_shim.domain.modes import resolve_mode
from exit_shim.domain.orders import ExitOrder
from exit_shim.guard.policy import CompiledPolicy, Roles, of_roles

SL = ExitOrder(kind="sl", symbol="BTCUSDT")


def by(module, dotted=None):
    return Attribution(module=module, dotted_module=dotted, evidence="stack")


def judge(order, who, mode, roles):
    compiled_policy = CompiledPolicy(of_roles(roles))
    return compiled_policy.grant_for(who.module, who.dotted_module, mode, order.symbol, order.kind).warned


@pytest.mark.parametrize(
    ("written", "mode"),
    [
        (None, "LEGACY"),
        ("", "LEGACY"),
        ("LEGACY", "LEGACY"),
        ("EXIT_BRAIN_V3", "EXIT_BRAIN_V3"),
        (" exit_brain_v3 ", "EXIT_BRAIN_V3"),
    ],
)
def test_a_mode_is_read_without_complaint(written, mode):
    """LEGACY is the default; case and blanks do not matter."""
    assert resolve_mode(written, None) == (mode, ())


def test_an_unknown_mode_is_legacy_and_said_so():
    """Anything else is LEGACY, and the warning names value, rule and way out."""
    mode, (problem,) = resolve_mode("BRAIN", None)
    assert mode == "LEGACY"
    assert "EXIT_MODE='BRAIN'" in problem
    assert "LEGACY, EXIT_BRAIN_V3" in problem


@pytest.mark.parametrize(
    ("mode", "flag", "mismatch"),
    [
        (None, "true", True),
        ("LEGACY", "1", True),
        ("EXIT_BRAIN_V3", "false", True),
        ("EXIT_BRAIN_V3", "true", False),
        ("LEGACY", "false", False),
        ("LEGACY", None, False),
    ],
)
def test_mode_and_flag_are_held_against_each_other(mode, flag, mismatch):
    """A disagreement of EXIT_MODE and EXIT_BRAIN_V3_ENABLED is a problem; EXIT_MODE decides."""
    found = resolve_mode(mode, flag)
    assert found.mode == (mode or "LEGACY")
    assert bool(found.problems) is mismatch


def test_the_mode_is_read_at_each_order_and_warned_of_once(monkeypatch):
    """EXIT_MODE may change while the bot runs; the same wrong value is not warned of at every order."""
    with captured_events() as lines:
        monkeypatch.setenv("EXIT_MODE", "nonsense")
        assert exit_shim.get_exit_mode() == "LEGACY"
        assert exit_shim.is_legacy_exit_mode()
        monkeypatch.setenv("EXIT_MODE", "EXIT_BRAIN_V3")
        assert exit_shim.is_exit_brain_mode()
        monkeypatch.setenv("EXIT_MODE", "nonsense")
        assert exit_shim.get_exit_mode() == "LEGACY"
    assert [line["log_level"] for line in lines] == ["warning"]
    assert lines[0]["event"].startswith("[EXIT_MODE]")


def test_an_explicit_mode_must_be_one():
    """A mode given in code is configuration, and wrong configuration is an error that names the way out."""
    with pytest.raises(ValueError, match=r"mode='BRAIN' is no mode; it must be one of LEGACY, EXIT_BRAIN_V3"):
        exit_shim.ExitShim(mode="BRAIN", journal=False)


def test_a_legacy_module_in_brain_mode_is_a_conflict():
    """The guard warns, with a stable code and its facts; it never denies."""
    verdict = judge(SL, by("position_monitor"), "EXIT_BRAIN_V3", Roles())
    assert verdict.action == "warn"
    assert verdict.why == "OWNERSHIP_CONFLICT module=position_monitor mode=EXIT_BRAIN_V3 role=legacy"


@pytest.mark.parametrize("module", sorted(Roles().owners | Roles().passthrough | {"somebody_else"}))
def test_owners_and_strangers_are_no_conflict(module):
    """Only modules declared legacy conflict."""
    assert judge(SL, by(module), "EXIT_BRAIN_V3", Roles()).action == "allow"


def test_no_conflicts_in_legacy_mode():
    """In LEGACY the legacy modules are at home."""
    assert judge(SL, by("position_monitor"), "LEGACY", Roles()).action == "allow"


def test_roles_are_configuration():
    """Roles given to a shim replace the defaults, by short or dotted name."""
    roles = Roles(legacy=frozenset({"bot.stops", "trailer"}))
    assert judge(SL, by("stops", "bot.stops"), "EXIT_BRAIN_V3", roles).action == "warn"
    assert judge(SL, by("trailer"), "EXIT_BRAIN_V3", roles).action == "warn"
    assert judge(SL, by("position_monitor"), "EXIT_BRAIN_V3", roles).action == "allow"


def test_a_conditional_order_that_may_open_is_not_judged(recorded, monkeypatch):
    """A breakout entry of a legacy module is no exit, so no conflict."""
    monkeypatch.setenv("EXIT_MODE", "EXIT_BRAIN_V3")

    class Client:
        def futures_create_order(self, **params):
            return {}

    with exit_shim.attributed("position_monitor"):
        exit_shim.wrap(Client()).futures_create_order(
            symbol="BTCUSDT", side="BUY", type="STOP_MARKET", stopPrice=70_000, quantity=1
        )
    (record,) = recorded()
    assert (record.intent.order.kind, record.intent.verdict.action) == ("conditional", "allow")


def test_a_change_of_the_environment_takes_effect_at_the_next_order(monkeypatch):
    """EXIT_MODE is read at each order, however it was set, and whatever stands for the environment."""
    shim = exit_shim.ExitShim(journal=False, sinks=[])
    modes = [shim.mode()]
    os.environ["EXIT_MODE"] = "EXIT_BRAIN_V3"
    modes.append(shim.mode())
    del os.environ["EXIT_MODE"]
    modes.append(shim.mode())
    monkeypatch.setattr(os, "environ", {"EXIT_MODE": "EXIT_BRAIN_V3"})
    modes.append(shim.mode())
    assert modes == ["LEGACY", "EXIT_BRAIN_V3", "LEGACY", "EXIT_BRAIN_V3"]
