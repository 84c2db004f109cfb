"""Lists from a first id on, pages, and what clients ask to learn how old something is."""

import pytest
from binance import Client

from exit_shim.testing import LocalExchange
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET

LIMIT = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": 0.01, "timeInForce": "GTC"}
STOP = {"symbol": "BTCUSDT", "side": "BUY", "type": "STOP_MARKET", "quantity": 0.01}


@pytest.fixture
def client():
    """A genuine client of a fresh exchange."""
    with LocalExchange() as exchange:
        exchange.register(LOCAL_KEY, LOCAL_SECRET)
        client = Client(LOCAL_KEY, LOCAL_SECRET, ping=False)
        client.FUTURES_URL = exchange.url + "/fapi"
        yield client
        client.close_connection()


def test_lists_begin_at_the_id_that_is_named(client):
    """With a first id the lists of orders have that one and the next ones; without it the newest."""
    orders = [client.futures_create_order(**LIMIT, price=10_000 + number)["orderId"] for number in range(5)]
    algos = [
        client.futures_create_algo_order(**STOP, triggerPrice=90_000 + number)["algoId"]
        for number in range(5)
    ]
    listed = client.futures_get_all_orders(symbol="BTCUSDT", orderId=orders[1], limit=2)
    assert [order["orderId"] for order in listed] == orders[1:3]
    listed = client.futures_get_all_orders(symbol="BTCUSDT", limit=2)
    assert [order["orderId"] for order in listed] == orders[3:]
    listed = client.futures_get_all_algo_orders(symbol="BTCUSDT", algoId=algos[1], limit=2)
    assert [algo["algoId"] for algo in listed] == algos[1:3]


def test_income_is_paged_by_time(client):
    """A start begins a page, the limit ends it; `page` is ignored, as it is since 2026-10-16."""
    for _ in range(3):
        client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
    rows = client.futures_income_history()
    assert len({row["tranId"] for row in rows}) == 3
    assert client.futures_income_history(limit=2, page=2) == rows[:2]
    assert client.futures_income_history(startTime=rows[2]["time"])[-1] == rows[2]


def test_the_first_candle_is_that_of_the_listing(client):
    """A window from 0 on begins where the symbol began, so that history of any length can be had."""
    (first,) = client.futures_klines(symbol="BTCUSDT", interval="1h", startTime=0, limit=1)
    (contract,) = [each for each in client.futures_exchange_info()["symbols"] if each["symbol"] == "BTCUSDT"]
    assert 0 <= first[0] - contract["onboardDate"] < 3_600_000
    rows = client.futures_historical_klines("BTCUSDT", "1h", "30 days ago UTC")
    assert 719 <= len(rows) <= 721


def test_a_fresh_wallet_has_a_time(client):
    """Clients that skip balances which were never updated see this one."""
    (row,) = client.futures_account_balance()
    assert row["updateTime"] > 1_500_000_000_000
