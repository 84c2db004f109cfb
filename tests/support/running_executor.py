"""What the tests of a running executor share: plans, what rests, and waiting."""

import time
from decimal import Decimal

from exit_shim.executor import (
    Breakeven,
    ExitPlan,
    HardStop,
    PartialTake,
    Trail,
    at_fraction,
    at_r,
)

SYMBOL = "BTCUSDT"


def until(true, patience=60.0):
    """Wait until something is so."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < patience
        time.sleep(0.01)


def plan_for(position):
    """Two per cent of loss at most, half at 1.5 R, breakeven after that, the rest trails by 0.8 %."""
    return ExitPlan(
        plan_id="test",
        symbol=position.symbol,
        position_side=position.side,
        legs=(
            HardStop(at_fraction("0.02")),
            PartialTake(Decimal("0.5"), at_r("1.5")),
            Breakeven("first_take"),
            Trail(Decimal("0.008")),
        ),
    )


def stop_only(position):
    """Two per cent of loss at most, and nothing else."""
    return ExitPlan(
        plan_id="stop",
        symbol=position.symbol,
        position_side=position.side,
        legs=(HardStop(at_fraction("0.02")),),
    )


def open_long(client, quantity="0.010", **more):
    """Open a long position at the market."""
    client.futures_create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=quantity, **more)


def legs(exchange):
    """The legs of the resting orders of executors, with duplicates."""
    orders = [*exchange.open_orders(), *exchange.open_algo_orders()]
    names = [order.get("clientAlgoId") or order["clientOrderId"] for order in orders]
    return sorted(name.split("-")[2] for name in names if name.startswith("xs-"))


def changes(exchange):
    """The requests that changed orders."""
    return [
        (request.method, request.path)
        for request in exchange.requests
        if request.method != "GET" and "rder" in request.path and not request.path.endswith("test")
    ]
