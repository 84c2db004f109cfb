"""The account: its wallet, its settings and the commission it pays."""

from __future__ import annotations

from decimal import Decimal

import msgspec

TAKER_RATE = Decimal("0.0005")
MAKER_RATE = Decimal("0.0002")


class SymbolSettings(msgspec.Struct):
    """The leverage and margin type that the account has chosen for one symbol."""

    leverage: int = 20
    margin_type: str = "CROSSED"


class Account(msgspec.Struct):
    """The account that every API key of the exchange belongs to. The wallet is in USDT."""

    wallet: Decimal
    hedge_mode: bool = False
    update_time: int = 0
    #: Why the exchange lets it open nothing: one of RESTRICTIONS, or nothing.
    restriction: str = ""
    multi_assets: bool = False
    settings: dict[str, SymbolSettings] = msgspec.field(default_factory=dict)

    def of(self, symbol: str) -> SymbolSettings:
        """Return the settings of a symbol, made at their defaults when it has none."""
        return self.settings.setdefault(symbol, SymbolSettings())
