"""Executors in other processes: killed for real, and two at once."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest
from abilities import needs_algo
from running_executor import SYMBOL, changes, legs, open_long, plan_for, until

from exit_shim.executor.lease import Lease
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET

pytestmark = needs_algo

PROCESS = """
    import os, sys, time
    from decimal import Decimal
    from binance import Client
    import exit_shim
    from exit_shim.executor import *

    url, journal, key, secret = sys.argv[1:]
    client = Client(key, secret, ping=False)
    client.FUTURES_URL = url + "/fapi"

    def plan_for(position):
        return ExitPlan(
            plan_id="test", symbol=position.symbol, position_side=position.side,
            legs=(HardStop(at_fraction("0.02")), PartialTake(Decimal("0.5"), at_r("1.5")),
                  Breakeven("first_take"), Trail(Decimal("0.008"))),
        )

    def show(protections):
        for each in protections:
            print(each.symbol, each.state, each.problem or "", flush=True)

    shim = exit_shim.ExitShim(journal=journal, account="mine", sinks=[])
    executor = ExitExecutor(client, plan_for, shim=shim, every_s=1, stream=False, on_pass=show)
    executor.start()
    print("started", flush=True)
"""

STAY = """
    time.sleep(600)
"""

FORK = """
    while not executor.protections:
        time.sleep(0.05)
    child = os.fork()
    if child == 0:
        print("child", executor.is_running, executor.protect()[0].state, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    print("parent", executor.is_running, executor.protect()[0].state, flush=True)
    os._exit(0)
"""


class Process:
    """An executor in a process of its own; its lines are read as they come."""

    def __init__(self, exchange, journal, then=STAY):
        exchange.register(LOCAL_KEY, LOCAL_SECRET)
        command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(PROCESS + then)]
        self.process = subprocess.Popen(
            [*command, exchange.url, str(journal), LOCAL_KEY, LOCAL_SECRET],
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait_for(self, text):
        """Read on until a line has the text, and return it."""
        for line in self.process.stdout:
            if text in line:
                return line.strip()
        raise AssertionError(f"the process ended without {text!r}")

    def kill(self):
        """End it at whatever it is doing."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def begin(exchange, tmp_path):
    """Begin executors in processes of their own, all on one journal."""
    begun = []

    def one(then=STAY):
        begun.append(Process(exchange, tmp_path / "executor.db", then))
        return begun[-1]

    yield one
    for each in begun:
        if each.process.poll() is None:
            each.kill()


def test_a_killed_executor_is_followed_by_another_in_the_same_state(exchange, client, begin, make):
    """It takes up the same orders and the best price; nothing is placed twice."""
    first = begin()
    first.wait_for("started")
    open_long(client)
    first.wait_for("PROTECTED")
    until(lambda: legs(exchange) == ["hs", "t1", "tr"])
    exchange.set_mark(SYMBOL, 60_900)
    until(lambda: any(stop["triggerPrice"] == "60412.8" for stop in exchange.open_algo_orders()))
    until(lambda: legs(exchange) == ["hs", "t1", "tr"])
    first.kill()
    sent = len(changes(exchange))
    exchange.set_mark(SYMBOL, 60_700)
    run = make(client, stream=False)
    for _ in range(3):
        run.executor.protect()
    (episode,) = run.executor._keeper.episodes.values()
    assert (episode.extreme, len(changes(exchange))) == (60_900, sent)
    assert legs(exchange) == ["hs", "t1", "tr"]


def test_killed_in_the_middle_of_a_pass_it_is_finished_by_the_next(exchange, client, begin, make):
    """Whatever it was at, the next one comes to the same orders, without a second of any."""
    open_long(client)
    sent = len(changes(exchange))
    first = begin()
    until(lambda: len(changes(exchange)) > sent)
    first.kill()
    run = make(client, stream=False)
    until(lambda: [one.steps for one in run.executor.protect()] == [()])
    assert legs(exchange) == ["hs", "t1", "tr"]
    assert [one.state for one in run.executor.protect()] == ["PROTECTED"]


def test_a_second_executor_keeps_its_hands_off_until_the_first_has_died(exchange, client, begin, make):
    """It says which process is at work, and takes over within an interval of its death."""
    first = begin()
    first.wait_for("started")
    open_long(client)
    first.wait_for("PROTECTED")
    until(lambda: legs(exchange) == ["hs", "t1", "tr"])
    run = make(client, every_s=1, stream=False)
    (protection,) = run.executor.protect()
    said = f"process {first.process.pid} is the executor of this account"
    assert (protection.state, protection.problem) == ("HANDS_OFF", said)
    run.executor.start()
    sent = len(changes(exchange))
    until(lambda: len(run.passes) >= 3)
    assert len(changes(exchange)) == sent
    first.kill()
    for stop in exchange.open_algo_orders():
        client.futures_cancel_algo_order(symbol=SYMBOL, algoId=stop["algoId"])
    until(lambda: legs(exchange) == ["hs", "t1", "tr"])


def test_another_executor_in_this_process_keeps_its_hands_off_too(client, make):
    """Until the first is stopped."""
    first, second = make(client, plan_for, stream=False), make(client, plan_for, stream=False)
    open_long(client)
    first.executor.protect()
    (protection,) = second.executor.protect()
    assert protection.state == "HANDS_OFF"
    assert f"process {os.getpid()}" in protection.problem
    first.executor.stop()
    assert [one.state for one in second.executor.protect()] == ["MOVING"]


def test_executors_of_two_accounts_do_not_know_of_each_other(tmp_path):
    """Nor those of two journals."""
    leases = [Lease(tmp_path / "a.db", "x"), Lease(tmp_path / "a.db", "y"), Lease(tmp_path / "b.db", "x")]
    assert all(lease.take() and lease.take() for lease in leases)
    assert not Lease(tmp_path / "a.db", "x").take()
    leases[0].release()
    again = Lease(tmp_path / "a.db", "x")
    assert again.take()
    for lease in (*leases, again):
        lease.release()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_the_child_of_a_fork_keeps_its_hands_off(client, begin):
    """It has no thread, and the account is its parent's, which goes on."""
    open_long(client)
    forking = begin(FORK)
    assert forking.wait_for("child") == "child False HANDS_OFF"
    assert forking.wait_for("parent").startswith("parent True")
    forking.process.wait()
    forking.process.stdout.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_the_child_of_a_fork_does_not_hold_the_lease(tmp_path):
    """The parent keeps it while it lives, whatever becomes of the child, and no longer."""
    script = """
        import os, sys
        from pathlib import Path
        from exit_shim.executor.lease import Lease
        lease = Lease(Path(sys.argv[1]), "x")
        assert lease.take()
        if os.fork():
            os._exit(0)
        sys.stdout.write(str(Lease(Path(sys.argv[1]), "x").take()))
        sys.stdout.flush()
        os._exit(0)
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script), str(tmp_path / "a.db")]
    # The child outlives its parent and writes once it has tried.
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        process.wait()
        assert process.stdout.read() in {"True", "False"}
    lease = Lease(tmp_path / "a.db", "x")
    until(lease.take)
    lease.release()
