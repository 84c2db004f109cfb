"""Spot: market data of the same market in spot's own form, an account, and orders that are refused."""

from decimal import Decimal

import pytest
import requests

from exit_shim.exchange import DEFAULT_SYMBOLS
from exit_shim.testing import LocalExchange

DAY = 24 * 60 * 60_000
REFUSED = (
    "This operation is not supported. Spot orders are not modelled: "
    "trade USDⓈ-M futures (POST /fapi/v1/order)."
)


def words(text):
    return text.split()


WINDOW = words(
    "openPrice highPrice lowPrice lastPrice volume quoteVolume openTime closeTime firstId lastId count"
)
CHANGE = words("symbol priceChange priceChangePercent weightedAvgPrice")
SHAPES = {
    "price": (lambda client: client.get_symbol_ticker(symbol="BTCUSDT"), words("symbol price")),
    "prices": (lambda client: client.get_all_tickers()[0], words("symbol price")),
    "bookTicker": (
        lambda client: client.get_orderbook_ticker(symbol="BTCUSDT"),
        words("symbol bidPrice bidQty askPrice askQty"),
    ),
    "24hr": (
        lambda client: client.get_ticker(symbol="BTCUSDT"),
        [
            *CHANGE,
            *words(
                """prevClosePrice lastPrice lastQty bidPrice bidQty askPrice askQty openPrice highPrice
                lowPrice"""
            ),
            *words("volume quoteVolume openTime closeTime firstId lastId count"),
        ],
    ),
    "24hr, MINI": (lambda client: client.get_ticker(symbol="BTCUSDT", type="MINI"), ["symbol", *WINDOW]),
    "window": (lambda client: client.get_symbol_ticker_window(symbol="BTCUSDT"), [*CHANGE, *WINDOW]),
    "tradingDay": (lambda client: client.v3_get_ticker_trading_day(symbol="BTCUSDT"), [*CHANGE, *WINDOW]),
    "avgPrice": (lambda client: client.get_avg_price(symbol="BTCUSDT"), words("mins price closeTime")),
    "depth": (lambda client: client.get_order_book(symbol="BTCUSDT"), words("lastUpdateId bids asks")),
    "trades": (
        lambda client: client.get_recent_trades(symbol="BTCUSDT")[0],
        words("id price qty quoteQty time isBuyerMaker isBestMatch"),
    ),
    "historicalTrades": (
        lambda client: client.get_historical_trades(symbol="BTCUSDT")[0],
        words("id price qty quoteQty time isBuyerMaker isBestMatch"),
    ),
    "aggTrades": (
        lambda client: client.get_aggregate_trades(symbol="BTCUSDT")[0],
        words("a p q f l T m M"),
    ),
    "account": (
        lambda client: client.get_account(),
        words(
            """makerCommission takerCommission buyerCommission sellerCommission commissionRates canTrade
            canWithdraw canDeposit brokered requireSelfTradePrevention preventSor updateTime accountType
            balances permissions uid"""
        ),
    ),
    "commission": (
        lambda client: client.v3_get_account_commission(symbol="BTCUSDT"),
        words("symbol standardCommission specialCommission taxCommission discount"),
    ),
    "exchangeInfo": (
        lambda client: client.get_exchange_info(),
        words("timezone serverTime rateLimits exchangeFilters symbols"),
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_answers_have_the_documented_fields(everywhere, name):
    """Each answer has the fields of spot's documented sample, in its order."""
    ask, fields = SHAPES[name]
    assert list(ask(everywhere)) == fields


def test_prices_are_those_of_futures_with_eight_decimals(exchange, everywhere):
    """One market: last price, best levels, candles and the last day agree on both sides."""
    exchange.set_mark("BTCUSDT", 61_000)
    exchange.set_book("BTCUSDT", [(60_990, 1)], [(61_010, "0.3")])
    assert everywhere.get_symbol_ticker(symbol="BTCUSDT")["price"] == "61000.00000000"
    best = everywhere.get_orderbook_ticker(symbol="BTCUSDT")
    assert list(best.values())[1:] == [
        "60990.00000000", "1.00000000", "61010.00000000", "0.30000000",
    ]  # fmt: skip
    book = everywhere.get_order_book(symbol="BTCUSDT", limit=5)
    assert (book["bids"], book["asks"]) == ([list(best.values())[1:3]], [list(best.values())[3:]])
    ask = {"symbol": "BTCUSDT", "interval": "1h", "limit": 3}
    spot, futures = everywhere.get_klines(**ask), everywhere.futures_klines(**ask)
    assert [[Decimal(value) for value in row[:11]] for row in spot] == [
        [Decimal(value) for value in row[:11]] for row in futures
    ]
    assert everywhere.get_ui_klines(**ask) == spot


def test_a_window_of_minutes_and_of_days(everywhere):
    """The rolling window is as long as asked for; another size is refused."""
    for size, length in (("15m", 15 * 60_000), ("4h", DAY // 6), ("7d", 7 * DAY)):
        found = everywhere.get_symbol_ticker_window(symbol="BTCUSDT", windowSize=size)
        assert length <= found["closeTime"] - found["openTime"] < length + 60_000
    day = everywhere.v3_get_ticker_trading_day(symbol="BTCUSDT")
    assert (day["openTime"] % DAY, day["closeTime"] - day["openTime"]) == (0, DAY - 1)


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        ("ticker", {"symbol": "BTCUSDT", "windowSize": "8d"}, -1130),
        ("ticker", {}, -1102),
        ("ticker/price", {"symbols": "BTCUSDT"}, -1100),
        ("ticker/price", {"symbols": '["BTCUSDT"]', "symbol": "BTCUSDT"}, -1128),
        ("ticker/price", {"symbol": "NOPE"}, -1121),
        ("klines", {"symbol": "BTCUSDT", "interval": "1s"}, -1020),
        ("klines", {"symbol": "BTCUSDT", "interval": "7m"}, -1120),
        ("depth", {}, -1102),
    ],
)
def test_malformed_questions_are_refused(exchange, path, params, code):
    """Missing and unknown symbols, bad lists, sizes and intervals have spot's own errors."""
    answer = requests.get(f"{exchange.url}/api/v3/{path}", params=params, timeout=60)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_several_symbols_are_asked_for_as_json(everywhere):
    """`symbols` gives a list in its order, in exchangeInfo only those."""
    both = '["ETHUSDT","BTCUSDT"]'
    rows = everywhere.get_ticker(symbols=both)
    assert [row["symbol"] for row in rows] == ["ETHUSDT", "BTCUSDT"]
    assert everywhere.get_symbol_info("BTCUSDT")["quoteAsset"] == "USDT"
    assert everywhere.get_symbol_info("NOPEUSDT") is None


def test_a_pair_has_the_filters_of_spot(everywhere):
    """The filters are spot's, with NOTIONAL, and a pair can be traded by what it says."""
    pair = everywhere.get_symbol_info("BTCUSDT")
    assert [row["filterType"] for row in pair["filters"]] == words(
        """PRICE_FILTER LOT_SIZE ICEBERG_PARTS MARKET_LOT_SIZE TRAILING_DELTA PERCENT_PRICE_BY_SIDE NOTIONAL
        MAX_NUM_ORDERS MAX_NUM_ORDER_LISTS MAX_NUM_ALGO_ORDERS MAX_NUM_ORDER_AMENDS"""
    )
    assert (pair["status"], pair["isSpotTradingAllowed"], pair["permissionSets"]) == (
        "TRADING", True, [["SPOT"]],
    )  # fmt: skip


def test_the_account_holds_coins(everywhere):
    """It has USDT, BTC, ETH and BNB, none of them in an order."""
    held = {row["asset"]: (row["free"], row["locked"]) for row in everywhere.get_account()["balances"]}
    assert held["USDT"] == ("10000.00000000", "0.00000000")
    assert set(held) == {"USDT", "BTC", "ETH", "BNB"}
    assert everywhere.get_asset_balance(asset="BNB")["free"] == "10.00000000"


def test_nothing_is_ever_traded_on_spot(everywhere, refused):
    """Lists of orders and trades are empty, an order is refused with the way out."""
    assert everywhere.get_open_orders() == everywhere.get_open_orders(symbol="BTCUSDT") == []
    assert everywhere.get_all_orders(symbol="BTCUSDT") == everywhere.get_my_trades(symbol="BTCUSDT") == []
    with refused(-1020, REFUSED):
        everywhere.order_market_buy(symbol="BTCUSDT", quantity=1)
    with refused(-1020, REFUSED):
        everywhere.get_order(symbol="BTCUSDT", orderId=1)
    with refused(-1121):
        everywhere.get_my_trades(symbol="NOPEUSDT")


def test_spot_has_a_weight_of_its_own(exchange):
    """Both headers are on every answer, 6,000 a minute pass, and futures are not charged for them."""
    answers = [
        requests.get(f"{exchange.url}/api/v3/{path}", timeout=60)
        for path in ("time", "ticker/price", "nonsense")
    ]
    used = [answer.headers["X-MBX-USED-WEIGHT"] for answer in answers]
    assert used == [answer.headers["X-MBX-USED-WEIGHT-1M"] for answer in answers] == ["1", "5", "6"]
    futures = requests.get(f"{exchange.url}/fapi/v1/time", timeout=60).headers
    assert futures["X-MBX-USED-WEIGHT-1M"] == "1"
    assert "X-MBX-USED-WEIGHT" not in futures


def test_the_weight_of_spot_ends(api_of_spot):
    """Beyond 6,000 in a minute it answers 429 with its own limit, while futures go on."""
    for _ in range(75):
        assert api_of_spot("api/v3/ticker/24hr").status_code == 200
    refused = api_of_spot("api/v3/ping")
    assert refused.status_code == 429
    assert "current limit is 6000 requests per minute" in refused.json()["msg"]
    assert api_of_spot("fapi/v1/ping").status_code == 200


@pytest.fixture
def api_of_spot():
    """Return a function that asks an exchange whose minute does not end."""
    with LocalExchange(clock=lambda: 1_790_000_000_000, symbols=DEFAULT_SYMBOLS[:2]) as exchange:
        yield lambda path: requests.get(f"{exchange.url}/{path}", timeout=60)


def test_spot_has_listen_keys_of_its_own(everywhere, refused):
    """A key lives until it is closed, is not that of futures, and another one does not exist."""
    key = everywhere.stream_get_listen_key()
    assert key != everywhere.futures_stream_get_listen_key()
    assert everywhere.stream_keepalive(key) == {}
    with refused(-1125):
        everywhere.stream_keepalive("another")
    assert everywhere.stream_close(key) == {}
    with refused(-1125):
        everywhere.stream_keepalive(key)
