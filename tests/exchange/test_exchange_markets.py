"""Markets: how they move when they are asked, and with time."""

from decimal import Decimal

import pytest

from exit_shim.exchange.engine.algo import NewAlgo
from exit_shim.exchange.engine.orders import NewOrder
from exit_shim.exchange.engine.symbols import DEFAULT_SYMBOLS
from exit_shim.testing import (
    CrashMarket,
    Exchange,
    LocalExchange,
    ReplayMarket,
    StaticMarket,
    TrendMarket,
    WalkingMarket,
    make_market,
)

START = 1_790_000_000_000
SECOND = 1000
DAY = 24 * 60 * 60 * SECOND
QUANTITY = Decimal("0.010")
HEADER = "open_time,open,high,low,close,volume,close_time\n"
ROWS = "1,100,110,90,105,7,2\n3,105,120,100,101,8,4\n"


class Clock:
    """Milliseconds that pass when a test says so."""

    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now


def prices(engine, count=300, symbol="BTCUSDT"):
    """The prices that a client sees that asks so often at one moment."""
    return [engine.ask_price(symbol).last for _ in range(count)]


def moved(engine, symbol="BTCUSDT"):
    """Return the steps that a walk has taken."""
    return engine.state.market.asked_so_far.get(symbol, 0)


def buy(engine):
    order = NewOrder(symbol="BTCUSDT", side="BUY", type="MARKET", client_id="buy", quantity=QUANTITY)
    engine.place_order(order)


@pytest.mark.parametrize("name", ["random", "trend", "crash"])
def test_a_seed_is_a_market(name):
    """The same name and seed move alike, another seed does not."""
    first, again, other = (Exchange(market=make_market(name, seed=seed)) for seed in (3, 3, 4))
    assert prices(first) == prices(again) != prices(other)


def test_a_crash_falls_by_a_fifth_and_recovers_a_part():
    """Within 40 steps a crash takes 15 to 25 percent, and 80 later less than two thirds of it are missing."""
    path = prices(Exchange(market=CrashMarket(seed=2)), 320)
    falls = [after / before for before, after in zip(path, path[41:], strict=False)]
    begin = falls.index(min(falls))
    assert Decimal("0.75") < min(falls) < Decimal("0.85")
    bottom, missing = path[begin + 41], path[begin] - path[begin + 41]
    assert path[begin + 121] > bottom + missing / 3
    assert max(path[:60]) / min(path[:60]) < Decimal("1.1")


def test_a_trend_rises_or_falls():
    """A trend goes where its drift says."""
    assert prices(Exchange(market=TrendMarket(seed=1)), 500)[-1] > 63_000
    assert prices(Exchange(market=TrendMarket(seed=1, drift="-0.0002")), 500)[-1] < 57_000


def test_a_market_moves_with_time_for_what_is_in_use():
    """A step a second for a symbol with a position, none for one that nobody has asked for."""
    clock = Clock()
    engine = Exchange(clock=clock, market=WalkingMarket(seed=1))
    buy(engine)
    clock.now += 30 * SECOND
    engine.run_due()
    assert (moved(engine), moved(engine, "ETHUSDT")) == (30, 0)


@pytest.mark.parametrize("act", ["watch", "order", "stop", "ask"])
def test_what_uses_a_symbol(act):
    """A stream, an order, a conditional order or a question within the last minute keep it moving."""
    clock = Clock()
    engine = Exchange(clock=clock, market=WalkingMarket(seed=1))
    terms = {"symbol": "BTCUSDT", "side": "BUY", "client_id": "x", "quantity": QUANTITY}
    if act == "watch":
        engine.state.watched = {"BTCUSDT"}
    elif act == "order":
        engine.place_order(NewOrder(type="LIMIT", price=Decimal(54_000), **terms))
    elif act == "stop":
        engine.place_algo(NewAlgo(type="STOP_MARKET", trigger_price=Decimal(90_000), **terms))
    else:
        engine.ask_price("BTCUSDT")
    engine.run_due()
    clock.now += 300 * SECOND
    engine.run_due()
    steps = {"ask": 61}.get(act, 300)
    assert abs(moved(engine) - steps) <= 1


def test_who_asks_often_sees_the_same_market_twice():
    """Steps by time count from the last question: a fast bot causes none, however long each pause is."""
    seen = []
    for pause in (10, 300, 999):
        clock = Clock()
        engine = Exchange(clock=clock, market=WalkingMarket(seed=5))
        path = []
        for _ in range(50):
            path.append(engine.ask_price("BTCUSDT").last)
            clock.now += pause
        seen.append(path)
    assert seen[0] == seen[1] == seen[2]


def test_each_step_has_its_own_time():
    """A stop that a step reaches fires at the time of that step, not when somebody looks."""
    clock = Clock()
    engine = Exchange(clock=clock, market=TrendMarket(seed=1, step=0, drift="-0.01"))
    buy(engine)
    engine.place_algo(
        NewAlgo(
            symbol="BTCUSDT", side="SELL", type="STOP_MARKET", client_id="stop",
            trigger_price=Decimal(57_000), close_position=True,
        )
    )  # fmt: skip
    clock.now += 60 * SECOND
    engine.run_due()
    (algo,) = engine.all_algos("BTCUSDT")
    # 0.99 ** 6 is the first below 0.95.
    assert algo.trigger_time == START + 6 * SECOND
    assert engine.position("BTCUSDT").amount == 0


def test_speed_is_steps_a_second():
    """With a speed of 5 five steps pass in a second, with 0 none; a saved exchange keeps its speed."""
    for speed in (0, 0.5, 5):
        clock = Clock()
        engine = Exchange(clock=clock, market=WalkingMarket(seed=1), speed=speed)
        buy(engine)
        clock.now += 20 * SECOND
        engine.run_due()
        assert moved(engine) == 20 * speed
        copy = Exchange.parse(engine.dump(), clock=clock, market=WalkingMarket(seed=1))
        assert copy.state.motion.speed == speed


def test_a_long_jump_takes_larger_strides():
    """A month passes in a bounded number of moves, in order, and then it is a step a second again."""
    clock = Clock()
    engine = Exchange(clock=clock, market=WalkingMarket(seed=1), funding=False)
    buy(engine)
    times = []
    engine.feed.listeners.append(lambda event: times.append(event.time))
    clock.now += 30 * DAY
    engine.run_due()
    assert 500 < len(set(times)) <= 601
    assert times == sorted(times)
    times.clear()
    clock.now += 10 * SECOND
    engine.run_due()
    assert len(set(times)) in {9, 10}


def test_nothing_moves_in_a_test():
    """The market of `LocalExchange()` stands still however long the test takes."""
    exchange = LocalExchange()
    buy(exchange.engine)
    exchange.advance(DAY)
    quote = exchange.engine.quote("BTCUSDT")
    assert (quote.mark, quote.last) == (60_000, 60_000)


@pytest.mark.parametrize("name", ["BTCUSDT-1m-2026-01.csv", "btcusdt.csv"])
@pytest.mark.parametrize("text", [ROWS, HEADER + ROWS, ROWS.replace(",7,2", "").replace(",8,4", "")])
def test_a_file_is_replayed(tmp_path, name, text):
    """Open, low, high, close of a rise and open, high, low, close of a fall, a step each; then it stands."""
    path = tmp_path / name
    path.write_text(text)
    clock = Clock()
    engine = Exchange(clock=clock, market=ReplayMarket(path))
    engine.state.watched = {"BTCUSDT", "ETHUSDT"}
    seen = []
    for _ in range(10):
        seen.append(engine.ask_price("BTCUSDT").last)
        clock.now += SECOND
    assert seen == [100, 90, 110, 105, 105, 120, 100, 101, 101, 101]
    assert engine.quote("ETHUSDT").last == 3000


def test_a_symbol_may_be_given_beside_the_file(tmp_path):
    """SYMBOL=FILE names the symbol of any file; two files move two symbols."""
    for name in ("a", "b"):
        (tmp_path / name).write_text(ROWS)
    market = make_market("replay", files=[f"ETHUSDT={tmp_path / 'a'}", f"BTCUSDT={tmp_path / 'b'}"])
    engine = Exchange(market=market)
    assert engine.quote("ETHUSDT").last == engine.quote("BTCUSDT").last == 100


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("1,100,110,90\n", 1),
        (ROWS + "5,100,90,95,97\n", 3),
        (ROWS + "5,1,2,x,1\n", 3),
        (ROWS + "5,1,NaN,1,1\n", 3),
    ],
)
def test_a_row_that_is_no_candle_is_named(tmp_path, text, line):
    """The error has file, line and what was expected."""
    path = tmp_path / "BTCUSDT.csv"
    path.write_text(text)
    with pytest.raises(
        ValueError, match=rf"BTCUSDT\.csv, line {line}: .* is not a candle; expected time,open"
    ):
        ReplayMarket(path)


def test_what_is_no_market_is_named(tmp_path):
    """Wrong names, missing files and files without candles say what was expected."""
    with pytest.raises(ValueError, match="expected one of flat, random, trend, crash, replay"):
        make_market("bull")
    with pytest.raises(ValueError, match="takes at least one file"):
        make_market("replay")
    with pytest.raises(ValueError, match="no other market takes any"):
        make_market("random", files=["BTCUSDT.csv"])
    (tmp_path / "BTCUSDT.csv").write_text(HEADER)
    with pytest.raises(ValueError, match="no candles"):
        ReplayMarket(tmp_path / "BTCUSDT.csv")
    assert isinstance(make_market("flat"), StaticMarket)


def last_prices(exchange):
    """Return the last prices of USDⓈ-M and COIN-M, as nobody has asked for them."""
    return exchange.engine.state.quotes["BTCUSDT"].last, exchange.coin.state.quotes["BTCUSD_PERP"].last


@pytest.mark.parametrize("ask", [lambda exchange: exchange.coin.ask_price("BTCUSD_PERP"), None])
def test_coin_follows_a_living_market(ask):
    """Asked for or with time, COIN-M has the last price in USDT, and its stops fire there."""
    clock = Clock()
    exchange = LocalExchange(market=CrashMarket(seed=1), clock=clock)
    coin, opening = exchange.coin, exchange.coin.ask_price("BTCUSD_PERP").last
    order = NewOrder(symbol="BTCUSD_PERP", side="BUY", type="MARKET", client_id="buy", quantity=Decimal(2))
    coin.place_order(order)
    coin.place_algo(NewAlgo(
        symbol="BTCUSD_PERP", side="SELL", type="STOP_MARKET", client_id="stop", close_position=True,
        trigger_price=(opening * Decimal("0.95")).quantize(Decimal("0.1")),
    ))  # fmt: skip
    seen = set()
    for _ in range(300):
        clock.now += SECOND
        ask(exchange) if ask else coin.run_due()
        in_usdt, in_coin = last_prices(exchange)
        assert in_usdt == in_coin
        seen.add(in_coin)
    assert len(seen) > 50  # nobody looks at it any more once it is sold
    assert list(coin.state.open_positions()) == []


def test_coin_stands_where_a_test_puts_it():
    """Where the market stands still, the price of COIN-M is its own."""
    exchange = LocalExchange()
    exchange.set_mark("BTCUSDT", 50_000)
    exchange.coin.set_mark("BTCUSD_PERP", 70_000)
    assert exchange.coin.ask_price("BTCUSD_PERP").last == 70_000
    assert last_prices(exchange) == (50_000, 70_000)


def test_coin_follows_from_when_the_market_begins_to_live():
    """A market that is changed while the exchange runs moves COIN-M, too, and holds it when it stops."""
    exchange = LocalExchange()
    assert len(set(prices(exchange.coin, 20, "BTCUSD_PERP"))) == 1
    exchange.engine.state.market = TrendMarket(seed=1)
    assert len(set(prices(exchange.coin, 20, "BTCUSD_PERP"))) > 1
    exchange.engine.state.market = StaticMarket()
    assert len(set(prices(exchange.coin, 20, "BTCUSD_PERP"))) == 1


def test_a_contract_of_coin_without_one_in_usdt_stands_still():
    """What does not trade in USDT has no price to follow."""
    only_eth = [symbol for symbol in DEFAULT_SYMBOLS if symbol.name == "ETHUSDT"]
    engine = LocalExchange(market=TrendMarket(seed=1), symbols=only_eth).coin
    assert len(set(prices(engine, 20, "ETHUSD_PERP"))) > 1
    assert len(set(prices(engine, 20, "BTCUSD_PERP"))) == 1
