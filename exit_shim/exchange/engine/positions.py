"""A position and what a fill does to it."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from .numbers import ZERO, money


class Position(msgspec.Struct):
    """The position of one symbol and side.

    `amount` is negative for a short. `cost` is the signed sum of quantity times price of what is still
    open: it is kept in place of the entry price because it stays exact where an average would not.
    """

    symbol: str
    side: str
    amount: Decimal = ZERO
    cost: Decimal = ZERO
    update_time: int = 0
    #: Everything realised here so far, before commission.
    realised: Decimal = ZERO
    #: The isolated wallet in USDT, under isolated margin.
    isolated: Decimal = ZERO

    @property
    def entry(self) -> Decimal:
        """Return the average entry price, zero when flat."""
        return self.cost / self.amount if self.amount else ZERO

    def unrealised(self, mark: Decimal) -> Decimal:
        """Return the profit in USDT if everything closed at `mark`."""
        return self.amount * mark - self.cost

    def closable_by(self, side: str) -> Decimal:
        """Return how much an order of `side` (BUY or SELL) could close."""
        closes = self.amount > 0 if side == "SELL" else self.amount < 0
        return abs(self.amount) if closes else ZERO

    def apply(self, quantity: Decimal, price: Decimal) -> Decimal:
        """Apply a fill of signed `quantity` and return the realised profit in USDT.

        A fill larger than an opposite position closes it and opens the rest on the other side.
        """
        closing = self._closed_by(quantity)
        realised = self._close(closing, price) if closing else ZERO
        opening = quantity + closing
        self.amount += opening
        self.cost += opening * price
        return realised

    def isolate(self, before: Decimal, price: Decimal, leverage: int) -> None:
        """Move the margin of what a fill opened into the isolated wallet, and release that of what it closed.

        Args:
            before: the amount before the fill.
            price: the price of the fill.
            leverage: the leverage of the symbol.
        """
        same_way = before * self.amount > 0
        kept = min(abs(self.amount), abs(before)) if same_way else ZERO
        if before:
            self.isolated = money(self.isolated * kept / abs(before))
        self.isolated += money((abs(self.amount) - kept) * price / leverage)

    def _closed_by(self, quantity: Decimal) -> Decimal:
        # Signed like the position: +2 closes two of a long.
        if self.amount * quantity >= 0:
            return ZERO
        size = min(abs(self.amount), abs(quantity))
        return size if self.amount > 0 else -size

    def _close(self, closing: Decimal, price: Decimal) -> Decimal:
        proceeds = closing * price
        realised = money(proceeds - self.cost * closing / self.amount)
        self.amount -= closing
        # What rounding left over stays in the cost, so a position closed in parts realises
        # to the last digit what it would have realised at once.
        self.cost = self.cost - (proceeds - realised) if self.amount else ZERO
        return realised


class MarginMove(msgspec.Struct, frozen=True, kw_only=True):
    """One change of an isolated wallet, in USDT."""

    symbol: str
    side: str
    amount: Decimal
    adds: bool
    time: int


class FundingPayment(msgspec.Struct, frozen=True, kw_only=True):
    """What a position received as funding, in USDT; below zero for what it paid."""

    symbol: str
    side: str
    amount: Decimal
    time: int
    #: Unique among all that is booked by itself.
    payment_id: int
