"""Exceptions that a bot may meet; loaded on first use, because they rest on python-binance's own."""

import json

from binance.exceptions import BinanceAPIException

from exit_shim.domain.verdicts import DENIED_CODE


class ExitOrderDenied(BinanceAPIException):  # type: ignore[misc]
    """An exit order that the ownership policy did not let out; the exchange has not seen it.

    A `BinanceAPIException` with HTTP status 400 and code -2010, so that a bot handles it as it handles an
    order that the exchange refuses; -4116 where a simulated order has its client order id. `reasons` holds
    the verdict's codes.
    """

    def __init__(self, message: str, reasons: tuple[str, ...] = (), code: int = DENIED_CODE) -> None:
        super().__init__(None, 400, json.dumps({"code": code, "msg": message}))
        self.reasons = reasons

    def __reduce__(self) -> tuple[type["ExitOrderDenied"], tuple[str, tuple[str, ...], int]]:
        return type(self), (self.message, self.reasons, self.code)
