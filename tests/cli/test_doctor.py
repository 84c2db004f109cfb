"""`exit-shim doctor`: what would lose records or stops is found before it does."""

import contextlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import binance
import pytest
from abilities import ALGO, needs_algo
from click.testing import CliRunner
from repository import ROOT

import exit_shim
from exit_shim.cli import app
from exit_shim.cli.doctor import (
    LEVELS,
    check_bridge,
    diagnose,
    inspect_client,
    installed_version,
    read_versions,
    table_rows,
)
from exit_shim.clients.python_binance_releases import (
    hears_user_stream,
    missing_doors,
    sends_stops_where_accepted,
)
from exit_shim.journal import SCHEMA_VERSION, examine
from exit_shim.testing import FakeClient, LocalExchange
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET

STOP = {
    "symbol": "BTCUSDT",
    "side": "SELL",
    "type": "STOP_MARKET",
    "closePosition": "true",
    "stopPrice": "1",
}


class UpToDate:
    """A client class and socket manager in one, with what Binance asks for today."""

    def futures_create_order(self, **params):
        params["clientAlgoId"] = "x"

    ws_futures_create_order = futures_create_order

    def futures_user_socket(self):
        return "private/"


class Behind:
    """A release from before the Algo Service and the routed streams; its words are no evidence."""

    def futures_create_order(self, **params):
        """Not by clientAlgoId."""
        params["newClientOrderId"] = "x"

    ws_futures_create_order = futures_create_order

    def futures_user_socket(self):
        """Not private/."""
        return "ws/"


class BehindInOne(UpToDate):
    """A release whose REST methods know the Algo Service and whose WebSocket API does not."""

    ws_futures_create_order = Behind.futures_create_order


@pytest.fixture
def library(monkeypatch, tmp_path):
    """Let the doctor find the given class as the installed python-binance; it runs in an empty folder."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")

    def install(kind):
        for name in ("Client", "AsyncClient", "BinanceSocketManager"):
            monkeypatch.setattr(binance, name, kind)

    install(UpToDate)
    return install


@pytest.fixture
def journal():
    """Where the journal is to be."""
    return Path(os.environ["EXIT_SHIM_JOURNAL"])


def doctor(*arguments):
    return CliRunner().invoke(app, ["doctor", *arguments])


def diagnosed():
    """The report as a program reads it, and the codes that it found, by level."""
    result = doctor("--json")
    found = json.loads(result.stdout)
    codes = [(problem["level"], problem["code"]) for problem in found["problems"]]
    assert result.exit_code == any(level == "error" for level, _ in codes)
    if not ALGO:  # the stops that `record` places with such a release are refused
        codes = [each for each in codes if each[1] != "BRIDGE_WOULD_HELP"]
    return found, codes


def record(journal, *symbols):
    """An accepted stop for each symbol, in the journal."""
    shim = exit_shim.ExitShim(journal=journal, sinks=[])
    wrapped = shim.wrap(FakeClient())
    for symbol in symbols:
        with contextlib.suppress(Exception):
            wrapped.futures_create_order(**{**STOP, "symbol": symbol})
    shim.close()


def test_a_healthy_machine_has_no_problems(library):
    """With everything in its place the status is 0, and the last line says so."""
    result = doctor()
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "No problems found."
    assert diagnosed()[1] == []


def test_versions_of_all_that_it_is_made_of(library):
    """Python's version and that of every package of the core are named."""
    found, _ = diagnosed()
    assert set(found["versions"]) == {
        "python",
        "exit_shim",
        "python-binance",
        "wrapt",
        "structlog",
        "msgspec",
    }
    assert all(found["versions"].values())
    assert found["versions"]["python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")


def test_a_package_that_is_missing_is_no_version():
    """What is not installed is told as such, not raised."""
    assert installed_version("no-such-distribution-of-anybody") is None


def test_the_journal_is_counted(library, journal):
    """Runs, records, size and schema of a journal are those of the file, its WAL included."""
    record(journal, "BTCUSDT", "ETHUSDT")
    record(journal, "BTCUSDT")
    found = diagnosed()[0]["journal"]
    assert (found["runs"], found["records"], found["in_doubt"], found["schema"]) == (2, 3, 0, SCHEMA_VERSION)
    assert found["exists"]
    assert found["writable"]
    assert found["size"] >= journal.stat().st_size > 0


def test_a_journal_that_is_not_there_yet_is_fine_and_stays_so(library, journal):
    """Looking makes no file; the first order will."""
    found, codes = diagnosed()[0]["journal"], diagnosed()[1]
    assert codes == []
    assert (found["exists"], found["writable"], found["schema"]) == (False, True, None)
    assert not journal.exists()


def test_looking_changes_nothing_and_meets_a_writer_at_work(library, journal):
    """Beside a bot that holds the write lock the journal is found usable, and the bot's rows are its own."""
    record(journal, "BTCUSDT")
    with contextlib.closing(sqlite3.connect(journal, isolation_level=None)) as bot:
        bot.execute("BEGIN IMMEDIATE")
        found, codes = diagnosed()[0]["journal"], diagnosed()[1]
        bot.execute("ROLLBACK")
    assert codes == []
    assert found["records"] == 1


def test_orders_in_doubt_are_a_warning(library, journal):
    """An order without an outcome, or with an unknown one, is counted and told; it is no failure."""
    record(journal, "BTCUSDT", "ETHUSDT", "BTCUSDT")
    with contextlib.closing(sqlite3.connect(journal, isolation_level=None)) as own:
        own.execute("UPDATE orders SET state = 'in doubt' WHERE symbol = 'BTCUSDT'")
    found, codes = diagnosed()
    assert found["journal"]["in_doubt"] == 2
    assert codes == [("warning", "ORDERS_IN_DOUBT")]


@pytest.mark.parametrize("how", ["below a file", "folder", "text", "other", "newer", "damaged"])
def test_a_journal_that_cannot_be_used_is_an_error(library, journal, how, monkeypatch, tmp_path):
    """Whatever keeps orders from being recorded is named with its file, and the status is 1."""
    if how == "below a file":
        (tmp_path / "file").touch()
        monkeypatch.setenv("EXIT_SHIM_JOURNAL", str(tmp_path / "file" / "journal.db"))
    elif how == "folder":
        journal.mkdir()
    elif how == "text":
        journal.write_text("not a database at all, but a text of some length\n" * 20)
    else:
        record(journal, *["BTCUSDT"] * 40)
        with contextlib.closing(sqlite3.connect(journal, isolation_level=None)) as own:
            if how != "damaged":
                own.execute("PRAGMA " + ("application_id=7" if how == "other" else "user_version=99"))
        if how == "damaged":
            with journal.open("r+b") as file:
                file.seek(4096)
                file.write(b"\xff" * 4096)
    found, codes = diagnosed()
    assert codes == [("error", "JOURNAL_UNUSABLE")]
    assert Path(os.environ["EXIT_SHIM_JOURNAL"]).name in found["journal"]["problem"]
    assert not found["journal"]["writable"]


@pytest.mark.parametrize("there", [True, False])
def test_a_place_that_this_user_cannot_write_is_an_error(library, journal, there, monkeypatch):
    """A file or folder without the permission is found, whether the journal is there yet or not."""
    if there:
        record(journal, "BTCUSDT")
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert diagnosed()[1] == [("error", "JOURNAL_UNUSABLE")]


def test_a_disk_that_is_nearly_full_is_an_error(library, monkeypatch):
    """Little room is told before SQLite says so in the middle of an order."""
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    assert diagnosed()[1] == [("error", "DISK_NEARLY_FULL")]


def test_a_shim_that_is_off_is_an_error(library, monkeypatch):
    """EXIT_SHIM_DISABLED means that nothing is recorded: it must not be forgotten in an environment."""
    monkeypatch.setenv("EXIT_SHIM_DISABLED", "1")
    assert diagnosed()[1] == [("error", "RECORDING_DISABLED")]


def test_a_library_behind_the_rules_is_an_error(library):
    """A python-binance that sends stops where Binance refuses them, or is deaf, is told from its code."""
    library(Behind)
    assert diagnosed()[1] == [("error", "STOPS_REFUSED"), ("warning", "USER_STREAM_SILENT")]
    library(BehindInOne)
    assert diagnosed()[1] == [("error", "WEBSOCKET_STOPS_REFUSED")]


def test_a_library_that_cannot_be_imported_is_an_error(monkeypatch):
    """A broken python-binance is a finding, not a traceback."""
    monkeypatch.setitem(sys.modules, "binance", None)
    found, codes = diagnosed()
    assert codes == [("error", "PYTHON_BINANCE_UNUSABLE")]
    assert "ModuleNotFoundError" in found["python_binance"]["problem"]


def test_configuration_says_where_each_value_came_from(library, journal, monkeypatch):
    """Each setting is there with the value in force, and whether the environment or a default gave it."""
    monkeypatch.setenv("EXIT_MODE", "exit_brain_v3")
    found = {one["name"]: (one["value"], one["source"]) for one in diagnosed()[0]["configuration"]}
    assert found["EXIT_MODE"] == ("EXIT_BRAIN_V3", "environment")
    assert found["EXIT_SHIM_JOURNAL"] == (str(journal), "environment")
    assert found["EXIT_SHIM_DISABLED"] == ("0", "default")
    assert found["EXIT_BRAIN_V3_ENABLED"] == ("not set", "default")
    assert found["roles.passthrough"] == ("safe_order_executor", "default")


def test_a_mode_that_is_none_is_a_warning(library, monkeypatch):
    """Orders are recorded under LEGACY all the same, so it is no error."""
    monkeypatch.setenv("EXIT_MODE", "EXIT_BRIAN")
    assert diagnosed()[1] == [("warning", "MODE_UNCLEAR")]


def test_a_policy_is_read_too(library, journal, monkeypatch, tmp_path):
    """One that has an error is an error; a kill switch is a warning."""
    path = tmp_path / "mine.toml"
    monkeypatch.setenv("EXIT_SHIM_POLICY", str(path))
    path.write_text('lvel = "warn"\n')
    assert diagnosed()[1] == [("error", "POLICY_UNUSABLE")]
    path.write_text("[modes.NIGHT]\n")
    monkeypatch.setenv("EXIT_MODE", "NIGHT")
    journal.with_name(f"{journal.name}.enforce-off").touch()
    assert diagnosed()[1] == [("warning", "ENFORCEMENT_OFF")]


def test_doors_that_the_library_has_not_are_named():
    """A door that the installed release lacks is told by its name, and no complaint."""
    found = inspect_client(UpToDate)
    assert found.doors == 2
    assert "futures_place_batch_order" in found.missing
    assert found.missing == missing_doors(UpToDate) == sorted(found.missing)


def test_the_installed_library_is_told_apart_by_its_own_release():
    """The classes of the python-binance at hand say what its release number promises."""
    number = tuple(map(int, read_versions()["python-binance"].split(".")))
    for kind in (binance.Client, binance.AsyncClient):
        assert sends_stops_where_accepted(kind) is (number >= (1, 0, 33))
        assert sends_stops_where_accepted(kind, "ws_futures_create_order") is (number >= (1, 0, 34))
    assert hears_user_stream(binance.BinanceSocketManager) is (number >= (1, 0, 36))


def test_the_table_has_everything_that_the_json_has(library):
    """A person is shown every version, every setting and every fact of the journal."""
    found = diagnose()
    shown = {what for _, what, _ in table_rows(found)}
    assert set(found.versions) | set(found.journal) | {one.name for one in found.configuration} <= shown
    assert doctor().stdout.count("\n") > len(shown)


def test_a_relative_path_is_told_in_full(tmp_path, monkeypatch):
    """The path is what another shell needs to find the file."""
    monkeypatch.chdir(tmp_path)
    assert examine("journal.db").path == str(tmp_path / "journal.db")


def test_it_runs_as_the_command_does(journal):
    """The command itself, in a process of its own, prints the report; no exchange is asked for it."""
    ran = subprocess.run(
        [sys.executable, "-m", "exit_shim", "doctor", "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HTTPS_PROXY": "http://127.0.0.1:9"},
    )
    assert ran.stderr == ""
    assert json.loads(ran.stdout)["journal"]["path"] == str(journal)


def test_the_reference_has_every_finding():
    """Each code stands in docs/reference/doctor.md with its level, and none that is not given."""
    page = (ROOT / "docs/reference/doctor.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `([A-Z_]+)` \| (\w+) \|", page, re.MULTILINE))
    assert listed == dict(LEVELS)


def test_a_declared_door_that_reads_nothing_is_found(journal, library, caplog):
    """A door whose calls it cannot read is a finding, with the way out, until it has read one."""

    class Adapter:
        def signed(self, method, path, body):
            return {"orderId": 1}

        def place(self, order):
            return {"orderId": 1}

    routes = {("post", "fapi/v1/order"): exit_shim.Door("")}
    doors = [exit_shim.Door("signed", routes=routes), exit_shim.Door("place", parse=lambda order: order)]
    adapter = exit_shim.wrap(Adapter(), doors=doors)
    stop = {**STOP, "stopPrice": "50000"}
    adapter.signed("GET", "/fapi/v1/account", None)
    adapter.place(stop)
    assert found_codes() == []
    adapter.signed("POST", "/fapi/v1/order", "symbol=BTCUSDT&side=SELL")
    assert "could not read a call of the door signed" in caplog.text
    (finding,) = [one for one in found_texts() if "signed" in one]
    assert "declare the door with `parse`" in finding
    adapter.signed("POST", "/fapi/v1/order", stop)
    assert found_codes() == []


def found_codes():
    exit_shim.shim.default_shim().flush()
    return [one.code for one in diagnose().problems if one.code == "DOOR_UNREAD"]


def found_texts():
    exit_shim.shim.default_shim().flush()
    return [one.text for one in diagnose().problems if one.code == "DOOR_UNREAD"]


def test_a_route_that_was_not_declared_is_named(library):
    """A call that changes something, by none of the declared routes, is told with its verb and path."""

    class Adapter:
        def signed(self, method, path, body):
            return {}

    routes = {("post", "order"): exit_shim.Door("")}
    adapter = exit_shim.wrap(Adapter(), doors=[exit_shim.Door("signed", routes=routes)])
    adapter.signed("POST", "/fapi/v1/order?x=1", {"symbol": "BTCUSDT"})
    (text,) = found_texts()
    assert "post /fapi/v1/order is none of its routes" in text


def test_a_package_in_python_binances_place_is_told(monkeypatch):
    """Where another package has overwritten it, the doctor says so instead of failing."""
    monkeypatch.delattr(binance, "Client")
    assert "PYTHON_BINANCE_UNUSABLE" in [one.code for one in diagnose().problems]


@needs_algo
def test_a_bot_of_the_old_exchange_is_told_of_the_bridge(tmp_path, monkeypatch):
    """Cancel-alls that reach no stop are a sign that the bridge would help; with it there is none."""
    monkeypatch.setenv("EXIT_SHIM_JOURNAL", str(tmp_path / "exits.db"))
    with LocalExchange() as exchange:
        exchange.register(LOCAL_KEY, LOCAL_SECRET)
        client = binance.Client(LOCAL_KEY, LOCAL_SECRET, ping=False)
        client.FUTURES_URL = exchange.url + "/fapi"
        client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
        for is_bridged, codes in ((False, {"BRIDGE_WOULD_HELP"}), (True, set())):
            shim = exit_shim.ExitShim(journal=tmp_path / "exits.db", bridge=is_bridged, sinks=[])
            bot = shim.wrap(client)
            bot.futures_create_order(
                symbol="BTCUSDT", side="SELL", type="STOP_MARKET", stopPrice=50000, quantity=0.01
            )
            bot.futures_cancel_all_open_orders(symbol="BTCUSDT")
            shim.flush()
            shim.close()
            found = {problem.code for problem in check_bridge(examine(str(tmp_path / "exits.db")))}
            assert found == codes
        client.close_connection()


OF_2024 = [("warning", "ALGO_ID_IGNORED"), ("warning", "ALGO_STORE_IGNORED")]


def test_the_source_in_this_folder_is_read(library, monkeypatch):
    """Calls of before 2025-12-09 in the bot of this folder are warnings; the bridge answers them."""
    monkeypatch.chdir(ROOT / "examples" / "bot_of_2024")
    lines = enumerate(Path("main.py").read_text().splitlines(), 1)
    reads = [f"main.py:{number}" for number, line in lines if re.search("order.{2}orderId", line)]
    found, codes = diagnosed()
    assert codes == OF_2024
    assert found["source"] == {
        "path": str(ROOT / "examples" / "bot_of_2024"),
        "origin": "this folder",
        "sites": 4,
        "out_of_reach": 0,
        "only_by_raw": 0,
        "problem": None,
    }
    assert "3 lines read orderId of conditional orders" in found["problems"][0]["text"]
    assert f"({', '.join(reads)})" in found["problems"][0]["text"]
    monkeypatch.setenv("EXIT_SHIM_BRIDGE", "1")
    assert diagnosed()[1] == []


def test_orders_out_of_reach_are_a_warning(library, tmp_path):
    """Places that send by another transport than a supported one are named, with the first of them."""
    bot = tmp_path / "bot.py"
    line = (
        'urllib3.request("POST", "https://fapi.binance.com/fapi/v1/order", params={"type": "STOP_MARKET"})\n'
    )
    bot.write_text(line * 5)
    lines = doctor("--source", str(bot)).stdout.splitlines()
    assert lines[-2:] == [
        (
            "warning: SITES_OUT_OF_REACH 5 places in the source send orders by raw HTTP, which are neither "
            "recorded nor guarded (bot.py:1, bot.py:2, bot.py:3 and 2 more)"
        ),
        (
            "warning: STOPS_TO_OLD_PATH 5 places send conditional orders where Binance has refused them "
            "since 2025-12-09 (bot.py:1, bot.py:2, bot.py:3 and 2 more); send them to the Algo Service "
            "(/fapi/v1/algoOrder)"
        ),
    ]


def test_raw_requests_are_a_warning_until_they_are_covered(library, tmp_path, monkeypatch):
    """Places that send raw requests are named with what records them; EXIT_SHIM_RAW answers the warning."""
    bot = tmp_path / "bot.py"
    bot.write_text('import requests\nrequests.post("https://fapi.binance.com/fapi/v1/algoOrder")\n')
    assert doctor("--source", str(bot)).stdout.splitlines()[-1] == (
        "warning: SITES_ONLY_BY_RAW 1 place in the source sends orders by raw HTTP, which are recorded only "
        "with install(raw=True), exit-shim run --raw or EXIT_SHIM_RAW=1 (bot.py:2)"
    )
    monkeypatch.chdir(tmp_path)
    found, codes = diagnosed()
    assert codes == [("warning", "SITES_ONLY_BY_RAW")]
    assert (found["source"]["only_by_raw"], found["source"]["out_of_reach"]) == (1, 0)
    monkeypatch.setenv("EXIT_SHIM_RAW", "1")
    assert diagnosed()[1] == []


@pytest.mark.parametrize("where", ["empty", "home", "above home", "many"])
def test_a_folder_that_is_no_bots_is_not_read(library, tmp_path, monkeypatch, where):
    """Unasked no home folder is read, none above it, and none of many files; the doctor says why."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(0 if where == "empty" else 501 if where == "many" else 1):
        (folder / f"{number}.py").write_text("client.papi_create_um_conditional_order()\n")
    home = {"home": folder, "above home": folder / "home"}.get(where, tmp_path / "home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(folder)
    found, codes = diagnosed()
    assert codes == []
    expected = {"empty": "no Python files", "many": "more than 500 files"}
    assert expected.get(where, "a home folder") in found["source"]["problem"]
