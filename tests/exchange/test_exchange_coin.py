"""COIN-M and portfolio margin: the answers whose fields differ from those of USDⓈ-M."""

from decimal import Decimal

import pytest


def words(text):
    return text.split()


SHAPES = {
    "premiumIndex": (
        lambda client: client.futures_coin_mark_price(symbol="BTCUSD_PERP")[0],
        words(
            """symbol pair markPrice indexPrice estimatedSettlePrice lastFundingRate interestRate
            nextFundingTime time"""
        ),
    ),
    "ticker/price": (lambda client: client.futures_coin_symbol_ticker()[0], words("symbol ps price time")),
    "ticker/bookTicker": (
        lambda client: client.futures_coin_orderbook_ticker(pair="BTCUSD")[0],
        words("symbol pair bidPrice bidQty askPrice askQty time"),
    ),
    "ticker/24hr": (
        lambda client: client.futures_coin_ticker(symbol="BTCUSD_PERP")[0],
        words(
            """symbol pair priceChange priceChangePercent weightedAvgPrice lastPrice lastQty openPrice
            highPrice lowPrice volume openTime closeTime firstId lastId count baseVolume"""
        ),
    ),
    "depth": (
        lambda client: client.futures_coin_order_book(symbol="BTCUSD_PERP"),
        words("symbol pair lastUpdateId E T bids asks"),
    ),
    "trades": (
        lambda client: client.futures_coin_recent_trades(symbol="BTCUSD_PERP")[0],
        words("id price qty baseQty time isBuyerMaker"),
    ),
    "aggTrades": (
        lambda client: client.futures_coin_aggregate_trades(symbol="BTCUSD_PERP")[0],
        words("a p q f l T m"),
    ),
    "openInterest": (
        lambda client: client.futures_coin_open_interest(symbol="BTCUSD_PERP"),
        words("symbol pair openInterest time contractType"),
    ),
    "openInterestHist": (
        lambda client: client.futures_coin_open_interest_hist(
            pair="BTCUSD", contractType="PERPETUAL", period="1h"
        )[0],
        words("pair contractType sumOpenInterest sumOpenInterestValue timestamp"),
    ),
    "balance": (
        lambda client: client.futures_coin_account_balance()[0],
        words(
            """accountAlias asset balance withdrawAvailable crossWalletBalance crossUnPnl availableBalance
            updateTime"""
        ),
    ),
    "leverageBracket": (
        lambda client: client.futures_coin_leverage_bracket(symbol="BTCUSD_PERP")[0],
        words("symbol notionalCoef brackets"),
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_answers_have_the_fields_of_coin(everywhere, name):
    """Each answer has the fields of COIN-M's documented sample; prices come as lists."""
    ask, fields = SHAPES[name]
    assert list(ask(everywhere)) == fields


def test_contracts_have_the_fields_of_coin(everywhere):
    """ExchangeInfo has contractStatus, contractSize and the coin as margin, and no MIN_NOTIONAL."""
    found = everywhere.futures_coin_exchange_info()
    assert list(found) == words("timezone serverTime rateLimits exchangeFilters symbols")
    contract = next(row for row in found["symbols"] if row["symbol"] == "BTCUSD_PERP")
    assert {
        name: contract[name] for name in words("pair contractStatus contractSize marginAsset quoteAsset")
    } == {
        "pair": "BTCUSD",
        "contractStatus": "TRADING",
        "contractSize": 100,
        "marginAsset": "BTC",
        "quoteAsset": "USD",
    }
    assert "status" not in contract
    assert [row["filterType"] for row in contract["filters"]] == words(
        "PRICE_FILTER LOT_SIZE MARKET_LOT_SIZE MAX_NUM_ORDERS PERCENT_PRICE"
    )


def test_a_position_of_coin_is_in_every_read(everywhere):
    """positionRisk, of all or of a pair, and account show what was bought, in contracts."""
    everywhere.futures_coin_create_order(symbol="BTCUSD_PERP", side="BUY", type="MARKET", quantity="3")
    (risk,) = everywhere.futures_coin_position_information(pair="BTCUSD")
    assert (risk["positionAmt"], risk["notionalValue"], risk["leverage"]) == ("3", "0.00500000", "20")
    assert "maxNotionalValue" not in risk
    account = everywhere.futures_coin_account()
    (row,) = [row for row in account["positions"] if row["symbol"] == "BTCUSD_PERP"]
    assert (row["positionAmt"], row["isolated"]) == ("3", False)
    assert {"BTC", "ETH"} <= {row["asset"] for row in account["assets"]}
    assert {row["symbol"] for row in everywhere.futures_coin_position_information()} >= {"BTCUSD_PERP"}
    # It is no position of USDⓈ-M.
    assert everywhere.futures_position_information() == []


def test_candles_of_coin_have_contracts_and_coins(everywhere, exchange):
    """Volume is in contracts, the base volume in coins; those of the index are asked for by pair."""
    everywhere.futures_coin_create_order(symbol="BTCUSD_PERP", side="BUY", type="MARKET", quantity="30")
    ask = {"interval": "1m", "limit": 1}
    (row,) = everywhere.futures_coin_klines(symbol="BTCUSD_PERP", **ask)
    assert Decimal(row[7]) == pytest.approx(Decimal(row[5]) * 100 / Decimal(row[4]), abs=Decimal("1e-8"))
    (index,) = everywhere.futures_coin_index_price_klines(pair="BTCUSD", **ask)
    assert Decimal(index[4]) == exchange.coin.quote("BTCUSD_PERP").last


def test_what_coin_does_not_have_is_refused(everywhere, refused):
    """Isolated margin of COIN-M is refused with a reason, a pair with a symbol as Binance does."""
    with refused(-1020):
        everywhere.futures_coin_change_margin_type(symbol="BTCUSD_PERP", marginType="ISOLATED")
    with refused(-1128):
        everywhere.futures_coin_symbol_ticker(symbol="BTCUSD_PERP", pair="BTCUSD")


PORTFOLIO = {
    "account": (
        lambda client: client.papi_get_account(),
        words(
            """uniMMR accountEquity actualEquity accountInitialMargin accountMaintMargin accountStatus
            virtualMaxWithdrawAmount totalAvailableBalance totalMarginOpenLoss updateTime"""
        ),
    ),
    "balance": (
        lambda client: client.papi_get_balance(asset="USDT"),
        words(
            """asset totalWalletBalance crossMarginAsset crossMarginBorrowed crossMarginFree
            crossMarginInterest crossMarginLocked umWalletBalance umUnrealizedPNL cmWalletBalance
            cmUnrealizedPNL updateTime negativeBalance"""
        ),
    ),
    "um/account": (
        lambda client: client.papi_get_um_account()["positions"][0],
        words(
            """symbol initialMargin maintMargin unrealizedProfit positionInitialMargin
            openOrderInitialMargin leverage entryPrice maxNotional positionSide positionAmt updateTime
            bidNotional askNotional"""
        ),
    ),
    "um/account of version 2": (
        lambda client: client.papi_get_um_account_v2()["positions"][0],
        words(
            """symbol positionSide positionAmt unrealizedProfit notional initialMargin maintMargin
            updateTime"""
        ),
    ),
    "um/positionRisk": (
        lambda client: client.papi_get_um_position_risk(symbol="BTCUSDT")[0],
        words(
            """symbol positionAmt entryPrice breakEvenPrice markPrice unRealizedProfit liquidationPrice
            leverage maxNotionalValue positionSide notional updateTime"""
        ),
    ),
}


@pytest.mark.parametrize("name", PORTFOLIO)
def test_answers_have_the_fields_of_portfolio_margin(everywhere, name):
    """Each answer has the fields of portfolio margin's documented sample."""
    everywhere.papi_create_um_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01")
    ask, fields = PORTFOLIO[name]
    assert list(ask(everywhere)) == fields


def test_portfolio_margin_is_the_account_of_futures(everywhere):
    """Equity, balance and settings are those of the USDⓈ-M account."""
    assert everywhere.papi_ping() == {}
    assert everywhere.papi_get_account()["accountEquity"] == "10000.00000000"
    assert [row["asset"] for row in everywhere.papi_get_balance()] == ["USDT"]
    everywhere.papi_set_um_leverage(symbol="BTCUSDT", leverage=7)
    (config,) = everywhere.futures_symbol_config(symbol="BTCUSDT")
    assert config["leverage"] == 7


def test_the_ratio_of_portfolio_margin_follows_the_position(everywhere):
    """UniMMR is equity over maintenance margin, very large without a position."""
    assert everywhere.papi_get_account()["uniMMR"] == "99999999"
    everywhere.papi_create_um_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.1")
    found = everywhere.papi_get_account()
    ratio = Decimal(found["accountEquity"]) / Decimal(found["accountMaintMargin"])
    assert Decimal(found["uniMMR"]) == pytest.approx(ratio)


def test_ratios_of_coin_are_asked_for_by_pair(everywhere):
    """The shared path is of COIN-M when the pair is: other names, the same even ratio."""
    (row,) = everywhere.futures_coin_top_longshort_position_ratio(pair="BTCUSD", period="1h", limit=1)
    assert (row["pair"], row["longPosition"], row["shortPosition"]) == ("BTCUSD", "0.5000", "0.5000")
    (volume,) = everywhere.futures_coin_taker_buy_sell_volume(
        pair="BTCUSD", contractType="PERPETUAL", period="1h", limit=1
    )
    assert set(volume) == set(
        words("pair contractType takerBuyVol takerSellVol takerBuyVolValue takerSellVolValue timestamp")
    )
