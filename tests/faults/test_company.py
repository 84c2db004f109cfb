"""A bot's company: crowds of threads and processes, a clock that jumps, handlers and sinks that hang."""

import json
import time

import harm
import pytest

from exit_shim.journal import JournalReader, read_records


def test_fifty_threads_and_four_processes(exchange, path):
    """Two hundred threads in four processes place at once: each order is there once, under its own number."""
    script = """
        shim = exit_shim.ExitShim(journal=JOURNAL)
        client = new_client(shim)
        threads = [threading.Thread(target=place, args=(client, 3)) for _ in range(50)]
        say(); hear()
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        shim.close()
        say("ready " + str(shim.summary()["journal"]["dropped"]))
    """
    bots = [harm.bot(script, exchange, path) for _ in range(4)]
    for bot in bots:
        harm.heard(bot)
    for bot in bots:
        harm.told(bot)
    for bot in bots:
        assert harm.heard(bot) == "0"
        harm.ended(bot)
    records = harm.reckon(exchange, path, max_us=harm.CROWD_US)
    assert len(records) == len({(record.run_id, record.seq) for record in records}) == 600
    assert {record.outcome.result for record in records} == {"accepted"}


def test_a_clock_that_jumps(exchange, path, preload, tmp_path):
    """Years ahead, back and before 1970: orders are recorded in their order, and can be read."""
    clock = tmp_path / "clock"
    clock.write_text("0")
    years = (0, 10, -20, -60, 200, 1)
    harm.run(
        """
        shim = exit_shim.ExitShim(journal=JOURNAL)
        client = new_client(shim)
        for years in ARGS:
            with open(os.environ["HARM_CLOCK"], "w") as clock:
                clock.write(str(int(years) * 31_536_000))
            with contextlib.suppress(Exception):  # the exchange minds, of course
                place(client)
            time.sleep(0.1)
        shim.close()
        assert not shim.summary()["journal"]["waiting"]
        """,
        exchange,
        path,
        *years,
        env={"LD_PRELOAD": str(preload), "HARM_CLOCK": str(clock)},
    )
    records = sorted(harm.reckon(exchange, path), key=lambda record: record.seq)
    assert [round((record.intent.ts / 1e9 - time.time()) / 31_536_000) for record in records] == list(years)
    assert JournalReader(path).count_lost() == 0
    for words in (("summary",), ("summary", "--since", "1h"), ("records",), ("verify",)):
        assert "rror" not in harm.command(path, *words)


HANGING = """
class Hanging(logging.Handler):
    held = threading.Event()
    def emit(self, record):
        self.held.wait()
class Sink:
    def on(self, recorded):
        Hanging.held.wait()
class Raising:
    def on(self, recorded):
        raise LookupError("a sink of the bot's own")
logging.getLogger().addHandler(Hanging())
logging.getLogger("exit_shim").setLevel(logging.INFO)
"""


@pytest.mark.parametrize("sinks", ["None", "[Sink()]", "[Raising()]"])
@pytest.mark.parametrize("broken", [False, True], ids=["journal", "no journal"])
def test_a_log_handler_and_a_sink_that_hang(exchange, path, sinks, broken):
    """With every handler or sink hanging, and the journal failing besides, orders go out as ever."""
    if broken:
        path.parent.write_text("a file where the folder should be")
    said = harm.run(
        f"""
        shim = exit_shim.ExitShim(journal=JOURNAL, sinks={sinks})
        client = new_client(shim)
        place(client, 30)
        time.sleep(0.2)
        say(json.dumps(shim.summary()))
        Hanging.held.set()
        shim.close()
        say("closed")
        """,
        exchange,
        path,
        before=HANGING,
    )
    summary = json.loads(said.splitlines()[0])
    assert len(harm.arrived(exchange)) == summary["total_orders"] == 30
    if broken:
        # The first error of a sink is an event, too, unless a handler hangs before it is written down.
        assert summary["journal"]["in_memory"] in ({60, 61} if "Raising" in sinks else {60})
        assert "cannot be opened for writing" in summary["journal"]["last_error"]
    else:
        assert len(harm.reckon(exchange, path)) == 30


def test_a_full_event_queue(exchange, path):
    """Beyond its bound the queue to a hanging sink drops and counts; the journal has every order."""
    with harm.bot(
        """
        exit_shim.runtime.background.MAX_WAITING = 20
        shim = exit_shim.ExitShim(journal=JOURNAL, sinks=[Sink()])
        logging.getLogger().handlers.clear()
        client = new_client(shim)
        place(client, 60)
        say(json.dumps(shim.summary()["events_dropped"]))
        Hanging.held.set()
        shim.close()
        """,
        exchange,
        path,
        before=HANGING + "import exit_shim.runtime.background",
    ) as bot:
        said, _ = bot.communicate(timeout=60)
    assert 95 <= int(said) <= 100  # of two events an order
    assert f"{int(said)} events were dropped" in harm.log_of(bot)
    assert len(harm.reckon(exchange, path)) == 60


def test_busy_threads_do_not_fill_memory(exchange, path):
    """Once in memory, events get out of it again however busy the bot's threads are; few if any go."""
    said = harm.run(
        """
        shim = exit_shim.ExitShim(journal=JOURNAL, sinks=[])
        client = new_client(shim)
        class Quick:
            def futures_create_order(self, **params):
                return {}
        quick = exit_shim.wrap(Quick(), shim=shim)
        shim.journal.open()
        until, busy = time.monotonic() + 1.4, []
        def one():
            while time.monotonic() < until:
                place(quick)
        threads = [threading.Thread(target=one) for _ in range(4)]
        [thread.start() for thread in threads]
        for _ in range(3):
            time.sleep(0.3)
            with shim.journal._lock:  # as held up as a thread can be
                time.sleep(0.13)
            busy.append(len(shim.journal._memory))
        [thread.join() for thread in threads]
        shim.flush()
        print(max(busy) > 0, shim.summary()["journal"]["dropped"], shim.summary()["total_orders"])
        """,
        exchange,
        path,
        before="logging.disable()",
    )
    waited, dropped, placed = said.split()[0], *map(int, said.split()[1:])
    assert waited == "True"
    assert dropped < 2 * placed / 5  # none where four threads have two processors to themselves
    assert placed - dropped <= len(list(read_records(path))) <= placed
