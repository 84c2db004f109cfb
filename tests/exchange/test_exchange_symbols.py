"""Which symbols trade, their filters, and those that are made when a request names them."""

from decimal import Decimal

import msgspec
import pytest
from binance import Client
from binance.exceptions import BinanceAPIException

from exit_shim.testing import ALL_SYMBOLS, DEFAULT_SYMBOLS, LocalExchange, StaticMarket

TEN = ["BTC", "ETH", "BNB", "SOL", "XRP", "ADA", "DOGE", "AVAX", "LINK", "DOT"]


@pytest.fixture
def open_exchange():
    """An exchange on which any symbol trades."""
    with LocalExchange(any_symbol=True, spread=0) as running:
        yield running
        assert running.internal_errors == []


@pytest.fixture
def open_client(open_exchange):
    """A genuine client on it."""
    made = Client("local-key", "local-secret", ping=False)
    made.FUTURES_URL, made.FUTURES_COIN_URL = f"{open_exchange.url}/fapi", f"{open_exchange.url}/dapi"
    yield made
    made.close_connection()
    made.loop.close()


def unanswered(exchange):
    return {(entry.kind, entry.name): entry for entry in exchange.unanswered}


def test_hundreds_are_listed_and_a_hundred_trade():
    """All names differ; the default ones are the best known, the ten of before first."""
    names = [symbol.name for symbol in ALL_SYMBOLS]
    assert len(set(names)) == len(names) > 800
    assert 100 <= len(DEFAULT_SYMBOLS) <= 110
    assert names[: len(DEFAULT_SYMBOLS)] == [symbol.name for symbol in DEFAULT_SYMBOLS]
    assert [symbol.base for symbol in DEFAULT_SYMBOLS[:10]] == TEN
    assert {symbol.quote for symbol in ALL_SYMBOLS} == {"USDT", "USDC"}


def test_filters_fit_the_price():
    """A price lies on the tick and within its limits; small orders can be had, and numbers be written."""
    for symbol in ALL_SYMBOLS:
        check_filters(symbol)


def check_filters(symbol):
    assert symbol.start % symbol.tick == 0, symbol
    assert symbol.min_price < symbol.start * symbol.multiplier_down
    assert symbol.start * symbol.multiplier_up < symbol.max_price
    assert Decimal("1e-6") < symbol.tick / symbol.start < Decimal("1e-3")
    assert symbol.tick.as_tuple().exponent >= -8
    assert symbol.step * symbol.start <= max(50, symbol.min_notional)
    assert max(symbol.min_notional, 5) / symbol.start < symbol.market_max_quantity <= symbol.max_quantity
    assert symbol.step == symbol.step.quantize(Decimal(1).scaleb(-symbol.quantity_precision))
    assert symbol.tick == symbol.tick.quantize(Decimal(1).scaleb(-symbol.price_precision))


def test_exchange_info_lists_what_trades(client, exchange):
    """Each contract comes with its filters as text without an exponent, in the currency it is quoted in."""
    info = {row["symbol"]: row for row in client.futures_exchange_info()["symbols"]}
    assert list(info) == [symbol.name for symbol in DEFAULT_SYMBOLS]
    filters = {row["filterType"]: row for row in info["1000SHIBUSDT"]["filters"]}
    assert filters["PRICE_FILTER"]["tickSize"] == "0.0000001"
    assert filters["LOT_SIZE"]["stepSize"] == "1"
    assert (info["SOLUSDT"]["baseAsset"], info["SOLUSDT"]["quoteAsset"]) == ("SOL", "USDT")
    exchange.engine.set_status("SOLUSDT", "CLOSE")
    info = {row["symbol"]: row for row in client.futures_exchange_info()["symbols"]}
    assert (info["SOLUSDT"]["status"], info["ETHUSDT"]["status"]) == ("CLOSE", "TRADING")


def test_a_contract_in_usdc_says_so(make_api):
    """BTCUSDC has the filters of BTCUSDT and tiers of its own."""
    api = make_api(symbols=ALL_SYMBOLS)
    info = {row["symbol"]: row for row in api.get("exchangeInfo")["symbols"]}
    assert (info["BTCUSDC"]["quoteAsset"], info["BTCUSDC"]["marginAsset"]) == ("USDC", "USDC")
    assert info["BTCUSDC"]["filters"] == info["BTCUSDT"]["filters"]
    in_usdt, in_usdc = (api.get("leverageBracket", symbol=f"BTC{quote}")[0] for quote in ("USDT", "USDC"))
    assert in_usdt["brackets"] != in_usdc["brackets"]


def test_every_listed_symbol_can_be_bought(make_api):
    """A MARKET order of 150 USDT is filled on each, within its filters, and can be closed."""
    api = make_api(symbols=ALL_SYMBOLS)
    for symbol in ALL_SYMBOLS:
        size = symbol.step * max(1, int(150 / symbol.start / symbol.step))
        for side in ("BUY", "SELL"):
            assert api.order(side, f"{size:f}", symbol=symbol.name)["status"] == "FILLED"


def test_prices_open_when_they_are_looked_at(make_api):
    """No price is made for a symbol that nobody looks at; a market says where one opens all the same."""
    api = make_api(market=StaticMarket({"LTCUSDT": "91"}))
    assert not api.engine.state.quotes
    assert api.get("ticker/price", symbol="LTCUSDT")["price"] == "91.000"
    assert list(api.engine.state.quotes) == ["LTCUSDT"]


def test_an_unknown_symbol_is_refused_and_noted(client, exchange):
    """-1121 for any that does not trade; what could be one is listed with the reason."""
    for name in ("FOOUSDT", "FOOUSDT", "foo", "USDT"):
        with pytest.raises(BinanceAPIException) as caught:
            client.futures_symbol_ticker(symbol=name)
        assert caught.value.code == -1121
    assert [(entry.kind, entry.name, entry.count) for entry in exchange.unanswered] == [
        ("symbol", "FOOUSDT", 2)
    ]
    assert "not among the symbols" in exchange.unanswered[0].reason


@pytest.mark.parametrize("name", ["FOOUSDT", "1000FOOUSDC", "测试USDT"])
def test_any_symbol_is_made_when_a_request_names_it(open_exchange, open_client, name):
    """It trades as any other: price, filters, brackets, orders; and it is noted once as made up."""
    price = Decimal(open_client.futures_symbol_ticker(symbol=name)["price"])
    info = {row["symbol"]: row for row in open_client.futures_exchange_info()["symbols"]}[name]
    step = {row["filterType"]: row for row in info["filters"]}["LOT_SIZE"]["stepSize"]
    size = Decimal(step) * max(1, int(100 / price / Decimal(step)))
    open_client.futures_create_order(symbol=name, side="BUY", type="MARKET", quantity=f"{size:f}")
    (position,) = open_client.futures_position_information(symbol=name)
    assert Decimal(position["positionAmt"]) == size
    assert open_client.futures_leverage_bracket(symbol=name)[0]["symbol"] == name
    noted = unanswered(open_exchange)[("symbol", name)]
    assert (noted.count, noted.reason[:7]) == (1, "made up")


def test_a_listed_symbol_comes_with_its_own_tiers(open_exchange, open_client):
    """One that is listed but does not trade by default is no invention, and not noted."""
    (bracket,) = open_client.futures_leverage_bracket(symbol="BTCUSDC")
    assert bracket["brackets"][0]["initialLeverage"] == 125
    assert open_exchange.unanswered == []


@pytest.mark.parametrize(
    "name", ["fooUSDT", "FOOUSD", "FOO-USDT", "BTCUSDT_261225", "USDT", "X" * 30 + "USDT"]
)
def test_a_malformed_symbol_stays_refused(make_api, refused, name):
    """-1121, as without `any_symbol`."""
    api = make_api(any_symbol=True)
    with refused(-1121):
        api.get("ticker/price", symbol=name)


def test_the_same_name_makes_the_same_symbol(make_api):
    """Another run of a bot sees the same price and the same filters."""
    prices = {make_api(any_symbol=True).get("ticker/price", symbol="FOOUSDT")["price"] for _ in range(2)}
    assert len(prices) == 1


def test_coin_margined_symbols_are_made_too(open_exchange, open_client):
    """A name such as LTCUSD_PERP comes to COIN-M, and never to USDⓈ-M."""
    (row,) = open_client.futures_coin_symbol_ticker(symbol="LTCUSD_PERP")
    assert Decimal(row["price"]) == 85
    assert "LTCUSD_PERP" not in open_exchange.engine.state.symbols
    with pytest.raises(BinanceAPIException):
        open_client.futures_symbol_ticker(symbol="LTCUSD_PERP")


def test_a_low_leverage_symbol_starts_at_its_highest(make_api, refused):
    """Where 20x is not permitted the account starts at what is."""
    symbol = next(symbol for symbol in ALL_SYMBOLS if symbol.max_leverage < 20)
    api = make_api(symbols=(symbol,))
    (row,) = api.get("symbolConfig", symbol=symbol.name)
    assert row["leverage"] == symbol.max_leverage
    with refused(-4028):
        api.post("leverage", symbol=symbol.name, leverage=20)


def test_saved_symbols_come_back(make_api):
    """Listed, made-up and custom ones and their status go on as they were."""
    custom = msgspec.structs.replace(DEFAULT_SYMBOLS[0], base="MINE", start=Decimal(10))
    api = make_api(symbols=(*DEFAULT_SYMBOLS[:3], custom), any_symbol=True)
    api.get("ticker/price", symbol="FOOUSDT")
    api.engine.set_status("ETHUSDT", "CLOSE")
    copy = type(api.engine).parse(api.engine.dump(), clock=api.clock)
    assert copy.state.symbols == api.engine.state.symbols
    assert list(copy.state.symbols) == ["BTCUSDT", "ETHUSDT", "BNBUSDT", "MINEUSDT", "FOOUSDT"]
