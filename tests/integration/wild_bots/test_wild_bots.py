"""Ten bots in the styles of public ones run unmodified on the local exchange, to accepted orders.

Each has real hosts and keys that look real in its code, and runs as `exit-shim run --local` in a process and
a folder of its own. That nothing but loopback was contacted is watched there, beside the confinement.
"""

import ipaddress
import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from exit_shim.journal import read_records

BOTS = Path(__file__).with_name("bots")
PATIENCE = 120
ROOM = 80
TIMES = "\N{MULTIPLICATION SIGN}"
DUMMY = "answered by a dummy; nothing was sent"

WATCH = """
import os, sys

def watch(event, args, to=os.environ["WILD_BOTS_CONTACTS"]):
    target = None
    if event == "socket.connect" and isinstance(args[1], tuple):
        target = args[1][0]
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        target = args[0]
    if target:
        target = target.decode() if isinstance(target, bytes) else target
        with open(to, "a") as contacts:
            contacts.write(f"{target}\\n")

sys.addaudithook(watch)
"""


class Wild(NamedTuple):
    """A bot, and what its run has to show.

    Attributes:
        script: where it starts, below the folder of the bots.
        module: the module of its exits; None where it sends by a transport that is not covered.
        exits: the least exits that were accepted, of that module or among the raw order requests.
        entries: its entry orders, where they are covered.
        agent: what a transport that is not covered calls itself.
        left: how many positions it leaves open, each with its stop.
        hosts: the other hosts that it calls.
        refused: the codes that it may be refused with.
    """

    script: str
    module: str | None
    exits: int
    entries: int = 0
    agent: str = ""
    left: int = 0
    hosts: tuple[str, ...] = ()
    refused: frozenset[int] = frozenset()


WILD = [
    Wild("raw_scalper.py", "raw_scalper", 4, entries=1),
    Wild("ws_kline_trader.py", "ws_kline_trader", 3, entries=1),
    Wild("pandas_rsi.py", "pandas_rsi", 2, entries=1, refused=frozenset({-4046})),
    Wild("screener.py", "screener", 2, entries=1),
    Wild("telegram_bot.py", "telegram_bot", 4, entries=1, hosts=("api.telegram.org",)),
    Wild("sql_bot/main.py", "main", 6, entries=3, left=1, refused=frozenset({-2011})),
    Wild("async_streams.py", "async_streams", 3, entries=1),
    Wild("process_pool.py", "process_pool", 3, entries=1, left=1),
    Wild("spot_hedge.py", "spot_hedge", 3, entries=1),
    Wild("config_bot/bot.py", None, 3, agent="Mozilla/5.0", left=1, hosts=("api.ipify.org",)),
]


class Ran(NamedTuple):
    """The result of a run."""

    status: int
    screen: list[str]
    errors: str
    records: list
    contacts: set[str]


def run_wild(bot, folder):
    """Run a bot in a copy of its own, under a watch of what the process contacts."""
    source = BOTS / Path(bot.script).parts[0]
    copy = shutil.copytree if source.is_dir() else shutil.copy
    copy(source, folder / source.name)
    (folder / "watch").mkdir()
    (folder / "watch" / "sitecustomize.py").write_text(WATCH)
    path = folder / bot.script
    environment = {
        **os.environ,
        "EXIT_SHIM_JOURNAL": str(folder / "journal.db"),
        "COLUMNS": "80",
        "PYTHONPATH": os.pathsep.join([str(folder / "watch"), os.environ.get("PYTHONPATH", "")]),
        "WILD_BOTS_CONTACTS": str(folder / "contacts"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "exit_shim", "run", "--local", path.name],
        cwd=path.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return Ran(
        done.returncode,
        end_of(done.stdout),
        done.stderr,
        list(read_records(folder / "journal.db")),
        set((folder / "contacts").read_text().split()),
    )


def end_of(output):
    """The lines of the end of a run, behind the bot's own."""
    lines = output.splitlines()
    heads = ("Accepted, but not recorded", "Who fights whom", "No module cancelled or changed another")
    return lines[next(number for number, line in enumerate(lines) if line.startswith(heads)) :]


@pytest.mark.parametrize("bot", WILD, ids=lambda bot: bot.script.partition(".")[0].partition("/")[0])
def test_a_wild_bot_lives_on_the_local_exchange(bot, tmp_path):
    """It ends by itself with its orders accepted and attributed, and nothing real was contacted."""
    ran = run_wild(bot, tmp_path)
    screen = "\n".join(ran.screen)
    assert ran.status == 0, f"{ran.errors}\n{screen}"
    check_orders(bot, ran, screen)
    assert [entry.partition(f" {TIMES} ")[2] for entry in part_of(ran.screen, "Other hosts")] == [
        f"{host}: {DUMMY}" for host in bot.hosts
    ]
    assert {int(code) for code in re.findall(rf"{TIMES} \w+ /[\w/]+: (-\d+)", screen)} <= bot.refused
    assert "not answered" not in screen + ran.errors
    assert count_left(screen) == bot.left
    assert len(ran.screen) <= ROOM
    assert "127.0.0.1" in ran.contacts
    assert all(ipaddress.ip_address(host).is_loopback for host in ran.contacts - {"localhost"})


def check_orders(bot, ran, screen):
    """Check that entries and exits were accepted: by the journal, else by the exchange."""
    if bot.module is None:
        assert ran.records == []
        ((agent, placed),) = re.findall(r"order requests by (\S+): (\d+) placed", screen)
        assert agent.startswith(bot.agent)
        assert int(placed) > bot.exits
        return
    assert "not recorded" not in screen
    exits = [record for record in ran.records if record.intent.operation == "place"]
    accepted = [record for record in exits if record.outcome.result == "accepted"]
    assert len(accepted) >= bot.exits
    assert {record.intent.attribution.module for record in ran.records} == {bot.module}
    counted = re.search(r"(\d+) entry orders? passed through(?:, (\d+) coroutines?)?", screen)
    assert sum(map(int, filter(None, counted.groups()))) == bot.entries


def part_of(lines, title):
    """The entries of a part of the screen."""
    if title not in lines:
        return []
    return list(itertools.takewhile(lambda line: line.startswith(" "), lines[lines.index(title) + 1 :]))


def count_left(screen):
    """The number of positions that were left, each with a stop."""
    found = re.search(
        r"Left on the exchange: (?:nothing|(\d+) open positions?, \d+ orders?(; every position has a stop)?)",
        screen,
    )
    number = int(found[1] or 0)
    assert found[2] or not number
    return number
