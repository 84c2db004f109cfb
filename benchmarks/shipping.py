"""What a PostgreSQL takes, what shipping costs a bot: `python benchmarks/shipping.py [--json] [--events N]`.

Starts a PostgreSQL of its own with fsync on, as `tests/integration/sinks/postgres` does, and eight processes
besides: all of them share this machine's cores, so what is measured is less than a server on a machine of its
own takes.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import psycopg

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "integration" / "sinks" / "postgres"))

from made import Database
from servers import Server

from exit_shim.sinks.postgres import Dsn, migrate

PROCESSES = 8
PACE_S = 0.01
LIVE_S = 20
ROUNDS = 15
ORDERS_A_ROUND = 300

FILL = """
import sys
import exit_shim
class Client:
    def futures_create_order(self, **params):
        return {"orderId": 1}
shim = exit_shim.ExitShim(journal=sys.argv[1], ship_to=False, sinks=[])
client = exit_shim.wrap(Client(), shim=shim)
for _ in range(int(sys.argv[2])):
    client.futures_create_order(
        symbol="BTCUSDT", side="SELL", type="STOP_MARKET", stopPrice=50000.0, quantity=0.01, reduceOnly=True
    )
shim.close()
"""

DRAIN = """
import sys, time
from pathlib import Path
from exit_shim.sinks.postgres import Dsn, Outbox, Shipper
address = Dsn(sys.argv[2])
shipper = Shipper(Outbox(Path(sys.argv[1]), address.name), address)
print("ready", flush=True)
sys.stdin.readline()
begun = time.time()
events = shipper.ship()
print(events, begun, time.time(), flush=True)
"""

BOT = """
import json, sys, time
import exit_shim
class Client:
    def futures_create_order(self, **params):
        return {"orderId": 1}
shim = exit_shim.ExitShim(journal=sys.argv[1], ship_to=sys.argv[2] or False, sinks=[])
client = exit_shim.wrap(Client(), shim=shim)
pace, orders, taken = float(sys.argv[3]), int(sys.argv[4]), []
for _ in range(orders):
    time.sleep(pace)
    begun = time.perf_counter_ns()
    client.futures_create_order(
        symbol="BTCUSDT", side="SELL", type="STOP_MARKET", stopPrice=50000.0, quantity=0.01, reduceOnly=True
    )
    taken.append(time.perf_counter_ns() - begun)
print(json.dumps(taken), flush=True)
sys.stdin.readline()
shim.close()
"""


def python(script, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(process):
    process.communicate("\n")


def drained(folder, central, events):
    """Eight journals of so many events each, shipped at once by a process each: events a second in all."""
    journals = [folder / f"drained-{number}.db" for number in range(PROCESSES)]
    for filling in [python(FILL, path, events // 2) for path in journals]:
        filling.wait()
    shippers = [python(DRAIN, path, central.writer) for path in journals]
    for own in shippers:
        own.stdout.readline()
    for own in shippers:
        own.stdin.write("\n")
        own.stdin.flush()
    found = [[float(word) for word in own.communicate()[0].split()] for own in shippers]
    shipped = sum(number for number, _, _ in found)
    assert shipped == central.count()
    return shipped / (max(end for *_, end in found) - min(begun for _, begun, _ in found))


def bytes_an_event(central):
    ((size, heap, number),) = central.rows(
        "SELECT sum(pg_total_relation_size(inhrelid)), sum(pg_relation_size(inhrelid)), "
        "(SELECT count(*) FROM exit_shim.events) FROM pg_inherits "
        "WHERE inhparent = 'exit_shim.events'::regclass"
    )
    return {"with indexes": float(size / number), "rows alone": float(heap / number)}


def live(folder, central):
    """Eight bots that place an order each 10 ms and ship themselves: events a second, how late they are."""
    orders = int(LIVE_S / PACE_S)
    before = central.count()
    bots = [
        python(BOT, folder / f"live-{number}.db", central.writer, PACE_S, orders)
        for number in range(PROCESSES)
    ]
    begun, lags = time.time(), []
    with psycopg.connect(central.admin, autocommit=True) as connection:
        while time.time() - begun < LIVE_S:
            time.sleep(1)
            (latest,) = connection.execute("SELECT max(ts) FROM exit_shim.events").fetchone()
            lags.append(time.time() - latest / 1e9)
        (stored,) = connection.execute("SELECT count(*) FROM exit_shim.events").fetchone()
    took = time.time() - begun
    for own in bots:
        own.stdout.readline()
    time.sleep(2)
    expected = PROCESSES * (2 * orders + 1)
    missing = expected - (central.count() - before)
    for own in bots:
        finish(own)
    return {
        "events a second": (stored - before) / took,
        "median lag of the latest, s": statistics.median(lags[3:]),
        "not there 2 s after the last order": missing,
    }


def cost(folder, central):
    """What an order takes in a bot that ships itself, beside one that does not: medians, taken in turn."""
    taken = {"without": [], "in-process": []}
    for number in range(ROUNDS):
        for name, dsn in (("without", ""), ("in-process", central.writer)):
            own = python(BOT, folder / f"cost-{name}-{number}.db", dsn, 0.005, ORDERS_A_ROUND)
            taken[name] += json.loads(own.stdout.readline())[20:]
            finish(own)
    figures = {}
    for name, values in taken.items():
        cuts = statistics.quantiles(values, n=100)
        figures[name] = {"median_us": cuts[49] / 1000, "p99_us": cuts[98] / 1000}
    for what in ("median_us", "p99_us"):
        figures[f"{what} ratio"] = figures["in-process"][what] / figures["without"][what]
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--events", type=int, default=40_000, help="events in each of the eight journals")
    options = parser.parse_args()
    os.environ.pop("EXIT_SHIM_SHIP_TO", None)
    cluster, folder = (Path(tempfile.mkdtemp(prefix=f"exit-shim-{name}-")) for name in ("pg", "bench"))
    try:
        server = Server(cluster, "-c fsync=on -c max_wal_size=4GB")
        try:
            figures = measure(server, folder, options.events)
        finally:
            server.stop()
    finally:
        for path in (cluster, folder):
            shutil.rmtree(path, ignore_errors=True)
    print(json.dumps(figures, indent=None if options.json else 2))


def measure(server, folder, events):
    server.admin("CREATE DATABASE bench ENCODING 'UTF8' TEMPLATE template0")
    central = Database(server, "bench")
    migrate(Dsn(central.admin))
    server.admin("CREATE ROLE writer LOGIN PASSWORD 'pLaNtEd-Writer-Pa55' IN ROLE exit_shim_writer")
    return {
        "events a second, eight shippers at once": drained(folder, central, events),
        "bytes an event": bytes_an_event(central),
        "eight bots, 100 orders a second each": live(folder, central),
        "an order in a bot that ships": cost(folder, central),
    }


if __name__ == "__main__":
    main()
