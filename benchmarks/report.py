"""What `exit-shim report` costs over many events: `python benchmarks/report.py [--events N] [--json]`.

The example bot runs once on a local exchange, with its account watched by stream and poller. What its
journal then has is written again and again, with other ids, times, runs and ten times the symbols, until
there are N events in 30 days; with --orders-only, without what the exchange told. Then `exit-shim report`
runs over them and, as its yardstick, `exit-shim records --json`, each in a process of its own. The budgets
are twice the CPU time of the yardstick, and 500 MB.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from exit_shim.journal import JournalReader
from exit_shim.journal.database import checkpoint, open_writer
from exit_shim.journal.ingest import RunOrigin, ingest, transaction

BOT = Path(__file__).parents[1] / "examples" / "legacy_bot"

DRIVER = f"""
import runpy, sys, time
sys.path.insert(0, {str(BOT)!r})
from binance.client import Client
import exit_shim
from backend import config
config.PAUSE = 0.25
exit_shim.watch(Client(ping=False), every=1.0, stream=True)
time.sleep(1)
runpy.run_path({str(BOT / "main.py")!r}, run_name="__main__")
time.sleep(1.5)
"""

MONTH_NS = 30 * 24 * 3600 * 1_000_000_000
TIMES_THE_SYMBOLS = 10
RUNS_AT_ONCE = 50
RATIO, MEGABYTES = 2.0, 500

TIME = re.compile(r"\b1[78]\d{17}\b")
ORDER_ID = re.compile(r"\b(4\d{15}|3\d{10})\b")
NAME = re.compile(r"x-Cb7ytekJ[0-9a-f]{8}")
SYMBOL = re.compile(r"\b(BTC|ETH|SOL)USDT\b")


def live(folder):
    """Run the example bot; return the run's id and its events."""
    driver, path = folder / "bot.py", folder / "one.db"
    driver.write_text(DRIVER)
    subprocess.run(
        [sys.executable, "-m", "exit_shim", "run", "--local", str(driver)],
        env={**os.environ, "EXIT_SHIM_JOURNAL": str(path)},
        capture_output=True,
        check=True,
        cwd=BOT,
    )
    reader = JournalReader(path)
    return reader.read_runs()[0].run_id, [stored.line for stored in reader.read_events()]


def again(lines, run_id, number, shift_ns):
    """Return the events as another run would have them, with ids, times and symbols of its own."""

    def moved(body):
        body = TIME.sub(lambda found: str(int(found[0]) + shift_ns), body)
        body = ORDER_ID.sub(lambda found: str(int(found[0]) + 1_000 * number), body)
        body = NAME.sub(lambda found: f"x-Cb7ytekJ{number:08x}", body)
        return SYMBOL.sub(lambda found: f"{found[1]}{number % TIMES_THE_SYMBOLS}USDT", body)

    for line in lines:
        about = None if line.about is None else line.about.replace(run_id, name_of(number))
        yield line._replace(ts=line.ts + shift_ns, about=about, body=moved(line.body))


def name_of(number):
    """The id of a run."""
    return f"run-{number:06}"


def fill(path, events, folder, *, orders_only):
    """Write the journal by the path that all events take into it."""
    run_id, lines = live(folder)
    if orders_only:
        lines = [line for line in lines if line.event not in {"position_seen", "exchange_update"}]
    runs = events // len(lines)
    begin_ns = time.time_ns() - MONTH_NS - lines[0].ts
    connection = open_writer(path)
    for first in range(0, runs, RUNS_AT_ONCE):
        with transaction(connection):
            for number in range(first, min(first + RUNS_AT_ONCE, runs)):
                moved = list(again(lines, run_id, number, begin_ns + MONTH_NS * number // runs))
                ingest(connection, RunOrigin(name_of(number), moved[0].ts, moved[0].body), moved)
        checkpoint(path)
    connection.close()


def run(path, words):
    """Seconds of wall clock and of CPU, and megabytes, that a command takes."""
    begun = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "exit_shim", *words],
        env={**os.environ, "EXIT_SHIM_JOURNAL": str(path)},
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert not process.returncode, words
    return time.monotonic() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--events", type=int, default=1_000_000)
    options.add_argument("--journal", type=Path, help="fill this journal, or use it where it is there")
    options.add_argument("--pairs", type=int, default=3)
    options.add_argument("--orders-only", action="store_true")
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path, page = chosen.journal or Path(folder) / "journal.db", Path(folder) / "exits.html"
        if not path.exists():
            fill(path, chosen.events, Path(folder), orders_only=chosen.orders_only)
        pairs = [
            (run(path, ["records", "--json"]), run(path, ["report", "-o", str(page)]))
            for _ in range(chosen.pairs)
        ]
        (wall, yardstick, _), (report_wall, report, megabytes) = pairs[-1]
        found = {
            "records --json": {"seconds": wall, "cpu_seconds": yardstick},
            "report": {"seconds": report_wall, "cpu_seconds": report, "megabytes": megabytes},
            "ratio": statistics.median(drawn[1] / listed[1] for listed, drawn in pairs),
            "page_megabytes": page.stat().st_size / 1e6,
        }
    if chosen.json:
        print(json.dumps(found))
    else:
        print(f"records --json   {wall:6.1f} s, {yardstick:6.1f} s of CPU")
        print(f"report           {report_wall:6.1f} s, {report:6.1f} s of CPU, {megabytes:.0f} MB")
        print(
            f"the page has {found['page_megabytes']:.1f} MB; CPU ratio {found['ratio']:.2f}, budget {RATIO}"
        )
    sys.exit(found["ratio"] > RATIO or megabytes > MEGABYTES)


if __name__ == "__main__":
    main()
