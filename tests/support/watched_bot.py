"""A bot on the local exchange whose account is looked at when the test says so."""

import contextlib
from typing import Any

from binance.exceptions import BinanceAPIException
from click.testing import CliRunner, Result

import exit_shim
from exit_shim.cli import app
from exit_shim.feeds.exchange_poller import ExchangePoller
from exit_shim.testing import FakeClient, LocalExchange

STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "stopPrice": 50000, "closePosition": True}


class WatchedBot:
    """A bot with a journal, and a poller that looks when it is told to.

    Args:
        folder: Where the journal is.
        account: The account's label.
        options: Those of the local exchange.
    """

    def __init__(self, folder: Any, account: str = "mine", **options: Any) -> None:
        self.journal = folder / "journal.db"
        self.exchange = LocalExchange(rate_limits=False, **options)
        self.raw = FakeClient(exchange=self.exchange)
        self.shim = exit_shim.ExitShim(journal=self.journal, account=account, resolve=False, sinks=[])
        self.client = self.shim.wrap(FakeClient(exchange=self.exchange))
        self.poller = ExchangePoller(
            guard=self.shim.guard,
            client=self.raw,
            account=account,
            every_s=60.0,
            exchange_log=self.shim.account_feeds._exchange_log,
            on_finding=lambda _: None,
            on_trouble=self._fail,
        )

    @staticmethod
    def _fail(step: str, error: Exception) -> None:
        raise AssertionError(step) from error

    def enter(self, symbol: str = "BTCUSDT", quantity: float = 0.01, **more: Any) -> None:
        """Open a long position."""
        order = {"symbol": symbol, "side": "BUY", "type": "MARKET", "quantity": quantity, **more}
        self.client.futures_create_order(**order)

    def place(self, module: str, **changes: Any) -> int | None:
        """Have a module place a stop; return its id, None for a refused one."""
        with exit_shim.attributed(module), contextlib.suppress(BinanceAPIException):
            return int(self.client.futures_create_order(**{**STOP, **changes})["algoId"])
        return None

    def cancel(self, module: str, algo_id: int | None, symbol: str = "BTCUSDT") -> None:
        """Have a module cancel a stop."""
        with exit_shim.attributed(module), contextlib.suppress(BinanceAPIException):
            self.client.futures_cancel_algo_order(symbol=symbol, algoId=algo_id)

    def look(self) -> None:
        """Look at the exchange."""
        self.poller.look()

    def end(self) -> None:
        """End the run as a process does at its exit."""
        assert self.shim.journal is not None
        self.shim.journal.end()
        self.close()

    def close(self) -> None:
        """Let go of everything."""
        self.shim.close()
        self.exchange.stop()

    def run(self, *command: str, **variables: str) -> Result:
        """Run a command on the bot's journal, for a screen of 80 columns."""
        self.shim.flush()
        env = {"EXIT_SHIM_JOURNAL": str(self.journal), "COLUMNS": "80", "TZ": "UTC", **variables}
        return CliRunner(env=env).invoke(app, command)
