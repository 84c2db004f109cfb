"""The wallet (/sapi): what clients ask before they trade futures, and transfers to the futures wallet."""

from decimal import Decimal

import pytest
import requests

from exit_shim.testing import ApiKey


def words(text):
    return text.split()


SHAPES = {
    "capital/config/getall": (
        lambda client: client.get_all_coins_info()[0],
        words(
            """coin depositAllEnable free freeze ipoable ipoing isLegalMoney locked name networkList storage
            trading withdrawAllEnable withdrawing"""
        ),
    ),
    "account/apiRestrictions": (
        lambda client: client.get_account_api_permissions(),
        words(
            """ipRestrict createTime enableReading enableWithdrawals enableInternalTransfer enableMargin
            enableFutures permitsUniversalTransfer enableVanillaOptions enableFixApiTrade enableFixReadOnly
            enableSpotAndMarginTrading enablePortfolioMarginTrading"""
        ),
    ),
    "asset/tradeFee": (
        lambda client: client.get_trade_fee(symbol="BTCUSDT")[0],
        words("symbol makerCommission takerCommission"),
    ),
    "asset/getUserAsset": (
        lambda client: client.get_user_asset()[0],
        words("asset free locked freeze withdrawing ipoable btcValuation"),
    ),
    "asset/wallet/balance": (
        lambda client: client.margin_v1_get_asset_wallet_balance()[0],
        words("activate balance walletName"),
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_answers_have_the_documented_fields(everywhere, name):
    """Each answer has the fields of the documented sample, in its order."""
    ask, fields = SHAPES[name]
    assert list(ask(everywhere)) == fields


def test_what_clients_load_before_they_start(everywhere):
    """Coins of every symbol, no margin pairs and assets, and an account and a system that are well."""
    coins = {row["coin"]: row["free"] for row in everywhere.get_all_coins_info()}
    bases = {row["baseAsset"] for row in everywhere.futures_exchange_info()["symbols"]}
    assert {"USDT", *bases} <= set(coins)
    assert coins["USDT"] == "10000.00000000"
    assert everywhere.get_margin_all_pairs() == everywhere.get_all_isolated_margin_symbols() == []
    assert everywhere.get_margin_all_assets() == []
    assert everywhere.get_system_status() == {"status": 0, "msg": "normal"}
    assert everywhere.get_account_status() == {"data": "Normal"}
    assert everywhere.get_account_api_trading_status()["data"]["isLocked"] is False


def test_the_value_of_what_is_held(everywhere):
    """User assets are valued in BTC at the last prices when that is asked for."""
    held = {row["asset"]: row["btcValuation"] for row in everywhere.get_user_asset(needBtcValuation="true")}
    assert (held["BTC"], held["USDT"]) == ("0.50000000", "0.16666667")
    assert everywhere.get_user_asset(asset="BNB") == [
        {
            **dict.fromkeys(words("locked freeze withdrawing ipoable btcValuation"), "0"),
            "asset": "BNB",
            "free": "10",
        }
    ]
    wallets = {
        row["walletName"]: row["balance"]
        for row in everywhere.margin_v1_get_asset_wallet_balance(quoteAsset="USDT")
    }
    assert Decimal(wallets["USDⓈ-M Futures"]) == pytest.approx(10_000)


def test_the_restrictions_are_those_of_the_key(exchange, everywhere):
    """A key that may only read is said to be one."""
    assert everywhere.get_account_api_permissions()["enableFutures"] is True
    exchange.register(everywhere.API_KEY, ApiKey(secret=everywhere.API_SECRET, can_trade=False))
    found = everywhere.get_account_api_permissions()
    assert (found["enableReading"], found["enableFutures"]) == (True, False)


def test_usdt_moves_between_spot_and_futures(exchange, everywhere):
    """A transfer changes both wallets, is in both lists and in the income, and comes with an event."""
    events = []
    exchange.engine.feed.listeners.append(events.append)
    moved = everywhere.futures_account_transfer(asset="USDT", amount="2500", type=1)
    back = everywhere.make_universal_transfer(type="UMFUTURE_MAIN", asset="USDT", amount="0.5")
    assert everywhere.get_asset_balance(asset="USDT")["free"] == "7500.50000000"
    (wallet,) = everywhere.futures_account_balance()
    assert wallet["balance"] == wallet["availableBalance"] == "12499.50000000"
    listed = everywhere.transfer_history(asset="USDT", startTime=0)
    assert [(row["tranId"], row["amount"], row["type"]) for row in listed["rows"]] == [
        (back["tranId"], "0.5", "2"), (moved["tranId"], "2500", "1"),
    ]  # fmt: skip
    (universal,) = everywhere.query_universal_transfer_history(type="MAIN_UMFUTURE")["rows"]
    assert (universal["tranId"], universal["status"]) == (moved["tranId"], "CONFIRMED")
    assert [(row["incomeType"], row["income"]) for row in everywhere.futures_income_history()] == [
        ("TRANSFER", "2500.00000000"), ("TRANSFER", "-0.50000000"),
    ]  # fmt: skip
    assert [event.reason for event in events] == ["DEPOSIT", "WITHDRAW"]


@pytest.mark.parametrize(
    ("sent", "code", "text"),
    [
        ({"asset": "USDT", "amount": "10001", "type": 1}, -5013,
         "Asset transfer failed: insufficient balance"),
        ({"asset": "USDT", "amount": "10001", "type": 2}, -5013,
         "Asset transfer failed: insufficient balance"),
        ({"asset": "BNB", "amount": "1", "type": 1}, -1020,
         "This operation is not supported. The futures wallet holds USDT only."),
        ({"asset": "USDT", "amount": "1", "type": 3}, -1020,
         "This operation is not supported. USDT can be moved between spot and USDⓈ-M futures only."),
        ({"asset": "USDT", "amount": "0", "type": 1}, -1130,
         "Data sent for parameter 'amount' is not valid."),
    ],
)  # fmt: skip
def test_transfers_that_are_refused(everywhere, refused, sent, code, text):
    """More than there is, another asset and another wallet are refused, and nothing moves."""
    with refused(code, text):
        everywhere.futures_account_transfer(**sent)
    assert everywhere.get_asset_balance(asset="USDT")["free"] == "10000.00000000"


def test_margin_of_a_position_cannot_be_moved_away(everywhere, refused):
    """The margin of a position stays in the futures wallet."""
    everywhere.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="1")
    with refused(-5013):
        everywhere.futures_account_transfer(asset="USDT", amount="9000", type=2)


def test_the_spot_account_is_saved(exchange, everywhere, tmp_path):
    """Balances and transfers are there when an exchange goes on from a file."""
    everywhere.futures_account_transfer(asset="USDT", amount="2500", type=1)
    exchange.save(tmp_path / "state.json")
    again = type(exchange)(state=tmp_path / "state.json")
    assert again.engine.state.spot == exchange.engine.state.spot


def test_the_wallet_has_a_weight_of_its_own(exchange):
    """Its answers carry the header of the wallet, not that of spot or futures."""
    answer = requests.get(f"{exchange.url}/sapi/v1/system/status", timeout=60)
    assert answer.headers["X-SAPI-USED-IP-WEIGHT-1M"] == "1"
    assert not [name for name in answer.headers if name.upper().startswith("X-MBX-USED")]


@pytest.mark.parametrize("name", ["get_margin_account", "get_sub_account_list", "get_simple_earn_account"])
def test_other_parts_of_the_wallet_are_refused(exchange, everywhere, refused, name):
    """Margin, sub-accounts and earning are refused with a reason, which is noted."""
    with refused(-1020) as caught:
        getattr(everywhere, name)()
    (missing,) = exchange.unanswered
    assert (missing.kind, missing.count) == ("endpoint", 1)
    assert caught.value.message == f"This operation is not supported. {missing.reason}"
