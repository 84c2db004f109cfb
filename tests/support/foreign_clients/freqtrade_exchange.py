"""The life of freqtrade's live exchange class for Binance futures, on ccxt (sync and async)."""

import logging
from datetime import datetime, timedelta, timezone

import ccxt
from freqtrade.enums import CandleType, RunMode
from freqtrade.exceptions import InsufficientFundsError, InvalidOrderException
from freqtrade.resolvers import ExchangeResolver
from life import KEY, SECRET, Life

PAIR = "BTC/USDT:USDT"


def make_config(life):
    """Return a live configuration; its ccxt settings lead to the exchange."""
    urls = {
        name: life.local(address, tls=True)
        for name, address in ccxt.binance().urls["api"].items()
        if isinstance(address, str)
    }
    pricing = {"price_side": "same", "use_order_book": True, "order_book_top": 1}
    return {
        "exchange": {
            "name": "binance",
            "key": KEY,
            "secret": SECRET,
            "pair_whitelist": [PAIR],
            # The host tells ccxt which market an error is of; without it freqtrade has less exact exceptions.
            "ccxt_config": {"urls": {"api": urls}, "hostname": f"binance.localhost:{life.tls_port}"},
            "ccxt_sync_config": {"validateServerSsl": life.authority},
            "ccxt_async_config": {"cafile": life.authority},
            "only_from_ccxt": True,
        },
        "dry_run": False,
        "runmode": RunMode.LIVE,
        "trading_mode": "futures",
        "margin_mode": "isolated",
        "stake_currency": "USDT",
        "timeframe": "1h",
        "entry_pricing": pricing,
        "exit_pricing": pricing,
    }


def look(life, ft):
    """Read markets, prices and candles."""
    with life.step("markets"):
        assert PAIR in ft.get_markets(quote_currencies=["USDT"], tradable_only=True, active_only=True)
    with life.step("leverage tiers"):
        assert ft.get_max_leverage(PAIR, 1_000) >= 20
    with life.step("tickers, order book, rate"):
        assert ft.get_tickers()[PAIR]["bid"]
        assert ft.fetch_ticker(PAIR)["last"]
        assert ft.fetch_l2_order_book(PAIR)["bids"]
        assert ft.get_rate(PAIR, True, "entry", False)
    with life.step("candles"):
        since = int((datetime.now(timezone.utc) - timedelta(days=30)).timestamp() * 1000)
        frame = ft.get_historic_ohlcv(PAIR, "1h", since, CandleType.FUTURES)
        assert len(frame) >= 700, len(frame)
        assert ft.refresh_latest_ohlcv([(PAIR, "1h", CandleType.FUTURES)])
    with life.step("candles of mark price and funding"):
        assert len(ft.get_historic_ohlcv(PAIR, "1h", since, CandleType.MARK))
        assert len(ft.get_historic_ohlcv(PAIR, "8h", since, CandleType.FUNDING_RATE))
    with life.step("funding rate"):
        assert ft.fetch_funding_rate(PAIR)["fundingRate"] is not None
    with life.step("fees, balances"):
        assert ft.get_fee(PAIR) > 0
        assert ft.get_balances()["USDT"]["free"] > 0
        ft.fetch_trading_fees()


def trade(life, ft):
    """Open, protect and close a position."""
    order = None
    with life.step("market order"):
        order = ft.create_order(
            pair=PAIR, ordertype="market", side="buy", amount=0.01, rate=60_000, leverage=5.0
        )
        order = ft.fetch_order(order["id"], PAIR)
        assert order["status"] == "closed", order
        assert ft.get_trades_for_order(order["id"], PAIR, datetime.now(timezone.utc) - timedelta(hours=1))
    with life.step("position, liquidation price, funding fees"):
        (position,) = ft.fetch_positions(PAIR)
        assert position["contracts"] == 0.01
        assert ft.get_liquidation_price(
            pair=PAIR,
            open_rate=60_000,
            is_short=False,
            amount=0.01,
            stake_amount=120,
            leverage=5,
            wallet_balance=120,
        )
        ft.get_funding_fees(PAIR, 0.01, False, datetime.now(timezone.utc) - timedelta(hours=1))
    with life.step("stop on the exchange"):
        stop = ft.create_stoploss(
            pair=PAIR,
            amount=0.01,
            stop_price=55_000,
            order_types={"stoploss": "market"},
            side="sell",
            leverage=5.0,
        )
        assert ft.fetch_stoploss_order(stop["id"], PAIR)["status"] == "open"
        ft.cancel_stoploss_order_with_result(stop["id"], PAIR, 0.01)
        assert ft.fetch_stoploss_order(stop["id"], PAIR)["status"] == "canceled"
    with life.step("stop as a limit order"):
        stop = ft.create_stoploss(
            pair=PAIR,
            amount=0.01,
            stop_price=55_000,
            order_types={"stoploss": "limit"},
            side="sell",
            leverage=5.0,
        )
        ft.cancel_stoploss_order(stop["id"], PAIR)
    with life.step("limit order, cancel"):
        order = ft.create_order(
            pair=PAIR, ordertype="limit", side="sell", amount=0.01, rate=65_000, leverage=5.0, reduceOnly=True
        )
        ft.cancel_order_with_result(order["id"], PAIR, 0.01)
        assert ft.fetch_order(order["id"], PAIR)["status"] == "canceled"
        assert ft.fetch_orders(PAIR, datetime.now(timezone.utc) - timedelta(hours=1))
    with life.step("a stop that fires is found as its order"):
        stop = ft.create_stoploss(
            pair=PAIR,
            amount=0.01,
            stop_price=59_000,
            order_types={"stoploss": "market"},
            side="sell",
            leverage=5.0,
        )
        life.set_price(58_900)
        life.control("advance", milliseconds=1_000)
        fired = ft.fetch_stoploss_order(stop["id"], PAIR)
        assert fired["status"] == "closed", fired
        assert fired["filled"] == 0.01
        assert fired["average"]
        assert ft.fetch_positions(PAIR) == []


def refusals(life, ft):
    """Be refused with freqtrade's own exceptions."""
    with life.refused(-2019, InsufficientFundsError):
        ft.create_order(pair=PAIR, ordertype="market", side="buy", amount=100, rate=60_000, leverage=5.0)
    with life.refused(-2021, InvalidOrderException):
        ft.create_stoploss(
            pair=PAIR,
            amount=0.01,
            stop_price=90_000,
            order_types={"stoploss": "market"},
            side="sell",
            leverage=5.0,
        )


def live(life):
    """Live the whole life."""
    ft = None
    with life.step("start"):
        ft = ExchangeResolver.load_exchange(make_config(life), load_leverage_tiers=True)
    if ft is None:
        return
    look(life, ft)
    trade(life, ft)
    refusals(life, ft)
    ft.close()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    the_life = Life()
    live(the_life)
    the_life.end()
