"""Written down first: what the journal holds after locks, forks, kills, full disks and odd files."""

import concurrent.futures
import contextlib
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
import time

import msgspec
import pytest
from odd_server import OddServer, answer, async_client_on, sync_client

import exit_shim
from exit_shim.domain.attributions import Attribution
from exit_shim.domain.events import Intent, Outcome
from exit_shim.domain.orders import ExitOrder
from exit_shim.journal import (
    MAX_WAITING,
    Journal,
    JournalError,
    JournalReader,
    RecordFilter,
    default_journal_path,
    read_records,
)
from exit_shim.journal.line_format import parse
from exit_shim.journal.spool import Spool, spools

STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "stopPrice": 50_000, "reduceOnly": True}

PREAMBLE = """
import os, signal, sys, threading, time
{before}
import exit_shim
class Client:
    orders = 0
    def futures_create_order(self, **params):
        Client.orders += 1
        return {{"orderId": Client.orders}}
STOP = dict(symbol="BTCUSDT", side="SELL", type="STOP_MARKET", stopPrice=50000, reduceOnly=True)
shim = exit_shim.ExitShim(journal=sys.argv[1])
client = exit_shim.wrap(Client(), shim=shim)
"""


class FakeClient:
    """A bot's own stand-in for the client."""

    def __init__(self):
        self.seen = []

    def futures_create_order(self, **params):
        self.seen.append(params)
        return {"orderId": len(self.seen)}


def start(script, path, *args, before=""):
    """Start a bot of its own in another process."""
    text = PREAMBLE.format(before=before) + textwrap.dedent(script)
    return subprocess.Popen(
        [sys.executable, "-c", text, str(path), *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(script, path, *args, before=""):
    """Run a bot of its own in another process to its end; what it prints."""
    with start(script, path, *args, before=before) as bot:
        try:
            said, complaints = bot.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            bot.kill()
            raise
    assert bot.returncode == 0, complaints
    return said


@contextlib.contextmanager
def locked(path):
    """Another process holds the file's write lock."""
    script = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('BEGIN EXCLUSIVE'); print('locked', flush=True); sys.stdin.readline(); c.execute('COMMIT')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "locked\n"
        yield
        holder.communicate("\n", timeout=60)


def until(condition, patience=60.0):
    """Wait for something that another thread is about to do."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.005)


def rows(path):
    """The events of orders in the database, by a second connection."""
    with contextlib.closing(sqlite3.connect(path)) as own:
        return own.execute(
            "SELECT event, body FROM events WHERE event != 'run_started' ORDER BY id"
        ).fetchall()


def spooled(path):
    """The events of orders in the spools, by their bytes."""
    lines = [line for file in spools(path) for line in parse(file.read_bytes())]
    return [(line.event, line.body) for line in lines if line.event != "run_started"]


def intent(**changed):
    """An order about to leave, made by hand."""
    fields = {
        "ts": 1,
        "door": "futures_create_order",
        "operation": "place",
        "order": ExitOrder(kind="sl", symbol="BTCUSDT"),
        "attribution": Attribution(module="position_monitor", evidence="stack"),
        "mode": "LEGACY",
    }
    return Intent(**{**fields, **changed})


def looking(path, found):
    """Behaviour: look into the journal before answering."""

    def behave(connection, request):
        found.append(spooled(path))
        answer(200, {"algoId": 1})(connection, request)

    return behave


def test_the_intent_is_in_the_file_when_the_request_arrives(recorded, tmp_path):
    """At the moment the exchange receives the order, a second connection finds its intent in the file."""
    found = []
    with OddServer(looking(tmp_path / "journal.db", found)) as server, sync_client(server.url) as client:
        client.futures_create_order(**STOP)
    (((event, body),),) = found
    assert event == "intent"
    (record,) = recorded()
    assert record.outcome.algo_id == 1
    assert record.intent.order.client_order_id in body
    assert record.intent.order.client_order_id in server.requests[0]


async def test_the_intent_of_an_async_client_is_in_the_file_too(tmp_path):
    """The same through AsyncClient."""
    found = []
    with OddServer(looking(tmp_path / "journal.db", found)) as server:
        async with async_client_on(server.url) as client:
            await client.futures_create_order(**STOP)
    assert [[event for event, _ in seen] for seen in found] == [["intent"]]


def test_nobody_else_can_read_it(tmp_path):
    """The folders are 0700; the file, its WAL, its index and the spool are 0600, whatever the umask."""
    before = os.umask(0)
    try:
        journal = Journal(tmp_path / "state" / "journal.db")
        journal.append(intent())
        assert journal.flush()
    finally:
        os.umask(before)
    folder = tmp_path / "state"
    modes = {
        found.name.replace(journal.run_id, "RUN"): stat.S_IMODE(found.stat().st_mode)
        for found in (folder, *folder.rglob("*"))
    }
    journal.close()
    assert modes == {
        "state": 0o700,
        "journal.db": 0o600,
        "journal.db-wal": 0o600,
        "journal.db-shm": 0o600,
        "journal.db-spool": 0o700,
        "RUN.1.spool": 0o600,
        "opening": 0o600,
    }


def spoil(path, how):
    """Put something at `path` that cannot be the journal; what the complaint says of it."""
    if how == "newer":
        made = Journal(path)
        made.open()
        made.close()
        with contextlib.closing(sqlite3.connect(path)) as own:
            own.execute("PRAGMA user_version=99")
        return "newer exit_shim"
    if how == "another database":
        with contextlib.closing(sqlite3.connect(path)) as own:
            own.execute("CREATE TABLE other (x)")
        return "another program"
    if how == "no database":
        path.write_bytes(b"not a database, by any means. " * 100)
        return "not a database"
    if how == "directory":
        path.mkdir()
        return "directory"
    if how == "below a file":
        path.parent.write_text("")
        return "cannot be opened"
    path.parent.chmod(0o500)
    return "Permission denied"


@pytest.mark.parametrize(
    "how",
    [
        "newer",
        "another database",
        "no database",
        "directory",
        "below a file",
        pytest.param("read-only", marks=pytest.mark.skipif(os.geteuid() == 0, reason="root may write")),
    ],
)
def test_a_path_that_cannot_be_the_journal(tmp_path, monkeypatch, caplog, client, exchange, how):
    """Orders go out, their events wait, and the log says which path, what is wrong and the way out."""
    path = tmp_path / ("file/journal.db" if how == "below a file" else "bad.db")
    complaint = spoil(path, how)
    monkeypatch.setattr(exit_shim.runtime.internal_errors, "RERAISE", False)
    shim = exit_shim.ExitShim(journal=path)
    wrapped = exit_shim.wrap(client, shim=shim)
    for _ in range(3):
        wrapped.futures_create_order(**{**STOP, "quantity": 0.01})
    assert len(exchange.order_requests) == 3
    until(lambda: shim.summary()["journal"]["last_error"])
    until(lambda: any(complaint in record.getMessage() for record in caplog.records))
    said = {record.getMessage() for record in caplog.records if "internal error" in record.getMessage()}
    assert all(str(path) in text and "EXIT_SHIM_JOURNAL" in text for text in said)
    health = shim.summary()["journal"]
    assert health["waiting"] == (6 if how == "below a file" else 7)
    assert health["in_memory"] == (6 if how == "below a file" else 0)
    assert complaint in health["last_error"]
    with pytest.raises(JournalError, match=path.name):
        list(read_records(path))
    shim.close()


def test_a_lock_of_another_process_delays_no_order(exchange, client, recorded, tmp_path):
    """Orders go out at once though the database is locked; their events are in the spool, and are moved."""
    wrapped = exit_shim.wrap(client)
    assert exit_shim.shim.default_shim().journal.flush()
    with locked(tmp_path / "journal.db"):
        for _ in range(30):
            wrapped.futures_create_order(**{**STOP, "quantity": 0.01})
        assert rows(tmp_path / "journal.db") == []
        written = [event for event, _ in spooled(tmp_path / "journal.db") if event != "order_findings"]
        assert written == ["intent", "outcome"] * 30
    records = recorded()
    assert [record.outcome.result for record in records] == ["accepted"] * 30
    assert exit_shim.shim.default_shim().internal_errors.count == 0


def test_a_lock_costs_many_threads_no_more_than_one(monkeypatch, tmp_path):
    """Twenty threads that meet a locked file at once do not wait for each other's waiting."""
    monkeypatch.setattr(exit_shim.runtime.internal_errors, "RERAISE", False)
    shim = exit_shim.ExitShim(journal=tmp_path / "journal.db", sinks=[])
    wrapped = exit_shim.wrap(FakeClient(), shim=shim)
    answers, ready = [], threading.Barrier(20)

    def order():
        ready.wait()
        answers.append(wrapped.futures_create_order(**STOP))

    with locked(tmp_path / "journal.db"):
        threads = [threading.Thread(target=order) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(answers) == 20  # while the file is still locked
    shim.close()
    assert len(list(read_records(tmp_path / "journal.db"))) == 20


def test_the_journals_own_thread_catches_up_after_a_lock(monkeypatch, tmp_path):
    """Nobody needs to flush: soon after the lock is gone what waited is in the file."""
    monkeypatch.setattr(exit_shim.journal.drain, "RETRY_S", 0.05)
    journal = Journal(tmp_path / "journal.db")
    journal.open()
    assert journal.flush()
    with locked(journal.path):
        journal.append(Outcome("accepted"), (journal.run_id, journal.append(intent())))
        time.sleep(0.2)
        assert journal.health().waiting == 2
    until(lambda: journal.health().waiting == 0)
    assert [event for event, _ in rows(journal.path)] == ["intent", "outcome"]
    journal.close()


def test_an_order_under_way_is_soon_in_the_database(tmp_path, monkeypatch):
    """While the exchange keeps an order waiting, its intent is there for whoever asks."""
    monkeypatch.setattr(exit_shim.journal.log_writer, "POLL_S", 0.05)
    journal = Journal(tmp_path / "journal.db")
    journal.open()
    journal.append(intent())
    until(lambda: len(list(read_records(journal.path))) == 1)
    journal.close()


def test_a_lock_that_lasts_is_told(tmp_path, monkeypatch):
    """A lock passes, and is nobody's trouble; one that does not is told, with the way out."""
    monkeypatch.setattr(exit_shim.journal.drain, "BUSY_S", 0.5)
    monkeypatch.setattr(exit_shim.journal.drain, "RETRY_S", 0.05)
    told = []
    journal = Journal(tmp_path / "journal.db", told.append)
    journal.open()
    assert journal.flush()
    with locked(journal.path):
        journal.append(Outcome("accepted"), (journal.run_id, journal.append(intent())))
        time.sleep(0.2)
        assert told == []
        until(lambda: told)
    assert "locked" in str(told[0])
    journal.close()


def test_memory_is_bounded_and_losses_are_counted(tmp_path):
    """Where the file cannot be written, a bounded number of events waits; each one beyond it is counted."""
    (tmp_path / "journal.db").mkdir()
    (tmp_path / "journal.db-spool").touch()
    journal = Journal(tmp_path / "journal.db")
    journal.open()
    event = intent()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: journal.append(event), range(MAX_WAITING + 500)))
    # The journal's thread may be trying to hand some over, to which others were added.
    until(lambda: journal.health().in_memory <= MAX_WAITING + 64)
    health = journal.health()
    assert health.in_memory >= MAX_WAITING - 64
    assert health.in_memory + health.dropped == MAX_WAITING + 500
    (tmp_path / "journal.db").rmdir()
    (tmp_path / "journal.db-spool").unlink()
    time.sleep(1.1)
    journal.close()
    assert len(list(read_records(journal.path))) == health.in_memory
    assert JournalReader(journal.path).count_lost() == health.dropped


def test_a_full_disk(tmp_path):
    """Orders go out while the disk takes nothing more, and are in the file once it does."""
    said = run(
        """
        import resource
        for _ in range(3):
            client.futures_create_order(**STOP)
        shim.journal.flush()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (os.stat(sys.argv[1] + "-wal").st_size, hard))
        for _ in range(50):
            client.futures_create_order(**STOP)
        print(shim.summary()["journal"]["waiting"] > 0, Client.orders)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        """,
        tmp_path / "journal.db",
    )
    assert said.split() == ["True", "53"]
    records = list(read_records(tmp_path / "journal.db"))
    assert [record.outcome.order_id for record in records] == list(range(1, 54))


def test_processes_and_threads_share_one_file(tmp_path):
    """Two processes of eight threads each write one file: nothing is lost, each event has its own number."""
    script = """
        def bot():
            for _ in range(25):
                client.futures_create_order(**STOP)
        threads = [threading.Thread(target=bot) for _ in range(8)]
        print("ready", flush=True)
        sys.stdin.readline()
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    """
    path = tmp_path / "journal.db"
    with start(script, path) as one, start(script, path) as other:
        for bot in (one, other):
            assert bot.stdout.readline() == "ready\n"
        for bot in (one, other):
            bot.stdin.write("\n")
            bot.stdin.flush()
        for bot in (one, other):
            bot.communicate(timeout=60)
            assert bot.returncode == 0
    records = list(read_records(path))
    assert len(records) == 400
    assert len({(record.run_id, record.seq) for record in records}) == 400
    assert len({record.run_id for record in records}) == 2
    assert {record.outcome.result for record in records} == {"accepted"}


def test_many_processes_may_make_the_file_at_once(tmp_path):
    """Six bots that start together on a new journal all write to it from their first order on."""
    script = """
        client.futures_create_order(**STOP)
        print(shim.summary()["journal"]["dropped"], flush=True)
    """
    bots = [start(script, tmp_path / "journal.db") for _ in range(6)]
    for bot in bots:
        with bot:
            assert bot.communicate(timeout=60)[0] == "0\n"
    assert len({record.run_id for record in read_records(tmp_path / "journal.db")}) == 6


def test_a_child_of_fork_has_its_own_run(tmp_path):
    """After a fork, parent and child both write, the child under a run of its own."""
    run(
        """
        client.futures_create_order(**{**STOP, "symbol": "BEFORE"})
        child = os.fork()
        client.futures_create_order(**{**STOP, "symbol": "PARENT" if child else "CHILD"})
        shim.close()
        if not child:
            os._exit(0)
        sys.exit(os.waitpid(child, 0)[1])
        """,
        tmp_path / "journal.db",
    )
    runs = {record.intent.order.symbol: record.run_id for record in read_records(tmp_path / "journal.db")}
    assert runs["BEFORE"] == runs["PARENT"] != runs["CHILD"]


def test_a_child_outlives_its_parents_journal(tmp_path):
    """A parent that closes the journal does not take away the file that its child goes on to write."""
    run(
        """
        client.futures_create_order(**{**STOP, "symbol": "BEFORE"})
        shim.journal.flush()
        hear, say = os.pipe()
        child = os.fork()
        if not child:
            client.futures_create_order(**{**STOP, "symbol": "CHILD"})
            os.read(hear, 1)
            client.futures_create_order(**{**STOP, "symbol": "CHILD"})
            shim.close()
            os._exit(0)
        client.futures_create_order(**{**STOP, "symbol": "PARENT"})
        time.sleep(0.05)
        shim.close()
        os.write(say, b"!")
        sys.exit(os.waitpid(child, 0)[1])
        """,
        tmp_path / "journal.db",
    )
    records = list(read_records(tmp_path / "journal.db"))
    symbols = sorted(record.intent.order.symbol for record in records)
    assert symbols == ["BEFORE", "CHILD", "CHILD", "PARENT"]
    assert all(record.outcome for record in records)


def test_two_journals_of_one_process_do_not_undo_each_others_locks(tmp_path):
    """Opening the file a second time does not let another process take it for unused and clear it away."""
    path = tmp_path / "journal.db"
    first = Journal(path)
    first.open()
    second = Journal(path)
    second.open()
    run("client.futures_create_order(**STOP)", path)
    for journal in (first, second):
        journal.append(intent())
        assert journal.flush()
    counted = run(
        "print(len(list(exit_shim.journal.read_records(sys.argv[1]))))",
        path,
        before="import exit_shim.journal",
    )
    first.close()
    second.close()
    assert counted.strip() == "3"


def test_a_fork_while_other_threads_write(tmp_path):
    """A child that is forked while other threads write can place its orders; no lock stays shut in it."""
    run(
        """
        stop = threading.Event()
        def bot():
            while not stop.is_set():
                client.futures_create_order(**STOP)
        threads = [threading.Thread(target=bot) for _ in range(4)]
        [thread.start() for thread in threads]
        failed = 0
        for _ in range(12):
            child = os.fork()
            if not child:
                signal.alarm(60)
                client.futures_create_order(**{**STOP, "symbol": "CHILD"})
                shim.close()
                os._exit(0)
            failed += os.waitpid(child, 0)[1] != 0
        stop.set()
        [thread.join() for thread in threads]
        sys.exit(failed)
        """,
        tmp_path / "journal.db",
        before="import warnings; warnings.simplefilter('ignore')",
    )
    children = list(read_records(tmp_path / "journal.db", RecordFilter(symbol="CHILD")))
    assert len({record.run_id for record in children}) == 12
    assert all(record.outcome for record in children)


def test_a_child_of_multiprocessing_leaves_its_outcomes(tmp_path):
    """A forked worker of multiprocessing, which skips atexit, has its last outcome in the file."""
    run(
        """
        worker = multiprocessing.get_context("fork").Process(
            target=lambda: client.futures_create_order(**STOP)
        )
        worker.start()
        worker.join()
        """,
        tmp_path / "journal.db",
        before="import multiprocessing",
    )
    (record,) = read_records(tmp_path / "journal.db")
    assert record.outcome is not None


def test_an_order_after_close_opens_it_again(exchange, client, recorded):
    """`close()` is no end: another order is recorded as ever."""
    wrapped = exit_shim.wrap(client)
    wrapped.futures_create_order(**{**STOP, "quantity": 0.01})
    exit_shim.shim.default_shim().close()
    wrapped.futures_create_order(**{**STOP, "quantity": 0.02})
    first, second = recorded()
    assert (first.run_id, first.seq) < (second.run_id, second.seq)
    assert first.run_id == second.run_id
    assert None not in (first.outcome, second.outcome)


def test_an_exit_right_after_an_order_loses_nothing(tmp_path):
    """The outcome of an order placed in the process's last instant is in the file."""
    run("client.futures_create_order(**STOP)", tmp_path / "journal.db")
    (record,) = read_records(tmp_path / "journal.db")
    assert record.outcome.order_id == 1


def test_an_order_placed_while_the_process_exits(tmp_path):
    """A bot that flattens its positions in an atexit handler older than ours has the outcomes in the file."""
    run(
        "",
        tmp_path / "journal.db",
        before="import atexit; atexit.register(lambda: client.futures_create_order(**STOP))",
    )
    (record,) = read_records(tmp_path / "journal.db")
    assert record.outcome.order_id == 1


def test_a_shim_dropped_right_after_an_order(tmp_path):
    """A shim that nobody holds any more still writes the outcome of its last order."""
    exit_shim.ExitShim(journal=tmp_path / "journal.db").wrap(FakeClient()).futures_create_order(**STOP)
    until(lambda: [record.outcome is None for record in read_records(tmp_path / "journal.db")] == [False])


def test_an_append_within_an_append_does_not_wait(tmp_path, monkeypatch):
    """An order that a signal handler places amid an append on its own thread is kept for later at once."""
    monkeypatch.setattr(exit_shim.journal.log_writer, "LOCK_S", 60.0)
    journal, append, inner = Journal(tmp_path / "journal.db"), Spool.append, []
    journal.open()

    def interrupted(self, data):
        monkeypatch.setattr(Spool, "append", append)
        inner.append(journal.append(intent(ts=2)))
        return append(self, data)

    monkeypatch.setattr(Spool, "append", interrupted)
    begun = time.monotonic()
    outer = journal.append(intent(ts=1))
    assert time.monotonic() - begun < 30  # half of what waiting for the lock takes
    journal.close()
    assert [record.seq for record in read_records(journal.path)] == [outer, *inner]


def test_a_signal_handler_may_place_orders(tmp_path):
    """Orders placed by a handler that interrupts an order's own recording neither hang nor get lost."""
    run(
        """
        placed = []
        def flatten(*_):
            begun = time.monotonic()
            client.futures_create_order(**{**STOP, "symbol": "HANDLER"})
            placed.append(time.monotonic() - begun)
            signal.setitimer(signal.ITIMER_REAL, 0.0007)
        signal.signal(signal.SIGALRM, flatten)
        signal.setitimer(signal.ITIMER_REAL, 0.0007)
        while len(placed) < 200:
            client.futures_create_order(**STOP)
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert max(placed) < 1, max(placed)
        shim.close()
        print(Client.orders, shim.metrics.get_summary()["total_orders"], shim.internal_errors.count)
        """,
        tmp_path / "journal.db",
        before="import logging; logging.disable()",
    )
    assert len(list(read_records(tmp_path / "journal.db", RecordFilter(symbol="HANDLER")))) >= 200
    assert all(record.outcome for record in read_records(tmp_path / "journal.db"))


KILLED = """
import asyncio, contextlib, os, random, signal, sys, time
from binance import AsyncClient, Client
import exit_shim
import exit_shim.journal.log_writer
# On a busy machine orders would wait in memory, and die with the bot.
exit_shim.journal.log_writer.LOCK_S = 60
BASE, KEY, SECRET = sys.argv[2:5]
Client.FUTURES_URL = AsyncClient.FUTURES_URL = BASE + "/fapi"
EXIT = dict(symbol="BTCUSDT", side="SELL", type="MARKET", quantity="0.001", reduceOnly="true")

def say_ready():
    os.write(ready, b"!")

def bot():
    client = exit_shim.wrap(Client(KEY, SECRET, ping=False))
    with contextlib.suppress(Exception):  # which the exchange refuses where there is no position
        client.futures_create_order(**EXIT)
    say_ready()
    while True:
        try:
            client.futures_create_order(**EXIT)
        except Exception:
            pass

async def async_bot():
    client = exit_shim.wrap(AsyncClient(KEY, SECRET))
    async def one():
        while True:
            try:
                await client.futures_create_order(**EXIT)
            except Exception:
                pass
    with contextlib.suppress(Exception):
        await client.futures_create_order(**EXIT)
    say_ready()
    await asyncio.gather(one(), one(), one())

random.seed(7)
hear, ready = os.pipe()
for _ in range(15):
    child = os.fork()
    if not child:
        signal.alarm(60)
        bot() if sys.argv[1] == "sync" else asyncio.run(async_bot())
    os.read(hear, 1)
    time.sleep(random.uniform(0, 0.06))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_after_kill_9_every_order_that_left_is_in_the_journal(exchange, tmp_path, kind):
    """Fifteen bots die at random instants: each order that arrived is recorded, the rest is in doubt."""
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED, kind, exchange.url, "local-key", "local-secret"],
        check=True,
        timeout=300,
    )
    seen = {request.params["newClientOrderId"] for request in exchange.order_requests}
    records = list(read_records(tmp_path / "journal.db"))
    written = {record.intent.order.client_order_id: record for record in records}
    assert len(seen) >= 15
    assert seen <= written.keys()
    assert len(written) == len(records)
    runs = {record.run_id for record in records}
    doubtful = [record for record in records if record.outcome is None]
    assert len(runs) == 15
    assert all(record.flat()["outcome"] is None for record in doubtful)
    never_arrived = written.keys() - seen
    assert {written[name].outcome for name in never_arrived} <= {None}
    with contextlib.closing(sqlite3.connect(tmp_path / "journal.db")) as own:
        assert own.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_readers_do_not_disturb_a_writer(tmp_path):
    """While one thread writes, another reads: it always sees whole records, and no append waits for it."""
    shim = exit_shim.ExitShim(journal=tmp_path / "journal.db", sinks=[])
    wrapped = exit_shim.wrap(FakeClient(), shim=shim)
    wrapped.futures_create_order(**STOP)
    done, counts = threading.Event(), []

    def read():
        while not done.is_set():
            counts.append(len(list(read_records(tmp_path / "journal.db"))))

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        for _ in range(300):
            wrapped.futures_create_order(**STOP)
        done.set()
        reading.result(timeout=60)
    shim.close()
    assert counts == sorted(counts)
    assert len(list(read_records(tmp_path / "journal.db"))) == 301
    assert shim.internal_errors.count == 0


def test_the_wal_is_moved_into_the_file_and_shrinks(tmp_path, monkeypatch):
    """The WAL does not stay as big as it once was: else each order from then on would cost a checkpoint."""
    monkeypatch.setattr(exit_shim.journal.database, "CHECKPOINT_BYTES", 100_000)
    journal = Journal(tmp_path / "journal.db")
    wal = tmp_path / "journal.db-wal"
    event = intent()
    for _ in range(300):
        journal.append(Outcome("accepted"), (journal.run_id, journal.append(event)))
    until(lambda: journal.health().waiting == 0)
    for _ in range(20):  # the writer may be amid its checkpoint; an append after it starts the WAL anew
        journal.append(Outcome("accepted"), (journal.run_id, journal.append(event)))
        until(lambda: journal.health().waiting == 0)
        time.sleep(0.01)
        if wal.stat().st_size < 100_000:
            break
    assert wal.stat().st_size < 100_000
    journal.close()


def test_a_journal_removed_in_use_begins_anew(tmp_path):
    """Someone removes the file under a running bot: the log says so, and later orders are in a new file."""
    told = []
    journal = Journal(tmp_path / "journal.db", told.append)
    journal.append(Outcome("accepted"), (journal.run_id, journal.append(intent())))
    assert journal.flush()
    for name in ("journal.db", "journal.db-wal", "journal.db-shm"):
        (tmp_path / name).unlink()
    journal.append(Outcome("accepted"), (journal.run_id, journal.append(intent())))
    until(lambda: told)
    assert "was removed or replaced" in str(told[0])
    journal.append(intent())
    journal.close()
    assert len(list(read_records(tmp_path / "journal.db"))) == 3  # what was still in the spool comes along


@pytest.mark.parametrize(
    ("changed", "field", "kept"),
    [
        ({"order": ExitOrder(kind="sl", symbol="BTC\ud800")}, "symbol", "BTC\\ud800"),
        ({"attribution": Attribution(module=7, evidence="stack")}, "module", "7"),
        (
            {"attribution": Attribution(module="m", evidence="stack", explanation={"a": 1})},
            "explanation",
            "{'a': 1}",
        ),
        ({"attribution": Attribution(module="m", evidence="stack", dotted_module=FakeClient)}, "module", "m"),
        ({"mode": object}, "mode", "<class 'object'>"),
        ({"account": b"\xff"}, "account", "/w=="),
    ],
)
def test_odd_values_cost_their_exactness_not_the_record(tmp_path, changed, field, kept):
    """What JSON cannot carry, or today's types do not allow, is written and read back as text."""
    journal = Journal(tmp_path / "journal.db")
    journal.append(intent(**changed))
    journal.append(intent())
    journal.close()
    odd, plain = read_records(journal.path)
    assert odd.flat()[field] == kept
    assert plain.intent == intent()


def test_rows_of_another_release_are_read_as_far_as_they_can_be(tmp_path):
    """A kind or an outcome that this release has no word for does not hide the rest of the journal."""
    journal = Journal(tmp_path / "journal.db")
    seq = journal.append(intent())
    journal.append(Outcome("accepted", order_id=5), (journal.run_id, seq))
    journal.close()
    with contextlib.closing(sqlite3.connect(journal.path, isolation_level=None)) as own:
        own.execute('UPDATE events SET body = replace(body, \'"kind":"sl"\', \'"kind":"iceberg"\')')
        own.execute("UPDATE events SET body = replace(body, 'accepted', 'teleported')")
    (record,) = read_records(journal.path)
    assert (record.intent.order.kind, record.intent.order.symbol) == ("other_exit", "BTCUSDT")
    assert (record.outcome.result, record.outcome.order_id) == ("unknown", 5)
    msgspec.json.encode(record.flat())


def test_the_first_outcome_stands_and_nothing_is_held_up(tmp_path):
    """A second outcome of an order is passed over; what follows it is written."""
    journal = Journal(tmp_path / "journal.db")
    seq = journal.append(intent())
    journal.append(Outcome("accepted"), (journal.run_id, seq))
    journal.append(Outcome("unknown"), (journal.run_id, seq))
    other = journal.append(intent())
    journal.append(Outcome("rejected"), (journal.run_id, other))
    assert journal.flush()
    assert [record.outcome.result for record in read_records(journal.path)] == ["accepted", "rejected"]
    journal.close()


def test_a_file_whose_maker_died_at_once_is_an_empty_journal(tmp_path):
    """A process killed between making the file and its tables leaves an empty journal, not an error."""
    (tmp_path / "journal.db").touch()
    assert list(read_records(tmp_path / "journal.db")) == []
    journal = Journal(tmp_path / "journal.db")
    journal.append(intent())
    journal.close()
    assert len(list(read_records(tmp_path / "journal.db"))) == 1


def test_a_relative_path_stays_where_it_was(tmp_path, monkeypatch):
    """A bot that changes its folder after the start, as a daemon does, goes on writing the same file."""
    monkeypatch.chdir(tmp_path)
    journal = Journal("journal.db")
    monkeypatch.chdir("/")
    journal.append(intent())
    journal.close()
    assert len(list(read_records(tmp_path / "journal.db"))) == 1


def test_a_user_without_a_home_has_a_journal(monkeypatch):
    """Where no home folder can be found the default path is in the temporary folder, and nothing raises."""
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("pathlib.Path.home", homeless)
    assert default_journal_path().name == "journal.db"


def test_no_thread_to_be_had_means_writing_at_once(tmp_path, monkeypatch):
    """Where the process can start no thread the outcome is written by the order's own."""

    def none_left(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", none_left)
    journal = Journal(tmp_path / "journal.db")
    journal.append(Outcome("accepted"), (journal.run_id, journal.append(intent())))
    assert [event for event, _ in rows(journal.path)] == ["intent", "outcome"]
    monkeypatch.undo()
    journal.close()


def test_closing_takes_no_longer_for_a_long_spool(tmp_path, monkeypatch):
    """What is not moved in the time that closing has stays in the spool, and whoever comes next has it."""
    monkeypatch.setattr("exit_shim.journal.log_writer.CLOSE_S", 0.01)
    monkeypatch.setattr(Journal, "_wake", lambda _self: None)
    journal = Journal(tmp_path / "journal.db")
    for _ in range(10_000):
        journal.append(intent())
    journal.close()
    assert journal.health().waiting > 100
    assert len(list(read_records(journal.path))) == 10_000


def test_many_threads_at_once_have_one_writer(tmp_path):
    """However many conclude the first orders after a close at the same time, one thread writes, and ends."""
    journal = Journal(tmp_path / "journal.db")
    before, interval = set(threading.enumerate()), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(30):
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                ready = threading.Barrier(8)

                def conclude(_, ready=ready):
                    ready.wait()
                    journal.append(Outcome("accepted"), (journal.run_id, journal.append(intent())))

                list(pool.map(conclude, range(8)))
            journal.close()
    finally:
        sys.setswitchinterval(interval)
    assert set(threading.enumerate()) <= before


def test_a_late_event_does_not_open_a_closed_journal_again(tmp_path):
    """It is written where the folder is there, without a thread; a folder that is gone is not made again."""
    folder = tmp_path / "state"
    journal = Journal(folder / "journal.db")
    seq = journal.append(intent())
    journal.close()
    threads = set(threading.enumerate())
    journal.append(Outcome("accepted"), (journal.run_id, seq))
    assert spools(journal.path) == []
    (record,) = read_records(journal.path)
    assert record.outcome.result == "accepted"
    shutil.rmtree(folder)
    assert journal.append(Outcome("rejected"), (journal.run_id, seq)) == 0
    journal.end()
    journal.close()
    assert not folder.exists()
    assert set(threading.enumerate()) <= threads


def test_an_order_opens_a_closed_journal_again(tmp_path):
    """It is about to leave, so it is written down, even where the folder has to be made again."""
    folder = tmp_path / "state"
    journal = Journal(folder / "journal.db")
    journal.append(intent())
    journal.close()
    shutil.rmtree(folder)
    assert journal.append(intent()) > 0
    journal.close()
    assert len(list(read_records(journal.path))) == 1
