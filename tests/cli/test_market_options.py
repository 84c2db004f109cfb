"""The options of what a local exchange trades, as a command receives them."""

from decimal import Decimal

import click
import pytest
from click.testing import CliRunner

from exit_shim.cli.market_options import market_options
from exit_shim.testing import ALL_SYMBOLS, LocalExchange, StaticMarket, WalkingMarket


def choose(*words):
    """Run a command with the options; return what it receives, or what it says."""
    received = []

    @click.command()
    @click.option("--port", type=int)
    @market_options
    def command(*, port, market_choice):
        received.append(market_choice)

    done = CliRunner().invoke(command, [str(word) for word in words], catch_exceptions=False)
    return received[0].exchange_arguments() if received else done.output


def names(arguments):
    return [symbol.name for symbol in arguments["symbols"]]


def test_without_options_everything_trades_and_moves():
    """All listed symbols, any other on demand, and prices that walk from seed 0."""
    arguments = choose()
    assert arguments["symbols"] == ALL_SYMBOLS
    assert (arguments["any_symbol"], arguments["seed"]) == (True, 0)
    assert isinstance(arguments["market"], WalkingMarket)
    assert type(choose("--market", "flat")["market"]) is StaticMarket
    assert choose("--symbols", "all", "--seed", 7, "--port", 1)["seed"] == 7


def test_markets_have_names(tmp_path):
    """Each name makes its market, replay with a file; speed is passed on, and an unknown name refused."""
    (tmp_path / "BTCUSDT-1m.csv").write_text("1790000000000,1,3,1,2,5\n", encoding="utf-8")
    replay = f"replay:{tmp_path}/BTCUSDT-1m.csv"
    made = {name: type(choose("--market", name)["market"]).__name__ for name in ("trend", "crash", replay)}
    assert list(made.values()) == ["TrendMarket", "CrashMarket", "ReplayMarket"]
    assert choose("--speed", 5)["speed"] == 5
    with pytest.raises(click.ClickException, match="expected one of flat, random"):
        choose("--market", "sideways")


def test_symbols_are_counted_or_named():
    """A number takes the best known; names trade alone, and one that is not listed is made up."""
    assert names(choose("--symbols", 3)) == ["BTCUSDT", "ETHUSDT", "BNBUSDT"]
    arguments = choose("--symbols", "SOLUSDT, FOOUSDT")
    assert (names(arguments), arguments["any_symbol"]) == (["SOLUSDT", "FOOUSDT"], False)


def test_prices_are_where_symbols_open(tmp_path):
    """They are given on the line or in a file; made-up filters fit them, real ones stay."""
    (tmp_path / "prices").write_text("BTCUSDT=61000\nLTCUSDT = 8500\nFOOUSDT=0.002\n", encoding="utf-8")
    on_line = choose("--prices", "BTCUSDT=61000,LTCUSDT=8500,FOOUSDT=0.002")
    from_file = choose("--prices", tmp_path / "prices")
    assert on_line["symbols"] == from_file["symbols"]
    on_line["market"] = StaticMarket()
    engine = LocalExchange(**on_line).engine
    opened = [engine.quote(name).last for name in ("BTCUSDT", "LTCUSDT", "FOOUSDT", "ETHUSDT")]
    assert opened == [61_000, 8_500, Decimal("0.002"), 3_000]
    symbols = engine.state.symbols
    assert (symbols["BTCUSDT"].min_notional, symbols["LTCUSDT"].tick) == (100, Decimal("0.1"))
    assert symbols["LTCUSDT"].brackets == ALL_SYMBOLS[10].brackets


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--symbols", "btcusdt"), "'btcusdt' is not the name of a symbol (did you mean BTCUSDT?)"),
        (("--symbols", "0"), "expected all, a number or BTCUSDT,ETHUSDT"),
        (("--symbols", ","), "expected all, a number or BTCUSDT,ETHUSDT"),
        (("--prices", "BTCUSDT=0"), "expected a symbol and a price above zero"),
        (("--prices", "BTCUSDT=much"), "expected a symbol and a price above zero"),
        (("--prices", "nowhere.txt"), "neither a readable file nor prices"),
        (("--symbols", "1", "--prices", "ETHUSDT=1"), "--prices names ETHUSDT, which --symbols lacks"),
    ],
)
def test_what_cannot_be_meant_is_refused(words, said):
    """The message names the value and what was expected."""
    assert said in choose(*words)
