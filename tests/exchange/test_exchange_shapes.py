"""The exact fields of each answer, as production has them."""

import pytest


def words(text):
    return text.split()


ORDER_TERMS = words("""timeInForce type reduceOnly closePosition side positionSide stopPrice workingType
    priceProtect
    origType priceMatch selfTradePreventionMode goodTillDate""")
PLACED = [
    *words("orderId symbol status clientOrderId price origQty executedQty cumQty"),
    *ORDER_TERMS,
    "updateTime",
]
QUERIED = [
    *words("orderId symbol status clientOrderId price avgPrice origQty executedQty cumQuote"),
    *ORDER_TERMS,
    "time",
    "updateTime",
]
ALGO_HEAD = words(
    "algoId clientAlgoId algoType orderType symbol side positionSide timeInForce quantity algoStatus"
)
ALGO_TAIL = words("""selfTradePreventionMode workingType priceMatch closePosition priceProtect reduceOnly
    createTime
    updateTime triggerTime goodTillDate""")


@pytest.fixture
def placed(api):
    return api.limit("BUY", "5.9", "1.0000", symbol="DOTUSDT")


def test_placing_has_no_average_price(api, placed):
    """POST, and DELETE likewise, have the fields of the production answer of 2026-09-19."""
    assert list(placed) == PLACED
    assert list(api.delete("order", symbol="DOTUSDT", orderId=placed["orderId"])) == PLACED


def test_numbers_of_an_order_print_at_the_precision_of_the_symbol(placed):
    """DOTUSDT has six decimals in prices and one in quantities."""
    found = {name: placed[name] for name in ("price", "origQty", "executedQty", "stopPrice")}
    assert found == {"price": "1.000000", "origQty": "5.9", "executedQty": "0.0", "stopPrice": "0.000000"}
    assert type(placed["orderId"]) is type(placed["updateTime"]) is int
    assert placed["reduceOnly"] is placed["closePosition"] is placed["priceProtect"] is False


def test_queries_have_average_price_and_time(api, placed):
    """GET order, openOrder and openOrders agree; allOrders adds cumBase and pair."""
    ref = {"symbol": "DOTUSDT", "orderId": placed["orderId"]}
    assert list(api.get("order", **ref)) == QUERIED
    assert api.get("openOrder", **ref) == api.get("openOrders")[0] == api.get("order", **ref)
    assert list(api.get("allOrders", symbol="DOTUSDT")[0]) == [*QUERIED, "cumBase", "pair"]


def test_the_algo_order_has_a_shape_for_each_endpoint(api):
    """POST, openAlgoOrders and allAlgoOrders show the same order with different fields and formats."""
    stop = {"symbol": "DOTUSDT", "triggerPrice": "1.1837", "quantity": "4.9"}
    placed = api.algo("BUY", **stop)
    assert list(placed) == [*ALGO_HEAD, "triggerPrice", "price", "icebergQuantity", *ALGO_TAIL]
    assert (placed["triggerPrice"], placed["price"], placed["quantity"]) == ("1.183700", "0.000000", "4.9")
    (opened,) = api.get("openAlgoOrders")
    actual = ["actualOrderId", "actualQty"]
    assert list(opened) == [
        *ALGO_HEAD,
        *actual,
        "triggerPrice",
        "price",
        "icebergQuantity",
        *ALGO_TAIL,
        "isActivated",
    ]
    assert (opened["triggerPrice"], opened["price"], opened["actualQty"]) == ("1.1837", "0.0", "0.0")
    (listed,) = api.get("allAlgoOrders", symbol="DOTUSDT")
    assert not {"actualQty", "actualType"} & set(listed)


def test_a_triggered_algo_order_lists_what_it_became(api):
    """The fields of the production row of 2026-09-19, in their order; actualOrderId is a string."""
    api.algo("SELL", symbol="DOTUSDT", triggerPrice="1.1322", quantity="4.9")
    api.engine.set_prices("DOTUSDT", last="1.1322", bid="1.1325", ask="1.1326")
    (row,) = api.get("allAlgoOrders", symbol="DOTUSDT")
    actual = ["actualOrderId", "actualPrice", "actualQty", "actualType"]
    assert list(row) == [
        *ALGO_HEAD,
        *actual,
        "triggerPrice",
        "price",
        "icebergQuantity",
        "tpOrderType",
        *ALGO_TAIL,
        "isActivated",
    ]
    assert (row["actualPrice"], row["actualQty"]) == ("1.1325000", "4.9")
    assert (type(row["actualOrderId"]), row["isActivated"]) == (str, False)


def test_a_trailing_algo_order_shows_its_rates(api):
    """Only a trailing stop has activatePrice and callbackRate."""
    placed = api.algo(
        "SELL", "TRAILING_STOP_MARKET", quantity="0.010", callbackRate="1.5", activatePrice="61000"
    )
    assert (placed["activatePrice"], placed["callbackRate"]) == ("61000.00", "1.5")


def test_a_close_position_answer(api):
    """It comes back as GTE_GTC, reduceOnly and with quantity 0."""
    api.order("BUY", "0.010")
    placed = api.algo("SELL", triggerPrice="59000", closePosition="true")
    found = {name: placed[name] for name in ("timeInForce", "quantity", "closePosition", "reduceOnly")}
    assert found == {"timeInForce": "GTE_GTC", "quantity": "0", "closePosition": True, "reduceOnly": True}


def test_position_risk_of_version_3_has_no_leverage(api):
    """v3 dropped leverage, marginType, maxNotionalValue and isAutoAddMargin."""
    api.order("BUY", "0.010")
    (row,) = api.get("positionRisk", 3)
    assert list(row) == words("""symbol positionSide positionAmt entryPrice breakEvenPrice
        markPrice unRealizedProfit

    liquidationPrice isolatedMargin notional marginAsset isolatedWallet initialMargin
    maintMargin positionInitialMargin openOrderInitialMargin adl bidNotional askNotional
    updateTime""")
    (old,) = api.get("positionRisk", 2, symbol="BTCUSDT")
    assert (old["leverage"], old["marginType"], old["isAutoAddMargin"]) == ("20", "cross", "false")


def test_the_account_rows(api):
    """v3 rows have no leverage and no entry price; v2 rows have both."""
    api.order("BUY", "0.010")
    (row,) = api.get("account", 3)["positions"]
    assert list(row) == words("""symbol positionSide positionAmt unrealizedProfit isolatedMargin notional
    isolatedWallet
    initialMargin maintMargin updateTime""")
    assert {"leverage", "isolated", "entryPrice", "maxNotional"} <= set(api.get("account", 2)["positions"][0])


def test_exchange_info_has_the_filters_and_no_algo_limit(api):
    """The notional key is `notional`, and MAX_NUM_ALGO_ORDERS is gone since 2025-12-29."""
    found = api.get("exchangeInfo")
    contract = next(row for row in found["symbols"] if row["symbol"] == "BTCUSDT")
    filters = {row["filterType"]: row for row in contract["filters"]}
    assert set(filters) == {
        "PRICE_FILTER",
        "LOT_SIZE",
        "MARKET_LOT_SIZE",
        "MAX_NUM_ORDERS",
        "MIN_NOTIONAL",
        "PERCENT_PRICE",
    }
    assert filters["MIN_NOTIONAL"]["notional"] == "100"
    assert "STOP_MARKET" in contract["orderTypes"]
    assert [row["limit"] for row in found["rateLimits"]] == [2400, 300, 1200]
    assert api.get("rateLimit/order") == found["rateLimits"][1:]


def test_prices_of_one_symbol_or_of_all(api):
    """With a symbol the answer is an object, without one a list."""
    assert api.get("premiumIndex", symbol="BTCUSDT")["markPrice"] == "60000.00000000"
    assert api.get("ticker/price", 2, symbol="BTCUSDT")["price"] == "60000.00"
    assert api.get("ticker/bookTicker", symbol="BTCUSDT")["askPrice"] == "60000.00"
    for path in ("premiumIndex", "ticker/price", "ticker/bookTicker"):
        assert len(api.get(path)) == len(api.engine.state.symbols)


def test_listen_keys_live_for_an_hour(api, refused):
    """POST returns the live key again, PUT extends it, and after 60 minutes it does not exist (-1125)."""
    key = api.post("listenKey")["listenKey"]
    api.clock.advance(59 * 60_000)
    assert api.post("listenKey")["listenKey"] == api.put("listenKey")["listenKey"] == key
    api.clock.advance(60 * 60_000)
    with refused(-1125, "This listenKey does not exist."):
        api.put("listenKey")
    assert api.post("listenKey")["listenKey"] != key
    assert api.delete("listenKey") == {}
