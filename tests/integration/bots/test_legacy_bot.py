"""The example bot, unmodified: every exit order named after the module that asked, and nothing else changed.

The truth to compare with is found without the shim: sites in the bot's source, orders at the exchange.
"""

import ast
import collections
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from repository import ROOT

pytestmark = pytest.mark.xdist_group("legacy bot")  # whose workers share what a fixture has run

BOT = ROOT / "examples" / "legacy_bot"
LEGACY = {
    "position_monitor",
    "trailing_stop_manager",
    "hybrid_tpsl",
    "event_driven_executor",
    "dynamic_trailing_rearm",
}
PLACING = (
    "futures_create_order",
    "futures_create_algo_order",
    "futures_market_sell_order",
    "futures_limit_sell_order",
    "futures_market_buy_order",
    "place_order_with_safety",
    "place_batch_with_safety",
)

DRIVER = """
    import contextlib, json, random, runpy, sys
    import exit_shim
    from exit_shim.testing import LocalExchange, WalkingMarket
    from exit_shim.testing.redirect import redirect_clients

    shimmed, script, out = sys.argv[1] == "shimmed", sys.argv[2], sys.argv[3]
    exchange = LocalExchange(market=WalkingMarket(seed=1))
    with exchange, redirect_clients(exchange.url, exchange.register):
        with exit_shim.ExitShim().install() if shimmed else contextlib.nullcontext():
            sys.path[0] = script.rpartition("/")[0]
            random.seed(1)
            runpy.run_path(script, run_name="__main__")
        requests = [(r.method, r.path, dict(r.params), r.error_code) for r in exchange.order_requests]
    json.dump(requests, open(out, "w"))
"""


REAL = """
import runpy, sys
def no_network(event, args):
    if event in ("socket.connect", "socket.getaddrinfo"): raise SystemExit("it went for the network")
sys.addaudithook(no_network)
sys.path[0] = sys.argv[1].rpartition("/")[0]
runpy.run_path(sys.argv[1], run_name="__main__")
"""


def sites():
    """The places in the bot that ask for an order: module, function, first and last line of the call."""
    found = []
    for path in BOT.rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                found += [
                    (path.stem, function.name, node.lineno, node.end_lineno)
                    for node in ast.walk(function)
                    if isinstance(node, ast.Call)
                    and any(
                        isinstance(name, ast.Attribute) and name.attr in PLACING
                        for name in (node.func, *node.args)
                    )
                ]
    return found


def is_exit(params):
    """By the fields on the wire, read with no help from the shim."""
    return any(str(params.get(name)).lower() == "true" for name in ("closePosition", "reduceOnly"))


def run_bot(folder, mode):
    journal = folder / f"{mode}.db"
    done = subprocess.run(
        [sys.executable, "-m", "exit_shim", "run", "--local", "--mode", mode, "--json", str(BOT / "main.py")],
        env={**os.environ, "EXIT_SHIM_JOURNAL": str(journal)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "Traceback" not in done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    """What `exit-shim run --local --json` prints of the bot in EXIT_BRAIN_V3."""
    return placed(run_bot(tmp_path_factory.mktemp("run"), "EXIT_BRAIN_V3"))


def placed(lines):
    """The orders among the records, without cancels and changes."""
    return [line for line in lines if line["operation"] == "place"]


@pytest.fixture(scope="module")
def wire(tmp_path_factory):
    """The bot's order requests without and with the shim, each in a process and on an exchange of its own."""
    folder = tmp_path_factory.mktemp("wire")
    (folder / "driver.py").write_text(textwrap.dedent(DRIVER))
    for how in ("plain", "shimmed"):
        done = subprocess.run(
            [sys.executable, str(folder / "driver.py"), how, str(BOT / "main.py"), str(folder / how)],
            env={**os.environ, "EXIT_SHIM_JOURNAL": str(folder / "journal.db"), "EXIT_MODE": "EXIT_BRAIN_V3"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    return {how: json.loads((folder / how).read_text()) for how in ("plain", "shimmed")}


def test_the_exchange_receives_the_same(wire):
    """With the shim and without it the exchange gets the same order requests, ids included, in one order."""
    aside = {"timestamp", "signature"}
    plain, shimmed = (
        [
            [method, path, {k: v for k, v in params.items() if k not in aside}, code]
            for method, path, params, code in wire[how]
        ]
        for how in ("plain", "shimmed")
    )
    assert len(plain) > 60
    assert shimmed == plain


def exits_on_the_wire(requests):
    found = []
    for method, path, params, _ in requests:
        if method == "POST":
            orders = json.loads(params["batchOrders"]) if path.endswith("batchOrders") else [params]
            found += filter(is_exit, orders)
    return found


def test_every_exit_that_was_sent_is_recorded(wire, lines):
    """The exits that the exchange saw without the shim and the records are the same orders, one by one."""

    def key(symbol, side, kind, quantity, trigger):
        return symbol, side, kind, float(quantity or 0), float(trigger or 0)

    sent = [
        key(p["symbol"], p["side"], p["type"], p.get("quantity"), p.get("triggerPrice") or p.get("stopPrice"))
        for p in exits_on_the_wire(wire["plain"])
    ]
    recorded = [
        key(*(line[n] for n in ("symbol", "side", "type", "quantity", "trigger_price"))) for line in lines
    ]
    assert recorded == sent


def test_every_order_is_attributed_to_the_site_that_asked(lines):
    """File, function and line of each record lie inside a call of the bot that asks for an order."""
    places = sites()
    for line in lines:
        inside = [
            place
            for place in places
            if place[:2] == (Path(line["file"]).stem, line["function"].rpartition(".")[2])
            and place[2] <= line["line"] <= place[3]
        ]
        assert inside, line
        assert line["module"] == inside[0][0]
        assert line["dotted_module"].endswith(f".{line['module']}")


def test_no_order_is_put_down_to_an_executor(lines):
    """safe_order_executor is muscle: what went through it is its callers', and it is in via."""
    assert "safe_order_executor" not in {line["module"] for line in lines}
    assert {line["module"] for line in lines if line["via"]} == {"hybrid_tpsl"}
    assert all(line["via"] == ["safe_order_executor"] for line in lines if line["module"] == "hybrid_tpsl")


def test_worker_threads_are_attributed_where_the_method_was_fetched(lines):
    """Orders out of asyncio.to_thread carry the module that fetched the method, and the evidence bind."""
    by_bind = {
        (line["module"], line["function"].rpartition(".")[2])  # Python 3.10 does not know the class
        for line in lines
        if line["evidence"] == "bind"
    }
    assert ("trailing_stop_manager", "_move_stop") in by_bind
    assert {line["evidence"] for line in lines if line["module"] == "trailing_stop_manager"} == {"bind"}
    assert {line["evidence"] for line in lines} == {"bind", "stack"}


def test_every_module_of_the_bot_is_there(lines):
    """Each legacy module, and the one that is not on the list, placed exits; most sites were reached."""
    counted = collections.Counter(line["module"] for line in lines)
    assert set(counted) == {*LEGACY, "exposure_guard"}
    assert len({(line["file"], line["line"]) for line in lines}) >= 17


def test_conflicts_are_the_orders_of_legacy_modules(lines):
    """In EXIT_BRAIN_V3 each exit of a legacy module is warned of and let through; no other is."""
    for line in lines:
        conflict = f"OWNERSHIP_CONFLICT module={line['module']} mode=EXIT_BRAIN_V3 role=legacy"
        assert line["reasons"][:1] == ([conflict] if line["module"] in LEGACY else [])
        assert line["verdict"] == ("warn" if line["module"] in LEGACY else "allow")
        assert line["outcome"] in {"accepted", "rejected"}


def test_the_modules_are_seen_to_fight(lines):
    """Without a policy file it shows who doubles and who undoes whose exits."""
    found = {
        (line["module"], reason.split()[0], reason.split()[-1 if "WIDENED" in reason else 1])
        for line in lines
        for reason in line["reasons"][1:]
    }
    assert ("hybrid_tpsl", "DUPLICATE_EXIT", "other=position_monitor") in found
    assert ("position_monitor", "STOP_WIDENED", "before=trailing_stop_manager") in found
    assert ("dynamic_trailing_rearm", "IGNORED_PARAM", "field=activationPrice") in found


def test_the_readme_counts_the_fights(tmp_path):
    """What the README says that the example's log lines tell is what its command logs."""
    command = ["run", "--local", "--mode", "EXIT_BRAIN_V3", str(BOT / "main.py")]
    done = subprocess.run(
        [sys.executable, "-m", "exit_shim", *command],
        capture_output=True, text=True, check=True, cwd=tmp_path,
        env={**os.environ, "EXIT_SHIM_JOURNAL": str(tmp_path / "journal.db")},
    )  # fmt: skip
    counts = collections.Counter(re.findall(r"\[EXIT_GUARD\] ([A-Z_]+)", done.stdout + done.stderr))
    said = " ".join((BOT.parent.parent / "README.md").read_text().split())
    for code, words in {
        "OWNERSHIP_CONFLICT": "{} OWNERSHIP_CONFLICT",
        "FOREIGN_CANCEL": "{} FOREIGN_CANCEL",
        "STRIPPED": "{} STRIPPED",
    }.items():
        assert words.format(counts[code]) in said, (code, counts[code])


def test_legacy_mode_has_no_conflicts(tmp_path, lines):
    """In LEGACY the same orders are placed by the same modules, and none is a conflict."""
    legacy = placed(run_bot(tmp_path, "LEGACY"))
    assert not [reason for line in legacy for reason in line["reasons"] if "OWNERSHIP" in reason]
    assert [(line["module"], line["line"]) for line in legacy] == [
        (line["module"], line["line"]) for line in lines
    ]


def test_the_bot_does_not_know_the_shim():
    """No file of the example mentions exit_shim, and it refuses to trade against a real exchange."""
    assert not [path for path in BOT.rglob("*.py") if "exit_shim" in path.read_text()]
    done = subprocess.run(
        [sys.executable, "-c", REAL, str(BOT / "main.py")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "only trades against a local exchange" in done.stderr
