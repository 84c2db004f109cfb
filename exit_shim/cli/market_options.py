"""The options that choose the symbols and the market of a local exchange."""

import functools
import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click

from exit_shim.runtime.nearest_name import did_you_mean

if TYPE_CHECKING:
    from exit_shim.exchange import Market, Symbol

F = TypeVar("F", bound=Callable[..., Any])

ALL: Final = "all"

VALUE_OPTIONS: Final = frozenset({"--symbols", "--prices", "--market", "--seed", "--speed"})
"""The options that take a value, for a command that finds its first argument itself."""


class MarketChoice(NamedTuple):
    """The values of the options.

    Attributes:
        names: the symbols that trade; None for all, and any other that a request names.
        prices: opening prices of symbols that do not open at their default.
        mode: how prices move, and after a colon the files to replay.
        seed: the seed of all chance: prices, delays and faults.
        speed: how many steps prices take a second.
    """

    names: tuple[str, ...] | None
    prices: Mapping[str, Decimal]
    mode: str
    seed: int
    speed: float

    def exchange_arguments(self) -> dict[str, Any]:
        """Return them as arguments of `LocalExchange`."""
        return {
            "symbols": self._make_symbols(),
            "any_symbol": self.names is None,
            "market": self._make_market(),
            "seed": self.seed,
            "speed": self.speed,
        }

    def _make_symbols(self) -> "tuple[Symbol, ...]":
        from exit_shim.exchange import ALL_SYMBOLS, make_symbol  # noqa: PLC0415 - a web server

        names = self.names or [symbol.name for symbol in ALL_SYMBOLS]
        made = (make_symbol(name, self.prices.get(name)) for name in dict.fromkeys([*names, *self.prices]))
        return tuple(symbol for symbol in made if symbol is not None)

    def _make_market(self) -> "Market":
        from exit_shim.exchange import make_market  # noqa: PLC0415 - a web server

        name, _, files = self.mode.partition(":")
        try:
            return make_market(name, seed=self.seed, files=[file for file in files.split(",") if file])
        except (OSError, ValueError) as error:
            raise click.ClickException(f"--market {self.mode}: {error}") from error


def parse_symbols(value: str) -> tuple[str, ...] | None:
    """Read --symbols: `all` (None), a number of the best known, or names."""
    if value == ALL:
        return None
    if value.isascii() and value.isdigit() and int(value):
        from exit_shim.exchange import ALL_SYMBOLS  # noqa: PLC0415 - a web server

        return tuple(symbol.name for symbol in ALL_SYMBOLS[: int(value)])
    names = tuple(name.strip() for name in value.split(",") if name.strip())
    if not names or value.isdigit():
        raise click.BadParameter(f"{value!r} is invalid; expected all, a number or BTCUSDT,ETHUSDT")
    for name in names:
        check_name(name)
    return names


def parse_prices(value: str) -> dict[str, Decimal]:
    """Read --prices: SYMBOL=PRICE pairs between commas, or the path of a file with one on each line."""
    text = value if "=" in value or not value else read_price_file(value)
    prices = {}
    for pair in filter(None, map(str.strip, re.split(r"[,\n]", text))):
        name, _, price = map(str.strip, pair.partition("="))
        check_name(name)
        prices[name] = parse_price(pair, price)
    return prices


def read_price_file(path: str) -> str:
    """Return the text of a file; refuse one that cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(
            f"{path!r} is neither a readable file nor prices; expected BTCUSDT=60000,ETHUSDT=3000"
        ) from error


def parse_price(pair: str, price: str) -> Decimal:
    """Return a price above zero; refuse any other."""
    try:
        number = Decimal(price)
    except InvalidOperation:
        number = Decimal(0)
    if not (number.is_finite() and number > 0):
        raise click.BadParameter(f"{pair!r} is invalid; expected a symbol and a price above zero")
    return number


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a symbol, and propose the nearest that is."""
    from exit_shim.exchange import ALL_SYMBOLS, make_symbol  # noqa: PLC0415 - a web server

    if make_symbol(name) is None:
        nearest = did_you_mean(name.upper(), [symbol.name for symbol in ALL_SYMBOLS])
        raise click.BadParameter(f"{name!r} is not the name of a symbol{nearest}")


OPTIONS: Final = (
    click.option(
        "--symbols",
        callback=lambda _context, _option, value: parse_symbols(value),
        metavar="WHICH",
        default=ALL,
        show_default=True,
        help="Symbols that trade: all (others are made when asked for), N best known, or BTCUSDT,ETHUSDT.",
    ),
    click.option(
        "--prices",
        callback=lambda _context, _option, value: parse_prices(value),
        metavar="PRICES",
        default="",
        help="Opening prices: BTCUSDT=60000,ETHUSDT=3000, or a file with one on each line.",
    ),
    click.option(
        "--market",
        metavar="NAME",
        default="random",
        show_default=True,
        help="How prices move: flat, random, trend, crash, or replay:FILE,FILE (CSV of candles).",
    ),
    click.option(
        "--seed", type=int, default=0, show_default=True, help="Seed of all chance: prices, delays, faults."
    ),
    click.option(
        "--speed",
        type=click.FloatRange(min=0),
        default=1,
        show_default=True,
        help="How many steps prices take a second.",
    ),
)


def market_options(command: F) -> Callable[..., Any]:
    """Add the options to a command, which receives them as one `market_choice`."""

    @functools.wraps(command)
    def with_choice(
        *arguments: Any,
        symbols: tuple[str, ...] | None,
        prices: Mapping[str, Decimal],
        market: str,
        seed: int,
        speed: float,
        **options: Any,
    ) -> Any:
        if symbols is not None and (strange := prices.keys() - set(symbols)):
            raise click.UsageError(f"--prices names {', '.join(sorted(strange))}, which --symbols lacks")
        choice = MarketChoice(symbols, prices, market, seed, speed)
        return command(*arguments, market_choice=choice, **options)

    decorated: Callable[..., Any] = with_choice
    for option in reversed(OPTIONS):
        decorated = option(decorated)
    return decorated
