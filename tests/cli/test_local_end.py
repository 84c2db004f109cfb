"""The end of `run --local`: what was refused, not answered, not recorded and left bare, in 80 lines."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap

import pytest
from terminals import in_terminal, plain

HEAD = """
import time, requests
from binance import Client

client = Client()

def enter(symbol="BTCUSDT", quantity=0.01):
    client.futures_create_order(symbol=symbol, side="BUY", type="MARKET", quantity=quantity)

def stop(symbol="BTCUSDT", price=50_000, **fields):
    fields = fields or {"closePosition": "true"}
    client.futures_create_order(symbol=symbol, side="SELL", type="STOP_MARKET", stopPrice=price, **fields)
"""

RAW = """
import hashlib, hmac, time, requests
from urllib.parse import urlencode

def signed(method, path, **fields):
    query = urlencode({**fields, "timestamp": int(time.time() * 1000)})
    signature = hmac.new(b"secret", query.encode(), hashlib.sha256).hexdigest()
    return requests.request(
        method,
        f"https://fapi.binance.com{path}?{query}&signature={signature}",
        headers={"X-MBX-APIKEY": "raw" * 20},
    ).json()
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Return what starts `exit-shim run --local` with a bot of this source."""
    monkeypatch.setenv("EXIT_SHIM_JOURNAL", str(tmp_path / "journal.db"))

    def start_bot(source, *options):
        path = tmp_path / "bot.py"
        path.write_text(textwrap.dedent(source))
        command = [sys.executable, "-m", "exit_shim", "run", "--local", *options, str(path)]
        # Not the C environment, where readline sets COLUMNS and so makes lines short.
        environment = dict(os.environ)
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    return start_bot


@pytest.fixture
def run(start):
    """Return what runs a bot of this source to its end; stdout and stderr."""

    def run_bot(source, *options):
        process = start(source, *options)
        out, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        return out, errors

    return run_bot


BY_URLLIB = RAW.replace("import hashlib", "import urllib.request, json, hashlib").replace(
    """requests.request(
        method,
        f"https://fapi.binance.com{path}?{query}&signature={signature}",
        headers={"X-MBX-APIKEY": "raw" * 20},
    ).json()""",
    """json.load(urllib.request.urlopen(urllib.request.Request(
        f"https://fapi.binance.com{path}?{query}&signature={signature}",
        headers={"X-MBX-APIKEY": "raw" * 20},
        method=method,
    )))""",
)


def test_orders_by_what_is_not_covered_are_counted(run):
    """The run of a bot of urllib says what the exchange took and that it is not recorded."""
    out, _ = run(
        BY_URLLIB
        + """
order = dict(symbol="BTCUSDT", quantity=0.01, type="MARKET")
signed("POST", "/fapi/v1/order", side="BUY", **order)
signed("POST", "/fapi/v1/order", side="SELL", reduceOnly="true", **order)
signed("DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT")
"""
    )
    assert re.search(r"^  3 order requests by Python-urllib/\S+: 2 placed, 1 cancelled$", out, re.MULTILINE)
    assert "exit orders by" not in out
    assert "The guard found nothing" not in out
    assert "Left on the exchange: nothing" in out
    assert "entry order" not in out


def test_orders_of_both_kinds_are_told_apart(run):
    """Of a bot with python-binance and urllib both are counted, each once."""
    out, _ = run(
        HEAD
        + BY_URLLIB
        + """
enter()
stop()
signed("POST", "/fapi/v1/order", side="SELL", symbol="BTCUSDT", quantity=0.005, type="MARKET")
"""
    )
    assert re.search(r"1 order request by Python-urllib/\S+: 1 placed", out)
    assert out.count("order request") == 1
    assert "1 exit order by 1 module" in out
    assert "1 entry order passed through" in out


def test_raw_requests_are_recorded_without_being_asked_for(run):
    """Nothing real is at stake, so the bot's own requests are covered, under any user agent."""
    out, _ = run(
        RAW.replace('"raw" * 20}', '"raw" * 20, "User-Agent": "Mozilla/5.0"}')
        + """
order = dict(symbol="BTCUSDT", quantity=0.01, type="MARKET")
signed("POST", "/fapi/v1/order", side="BUY", **order)
signed("POST", "/fapi/v1/order", side="SELL", reduceOnly="true", **order)
"""
    )
    assert "not recorded" not in out
    assert "1 exit order by 1 module" in out
    assert "1 entry order passed through" in out


def test_what_is_refused_and_not_answered_is_a_line(run):
    """An error, a missing endpoint and a refused host are lines with their numbers and reasons."""
    out, _ = run(
        HEAD
        + """
import contextlib
for _ in range(3):
    with contextlib.suppress(Exception):
        client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.0001234)
entry = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010"}
refused = {**entry, "type": "STOP_MARKET", "stopPrice": "50000"}
client.futures_place_batch_order(batchOrders=[entry, refused])
client.futures_create_order(symbol="BTCUSDT", side="SELL", type="MARKET", quantity="0.010")
requests.get("https://fapi.binance.com/fapi/v1/noSuchThing")
for _ in range(2):
    with contextlib.suppress(Exception):
        requests.get("https://prices.example.com/")
requests.get("https://api.ipify.org")
"""
    )
    refused = r"3 \S POST /fapi/v1/order: -1111 Precision is over the maximum defined for this asset\."
    assert re.search(refused, out)
    assert re.search(r"1 \S POST /fapi/v1/batchOrders: -4120", out)
    missing = out[out.index("Asked for, and not answered") : out.index("Other hosts")]
    assert missing.splitlines()[1].endswith("1 \N{MULTIPLICATION SIGN} GET /fapi/v1/noSuchThing")
    hosts = out[out.index("Other hosts") : out.index("Left on")]
    assert re.search(r"\d \S prices\.example\.com: refused; no option allows a real host", hosts)
    assert re.search(r"1 \S api\.ipify\.org: answered by a dummy", hosts)


CLEARING = """
enter()
stop(price=50_000)
client.futures_create_order(symbol="BTCUSDT", side="SELL", type="MARKET", quantity=0.01, reduceOnly="true")
client.futures_cancel_all_open_orders(symbol="BTCUSDT")
client.futures_cancel_all_algo_open_orders(symbol="BTCUSDT")
enter()
stop(price=49_000)
"""


def test_clearing_up_after_a_trade_is_no_finding(run):
    """The exchange has shown that position and stop were gone; the next trade's first stop is not wider."""
    out, _ = run(HEAD + CLEARING)
    assert "The guard found nothing." in out
    wider = 'time.sleep(0.2)\nstop(price=48_000, quantity=0.01, reduceOnly="true")\n'
    bared = 'client.futures_cancel_all_algo_open_orders(symbol="BTCUSDT")\n'
    out, _ = run(HEAD + CLEARING + wider + bared)
    assert re.findall(r"^  1 (\w+)", out, re.MULTILINE)[:2] == ["STOP_WIDENED", "STRIPPED"]


def test_entries_that_are_cancelled_are_no_fight(run):
    """Entries have no record, so that nobody is known to have placed them; no module's exits were touched."""
    out, _ = run(
        HEAD
        + """
for price in (40_000, 41_000):
    order = client.futures_create_order(
        symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC", quantity=0.01, price=price
    )
    client.futures_cancel_order(symbol="BTCUSDT", orderId=order["orderId"])
"""
    )
    first, second = out.splitlines()[:2]
    assert first == "No module cancelled or changed another one's exits."
    assert re.search(r"^  2 . bot cancels orders without a record", second)
    assert "Who fights whom" not in out


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_orders_of_forked_processes_are_pointed_to(run, tmp_path):
    """A forked process is a run of its own: the end says so, and the command that shows its orders works."""
    out, _ = run(
        HEAD
        + """
import multiprocessing
def work():
    enter()
    stop(price=50_000)
    stop(price=51_000, quantity=0.01, reduceOnly="true")
child = multiprocessing.get_context("fork").Process(target=work)
child.start()
child.join()
assert child.exitcode == 0
"""
    )
    words = " ".join(out.split())
    (command,) = re.findall(
        r"Not counted: 2 orders of a forked process; exit-shim (summary --run \S+)", words
    )
    shown = subprocess.run(
        [sys.executable, "-m", "exit_shim", *command.split(), "--journal", tmp_path / "journal.db"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "2 exit orders by 1 module" in shown.stdout


def test_the_own_name_looks_up_to_loopback(run):
    """A bot that asks for the address of its own machine gets one, and no name server is asked."""
    out, _ = run("import socket\nprint(socket.gethostbyname(socket.gethostname()))\nsocket.getfqdn()")
    assert out.splitlines()[0] == "127.0.0.1"
    assert "Other hosts" not in out


def test_what_is_left_bare_is_said(run):
    """Positions without a stop over all of them are named, and exits without a position."""
    out, _ = run(
        HEAD
        + """
enter()
stop(quantity=0.004, reduceOnly="true")
enter("ETHUSDT", 1)
stop("SOLUSDT", 100, quantity=1, reduceOnly="true")
"""
    )
    left = out[out.index("Left on the exchange: 2 open positions, 2 orders") :]
    assert re.search(r"UNPROTECTED +BTCUSDT: 0\.006 of 0\.010 has no stop", left)
    assert re.search(r"UNPROTECTED +ETHUSDT: 1\.000 of 1\.000 has no stop", left)
    assert re.search(r"ORPHAN +SOLUSDT: STOP_MARKET without a position, order \d+ by bot", left)


def test_with_json_the_end_is_the_last_line_of_stderr(run):
    """Readers of stdout get orders alone; the end is an object of its own on stderr."""
    out, errors = run(HEAD + "enter()\nstop(quantity=0.001, reduceOnly='true')\nprint('words')", "--json")
    assert [json.loads(line)["operation"] for line in out.splitlines()] == ["place"]
    end = json.loads(errors.splitlines()[-1])
    assert [problem["code"] for problem in end["problems"]] == ["UNPROTECTED"]
    assert (end["positions"], end["orders"], end["unrecorded"]) == (1, 1, {})


def test_what_is_not_answered_is_said_at_once(start):
    """A bot that waits for ever leaves a line on stderr while it waits, and each only once."""
    process = start(
        """
import requests, time
for _ in range(3):
    requests.get("https://fapi.binance.com/fapi/v1/noSuchThing")
time.sleep(100)
"""
    )
    assert process.stderr.readline() == "exit-shim: not answered: GET /fapi/v1/noSuchThing\n"
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert "not answered" not in errors
    assert re.search(r"\d \S GET /fapi/v1/noSuchThing", out)


def test_positions_of_earlier_runs_are_not_shown(run):
    """Positions of an earlier local run in the same journal are not shown."""
    first, _ = run(HEAD + "enter()")
    second, _ = run(HEAD + "enter('ETHUSDT', 1)")
    assert "BTCUSDT" in first
    assert "BTCUSDT" not in second


def test_findings_about_earlier_runs_are_not_made(run):
    """A stop that another local run took away is gone with its exchange: the guard finds nothing of it."""
    first, _ = run(HEAD + "enter()\nstop()\nclient.futures_cancel_all_algo_open_orders(symbol='BTCUSDT')")
    source = "import time\nfrom exit_shim.feeds import other_processes\n"
    second, _ = run(f"{source}other_processes.STRIPPED_WITHIN_S = 0.0\ntime.sleep(1.5)")
    assert "1 cancel," in first
    assert "The guard found nothing." in second


BUSY = """
import contextlib, importlib, pathlib, sys
from binance import Client

here = pathlib.Path(__file__).parent
symbols = [each["symbol"] for each in Client().futures_exchange_info()["symbols"]][:40]
modules = []
for number in range(30):
    name = f"strategy_with_a_long_name_{number:02}"
    (here / f"{name}.py").write_text('''
from binance import Client
client = Client()

def enter(symbol):
    client.futures_create_order(symbol=symbol, side="BUY", type="MARKET", quantity=10)

def protect(symbol, **fields):
    return client.futures_create_order(symbol=symbol, side="SELL", type="STOP_MARKET", **fields)

def clear(symbol):
    client.futures_cancel_all_algo_open_orders(symbol=symbol)
    client.get(symbol)
''')
    modules.append(importlib.import_module(name))
import requests
for number, symbol in enumerate(symbols):
    ours, theirs = modules[number % 30], modules[(number * 7 + 1) % 30]
    with contextlib.suppress(Exception):
        ours.enter(symbol)
    for fields in ({"quantity": 10, "triggerPrice": 0.0001, "reduceOnly": "true"}, {"quantity": 1.23456789}):
        with contextlib.suppress(Exception):
            ours.protect(symbol, **fields)
    with contextlib.suppress(Exception):
        theirs.clear(symbol)
    requests.get(f"https://fapi.binance.com/fapi/v1/missing{number}")
    with contextlib.suppress(Exception):
        requests.get(f"https://host{number}.example.com/")
"""


def test_the_end_of_a_busy_run_is_a_screen(tmp_path):
    """With dozens of modules, symbols and hosts each part is shortened, and says where the rest is."""
    path = tmp_path / "bot.py"
    path.write_text(BUSY)
    status, text = in_terminal("run", "--local", path, EXIT_SHIM_JOURNAL=str(tmp_path / "journal.db"))
    lines = plain(text).splitlines()
    assert status == 0
    assert len(lines) <= 80, plain(text)
    for part in ("Who fights whom", "Found", "By module", "Refused by the exchange", "Other hosts"):
        assert part in lines
    rest = [line for line in lines if re.match(r"  and \d+ more", line)]
    assert len(rest) >= 5
    assert all("; see " in line for line in rest)
