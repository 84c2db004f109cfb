"""What the commands say where something is wrong, missing or hostile: one true line with the way out."""

import json
import os
import pty
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from binance.exceptions import BinanceAPIException
from bots import STOP, FakeClient
from click.testing import CliRunner
from repository import SUPPORT
from test_cli import bot, cli, no_process_is_left, python, three_orders

import exit_shim
from exit_shim.cli import app
from exit_shim.testing.redirect import LOCAL_KEY

__all__ = ["bot", "no_process_is_left", "three_orders"]  # fixtures

HOSTILE = "evil\x1b]0;owned\x07\r\u202e\x9b31m[/bold]"
ESCAPED = r"evil\x1b]0;owned\x07\r\u202e\x9b31m[/bold]"

PRINTING = {
    "--help": [],
    "--version": [],
    "records": ["--json"],
    "summary": [],
    "explain": ["--help"],
    "verify": [],
    "prune": ["--older-than", "365d"],
    "reconcile": [],
    "doctor": [],
    "mode": [],
    "enforce": [],
    "whatif": ["--policy", "empty.toml"],
}


def command(*words):
    """Run a command in this process; what it prints to stderr follows in its output."""
    return CliRunner().invoke(app, words, catch_exceptions=False)


def one_line(text):
    """Whether a text is one line, and no traceback."""
    return text.count("\n") == 1 and text.endswith("\n") and "Traceback" not in text


def redirect_address(to, *arguments, **options):
    """Run a command with its stdout redirected as a shell would."""
    command = [sys.executable, "-m", "exit_shim", *map(str, arguments)]
    return subprocess.Popen(
        ["sh", "-c", f'exec "$@" {to}', "sh", *command], stderr=subprocess.PIPE, text=True, **options
    )


@pytest.mark.parametrize(
    ("to", "commands"), [(">/dev/full", list(PRINTING)), (">&-", ["--help", "records", "doctor"])]
)
def test_a_command_whose_output_cannot_be_written_says_so(three_orders, tmp_path, to, commands):
    """A full disk and a closed stdout end every command with one line and status 74, without a traceback."""
    (tmp_path / "empty.toml").touch()
    running = {name: redirect_address(to, name, *PRINTING[name], cwd=tmp_path) for name in commands}
    ended = {}
    for name, process in running.items():
        with process:
            text = process.communicate(timeout=300)[1]
            ended[name] = (process.returncode, one_line(text), "output cannot be written" in text)
    assert ended == dict.fromkeys(commands, (74, True, True))


def test_a_reader_that_has_seen_enough_ends_a_command_quietly(three_orders):
    """`exit-shim records | head -0` says nothing and ends as SIGPIPE would: 141."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "exit_shim", "records"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_the_kill_switch_works_without_a_stdout(three_orders):
    """`enforce off` switches first and then says that it could not print."""
    process = redirect_address(">&-", "enforce", "off")
    assert process.communicate(timeout=60)[1].count("\n") == 1
    assert process.returncode == 74
    assert cli("enforce").stdout == "off\n"


@pytest.mark.parametrize("to", [">/dev/full", ">&-"])
def test_a_bot_whose_report_cannot_be_printed_ends_as_itself(bot, tmp_path, to):
    """The bot runs, finds the stdout that Python gives it, and keeps its exit status; one line says why."""
    path = bot("import sys, pathlib; pathlib.Path('ran').write_text(str(sys.stdout)[:4]); sys.exit(3)")
    process = redirect_address(to, "run", path, cwd=tmp_path)
    text = process.communicate(timeout=60)[1]
    assert (process.returncode, one_line(text), "output cannot be written" in text) == (3, True, True)
    assert (tmp_path / "ran").read_text() == ("None" if to == ">&-" else "<_io")


def test_json_lines_without_a_stdout_start_no_bot(bot, tmp_path):
    """`run --json >&-` cannot give what it was asked for, and says so before the bot starts."""
    path = bot("import pathlib; pathlib.Path('ran').touch()")
    process = redirect_address(">&-", "run", "--json", path, cwd=tmp_path)
    text = process.communicate(timeout=60)[1]
    assert (process.returncode, one_line(text)) == (74, True)
    assert not (tmp_path / "ran").exists()


def in_a_terminal(*arguments, columns=300):
    """Run a command with a pseudo-terminal as its stdout; returns what it wrote there."""
    mine, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "exit_shim", *arguments]
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    parts = []
    while True:
        try:
            part = os.read(mine, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        parts.append(part)
    os.close(mine)
    assert process.wait(60) in (0, 1)
    return b"".join(parts).decode()


@pytest.fixture
def hostile_order():
    """An order whose module and client order id hold what a terminal obeys."""
    used = exit_shim.wrap(FakeClient())
    with exit_shim.attributed(HOSTILE):
        used.futures_create_order(**STOP, newClientOrderId="mine")
    exit_shim.shim.default_shim().journal.close()


@pytest.mark.parametrize(
    "arguments", [["explain", "mine"], ["records"], ["explain", "mine", "--json"], ["doctor"]]
)
@pytest.mark.parametrize("run", [in_a_terminal, lambda *arguments: command(*arguments).output])
def test_recorded_text_gives_a_terminal_no_orders(hostile_order, monkeypatch, arguments, run):
    """Control and bidi characters of recorded text are escaped, in tables, sentences and JSON alike."""
    if arguments == ["doctor"]:
        monkeypatch.setenv("EXIT_MODE", HOSTILE)
    text = run(*arguments)
    folded = re.sub(r"\s", "", text)
    assert not set(text.replace("\r\n", "\n")) & set("\x07\r\u202e\x9b")
    assert "\x1b]" not in text
    assert "[/bold]" in folded
    assert r"\u202e" in folded


def test_json_reads_back_what_was_recorded(hostile_order):
    """What is escaped in JSON is the same text for whoever parses it."""
    for arguments in (["records", "--json"], ["explain", "mine", "--json"]):
        (line,) = command(*arguments).output.splitlines()
        assert json.loads(line)["module"] == HOSTILE


def test_an_error_gives_a_terminal_no_orders(tmp_path):
    """A path in an error is escaped too."""
    done = cli("records", env={**os.environ, "EXIT_SHIM_JOURNAL": str(tmp_path / HOSTILE)})
    assert done.returncode == 1
    assert ESCAPED in done.stderr
    assert one_line(done.stderr)


def test_all_output_goes_one_way():
    """No command prints past the function that escapes."""
    folder = Path(exit_shim.__file__).parent / "cli"
    printing = {
        path.name
        for path in folder.glob("*.py")
        if re.search(r"click\.s?echo\(|(?<!\.)\bprint\(", path.read_text())
    }
    assert printing == {"output.py"}


def test_explain_says_who_placed_what_the_guard_no_longer_knows():
    """An order that had ended when it was cancelled again is put down to who placed it, with the record."""
    used = exit_shim.wrap(exit_shim.testing.FakeClient())
    used.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    with exit_shim.attributed("position_monitor"):
        placed = used.futures_create_order(**STOP)
    used.futures_cancel_algo_order(algoId=placed["algoId"])
    for algo_id in (placed["algoId"], 4711):
        with pytest.raises(BinanceAPIException):
            used.futures_cancel_algo_order(algoId=algo_id)
    exit_shim.shim.default_shim().journal.close()
    text = command("explain", str(placed["algoId"])).output
    targets = re.findall(r"target +\d+, (.*)", text)
    assert targets[0] == "sl, placed by position_monitor"
    assert re.fullmatch(r"sl, placed by position_monitor, record [\w-]+:1", targets[1])
    assert "unknown, no record shows who placed it" in command("explain", "4711").output


def test_explain_knows_the_order_of_a_process_that_was_killed(exchange):
    """An order without an outcome is found by the name that its bot gave it; a refused namesake is not it."""
    killed = """
        import os, exit_shim
        from bots import STOP, FakeClient
        shim, client = exit_shim.ExitShim(sinks=[]), FakeClient()
        client.futures_create_order = lambda **params: os._exit(9)
        with exit_shim.attributed("position_monitor"):
            shim.wrap(client).futures_create_order(**STOP, newClientOrderId="mine")
    """
    environment = {**os.environ, "PYTHONPATH": str(SUPPORT)}
    assert python("-c", textwrap.dedent(killed), env=environment).returncode == 9
    used = exit_shim.wrap(exit_shim.testing.FakeClient(exchange=exchange))
    for act in (
        lambda: used.futures_create_order(**STOP, clientAlgoId="mine"),
        lambda: used.futures_cancel_algo_order(clientAlgoId="mine"),
    ):
        with pytest.raises(BinanceAPIException):
            act()
    exit_shim.shim.default_shim().journal.close()
    assert re.search(
        r"target +mine, sl, placed by position_monitor, record [\w-]+:1\n", command("explain", "mine").output
    )


@pytest.mark.parametrize("order", ["9" * 29, "9" * 5000, "no-run:" + "9" * 29, "²", "no-run:²"])
def test_explain_takes_no_number_for_damage(three_orders, order):
    """An id that no journal can hold is an order that is not there."""
    done = command("explain", order)
    assert done.exit_code == 1
    assert f"no record matches {order!r}" in done.output
    assert "damaged" not in done.output


def test_prune_takes_no_time_for_damage(three_orders):
    """A moment that no journal can hold is the first or last that it can."""
    for moment, goes in (("0001-01-01", False), ("9999-12-31", True)):
        done = command("prune", "--older-than", moment, "--json")
        assert (done.exit_code, json.loads(done.output)["events"] > 0) == (0, goes)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--module", "hybrid_tpls"], "--module 'hybrid_tpls' matches no order .*did you mean hybrid_tpsl"),
        (["--module", "nosuch"], "--module 'nosuch' matches .*; it has .*position_monitor"),
        (["--symbol", "btcusd"], "--symbol 'BTCUSD' matches no order .*did you mean BTCUSDT"),
        (["--since", "2099-01-01"], "no order in .* matches --since 2099-01-01 00:00:00 UTC"),
        (
            ["--module", "position_monitor", "--symbol", "ETHUSDT"],
            "matches --symbol 'ETHUSDT' and --module 'position_monitor'; remove or widen a filter",
        ),
    ],
)
def test_an_empty_list_says_why(three_orders, arguments, said):
    """A filter that fits nothing is named, with the values that the journal has."""
    done = command("records", *arguments)
    header, why = done.output.splitlines()
    assert done.exit_code == 0
    assert header.startswith("time (UTC)  module")
    assert re.search(said, why)


def test_why_a_list_is_empty_is_no_json(three_orders):
    """Stdout has JSON lines alone, here none; the reason is on stderr."""
    done = cli("records", "--module", "nosuch", "--json")
    assert (done.returncode, done.stdout) == (0, "")
    assert one_line(done.stderr)


def test_an_empty_journal_says_so():
    """Where no order was ever recorded no filter is to blame."""
    journal = exit_shim.ExitShim(sinks=[]).journal
    journal.open()
    journal.close()
    done = command("records", "--module", "nosuch")
    assert done.output.splitlines()[1:] == [f"the journal {journal.path} has no exit orders yet"]


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (None, 'EXIT_SHIM_POLICY is not set and .* has no exit_shim.toml; .*level = "enforce"'),
        ('level = "warn"\n', 'exit_shim.toml only warns; set level = "enforce" in it'),
        ("lvel = 1\n", "lvel is no key"),
        ('level = "enforce"\n', None),
    ],
)
def test_enforce_says_where_no_policy_enforces(tmp_path, monkeypatch, policy, said):
    """`on` alone holds nothing back: what is missing is said in a second line."""
    monkeypatch.delenv("EXIT_SHIM_POLICY", raising=False)
    if policy is not None:
        (tmp_path / "exit_shim.toml").write_text(policy)
    shim = exit_shim.ExitShim(sinks=[], policy=exit_shim.Policy())
    shim.journal.open()
    shim.close()
    monkeypatch.chdir(tmp_path)
    for arguments, first in ((["enforce"], "on"), (["enforce", "on"], "enforce on: ")):
        done = command(*arguments)
        lines = done.output.splitlines()
        assert done.exit_code == 0
        assert lines[0].startswith(first)
        assert len(lines) == 1 + (said is not None)
        if said is not None:
            assert re.match(f"no policy found here enforces anything: .*{said}", lines[1])


def test_the_switch_is_one_word_on_stdout(tmp_path, monkeypatch):
    """What `enforce` explains is on stderr, so that a script reads `on` or `off`."""
    monkeypatch.delenv("EXIT_SHIM_POLICY", raising=False)
    shim = exit_shim.ExitShim(sinks=[])
    shim.journal.open()
    shim.close()
    done = cli("enforce", cwd=tmp_path)
    assert done.stdout == "on\n"
    assert one_line(done.stderr)


BOT_AT_HOME = """
    import sys, exit_shim
    from bots import STOP, FakeClient
    where = {} if len(sys.argv) < 2 else {"journal": sys.argv[1]}
    shim = exit_shim.ExitShim(sinks=[], **where)
    shim.wrap(FakeClient()).futures_create_order(**STOP)
    shim.close()
    print(sum(1 for _ in exit_shim.journal.read_records("~/j.db")))
"""


@pytest.mark.parametrize("argument", [[], ["~/j.db"]])
def test_the_home_of_a_user_is_found(tmp_path, argument):
    """A ~ in EXIT_SHIM_JOURNAL or journal= is the user's home for bots and commands, and no folder."""
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    tests = str(SUPPORT)
    variable = {} if argument else {"EXIT_SHIM_JOURNAL": "~/j.db"}
    environment = {**os.environ, "HOME": str(home), "PYTHONPATH": tests, **variable}
    done = python("-c", textwrap.dedent(BOT_AT_HOME), *argument, env=environment, cwd=work)
    assert (done.stdout, done.stderr) == ("1\n", "")
    environment["EXIT_SHIM_JOURNAL"] = "~/j.db"
    assert "1 exit order by" in cli("summary", env=environment, cwd=work).stdout
    assert (home / "j.db").is_file()
    assert list(work.iterdir()) == []


def test_audit_says_what_the_exchange_answered(exchange):
    """Type, code, text, status and address of a refusal are there; the secret is not."""
    keys = {"BINANCE_API_KEY": LOCAL_KEY, "BINANCE_API_SECRET": "not-the-secret"}
    done = cli("audit", "--local", exchange.url, env={**os.environ, **keys})
    assert done.returncode == 2
    address = exchange.url.removeprefix("http://")
    assert f"{address} cannot be asked: BinanceAPIException: APIError(code=-1022): Sig" in done.stderr
    assert "(HTTP 400)" in done.stderr
    assert "not-the-secret" not in done.stderr


def test_audit_says_that_nobody_listens():
    """So is the address where nobody listens; what a URL was signed with is not."""
    done = cli("audit", "--local", "http://127.0.0.1:1")
    assert done.returncode == 2
    assert "127.0.0.1:1 cannot be asked: ConnectionError: " in done.stderr
    assert "signature=***" in done.stderr


def test_audit_says_that_it_has_no_journal(exchange, client):
    """Without a journal no order has a known module, and the reason is said."""
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    client.futures_create_order(**STOP)
    done = cli("audit", "--local", exchange.url)
    assert "UNKNOWN_ORIGIN" in done.stdout
    assert done.stderr.startswith("the module of each order is unknown: there is no journal at ")


def test_a_local_exchange_needs_no_scheme(exchange):
    """`--local HOST:PORT` is taken for http://."""
    done = cli("audit", "--local", exchange.url.removeprefix("http://"))
    assert (done.returncode, done.stdout) == (0, "0 positions, 0 open orders: no problems found\n")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://exchange.invalid:80", "is not on this machine"),
        ("exchange.invalid:80", "is not on this machine"),
        ("http://[::1", "is not an address"),
        ("ftp://127.0.0.1:80", "is not an address"),
        ("127.0.0.1:http", "is not an address"),
        ("", "is not an address"),
    ],
)
def test_a_wrong_local_exchange_is_named(url, said):
    """What --local cannot name is refused with what it can."""
    done = command("audit", "--local", url)
    assert done.exit_code == 2
    assert f"{url!r} {said}; expected http://HOST:PORT, HOST one of 127.0.0.1, localhost, ::1" in done.output


@pytest.mark.parametrize("policy", ["nothere.toml", "."])
def test_whatif_names_the_policy_that_is_not_there(tmp_path, monkeypatch, policy):
    """What --policy names is named, and no variable that has nothing to do with it."""
    monkeypatch.chdir(tmp_path)
    done = command("whatif", "--policy", policy)
    assert done.exit_code == 2
    assert re.search(
        rf"--policy '{policy}' (does not exist|cannot be read .*); expected the path of", done.output
    )
    assert "EXIT_SHIM_POLICY" not in done.output


def test_whatif_names_the_journal_that_is_not_there(tmp_path, monkeypatch):
    """Whether with --from or --journal, what is not there is named."""
    (tmp_path / "empty.toml").touch()
    monkeypatch.chdir(tmp_path)
    for option in ("--from", "--journal"):
        done = command("whatif", "--policy", "empty.toml", option, "no.db")
        assert (done.exit_code, "there is no journal at no.db" in done.output) == (1, True)


def test_whatif_counts_no_answer_as_a_denial(exchange, client, tmp_path):
    """Who cancels an order that would have been simulated, owners too, would be answered and not denied."""
    shim = exit_shim.ExitShim(mode="EXIT_BRAIN_V3", sinks=[], policy=exit_shim.Policy())
    used = shim.wrap(client)
    used.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    with exit_shim.attributed("exit_brain_v3"):
        used.futures_create_order(**STOP)
    target = {**STOP, "type": "TAKE_PROFIT_MARKET", "stopPrice": 70000}
    with exit_shim.attributed("position_monitor"):
        placed = used.futures_create_order(**target)
    with exit_shim.attributed("exit_brain_v3"):
        used.futures_cancel_algo_order(algoId=placed["algoId"])
    shim.close()
    (tmp_path / "p.toml").write_text('level = "enforce"\n[modes.EXIT_BRAIN_V3]\non_deny = "simulate"\n')
    found = json.loads(command("whatif", "--policy", str(tmp_path / "p.toml"), "--json").output)
    assert (found["denied"], found["answered"]) == (1, 1)
    assert {(row["fate"], row["module"], row["symbol"]) for row in found["by"]} == {
        ("denied", "position_monitor", "BTCUSDT"),
        ("answered", "exit_brain_v3", "BTCUSDT"),
    }
    text = command("whatif", "--policy", str(tmp_path / "p.toml")).output
    assert "1 would be denied" in text
    assert "1 cancels and changes of simulated orders would be answered" in text
    assert "None" not in text


@pytest.mark.parametrize(
    ("state", "said"),
    [("damaged.json", "expected a file that"), ("/proc/nosuch/x", "name a file in a folder that")],
)
def test_a_state_that_cannot_be_kept_is_said_at_once(tmp_path, monkeypatch, state, said):
    """A local exchange whose state cannot be read or saved does not start."""
    (tmp_path / "damaged.json").write_text("no json")
    monkeypatch.chdir(tmp_path)
    done = command("exchange", "--state", state)
    assert done.exit_code == 1
    assert said in done.output
    assert one_line(done.output)
