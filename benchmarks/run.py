"""What the shim costs, as ratios taken in one run: `python benchmarks/run.py [--json] [--rounds N]`.

Times on their own say more about the machine than about the code, so each case takes its turn in every
round, the figures are medians over all calls, and what is held against a budget is a ratio.
"""

import argparse
import contextlib
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import wrapt
from binance.client import Client
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

import exit_shim
from exit_shim.guard.policy import Mode
from exit_shim.journal import read_records
from exit_shim.sinks.otel import OtelSink
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET, redirect_clients

ENTRY = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": 0.01}
EXIT = {
    "symbol": "BTCUSDT",
    "side": "SELL",
    "type": "STOP_MARKET",
    "stopPrice": 50000.0,
    "quantity": 0.01,
    "reduceOnly": True,
}
FRAMES = 30
"""How deep in the bot's own code the calls of the deep cases are."""
ENFORCED = exit_shim.Policy(
    mode="EXIT_BRAIN_V3",
    level="enforce",
    modes={"EXIT_BRAIN_V3": Mode(owners=(Path(__file__).stem,), legacy=("position_monitor",))},
)
CALLS_A_ROUND = 200
LOOPBACK_ORDERS_A_ROUND = 20
PACINGS = {"paced 2 ms apart": (100, 0.002), "in a tight loop": (3000, 0)}
"""How many calls follow each other, and the seconds between them."""


class Fake:
    """A client whose order costs as little as a call can."""

    def futures_create_order(self, **params):
        return {"orderId": 1}

    def futures_account(self, **params):
        return {}


class Nowhere(SpanExporter):
    def export(self, spans):
        return SpanExportResult.SUCCESS

    def shutdown(self):
        pass


def bot(folder):
    """A function of a bot's own file that calls what it is given from behind so many frames."""
    steps = [f"def step{number}(call):\n    return step{number - 1}(call)\n" for number in range(1, FRAMES)]
    file = folder / "deep_bot.py"
    file.write_text("\n".join(["def step0(call):\n    return call()\n", *steps]), encoding="utf-8")
    names = {"__name__": "deep_bot"}
    exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), names)
    return names[f"step{FRAMES - 1}"]


def in_process_cases(folder, closing):
    """Each case by name: a call without arguments, and how many of them to time at once.

    The shims besides, to be flushed between cases: what one leaves to its threads is no cost of others.
    """
    fake = Fake()
    proxied = wrapt.ObjectProxy(fake)
    shims = [
        shim(closing, journal=False, sinks=[]),
        shim(closing, journal=folder / "journalled.db", sinks=[]),
        shim(closing, journal=folder / "logged.db"),
        shim(closing, journal=folder / "deep.db"),
        shim(closing, journal=folder / "enforced.db", policy=ENFORCED),
        shim(closing, journal=folder / "telemetry.db", sinks=[sink(closing)]),
    ]
    silent, journalled, logged, from_deep, enforced, measured = (own.wrap(fake) for own in shims)
    deep = bot(folder)
    span = spanned(fake, closing)

    cases = {
        "bare call": (lambda: fake.futures_create_order(**ENTRY), 10),
        "wrapt.ObjectProxy, call": (lambda: proxied.futures_create_order(**ENTRY), 10),
        "wrapt.ObjectProxy, attribute": (lambda: proxied.futures_account, 10),
        "shim, attribute that is no door": (lambda: silent.futures_account, 10),
        "shim, entry order": (lambda: silent.futures_create_order(**ENTRY), 10),
        "bare exit call": (lambda: fake.futures_create_order(**EXIT), 1),
        "OpenTelemetry span, 8 attributes": (lambda: span(**EXIT), 1),
        "shim, exit order, journal off": (lambda: silent.futures_create_order(**EXIT), 1),
        "shim, exit order, journal on": (lambda: journalled.futures_create_order(**EXIT), 1),
        "shim, exit order, journal and log": (lambda: logged.futures_create_order(**EXIT), 1),
        "shim, exit order of an owner, enforced": (lambda: enforced.futures_create_order(**EXIT), 1),
        "shim, exit order, journal and OpenTelemetry": (lambda: measured.futures_create_order(**EXIT), 1),
        f"bare exit call under {FRAMES} frames": (lambda: deep(lambda: fake.futures_create_order(**EXIT)), 1),
        f"shim, exit order, journal and log, under {FRAMES} frames": (
            lambda: deep(lambda: from_deep.futures_create_order(**EXIT)),
            1,
        ),
    }
    return cases, shims


def sink(closing):
    """OpenTelemetry's sink with providers that export nowhere, and a span that is current meanwhile."""
    traces, meters = TracerProvider(), MeterProvider([InMemoryMetricReader()])
    closing.callback(traces.shutdown)
    closing.callback(meters.shutdown)
    traces.add_span_processor(BatchSpanProcessor(Nowhere()))
    closing.enter_context(traces.get_tracer("benchmark").start_as_current_span("bot"))
    return OtelSink(traces, meters)


def spanned(client, closing):
    """`futures_create_order` inside one OpenTelemetry span with 8 attributes and a batch processor."""
    provider = TracerProvider()
    closing.callback(provider.shutdown)
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    tracer = provider.get_tracer("benchmark")

    def place(**order):
        attributes = {key: str(value) for key, value in order.items()} | {"module": "m", "kind": "sl"}
        with tracer.start_as_current_span("order", attributes=attributes):
            return client.futures_create_order(**order)

    return place


def shim(closing, **configuration):
    """A shim that is closed before its journal's folder goes."""
    own = exit_shim.ExitShim(**configuration)
    closing.callback(own.close)
    return own


def time_calls(call, at_once):
    """Nanoseconds of a round's calls."""
    taken = []
    for _ in range(CALLS_A_ROUND):
        start = time.perf_counter_ns()
        for _ in range(at_once):
            call()
        taken.append((time.perf_counter_ns() - start) / at_once)
    return taken


def measure_in_process(rounds, folder):
    with contextlib.ExitStack() as closing:
        cases, shims = in_process_cases(folder, closing)
        taken = {name: [] for name in cases}
        for _ in range(rounds):
            for name, (call, at_once) in cases.items():
                taken[name] += time_calls(call, at_once)
                for own in shims:
                    own.flush(timeout_s=60)
    figures = {name: statistics.median(values) / 1000 for name, values in taken.items()}
    figures["added before the send, journal on"] = presend(folder / "journalled.db")
    figures["added before the send, enforced"] = presend(folder / "enforced.db")
    figures["added before the send, journal and OpenTelemetry"] = presend(folder / "telemetry.db")
    figures[f"added before the send, journal on, under {FRAMES} frames"] = presend(folder / "deep.db")
    return figures


def presend(journal):
    """The median of what the records themselves say."""
    return statistics.median(
        record.outcome.presend_us for record in read_records(journal) if record.outcome is not None
    )


def measure_paced(rounds, folder):
    """Return what stands before the send, and what a span takes, for each pacing.

    Paced as real orders come, caches are cold; in a tight loop the background threads compete for the
    interpreter.
    """
    figures = {}
    for pacing, (calls, pause) in PACINGS.items():
        journal = folder / f"{calls}.db"
        with contextlib.ExitStack() as closing:
            fake = Fake()
            cases = {
                "bare exit call": fake.futures_create_order,
                "span": spanned(fake, closing),
                "shim": shim(closing, journal=journal, sinks=[]).wrap(fake).futures_create_order,
            }
            taken = {name: [] for name in cases}
            for _ in range(max(1, rounds // 3)):
                for name, place in cases.items():
                    for _ in range(calls):
                        start = time.perf_counter_ns()
                        place(**EXIT)
                        taken[name].append(time.perf_counter_ns() - start)
                        if pause:
                            time.sleep(pause)
        for name in ("bare exit call", "span"):
            figures[f"{name}, {pacing}"] = statistics.median(taken[name]) / 1000
        figures[f"added before the send, {pacing}"] = presend(journal)
    return figures


def measure_apart(rounds):
    """What the shim's own thread spends on an order's rules and log lines: CPU, and no order waits for it."""
    with contextlib.ExitStack() as closing:
        own = shim(closing, journal=False)
        client, read = own.wrap(Fake()), []
        for _ in range(rounds):
            own.dispatch.hand_over(lambda: read.append(time.thread_time_ns()))
            for _ in range(CALLS_A_ROUND):
                client.futures_create_order(**EXIT)
            own.dispatch.hand_over(lambda: read.append(time.thread_time_ns()))
            own.flush(timeout_s=60)
    spent = [(after - before) / CALLS_A_ROUND for before, after in zip(read[::2], read[1::2], strict=True)]
    return {"the shim's own thread, CPU for an order's rules and log lines": statistics.median(spent) / 1000}


def measure_loopback(rounds, folder):
    """A genuine client's exit order over loopback HTTP, to an exchange in a process of its own."""
    server = subprocess.Popen(
        [sys.executable, "-m", "exit_shim", "exchange", "--no-limits"], stdout=subprocess.PIPE, text=True
    )
    try:
        url = server.stdout.readline().split()[2].rstrip(",")
        with redirect_clients(url, lambda key, secret: None), contextlib.ExitStack() as closing:
            client = Client(LOCAL_KEY, LOCAL_SECRET)
            client.futures_create_order(**ENTRY)
            wrapped = shim(closing, journal=folder / "loopback.db").wrap(client)
            ways = {
                "without the shim": client,
                "with the shim": wrapped,
                "in an OpenTelemetry span": SimpleNamespace(futures_create_order=spanned(client, closing)),
                "through wrapt.ObjectProxy": wrapt.ObjectProxy(client),
            }
            taken = {name: [] for name in ways}
            for _ in range(rounds * LOOPBACK_ORDERS_A_ROUND):
                for name, own in ways.items():
                    start = time.perf_counter_ns()
                    placed = own.futures_create_order(**EXIT)
                    taken[name].append(time.perf_counter_ns() - start)
                    client.futures_cancel_algo_order(algoId=placed["algoId"])
    finally:
        server.terminate()
        server.wait()
    return {
        f"order over loopback, {name}": statistics.median(values) / 1000 for name, values in taken.items()
    }


def ratios(figures):
    """The budgets: what is measured, against what, and at most how much."""
    span = figures["OpenTelemetry span, 8 attributes"] - figures["bare exit call"]
    added = figures["shim, exit order, journal and log"] - figures["bare exit call"]
    enforced = figures["shim, exit order of an owner, enforced"] - figures["bare exit call"]
    under = f"under {FRAMES} frames"
    added_deep = figures[f"shim, exit order, journal and log, {under}"] - figures[f"bare exit call {under}"]
    rows = [
        (
            "a method or attribute that is no door / the same through wrapt.ObjectProxy",
            figures["shim, attribute that is no door"] / figures["wrapt.ObjectProxy, attribute"],
            1.1,
        ),
        (
            "an order that is not an exit / the same call through wrapt.ObjectProxy",
            figures["shim, entry order"] / figures["wrapt.ObjectProxy, call"],
            2.5,
        ),
        (
            "added before the send, exit order, journal on, hot and alone / one OpenTelemetry span",
            figures["added before the send, journal on"] / span,
            0.8,
        ),
        (
            f"the same, {under} of the bot's own",
            figures[f"added before the send, journal on, {under}"] / span,
            0.8,
        ),
        *(
            (
                f"the same, {pacing}",
                figures[f"added before the send, {pacing}"]
                / (figures[f"span, {pacing}"] - figures[f"bare exit call, {pacing}"]),
                at_most,
            )
            for pacing, at_most in zip(PACINGS, (1.0, 1.5), strict=True)
        ),
        ("added in all, exit order, journal and log on / that span", added / span, 2.0),
        (f"the same, {under} of the bot's own", added_deep / span, 2.0),
        (
            "added before the send, a policy enforced, an owner's order / that span",
            figures["added before the send, enforced"] / span,
            1.0,
        ),
        ("added in all, a policy enforced, an owner's order / that span", enforced / span, 2.0),
        (
            "added before the send with OpenTelemetry's sink / without",
            figures["added before the send, journal and OpenTelemetry"]
            / figures["added before the send, journal on"],
            1.1,
        ),
    ]
    bare = figures["order over loopback, without the shim"]
    in_span = figures["order over loopback, in an OpenTelemetry span"]
    with_shim = figures["order over loopback, with the shim"]
    rows += [
        (
            "added to a real client's order over loopback HTTP / what a span adds there",
            (with_shim - bare) / (in_span - bare),
            1.0,
        ),
        ("for comparison, that order with the shim / without", with_shim / bare, None),
        ("for comparison, that order in one OpenTelemetry span / without", in_span / bare, None),
    ]
    return [{"what": what, "ratio": round(ratio, 3), "budget": budget} for what, ratio, budget in rows]


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--json", action="store_true")
    options.add_argument("--rounds", type=int, default=15)
    chosen = options.parse_args()
    own = logging.getLogger("exit_shim")
    own.setLevel(logging.INFO)
    own.propagate = False
    with tempfile.TemporaryDirectory() as name, Path(os.devnull).open("w") as nowhere:
        own.addHandler(logging.StreamHandler(nowhere))
        folder = Path(name)
        figures = (
            measure_in_process(chosen.rounds, folder)
            | measure_paced(chosen.rounds, folder)
            | measure_apart(chosen.rounds)
            | measure_loopback(chosen.rounds, folder)
        )
    found = {
        "microseconds": {name: round(value, 2) for name, value in figures.items()},
        "ratios": ratios(figures),
    }
    if chosen.json:
        print(json.dumps(found, indent=2))
        return
    for name, value in found["microseconds"].items():
        print(f"{value:10.2f} µs  {name}")
    print()
    for row in found["ratios"]:
        print(f"{row['ratio']:8.3f}  budget {row['budget'] or 'none':<5} {row['what']}")


if __name__ == "__main__":
    main()
