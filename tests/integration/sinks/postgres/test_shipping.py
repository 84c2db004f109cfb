"""Shipping to a real PostgreSQL: exactly once, in order, byte for byte, whatever happens in between."""

import contextlib
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from made import KILLS, fill, followed, intent, killed, local, python, ship, shipper, until

from exit_shim.domain.orders import ExitOrder
from exit_shim.journal import Journal, JournalError, JournalReader, verify_run
from exit_shim.sinks.postgres import Dsn, Outbox, PostgresError, UnreachableError, follow
from exit_shim.sinks.postgres.queries import PostgresReader

BOT = """
import itertools, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from made import order
from exit_shim.journal import Journal
journal = Journal(sys.argv[1])
for number in itertools.count():
    order(journal, number)
    time.sleep(0.001)
"""

SHIPPING = """
import sys
from pathlib import Path
from exit_shim.sinks.postgres import Dsn, Outbox, Shipper
address = Dsn(sys.argv[2])
shipper = Shipper(Outbox(Path(sys.argv[1]), address.name), address, batch=7)
while True:
    shipper.ship()
"""


def test_what_is_shipped_is_the_journal_byte_for_byte(central, path):
    """Every event of every run is there once, to the byte, and the chain holds from the database alone."""
    runs = [fill(path, 40), fill(path, 7)]
    sent = ship(path, central.writer, batch=25)
    assert central.stored() == local(path)
    assert sent == central.count()
    found = PostgresReader(central.reader).read_runs()
    assert [run.run_id for run in found] == runs
    assert found == JournalReader(path).read_runs()
    for run in found:
        assert verify_run(run, PostgresReader(central.reader).read_events(run_id=run.run_id)) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE exit_shim.events SET body = replace(body, 'BTCUSDT', 'BTCUSDC') WHERE seq = 9", "changed"),
        ("UPDATE exit_shim.events SET ts = ts + 1 WHERE seq = 9", "changed"),
        ("DELETE FROM exit_shim.events WHERE seq = 9", "missing"),
    ],
)
def test_what_is_changed_in_the_database_is_found(central, path, change, said):
    """A row that is altered or taken away centrally breaks the chain at that row."""
    fill(path, 40)
    ship(path, central.writer)
    (run,) = PostgresReader(central.reader).read_runs()
    (at,) = (event.pos for event in JournalReader(path).read_events() if event.seq == 9)
    central.run(change)
    flaw = verify_run(run, PostgresReader(central.reader).read_events(run_id=run.run_id))
    assert flaw.pos == at
    assert said in flaw.what


def test_shipping_goes_on_where_it_stopped(central, path):
    """Another shipper sends only what is new, and the journal remembers how far each run has come."""
    run = fill(path, 20)
    first = ship(path, central.writer)
    other = fill(path, 3)
    second = ship(path, central.writer)
    assert ship(path, central.writer) == 0
    assert first + second == central.count() == len(local(path))
    name = Dsn(central.writer).name
    assert Outbox(path, name).read_positions() == {
        "": 0,
        **{one.run_id: one.pos for one in JournalReader(path).read_runs()},
    }
    assert {run, other} < Outbox(path, name).read_positions().keys()


def test_a_shipper_killed_at_random_moments(central, path):
    """Killed again and again under load, each time resumed: each event is there once, none before another."""
    here = Path(__file__).parent
    with killed(python(BOT, path, here)) as bot:
        until(lambda: path.exists() and len(JournalReader(path).read_runs()) == 1)
        last = 0
        for _ in range(KILLS):
            with killed(python(SHIPPING, path, central.writer)):
                until(lambda last=last: central.count() > last)
                time.sleep(random.random() / 3)
            ((number, last),) = central.rows("SELECT count(*), coalesce(max(pos), 0) FROM exit_shim.events")
            assert number == last
        bot.kill()
    assert last >= KILLS
    ship(path, central.writer)
    assert central.stored() == local(path)


def test_two_shippers_at_once_are_harmless(central, path):
    """Four that ship the same runs at the same time store each event once, and none of them fails."""
    for _ in range(3):
        fill(path, 60)
    failures = []
    barrier = threading.Barrier(4)

    def one():
        try:
            with shipper(path, central.writer, batch=3) as own:
                barrier.wait()
                own.ship()
        except Exception as error:  # noqa: BLE001 - any of them is one too many
            failures.append(error)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert central.stored() == local(path)


def test_of_those_that_follow_one_ships(central, path):
    """A second shipper of the same journal waits, and takes over when the first ends."""
    fill(path, 5)
    with followed(path, central.writer) as first:
        until(lambda: first.events)
        with followed(path, central.writer) as second:
            until(lambda: second.waits)
            fill(path, 5)
            until(lambda: central.count() == len(local(path)))
            assert second.events == 0
    with followed(path, central.writer) as third:
        fill(path, 5)
        until(lambda: third.events)
    assert central.stored() == local(path)


def test_an_outage_costs_nothing_but_lag(server, central, path, monkeypatch):
    """While the server is down events stay and the lag grows; soon after it is back all are there, once."""
    monkeypatch.setattr(follow, "FIRST_PAUSE_S", 0.1)
    monkeypatch.setattr(follow, "LONGEST_PAUSE_S", 0.5)
    fill(path, 10)
    with followed(path, central.writer) as told:
        until(lambda: told.events)
        server.stop()
        try:
            for _ in range(3):
                fill(path, 10)
            until(lambda: len(told.failures) > 2)
            with shipper(path, central.writer) as own:
                lag = own.lag()
            with pytest.raises(UnreachableError, match="cannot be reached"):
                ship(path, central.writer)
        finally:
            server.start()
        assert lag.events == len(local(path)) - told.events
        assert lag.seconds > 0
        until(lambda: central.count() == len(local(path)))
    assert central.stored() == local(path)
    pauses = [pause for _, pause in told.failures]
    assert pauses[0] < pauses[1] < 1


def test_sessions_that_are_cut_are_made_again(server, central, path, monkeypatch):
    """A failover that ends every session, again and again, loses and doubles nothing."""
    monkeypatch.setattr(follow, "LONGEST_PAUSE_S", 0.5)
    with followed(path, central.writer) as told:
        for _ in range(5):
            fill(path, 30)
            until(lambda: central.rows("SELECT 1 FROM pg_stat_activity WHERE usename = 'writer'"))
            server.kill_sessions()
        until(lambda: central.count() == len(local(path)))
    assert told.failures
    assert central.stored() == local(path)


class Cutting:
    """Between a shipper and the server; of one COMMIT the answer is swallowed, and the connection cut."""

    def __init__(self, port):
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.cut = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
                for one, other in ((client, server), (server, client)):
                    threading.Thread(
                        target=self._pump, args=(one, other, client, server), daemon=True
                    ).start()

    def _pump(self, source, sink, client, server):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if source is client and b"COMMIT\x00" in data and not self.cut.is_set():
                    self.cut.set()
                    client.shutdown(socket.SHUT_RDWR)
                    server.sendall(data)
                    time.sleep(0.3)
                    break
                sink.sendall(data)
        for one in (client, server):
            one.close()

    def close(self):
        self._listener.close()


def test_a_commit_whose_answer_is_lost(server, central, path):
    """What was stored though the shipper could not hear of it is not sent again."""
    fill(path, 20)
    with contextlib.closing(Cutting(server.port)) as between:
        through = central.writer.replace(f":{server.port}/", f":{between.port}/")
        with shipper(path, through, batch=10) as own:
            with pytest.raises(UnreachableError):
                own.ship()
            until(lambda: central.count() == 10)
            assert own.ship() == len(local(path)) - 10
    assert central.stored() == local(path)


def test_a_database_set_back_to_an_older_state_is_filled_again(central, path):
    """What a restored backup has not got is sent again, from the journal."""
    fill(path, 20)
    fill(path, 20)
    ship(path, central.writer)
    (older, newer) = (run.run_id for run in JournalReader(path).read_runs())
    central.run(f"DELETE FROM exit_shim.events WHERE run_id = '{older}' AND pos > 10")
    central.run(f"DELETE FROM exit_shim.events WHERE run_id = '{newer}'")
    central.run(f"DELETE FROM exit_shim.runs WHERE run_id = '{newer}'")
    ship(path, central.writer)
    assert central.stored() == local(path)


def test_months_that_were_dropped_by_rule_are_not_sent_again(central, path):
    """A run that is known there and has no events any more is left as it is."""
    fill(path, 20)
    ship(path, central.writer)
    central.run("DELETE FROM exit_shim.events")
    assert ship(path, central.writer) == 0


def test_a_run_that_the_database_does_not_take_holds_up_no_other(central, path):
    """An event with a character that PostgreSQL has not keeps its run here; the other runs go on."""
    bad, good = fill(path, 5), fill(path, 5)
    with contextlib.closing(sqlite3.connect(path)) as own, own:
        own.execute("UPDATE events SET body = body || char(0) WHERE seq = 3 AND run = 1")
    with pytest.raises(PostgresError, match=f"run {bad}"):
        ship(path, central.writer)
    assert {row[0] for row in central.stored()} == {good}


def test_a_run_that_is_not_taken_is_told_once_and_the_others_go_on_at_once(central, path):
    """A follower says it, and does not keep the other runs waiting for it."""
    fill(path, 5)
    with contextlib.closing(sqlite3.connect(path)) as own, own:
        own.execute("UPDATE events SET body = body || char(0) WHERE seq = 3")
    with followed(path, central.writer) as told:
        until(lambda: told.failures)
        good = fill(path, 5)
        until(lambda: {row[0] for row in central.stored()} == {good})
    assert len(told.failures) == 1


def test_many_runs_take_turns(central, path):
    """A run with much to ship does not keep a short one waiting to its end."""
    fill(path, 40)
    short = fill(path, 2)
    order = []
    with shipper(path, central.writer, batch=5) as own:
        own.ship(lambda: order.append({row[0] for row in central.stored()}) or len(order) > 1)
    assert short in order[-1]
    assert central.count() == 10


def test_a_run_that_was_pruned_before_is_shipped_from_there(central, path):
    """Where the journal's beginning is gone, the chain in the database begins behind it, and holds."""
    run_id = fill(path, 20)
    with contextlib.closing(sqlite3.connect(path)) as own, own:
        (link,) = own.execute("SELECT link FROM events WHERE pos = 10").fetchone()
        own.execute("DELETE FROM events WHERE pos <= 10")
        own.execute("UPDATE runs SET pruned_pos = 10, pruned_head = ?", (link,))
    ship(path, central.writer)
    (run,) = PostgresReader(central.reader).read_runs()
    assert (run.pruned_pos, run.pruned_head) == (10, link)
    assert verify_run(run, PostgresReader(central.reader).read_events(run_id=run_id)) is None


def test_nothing_is_pruned_that_is_not_shipped(server, central, path):
    """From the first attempt on, reachable or not, what the database has not got stays in the journal."""
    from exit_shim.journal import prune  # noqa: PLC0415

    fill(path, 20)
    server.stop()
    try:
        with followed(path, central.writer) as told:
            until(lambda: told.failures)
    finally:
        server.start()
    far = time.time_ns() + 10**15
    assert prune(path, before_ns=far).events == 0
    Outbox(path, "postgresql://given-up:5432/d").save_positions({})
    ship(path, central.writer)
    assert prune(path, before_ns=far).events == 0
    command = [sys.executable, "-m", "exit_shim", "ship", "--forget", "--to", "postgresql://u@given-up/d"]
    subprocess.run(command, check=True, env={**os.environ, "EXIT_SHIM_JOURNAL": str(path)})
    assert prune(path, before_ns=far).events > 0
    assert ship(path, central.writer) == 0


def test_there_is_no_journal_yet(central, path):
    """A shipper that follows waits for a journal; one that ships once says that there is none."""
    with pytest.raises(JournalError, match="there is no journal"):
        ship(path, central.writer)
    with followed(path, central.writer) as told:
        fill(path, 5)
        until(lambda: told.events)
    assert told.failures == []
    assert central.stored() == local(path)


def test_a_shipper_that_is_told_to_stop_ends_in_good_order(central, path):
    """SIGTERM ends the command between two batches, with status 0."""
    fill(path, 5)
    command = [sys.executable, "-m", "exit_shim", "ship"]
    environment = {**os.environ, "EXIT_SHIM_JOURNAL": str(path), "EXIT_SHIM_SHIP_TO": central.writer}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as own:
        until(lambda: central.count() == len(local(path)))
        own.send_signal(signal.SIGTERM)
        said, _ = own.communicate(timeout=60)
    assert own.returncode == 0
    assert f"shipped {central.count()} events; lag 0 events, 0.0 s" in said


def test_a_character_that_the_database_cannot_take_stops_no_run(central, path):
    """An order whose symbol has a NUL in it is stored to the byte, and what follows it is too."""
    with contextlib.closing(Journal(path)) as journal:
        journal.append(intent(1, order=ExitOrder(kind="sl", symbol="BTC\0", client_order_id="a\0")))
        journal.append(intent(2))
    ship(path, central.writer)
    assert central.stored() == local(path)
    symbols = [record.intent.order.symbol for record in PostgresReader(central.reader).read_records()]
    assert symbols == ["BTC\0", "BTCUSDT"]
