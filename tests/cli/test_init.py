"""`exit-shim init`: the files that it writes load, and make sense of what the record shows."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from virtual_time import jumping
from watched_bot import WatchedBot

from exit_shim.cli import app
from exit_shim.cli.suggested_policy import EXECUTOR
from exit_shim.executor import load_plans
from exit_shim.guard.policy import read_policy

BOT = Path(__file__).parents[2] / "examples" / "legacy_bot"


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Bots, closed at the end; commands run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    bots = []

    def bot():
        bots.append(WatchedBot(tmp_path))
        return bots[-1]

    with jumping():
        yield bot
        for each in bots:
            each.close()


def test_the_example_bot_gets_a_policy_and_plans(tmp_path, monkeypatch):
    """Its helper is passthrough, who fights is legacy, and the commands named next work."""
    monkeypatch.chdir(tmp_path)
    runner = CliRunner(env={"EXIT_SHIM_JOURNAL": str(tmp_path / "exits.db")})
    command = [sys.executable, "-m", "exit_shim", "run", "--local", "main.py"]
    env = {**os.environ, "EXIT_SHIM_JOURNAL": str(tmp_path / "exits.db")}
    subprocess.run(command, cwd=BOT, env=env, capture_output=True, check=True)
    written = runner.invoke(app, ["init", "--plans", "plans.toml"])
    assert written.exit_code == 0, written.output
    policy = read_policy("exit_shim.toml")
    assert policy.level == "warn"
    assert policy.passthrough == ("safe_order_executor",)
    mode = policy.modes["LEGACY"]
    assert mode.owners == (EXECUTOR,)
    assert {"position_monitor", "hybrid_tpsl", "dynamic_trailing_rearm"} <= set(mode.legacy)
    plans = load_plans("plans.toml")
    assert {name for rule in plans.rules for name in rule.symbols} == {"BTCUSDT", "ETHUSDT", "SOLUSDT"}
    assert plans.rules[-1].legs is None

    (line,) = [line for line in written.stderr.splitlines() if line.startswith("Next: ")]
    command = shlex.split(line.removeprefix("Next: exit-shim "))
    assert command[0] == "whatif"
    tested = runner.invoke(app, command)
    assert "0 would be denied" in tested.output
    enforced = Path("exit_shim.toml").read_text().replace('# level = "enforce"', 'level = "enforce"')
    Path("enforced.toml").write_text(enforced.replace("# [rules.STRIPPED]", "[rules.STRIPPED]"))
    assert read_policy("enforced.toml").rules["STRIPPED"].level == "enforce"
    assert " 0 would be denied" not in runner.invoke(app, ["whatif", "--policy", "enforced.toml"]).output


def test_a_file_that_exists_is_kept_unless_forced(make):
    """Nobody's policy is overwritten by mistake; `-` prints it."""
    bot = make()
    bot.enter()
    bot.place("position_monitor")
    Path("exit_shim.toml").write_text("# mine\n")
    done = bot.run("init")
    assert done.exit_code == 2
    assert "'exit_shim.toml' exists" in done.output
    assert Path("exit_shim.toml").read_text() == "# mine\n"
    printed = bot.run("init", "-o", "-")
    assert printed.exit_code == 0
    assert "[modes.LEGACY]" in printed.stdout
    assert bot.run("init", "--force").exit_code == 0
    assert read_policy("exit_shim.toml").modes["LEGACY"].legacy == ("position_monitor",)


def test_who_takes_nothing_of_others_is_suggested_as_owner(make):
    """The module with stops that lets others' alone may own them; the one that takes them may not."""
    bot = make()
    bot.enter()
    for _ in range(3):
        stop = bot.place("calm")
        bot.cancel("greedy", stop)
    bot.place("greedy")
    assert bot.run("init").exit_code == 0
    mode = read_policy("exit_shim.toml").modes["LEGACY"]
    assert (mode.owners, mode.legacy) == (("calm",), ("greedy",))
    text = Path("exit_shim.toml").read_text()
    assert '"greedy",  # 1 exit asked for, 1 stop accepted, took 3 of others, lost 0 to others' in text


@pytest.mark.parametrize(
    "name", ['a"]\nlevel = "enforce', "x\x1b[2J", "back\\slash", "*", " ", "\udc80x", "é#ü"]
)
def test_any_name_of_a_module_leaves_a_policy_that_loads(make, name):
    """What a module is called adds no key, no control character and no pattern to the policy."""
    bot = make()
    bot.enter()
    bot.place(name)
    assert bot.run("init", "--plans", "plans.toml").exit_code == 0
    policy = read_policy("exit_shim.toml")
    assert policy.level == "warn"
    assert set(policy.modes) == {"LEGACY"}
    assert policy.modes["LEGACY"].level is None
    assert "\x1b" not in Path("exit_shim.toml").read_text()
    load_plans("plans.toml")


def test_a_journal_without_orders_gets_no_policy(make):
    """There is nothing to make a policy of, and it says so."""
    bot = make()
    bot.enter()
    bot.look()
    done = bot.run("init")
    assert done.exit_code == 1
    assert "no exit orders yet" in done.output
    assert not Path("exit_shim.toml").exists()


SOURCE = {
    "sender.py": """
def send(client, **params):
    return client.futures_create_order(**params)
""",
    "never.py": """
def stop(client):
    client.futures_create_order(symbol="BTCUSDT", side="SELL", type="STOP_MARKET", closePosition=True)
""",
    "decides.py": """
from sender import send

def target(client):
    send(client, symbol="BTCUSDT", side="SELL", type="TAKE_PROFIT_MARKET", stopPrice=2, closePosition=True)
""",
    "flat.py": """
def flat(client):
    client.futures_create_order(symbol="BTCUSDT", side="SELL", type="MARKET", quantity=1, reduceOnly=True)
""",
    "enter.py": """
def enter(client):
    client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=1)
""",
}


@pytest.fixture
def source(tmp_path):
    """A folder with the source of a bot."""
    folder = tmp_path / "bot"
    (folder / "tests").mkdir(parents=True)
    for name, text in SOURCE.items():
        (folder / name).write_text(text)
    (folder / "tests" / "test_never.py").write_text(SOURCE["never.py"])
    return folder


def test_the_draft_names_what_is_not_seen(make, source):
    """The first lines of a draft say which orders of the source are recorded only with raw=True."""
    (source / "raw.py").write_text("import httpx\nhttpx.post('https://fapi.binance.com/fapi/v1/order')\n")
    bot = make()
    assert bot.run("init", "--source", str(source)).exit_code == 0
    assert (
        "1 place in the source sends orders by raw HTTP, which are recorded only with install(raw=True), "
        "exit-shim run --raw or EXIT_SHIM_RAW=1 (raw.py:2)."
    ) in Path("exit_shim.toml").read_text()
    read_policy("exit_shim.toml")


def test_the_source_adds_modules_that_were_never_seen(make, source):
    """Who could place exits is legacy, who sends for others a helper; entries and tests are neither."""
    bot = make()
    bot.enter()
    bot.place("decides")
    assert bot.run("init", "--source", str(source)).exit_code == 0
    policy = read_policy("exit_shim.toml")
    assert policy.passthrough == ("sender",)
    mode = policy.modes["LEGACY"]
    assert (mode.owners, mode.legacy) == (("decides",), ("never",))
    text = Path("exit_shim.toml").read_text()
    assert "from 1 recorded order by 1 module, and the source of 4 modules." in text
    assert '"never",  # never seen, but its source can place exits (1 place)' in text
    assert "#   flat: never seen, but its source can place exits (1 place)" in text


def test_a_policy_from_the_source_alone(source, monkeypatch):
    """Before the first run there is no journal, and the source in the bot's folder is enough."""
    monkeypatch.chdir(source)
    runner = CliRunner(env={"EXIT_SHIM_JOURNAL": str(source / "none.db")})
    assert runner.invoke(app, ["init"]).exit_code == 0
    policy = read_policy("exit_shim.toml")
    assert policy.passthrough == ("sender",)
    assert policy.modes["LEGACY"].owners == (EXECUTOR,)
    assert policy.modes["LEGACY"].legacy == ("decides", "never")
    assert "held back, and" not in Path("exit_shim.toml").read_text()
