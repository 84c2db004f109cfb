"""The interface of the hand-made gateways: what their users call must go on working."""

import asyncio
import os
import threading
from unittest.mock import AsyncMock, MagicMock, create_autospec

import pytest
from binance.client import Client
from log_capture import captured_events

import exit_shim
from exit_shim import get_exit_order_metrics, log_exit_metrics_summary, submit_exit_order

PARAMS = {
    "symbol": "BTCUSDT",
    "side": "SELL",
    "type": "STOP_MARKET",
    "stopPrice": 95000.0,
    "closePosition": True,
}


@pytest.fixture
def mock_client():
    return MagicMock()


async def test_gateway_integration(mock_client):
    """Checklist, first: an order through the gateway is logged and forwarded to the client."""
    result = await submit_exit_order(
        module_name="test_module",
        symbol="BTCUSDT",
        order_params={"symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": 0.001},
        order_kind="other_exit",
        client=mock_client,
        explanation="Integration test",
    )
    mock_client.futures_create_order.assert_called_once_with(
        symbol="BTCUSDT", side="SELL", type="MARKET", quantity=0.001
    )
    assert result is mock_client.futures_create_order.return_value


async def test_ownership_conflict_detection(mock_client, monkeypatch):
    """Checklist, second: a legacy module in EXIT_BRAIN_V3 is warned of, and its order is still placed."""
    monkeypatch.setitem(os.environ, "EXIT_MODE", "EXIT_BRAIN_V3")
    with captured_events() as lines:
        await submit_exit_order(
            module_name="position_monitor",
            symbol="BTCUSDT",
            order_params=PARAMS,
            order_kind="sl",
            client=mock_client,
        )
    (warning,) = [line for line in lines if line["log_level"] == "warning"]
    assert warning["event"].startswith("[EXIT_GUARD] OWNERSHIP_CONFLICT")
    assert warning["module"] == "position_monitor"
    mock_client.futures_create_order.assert_called_once_with(**PARAMS)
    assert get_exit_order_metrics().get_summary()["ownership_conflicts"] == 1


async def test_metrics_collection(mock_client):
    """Checklist, third: orders are counted by module and kind, with positional arguments."""
    await submit_exit_order("position_monitor", "BTCUSDT", PARAMS, "sl", mock_client)
    await submit_exit_order("position_monitor", "BTCUSDT", PARAMS, "tp", mock_client)
    await submit_exit_order(
        "trailing_stop_manager", "ETHUSDT", {**PARAMS, "symbol": "ETHUSDT"}, "trailing", mock_client
    )
    summary = get_exit_order_metrics().get_summary()
    assert summary["total_orders"] == 3
    assert summary["orders_by_module"]["position_monitor"] == 2
    assert summary["orders_by_kind"]["sl"] == 1
    assert summary["orders_by_outcome"] == {"accepted": 3}


async def test_an_async_client_is_awaited():
    """The same call serves an async client."""
    client = AsyncMock()
    result = await submit_exit_order("m", "BTCUSDT", PARAMS, "sl", client)
    client.futures_create_order.assert_awaited_once_with(**PARAMS)
    assert result is client.futures_create_order.return_value


async def test_a_sync_client_does_not_block_the_event_loop():
    """While a sync client is at its request, the loop goes on: here the request ends only if it does."""
    went_on = threading.Event()

    class Slow:
        def futures_create_order(self, **params):
            assert went_on.wait(60), "the event loop stood still"
            return {"orderId": 1}

    asyncio.get_running_loop().call_soon(went_on.set)
    assert await submit_exit_order("m", "BTCUSDT", PARAMS, "sl", Slow()) == {"orderId": 1}


async def test_a_submitted_order_is_one_record(client, recorded):
    """Through a wrapped genuine client it is recorded once, with the given name, kind and explanation."""
    wrapped = exit_shim.wrap(client)
    wrapped.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    params = {**PARAMS, "stopPrice": 50000}
    await submit_exit_order("exit_brain_v3", "BTCUSDT", params, "breakeven", wrapped, "moved to entry")
    (line,) = [record.flat() for record in recorded()]
    assert (line["module"], line["kind"], line["explanation"]) == (
        "exit_brain_v3",
        "breakeven",
        "moved to entry",
    )
    assert (line["evidence"], line["outcome"]) == ("context", "accepted")
    assert line["function"] == "test_a_submitted_order_is_one_record"


async def test_what_the_client_raises_is_raised():
    """The client's exception comes through as the same object."""
    problem = RuntimeError("boom")
    client = MagicMock()
    client.futures_create_order.side_effect = problem
    with pytest.raises(RuntimeError) as raised:
        await submit_exit_order("m", "BTCUSDT", PARAMS, "sl", client)
    assert raised.value is problem


async def test_parameters_that_are_no_mapping_fail_as_in_any_call(mock_client):
    """What cannot be spread into keyword arguments is the caller's TypeError."""
    with pytest.raises(TypeError, match="must be a mapping"):
        await submit_exit_order("m", "BTCUSDT", {...}, "sl", mock_client)  # type: ignore[arg-type]


async def test_a_wrong_symbol_is_said_and_sent_as_the_order_says(mock_client):
    """The order goes out as it is; the difference is a warning."""
    with captured_events() as lines:
        await submit_exit_order("m", "ETHUSDT", PARAMS, "sl", mock_client)
    assert "was told another symbol" in lines[0]["event"]
    assert (lines[0]["told"], lines[0]["sent"]) == ("ETHUSDT", "BTCUSDT")
    mock_client.futures_create_order.assert_called_once_with(**PARAMS)


async def test_disabled_is_a_plain_call(mock_client, monkeypatch):
    """With EXIT_SHIM_DISABLED=1 the order is forwarded and nothing is counted."""
    monkeypatch.setenv("EXIT_SHIM_DISABLED", "1")
    await submit_exit_order("m", "BTCUSDT", PARAMS, "sl", mock_client)
    mock_client.futures_create_order.assert_called_once_with(**PARAMS)
    assert get_exit_order_metrics().get_summary()["total_orders"] == 0


async def test_an_unknown_kind_is_other_exit(mock_client, recorded):
    """A kind that we do not know never stops an order; it is recorded as what it certainly is."""
    await submit_exit_order("m", "BTCUSDT", PARAMS, "stop_loss", mock_client)
    assert recorded()[0].intent.order.kind == "other_exit"


def test_the_summary_is_one_log_line():
    """log_exit_metrics_summary says the counts under [EXIT_METRICS], with the counts as keys."""
    with captured_events() as lines:
        log_exit_metrics_summary()
    assert lines[0]["event"].startswith("[EXIT_METRICS]")
    assert lines[0]["total_orders"] == 0


async def test_an_autospecced_sync_client_is_no_async_one():
    """A stand-in that only looks like a coroutine function is called off the event loop, as sync ones are."""
    loop_thread, seen = threading.get_ident(), []
    client = create_autospec(Client, instance=True)
    client.futures_create_order.side_effect = lambda **_: seen.append(threading.get_ident())
    await submit_exit_order("m", "BTCUSDT", PARAMS, "sl", client)
    client.futures_create_order.assert_called_once_with(**PARAMS)
    assert len(seen) == 1
    assert seen != [loop_thread]
