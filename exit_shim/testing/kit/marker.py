"""`@pytest.mark.exit_shim(…)`: the settings of a test's exchange and shim."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from exit_shim.domain.modes import MODES
from exit_shim.exchange.engine.market import Number
from exit_shim.exchange.engine.markets import StaticMarket
from exit_shim.exchange.engine.symbols import ALL_SYMBOLS, DEFAULT_SYMBOLS, Symbol
from exit_shim.exchange.server import LocalExchange
from exit_shim.runtime.nearest_name import did_you_mean


class MarkerArguments(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of the marker; a test's win over those of its class and module.

    Args:
        mode: EXIT_MODE; None leaves it unset.
        hedge: Whether the account starts in hedge mode.
        symbols: What trades: names of listed contracts, or `Symbol`s; None for all default ones.
        prices: Opening prices by symbol.
        wallet: The opening balance in USDT.
        rules: The day whose rules hold, such as "2025-12-08" for those before the Algo Service.
        trigger_delay: Milliseconds that a conditional order takes to fire, or the shortest and longest such
            time; None for at once.
        strict_reduce_only: Whether resting orders that close occupy the position (-4118).
        spread: Ticks between the last price and the best bid, and the best ask.
        rate_limits: Whether request weight and order counts are limited.
        seed: What chance is drawn from.
    """

    mode: str | None = None
    hedge: bool = False
    symbols: tuple[Symbol, ...] = DEFAULT_SYMBOLS
    prices: Mapping[str, Number] = {}
    wallet: Number = 10_000
    rules: str | date | None = None
    trigger_delay: int | tuple[int, int] | None = None
    strict_reduce_only: bool = True
    spread: int = 1
    rate_limits: bool = True
    seed: int = 0

    def make_exchange(self) -> LocalExchange:
        """Make the exchange without starting it."""
        return LocalExchange(
            symbols=self.symbols,
            market=StaticMarket(self.prices),
            hedge_mode=self.hedge,
            wallet=self.wallet,
            rules=self.rules,
            trigger_delay=self.trigger_delay,
            strict_reduce_only=self.strict_reduce_only,
            spread=self.spread,
            rate_limits=self.rate_limits,
            seed=self.seed,
        )


def read_marker(node: pytest.Item) -> MarkerArguments:
    """Read the markers of a test.

    Raises:
        ValueError: An argument is unknown or invalid.
    """
    values: dict[str, Any] = {}
    for marker in reversed(list(node.iter_markers("exit_shim"))):
        if marker.args:
            raise ValueError(f"exit_shim takes its arguments by name, not {marker.args!r}")
        values |= marker.kwargs
    if unknown := values.keys() - MarkerArguments.__struct_fields__:
        fields = MarkerArguments.__struct_fields__
        named = ", ".join(f"{name}{did_you_mean(name, fields)}" for name in sorted(unknown))
        raise ValueError(f"exit_shim has no argument {named}; it has {', '.join(fields)}")
    if values.get("symbols") is None:
        values.pop("symbols", None)
    else:
        values["symbols"] = tuple(_symbols(values["symbols"]))
    values["prices"] = {name: _number(price) for name, price in (values.get("prices") or {}).items()}
    values["wallet"] = _number(values.get("wallet", 10_000))
    arguments = MarkerArguments(**values)
    _check(arguments)
    return arguments


def _symbols(names: Iterable[str | Symbol]) -> Iterable[Symbol]:
    listed = {symbol.name: symbol for symbol in ALL_SYMBOLS}
    if isinstance(names, str):
        names = [names]
    for name in names:
        if isinstance(name, Symbol):
            yield name
        elif name in listed:
            yield listed[name]
        else:
            raise ValueError(
                f"symbols: {name!r} is not a listed contract{did_you_mean(name, listed)}; "
                "others are given as exit_shim.testing.Symbol(…)"
            )


def _number(value: Any) -> Number:
    return Decimal(str(value)) if isinstance(value, float) else value


def _check(arguments: MarkerArguments) -> None:
    if type(arguments.spread) is not int or arguments.spread < 0:
        raise ValueError(f"spread={arguments.spread!r} is invalid; expected a number of ticks")
    if arguments.mode is not None and arguments.mode not in MODES:
        raise ValueError(f"mode={arguments.mode!r} is invalid; expected one of {', '.join(MODES)}, or None")
    if strange := arguments.prices.keys() - {symbol.name for symbol in arguments.symbols}:
        raise ValueError(f"prices: {', '.join(sorted(strange))} does not trade here; add it to symbols")
