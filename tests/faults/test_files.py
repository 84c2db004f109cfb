"""Files that fail a bot: full, locked, moved or forbidden; orders go out, and what waits is kept."""

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import time

import harm
import pytest

import exit_shim
from exit_shim.journal import MAX_WAITING, SCHEMA_VERSION, JournalReader, read_records
from exit_shim.journal.overflow import AT_ONCE
from exit_shim.journal.spool import folder_of, spools

AFFLICTED = """
shim = exit_shim.ExitShim(journal=JOURNAL)
client = new_client(shim)
if "begun" in ARGS:
    place(client, 3)
    shim.journal.flush()

def tell():
    found = shim.summary()
    say("ready " + json.dumps({"errors": found["internal_errors"], **found["journal"]}))

tell(); hear()
place(client, 25)
time.sleep(0.3)
tell(); hear()
time.sleep(1.05)
place(client, 3)
shim.close()
tell(); hear()
"""


class Afflicted:
    """A bot in a process of its own that places orders before, while and after something is wrong."""

    def __init__(self, exchange, path, *args, **options):
        self._bot = harm.bot(AFFLICTED, exchange, path, *args, **options)
        self.log = ""

    def __enter__(self):
        harm.heard(self._bot)
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self._bot.kill()
        with self._bot:
            self._bot.communicate("\n")
        self.log = harm.log_of(self._bot)

    def goes_on(self):
        """Let it place its orders; what its summary says of the journal then."""
        harm.told(self._bot)
        return json.loads(harm.heard(self._bot))


def recovered(bot, exchange, path, **reckoning):
    """The bot goes on, now that all is well: nothing waits, nothing was dropped, and all is recorded."""
    after = bot.goes_on()
    assert (after["waiting"], after["dropped"]) == (0, 0), after
    records = harm.reckon(exchange, path, **reckoning)
    assert all(record.outcome for record in records)
    return records


@pytest.fixture
def shim(path, quiet):
    """A shim of this process."""
    own = exit_shim.ExitShim(journal=path, sinks=[])
    yield own
    own.close()


@pytest.fixture
def wrapped(client, shim):
    """A genuine client, wrapped."""
    return exit_shim.wrap(client, shim=shim)


def place(wrapped, times=1):
    """Place exits."""
    for _ in range(times):
        wrapped.futures_create_order(**harm.EXIT)


def messages(caplog):
    """What the shim has said of its own failures."""
    return [record.getMessage() for record in caplog.records if "internal error" in record.getMessage()]


def test_a_close_while_locked_loses_nothing(exchange, path, wrapped, shim):
    """What a close leaves in the spool for a lock comes to the database with the next order, before it."""
    place(wrapped)
    assert shim.journal.flush()
    with harm.locked(path):
        place(wrapped)
        shim.close()
        assert len(spools(path)) == 1
        assert shim.summary()["journal"]["waiting"] == 2
    place(wrapped)
    shim.close()
    assert shim.summary()["journal"]["waiting"] == 0
    assert spools(path) == []
    assert len(harm.reckon(exchange, path)) == 3


def test_a_close_while_locked_beside_a_reader(exchange, path, wrapped, shim):
    """A reader that comes between takes up what the close has left, whatever was moved before or is after."""
    place(wrapped, 2)
    assert shim.journal.flush()
    with harm.locked(path):
        place(wrapped)
        shim.close()
    assert len(list(read_records(path))) == 3
    place(wrapped)
    assert shim.journal.flush()
    assert shim.summary()["journal"]["waiting"] == 0
    assert all(record.outcome for record in harm.reckon(exchange, path))


@pytest.mark.parametrize("how", ["deleted", "moved", "deleted without its WAL", "moved without its WAL"])
def test_a_database_that_is_taken_away(exchange, path, wrapped, shim, caplog, how):
    """Removed or moved while open, then one more order and a close at once: that order is in the new file."""
    place(wrapped, 3)
    assert shim.journal.flush()
    for name in ("",) if "without" in how else ("", "-wal", "-shm"):
        there = path.with_name(path.name + name)
        there.unlink() if how.startswith("deleted") else there.rename(path.parents[1] / there.name)
    place(wrapped)
    shim.close()
    (said,) = messages(caplog)
    assert f"the journal {path} was removed or replaced while in use" in said
    assert shim.summary()["journal"]["waiting"] == 0
    assert shim.summary()["internal_errors"] == 1
    last = [record.intent.order.client_order_id for record in harm.reckon(exchange, path, lost=3)][-1]
    assert last == list(harm.arrived(exchange))[-1]


def test_a_spool_that_is_cut_short_while_in_use(exchange, path, wrapped, shim, caplog):
    """What somebody cuts off before it was moved is counted and told, and what follows is recorded."""
    place(wrapped)
    assert shim.journal.flush()
    with harm.locked(path):
        place(wrapped, 4)
        (spool,) = spools(path)
        os.truncate(spool, 0)
        place(wrapped, 2)
    harm.until(lambda: shim.journal.flush() and not shim.summary()["journal"]["waiting"])
    place(wrapped)
    shim.close()
    dropped = shim.summary()["journal"]["dropped"]
    assert JournalReader(path).count_lost() == dropped > 0
    events = [event for event in JournalReader(path).read_events() if event.event in ("intent", "outcome")]
    assert len(events) + dropped == 2 * len(harm.arrived(exchange))
    assert any("truncated by another program" in text for text in messages(caplog))
    assert len(harm.reckon(exchange, path, lost=4)) >= 4
    assert f"{dropped} events lost" in harm.command(path, "summary")


def test_a_full_memory_waits_for_nobody(path, quiet, exchange):
    """With no spool, a locked database and memory full, an order drops the oldest event and goes on."""
    said = harm.run(
        """
        shim = exit_shim.ExitShim(journal=JOURNAL, sinks=[])
        client = new_client(shim)
        shim.journal.flush()
        shim.close()
        import shutil
        shutil.rmtree(JOURNAL + "-spool")
        open(JOURNAL + "-spool", "w").close()
        class Quick:
            def futures_create_order(self, **params):
                return {}
        quick = exit_shim.wrap(Quick(), shim=shim)
        import sqlite3
        other = sqlite3.connect(JOURNAL, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        place(quick, 5_000)
        worst, until = 0, time.monotonic() + 1.5
        while time.monotonic() < until:
            begun = time.perf_counter()
            shim.journal.append(INTENT)
            worst = max(worst, time.perf_counter() - begun)
            time.sleep(0.0005)
        place(client, 20)
        health = shim.summary()["journal"]
        other.execute("COMMIT")
        other.close()
        os.unlink(JOURNAL + "-spool")
        time.sleep(1.1)
        shim.close()
        print(worst, health["in_memory"], health["dropped"])
        """,
        exchange,
        path,
        before="""
        from exit_shim.domain.attributions import Attribution
        from exit_shim.domain.orders import ExitOrder
        from exit_shim.domain.events import Intent
        INTENT = Intent(ts=1, door="d", operation="place", order=ExitOrder(kind="sl"),
                                attribution=Attribution(module="m", evidence="stack"), mode="LEGACY")
        logging.disable()
        """,
    )
    worst, in_memory, dropped = map(float, said.split())
    assert worst < harm.MAX_US / 1e6
    assert abs(in_memory - MAX_WAITING) <= AT_ONCE
    assert JournalReader(path).count_lost() == dropped > 0
    seen = harm.arrived(exchange)
    assert len(seen) == 20
    assert seen.keys() <= {record.intent.order.client_order_id for record in read_records(path)}


def test_a_folder_that_may_not_be_written(exchange, path):
    """With no place to write at all, events wait in memory, and are written once the folder takes them."""
    path.parent.mkdir(mode=0o500)
    with Afflicted(exchange, path, before=harm.MORTAL) as bot:
        during = bot.goes_on()
        assert during["in_memory"] == during["waiting"] == 50
        assert during["errors"] >= 1
        path.parent.chmod(0o700)
        assert len(recovered(bot, exchange, path)) == 28
    assert f"the journal {path} cannot be written now (Permission denied)" in bot.log


def test_permission_taken_away_from_a_running_bot(exchange, path):
    """A folder closed to a running bot holds up nothing, loses nothing, and is not taken for removed."""
    with Afflicted(exchange, path, "begun", before=harm.MORTAL) as bot:
        path.parent.chmod(0)
        bot.goes_on()
        path.parent.chmod(0o700)
        assert len(recovered(bot, exchange, path)) == 31
    assert "was removed" not in bot.log


def test_permission_taken_away_for_good(exchange, path):
    """A bot that could write nowhere until its end says at its end how much is lost."""
    path.parent.mkdir(mode=0o500)
    with Afflicted(exchange, path, before=harm.MORTAL) as bot:
        bot.goes_on()
        bot.goes_on()
    assert "56 events are only in memory" in bot.log
    path.parent.chmod(0o700)
    assert "there is no journal" in harm.command(path, "summary")


def test_a_disk_that_is_full(exchange, tmp_path):
    """On a small file system that is filled by others, orders go out, and are recorded once there is room."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("only root can mount a file system of its own")
    try:
        path = place / "state" / "journal.db"
        with Afflicted(exchange, path, "begun") as bot:
            with (place / "filler").open("wb", 0) as filler, contextlib.suppress(OSError):
                while True:
                    filler.write(b"x" * 4096)
            during = bot.goes_on()
            assert during["waiting"] == 50
            assert during["errors"] >= 1
            (place / "filler").unlink()
            assert len(recovered(bot, exchange, path)) == 31
        assert "No space left on device" in bot.log
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_a_limit_on_the_size_of_files(exchange, path):
    """With RLIMIT_FSIZE reached, which cuts a write in two, no half line is left, and nothing is lost."""
    said = harm.run(
        """
        shim = exit_shim.ExitShim(journal=JOURNAL)
        client = new_client(shim)
        place(client, 3)
        shim.journal.flush()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        (spool,) = (each for each in os.scandir(JOURNAL + "-spool") if each.name != "opening")
        resource.setrlimit(resource.RLIMIT_FSIZE, (os.stat(spool.path).st_size + 100, hard))
        place(client, 25)
        time.sleep(0.3)
        print(shim.summary()["journal"]["waiting"])
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        time.sleep(1.1)
        """,
        exchange,
        path,
        before="import resource",
    )
    assert said == "50\n"
    assert len(harm.reckon(exchange, path)) == 28
    assert JournalReader(path).count_lost() == 0


@pytest.mark.parametrize("also", ["", "the database"])
def test_a_spool_folder_that_is_deleted(exchange, path, also):
    """A folder deleted under a running bot is made anew, and what was in it is moved all the same."""
    with Afflicted(exchange, path, "begun") as bot:
        shutil.rmtree(path.parent if also else folder_of(path))
        bot.goes_on()
        if also:
            after = bot.goes_on()
            assert (after["waiting"], after["dropped"]) == (0, 0)
            assert len(harm.reckon(exchange, path, lost=3)) >= 28
        else:
            assert len(recovered(bot, exchange, path)) == 31


def test_a_database_locked_for_long(exchange, path, request):
    """Another process has the database for long, for 30 s in the long form: the spool has the events."""
    seconds = 30 if request.config.getoption("rounds") > 100 else 1
    with Afflicted(exchange, path, "begun") as bot:
        with harm.locked(path):
            during = bot.goes_on()
            time.sleep(seconds)
            assert (during["waiting"], during["in_memory"]) == (50, 0)
        assert len(recovered(bot, exchange, path)) == 31
    assert ("database is locked" in bot.log) == (seconds > 5)


def test_a_newer_schema(exchange, path):
    """A journal of a newer release is refused, loudly and unchanged; the events wait for that release."""
    with Afflicted(exchange, path, "begun"):
        pass
    with contextlib.closing(sqlite3.connect(path)) as own:
        own.execute("PRAGMA user_version=99")
    before = path.read_bytes()
    with Afflicted(exchange, path) as bot:
        during = bot.goes_on()
        assert during["waiting"] == 51
        assert during["in_memory"] == 0
    assert "newer exit_shim (schema 99, expected" in bot.log
    assert path.read_bytes() == before
    assert "newer exit_shim" in harm.command(path, "summary")
    with contextlib.closing(sqlite3.connect(path)) as own:
        own.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    assert all(record.outcome for record in harm.reckon(exchange, path))


def test_a_file_system_without_locks(exchange, path, preload):
    """Without `flock` there is no spool: events go from memory into the database, and it is said."""
    with Afflicted(exchange, path, env={"LD_PRELOAD": str(preload), "HARM_NO_FLOCK": "1"}) as bot:
        bot.goes_on()
        assert len(recovered(bot, exchange, path)) == 28
    assert "No locks available" in bot.log
    assert spools(path) == []


@pytest.mark.parametrize("names", [("", "-wal", "-shm"), ("",)], ids=["all of it", "but its WAL"])
def test_a_database_taken_from_two_bots(exchange, path, names):
    """Two bots that lose one database under load both go on in a new one, which is sound."""
    script = """
        shim = exit_shim.ExitShim(journal=JOURNAL)
        client = new_client(shim)
        stop = threading.Event()
        def one():
            while not stop.is_set():
                place(client)
                time.sleep(0.004)
        threads = [threading.Thread(target=one) for _ in range(3)]
        [thread.start() for thread in threads]
        time.sleep(0.3)
        say(); hear()
        stop.set()
        [thread.join() for thread in threads]
        time.sleep(1.2)
        place(client, 5)
        shim.close()
        say("ready " + json.dumps(shim.summary()["journal"]))
    """
    bots = [harm.bot(script, exchange, path) for _ in range(2)]
    for bot in bots:
        harm.heard(bot)
    before = len(harm.arrived(exchange))
    for name in names:
        path.with_name(path.name + name).unlink()
    time.sleep(1.5)
    for bot in bots:
        harm.told(bot)
    for bot in bots:
        after = json.loads(harm.heard(bot))
        harm.ended(bot, "")
        assert (after["waiting"], after["dropped"]) == (0, 0), harm.log_of(bot)
    records = harm.reckon(exchange, path, lost=before)
    assert len({record.run_id for record in records}) == 2
