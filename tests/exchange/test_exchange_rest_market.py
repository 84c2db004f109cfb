"""Market data of USDⓈ-M beyond prices: trades, derived candles, funding, open interest, ratios."""

import time
from decimal import Decimal

import pytest
import requests

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def words(text):
    return text.split()


def now():
    return time.time_ns() // 1_000_000


@pytest.fixture
def traded(everywhere):
    """The newest trades of the market, which has a past."""
    return everywhere.futures_recent_trades(symbol="BTCUSDT", limit=6)


SHAPES = {
    "trades": (
        lambda client: client.futures_recent_trades(symbol="BTCUSDT")[0],
        words("id price qty quoteQty time isBuyerMaker isRPITrade"),
    ),
    "historicalTrades": (
        lambda client: client.futures_historical_trades(symbol="BTCUSDT")[0],
        words("id price qty quoteQty time isBuyerMaker isRPITrade"),
    ),
    "aggTrades": (
        lambda client: client.futures_aggregate_trades(symbol="BTCUSDT")[0],
        words("a p q f l T m"),
    ),
    "fundingRate": (
        lambda client: client.futures_funding_rate(symbol="BTCUSDT")[0],
        words("symbol fundingTime fundingRate markPrice"),
    ),
    "fundingInfo": (
        lambda client: client.futures_v1_get_funding_info()[0],
        words("symbol adjustedFundingRateCap adjustedFundingRateFloor fundingIntervalHours disclaimer"),
    ),
    "openInterest": (
        lambda client: client.futures_open_interest(symbol="BTCUSDT"),
        words("openInterest symbol time"),
    ),
    "openInterestHist": (
        lambda client: client.futures_open_interest_hist(symbol="BTCUSDT", period="1h")[0],
        words("symbol sumOpenInterest sumOpenInterestValue timestamp"),
    ),
    "topLongShortAccountRatio": (
        lambda client: client.futures_top_longshort_account_ratio(symbol="BTCUSDT", period="1h")[0],
        words("symbol longShortRatio longAccount shortAccount timestamp"),
    ),
    "topLongShortPositionRatio": (
        lambda client: client.futures_top_longshort_position_ratio(symbol="BTCUSDT", period="1h")[0],
        words("symbol longShortRatio longAccount shortAccount timestamp"),
    ),
    "globalLongShortAccountRatio": (
        lambda client: client.futures_global_longshort_ratio(symbol="BTCUSDT", period="1h")[0],
        words("symbol longShortRatio longAccount shortAccount timestamp"),
    ),
    "takerlongshortRatio": (
        lambda client: client.futures_taker_longshort_ratio(symbol="BTCUSDT", period="1h")[0],
        words("buySellRatio sellVol buyVol timestamp"),
    ),
    "basis": (
        lambda client: client.futures_basis(pair="BTCUSDT", contractType="PERPETUAL", period="1h")[0],
        words("indexPrice contractType basisRate futuresPrice annualizedBasisRate basis pair timestamp"),
    ),
    "constituents": (
        lambda client: client.futures_index_price_constituents(symbol="BTCUSDT"),
        words("symbol time constituents"),
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_rows_have_the_documented_fields(everywhere, name):
    """Each answer has the fields of the documented sample, in its order."""
    ask, fields = SHAPES[name]
    assert list(ask(everywhere)) == fields


def test_trades_come_oldest_first_and_end_with_the_newest(exchange, everywhere):
    """Without an id the newest `limit` come; both lists and the aggregate trades agree."""
    everywhere.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.5")
    recent = everywhere.futures_recent_trades(symbol="BTCUSDT", limit=3)
    assert everywhere.futures_historical_trades(symbol="BTCUSDT", limit=3) == recent
    merged = everywhere.futures_aggregate_trades(symbol="BTCUSDT", limit=3)
    assert [(row["a"], row["p"], row["q"], row["T"], row["m"]) for row in merged] == [
        (row["id"], row["price"], row["qty"], row["time"], row["isBuyerMaker"]) for row in recent
    ]
    assert [row["id"] for row in recent] == list(range(recent[0]["id"], recent[0]["id"] + 3))
    own = recent[-1]
    price = exchange.engine.quote("BTCUSDT").last
    assert (own["qty"], Decimal(own["price"]), own["isBuyerMaker"]) == ("0.500", price, False)
    assert own["quoteQty"] == f"{price / 2:.2f}"


def test_trades_are_paged_by_id(everywhere, traded):
    """`fromId` is the first of the page, in both lists, so that pages follow each other without a gap."""
    ids = [trade["id"] for trade in traded]
    pages = [
        [row["id"] for row in everywhere.futures_historical_trades(symbol="BTCUSDT", fromId=first, limit=2)]
        for first in (ids[0], ids[2], ids[4])
    ]
    assert pages == [ids[:2], ids[2:4], ids[4:]]
    page = everywhere.futures_aggregate_trades(symbol="BTCUSDT", fromId=ids[3], limit=2)
    assert [row["a"] for row in page] == ids[3:5]


def test_aggregate_trades_of_a_window(everywhere):
    """A start gives the first from there on, an end the last until there, both the first in between."""
    rows = everywhere.futures_aggregate_trades(symbol="BTCUSDT", limit=50)
    first, last = rows[10]["T"], rows[30]["T"]
    within = [row for row in rows if first <= row["T"] <= last]

    def ask(**window):
        return everywhere.futures_aggregate_trades(symbol="BTCUSDT", **window)

    assert ask(startTime=first, limit=2) == within[:2]
    assert ask(endTime=last, limit=2) == within[-2:]
    assert ask(startTime=first, endTime=last) == within


def test_the_end_of_a_window_may_be_long_ago(everywhere):
    """Trades until a time of last year are those just before it."""
    end = now() - 300 * DAY
    rows = everywhere.futures_aggregate_trades(symbol="BTCUSDT", endTime=end, limit=500)
    times = [row["T"] for row in rows]
    # More than a minute has.
    assert len(times) == 500
    assert times == sorted(times)
    assert 0 <= end - times[-1] < HOUR


@pytest.mark.parametrize(
    ("window", "code", "text"),
    [
        ({"fromId": 1, "startTime": 1}, -1128, "Combination of optional parameters invalid."),
        ({"startTime": 2, "endTime": 1}, -1023, "Start time is greater than end time."),
        (
            {"startTime": 1, "endTime": HOUR + 2}, -1127,
            "More than 1 hours between startTime and endTime.",
        ),
    ],
)  # fmt: skip
def test_windows_of_aggregate_trades_that_are_refused(everywhere, refused, window, code, text):
    """An id with a time, a reversed window and one of over an hour are refused."""
    with refused(code, text):
        everywhere.futures_aggregate_trades(symbol="BTCUSDT", **window)


def test_historical_trades_need_a_key(exchange):
    """Without an API key they are refused, the recent ones are not."""
    for path, status in (("historicalTrades", 401), ("trades", 200)):
        answer = requests.get(f"{exchange.url}/fapi/v1/{path}", params={"symbol": "BTCUSDT"}, timeout=60)
        assert answer.status_code == status


def test_mark_and_index_candles_move_as_the_contract(exchange, everywhere):
    """Their prices are those of the contract's candles, with eight decimals and no volume."""
    exchange.set_mark("BTCUSDT", 61_000)
    ask = {"interval": "1h", "limit": 5}
    candles = everywhere.futures_klines(symbol="BTCUSDT", **ask)
    prices = [[Decimal(price) for price in row[1:5]] for row in candles]
    for rows in (
        everywhere.futures_mark_price_klines(symbol="BTCUSDT", **ask),
        everywhere.futures_index_price_klines(pair="BTCUSDT", **ask),
    ):
        assert [[Decimal(price) for price in row[1:5]] for row in rows] == prices
        assert [(row[0], row[6]) for row in rows] == [(row[0], row[6]) for row in candles]
        assert rows[-1][4] == "61000.00000000"
        assert [rows[-1][place] for place in (5, 7, 8, 9, 10, 11)] == ["0", "0", 3600, "0", "0", "0"]


def test_no_contract_trades_at_a_premium(everywhere):
    """The candles of the premium index are zero."""
    (row,) = everywhere.futures_premium_index_klines(symbol="BTCUSDT", interval="1d", limit=1)
    assert row[1:5] == ["0.00000000"] * 4


def test_continuous_candles_are_those_of_the_perpetual_contract(everywhere, refused):
    """PERPETUAL has the contract's own candles; what is delivered is refused with a reason."""
    ask = {"interval": "1h", "limit": 3}
    perpetual = everywhere.futures_continuous_klines(pair="BTCUSDT", contractType="PERPETUAL", **ask)
    assert perpetual == everywhere.futures_klines(symbol="BTCUSDT", **ask)
    with refused(-1020, "This operation is not supported. Only perpetual contracts are modelled."):
        everywhere.futures_continuous_klines(pair="BTCUSDT", contractType="CURRENT_QUARTER", **ask)


def test_funding_is_every_eight_hours(everywhere):
    """Without times the newest come, from a start on the first; each at 0, 8 or 16 o'clock."""
    newest = everywhere.futures_funding_rate(symbol="BTCUSDT", limit=4)
    times = [row["fundingTime"] for row in newest]
    assert times == list(range(times[0], times[0] + 4 * 8 * HOUR, 8 * HOUR))
    assert times[0] % (8 * HOUR) == 0
    assert 0 <= now() - times[-1] < 8 * HOUR
    assert everywhere.futures_funding_rate(symbol="BTCUSDT", startTime=times[1], limit=2) == newest[1:3]
    assert everywhere.futures_funding_rate(symbol="BTCUSDT", endTime=times[2], limit=2) == newest[1:3]


def test_open_interest_holds_the_own_position(exchange, everywhere):
    """It grows by a position of the account."""
    before = Decimal(everywhere.futures_open_interest(symbol="BTCUSDT")["openInterest"])
    everywhere.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="1.5")
    after = Decimal(everywhere.futures_open_interest(symbol="BTCUSDT")["openInterest"])
    # The fill is volume too, half of which counts.
    assert after - before == Decimal("2.25")


@pytest.mark.parametrize("period", ["5m", "1h", "1d"])
def test_lists_of_a_period_step_by_it(everywhere, period):
    """Rows are a period apart, on its grid, and the newest is of the running one."""
    length = {"5m": 5 * MINUTE, "1h": HOUR, "1d": DAY}[period]
    for ask in (
        everywhere.futures_open_interest_hist,
        everywhere.futures_global_longshort_ratio,
        everywhere.futures_taker_longshort_ratio,
    ):
        times = [row["timestamp"] for row in ask(symbol="BTCUSDT", period=period, limit=3)]
        assert times == [times[0], times[0] + length, times[0] + 2 * length]
        assert times[0] % length == 0
        assert 0 <= now() - times[-1] < length
        later = ask(symbol="BTCUSDT", period=period, startTime=times[1], endTime=times[1])
        assert [row["timestamp"] for row in later] == [times[1]]


def test_lists_reach_thirty_days_back(everywhere, refused):
    """An earlier start and an unknown period are refused."""
    with refused(-1130, "Data sent for parameter 'startTime' is not valid."):
        everywhere.futures_basis(
            pair="BTCUSDT", contractType="PERPETUAL", period="1d", startTime=now() - 31 * DAY
        )
    with refused(-1130):
        everywhere.futures_basis(pair="BTCUSDT", contractType="PERPETUAL", period="7m")


def test_the_book_and_its_best_levels_agree(exchange, everywhere):
    """BookTicker has the first level of depth, prices and quantities."""
    exchange.set_book("BTCUSDT", [(59_990, 1), (59_980, 2)], [(60_010, "0.3")])
    best, book = (
        everywhere.futures_orderbook_ticker(symbol="BTCUSDT"),
        everywhere.futures_order_book(symbol="BTCUSDT", limit=5),
    )
    assert [best["bidPrice"], best["bidQty"]] == book["bids"][0]
    assert [best["askPrice"], best["askQty"]] == book["asks"][0]


def test_the_last_day_agrees_with_its_candles(exchange, everywhere):
    """Volume, trades, high, low and last price of 24 hours are those of the candles in them."""
    exchange.set_mark("BTCUSDT", 61_000)
    everywhere.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.5")
    day = everywhere.futures_ticker(symbol="BTCUSDT")
    rows = everywhere.futures_klines(symbol="BTCUSDT", interval="1m", limit=1440)
    assert Decimal(day["volume"]) == sum(Decimal(row[5]) for row in rows)
    assert day["count"] == sum(row[8] for row in rows)
    assert Decimal(day["highPrice"]) == max(Decimal(row[2]) for row in rows)
    assert day["lastPrice"] == rows[-1][4]
    spot = everywhere.get_ticker(symbol="BTCUSDT")
    assert [Decimal(spot[name]) for name in ("volume", "highPrice", "lastPrice")] == [
        Decimal(day[name]) for name in ("volume", "highPrice", "lastPrice")
    ]
