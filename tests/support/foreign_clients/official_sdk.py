"""The life of Binance's official USDⓈ-M SDK: REST, the WebSocket API and streams."""

import asyncio
import logging

from binance_common.configuration import (
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_common.errors import BadRequestError
from binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures import (
    DerivativesTradingUsdsFutures,
)
from binance_sdk_derivatives_trading_usds_futures.rest_api.models import (
    ModifyMultipleOrdersBatchOrdersParameterInner,
    PlaceMultipleOrdersBatchOrdersParameterInner,
)
from life import KEY, SECRET, Life, within

SYMBOL = {"symbol": "BTCUSDT"}
HOUR = {**SYMBOL, "period": "1h"}
READS = {
    "test_connectivity": {},
    "check_server_time": {},
    "exchange_information": {},
    "kline_candlestick_data": {**SYMBOL, "interval": "1h", "limit": 5},
    "continuous_contract_kline_candlestick_data": {
        "pair": "BTCUSDT",
        "contract_type": "PERPETUAL",
        "interval": "1h",
        "limit": 5,
    },
    "index_price_kline_candlestick_data": {"pair": "BTCUSDT", "interval": "1h", "limit": 5},
    "mark_price_kline_candlestick_data": {**SYMBOL, "interval": "1h", "limit": 5},
    "premium_index_kline_data": {**SYMBOL, "interval": "1h", "limit": 5},
    "ticker24hr_price_change_statistics": SYMBOL,
    "symbol_price_ticker": SYMBOL,
    "symbol_price_ticker_v2": SYMBOL,
    "symbol_order_book_ticker": SYMBOL,
    "mark_price": SYMBOL,
    "order_book": SYMBOL,
    "recent_trades_list": SYMBOL,
    "old_trades_lookup": SYMBOL,
    "compressed_aggregate_trades_list": SYMBOL,
    "get_funding_rate_history": SYMBOL,
    "get_funding_rate_info": {},
    "open_interest": SYMBOL,
    "open_interest_statistics": HOUR,
    "long_short_ratio": HOUR,
    "top_trader_long_short_ratio_accounts": HOUR,
    "top_trader_long_short_ratio_positions": HOUR,
    "taker_buy_sell_volume": HOUR,
    "basis": {"pair": "BTCUSDT", "contract_type": "PERPETUAL", "period": "1h", "limit": 5},
    "query_index_price_constituents": SYMBOL,
    "futures_trading_quantitative_rules_indicators": {},
    "account_information_v2": {},
    "account_information_v3": {},
    "futures_account_balance_v2": {},
    "futures_account_balance_v3": {},
    "futures_account_configuration": {},
    "symbol_configuration": SYMBOL,
    "user_commission_rate": SYMBOL,
    "notional_and_leverage_brackets": SYMBOL,
    "get_income_history": {},
    "query_user_rate_limit": {},
    "get_bnb_burn_status": {},
    "get_current_multi_assets_mode": {},
    "get_current_position_mode": {},
    "position_information_v2": SYMBOL,
    "position_information_v3": SYMBOL,
    "position_adl_quantile_estimation": SYMBOL,
    "account_trade_list": SYMBOL,
    "all_orders": SYMBOL,
    "users_force_orders": SYMBOL,
    "get_position_margin_change_history": SYMBOL,
}
"""Reads of the REST API, each parsed by the SDK's own models."""

REFUSED = {
    "adl_risk": SYMBOL,
    "asset_index": {},
    "trading_schedule": {},
    "rpi_order_book": SYMBOL,
    "query_insurance_fund_balance_snapshot": SYMBOL,
}
"""Reads that the exchange refuses with a reason."""


def connect(life):
    """Return a client with its defaults, pointed at the exchange."""
    return DerivativesTradingUsdsFutures(
        config_rest_api=ConfigurationRestAPI(api_key=KEY, api_secret=SECRET, base_path=life.url),
        config_ws_api=ConfigurationWebSocketAPI(
            api_key=KEY, api_secret=SECRET, stream_url=f"ws://{life.host}/ws-fapi/v1"
        ),
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=f"ws://{life.host}"),
    )


def order(rest, side, kind="MARKET", **more):
    """Place an order of 0.01 BTCUSDT and return the parsed answer."""
    return rest.new_order(symbol="BTCUSDT", side=side, type=kind, quantity=0.01, **more).data()


def algo(rest, kind, **more):
    """Place a conditional order to sell BTCUSDT and return the parsed answer."""
    return rest.new_algo_order(
        algo_type="CONDITIONAL", symbol="BTCUSDT", side="SELL", type=kind, **more
    ).data()


def trade(life, rest):
    """Place, amend and cancel orders of each kind."""
    with life.step("leverage, margin type"):
        assert rest.change_initial_leverage("BTCUSDT", 10).data().leverage == 10
        rest.change_margin_type("BTCUSDT", "ISOLATED")
        rest.change_margin_type("BTCUSDT", "CROSSED")
    with life.step("position and multi-assets modes"):
        rest.change_position_mode("true")
        rest.change_position_mode("false")
        rest.change_multi_assets_mode("true")
        rest.change_multi_assets_mode("false")
    with life.step("market order"):
        made = order(rest, "BUY", new_order_resp_type="RESULT")
        assert made.status == "FILLED", made
        assert rest.query_order("BTCUSDT", order_id=made.order_id).data().executed_qty == "0.010"
    with life.step("limit, amend, query, cancel"):
        made = order(rest, "BUY", "LIMIT", price=50_000, time_in_force="GTC")
        changed = rest.modify_order("BTCUSDT", "BUY", 0.01, 50_100, order_id=made.order_id).data()
        assert float(changed.price) == 50_100
        assert (
            rest.query_current_open_order("BTCUSDT", order_id=made.order_id).data().order_id == made.order_id
        )
        assert len(rest.current_all_open_orders("BTCUSDT").data()) == 1
        assert rest.get_order_modify_history("BTCUSDT", order_id=made.order_id).data()
        assert rest.cancel_order("BTCUSDT", order_id=made.order_id).data().status == "CANCELED"
    with life.step("conditional orders"):
        stop = algo(rest, "STOP_MARKET", quantity=0.01, trigger_price=50_000, reduce_only="true")
        algo(rest, "TAKE_PROFIT_MARKET", trigger_price=70_000, close_position="true")
        algo(rest, "STOP", quantity=0.01, price=49_900, trigger_price=50_000, time_in_force="GTC")
        algo(
            rest,
            "TRAILING_STOP_MARKET",
            quantity=0.01,
            callback_rate=1,
            activate_price=61_000,
            reduce_only="true",
        )
        assert len(rest.current_all_algo_open_orders(symbol="BTCUSDT").data()) == 4
        assert rest.query_algo_order(algo_id=stop.algo_id).data().algo_status == "NEW"
        assert rest.cancel_algo_order(algo_id=stop.algo_id).data()
        rest.cancel_all_algo_open_orders("BTCUSDT")
        assert len(rest.query_all_algo_orders("BTCUSDT").data()) == 4
    batch(life, rest)
    with life.step("test order"):
        rest.test_order("BTCUSDT", "BUY", "MARKET", quantity=0.01)
    with life.step("isolated margin"):
        order(rest, "SELL", reduce_only="true")
        rest.change_margin_type("BTCUSDT", "ISOLATED")
        order(rest, "BUY")
        rest.modify_isolated_position_margin("BTCUSDT", 10, 1)


def batch(life, rest):
    """Place, amend and cancel several orders at once."""
    with life.step("batches, cancel-all, countdown"):
        wanted = {"symbol": "BTCUSDT", "side": "BUY", "quantity": 0.01, "price": 50_000.0}
        new = PlaceMultipleOrdersBatchOrdersParameterInner(**wanted, type="LIMIT", time_in_force="GTC")
        made = rest.place_multiple_orders([new, new]).data()
        ids = [answer.order_id for answer in made]
        wanted["price"] = 50_010.0
        rest.modify_multiple_orders(
            [ModifyMultipleOrdersBatchOrdersParameterInner(**wanted, order_id=i) for i in ids]
        ).data()
        assert len(rest.cancel_multiple_orders("BTCUSDT", order_id_list=ids).data()) == 2
        order(rest, "BUY", "LIMIT", price=50_000, time_in_force="GTC")
        rest.auto_cancel_all_open_orders("BTCUSDT", 60_000).data()
        rest.cancel_all_open_orders("BTCUSDT").data()
        assert rest.current_all_open_orders().data() == []


def refusals(life, rest):
    """Be refused with the codes of the exchange."""

    def code(number):
        return life.refused(number, BadRequestError)

    with code(-2019):
        rest.new_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=100)
    with code(-2021):
        algo(rest, "STOP_MARKET", quantity=0.01, trigger_price=90_000)
    with code(-4130):
        for _ in range(2):
            algo(rest, "STOP_MARKET", trigger_price=50_000, close_position="true")
    with code(-4120):
        rest.new_order(symbol="BTCUSDT", side="SELL", type="STOP_MARKET", quantity=0.01)
    with code(-1111):
        rest.new_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.0100001)
    with code(-1121):
        rest.mark_price("NOTHING")
    with code(-2011):
        rest.cancel_order("BTCUSDT", order_id=1)


async def websocket_api(life, client):
    """Trade by the WebSocket API."""
    api = await client.websocket_api.create_connection()
    with life.step("WebSocket API: reads"):
        for read in (
            api.account_information,
            api.account_information_v2,
            api.futures_account_balance,
            api.futures_account_balance_v2,
            api.position_information,
            api.position_information_v2,
        ):
            assert (await within(read())).data()
        for read in (api.order_book, api.symbol_order_book_ticker, api.symbol_price_ticker):
            assert (await within(read(symbol="BTCUSDT"))).data()
    with life.step("WebSocket API: orders"):
        wanted = {"symbol": "BTCUSDT", "side": "BUY", "quantity": 0.01, "price": 50_000}
        made = (await within(api.new_order(**wanted, type="LIMIT", time_in_force="GTC"))).data().result
        wanted["price"] = 50_010
        await within(api.modify_order(**wanted, order_id=made.order_id))
        assert (await within(api.query_order("BTCUSDT", order_id=made.order_id))).data().result.price
        await within(api.cancel_order("BTCUSDT", order_id=made.order_id))
        stop = await within(
            api.new_algo_order(
                "CONDITIONAL", "BTCUSDT", "SELL", "STOP_MARKET", quantity=0.01, trigger_price=40_000
            )
        )
        await within(api.cancel_algo_order(algo_id=stop.data().result.algo_id))
    with life.step("WebSocket API: listen key"):
        assert (await within(api.start_user_data_stream())).data().result.listen_key
        await within(api.keepalive_user_data_stream())
    with life.step("WebSocket API: -2019"):
        answer = await within(api.new_order("BTCUSDT", "BUY", "MARKET", quantity=100))
        assert answer.data()["error"]["code"] == -2019, answer.data()
    await api.close_connection()


STREAMS = {
    "aggregate_trade_streams": SYMBOL,
    "kline_candlestick_streams": {**SYMBOL, "interval": "1m"},
    "continuous_contract_kline_candlestick_streams": {
        "pair": "btcusdt",
        "contract_type": "perpetual",
        "interval": "1m",
    },
    "individual_symbol_mini_ticker_stream": SYMBOL,
    "individual_symbol_ticker_streams": SYMBOL,
    "all_market_mini_tickers_stream": {},
    "all_market_tickers_streams": {},
    "mark_price_stream": SYMBOL,
    "mark_price_stream_for_all_market": {},
    "individual_symbol_book_ticker_streams": SYMBOL,
    "all_book_tickers_stream": {},
    "partial_book_depth_streams": {**SYMBOL, "levels": 5},
    "diff_book_depth_streams": SYMBOL,
    "rpi_diff_book_depth_streams": SYMBOL,
}
"""Market streams, each of which must speak while the price moves."""


async def streams(life, client):
    """Watch the markets and the account."""
    connection = await client.websocket_streams.create_connection()
    for name, options in STREAMS.items():
        with life.step(f"stream {name}"):
            spoke = asyncio.Event()
            stream = await getattr(connection, name)(**options)
            stream.on("message", lambda _, spoke=spoke: spoke.set())
            await life.move_until_done(spoke.wait())
            await stream.unsubscribe()
    with life.step("user data stream"):
        key = client.rest_api.start_user_data_stream().data().listen_key
        seen, traded = [], asyncio.Event()

        def note(event):
            seen.append(event)
            if "TRADE" in str(event):
                traded.set()

        stream = await connection.user_data(key)
        stream.on("message", note)
        order(client.rest_api, "BUY")
        await within(traded.wait())
        client.rest_api.keepalive_user_data_stream()
        client.rest_api.close_user_data_stream()
    await connection.close_connection()


def live(life):
    """Live the whole life."""
    client = connect(life)
    trade(life, client.rest_api)
    for name, parameters in READS.items():
        with life.step(name):
            getattr(client.rest_api, name)(**parameters).data()
    refusals(life, client.rest_api)
    asyncio.run(websocket_api(life, client))
    asyncio.run(streams(life, client))


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    the_life = Life()
    live(the_life)
    the_life.end()
