"""The rules of a day: Binance's change log, as far as a bot's orders notice it."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import msgspec

ALGO_SERVICE = date(2025, 12, 9)
COIN_ALGO_SERVICE = date(2026, 6, 30)
NO_AVERAGE_PRICE = date(2026, 6, 30)
WIDER_CALLBACK = date(2026, 10, 23)


class ExchangeRules(msgspec.Struct, frozen=True, kw_only=True):
    """The rules that held on one day; the defaults hold now.

    Attributes:
        algo_service: conditional orders have a service of their own and are refused on /order.
        average_price_in_answers: answers to placing, amending and cancelling have avgPrice and cumQuote.
        highest_callback: the largest callbackRate, in percent.
    """

    algo_service: bool = True
    average_price_in_answers: bool = False
    highest_callback: Decimal = Decimal(20)


def find_rules(day: str | date | None, *, algo_service: date = ALGO_SERVICE) -> ExchangeRules:
    """Return the rules of a day, such as "2025-12-08"; None for those of now.

    Args:
        day: the day.
        algo_service: since when the market has the Algo Service; COIN-M followed on 2026-06-30.

    Raises:
        ValueError: when it is no day.
    """
    if day is None:
        return ExchangeRules()
    at = day if isinstance(day, date) else date.fromisoformat(day)
    return ExchangeRules(
        algo_service=at >= algo_service,
        average_price_in_answers=at < NO_AVERAGE_PRICE,
        highest_callback=Decimal(20) if at >= WIDER_CALLBACK else Decimal(10),
    )
