"""The depth that clients see of a symbol without a book; it does not limit fills."""

from __future__ import annotations

from decimal import Decimal

from .state import State

#: Levels that are shown on each side, and the largest gap between two of them in ticks.
SHOWN = 500
WIDEST_GAP = 3
#: The quantity of the best level as a share of a minute's volume; levels grow with the distance.
BEST_SHARE = 12
MINUTES_A_DAY = 1440
_MASK = 0xFFFFFFFF


def list_levels(state: State, symbol: str, side: str, limit: int) -> list[tuple[Decimal, Decimal]]:
    """Return (price, quantity) of the best levels on a side, BUY or SELL, best first.

    They are drawn from seed, symbol and price, so that they stay while the price stays.
    """
    book, quote = state.books.get(symbol), state.quotes[symbol]
    if book is not None:
        levels = book.bids if side == "BUY" else book.asks
        return [(level.price, level.quantity) for level in levels[:limit]]
    contract = state.symbols[symbol]
    away = -1 if side == "BUY" else 1
    price = quote.bid if side == "BUY" else quote.ask
    usual = state.history.of(contract).usual_volume / MINUTES_A_DAY / BEST_SHARE
    levels_shown = []
    ticks = int(price / contract.tick)
    for place in range(min(limit, SHOWN)):
        if ticks <= 0:
            break
        drawn = _draw(state.seed, ticks, away)
        size = usual * (0.15 + drawn % 1000 / 600) * (1 + min(place, 40) / 10)
        # A few levels are large, as real ones are.
        size *= 6 if drawn % 37 == 0 else 1
        quantity = max(1, int(size)) * contract.step
        levels_shown.append((price, quantity))
        gap = 1 + (drawn >> 10) % WIDEST_GAP
        ticks += away * gap
        price += away * gap * contract.tick
    return levels_shown


def quantity_at(state: State, symbol: str, side: str, price: Decimal) -> Decimal:
    """Return the quantity that the shown depth has at a price, zero where it has none."""
    levels = list_levels(state, symbol, side, SHOWN)
    return next((quantity for level, quantity in levels if level == price), Decimal(0))


def _draw(seed: int, ticks: int, away: int) -> int:
    # A cheap hash: a depth of hundreds of levels is asked for often.
    mixed = (ticks * 2_654_435_761 + seed * 40_503 + away * 97) & _MASK
    mixed ^= mixed >> 15
    mixed = mixed * 2_246_822_519 & _MASK
    return mixed ^ mixed >> 13
