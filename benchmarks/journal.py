"""What questions cost a journal of many events: `python benchmarks/journal.py [--events N] [--json]`.

It writes N events as a year of a busy bot would have them (six modules, 120 places, 200 symbols, one order
in a thousand in doubt), and then asks what the commands ask, by the commands themselves, each in a process of
its own. The budget is one second an answer, beyond what a command takes that asks nothing.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from exit_shim.domain.attributions import Attribution, Step
from exit_shim.domain.events import Intent, Outcome
from exit_shim.domain.orders import ExitOrder
from exit_shim.domain.verdicts import Reason, Verdict
from exit_shim.journal.database import checkpoint, open_writer
from exit_shim.journal.ingest import RunOrigin, ingest, transaction
from exit_shim.journal.line_format import Line

YEAR_NS = 365 * 24 * 3600 * 1_000_000_000
BUDGET_S = 1.0
CONFLICT_LINE = 7
LINES_AT_ONCE = 20_000
RUNS = 365

encode = msgspec.json.Encoder().encode


def order_of(number, ts, dice):
    """One order and its outcome, as JSON."""
    module = f"module_{dice.randrange(6)}"
    line = dice.randrange(20)
    intent = Intent(
        ts=ts,
        door="futures_create_order",
        operation="place",
        order=ExitOrder(
            kind=dice.choice(("sl", "tp", "trailing")),
            symbol=f"COIN{dice.randrange(200)}USDT",
            side="SELL",
            type="STOP_MARKET",
            trigger_price="50000.0",
            quantity="0.01",
            reduce_only=True,
            client_order_id=f"x-Cb7ytekJ{number:022x}",
        ),
        attribution=Attribution(
            module=module,
            evidence="stack",
            dotted_module=f"backend.services.{module}",
            function="Manager.adjust",
            file=f"/bot/backend/services/{module}.py",
            line=line,
            chain=(Step(f"backend.services.{module}", "chosen", "Manager.adjust", line),),
        ),
        mode="LEGACY",
        account="key-0a1b2c3d",
        verdict=Verdict("warn", (Reason("OWNERSHIP_CONFLICT", {"module": module}),))
        if line == CONFLICT_LINE
        else Verdict(),
    )
    outcome = "unknown" if number % 1000 == 0 else "accepted"
    outcome = Outcome(
        outcome,
        algo_id=4_000_000_000_000_000 + number,
        client_order_id=intent.order.client_order_id,
        chain=tuple(Step(f"backend.part_{place}", "outer", "run", place) for place in range(4)),
    )
    return encode(intent).decode(), encode(outcome).decode()


def lines_of(run_id, orders, first, now, dice):
    """The lines of one run."""
    yield Line(0, now - YEAR_NS, "run_started", None, "{}")
    for place in range(orders):
        number = first + place
        ts = now - YEAR_NS + int(YEAR_NS * number / (orders * RUNS))
        intent, outcome = order_of(number, ts, dice)
        yield Line(2 * place + 1, ts, "intent", None, intent)
        yield Line(2 * place + 2, ts + 1_000_000, "outcome", f"{run_id}:{2 * place + 1}", outcome)


def fill(path, events):
    """Write the journal by the path that all events take into it; returns the seconds that this took."""
    dice, now, orders = random.Random(1), time.time_ns(), events // 2 // RUNS
    begun = time.monotonic()
    connection = open_writer(path)
    for run in range(RUNS):
        run_id, pending = f"run-{run:04}", []
        origin = RunOrigin(run_id, now, "{}")
        for line in lines_of(run_id, orders, run * orders, now, dice):
            pending.append(line)
            if len(pending) == LINES_AT_ONCE:
                with transaction(connection):
                    ingest(connection, origin, pending)
                pending.clear()
        with transaction(connection):
            ingest(connection, origin, pending)
        checkpoint(path)
    connection.close()
    return time.monotonic() - begun


QUESTIONS = {
    "summary": ["summary"],
    "summary --since 2h": ["summary", "--since", "2h"],
    "summary --since 30d": ["summary", "--since", "30d"],
    "records --since 30m": ["records", "--since", "30m"],
    "records --since 6h --module module_3": ["records", "--since", "6h", "--module", "module_3"],
    "records --since 7d --symbol COIN7USDT": ["records", "--since", "7d", "--symbol", "COIN7USDT"],
    "explain ALGO_ID": ["explain", str(4_000_000_000_000_000 + 12_345)],
    "explain RUN:SEQ": ["explain", "run-0100:5"],
}


def ask(path, words):
    """Seconds that a command takes, and how many lines it says."""
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "exit_shim", *words],
        env={**os.environ, "EXIT_SHIM_JOURNAL": str(path)},
        capture_output=True,
        check=True,
    )
    return time.monotonic() - begun, done.stdout.count(b"\n")


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--events", type=int, default=1_000_000)
    options.add_argument("--folder", type=Path)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        path = Path(name) / "journal.db"
        taken = fill(path, chosen.events)
        nothing, _ = min(ask(path, ["--version"]) for _ in range(3))
        answers = {
            question: dict(zip(("seconds", "lines"), ask(path, words), strict=True))
            for question, words in QUESTIONS.items()
        }
        found = {
            "events": chosen.events,
            "bytes": path.stat().st_size,
            "events_a_second_written": round(chosen.events / taken),
            "command_that_asks_nothing_s": nothing,
            "answers": answers,
        }
    if chosen.json:
        print(json.dumps(found, indent=2))
        return
    print(
        f"{found['events']} events in {found['bytes'] / 1e9:.2f} GB, written at "
        f"{found['events_a_second_written']} a second; a command that asks nothing takes {nothing:.2f} s"
    )
    for question, answer in answers.items():
        met = "" if answer["seconds"] - nothing <= BUDGET_S else f"  over {BUDGET_S} s"
        print(f"{answer['seconds']:8.2f} s {answer['lines']:8} lines  exit-shim {question}{met}")


if __name__ == "__main__":
    main()
