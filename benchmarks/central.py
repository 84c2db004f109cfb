"""What questions cost a PostgreSQL of many events: `python benchmarks/central.py [--events N] [--json]`.

Starts a PostgreSQL of its own with fsync on, and writes N events with SQL as a year of busy bots would have
them (six modules, 120 places, 200 symbols, one order in a thousand in doubt, one in a hundred a cancel of
another module's). Then it asks what the commands ask, through `PostgresReader`, each question three times.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import psycopg

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "integration" / "sinks" / "postgres"))

from made import Database
from servers import Server

from exit_shim.journal import RecordFilter
from exit_shim.sinks.postgres import Dsn, migrate, triggers
from exit_shim.sinks.postgres.queries import PostgresReader

AT_ONCE = 20_000
"""Orders in one statement."""

YEAR_NS = 365 * 24 * 3600 * 1_000_000_000
HOUR_NS = 3600 * 1_000_000_000

RUN = """
INSERT INTO exit_shim.runs
VALUES (%(run)s::text, 'host-' || %(number)s::int %% 8, 1, %(began)s::bigint, '{}', 0, '')
"""

ORDERS = """
WITH orders AS (
    SELECT n, %(began)s::bigint + n * %(step)s::bigint AS ts, 'module_' || n %% 6 AS module, n %% 20 AS line,
        CASE WHEN n %% 100 = 0 THEN 'cancel' ELSE 'place' END AS operation,
        (ARRAY['sl', 'tp', 'trailing'])[1 + n %% 3] AS kind, 'COIN' || n %% 200 || 'USDT' AS symbol,
        CASE WHEN n %% 20 = 7 THEN ARRAY['OWNERSHIP_CONFLICT'] END AS reasons,
        CASE WHEN n %% 100000 = 1 THEN 'rejected' WHEN n %% 1000 = 0 THEN 'unknown' ELSE 'accepted' END
            AS result
    FROM generate_series(%(first)s::bigint, %(last)s) AS n
)
"""

FILL = (
    ORDERS
    + """
, rows AS (
    SELECT 2 * n AS seq, ts, 'intent' AS event, NULL AS about, format(
        '{"ts":%%s,"door":"futures_create_order","operation":"%%s","order":{"kind":"%%s","symbol":"%%s",'
        '"side":"SELL","type":"STOP_MARKET","quantity":"0.01","trigger_price":"50000.0","reduce_only":true,'
        '"client_order_id":"x-Cb7ytekJ%%s"},"attribution":{"module":"%%s","evidence":"stack",'
        '"dotted_module":"backend.services.%%s","function":"Manager.adjust","line":%%s,'
        '"file":"/bot/backend/services/%%s.py","chain":[["backend.services.%%s","chosen","Manager.adjust",%%s]]},'
        '"mode":"LEGACY","account":"key-%%s"%%s}',
        ts, operation, kind, symbol, n, module, module, line, module, module, line, n %% 8,
        CASE WHEN reasons IS NULL THEN ''
        ELSE ',"verdict":{"action":"warn","reasons":[{"code":"OWNERSHIP_CONFLICT"}]}' END
    ) AS body, n, module, line, operation, kind, symbol, reasons, result
    FROM orders
    UNION ALL
    SELECT 2 * n + 1, ts + 1000000, 'outcome', %(run)s::text || ':' || 2 * n, format(
        '{"result":"%%s","algo_id":%%s,"client_order_id":"x-Cb7ytekJ%%s","presend_us":%%s,"total_us":%%s,'
        '"chain":[["backend.part","outer","run",1],["backend.main","outer","main",2]]}',
        result, 4000000000000000 + n, n, 10 + n %% 90, 1000 + n %% 90000
    ), n, module, line, operation, kind, symbol, reasons, result
    FROM orders
)
INSERT INTO exit_shim.events (
    at, run_id, seq, pos, ts, event, about, body, link, about_run, about_seq, host, account, module, symbol,
    operation, kind, function, place, via, evidence, mode, conflict, result, names, stack, site, reasons,
    victims, before_ns, total_ns
)
SELECT
    'epoch'::timestamptz + rows.ts / 1000 * interval '1 microsecond', %(run)s::text, seq, seq, rows.ts, event,
    about, body, '\\x00000000000000000000000000000000',
    CASE event WHEN 'outcome' THEN %(run)s::text END, CASE event WHEN 'outcome' THEN 2 * n END,
    'host-' || %(number)s::int %% 8, CASE event WHEN 'intent' THEN 'key-' || n %% 8 END,
    CASE event WHEN 'intent' THEN module END, CASE event WHEN 'intent' THEN symbol END,
    CASE event WHEN 'intent' THEN operation END, CASE event WHEN 'intent' THEN kind END,
    'Manager.adjust', module || '.py:' || line, '', 'stack', 'LEGACY',
    CASE event WHEN 'intent' THEN reasons IS NOT NULL END, CASE event WHEN 'outcome' THEN result END,
    CASE event WHEN 'intent' THEN ARRAY['x-Cb7ytekJ' || n]
        ELSE ARRAY[(4000000000000000 + n)::text, 'x-Cb7ytekJ' || n] END,
    CASE event WHEN 'intent' THEN line ELSE 7 END,
    md5(module || operation || kind || line)::uuid, CASE event WHEN 'intent' THEN reasons END,
    CASE WHEN event = 'intent' AND operation = 'cancel' THEN ARRAY['module_' || (n + 1) %% 6] END,
    CASE event WHEN 'outcome' THEN (10 + n %% 90) * 1000 END,
    CASE event WHEN 'outcome' THEN (1000 + n %% 90000) * 1000 END
FROM rows ORDER BY seq
"""
)


STATES = (
    ORDERS
    + """
, sites AS (
    INSERT INTO exit_shim.sites
    SELECT DISTINCT md5(module || operation || kind || line)::uuid, module, operation, kind, 'Manager.adjust',
        module || '.py:' || line, '', 'stack'
    FROM orders ON CONFLICT DO NOTHING
)
INSERT INTO exit_shim.order_states
SELECT
    'epoch'::timestamptz + ts / 1000 * interval '1 microsecond', %(run)s::text, 2 * n, ts,
    md5(module || operation || kind || line)::uuid, module, 'host-' || %(number)s::int %% 8,
    'key-' || n %% 8, symbol, 'LEGACY', reasons IS NOT NULL,
    CASE result WHEN 'unknown' THEN 'in doubt' ELSE result END, result, (10 + n %% 90) * 1000,
    (1000 + n %% 90000) * 1000, reasons,
    CASE WHEN operation = 'cancel' THEN ARRAY['module_' || (n + 1) %% 6] END, line, 7, 2 * n + 1,
    'epoch'::timestamptz + (ts + 1000000) / 1000 * interval '1 microsecond'
FROM orders ORDER BY n
"""
)

ALL = "(SELECT 1 AS sign, true AS is_concluded, own FROM exit_shim.order_states AS own) AS changes"


def fill(central, events, began):
    """Write the events in runs of a million; return the seconds that this took."""
    orders, begun = events // 2, time.monotonic()
    with psycopg.connect(central.admin, autocommit=True) as connection:
        # Counted at once at the end, which gives the same and takes less time.
        connection.execute("ALTER TABLE exit_shim.events DISABLE TRIGGER roll_up")
        for first in range(0, orders, AT_ONCE):
            number = first // 500_000
            values = {"run": f"run-{number:04}", "number": number, "began": began}
            if first % 500_000 == 0:
                connection.execute(RUN, values)
            last = min(first + AT_ONCE, orders) - 1
            for statement in (FILL, STATES):
                connection.execute(
                    statement, {**values, "first": first, "last": last, "step": YEAR_NS // orders}
                )
        connection.execute("ANALYZE")
        for statement in (*triggers.COUNT.split(";")[:-1], triggers.ADD_STACKS.rstrip().rstrip(";")):
            of_all = statement.replace("unnest(changes)", ALL).replace(
                "FROM arrived", "FROM exit_shim.events"
            )
            connection.execute(of_all)
        connection.execute("ALTER TABLE exit_shim.events ENABLE TRIGGER roll_up")
        took = time.monotonic() - begun
        connection.execute("VACUUM (ANALYZE)")
    return took


def questions(reader, now):
    """What is measured, by name."""

    def records(**wanted):
        return lambda: list(reader.read_records(RecordFilter(**wanted)))

    return {
        "what `summary` asks": lambda: (
            reader.read_counts(),
            reader.read_stacks(),
            reader.read_episodes(),
            reader.read_runs(),
            reader.count_lost(),
            reader.read_fights(),
            reader.read_finding_counts(),
        ),
        "counts": reader.read_counts,
        "counts since 8,000 h and a bit ago": lambda: reader.read_counts(since_ns=now - 8000 * HOUR_NS - 7),
        "counters": reader.read_counters,
        "fights": reader.read_fights,
        "fights between two odd moments": lambda: reader.read_fights(
            since_ns=now - 3000 * HOUR_NS - 7, until_ns=now - 700 * HOUR_NS + 7
        ),
        "findings": reader.read_finding_counts,
        "latencies": reader.read_latencies,
        "last seen": reader.read_last_seen,
        "stacks": reader.read_stacks,
        "the newest 50": records(limit=50),
        "the newest 50 of a module": records(limit=50, module="module_3"),
        "the newest 50 of a symbol": records(limit=50, symbol="COIN7USDT"),
        "the newest 50 of an account": records(limit=50, account="key-3"),
        "the newest 50 of a host": records(limit=50, host="host-0"),
        "the newest 50 of a kind": records(limit=50, kind="tp"),
        "the newest 50 accepted": records(limit=50, outcome="accepted"),
        "the newest 50 rejected": records(limit=50, outcome="rejected"),
        "the newest 50 in doubt": records(limit=50, in_doubt=True),
        "the newest 50 with a reason": records(limit=50, reason="OWNERSHIP_CONFLICT"),
        "the newest 50 with a reason that is not there": records(limit=50, reason="NOTHING"),
        "records since 2 h": records(since_ns=now - 2 * HOUR_NS),
        "records of a module since a day": records(since_ns=now - 24 * HOUR_NS, module="module_3"),
        "an order by its id": records(named=str(4_000_000_000_012_345)),
        "values of all fields": lambda: [
            reader.read_values(field)
            for field in ("module", "symbol", "host", "account", "kind", "outcome", "reason")
        ],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--events", type=int, default=1_000_000)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="exit-shim-pg-"))
    try:
        server = Server(folder, "-c fsync=on -c max_wal_size=4GB")
        try:
            figures = measure(server, options.events)
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(figures, indent=None if options.json else 2))


def measure(server, events):
    server.admin("CREATE DATABASE bench ENCODING 'UTF8' TEMPLATE template0")
    central, now = Database(server, "bench"), datetime.now(timezone.utc)
    for moment in (now - timedelta(days=365), now):
        migrate(Dsn(central.admin), moment)
    now_ns = time.time_ns()
    took = fill(central, events, now_ns - YEAR_NS)
    ((size,),) = central.rows("SELECT pg_database_size('bench')")
    answers = {}
    for name, ask in questions(PostgresReader(central.admin), now_ns).items():
        times = []
        for _ in range(3):
            begun = time.monotonic()
            ask()
            times.append(time.monotonic() - begun)
        answers[name] = {"first_s": round(times[0], 3), "best_s": round(min(times), 3)}
    return {"events": events, "filled_in_s": took, "bytes_an_event": size / events, **answers}


if __name__ == "__main__":
    main()
