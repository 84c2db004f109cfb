"""What the tests of faults share: bots in processes of their own, what is done to them, and the reckoning."""

import contextlib
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
import weakref

import pytest

from exit_shim.journal import JournalReader, read_records, verify_run

MEDIAN_US, MAX_US = 100_000, 3_000_000
"""What the shim may add before the send while something is broken: no wait for a lock at each order.

The bounds only tell waiting from not waiting, on a machine that is busy besides; benchmarks measure the rest.
"""

FEW = 10
"""Of fewer orders the median is not asked for: a first one pays for what later ones find at hand."""

CROWD_US = 20_000_000
"""The same where dozens of threads or processes want the processor at once: their turns count as well."""

EXIT = {"symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": "0.001", "reduceOnly": "true"}

PREAMBLE = """
import asyncio, contextlib, faulthandler, json, logging, os, random, signal, sys, threading, time, warnings
warnings.simplefilter("ignore")
faulthandler.dump_traceback_later(int(os.environ.get("HARM_PATIENCE", 60)), exit=True)
{before}
from binance import AsyncClient, Client
import exit_shim
URL, JOURNAL, *ARGS = sys.argv[1:]
Client.FUTURES_URL = AsyncClient.FUTURES_URL = URL + "/fapi"
KEYS = "local-key", "local-secret"
EXIT = {exit}

def new_client(shim=None):
    return exit_shim.wrap(Client(*KEYS, ping=False), shim=shim or exit_shim.ExitShim(journal=JOURNAL))

def place(client, times=1, **changed):
    for _ in range(times):
        client.futures_create_order(**{{**EXIT, **changed}})

def wait_for_the_spool():  # on a busy machine events would wait in memory instead, and die with the bot
    import exit_shim.journal.log_writer
    exit_shim.journal.log_writer.LOCK_S = 60

def say(word="ready"):
    os.write(1, word.encode() + b"\\n")

def hear():
    return sys.stdin.readline()
"""


MORTAL = """
import ctypes, os
if os.geteuid() == 0:  # root may write what it may not write; without capabilities it is as anybody
    assert ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()) == 0
"""


def bot(script, exchange, path, *args, before="", **options):
    """Start a bot in a process of its own, with a genuine client on the exchange."""
    options["env"] = {**os.environ, **options.get("env", {})}
    log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the process; a pipe would fill up
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            PREAMBLE.format(before=textwrap.dedent(before), exit=EXIT) + textwrap.dedent(script),
            exchange.url,
            str(path),
            *map(str, args),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        **options,
    )
    process.log = log
    weakref.finalize(process, log.close)
    return process


def log_of(process):
    """What a bot has written to its standard error."""
    process.log.seek(0)
    return process.log.read()


def ended(process, word="\n", patience=60):
    """Let a bot come to its end; what it printed. One that fails shows why."""
    with process:
        try:
            said, _ = process.communicate(word, timeout=patience)
        except BaseException:
            process.kill()
            raise
    assert process.returncode == 0, log_of(process)
    return said


def run(script, exchange, path, *args, patience=60, **options):
    """Run a bot to its end; what it printed. One that hangs shows where."""
    env = {**options.pop("env", {}), "HARM_PATIENCE": str(patience)}
    return ended(bot(script, exchange, path, *args, env=env, **options), patience=patience)


def heard(process, word="ready"):
    """Wait until a bot says something; what it said behind the word."""
    said = process.stdout.readline()
    assert said.startswith(word), said + log_of(process)
    return said[len(word) :].strip()


def told(process):
    """Have a bot go on."""
    process.stdin.write("\n")
    process.stdin.flush()


def until(condition, patience=60.0):
    """Wait for something that another thread or process is about to do."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.01)


@contextlib.contextmanager
def locked(path):
    """Another process holds the database, and nobody else can write it."""
    script = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('BEGIN EXCLUSIVE'); print('locked', flush=True); sys.stdin.readline(); c.execute('COMMIT')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "locked\n"
        yield
        holder.communicate("\n", timeout=60)


def command(path, *words):
    """What `exit-shim WORDS` prints of a journal; its exit status must be 0 or 1, and no traceback shown."""
    done = subprocess.run(
        [sys.executable, "-m", "exit_shim", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "EXIT_SHIM_JOURNAL": str(path)},
    )
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout + done.stderr


def arrived(exchange):
    """The exits that the exchange truly saw, by their client order ids."""
    asked = [request for request in exchange.order_requests if request.params["side"] == "SELL"]
    found = {request.params["newClientOrderId"]: request for request in asked}
    assert len(found) == len(asked), "an order was sent twice"
    return found


def flaws(path):
    """What is wrong with the file's pages and with the runs' chains."""
    with contextlib.closing(sqlite3.connect(path)) as own:
        pages = [said for (said,) in own.execute("PRAGMA integrity_check") if said != "ok"]
    found = [
        verify_run(run, JournalReader(path).read_events(run_id=run.run_id))
        for run in JournalReader(path).read_runs()
    ]
    return pages + [flaw for flaw in found if flaw is not None]


def reckon(exchange, path, *, lost=0, max_us=MAX_US):
    """Hold the journal against what truly arrived; its records.

    Each order that the exchange saw is there, but for `lost`, which the journal itself owns up to; none is
    there twice; what is said to be accepted was executed, what is said to be refused was not, and what never
    arrived has no answer. All chains hold, and no order was held up beyond the bounds.
    """
    seen, records = arrived(exchange), list(read_records(path))
    written = {record.intent.order.client_order_id: record for record in records}
    assert len(written) == len(records), "an order is there twice"
    missing = seen.keys() - written.keys()
    assert len(missing) <= lost, missing
    for name, record in written.items():
        outcome = "unknown" if record.outcome is None else record.outcome.result
        if name not in seen:
            assert outcome in ("unknown", "not_sent"), record
        elif outcome != "unknown":
            assert outcome == ("accepted" if seen[name].executed else "rejected"), record
    assert flaws(path) == []
    assert_hurried(records, max_us)
    return records


def assert_hurried(records, max_us=MAX_US):
    """What the shim added before each send is within the bounds."""
    added = [record.outcome.presend_us for record in records if record.outcome is not None]
    assert max(added, default=0) < max_us
    if len(added) >= FEW:
        assert statistics.median(added) < MEDIAN_US * max_us / MAX_US


def compiled(source, target):
    """The library that is preloaded, made anew."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("no C compiler, or no Linux, to take a bot's power, locks or time with")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", target, source, "-ldl", "-lpthread"], check=True
    )
    return target


@contextlib.contextmanager
def power(root, shadow, preload):
    """Processes with this environment lose their power: what was not synced below `root` is gone."""
    shadow.mkdir()
    yield {"LD_PRELOAD": str(preload), "HARM_ROOT": str(root), "HARM_SHADOW": str(shadow)}
    shutil.rmtree(root)
    root.mkdir(mode=0o700)
    restore(root, shadow)


def restore(folder, shadow):
    """What the disk holds of a folder after the loss of power."""
    listing = shadow / ("folder-" + str(folder).replace("/", "@"))
    for line in listing.read_text().splitlines() if listing.exists() else []:
        kind, number, name = line.split(" ", 2)
        if kind == "d":
            (folder / name).mkdir(mode=0o700)
            restore(folder / name, shadow)
        else:
            bytes_ = shadow / f"file-{number}"
            (folder / name).write_bytes(bytes_.read_bytes() if bytes_.exists() else b"")
