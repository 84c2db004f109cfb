"""The trades of the market, the account's and those of others, for public trade lists and streams."""

from __future__ import annotations

from collections import deque
from decimal import Decimal

import msgspec

#: The newest trades that are kept of each symbol.
KEPT = 1000
#: The id of the last trade before the exchange began, of every symbol.
LAST_ID_BEFORE = 1_190_331_610


class MarketTrade(msgspec.Struct, frozen=True):
    """One trade. Ids grow within a symbol; `time` is in milliseconds.

    `buyer_is_maker` is Binance's `m`: the taker sold.
    """

    trade_id: int
    price: Decimal
    quantity: Decimal
    time: int
    buyer_is_maker: bool


class Tape:
    """The newest trades of every symbol, oldest first.

    Args:
        trades: the trades of a saved exchange.
        last_ids: the id of its last trade of each symbol.
    """

    def __init__(
        self, trades: dict[str, list[MarketTrade]] | None = None, last_ids: dict[str, int] | None = None
    ) -> None:
        self._trades = {symbol: deque(rows, maxlen=KEPT) for symbol, rows in (trades or {}).items()}
        self.last_ids = last_ids or {}

    def add(
        self, symbol: str, price: Decimal, quantity: Decimal, time: int, *, buyer_is_maker: bool
    ) -> MarketTrade:
        """Add a trade and return it."""
        trade_id = self.last_ids[symbol] = self.last_ids.get(symbol, LAST_ID_BEFORE) + 1
        trade = MarketTrade(trade_id, price, quantity, time, buyer_is_maker)
        rows = self._trades.get(symbol)
        if rows is None:
            rows = self._trades[symbol] = deque(maxlen=KEPT)
        rows.append(trade)
        return trade

    def last_id(self, symbol: str) -> int:
        """Return the id of the newest trade of a symbol."""
        return self.last_ids.get(symbol, LAST_ID_BEFORE)

    def list_newest(self, symbol: str, limit: int) -> list[MarketTrade]:
        """Return at most `limit` trades of a symbol since the exchange began, oldest first."""
        rows = self._trades.get(symbol)
        if rows is None:
            return []
        return list(rows) if limit >= len(rows) else [rows[place] for place in range(-limit, 0)]

    def list_all(self) -> dict[str, list[MarketTrade]]:
        """Return all trades on the tape, by symbol."""
        return {symbol: list(rows) for symbol, rows in self._trades.items()}
