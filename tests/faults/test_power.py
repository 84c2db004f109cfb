"""The loss of power: files have the bytes of their last sync, folders the names of theirs."""

import random
import textwrap

import harm
import pytest

LOADED = """
wait_for_the_spool()
shim = exit_shim.ExitShim(journal=JOURNAL, sync=ARGS[0])
client = new_client(shim)
say()
def one():
    while True:
        place(client)
for _ in range(int(ARGS[1])):
    threading.Thread(target=one, daemon=True).start()
hear()
"""


@pytest.fixture
def outage(path, preload, tmp_path):
    """The power of whatever runs with this environment; `path` is what the disk holds after the block."""
    return harm.power(tmp_path, tmp_path.with_name(tmp_path.name + "-shadow"), preload)


def killed_under_load(exchange, path, environment, sync, threads, orders):
    """A bot that dies amid its orders, after so many of them."""
    before = len(exchange.order_requests)
    with harm.bot(LOADED, exchange, path, sync, threads, env=environment) as process:
        harm.heard(process)
        harm.until(lambda: len(exchange.order_requests) >= before + orders)
        process.kill()
        process.communicate()


@pytest.mark.parametrize("threads", [1, 8])
def test_sync_power_outlives_the_loss_of_power(exchange, path, outage, threads):
    """With sync="power" every order that the exchange saw is on the disk, on a folder that is new as well."""
    with outage as environment:
        chance = random.Random(threads)
        for _ in range(3):
            killed_under_load(exchange, path, environment, "power", threads, chance.randrange(7, 40))
    records = harm.reckon(exchange, path, max_us=harm.CROWD_US)
    assert len(records) > 20


def test_sync_process_does_not_outlive_it(exchange, path, outage):
    """The counter-proof: with sync="process" the same loss of power takes orders that were sent."""
    with outage as environment:
        killed_under_load(exchange, path, environment, "process", 1, 10)
    seen = harm.arrived(exchange)
    assert len(seen) >= 10
    assert len(list(harm.read_records(path)) if path.exists() else []) < len(seen)


TAKERS = {
    "a reader": "print(len(list(exit_shim.journal.read_records(JOURNAL))))",
    "a bot with sync=process": """
        shim = exit_shim.ExitShim(journal=JOURNAL)
        shim.journal.open()
        while any(shim.journal.run_id not in spool.name for spool in spools(shim.journal.path)):
            time.sleep(0.01)
        print(len(list(exit_shim.journal.read_records(JOURNAL))))
    """,
}
DIES_WITHOUT_A_CHECKPOINT = """
    keeper = sqlite3.connect(JOURNAL)  # whoever closes the last connection has all of it synced
    keeper.execute("SELECT count(*) FROM sqlite_master").fetchone()
{}
    sys.stdout.flush()
    os._exit(0)
"""


def taken_up(exchange, path, environment, taker):
    """What somebody who dies without a checkpoint has found in the journal: how many orders."""
    said = harm.run(
        DIES_WITHOUT_A_CHECKPOINT.format(textwrap.indent(textwrap.dedent(TAKERS[taker]), "    ")),
        exchange,
        path,
        env=environment,
        before="import sqlite3\nimport exit_shim.journal\nfrom exit_shim.journal.spool import spools",
    )
    return int(said)


@pytest.mark.parametrize("taker", TAKERS)
def test_what_others_take_up_stays_on_the_disk(exchange, path, outage, taker):
    """What a run with sync="power" has left stays though somebody who promised less takes it up."""
    with outage as environment:
        killed_under_load(exchange, path, environment, "power", 2, 20)
        assert taken_up(exchange, path, environment, taker) >= len(harm.arrived(exchange)) > 0
    harm.reckon(exchange, path, max_us=harm.CROWD_US)


@pytest.mark.parametrize("taker", TAKERS)
def test_a_commit_whose_sync_never_came(exchange, path, outage, taker):
    """A run that dies between a commit and its sync: all is in the database, and none of it on the disk."""
    with outage as environment:
        harm.run(
            """
            shim = exit_shim.ExitShim(journal=JOURNAL, sync="power")
            place(new_client(shim), 5)
            assert shim.flush(60)
            assert shim.journal._spool.unread() is None
            os._exit(0)
            """,
            exchange,
            path,
            env=environment,
            before="""
            from exit_shim.journal import database, drain
            drain.open_writer = lambda path, lasting: database.open_writer(path, lasting=False)
            """,
        )
        assert taken_up(exchange, path, environment, taker) == 5
    assert len(harm.reckon(exchange, path)) == 5


def test_a_slow_disk_costs_many_threads_what_it_costs_one(exchange, path, preload):
    """Where each sync takes 20 ms, 24 threads do not take turns at it."""
    said = harm.run(
        """
        wait_for_the_spool()
        shim = exit_shim.ExitShim(journal=JOURNAL, sync="power")
        client = new_client(shim)
        place(client)
        syncing, at_once, sync_file = [], [], spool.sync_file
        def counted(fd):
            syncing.append(fd)
            at_once.append(len(syncing))
            sync_file(fd)
            syncing.pop()
        spool.sync_file = counted
        threads = [threading.Thread(target=place, args=(client, 3)) for _ in range(24)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        shim.close()
        print(max(at_once))
        """,
        exchange,
        path,
        env={"LD_PRELOAD": str(preload), "HARM_SYNC_US": "20000"},
        before="from exit_shim.journal import spool",
    )
    records = harm.reckon(exchange, path, max_us=harm.CROWD_US)
    assert len(records) == 73
    assert int(said) > 12
