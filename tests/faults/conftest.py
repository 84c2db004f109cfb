"""An exchange with a position that orders can reduce for as long as a test lasts."""

from pathlib import Path

import pytest
from abilities import RULES
from binance import Client

from exit_shim.testing import LocalExchange
from exit_shim.testing.close_client import close_client
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET, redirect_clients

pytest.register_assert_rewrite("harm")

import harm  # noqa: E402 - after pytest knows that its asserts are to say what they met


@pytest.fixture
def exchange():
    """A local exchange with a long position; what opened it is no exit, and is not counted by `harm`."""
    with (
        LocalExchange(rules=RULES, wallet=10_000_000, rate_limits=False) as local,
        redirect_clients(local.url, local.register),
    ):
        own = Client(LOCAL_KEY, LOCAL_SECRET)
        own.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=100)
        close_client(own)
        yield local
        assert local.internal_errors == []


@pytest.fixture
def path(tmp_path):
    """Where the journal of a test's bots is: a folder of its own, which does not exist as yet."""
    return tmp_path / "state" / "journal.db"


@pytest.fixture
def quiet(monkeypatch):
    """Internal errors are counted and logged, as in production, not raised."""
    monkeypatch.setattr("exit_shim.runtime.internal_errors.RERAISE", False)


@pytest.fixture(scope="session")
def preload(tmp_path_factory):
    """The library that takes power, locks or time from a bot; skips where no compiler makes it."""
    return harm.compiled(Path(__file__).with_name("harm.c"), tmp_path_factory.mktemp("harm") / "harm.so")
