"""What is counted: exits as exits, entries that passed, and the same in every place that counts."""

import asyncio
import json
import os
import re
import subprocess
import sys
import textwrap

import pytest
from binance.exceptions import BinanceAPIException
from click.testing import CliRunner

import exit_shim
from exit_shim.cli import app
from exit_shim.testing import FakeAsyncClient, FakeClient

STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "stopPrice": 50000, "closePosition": True}
ENTRY = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": 0.01}
BREAKOUT = {"symbol": "BTCUSDT", "side": "BUY", "type": "STOP_MARKET", "stopPrice": 90000, "quantity": 0.01}


@pytest.fixture
def shim(tmp_path):
    """A shim with a journal of its own."""
    own = exit_shim.ExitShim(journal=tmp_path / "journal.db", sinks=[])
    yield own
    own.close()


def test_a_conditional_order_is_no_exit_in_any_count(shim, tmp_path):
    """Metrics, summary and its JSON count one stop, and the breakout entry apart from it."""
    client = shim.wrap(FakeClient())
    client.futures_create_order(**ENTRY)
    client.futures_create_order(**STOP)
    client.futures_create_order(**BREAKOUT)
    assert shim.flush()
    metrics = shim.summary()
    run = CliRunner(env={"EXIT_SHIM_JOURNAL": str(tmp_path / "journal.db")})
    summary = json.loads(run.invoke(app, ["summary", "--json"]).stdout)
    for counted in (metrics, summary):
        assert (counted["total_orders"], counted["conditional_orders"]) == (1, 1)
        assert counted["orders_by_kind"] == {"sl": 1}
        assert sum(counted["orders_by_module"].values()) == 1
        assert counted["orders_by_outcome"] == {"accepted": 1}
    assert summary["orders_by_mode"] == {"LEGACY": 1}
    assert sorted(site["kind"] for site in summary["sites"]) == ["conditional", "sl"]
    table = run.invoke(app, ["summary", "--sites"]).stdout
    assert "1 exit order by 1 module, 1 conditional order, 0 cancels, " in table
    assert ", 1 in LEGACY\n" in table
    assert re.search(r"(?m)^(test_counts)? +place +conditional +1 ", table)


def test_a_run_counts_as_the_metrics_do(tmp_path):
    """What `run` prints at its end has the conditional order apart, too."""
    bot = f"""
        from binance.client import Client
        client = Client("local-key", "local-secret")
        for order in ({ENTRY!r}, {STOP!r}, {BREAKOUT!r}):
            client.futures_create_order(**order)
    """
    (tmp_path / "bot.py").write_text(textwrap.dedent(bot))
    command = ["-m", "exit_shim", "run", "--local", str(tmp_path / "bot.py")]
    said = printed(command, tmp_path)
    assert "1 exit order by 1 module, 1 conditional order, " in said
    assert "1 entry order passed through; journal: " in said


def printed(command, folder):
    """What a Python command prints, with a journal in this folder."""
    env = {**os.environ, "EXIT_SHIM_JOURNAL": str(folder / "journal.db")}
    done = subprocess.run(
        [sys.executable, *command], env=env, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def test_an_entry_whose_coroutine_is_never_awaited_is_not_counted_as_passed(shim):
    """Of an async client's entries it is counted that a coroutine was made, for none is watched."""
    client = shim.wrap(FakeAsyncClient())
    client.futures_create_order(**ENTRY).close()
    assert (shim.gateway.entry_orders(), shim.gateway.entry_coroutines()) == (0, 1)

    async def enter():
        await client.futures_create_order(**ENTRY)

    asyncio.run(enter())
    counted = shim.summary()
    assert (counted["entry_orders"], counted["entry_coroutines"]) == (0, 2)


def test_an_entry_of_a_sync_client_is_counted_once(shim):
    """One that the exchange refuses has passed as well, and looking at the count does not change it."""
    client = shim.wrap(FakeClient())
    client.futures_create_order(**ENTRY)
    with pytest.raises(BinanceAPIException):
        client.futures_create_order(**{**ENTRY, "quantity": 0})
    assert [shim.gateway.entry_orders() for _ in range(3)] == [2, 2, 2]
    assert shim.gateway.entry_coroutines() == 0
