"""`exit-shim serve` as a process, and a bot whose account it shows."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from binance import Client

import exit_shim
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET

PATIENCE_S = 30


class PageProcess:
    """The server as a user starts it.

    Attributes:
        lines: What it printed at its start.
        url: Where it listens.
    """

    def __init__(self, journal, *options, port=0, **environment):
        command = [sys.executable, "-m", "exit_shim", "serve", "--journal", str(journal), "--port", str(port)]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("EXIT_")}
        self.process = subprocess.Popen(
            [*command, *options],
            env={**kept, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines = []
        while not self.lines or "Ctrl-C" not in self.lines[-1]:
            line = self.process.stdout.readline()
            assert line, self.process.communicate(timeout=PATIENCE_S)
            self.lines.append(line.rstrip("\n"))
        self.url = self.lines[0].removeprefix("serving ")
        self.port = int(self.url.partition("#")[0].rstrip("/").rpartition(":")[2])

    def stop(self, number=signal.SIGTERM):
        """Send a signal; return the exit status, and all that it printed since its start."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out, err

    def kill(self):
        if self.process.poll() is None:
            self.stop(signal.SIGKILL)

    def resident_bytes(self):
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


class Account:
    """A genuine client on a local exchange, and a shim that looks when it is told to."""

    def __init__(self, exchange, journal):
        exchange.register(LOCAL_KEY, LOCAL_SECRET)
        self.exchange = exchange
        self.client = Client(LOCAL_KEY, LOCAL_SECRET, ping=False)
        self.client.FUTURES_URL = exchange.url + "/fapi"
        self.shim = exit_shim.ExitShim(journal=journal, account="mine", sinks=[])
        self.wrapped = self.shim.wrap(self.client)
        self.shim.watch(self.client, every=3600)

    def look(self):
        """Have the poller read the exchange, and everything be in the journal."""
        (poller,) = self.shim.account_feeds.pollers
        poller.look()
        self.shim.flush()

    def trade(self, symbol, side, quantity):
        """Trade at the market, past the shim's doors."""
        return self.client.futures_create_order(symbol=symbol, side=side, type="MARKET", quantity=quantity)

    def place(self, module, symbol, side, price, *, order_type="STOP_MARKET", **fields):
        """Place an exit as a module; closePosition where no quantity is given."""
        fields = fields or {"closePosition": True}
        with exit_shim.attributed(module):
            return self.wrapped.futures_create_order(
                symbol=symbol, side=side, type=order_type, stopPrice=price, **fields
            )

    def cancel(self, module, symbol, algo_id):
        """Cancel an exit as a module."""
        with exit_shim.attributed(module):
            return self.wrapped.futures_cancel_algo_order(symbol=symbol, algoId=algo_id)

    def close(self):
        self.shim.close()
        self.client.close_connection()
