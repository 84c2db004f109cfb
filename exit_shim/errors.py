"""Exceptions that a bot may meet; loaded on first use, because they rest on python-binance's own."""

import json
from typing import Final

from binance.exceptions import BinanceAPIException

DENIED_CODE: Final = -2010
"""NEW_ORDER_REJECTED: a code that every bot on Binance already handles."""


class ExitOrderDenied(BinanceAPIException):  # type: ignore[misc]
    """An exit order that the ownership policy did not let out; the exchange has not seen it.

    A `BinanceAPIException` with code -2010 and HTTP status 400, so that a bot handles it as it handles an
    order that the exchange refuses. `reasons` holds the verdict's codes.
    """

    def __init__(self, message: str, reasons: tuple[str, ...] = ()) -> None:
        super().__init__(None, 400, json.dumps({"code": DENIED_CODE, "msg": message}))
        self.reasons = reasons

    def __reduce__(self) -> tuple[type["ExitOrderDenied"], tuple[str, tuple[str, ...]]]:
        return type(self), (self.message, self.reasons)
