"""Candles, the book, the last day, income, windows and the small endpoints."""

from datetime import datetime, timezone
from decimal import Decimal

import pytest

MINUTE = 60_000
DAY = 24 * 60 * MINUTE


def ohlc(rows):
    return [[Decimal(value) for value in row[1:5]] for row in rows]


def test_candles_follow_the_last_price(api):
    """Each minute opens where the one before closed; minutes without a move are flat."""
    opened = Decimal(api.get("klines", symbol="BTCUSDT", interval="1m", limit=1)[0][1])
    for price in ("60100", "59900", "60050"):
        api.engine.set_mark("BTCUSDT", price)
    api.clock.advance(2 * MINUTE)
    api.engine.set_mark("BTCUSDT", "60500")
    rows = api.get("klines", symbol="BTCUSDT", interval="1m", limit=3)
    assert ohlc(rows) == [
        [opened, 60100, 59900, 60050], [60050] * 4, [60050, 60500, 60050, 60500],
    ]  # fmt: skip
    assert [row[6] - row[0] for row in rows] == [MINUTE - 1] * 3
    (hour,) = api.get("klines", symbol="BTCUSDT", interval="1h", limit=1)
    assert hour[4] == "60500.00"


@pytest.mark.parametrize("interval", ["1m", "3m", "1h", "1d", "3d", "1w", "1M"])
def test_candles_of_any_interval_follow_each_other(api, interval):
    """Intervals touch, and the last one holds the present."""
    rows = api.get("klines", symbol="BTCUSDT", interval=interval, limit=5)
    assert [later[0] for later in rows[1:]] == [row[6] + 1 for row in rows[:-1]]
    assert rows[-1][0] <= api.clock.now <= rows[-1][6]


def test_a_week_begins_on_a_monday_and_a_month_on_its_first(api):
    """Candles of a week and a month begin where the calendar's do, in UTC."""
    week = api.get("klines", symbol="BTCUSDT", interval="1w", limit=1)[0][0]
    month = api.get("klines", symbol="BTCUSDT", interval="1M", limit=1)[0][0]
    assert datetime.fromtimestamp(week / 1000, timezone.utc).strftime("%A %H:%M") == "Monday 00:00"
    assert datetime.fromtimestamp(month / 1000, timezone.utc).strftime("%d %H:%M") == "01 00:00"


def test_candles_from_a_time_on_are_the_first_from_there(api):
    """With startTime the oldest come, without it the newest."""
    start = api.clock.now - 100 * MINUTE
    rows = api.get("klines", symbol="BTCUSDT", interval="1m", limit=2, startTime=start)
    assert 0 <= rows[0][0] - start < MINUTE
    assert len(rows) == 2


def test_own_trades_are_the_volume(api):
    """Candle and 24-hour volume grow by what the account traded, and know what it took."""
    before = api.get("ticker/24hr", symbol="BTCUSDT")
    api.clock.advance(MINUTE)
    api.order("BUY", "0.010")
    minute = api.get("klines", symbol="BTCUSDT", interval="1m", limit=1)[0]
    assert (minute[5], minute[7], minute[8], minute[9]) == ("0.010", "600.00000", 1, "0.010")
    day = api.get("ticker/24hr", symbol="BTCUSDT")
    assert day["lastId"] == before["lastId"] + 1
    assert day["lastId"] - day["firstId"] + 1 == day["count"]
    assert day["lastQty"] == "0.010"


def test_the_last_day(api):
    """Change, high and low are those of the last 24 hours; without a symbol there are all."""
    api.engine.set_mark("BTCUSDT", "70000")
    api.clock.advance(DAY + MINUTE)
    api.engine.set_mark("BTCUSDT", "77000")
    day = api.get("ticker/24hr", symbol="BTCUSDT")
    assert (day["priceChangePercent"], day["openPrice"], day["highPrice"]) == (
        "10.000", "70000.00", "77000.00",
    )  # fmt: skip
    assert len(api.get("ticker/24hr")) == len(api.engine.state.symbols)


def test_the_book_is_shown(api):
    """A book of levels as it is, or drawn levels that begin at the best prices without one."""
    found = api.get("depth", symbol="BTCUSDT", limit=5)
    assert (found["asks"][0][0], found["bids"][0][0]) == ("60000.00", "60000.00")
    assert [len(found["asks"]), len(found["bids"])] == [5, 5]
    api.engine.set_book("BTCUSDT", [(59990, 1), (59980, 2)], [(60010, 3)])
    found = api.get("depth", symbol="BTCUSDT", limit=5)
    assert (found["bids"], found["asks"]) == (
        [["59990.00", "1.000"], ["59980.00", "2.000"]], [["60010.00", "3.000"]],
    )  # fmt: skip


def test_income_is_profit_and_commission(api):
    """Each fill is a COMMISSION row, and a REALIZED_PNL row where it closed something."""
    api.order("BUY", "0.010")
    api.engine.set_mark("BTCUSDT", "61000")
    api.order("SELL", "0.010")
    rows = api.get("income")
    assert [(row["incomeType"], row["income"]) for row in rows] == [
        ("COMMISSION", "-0.30000000"), ("REALIZED_PNL", "10.00000000"), ("COMMISSION", "-0.30500000"),
    ]  # fmt: skip
    assert sum(Decimal(row["income"]) for row in rows) == api.engine.wallet - 10_000
    assert len(api.get("income", incomeType="REALIZED_PNL")) == 1
    assert len({row["tranId"] for row in rows}) == 3


def test_what_trading_costs_and_permits(api):
    """CommissionRate has both rates; brackets join up and agree with what a leverage permits."""
    assert api.get("commissionRate", symbol="BTCUSDT") == {
        "symbol": "BTCUSDT", "makerCommissionRate": "0.0002", "takerCommissionRate": "0.0005",
        "rpiCommissionRate": "0.0002",
    }  # fmt: skip
    rows = api.get("leverageBracket", symbol="BTCUSDT")[0]["brackets"]
    assert [row["notionalFloor"] for row in rows[1:]] == [row["notionalCap"] for row in rows[:-1]]
    answer = api.post("leverage", symbol="BTCUSDT", leverage=rows[2]["initialLeverage"])
    assert answer["maxNotionalValue"] == str(rows[2]["notionalCap"])
    assert len(api.get("leverageBracket")) == len(api.engine.state.symbols)


def test_multi_assets_mode_is_a_switch(api):
    """POST changes it and GET tells."""
    assert api.get("multiAssetsMargin") == {"multiAssetsMargin": False}
    assert api.post("multiAssetsMargin", multiAssetsMargin="true") == {"code": 200, "msg": "success"}
    assert api.get("multiAssetsMargin") == {"multiAssetsMargin": True}


def test_lists_go_back_seven_days_unless_asked(api, refused):
    """Without times or an id seven days come; longer and reversed windows are refused."""
    began = api.clock.now
    api.order("BUY", "0.010")
    api.clock.advance(8 * DAY)
    for path in ("allOrders", "userTrades"):
        assert api.get(path, symbol="BTCUSDT") == []
        assert len(api.get(path, symbol="BTCUSDT", startTime=began - DAY)) == 1
        assert len(api.get(path, symbol="BTCUSDT", endTime=began)) == 1
    with refused(-4165, "Maximum time interval is 7 days"):
        api.get("allOrders", symbol="BTCUSDT", startTime=began, endTime=began + 7 * DAY + 1)
    with refused(-1023, "Start time is greater than end time."):
        api.get("allAlgoOrders", symbol="BTCUSDT", startTime=began, endTime=began - 1)


def test_a_batch_of_amendments_answers_for_each(api):
    """PUT batchOrders changes what it can and puts errors in their places."""
    placed = api.limit("BUY", "0.010", "59000")
    terms = '"symbol":"BTCUSDT","side":"BUY","quantity":"0.020","price":"58000"'
    change = f'{{{terms},"orderId":{placed["orderId"]}}}'
    missing = f'{{{terms},"orderId":1}}'
    answer = api.put("batchOrders", batchOrders=f"[{change},{missing}]")
    assert [row.get("origQty", row.get("code")) for row in answer] == ["0.020", -2013]
