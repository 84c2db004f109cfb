"""`why` answers the same from the central database as from the journal."""

import json

from made import ship
from night_bot import live_through
from virtual_time import jumping
from watched_bot import WatchedBot

CHANGING = ("next", "read_since_ns")


def test_an_incident_is_the_same_in_the_central_database(central, tmp_path, monkeypatch):
    """Cover, last stop, who took it and all events are equal; what `init` reads is there too."""
    monkeypatch.chdir(tmp_path)
    with jumping():
        bot = WatchedBot(tmp_path, account="main")
        live_through(bot)
        bot.shim.flush()
        ship(bot.journal, central.writer)
        here = bot.run("why", "BTCUSDT", "--json")
        there = bot.run("why", "BTCUSDT", "--json", EXIT_SHIM_FROM=central.reader)
        policy = bot.run("init", "-o", "-")
        policy_there = bot.run("init", "-o", "-", EXIT_SHIM_FROM=central.reader)
        bot.close()
    assert (here.exit_code, there.exit_code) == (1, 1), there.output
    first, second = (json.loads(done.stdout) for done in (here, there))
    assert {name: value for name, value in first.items() if name not in CHANGING} == {
        name: value for name, value in second.items() if name not in CHANGING
    }
    assert policy.stdout == policy_there.stdout != ""
