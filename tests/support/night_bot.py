"""The night of the how-to: a bot in which one module takes the other's stop at three in the morning."""

import contextlib
from typing import Any

from binance.exceptions import BinanceAPIException
from virtual_time import jump
from watched_bot import STOP, WatchedBot

import exit_shim

MODULES = {
    "position_monitor": """
class PositionMonitor:
    def set_stop(self, client, fields):
        return client.futures_create_order(**fields)
""",
    "dynamic_trailing_rearm": """
class DynamicTrailingRearm:
    def run_cycle(self, client, algo_id):
        client.futures_cancel_algo_order(symbol="BTCUSDT", algoId=algo_id)

    def trail(self, client, fields):
        client.futures_create_order(**fields)
""",
}
"""The modules of the bot, as they would be in its folder."""


def load(module: str, name: str) -> Any:
    """Return a new object of a class of a module."""
    names: dict[str, Any] = {"__name__": module}
    exec(compile(MODULES[module], f"/srv/bot/{module}.py", "exec"), names)
    return names[name]()


def live_through(bot: WatchedBot) -> None:
    """Let the stop be placed, watched for an hour, taken away, and its successor be refused."""
    monitor = load("position_monitor", "PositionMonitor")
    rearm = load("dynamic_trailing_rearm", "DynamicTrailingRearm")
    bot.enter()
    with exit_shim.attributed("position_monitor"):
        stop = monitor.set_stop(bot.client, {**STOP, "stopPrice": 58800})
    for _ in range(61):
        bot.look()
        jump(60)
    bot.exchange.set_mark("BTCUSDT", 60312)
    bot.look()
    with exit_shim.attributed("dynamic_trailing_rearm"):
        rearm.run_cycle(bot.client, stop["algoId"])
        jump(0.031)
        trail = {**STOP, "stopPrice": 60900}
        with contextlib.suppress(BinanceAPIException):
            rearm.trail(bot.client, trail)
    jump(60)
    bot.look()
    jump(72)
