"""The missing muscle: one owner that keeps a stop under every position, and nobody else's beside it."""

import os

from binance.client import Client

from exit_shim.executor import Breakeven, ExitExecutor, ExitPlan, HardStop, at_fraction


def plan_for(position):
    """Out at 3 % against the entry; once it has earned 2 %, out where it came in."""
    legs = HardStop(at_fraction("0.03")), Breakeven(after=at_fraction("0.02"))
    return ExitPlan(symbol=position.symbol, position_side=position.side, legs=legs)


def make_owner():
    client = Client(os.environ.get("BINANCE_API_KEY"), os.environ.get("BINANCE_API_SECRET"))
    return ExitExecutor(client, plan_for)
