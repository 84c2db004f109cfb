"""Make the pictures of the live page: a bot of four modules on a local exchange, and a browser.

Run `python docs/live_page_pictures.py` with playwright and Chromium installed; it writes into docs/_static.
"""

import importlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from binance import Client
from playwright.sync_api import sync_playwright

import exit_shim
from exit_shim.testing import LocalExchange
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET

STATIC = Path(__file__).parent / "_static"

SHOTS = (
    ("live-page.png", 1280, 1020, "light"),
    ("live-page-phone.png", 390, 844, "dark"),
)

MOVED_AT = 60_240

PRICES = (60_000, 60_060, 60_130, 60_110, 60_190, 60_240, 60_205, 60_280, 60_330, 60_300, 60_360, 60_410)


MODULES = ("position_monitor", "dynamic_trailing_rearm", "hybrid_tpsl", "tp_ladder")

CODE = '''\
"""A module of the bot."""


def place_exit(client, **fields):
    """Place an exit."""
    return client.futures_create_order(**fields)


def run_cycle(client, **fields):
    """Cancel an exit that is in the way."""
    return client.futures_cancel_algo_order(**fields)
'''


class Bot:
    """A bot whose modules fight: one places stops, one trails them, one takes profit, one cancels."""

    def __init__(self, exchange: LocalExchange, shim: exit_shim.ExitShim, folder: Path) -> None:
        for name in MODULES:
            (folder / f"{name}.py").write_text(CODE)
        sys.path.insert(0, str(folder))
        self.modules = {name: importlib.import_module(name) for name in MODULES}
        exchange.register(LOCAL_KEY, LOCAL_SECRET)
        self.exchange, self.shim = exchange, shim
        self.client = Client(LOCAL_KEY, LOCAL_SECRET, ping=False)
        self.client.FUTURES_URL = exchange.url + "/fapi"
        self.wrapped = shim.wrap(self.client)
        shim.watch(self.client, every=1)

    def open(self, symbol: str, side: str, quantity: float) -> None:
        """Open a position."""
        self.client.futures_create_order(symbol=symbol, side=side, type="MARKET", quantity=quantity)

    def exit(self, module: str, **fields: Any) -> Any:
        """Place an exit as a module."""
        return self.modules[module].place_exit(self.wrapped, **fields)

    def cancel(self, module: str, order: Any) -> None:
        """Cancel an exit as a module."""
        self.modules[module].run_cycle(self.wrapped, symbol=order["symbol"], algoId=order["algoId"])


def order(symbol: str, side: str, order_type: str, price: float) -> dict[str, Any]:
    """Return the fields of a conditional order."""
    return {"symbol": symbol, "side": side, "type": order_type, "stopPrice": price}


def act(bot: Bot, pause_s: float) -> None:
    """Trade for a while; end with one position bare."""
    bot.open("BTCUSDT", "BUY", 0.05)
    bot.open("ETHUSDT", "SELL", 1)
    bot.open("SOLUSDT", "BUY", 20)
    whole = {"closePosition": True}
    stop = bot.exit("position_monitor", **order("BTCUSDT", "SELL", "STOP_MARKET", 59_000), **whole)
    bot.exit(
        "tp_ladder", **order("BTCUSDT", "SELL", "TAKE_PROFIT_MARKET", 61_500), quantity=0.02, reduceOnly=True
    )
    bot.exit("position_monitor", **order("ETHUSDT", "BUY", "STOP_MARKET", 3_120), **whole)
    take = bot.exit("tp_ladder", **order("ETHUSDT", "BUY", "TAKE_PROFIT_MARKET", 2_900), **whole)
    solana = bot.exit("position_monitor", **order("SOLUSDT", "SELL", "STOP_MARKET", 145), **whole)
    for number, price in enumerate(PRICES):
        bot.exchange.set_mark("BTCUSDT", price)
        time.sleep(pause_s)
        if number % 3 == 1:
            bot.cancel("dynamic_trailing_rearm", stop)
            time.sleep(pause_s / 3)
            owner = "position_monitor" if number % 2 else "dynamic_trailing_rearm"
            stop = bot.exit(owner, **order("BTCUSDT", "SELL", "STOP_MARKET", price - 900), **whole)
        if price == MOVED_AT:
            bot.cancel("position_monitor", take)
            bot.exit("hybrid_tpsl", **order("ETHUSDT", "BUY", "TAKE_PROFIT_MARKET", 2_880), **whole)
    bot.cancel("dynamic_trailing_rearm", solana)
    time.sleep(pause_s)


def serve(journal: Path) -> tuple["subprocess.Popen[str]", str]:
    """Start the page; return its process and address."""
    # By its name alone, which the page shows.
    options = ["--port", "0", "--journal", journal.name]
    command = [sys.executable, "-m", "exit_shim", "serve", *options]
    process = subprocess.Popen(command, cwd=journal.parent, stdout=subprocess.PIPE, text=True)  # noqa: S603
    return process, process.stdout.readline().split()[1]


def take_pictures(url: str, folder: Path) -> None:
    """Save one picture per size and colour scheme."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for name, width, height, scheme in SHOTS:
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.goto(url)
            page.wait_for_selector("#positions li")
            page.locator(".card", has_text="BTCUSDT").click()
            page.wait_for_selector("#ladder .life")
            page.wait_for_timeout(1500)
            page.screenshot(path=folder / name)
            page.close()
        browser.close()


def main(folder: str | Path = STATIC, pause_s: float = 4.0) -> None:
    """Run bot, server and browser."""
    with tempfile.TemporaryDirectory() as scratch, LocalExchange(rate_limits=False) as exchange:
        journal = Path(scratch) / "journal.db"
        shim = exit_shim.ExitShim(journal=journal, account="main", sinks=[])
        bot = Bot(exchange, shim, Path(scratch))
        process, url = serve(journal)
        try:
            act(bot, pause_s)
            take_pictures(url, Path(folder))
        finally:
            process.terminate()
            process.wait(10)
            shim.close()
            bot.client.close_connection()


if __name__ == "__main__":
    folder, pause, *_ = [*sys.argv[1:], STATIC, 4.0]
    main(Path(folder), float(pause))
