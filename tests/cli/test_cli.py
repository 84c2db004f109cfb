"""The commands, as people start them: real processes, their output, their exit status."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from datetime import datetime, timedelta, timezone
from unittest import mock

import pytest
from bots import STOP, FakeClient

import exit_shim
from exit_shim.cli.clock import UTC_CLOCK
from exit_shim.clients.accounts import key_label
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET

CLOSING = """
    from binance.client import Client
    client = Client(ping=False)
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    def close():
        order = dict(symbol="BTCUSDT", side="SELL", type="MARKET", quantity=0.001)
        client.futures_create_order(**order, reduceOnly=True)
"""

FIELDS = set(
    re.findall(
        r"\w+",
        """
    ts run_id seq account door operation symbol side position_side type kind quantity price trigger_price
    close_position reduce_only client_order_id module dotted_module function file line via evidence
    explanation mode verdict reasons outcome order_id algo_id error_code error_message is_bridged sent
    presend_us total_us
    """,
    )
)


STARTED = []


@pytest.fixture(autouse=True)
def no_process_is_left():
    """A test that fails half way leaves nothing running."""
    yield
    while STARTED:
        with STARTED.pop() as process:
            process.kill()


def start(*arguments, **options):
    STARTED.append(
        subprocess.Popen(
            [sys.executable, "-m", "exit_shim", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
    )
    return STARTED[-1]


def finished(process):
    with process:
        try:
            out, err = process.communicate(timeout=60)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def cli(*arguments, **options):
    return finished(start(*arguments, **options))


@pytest.fixture
def bot(tmp_path):
    """Write a bot; returns its path."""

    def write(source, name="bot.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
        return path

    return write


def python(*arguments, **options):
    """The same through python itself, to compare with."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, check=False, **options
    )


SEEN = """
    import sys
    print(sys.argv, sys.path[0], __file__, __name__, __package__, __doc__, __spec__ and __spec__.name)
    print(sys.modules["__main__"].__dict__ is globals(), sorted({*globals()} - {'__annotations__'}))
"""


@pytest.mark.parametrize(
    "command",
    [
        ["bot.py"],
        ["bot.py", "one", "--json", "--", "-m", "--mode"],
        ["folder/../linked.py", "-h", "--version"],
        ["-m", "bot", "--json", "--mode", "X", "--help"],
        ["-m", "package", "run", "--local"],
        ["-m", "package.inner", "--", "a"],
    ],
)
def test_a_bot_finds_what_python_gives_it(bot, tmp_path, command):
    """Arguments, sys.path[0] and the names of `__main__` are those that python itself gives."""
    bot(SEEN)
    bot(SEEN, "package/__main__.py")
    bot(SEEN, "package/inner.py")
    bot("", "package/__init__.py")
    (tmp_path / "folder").mkdir()
    (tmp_path / "linked.py").symlink_to("package/inner.py")
    plain = python(*command, cwd=tmp_path).stdout.splitlines()
    shimmed = cli("run", *command, cwd=tmp_path).stdout.splitlines()
    assert len(plain) == 2
    assert shimmed[:2] == plain


def test_options_may_stand_before_the_bot(bot, tmp_path):
    """`-mMODULE` in one word and options in front of it are the command's; what follows is the bot's."""
    bot("import sys, os; print(sys.argv[1:], os.environ['EXIT_MODE'])")
    done = cli("run", "--mode", "EXIT_BRAIN_V3", "-mbot", "--mode", "other", cwd=tmp_path)
    assert done.stdout.splitlines()[0] == "['--mode', 'other'] EXIT_BRAIN_V3"


@pytest.mark.parametrize(
    ("source", "status", "said"),
    [
        ("pass", 0, ""),
        ("import sys; sys.exit()", 0, ""),
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit('over')", 1, "over\n"),
        ("raise KeyboardInterrupt", 130, ""),
        ("x = = 1", 1, None),
        ("def f():\n    1/0\nf()", 1, None),
        ("try:\n    1/0\nexcept ZeroDivisionError as e:\n    raise KeyError from e", 1, None),
        ("import asyncio; raise asyncio.CancelledError", 1, None),
        (
            "import sys; sys.excepthook = lambda *e: print('hooked', e[0].__name__, file=sys.stderr); 1/0",
            1,
            None,
        ),
    ],
)
def test_the_exit_status_is_the_bots(bot, source, status, said):
    """sys.exit, exceptions and Ctrl-C end as with python; a traceback shows the bot's frames alone."""
    path = bot(source)
    done = cli("run", path)
    assert done.returncode == status
    assert done.stderr == (python(path).stderr if said is None else said)
    assert "0 exit orders" in done.stdout


def test_threads_pools_and_atexit_functions_are_part_of_the_run(bot, recorded):
    """Orders of a lingering thread, a pool nobody shut down, and an atexit function are in the report."""
    path = bot(
        CLOSING
        + """
    import atexit, concurrent.futures, threading, time
    pool = concurrent.futures.ThreadPoolExecutor(1)
    pool.submit(close)
    def late():
        time.sleep(0.2)
        import __main__
        __main__.close()
    threading.Thread(target=late).start()
    atexit.register(client.futures_market_sell_order, symbol="BTCUSDT", quantity=0.001, reduceOnly=True)
    """
    )
    done = cli("run", "--local", "--sites", path)
    assert done.returncode == 0
    assert "3 exit orders by 1 module" in done.stdout
    assert "accepted=2" in done.stdout
    assert "futures_market_sell_order" in {r.intent.door for r in journal_lines()}
    assert done.stdout.splitlines()[-2].startswith("1 entry order passed through; journal: ")


def test_a_local_run_looks_up_what_is_in_doubt_here_and_nothing_else(bot, monkeypatch):
    """An order whose answer did not come is looked up on the local exchange, one of a real account is not."""
    label = key_label(LOCAL_KEY)
    shim = exit_shim.ExitShim(account=label, sinks=[])
    real = FakeClient()
    monkeypatch.setattr(real, "futures_create_order", mock.Mock(side_effect=TimeoutError))
    with pytest.raises(TimeoutError):
        shim.wrap(real).futures_create_order(**STOP, newClientOrderId="real")
    shim.close()
    monkeypatch.delenv("EXIT_SHIM_RESOLVE")
    path = bot(
        CLOSING
        + """
    import requests, time, exit_shim.shim
    order = dict(symbol="BTCUSDT", side="SELL", type="MARKET", quantity=0.001, reduceOnly="true")
    def lose(*args, **kwargs):
        client.session.hooks["response"].clear()
        raise requests.ReadTimeout
    client.session.hooks["response"].append(lose)
    try:
        client.futures_create_order(**order)
    except requests.ReadTimeout:
        pass
    while exit_shim.shim.default_shim().resolver.is_busy():
        time.sleep(0.05)
    """
    )
    done = cli("run", "--local", path)
    assert done.returncode == 0, done.stderr
    old, new = journal_lines()
    assert (old.intent.account, old.resolution) == (label, None)
    assert new.intent.account.startswith(f"{label}@127.0.0.1:")
    assert (new.outcome.result, new.resolution.result) == ("unknown", "accepted")


def test_log_lines_come_before_the_report(bot):
    """What the bot's logging prints of its orders stands before the report, submission first."""
    path = bot(
        CLOSING
        + "\n    import logging, sys\n    logging.basicConfig(stream=sys.stdout, level='INFO')\n    close()"
    )
    said = cli("run", "--local", path).stdout
    places = [said.find(text) for text in ("submitting exit order", "exit order accepted", "1 exit order by")]
    assert -1 < places[0] < places[1] < places[2]


def journal_lines():
    return list(exit_shim.journal.read_records(os.environ["EXIT_SHIM_JOURNAL"]))


def test_ctrl_c_still_reports(bot):
    """SIGINT ends the bot with 130, and who placed what is printed all the same."""
    path = bot(
        CLOSING + "\n    import time\n    close()\n    print('placed', flush=True)\n    time.sleep(30)"
    )
    process = start("run", "--local", path)
    assert process.stdout.readline() == "placed\n"
    process.send_signal(signal.SIGINT)
    done = finished(process)
    assert done.returncode == 130
    assert "1 exit order by 1 module" in done.stdout
    assert "Traceback" not in done.stderr


def test_json_lines_are_all_of_stdout(bot):
    """With --json stdout is one object a line; whatever the bot prints, its children too, is on stderr."""
    path = bot(
        CLOSING
        + """
    import os, atexit
    atexit.register(print, "last words")
    os.write(1, b"raw words\\n")
    print("words")
    close()
    if not os.fork():
        raise SystemExit
    os.wait()
    """
    )
    done = cli("run", "--local", "--json", "--mode", "EXIT_BRAIN_V3", path)
    (line,) = [json.loads(text) for text in done.stdout.splitlines()]
    assert set(line) >= FIELDS
    assert (line["module"], line["function"], line["mode"]) == ("bot", "close", "EXIT_BRAIN_V3")
    assert (line["evidence"], line["outcome"], line["file"]) == ("stack", "accepted", str(path))
    assert {"raw words", "words", "last words"} <= set(done.stderr.splitlines())


def test_a_forked_child_does_not_report(bot):
    """A child that the bot forks and that ends like a program prints no second report."""
    path = bot("import os, sys\nif not os.fork():\n    sys.exit(0)\nos.wait()")
    assert cli("run", path).stdout.count("exit orders by") == 1


def test_a_reader_that_leaves_early_is_no_error(bot):
    """`exit-shim run ... | head -0` ends quietly."""
    process = start("run", bot("import time; time.sleep(0.2)"))
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() == 0


def test_disabled_nothing_is_recorded(bot):
    """With EXIT_SHIM_DISABLED=1 the bot runs bare, and the report says so."""
    path = bot(CLOSING + "\n    close()\n    print(type(client.futures_create_order).__name__)")
    done = cli("run", "--local", path, env={**os.environ, "EXIT_SHIM_DISABLED": "1"})
    assert done.stdout == "method\n"
    assert done.stderr == "EXIT_SHIM_DISABLED is set: nothing was recorded\n"


def test_a_run_without_a_journal_still_counts(bot, tmp_path):
    """Where the journal cannot be written the bot runs on, and the report says why and what it counted."""
    nowhere = tmp_path / "file"
    nowhere.touch()
    path = bot(CLOSING + "\n    close()\n    close()")
    done = cli("run", "--local", path, env={**os.environ, "EXIT_SHIM_JOURNAL": str(nowhere / "journal.db")})
    assert done.returncode == 0
    assert f"the journal {nowhere}/journal.db cannot be opened for writing" in done.stderr
    assert "set EXIT_SHIM_JOURNAL to a path that this user can write" in done.stderr
    assert '"total_orders":2' in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run"], "name a SCRIPT.py or -m MODULE"),
        (["run", "missing.py"], "missing.py is not a file"),
        (["run", "-m", "missing.module"], "there is no module named missing.module in "),
        (["run", "-m"], "'-m' requires an argument"),
        (["run", "--bogus", "x.py"], "No such option"),
        (["run", "--mode", "HALF", __file__], "'HALF' is not a mode; expected LEGACY, EXIT_BRAIN_V3"),
        (["records", "--since", "yesterday"], "'yesterday' is not a time; expected 90s, 15m, 2h, 7d or "),
        (["records", "--since", "99999999999999d"], "is not a time"),
        (["summary", "--since", "5w"], "'5w' is not a time"),
        (["frobnicate"], "No such command 'frobnicate'"),
        (["exchange", "--port", "70000"], "70000 is not in the range"),
    ],
)
def test_wrong_use_is_named(arguments, said):
    """Status 2 and a text that names the thing and what is allowed; no traceback."""
    done = cli(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["summary", "records", "tail"])
def test_a_missing_journal_is_said_with_the_way_out(command):
    """Reading where nothing was written names the path and EXIT_SHIM_JOURNAL."""
    done = cli(command)
    assert done.returncode == 1
    assert f"there is no journal at {os.environ['EXIT_SHIM_JOURNAL']}" in done.stderr
    assert "set EXIT_SHIM_JOURNAL" in done.stderr


@pytest.fixture
def three_orders():
    """A journal with a stop on BTCUSDT by one module and one on ETHUSDT and BTCUSDT by another."""
    used = exit_shim.wrap(FakeClient())
    for module, symbol in (
        ("position_monitor", "BTCUSDT"),
        ("hybrid_tpsl", "ETHUSDT"),
        ("hybrid_tpsl", "BTCUSDT"),
    ):
        with exit_shim.attributed(module):
            used.futures_create_order(**{**STOP, "symbol": symbol})
    exit_shim.shim.default_shim().journal.close()


def listed(*arguments):
    return [json.loads(line) for line in cli("records", "--json", *arguments).stdout.splitlines()]


def test_records_and_their_filters(three_orders):
    """Records come oldest first, one JSON object a line, narrowed by module, symbol and time."""
    lines = listed()
    assert [(line["module"], line["symbol"]) for line in lines] == [
        ("position_monitor", "BTCUSDT"),
        ("hybrid_tpsl", "ETHUSDT"),
        ("hybrid_tpsl", "BTCUSDT"),
    ]
    assert all(set(line) >= FIELDS for line in lines)
    assert listed("--module", "hybrid_tpsl", "--symbol", "ethusdt") == lines[1:2]
    assert listed("--module", "nobody") == []
    assert listed("--since", "1d") == lines
    assert listed("--since", f"{datetime.now(timezone.utc) + timedelta(hours=1):%Y-%m-%dT%H:%MZ}") == []


@pytest.mark.parametrize(
    ("since", "moment"),
    [
        ("2026-11-23", 1795392000),
        ("2026-11-23T09:30", 1795426200),
        ("2026-11-23T09:30:00Z", 1795426200),
        ("2026-11-23T11:30+02:00", 1795426200),
        ("0001-01-01", 0),
        ("9999-12-31", 2**63 / 1e9),
    ],
)
def test_moments(since, moment):
    """A time is of the chosen zone where it names none; it is cut to what a journal can hold."""
    assert UTC_CLOCK.read(since) == pytest.approx(moment * 1e9)


def test_so_long_ago():
    """90s, 15m, 2h and 7d count back from now."""
    for ago, seconds in (("90s", 90), ("15m", 900), ("2h", 7200), ("7d", 604800)):
        assert UTC_CLOCK.read(ago) == pytest.approx((time.time() - seconds) * 1e9, abs=1e9)


def test_tables_are_plain_when_piped(three_orders):
    """Summary and records are aligned text without colours or boxes when they are not on a terminal."""
    records, summary = cli("records").stdout, cli("summary", "--sites").stdout
    assert re.search(
        r"hybrid_tpsl +place +sl +ETHUSDT +SELL +STOP_MARKET +50000.0 +whole position +accepted", records
    )
    assert re.search(r"(?m)^  hybrid_tpsl\n    place +sl +2 ", summary)
    assert "3 exit orders by 2 modules, 0 cancels, 0 changes, 0 ownership conflicts, 3 in LEGACY" in summary
    assert (records + summary).isascii()
    assert "\x1b" not in records + summary


def test_a_summary_as_json(three_orders):
    """As JSON a summary has the totals, and each site with its orders."""
    found = json.loads(cli("summary", "--json").stdout)
    assert found["total_orders"] == 3
    assert found["orders_by_module"] == {"hybrid_tpsl": 2, "position_monitor": 1}
    assert found["orders_by_kind"] == {"sl": 3}
    assert sum(site["orders"] for site in found["sites"]) == 3


@pytest.mark.parametrize("as_json", [True, False])
def test_tail_follows(three_orders, as_json):
    """It shows orders as they are recorded, not those of before, until Ctrl-C, which is no error."""
    process = start("tail", *["--json"] * as_json)
    used, shown = exit_shim.wrap(FakeClient()), []
    os.set_blocking(process.stdout.fileno(), False)
    until = time.monotonic() + 60
    while not shown and time.monotonic() < until:
        used.futures_create_order(**{**STOP, "symbol": "SOLUSDT"})
        time.sleep(0.1)
        shown = [line for line in [process.stdout.readline()] if line]
    os.set_blocking(process.stdout.fileno(), True)
    process.send_signal(signal.SIGINT)
    done = finished(process)
    assert "SOLUSDT" in shown[0]
    assert (shown[0][0] == "{") is as_json
    assert "ETHUSDT" not in shown[0] + done.stdout
    assert done.returncode == 0
    assert re.fullmatch(r"listening to the journal \S+; times are UTC; Ctrl-C ends it\n", done.stderr)


def test_an_exchange_to_oneself():
    """It says where it listens, serves a client, has its port alone, and ends with Ctrl-C."""
    process = start("exchange", "--port", "0")
    url = re.search(r"http://127\.0\.0\.1:(\d+)", process.stdout.readline())
    trade = textwrap.dedent(f"""
        from binance.client import Client
        Client.API_URL, Client.FUTURES_URL = '{url[0]}/api', '{url[0]}/fapi'
        client = Client({LOCAL_KEY!r}, {LOCAL_SECRET!r})
        print(client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)["side"])
    """)
    assert python("-c", trade).stdout == "BUY\n"
    second = cli("exchange", "--port", url[1])
    process.send_signal(signal.SIGINT)
    done = finished(process)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "stopped")
    assert second.returncode == 1
    assert f"cannot listen on 127.0.0.1:{url[1]}" in second.stderr


def test_without_its_extra_the_command_says_how_to_get_it():
    """Without click: one line that names the package and the extra, status 1."""
    block = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == "click": raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from exit_shim.__main__ import main
main()
"""
    done = python("-c", block, "--help")
    assert done.returncode == 1
    assert done.stderr == "exit-shim's commands need click: pip install 'exit_shim[cli]'\n"


def test_the_library_needs_no_extra():
    """Importing and wrapping works without click and rich, and imports neither python-binance nor aiohttp."""
    code = (
        "import sys; sys.modules['click'] = sys.modules['rich'] = None\n"
        "import exit_shim; exit_shim.wrap(object())\n"
        "print(*sorted({'binance', 'aiohttp', 'requests'} & set(sys.modules)))"
    )
    assert python("-c", code).stdout == "\n"


def test_the_console_script(bot):
    """The installed `exit-shim` does what `python -m exit_shim` does."""
    script = os.path.join(os.path.dirname(sys.executable), "exit-shim")  # noqa: PTH118, PTH120
    if not os.path.exists(script):  # noqa: PTH110
        pytest.skip("the package is not installed here")
    path = bot("import sys; print(sys.path[0])")
    done = subprocess.run([script, "run", str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == str(path.parent)
    with contextlib.suppress(IndexError):
        assert "Usage" not in done.stderr
