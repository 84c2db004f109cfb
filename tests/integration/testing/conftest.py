"""Runs of pytest of their own, with the plugin."""

import pytest

INI = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings =
    error
    ignore::pytest.PytestAssertRewriteWarning
    ignore::DeprecationWarning:binance
    ignore::DeprecationWarning:dateparser
    ignore::DeprecationWarning:websockets
    ignore::DeprecationWarning:aiohttp
"""

ORDERS = """
import asyncio
import pytest

OPEN = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": 0.01}
STOP = {
    "symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "stopPrice": 59000, "closePosition": "true"
}

@pytest.fixture
def loop():  # or python-binance makes one and leaves it
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    loop.close()
    asyncio.set_event_loop(None)
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Run a test file in its own pytest, with this plugin and pytest-asyncio alone; return the result."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # each would be imported anew by each run

    def run_file(text, *options, ini="", plugins=("exit_shim", "pytest_asyncio.plugin")):
        pytester.makeini(INI + ini)
        pytester.makepyfile(test_it=ORDERS + text)
        chosen = [option for plugin in plugins for option in ("-p", plugin)]
        return pytester.runpytest_inprocess("-p", "no:cacheprovider", *chosen, *options)

    return run_file
