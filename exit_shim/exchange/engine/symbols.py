"""What a contract is: its precision, its filters and its leverage brackets."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from .brackets import DEEPEST_AT_20, Bracket, make_brackets

ONBOARDED = 1_569_398_400_000
"""When every symbol began to be traded, in milliseconds: 2019-09-25, as BTCUSDT did."""


class Symbol(msgspec.Struct, frozen=True, kw_only=True):
    """One perpetual contract quoted in USDT.

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
    max_leverage: int = 125
    max_orders: int = 200
    #: The lowest maintenance rate, that of small positions.
    maintenance_rate: Decimal = Decimal("0.004")
    #: The largest position in USDT at 20x, from which the brackets follow.
    cap_at_20: Decimal = DEEPEST_AT_20
    #: TRADING; CLOSE takes no order, any other status none that opens.
    status: str = "TRADING"
    #: What follows the base in its name.
    quote: str = "USDT"

    @property
    def name(self) -> str:
        """Return the name in requests, such as BTCUSDT."""
        return f"{self.base}{self.quote}"

    @property
    def min_quantity(self) -> Decimal:
        """Return the smallest quantity of an order, which is one step."""
        return self.step

    def max_notional(self, leverage: int) -> Decimal:
        """Return the largest position in USDT that `leverage` permits."""
        return next(row.cap for row in reversed(self.brackets) if row.leverage >= leverage)

    @property
    def brackets(self) -> tuple[Bracket, ...]:
        """Return the leverage brackets, those of small positions first."""
        return make_brackets(self.max_leverage, self.cap_at_20, self.maintenance_rate)


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
        max_leverage=int(number.get("leverage", Decimal(75))),
        cap_at_20=number.get("cap", DEEPEST_AT_20),
    )


DEFAULT_SYMBOLS: tuple[Symbol, ...] = (
    _symbol(
        "BTC", (2, 3), "0.10", "0.001", low="556.80", high="4529764", lot="1000", market_lot="120",
        notional="100", start="60000.00", leverage="150",
    ),
    _symbol(
        "ETH", (2, 3), "0.01", "0.001", low="39.86", high="306177", lot="10000", market_lot="2000",
        notional="20", start="3000.00", leverage="150", cap="65000000",
    ),
    _symbol(
        "BNB", (3, 2), "0.010", "0.01", low="6.600", high="100000", lot="100000", market_lot="2000",
        start="600.000", cap="3000000",
    ),
    _symbol(
        "SOL", (4, 2), "0.0100", "0.01", low="0.4200", high="6857", lot="1000000", market_lot="80000",
        start="150.0000", leverage="100", cap="8000000",
    ),
    _symbol(
        "XRP", (4, 1), "0.0001", "0.1", low="0.0143", high="100000", lot="10000000", market_lot="2000000",
        start="0.5000", leverage="100", cap="2000000",
    ),
    _symbol(
        "ADA", (5, 0), "0.00010", "1", low="0.01740", high="510", lot="2000000", market_lot="300000",
        start="0.40000", cap="2000000",
    ),
    _symbol(
        "DOGE", (6, 0), "0.000010", "1", low="0.002440", high="30", lot="50000000", market_lot="30000000",
        start="0.100000", cap="4000000",
    ),
    _symbol(
        "AVAX", (4, 0), "0.0010", "1", low="0.4500", high="1000000", lot="5000000", market_lot="80000",
        start="30.0000", cap="1600000",
    ),
    _symbol(
        "LINK", (3, 2), "0.001", "0.01", low="0.200", high="100000", lot="600000", market_lot="60000",
        start="15.000", cap="1600000",
    ),
    _symbol(
        "DOT", (6, 1), "0.000100", "0.1", low="0.195000", high="100000", lot="1500000", market_lot="150000",
        start="1.135900", cap="800000",
    ),
)  # fmt: skip


COIN_SYMBOLS: tuple[Symbol, ...] = tuple(
    msgspec.structs.replace(
        symbol,
        quote="USD_PERP",
        quantity_precision=0,
        step=Decimal(1),
        max_quantity=Decimal(1_000_000),
        market_max_quantity=Decimal(60_000),
        min_notional=Decimal(0),
    )
    for symbol in DEFAULT_SYMBOLS[:2]
)
"""The contracts of COIN-M: enough for orders; a contract counts as one coin."""
