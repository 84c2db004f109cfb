"""The rare reads of the account, by a genuine client over HTTP."""

from decimal import Decimal

import pytest

WEEK = 7 * 24 * 60 * 60 * 1000


def buy(client, quantity, **more):
    return client.futures_create_order(
        **{"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": quantity, **more}
    )


def bid(client, price, quantity=0.01):
    return buy(client, quantity, type="LIMIT", timeInForce="GTC", price=price)


def test_the_account_has_a_configuration(client):
    """The modes in it follow what the account has chosen; the rest is that of a plain account."""
    config = client.futures_account_config()
    assert config == {
        "feeTier": 0, "canTrade": True, "canDeposit": True, "canWithdraw": True, "dualSidePosition": False,
        "updateTime": 0, "multiAssetsMargin": False, "tradeGroupId": -1,
    }  # fmt: skip
    client.futures_change_position_mode(dualSidePosition=True)
    client.futures_change_multi_assets_mode(multiAssetsMargin=True)
    changed = client.futures_account_config()
    assert (changed["dualSidePosition"], changed["multiAssetsMargin"]) == (True, True)


def test_the_discount_in_bnb_is_a_switch(client, refused):
    """It is remembered and shown by the account too; a value that is none is refused."""
    assert client.futures_v1_get_fee_burn() == {"feeBurn": False}
    assert client.futures_v1_post_fee_burn(feeBurn="true") == {"code": 200, "msg": "success"}
    assert client.futures_v1_get_fee_burn() == {"feeBurn": True}
    assert client.futures_account(version=2)["feeBurn"] is True
    with refused(-1102):
        client.futures_v1_post_fee_burn()


def test_the_rules_of_trading_are_kept_unless_the_account_is_restricted(client, exchange):
    """No indicator is shown, and that of the account once quantitative rules lock it."""
    status = client.futures_api_trading_status()
    assert status["indicators"] == {}
    assert abs(status["updateTime"] - exchange.engine.now()) < 60_000
    exchange.engine.restrict("quantitative_rules")
    (row,) = client.futures_api_trading_status(symbol="BTCUSDT")["indicators"]["ACCOUNT"]
    assert (row["indicator"], row["isLocked"]) == ("TMV", True)


def test_the_queue_of_deleveraging_names_the_positions(client, exchange):
    """One object for a symbol, a list of those with a position without; HEDGE where both sides share."""
    assert client.futures_adl_quantile_estimate() == []
    idle = {"symbol": "ETHUSDT", "adlQuantile": {"LONG": 0, "SHORT": 0, "BOTH": 0}}
    assert client.futures_adl_quantile_estimate(symbol="ETHUSDT") == idle
    buy(client, 0.01)
    held = {"symbol": "BTCUSDT", "adlQuantile": {"LONG": 0, "SHORT": 0, "BOTH": 1}}
    assert client.futures_adl_quantile_estimate() == [held]
    buy(client, 0.01, side="SELL")
    client.futures_change_position_mode(dualSidePosition=True)
    buy(client, 0.01, side="SELL", positionSide="SHORT")
    assert client.futures_adl_quantile_estimate(symbol="BTCUSDT")["adlQuantile"] == {
        "LONG": 0, "SHORT": 1, "HEDGE": 0,
    }  # fmt: skip


def test_changes_of_an_order_are_remembered(client):
    """Each amendment has before and after and its number, the newest first; those of others stay out."""
    order, other = bid(client, 50_000), bid(client, 51_000)
    for price, quantity in ((50_100, 0.01), (50_200, 0.02)):
        for each in (order, other):
            client.futures_modify_order(
                symbol="BTCUSDT", orderId=each["orderId"], side="BUY", price=price, quantity=quantity
            )
    newest, oldest = client.futures_v1_get_order_amendment(symbol="BTCUSDT", orderId=order["orderId"])
    assert newest["amendment"] == {
        "price": {"before": "50100", "after": "50200"},
        "origQty": {"before": "0.01", "after": "0.02"},
        "count": 2,
    }
    assert oldest["amendment"]["price"] == {"before": "50000", "after": "50100"}
    assert oldest["amendment"]["count"] == 1
    assert newest["amendmentId"] > oldest["amendmentId"]
    assert (newest["orderId"], newest["pair"]) == (order["orderId"], "BTCUSDT")
    by_name = client.futures_v1_get_order_amendment(
        symbol="BTCUSDT", origClientOrderId=order["clientOrderId"], limit=1
    )
    assert by_name == [newest]


def test_changes_of_an_order_need_its_name(client, refused):
    """Without an id they are refused; an order that was never changed has none."""
    with refused(-1102):
        client.futures_v1_get_order_amendment(symbol="BTCUSDT")
    order = bid(client, 50_000)
    assert client.futures_v1_get_order_amendment(symbol="BTCUSDT", orderId=order["orderId"]) == []


def test_a_change_that_is_refused_leaves_no_trace(client, refused):
    """Only what has changed an order is history."""
    order = bid(client, 50_000)
    with refused(-5027):
        client.futures_modify_order(
            symbol="BTCUSDT", orderId=order["orderId"], side="BUY", price=50_000, quantity=0.01
        )
    assert client.futures_v1_get_order_amendment(symbol="BTCUSDT", orderId=order["orderId"]) == []


def test_liquidations_are_listed(client, exchange):
    """The closing order comes with the fields of an order, and never as auto-deleveraging."""
    assert client.futures_liquidation_orders() == []
    client.futures_change_leverage(symbol="BTCUSDT", leverage=100)
    buy(client, 10)
    exchange.set_mark("BTCUSDT", 59_100)
    (order,) = client.futures_liquidation_orders(symbol="BTCUSDT")
    assert order["clientOrderId"].startswith("autoclose-")
    assert (order["side"], order["status"], order["timeInForce"]) == ("SELL", "FILLED", "IOC")
    assert Decimal(order["origQty"]) == Decimal(order["executedQty"]) == 10
    assert {"avgPrice", "cumQuote", "origType", "time", "updateTime"} <= order.keys()
    assert client.futures_liquidation_orders() == [order]
    assert client.futures_liquidation_orders(autoCloseType="LIQUIDATION") == [order]
    assert client.futures_liquidation_orders(autoCloseType="ADL") == []
    assert client.futures_liquidation_orders(symbol="ETHUSDT") == []


def test_liquidations_go_back_a_week(make_api, refused):
    """Those of longer ago come with times; a kind that is none is refused."""
    api = make_api()
    api.post("leverage", symbol="BTCUSDT", leverage=100)
    api.order("BUY", "10")
    api.engine.set_mark("BTCUSDT", 59_100)
    time = api.get("forceOrders")[0]["time"]
    api.clock.advance(WEEK + 1)
    assert api.get("forceOrders") == []
    assert len(api.get("forceOrders", startTime=time, endTime=time + 1)) == 1
    with refused(-1130):
        api.get("forceOrders", autoCloseType="ODD")


@pytest.mark.parametrize("path", ["apiTradingStatus", "adlQuantile", "forceOrders", "orderAmendment"])
def test_a_symbol_that_does_not_trade_is_refused(api, refused, path):
    """-1121 from each that takes a symbol."""
    with refused(-1121):
        api.get(path, symbol="FOOUSDT", orderId=1)


def test_amendments_outlive_the_exchange(api):
    """A saved exchange goes on with them and their ids."""
    order = api.limit("BUY", "0.010", "50000")
    change = {"symbol": "BTCUSDT", "orderId": order["orderId"], "side": "BUY", "quantity": "0.010"}
    api.put("order", price="50100", **change)
    before = api.get("orderAmendment", symbol="BTCUSDT", orderId=order["orderId"])
    api.engine = type(api.engine).parse(api.engine.dump(), clock=api.clock)
    assert api.get("orderAmendment", symbol="BTCUSDT", orderId=order["orderId"]) == before
    api.put("order", price="50200", **change)
    ids = [
        row["amendmentId"] for row in api.get("orderAmendment", symbol="BTCUSDT", orderId=order["orderId"])
    ]
    assert ids[0] == ids[1] + 1
