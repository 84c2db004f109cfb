"""Never in the way: whatever fails in the shim, the order goes out once and unchanged, by any library."""

import pytest

import exit_shim
from exit_shim.domain.events import Outcome


@pytest.fixture(autouse=True)
def as_in_production(monkeypatch):
    """Internal errors are counted and logged, not raised."""
    monkeypatch.setattr(exit_shim.runtime.internal_errors, "RERAISE", False)


def fail(*_, **__):
    """What any step may do."""
    raise ZeroDivisionError("a step failed")


STEPS = {
    "fix a client order id": "exit_shim.gateway.gateway.fix_client_order_ids",
    "attribute an order": "exit_shim.attribution.attributor.attribute",
    "find the bot's frame": "exit_shim.attribution.attribute.SiteFinder.nearest",
    "judge an order": "exit_shim.guard.judge.Guard.judge",
    "name the account": "exit_shim.shim.account_label",
    "read an answer": "exit_shim.gateway.gateway.answers_of",
    "read a failure": "exit_shim.gateway.gateway.read_failure",
    "conclude an order": "exit_shim.gateway.gateway.Outcome",
    "append to the journal": "exit_shim.journal.Journal.append",
}


def sent(exchange):
    """Return the last order that arrived, without what changes each time."""
    changing = {"timestamp", "signature", "newClientOrderId", "clientAlgoId"}
    last = exchange.order_requests[-1]
    return (
        last.method,
        last.path,
        {name: value for name, value in last.params.items() if name not in changing},
    )


def test_a_step_that_fails(driver, way, exchange, monkeypatch):
    """With each step broken in turn, a stop, a refusal and a cancel are sent once, and answered, as ever."""
    driver.call("open_position")
    expected = driver.call("place_stop", 50_000), sent(exchange)
    driver.call("cancel_all", "conditional")
    refused = driver.attempt("place_target", 50_000), sent(exchange)
    driver.cover(way, exit_shim)
    for name, target in STEPS.items():
        with monkeypatch.context() as broken:
            broken.setattr(target, fail)
            before = len(exchange.order_requests)
            placed = driver.call("place_stop", 50_000)
            assert sent(exchange) == expected[1], name
            assert type(placed) is type(expected[0]), name
            again = driver.attempt("place_target", 50_000)
            assert sent(exchange) == refused[1], name
            assert type(again.error) is type(refused[0].error), name
            assert driver.code_of(again) == -2021, name
            driver.call("cancel", driver.ids_of(placed))
            assert len(exchange.order_requests) == before + 3, name
    assert exit_shim.shim.default_shim().internal_errors.count >= 2 * len(STEPS) - 4


def test_nowhere_to_write(driver, way, exchange, tmp_path):
    """With a journal that cannot be written, and a sink that raises, orders are sent and answered as ever."""

    class Sink:
        wants = frozenset({Outcome})
        on = staticmethod(fail)

    (tmp_path / "a file").write_text("")
    shim = exit_shim.ExitShim(journal=tmp_path / "a file" / "journal.db", sinks=[Sink()])
    driver.cover(way, shim)
    driver.call("open_position")
    assert driver.ids_of(driver.call("place_stop", 50_000)).algo_id
    assert driver.code_of(driver.attempt("place_target", 50_000)) == -2021
    assert driver.ids_of(driver.call("market_close")).order_id
    exit_shim.uninstall()
    shim.flush()
    assert shim.internal_errors.count >= 3
    assert len(exchange.order_requests) == 4
    shim.close()


def test_a_broken_policy(driver, way, exchange, monkeypatch):
    """A policy that cannot be asked costs the judgement, not the order."""
    shim = exit_shim.ExitShim(mode="EXIT_BRAIN_V3", policy=exit_shim.Policy())
    monkeypatch.setattr(shim.guard.compiled_policy, "modes", None)
    driver.cover(way, shim)
    driver.call("open_position")
    assert driver.ids_of(driver.call("place_stop", 50_000)).algo_id
    driver.call("cancel_all", "conditional")
    exit_shim.uninstall()
    shim.close()
    assert len(exchange.order_requests) == 3
    assert shim.internal_errors.count >= 2
