"""The executor with an AsyncClient: a task of the bot's event loop."""

import asyncio
from decimal import Decimal

import pytest
from abilities import needs_algo
from binance import BinanceSocketManager
from running_executor import SYMBOL, changes, legs, stop_only

from exit_shim.clients.python_binance_releases import hears_user_stream
from exit_shim.guard.exchange_snapshot import OpenPosition

pytestmark = needs_algo

needs_stream = pytest.mark.skipif(
    not hears_user_stream(BinanceSocketManager), reason="this python-binance connects where nothing is sent"
)


async def until(true, patience=60.0):
    """Wait until something is so."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not true():
        assert loop.time() - began < patience
        await asyncio.sleep(0.01)


async def open_long(client, quantity="0.010"):
    """Open a long position at the market."""
    await client.futures_create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=quantity)


def is_settled(run):
    """Whether the latest pass left the position as planned."""
    latest = run.executor.protections.get((SYMBOL, "BOTH"))
    return latest is not None and latest.state == "PROTECTED" and not latest.steps


@needs_stream
async def test_a_fill_is_followed_by_a_hard_stop_at_once(exchange, async_client, make):
    """On the bot's own loop; a stop that is cancelled by hand is replaced."""
    run = make(async_client, every_s=3600)
    run.executor.start()
    await until(lambda: run.executor.is_listening and (run.executor.agenda.wait_s() or 0) > 30)
    await open_long(async_client)
    await until(lambda: is_settled(run))
    assert legs(exchange) == ["hs", "t1", "tr"]
    (stop,) = [order for order in exchange.open_algo_orders() if "-hs-" in order["clientAlgoId"]]
    await async_client.futures_cancel_algo_order(symbol=SYMBOL, algoId=stop["algoId"])
    await until(lambda: legs(exchange) == ["hs", "t1", "tr"])
    await run.executor.stop()
    assert not run.executor.is_running


async def test_passes_by_hand(exchange, async_client, make):
    """Awaited, one by one; a dry run sends nothing."""
    run = make(async_client, stop_only, stream=False)
    await open_long(async_client)
    sent = len(changes(exchange))
    (planned,) = await run.executor.protect(dry_run=True)
    assert ([step.leg for step in planned.steps], len(changes(exchange))) == (["hs"], sent)
    protection = await run.executor.ensure_protection(SYMBOL, stop_only(planned_position()))
    assert (protection.state, protection.guarded) == ("MOVING", Decimal("0.010"))
    assert [one.state for one in await run.executor.protect()] == ["PROTECTED"]
    await run.executor.stop()


def planned_position():
    """What a plan is made from."""
    return OpenPosition(SYMBOL, "BOTH", Decimal("0.010"))


async def test_polling_and_a_restart(exchange, async_client, make):
    """Without a stream; the second executor finds everything in place."""
    first = make(async_client, every_s=1, stream=False)
    first.executor.start()
    await open_long(async_client)
    await until(lambda: is_settled(first))
    await first.executor.stop()
    sent = len(changes(exchange))
    second = make(async_client, every_s=1, stream=False)
    second.executor.start()
    await until(lambda: is_settled(second))
    await second.executor.stop()
    assert len(changes(exchange)) == sent


async def test_a_pass_is_finished_though_its_caller_gives_up(exchange, async_client, make):
    """What has left must be known, so the pass goes on by itself."""
    run = make(async_client, stop_only, stream=False)
    await open_long(async_client)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(run.executor.protect(), 0.001)
    await until(lambda: run.passes)
    assert legs(exchange) == ["hs"]
    assert [one.state for one in await run.executor.protect()] == ["PROTECTED"]
    await run.executor.stop()


async def test_start_needs_a_loop(async_client, make):
    """Said at once, and nothing runs."""
    run = make(async_client, stream=False)
    with pytest.raises(RuntimeError):
        await asyncio.to_thread(run.executor.start)
    assert not run.executor.is_running
    await run.executor.stop()
