"""What a contract is: its precision, its filters and its leverage brackets."""

from __future__ import annotations

import hashlib
import re
from decimal import Decimal
from functools import cached_property

import msgspec

from .brackets import Bracket
from .contracts import ContractRow, brackets_at, deepest_brackets, read_contracts
from .numbers import decimals, nearest

ONBOARDED = 1_569_398_400_000
"""When every symbol began to be traded, in milliseconds: 2019-09-25, as BTCUSDT did."""
COIN_QUOTE = "USD_PERP"
#: The ends of ticks and steps of a contract whose filters are made up.
COARSEST_TICK, FINEST_TICK = Decimal("0.1"), Decimal("1E-8")
COARSEST_STEP, FINEST_STEP = Decimal(1), Decimal("0.001")
#: The power of ten in USDT that an order may be worth at most; a MARKET order a tenth of it.
LARGEST_ORDER = 7
#: The powers of ten between which an unknown price lies.
UNKNOWN_PRICES = (-2.0, 0.7)
MOST_FREQUENT_TIERS = 0
#: Names are upper case; some coins have Chinese ones.
_NAME = re.compile(r"([0-9A-Z\u4e00-\u9fff]{1,20}?)(USDT|USDC)")


class Symbol(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True, dict=True):
    """One perpetual contract.

    `price_precision` and `quantity_precision` are the decimals a number may have before it is refused
    with -1111; they are not the tick and the step. `start` is the price a fresh exchange opens at.
    """

    base: str
    price_precision: int
    quantity_precision: int
    tick: Decimal
    min_price: Decimal
    max_price: Decimal
    step: Decimal
    max_quantity: Decimal
    market_max_quantity: Decimal
    min_notional: Decimal
    start: Decimal
    multiplier_up: Decimal = Decimal("1.1500")
    multiplier_down: Decimal = Decimal("0.8500")
    trigger_protect: Decimal = Decimal("0.1500")
    max_orders: int = 200
    #: The leverage brackets, those of small positions first; by default those of BTCUSDT.
    brackets: tuple[Bracket, ...] = msgspec.field(default_factory=deepest_brackets)
    #: TRADING; CLOSE takes no order, any other status none that opens.
    status: str = "TRADING"
    #: What follows the base in its name.
    quote: str = "USDT"

    @cached_property
    def name(self) -> str:
        """Return the name in requests, such as BTCUSDT."""
        return f"{self.base}{self.quote}"

    @property
    def min_quantity(self) -> Decimal:
        """Return the smallest quantity of an order, which is one step."""
        return self.step

    @property
    def max_leverage(self) -> int:
        """Return the highest leverage, that of small positions."""
        return self.brackets[0].leverage

    def max_notional(self, leverage: int) -> Decimal:
        """Return the largest position in USDT that `leverage` permits."""
        return next(row.cap for row in reversed(self.brackets) if row.leverage >= leverage)


def _symbol(base: str, precision: tuple[int, int], tick: str, step: str, **rest: str) -> Symbol:
    number = {name: Decimal(value) for name, value in rest.items()}
    return Symbol(
        base=base,
        price_precision=precision[0],
        quantity_precision=precision[1],
        tick=Decimal(tick),
        step=Decimal(step),
        min_price=number["low"],
        max_price=number["high"],
        max_quantity=number["lot"],
        market_max_quantity=number["market_lot"],
        min_notional=number.get("notional", Decimal(5)),
        start=number["start"],
        brackets=(),
    )


_KNOWN_FILTERS: tuple[Symbol, ...] = (
    _symbol(
        "BTC", (2, 3), "0.10", "0.001", low="556.80", high="4529764", lot="1000", market_lot="120",
        notional="100", start="60000.00",
    ),
    _symbol(
        "ETH", (2, 3), "0.01", "0.001", low="39.86", high="306177", lot="10000", market_lot="2000",
        notional="20", start="3000.00",
    ),
    _symbol(
        "BNB", (3, 2), "0.010", "0.01", low="6.600", high="100000", lot="100000", market_lot="2000",
        start="600.000",
    ),
    _symbol(
        "SOL", (4, 2), "0.0100", "0.01", low="0.4200", high="6857", lot="1000000", market_lot="80000",
        start="150.0000",
    ),
    _symbol(
        "XRP", (4, 1), "0.0001", "0.1", low="0.0143", high="100000", lot="10000000", market_lot="2000000",
        start="0.5000",
    ),
    _symbol(
        "ADA", (5, 0), "0.00010", "1", low="0.01740", high="510", lot="2000000", market_lot="300000",
        start="0.40000",
    ),
    _symbol(
        "DOGE", (6, 0), "0.000010", "1", low="0.002440", high="30", lot="50000000", market_lot="30000000",
        start="0.100000",
    ),
    _symbol(
        "AVAX", (4, 0), "0.0010", "1", low="0.4500", high="1000000", lot="5000000", market_lot="80000",
        start="30.0000",
    ),
    _symbol(
        "LINK", (3, 2), "0.001", "0.01", low="0.200", high="100000", lot="600000", market_lot="60000",
        start="15.000",
    ),
    _symbol(
        "DOT", (6, 1), "0.000100", "0.1", low="0.195000", high="100000", lot="1500000", market_lot="150000",
        start="1.135900",
    ),
)  # fmt: skip
#: The real filters by coin; those of all others follow from their prices.
_REAL_FILTERS = {symbol.base: symbol for symbol in _KNOWN_FILTERS}


def _plausible(base: str, price: Decimal) -> Symbol:
    """Return a contract with filters that follow from its price.

    A tick is 1e-5 to 1e-4 of the price; a step is worth 0.1 to 1 USDT, but is at most one coin.
    """
    power = price.adjusted()
    tick = max(FINEST_TICK, min(COARSEST_TICK, _ten_to(power - 4)))
    step = max(FINEST_STEP, min(COARSEST_STEP, _ten_to(-power - 1)))
    places = max(2, decimals(tick))
    # A tick has as many decimals as a price, as Binance prints them.
    tick = tick.quantize(_ten_to(-places))
    largest = _ten_to(LARGEST_ORDER - power)
    return Symbol(
        base=base,
        price_precision=places,
        quantity_precision=decimals(step),
        tick=tick,
        step=step,
        min_price=tick * 10,
        max_price=_ten_to(max(power, 0) + 3),
        max_quantity=largest,
        market_max_quantity=largest / 10,
        min_notional=Decimal(5),
        start=nearest(price, tick),
        brackets=(),
    )


def _ten_to(power: int) -> Decimal:
    # Not as 1E+3: it is printed as digits.
    return Decimal(10) ** power


def _unknown_price(base: str) -> Decimal:
    """Return a price for a coin that is not in the table, always the same for one name."""
    share = int.from_bytes(hashlib.sha256(base.encode()).digest()[:4], "big") / 2**32
    lowest, highest = UNKNOWN_PRICES
    return Decimal(f"{10 ** (lowest + share * (highest - lowest)):.6f}")


def _make(row: ContractRow) -> Symbol:
    symbol = _REAL_FILTERS.get(row.base) or _plausible(row.base, row.price or _unknown_price(row.base))
    return msgspec.structs.replace(symbol, quote=row.quote, brackets=brackets_at(row.tiers))


def make_symbol(name: str, price: Decimal | None = None) -> Symbol | None:
    """Return the contract of a name in USDT or USDC, or None when the name is malformed.

    A contract that is not listed gets plausible filters and the most frequent brackets.

    Args:
        name: such as BTCUSDT.
        price: where it opens; its own price by default. Filters that are not real ones follow from it.
    """
    parts = _NAME.fullmatch(name)
    if parts is None:
        return None
    base, quote = parts.groups()
    symbol = _LISTED.get(name) or _make(ContractRow(base, quote, MOST_FREQUENT_TIERS))
    if price is None:
        return symbol
    if base in _REAL_FILTERS:
        return msgspec.structs.replace(symbol, start=price)
    return msgspec.structs.replace(
        _plausible(base, price), quote=quote, brackets=symbol.brackets, start=price
    )


def is_well_formed(name: str) -> bool:
    """Return whether a name could be that of a contract."""
    return _NAME.fullmatch(name.replace(COIN_QUOTE, "USDT")) is not None


def is_listed(name: str) -> bool:
    """Return whether a contract is one of ALL_SYMBOLS."""
    return name in _LISTED


def make_coin_symbol(name: str) -> Symbol | None:
    """Return the COIN-M contract of a name such as BTCUSD_PERP, or None when the name is malformed."""
    base = name.removesuffix(COIN_QUOTE)
    symbol = make_symbol(f"{base}USDT") if base != name else None
    return symbol and _as_coin_margined(symbol)


def _as_coin_margined(symbol: Symbol) -> Symbol:
    """Return the contract in which one contract counts as one coin."""
    return msgspec.structs.replace(
        symbol,
        quote=COIN_QUOTE,
        quantity_precision=0,
        step=Decimal(1),
        max_quantity=Decimal(1_000_000),
        market_max_quantity=Decimal(60_000),
        min_notional=Decimal(0),
    )


ALL_SYMBOLS: tuple[Symbol, ...] = tuple(_make(row) for row in read_contracts().contracts)
"""All contracts that are listed, in USDT and in USDC, the best known first."""
DEFAULT_SYMBOLS: tuple[Symbol, ...] = ALL_SYMBOLS[: read_contracts().leading]
"""The best known of them, about a hundred."""
_LISTED = {symbol.name: symbol for symbol in ALL_SYMBOLS}
COIN_SYMBOLS: tuple[Symbol, ...] = tuple(_as_coin_margined(symbol) for symbol in DEFAULT_SYMBOLS[:2])
"""The contracts of COIN-M: enough for orders; a contract counts as one coin."""
