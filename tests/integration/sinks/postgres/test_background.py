"""Shipping from inside the bot's process: never in an order's way, one thread a process, through forks."""

import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from made import KILLS, fill, killed, local, python, until

import exit_shim
from exit_shim.journal import JournalReader, read_records
from exit_shim.sinks.postgres import Dsn, Outbox, follow

STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "stopPrice": 50_000, "reduceOnly": True}

BOT = """
import os, signal, sys, time
import exit_shim
class Client:
    def futures_create_order(self, **params):
        return {"orderId": 1}
STOP = dict(symbol="BTCUSDT", side="SELL", type="STOP_MARKET", stopPrice=50000, reduceOnly=True)
shim = exit_shim.ExitShim(journal=sys.argv[1], ship_to=sys.argv[2], sinks=[])
client = exit_shim.wrap(Client(), shim=shim)
"""


class FakeClient:
    def futures_create_order(self, **params):
        return {"orderId": 1}


def threads():
    return [one for one in threading.enumerate() if one.name == "exit-shim-shipping"]


@contextlib.contextmanager
def bot(path, dsn):
    """A shim that ships, and a client on it."""
    shim = exit_shim.ExitShim(journal=path, ship_to=dsn, sinks=[])
    try:
        yield shim, exit_shim.wrap(FakeClient(), shim=shim)
    finally:
        shim.close()


def test_a_bots_orders_are_shipped_as_they_come(central, path):
    """Soon after an order its events are in the database; one thread does it, and ends with the shim."""
    with bot(path, central.writer) as (shim, client):
        exit_shim.wrap(FakeClient(), shim=shim)
        for _ in range(3):
            client.futures_create_order(**STOP)
        until(lambda: central.count() == 7)
        assert len(threads()) == 1
        until(lambda: shim.summary()["shipping"]["shipped"] == 7)
        health = shim.summary()["shipping"]
        assert health == {
            "destination": Dsn(central.writer).name,
            "is_ours": True,
            "shipped": 7,
            "last_error": None,
        }
    assert threads() == []


def test_a_shim_that_is_dropped_ends_its_thread(central, path):
    """Without a close the thread ends too, once nobody has the shim any more; a closed one begins again."""
    shim = exit_shim.ExitShim(journal=path, ship_to=central.writer, sinks=[])
    exit_shim.wrap(FakeClient(), shim=shim)
    shim.close()
    assert threads() == []
    exit_shim.wrap(FakeClient(), shim=shim).futures_create_order(**STOP)
    until(lambda: central.count() > 2)
    assert len(threads()) == 1
    del shim
    gc.collect()
    until(lambda: threads() == [])


def test_the_environment_says_where_to(central, path, monkeypatch):
    """EXIT_SHIM_SHIP_TO does the same for a bot that is left as it is, and ship_to=False does without."""
    monkeypatch.setenv("EXIT_SHIM_SHIP_TO", central.writer)
    with bot(path, None) as (_, client):
        client.futures_create_order(**STOP)
        until(lambda: central.count() == 3)
    with bot(path, False) as (shim, _):
        assert shim.summary()["shipping"] is None
        assert threads() == []


def test_nothing_is_started_for_a_shim_that_ships_nowhere(path):
    """Without a destination neither the thread nor psycopg is there."""
    script = BOT.replace("ship_to=sys.argv[2], ", "") + "client.futures_create_order(**STOP)\n"
    script += "print('psycopg' in sys.modules, 'exit_shim.sinks.postgres' in sys.modules)"
    with python(script, path, stdout=subprocess.PIPE) as own:
        assert own.communicate(timeout=60)[0] == "False False\n"


@pytest.mark.parametrize(
    "how", ["nobody listens", "nobody answers", "no such host", "no database there", "no DSN"]
)
def test_a_database_that_fails_costs_no_order_a_moment(server, path, monkeypatch, how):
    """Whatever is wrong with the database, orders take what they take without it, and wait in the journal."""
    monkeypatch.setattr(exit_shim.runtime.internal_errors, "RERAISE", False)
    with contextlib.ExitStack() as around:
        silent = around.enter_context(socket.create_server(("127.0.0.1", 0)))
        dsn = {
            "nobody listens": "postgresql://u@127.0.0.1:1/d",
            "nobody answers": f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/d?connect_timeout=2",
            "no such host": "postgresql://u@nowhere.invalid/d",
            "no database there": server.dsn("admin", "nowhere"),
            "no DSN": "postgresql://u:p@ss@h/d",
        }[how]
        _, client = around.enter_context(bot(path, dsn))
        took = []
        for _ in range(200):
            begun = time.monotonic()
            client.futures_create_order(**STOP)
            took.append(time.monotonic() - begun)
        assert sorted(took)[100] < 1  # half of what waiting for an answer takes
    assert len(list(read_records(path))) == 200


def test_a_bot_without_psycopg_goes_on(path):
    """Where the extra is missing the log says how to get it, and orders are recorded."""
    script = (
        "import sys; sys.modules['psycopg'] = None\n"
        + BOT
        + "client.futures_create_order(**STOP); shim.close()"
    )
    with python(script, path, "postgresql://u@h/d", stderr=subprocess.PIPE) as own:
        said = own.communicate(timeout=60)[1]
    assert "pip install 'exit_shim[postgres]'" in said
    assert len(list(read_records(path))) == 1


def test_of_a_hosts_processes_one_ships(central, path):
    """Of three bots on one journal one has a session at the database; another takes over from it."""
    script = BOT + "client.futures_create_order(**STOP)\nprint(os.getpid(), flush=True)\ntime.sleep(60)"
    with contextlib.ExitStack() as around:
        bots = [
            around.enter_context(killed(python(script, path, central.writer, stdout=subprocess.PIPE)))
            for _ in range(3)
        ]
        for own in bots:
            own.stdout.readline()
        until(lambda: central.count() == 9)
        sessions = "SELECT client_port FROM pg_stat_activity WHERE usename = 'writer'"
        assert len(central.rows(sessions)) == 1
        assert not Outbox(path, Dsn(central.writer).name).acquire_turn()
        for own in bots[:2]:
            own.kill()
            own.wait()
        fill(path, 5)
        until(lambda: central.count() == len(local(path)))
        assert len(central.rows(sessions)) == 1
        for own in bots:
            own.stdout.close()


def test_a_child_takes_over_when_its_parent_is_gone(central, path):
    """A bot that becomes a daemon by a fork: the parent's session ends with it, and the child ships on."""
    script = (
        BOT
        + """
client.futures_create_order(**STOP)
while shim.summary()["shipping"]["shipped"] < 3:
    time.sleep(0.01)
child = os.fork()
if child:
    client.futures_create_order(**STOP)
    shim.journal.flush()
    while shim.summary()["shipping"]["shipped"] < 5:
        time.sleep(0.01)
    print(child, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
while True:
    client.futures_create_order(**STOP)
    time.sleep(0.05)
"""
    )
    with python(script, path, central.writer, stdout=subprocess.PIPE) as own:
        child = int(own.stdout.readline())
        try:
            own.wait()
            before = central.count()
            until(lambda: central.count() > before + 20)
            assert len(central.rows("SELECT 1 FROM pg_stat_activity WHERE usename = 'writer'")) == 1
        finally:
            os.kill(child, signal.SIGKILL)
        stored = central.stored()
        assert stored == [row for row in local(path) if row in stored]


def test_forks_amid_shipping(central, path):
    """Children that come and go while the thread is at work neither hang nor break the parent's session."""
    script = (
        BOT
        + """
for number in range(60):
    for _ in range(20):
        client.futures_create_order(**STOP)
    child = os.fork()
    if not child:
        client.futures_create_order(**STOP)
        shim.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
shim.journal.flush()
while shim.summary()["shipping"]["shipped"] < 1:
    time.sleep(0.01)
assert shim.internal_errors.count == 0, shim.summary()
print("done", flush=True)
time.sleep(60)
"""
    )
    with killed(python(script, path, central.writer, stdout=subprocess.PIPE)) as own, own.stdout:
        assert own.stdout.readline() == "done\n"
        until(lambda: len(JournalReader(path).read_runs()) == 61)
        until(lambda: central.count() == len(local(path)))
        assert central.stored() == local(path)


def test_bots_that_are_killed_while_they_ship(central, path):
    """Killed at random instants, each time another takes up what the last one left: nothing is missing."""
    script = BOT + "while True:\n    client.futures_create_order(**STOP)\n    time.sleep(0.0005)"
    for number in range(max(KILLS // 3, 2)):
        with killed(python(script, path, central.writer)):
            until(lambda number=number: path.exists() and len(JournalReader(path).read_runs()) == number + 1)
            time.sleep(0.2 + number % 3 / 10)
    with bot(path, central.writer) as (_, client):
        client.futures_create_order(**STOP)
        until(lambda: central.count() == len(local(path)))
    assert central.stored()[: len(local(path))] == local(path)[: central.count()]


def test_an_interpreter_ends_at_once_amid_an_outage(path):
    """A bot that ends while its database is away is not held up."""
    script = BOT + "client.futures_create_order(**STOP)\ntime.sleep(0.5)"
    with python(script, path, "postgresql://u@127.0.0.1:1/d", stderr=subprocess.PIPE) as own:
        said = own.communicate(timeout=60)[1]
    assert own.returncode == 0
    assert "Traceback" not in said
    assert len(list(read_records(path))) == 1


def test_an_error_of_the_thread_is_told_and_ends_nothing(central, path, monkeypatch):
    """What nobody foresaw is counted and logged, and the bot goes on."""
    monkeypatch.setattr(exit_shim.runtime.internal_errors, "RERAISE", False)
    monkeypatch.setattr(follow, "jittered", lambda pause: 1 / 0)
    with bot(path, "postgresql://u@127.0.0.1:1/d") as (shim, client):
        client.futures_create_order(**STOP)
        until(lambda: shim.internal_errors.count)
    assert len(list(read_records(path))) == 1


if sys.platform != "linux":  # pragma: no cover
    pytestmark = pytest.mark.skip("forks and /proc as Linux has them")
