"""The control requests: their fields, and how they are read from a query, a form or a JSON body."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from .request import RawRequest


class ControlRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The fields of a control request; here none."""


class OfSymbols(ControlRequest):
    """A request about one symbol, about those in use, or about all."""

    symbol: str | None = None
    all: bool = False


class Prices(ControlRequest):
    """New prices of a symbol: all of them at `price`, but those that have a value of their own."""

    symbol: str
    price: Decimal | None = None
    mark: Decimal | None = None
    last: Decimal | None = None
    bid: Decimal | None = None
    ask: Decimal | None = None


class Levels(ControlRequest):
    """A book of [price, quantity] levels."""

    symbol: str
    bids: list[tuple[Decimal, Decimal]]
    asks: list[tuple[Decimal, Decimal]]


class ForeignTrade(ControlRequest):
    """A trade between others."""

    symbol: str
    price: Decimal
    quantity: Decimal


class Fill(ControlRequest):
    """A fill of a resting order, by either of its ids."""

    symbol: str
    order_id: int | None = msgspec.field(name="orderId", default=None)
    client_id: str | None = msgspec.field(name="origClientOrderId", default=None)
    quantity: Decimal | None = None


class Advance(ControlRequest):
    """A time that passes."""

    milliseconds: int


class MarketMode(ControlRequest):
    """How prices move from now on; `files` are what replay repeats, `speed` is in steps a second."""

    mode: str
    seed: int = 1
    speed: float | None = None
    files: list[str] = []


class NamedFault(ControlRequest):
    """The name of a fault, None for all of them."""

    fault: str | None = None


class NewKey(ControlRequest):
    """An API key to accept, with its secret and permissions."""

    key: str
    secret: str
    can_read: bool = msgspec.field(name="canRead", default=True)
    can_trade: bool = msgspec.field(name="canTrade", default=True)


class Newest(ControlRequest):
    """How many of the newest requests of clients are listed."""

    limit: int = 100


Kind = TypeVar("Kind", bound=ControlRequest)


def read_control(request: RawRequest, kind: type[Kind]) -> Kind:
    """Read the fields of a control request; a JSON body may have numbers and lists where a form has text.

    Raises:
        ValueError: for what is missing, unknown or malformed; it says what was expected.
    """
    fields = {name: _read_list(text) for name, text in request.params.items()}
    try:
        if request.body.lstrip().startswith("{"):
            fields = msgspec.json.decode(request.body, type=dict[str, Any])
        return msgspec.convert(fields, kind, strict=False)
    except msgspec.MsgspecError as wrong:
        raise ValueError(f"{wrong}; expected {_describe(kind)}") from wrong


def _read_list(text: str) -> Any:
    # `bids=[[60000,1]]` of a form.
    return msgspec.json.decode(text) if text.startswith("[") else text


def _describe(kind: type[ControlRequest]) -> str:
    fields = msgspec.structs.fields(kind)
    needed = ", ".join(field.encode_name for field in fields if field.required)
    others = ", ".join(field.encode_name for field in fields if not field.required)
    return "; ".join(filter(None, (needed, others and f"optional: {others}"))) or "nothing"
