"""ccxt's exchanges on the local exchange, for tests; they are skipped where ccxt is not installed."""

import functools
import importlib
import importlib.util
import os

import pytest
from guarded_bot import patient
from record_sink import keep_record

import exit_shim
from exit_shim.domain.events import GuardFinding
from exit_shim.guard.policy import parse_policy
from exit_shim.testing import LocalExchange
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET

REQUIRED = bool(os.environ.get("EXIT_SHIM_FOREIGN_CLIENTS"))

SYMBOL, COIN_SYMBOL = "BTC/USDT:USDT", "BTC/USD:BTC"
SELL = (SYMBOL, "market", "sell", 0.01, None)
LIMIT = (SYMBOL, "limit", "sell", 0.01, 90_000, {"reduceOnly": True})
STOP = {"stopLossPrice": 50_000, "reduceOnly": True}
TARGET = {"takeProfitPrice": 90_000, "reduceOnly": True}


def need_ccxt():
    """Skip the tests of a module without ccxt; CI's leg with foreign clients must have it."""
    if importlib.util.find_spec("ccxt") is None:
        assert not REQUIRED, "ccxt is missing: pip install 'exit_shim[clients]'"
        pytest.skip("ccxt is not installed; pip install 'exit_shim[clients]'", allow_module_level=True)


def point(addresses, url):
    """Put the local exchange into a table of addresses, whatever its depth."""
    for name, address in addresses.items():
        if isinstance(address, dict):
            point(address, url)
        elif isinstance(address, str):
            base = url.replace("http", "ws", 1) if address.startswith("ws") else url
            addresses[name] = "/".join((base, *address.split("/")[3:]))


def connect(exchange, kind="binanceusdm", *, package="ccxt", **settings):
    """Return one of ccxt's exchanges on the local exchange, with its markets loaded."""
    own = kind
    if isinstance(kind, str):
        own = getattr(importlib.import_module(package), kind)
    client = own({"apiKey": LOCAL_KEY, "secret": LOCAL_SECRET, "enableRateLimit": False, **settings})
    point(client.urls["api"], exchange.url)
    client.set_markets(markets())
    return client


@functools.cache
def markets():
    """Load the markets of all kinds once."""
    import ccxt  # noqa: PLC0415 - it may not be installed

    with LocalExchange() as exchange:
        client = ccxt.binance({"apiKey": LOCAL_KEY, "secret": LOCAL_SECRET})
        point(client.urls["api"], exchange.url)
        client.has["fetchCurrencies"] = False
        return list(client.load_markets().values())


class Desk:
    """A shim of its own, and the records of what its clients did."""

    def __init__(self, policy=None, *, journal=False):
        parsed = None if policy is None else parse_policy(patient(policy))
        mode = None if policy is None else "EXIT_BRAIN_V3"
        self.shim = exit_shim.ExitShim(journal=journal, policy=parsed, mode=mode, sinks=[self])
        self.findings = []
        self._records = []

    def on(self, recorded):
        if isinstance(recorded.event, GuardFinding):
            self.findings.append(recorded.event)
        else:
            keep_record(self._records, recorded)

    def take(self, *names):
        """Return the new records, oldest first: these fields of each, or all."""
        self.shim.flush()
        lines = [record.flat() for record in self._records]
        self._records.clear()
        return [tuple(line[name] for name in names) for line in lines] if names else lines
