"""`exit-shim scan`, as a user runs it."""

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner
from repository import ROOT

from exit_shim.cli import app

BOT = ROOT / "examples" / "legacy_bot"


def run(*words, code=0, **env):
    result = CliRunner().invoke(app, ["scan", *map(str, words)], env=env)
    assert result.exit_code == code, result.output
    return result.stdout


def test_the_example_bot():
    """The example bot's 20 placing sites and its 7 cancels are found, and nothing else."""
    found = json.loads(run(BOT, "--json"))
    leaves = [site for site in found["sites"] if site["how"] != "caller"]
    assert [sum(site["action"] == action for site in leaves) for action in ("place", "change", "cancel")] == [
        20,
        0,
        7,
    ]
    assert {site["reach"] for site in leaves} == {"wrap"}
    assert found["left_out"] == found["unparsed"] == []


def test_the_table_fits_a_terminal():
    """People get a headline, totals and a table within 80 columns."""
    lines = run(BOT, COLUMNS="80").splitlines()
    assert lines[0] == "27 sites that send orders"
    assert lines[1] == "They place (20), cancel (7); in reach of wrap, install (27)"
    assert max(map(len, lines)) <= 80
    assert any("→ _place_fixed_sl" in line for line in lines)


def test_what_was_seen(tmp_path):
    """After a run every exit site of the example bot was seen; its entries are counted on their own."""
    journal = tmp_path / "journal.db"
    subprocess.run(
        [sys.executable, "-m", "exit_shim", "run", "--local", str(BOT / "main.py")],
        env={**os.environ, "EXIT_SHIM_JOURNAL": str(journal)},
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    lines = run(BOT, "--against", journal, COLUMNS="100").splitlines()
    assert lines[0] == "24 sites, 24 seen; 3 sites of entries, which are not recorded"
    run(BOT, "--against", journal, "--fail-under", 100)
    never = tmp_path / "never.py"
    never.write_text("client.futures_cancel_order(orderId=1)\n")
    assert run(never, "--against", journal).splitlines()[0] == "1 site, 0 seen"
    run(never, "--against", journal, "--fail-under", 1, code=1)


def test_fail_under_counts_what_is_in_reach(tmp_path):
    """Without a journal the share in reach of install() decides, raw requests only with EXIT_SHIM_RAW."""
    (tmp_path / "bot.py").write_text(
        "import requests\n"
        "client.futures_cancel_order(orderId=1)\n"
        "requests.delete('https://fapi.binance.com/fapi/v1/order', params={})\n"
    )
    run(tmp_path, "--fail-under", 50)
    run(tmp_path, "--fail-under", 51, code=1)
    only = "Raw requests are recorded only with install(raw=True), exit-shim run --raw or EXIT_SHIM_RAW=1."
    assert only in run(tmp_path)
    run(tmp_path, "--fail-under", 100, EXIT_SHIM_RAW="1")
    assert only not in run(tmp_path, EXIT_SHIM_RAW="1")


def test_what_is_out_of_reach_is_named(tmp_path):
    """Raw requests by other transports and hand-made messages are said to be unseen."""
    (tmp_path / "bot.py").write_text(
        "import ccxt\n"
        "send('POST', 'https://fapi.binance.com/fapi/v1/order')\n"
        "ws.send({'method': 'order.place'})\n"
        "ccxt.binanceusdm().create_order()\n"
    )
    text = run(tmp_path)
    assert "in reach of wrap, install (1), of neither (2)" in text
    assert "Out of reach: what goes out by raw HTTP, raw WebSocket is neither recorded nor guarded." in text
    run(tmp_path, "--fail-under", 34, code=1, EXIT_SHIM_RAW="1")


@pytest.mark.parametrize(
    ("line", "reach"),
    [
        ("import json, requests", "raw"),
        ("from httpx import Client", "raw"),
        ("    from aiohttp.client import ClientSession", "raw"),
        ("import requests_cache", "neither"),
        ("from requests_toolbelt import x", "neither"),
        ("import my.requests", "neither"),
        ("# import requests", "neither"),
        ("import json  # not requests", "neither"),
    ],
)
def test_raw_requests_of_files_that_do_not_parse(tmp_path, line, reach):
    """An import in any file decides, and a line of a file that does not parse has the same reach."""
    (tmp_path / "other.py").write_text(f"{line}\n(\n")
    (tmp_path / "bot.py").write_text(
        "(\npost('https://fapi.binance.com/fapi/v1/order')\nx.futures_cancel_order(\n"
    )
    sites = json.loads(run(tmp_path, "--json"))["sites"]
    assert [(site["how"], site["reach"]) for site in sites] == [("text", reach), ("text", "wrap")]


def test_sarif(tmp_path):
    """Each sending site is a result with its rule, file and lines; callers are none."""
    (tmp_path / "bot.py").write_text(
        "import requests\n\ndef go(client):\n    client.futures_cancel_order(orderId=1)\n\ngo(None)\n"
        "requests.post('https://fapi.binance.com/fapi/v1/order')\n"
        "ws.send({'method': 'order.place'})\n"
    )
    log = json.loads(run(tmp_path, "--sarif"))
    results = log["runs"][0]["results"]
    assert log["version"] == "2.1.0"
    assert [(row["ruleId"], row["level"]) for row in results] == [
        ("order-site", "note"),
        ("only-by-raw", "warning"),
        ("out-of-reach", "warning"),
    ]
    place = results[0]["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "bot.py"}, "region": {"startLine": 4, "endLine": 4}}
    assert {row["ruleId"] for row in results} <= {
        rule["id"] for rule in log["runs"][0]["tool"]["driver"]["rules"]
    }


@pytest.mark.parametrize("words", [("--json", "--sarif")])
def test_forms_exclude_each_other(words):
    """Two forms at once are refused."""
    run(BOT, *words, code=2)


COPY = """\
from helper import send

def stop(client):
    send(client, symbol="BTCUSDT", side="SELL", type="STOP_MARKET", stopPrice="50000", closePosition="true")
"""
HELPER = """\
def send(client, **params):
    client.futures_create_order(**params)
"""
RUN = """\
import contextlib
import exit_shim
from exit_shim.testing import FakeClient
from exits import stop

roles = exit_shim.Roles(passthrough=frozenset({"helper"}))
shim = exit_shim.ExitShim(roles=roles, sinks=[])
for _ in range(2):
    # An order that the exchange refuses is recorded too.
    with contextlib.suppress(Exception):
        stop(shim.wrap(FakeClient()))
shim.close()
"""


def test_copies_of_a_bot_do_not_collide(tmp_path):
    """Of two copies of a bot the one that ran was seen, its helper too; the other one never was."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for file, text in (("exits.py", COPY), ("helper.py", HELPER), ("main.py", RUN)):
            (tmp_path / name / file).write_text(text)
    journal = tmp_path / "journal.db"
    subprocess.run(
        [sys.executable, "main.py"],
        env={**os.environ, "EXIT_SHIM_JOURNAL": str(journal)},
        cwd=tmp_path / "two",
        capture_output=True,
        check=True,
    )
    found = json.loads(run(tmp_path, "--against", journal, "--json"))
    assert [(site["file"], site["seen"]) for site in found["sites"]] == [
        ("one/exits.py", 0),
        ("one/helper.py", 0),
        ("two/exits.py", 2),
        ("two/helper.py", 2),
    ]
