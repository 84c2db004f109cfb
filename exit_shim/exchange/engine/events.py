"""What happens on the exchange, as it happens: typed events, and the feed that hands them on.

Events carry copies: what they show stays as it was when they were emitted. Times are in milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec

from .algo import AlgoOrder
from .market import Quote
from .numbers import ZERO
from .orders import Order, Trade
from .positions import Position
from .tape import MarketTrade


class OrderEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An order changed (ORDER_TRADE_UPDATE).

    Attributes:
        execution: NEW, TRADE, CANCELED, EXPIRED, AMENDMENT or CALCULATED (a liquidation).
        order: the order after the change.
        trade: the fill, for TRADE.
        expiry: why it expired, as `er` numbers the reasons; "0" for every other change.
        bids: notional value of the open BUY orders of its symbol and position side, in USDT.
        asks: the same of the SELL orders.
    """

    time: int
    execution: str
    order: Order
    trade: Trade | None = None
    expiry: str = "0"
    bids: Decimal = ZERO
    asks: Decimal = ZERO


class TradeEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A fill, sent before all other events of it (TRADE_LITE)."""

    time: int
    order: Order
    trade: Trade


class AlgoEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A conditional order changed (ALGO_UPDATE); `child` is the order that it became, if any."""

    time: int
    algo: AlgoOrder
    child: Order | None = None


class PositionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A position within an account event. `margin_type` is CROSSED or ISOLATED, amounts are in USDT."""

    position: Position
    unrealised: Decimal
    margin_type: str
    isolated_wallet: Decimal


class AccountEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Wallet or positions changed (ACCOUNT_UPDATE).

    Attributes:
        reason: ORDER, MARGIN_TRANSFER, MARGIN_TYPE_CHANGE, INSURANCE_CLEAR or FUNDING_FEE.
        wallet: the wallet in USDT, None when it did not change.
        cross: what of the wallet no isolated position holds.
        positions: those that changed.
        symbol: the symbol that paid or received funding.
    """

    time: int
    reason: str
    wallet: Decimal | None
    cross: Decimal
    positions: tuple[PositionRow, ...]
    symbol: str = ""


class CalledPosition(msgspec.Struct, frozen=True, kw_only=True):
    """A position that is near its liquidation, with its mark price and maintenance margin."""

    row: PositionRow
    mark: Decimal
    maintenance: Decimal


class MarginCallEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Positions are near their liquidation (MARGIN_CALL); `cross` is the wallet that they share, if any."""

    time: int
    cross: Decimal | None
    positions: tuple[CalledPosition, ...]


class LeverageEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The leverage of a symbol changed (ACCOUNT_CONFIG_UPDATE)."""

    time: int
    symbol: str
    leverage: int


class AssetsModeEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The account went into or out of Multi-Assets mode (ACCOUNT_CONFIG_UPDATE)."""

    time: int
    multi_assets: bool


class ListenKeyEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A listen key ended: it expired (listenKeyExpired), or its owner closed it."""

    time: int
    listen_key: str
    expired: bool


class QuoteEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The prices of a symbol changed. `update_id` grows with each change of any symbol."""

    time: int
    symbol: str
    quote: Quote
    update_id: int


class MarketTradeEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody traded: the account, or others (aggTrade and trade streams)."""

    time: int
    symbol: str
    trade: MarketTrade


UserEvent = (
    OrderEvent
    | TradeEvent
    | AlgoEvent
    | AccountEvent
    | MarginCallEvent
    | LeverageEvent
    | AssetsModeEvent
    | ListenKeyEvent
)
MarketEvent = QuoteEvent | MarketTradeEvent
Event = UserEvent | MarketEvent
EventListener = Callable[[Event], None]


class EventFeed:
    """Send each event to every listener at once, in the order in which production sends them.

    Nothing is built or copied while nobody listens: ask `active` before making an event.
    """

    def __init__(self) -> None:
        self.listeners: list[EventListener] = []
        self._held: list[Event] = []
        #: Whether a listener is being called at the moment.
        self.sending = False

    @property
    def active(self) -> bool:
        """Return whether anybody listens."""
        return bool(self.listeners)

    def hold(self, event: Event) -> None:
        """Hold back the event of an order until its first fill, or until `release`.

        Production sends TRADE_LITE of an order that fills on arrival before its NEW.
        """
        self.release()
        self._held.append(event)

    def release(self) -> None:
        """Send what was held back, if anything."""
        if self._held:
            held, self._held = self._held, []
            for event in held:
                self._send(event)

    def emit(self, event: Event) -> None:
        """Send an event, after what was held back unless it is a TradeEvent."""
        if not isinstance(event, TradeEvent):
            self.release()
        self._send(event)

    def _send(self, event: Event) -> None:
        outer, self.sending = self.sending, True
        try:
            for listener in tuple(self.listeners):
                listener(event)
        finally:
            self.sending = outer
