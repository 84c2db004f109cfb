"""The account: its wallet, its settings and the commission it pays."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from .symbols import ONBOARDED

TAKER_RATE = Decimal("0.0005")
MAKER_RATE = Decimal("0.0002")
#: The leverage of a symbol until the account chooses another, if its brackets permit it.
USUAL_LEVERAGE = 20


class SymbolSettings(msgspec.Struct):
    """The leverage and margin type that the account has chosen for one symbol."""

    leverage: int = USUAL_LEVERAGE
    margin_type: str = "CROSSED"


class Account(msgspec.Struct):
    """The account that every API key of the exchange belongs to. The wallet is in USDT."""

    wallet: Decimal
    hedge_mode: bool = False
    update_time: int = 0
    #: Why the exchange lets it open nothing: one of RESTRICTIONS, or nothing.
    restriction: str = ""
    multi_assets: bool = False
    #: Whether commission would be paid in BNB; here it is paid in USDT all the same.
    fee_burn: bool = False
    settings: dict[str, SymbolSettings] = msgspec.field(default_factory=dict)

    def of(self, symbol: str) -> SymbolSettings:
        """Return the settings of a symbol, made at their defaults when it has none."""
        settings = self.settings.get(symbol)
        if settings is None:
            settings = self.settings[symbol] = SymbolSettings()
        return settings


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer between the spot account and the futures wallet; `time` is in milliseconds."""

    tran_id: int
    asset: str
    amount: Decimal
    to_futures: bool
    time: int


def _opening_balances() -> dict[str, Decimal]:
    held = {"USDT": "10000", "BTC": "0.5", "ETH": "5", "BNB": "10"}
    return {asset: Decimal(amount) for asset, amount in held.items()}


class SpotAccount(msgspec.Struct):
    """The spot account of the same owner. Nothing trades there."""

    balances: dict[str, Decimal] = msgspec.field(default_factory=_opening_balances)
    #: When a balance last changed, in milliseconds.
    update_time: int = ONBOARDED
    transfers: list[Transfer] = []
