"""Written down first: the intent is in the journal's files when the exchange gets the request."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from client_drivers import DRIVERS, is_there
from client_drivers.driver import Ids
from promise_worlds import AMENDED, RecordingServer
from repository import SUPPORT

import exit_shim
from exit_shim.journal import read_records


class Witness:
    """Looks into the journal's files whenever an order arrives."""

    def __init__(self, folder):
        self._folder = folder
        self.written = []

    def look(self, _request=None):
        """Note what is new in the files since the last look."""
        # Twice, since what is in a file of the run moves to the database meanwhile.
        self.written.append(read_all(self._folder) + read_all(self._folder))


def read_all(folder):
    """Return the bytes of all files below a folder."""
    found = []
    for file in sorted(folder.rglob("*")):
        with contextlib.suppress(OSError):
            found.append(file.read_bytes())
    return b"".join(found)


def test_the_intent_is_there_when_the_request_arrives(name, way, new_driver, exchange, tmp_path, recorded):
    """At the moment when the exchange reads a request, files hold its intent, and no outcome of it yet."""
    witness = Witness(tmp_path)
    with RecordingServer(exchange, witness.look) as server:
        driver = new_driver(server.url)
        if driver.by_websocket:
            pytest.skip("the server that looks speaks HTTP; the kill below has orders by WebSocket too")
        driver.call("open_position")
        driver.cover(way, exit_shim)
        words = [
            ("place_stop", 50_123),
            ("place_limit_exit", "65001"),
            (
                "batch",
                [{**AMENDED, "type": "LIMIT", "timeInForce": "GTC", "price": "66789", "reduceOnly": "true"}],
            ),
            ("cancel", Ids(987_654, None, None)),
            ("market_close",),
        ]
        for word, *args in words:
            del witness.written[:]
            driver.attempt(word, *args)
            arrival = witness.written[0]
            mark = str(args[0] if args and not isinstance(args[0], (list, Ids)) else "")
            mark = {"batch": "66789", "cancel": "987654", "market_close": "MARKET"}.get(word, mark)
            assert mark.encode() in arrival, word
    assert len(recorded()) == len(words)


BOT = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
import exit_shim
from client_drivers import make_driver
names, urls, folder = json.loads(sys.argv[2])
drivers = {name: make_driver(name) for name in names}  # what takes long is imported once
for number, name in enumerate(names):
    child = os.fork()
    if not child:
        driver = drivers[name]
        way = "raw" if name.startswith("raw_") else "wrap"
        shim = exit_shim.ExitShim(journal=f"{folder}/{name}.db", sinks=[], resolve=False)
        driver.connect(urls[number], "local-key", "local-secret")
        driver.cover(way, shim)
        driver.call("place_stop", 50_123)
        os._exit(3)  # it must have been killed
    print(json.dumps([name, os.waitpid(child, 0)[1]]), flush=True)
"""


@pytest.fixture(scope="module")
def killed(shared_exchange, tmp_path_factory):
    """Have a bot of each library killed while the exchange reads its stop; return each end and the folder."""
    folder = tmp_path_factory.mktemp("killed")
    names = [name for name in DRIVERS if is_there(name)]
    shared_exchange.reset()
    asked = json.dumps([names, [shared_exchange.url] * len(names), str(folder)])
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", BOT, str(SUPPORT), asked], stdout=subprocess.PIPE, text=True
    ) as process:
        killer = Killer(shared_exchange, process.pid)
        ends = dict(json.loads(line) for line in process.stdout)
        killer.stop()
    return ends, folder, killer.arrived


class Killer:
    """Kills the children of a process as soon as an order of theirs arrives."""

    def __init__(self, exchange, parent):
        self._exchange, self._parent = exchange, parent
        self._act = exchange.service.act
        self.arrived = []
        exchange.service.act = self._kill_first

    def _kill_first(self, arrival):
        if arrival.request.method == "POST" or "algoOrder" in arrival.request.path:
            children = Path(f"/proc/{self._parent}/task/{self._parent}/children").read_text().split()
            self.arrived.append(dict(arrival.request.params))
            for child in children:
                os.kill(int(child), signal.SIGKILL)
        return self._act(arrival)

    def stop(self):
        """Let the exchange act as ever."""
        self._exchange.service.act = self._act


@pytest.mark.xdist_group("promises: killed")
def test_a_kill_in_the_send_leaves_the_intent(library, killed):
    """A bot that is killed with -9 while the exchange has its stop leaves the record of it, in doubt."""
    ends, folder, _ = killed
    if library not in ends:
        pytest.skip("its library is not installed")
    assert os.WTERMSIG(ends[library]) == signal.SIGKILL
    (record,) = read_records(folder / f"{library}.db")
    row = record.flat()
    assert (row["outcome"], row["kind"], row["operation"]) == (None, "sl", "place")
    assert float(row["trigger_price"]) == 50_123
