"""Ends that nobody chose: what a bot that is killed, forked or shut down leaves is whole, and all of it."""

import contextlib
import fcntl
import signal
import subprocess
import sys
import time

import harm
import pytest

from exit_shim.journal import JournalReader, read_records
from exit_shim.journal.spool import spools

KILLED = """
async def async_bot():
    client = exit_shim.wrap(AsyncClient(*KEYS), shim=exit_shim.ExitShim(journal=JOURNAL))
    async def one():
        while True:
            with contextlib.suppress(Exception):
                await client.futures_create_order(**EXIT)
    say()
    await asyncio.gather(one(), one(), one())

def threaded_bot():
    client = new_client()
    def one():
        while True:
            with contextlib.suppress(Exception):
                place(client)
    say()
    for _ in range(2):
        threading.Thread(target=one, daemon=True).start()
    one()

wait_for_the_spool()
kind, rounds = ARGS[0], int(ARGS[1])
chance = random.Random(kind)
ready, write = os.pipe()
say = lambda: os.write(write, b"!")
for _ in range(rounds):
    child = os.fork()
    if not child:
        signal.alarm(60)
        threaded_bot() if kind == "sync" else asyncio.run(async_bot())
    os.read(ready, 1)
    time.sleep(chance.uniform(0, 0.12))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_kill_9_at_random_instants(exchange, path, request, kind):
    """Bots die while they place orders: each that arrived is recorded, the rest in doubt, none made up."""
    rounds = request.config.getoption("rounds")
    harm.run(KILLED, exchange, path, kind, rounds, patience=3_600)
    records = harm.reckon(exchange, path)
    runs = {record.run_id for record in records}
    doubtful = [record for record in records if record.outcome is None]
    assert len(runs) > rounds / 3
    assert len(records) > rounds
    print(  # noqa: T201 - the long form's figures, with -s
        f"\n{kind}: {rounds} killed, {len(harm.arrived(exchange))} orders arrived, {len(records)} recorded, "
        f"{len(doubtful)} in doubt, {len(records) - len(harm.arrived(exchange))} of them never left"
    )


@pytest.mark.parametrize(
    ("before", "ends"),
    [("", signal.SIGTERM), ("signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))", 0)],
    ids=["default", "handler"],
)
def test_sigterm(exchange, path, before, ends):
    """Told to end while it places orders, a bot records them all, by default and by a handler that exits."""
    script = """
        client = new_client()
        def one():
            while True:
                place(client)
        for _ in range(3):
            threading.Thread(target=one, daemon=True).start()
        say()
        one()
    """
    with harm.bot(script, exchange, path, before=before) as process:
        harm.heard(process)
        time.sleep(0.3)
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=15)
        if process.poll() is None:
            # Python itself drops what a handler raises while an object is finalized, and says so.
            assert "Exception ignored in" in harm.log_of(process), harm.log_of(process)
            process.terminate()
            process.communicate(timeout=40)
    assert process.returncode == -ends, harm.log_of(process)
    assert len(harm.reckon(exchange, path)) > 10


def test_the_interpreter_ends_with_threads_alive(exchange, path):
    """Daemon threads that place orders to the last leave all of them, and hold up no end."""
    harm.run(
        """
        client = new_client()
        def one():
            while True:
                place(client)
        async def forever():
            own = exit_shim.wrap(AsyncClient(*KEYS), shim=exit_shim.ExitShim(journal=JOURNAL))
            while True:
                await own.futures_create_order(**EXIT)
        for act in (one, one, lambda: asyncio.run(forever())):
            threading.Thread(target=act, daemon=True).start()
        time.sleep(0.4)
        """,
        exchange,
        path,
    )
    assert len(harm.reckon(exchange, path)) > 10


def test_a_fork_during_a_write(exchange, path):
    """Children forked while threads write place their orders at once, under runs of their own."""
    said = harm.run(
        """
        shim = exit_shim.ExitShim(journal=JOURNAL)
        client = new_client(shim)
        stop = threading.Event()
        def one():
            while not stop.is_set():
                place(client)
        threads = [threading.Thread(target=one) for _ in range(3)]
        [thread.start() for thread in threads]
        failed = 0
        for _ in range(8):
            child = os.fork()
            if not child:
                signal.alarm(60)
                own = exit_shim.wrap(Client(*KEYS, ping=False), shim=shim)
                place(own, 2)
                os._exit(0)  # nothing is closed
            failed += os.waitpid(child, 0)[1] != 0
        stop.set()
        [thread.join() for thread in threads]
        shim.close()
        print(failed)
        """,
        exchange,
        path,
    )
    assert said == "0\n"
    records = harm.reckon(exchange, path)
    assert len({record.run_id for record in records}) == 9


def test_a_fork_before_the_first_order(exchange, path):
    """A child forked while a thread asks the interpreter for its paths does not wait for its lock."""
    harm.run(
        """
        shim = exit_shim.ExitShim(journal=JOURNAL)
        client = new_client(shim)
        held, done = threading.Event(), threading.Event()
        def hold():
            with getattr(sysconfig, "_CONFIG_VARS_LOCK", contextlib.nullcontext()):
                held.set()
                done.wait()
        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()
        child = os.fork()
        if not child:
            signal.alarm(60)
            place(client)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        done.set()
        thread.join()
        sys.exit(status)
        """,
        exchange,
        path,
        before="import sysconfig; sysconfig._CONFIG_VARS_INITIALIZED = False",
    )
    assert len(harm.reckon(exchange, path)) == 1


def test_a_fork_bomb_of_short_lived_children(exchange, path):
    """Children and grandchildren that live for one order each, some killed at once, leave every order."""
    harm.run(
        """
        shim = exit_shim.ExitShim(journal=JOURNAL)
        client = new_client(shim)
        place(client)
        def breed(depth):
            children = []
            for number in range(3):
                child = os.fork()
                if not child:
                    if depth:
                        breed(depth - 1)
                    own = exit_shim.wrap(Client(*KEYS, ping=False), shim=shim)
                    place(own)
                    os.kill(os.getpid(), signal.SIGKILL) if number else os._exit(0)
                children.append(child)
            for child in children:
                os.waitpid(child, 0)
        breed(2)
        shim.close()
        """,
        exchange,
        path,
    )
    records = harm.reckon(exchange, path, max_us=harm.CROWD_US)
    assert len(records) == len({record.run_id for record in records}) == 40
    assert spools(path) == []
    assert all(record.outcome for record in records)


@pytest.mark.parametrize("pieces", [4_000_000, 5_000], ids=["one file", "many files"])
def test_two_processes_take_up_the_same_dead_runs(exchange, path, pieces):
    """Readers that come at once, one of them killed meanwhile, bring each event over once, in its order."""
    harm.run(
        """
        spool.SEGMENT_BYTES = int(ARGS[0])
        log_writer.Journal.tend = lambda self: (self._rotate_spool(), 0.01)[1]  # nothing is moved
        children = []
        for _ in range(3):
            child = os.fork()
            if not child:
                client = new_client()
                for _ in range(20):
                    place(client)
                    time.sleep(0.004)
                os.kill(os.getpid(), signal.SIGKILL)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)
        """,
        exchange,
        path,
        pieces,
        before="from exit_shim.journal import log_writer, spool",
    )
    assert len(spools(path)) == 3 if pieces > 5_000 else len(spools(path)) >= 6
    reader = (
        "import sys; from exit_shim.journal import read_records; print(len(list(read_records(sys.argv[1]))))"
    )
    takers = [
        subprocess.Popen(
            [sys.executable, "-c", reader, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    until_some_are_in = time.monotonic() + 60
    while not path.exists() and time.monotonic() < until_some_are_in:
        time.sleep(0.001)
    takers[0].kill()
    for taker in takers:
        with taker:
            taker.communicate(timeout=60)
    records = harm.reckon(exchange, path)
    assert len(records) == 60
    assert all(record.outcome for record in records)
    assert spools(path) == []
    assert JournalReader(path).count_lost() == 0


def test_a_taker_is_not_overtaken(exchange, path):
    """Behind a file that another process is at the rest of its run waits: no outcome before its intent."""
    harm.run(
        """
        log_writer.Journal.tend = lambda self: None  # nothing is moved
        shim = exit_shim.ExitShim(journal=JOURNAL, sinks=[])
        client = new_client(shim)
        def another(*_, **__):
            shim.journal._spool.append_to(shim.journal._spool.make_segment())
        client.session.hooks["response"] = another  # each outcome is in the file behind its intent's
        place(client, 3)
        os._exit(0)
        """,
        exchange,
        path,
        before="from exit_shim.journal import log_writer",
    )
    first, second, *_ = sorted(spools(path))
    with held(first):
        assert list(read_records(path)) == []
        assert second.exists()
    list(read_records(path))
    assert spools(path) == []
    assert all(record.outcome for record in harm.reckon(exchange, path))


@contextlib.contextmanager
def held(spool):
    """Somebody is taking this file up."""
    with spool.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_a_signal_handler_may_flush(exchange, path):
    """A handler that flushes or closes during an append on its own thread waits for nobody."""
    harm.run(
        """
        shim = exit_shim.ExitShim(journal=JOURNAL, sinks=[])
        client = new_client(shim)
        append, amid = Spool.append, []
        def interrupted(self, data):
            if len(amid) < 6:
                amid.append(time.monotonic())
                (shim.flush if len(amid) % 2 else shim.close)()
                amid[-1] = time.monotonic() - amid[-1]
            return append(self, data)
        Spool.append = interrupted
        place(client, 10)
        shim.close()
        assert len(amid) == 6 and max(amid) < 3, amid
        """,
        exchange,
        path,
        before="from exit_shim.journal.spool import Spool",
    )
    assert len(harm.reckon(exchange, path, max_us=harm.CROWD_US)) == 10
