"""Exceptions that a bot may meet."""

from exit_shim.domain.verdicts import DENIED_CODE, Reason


class ExitOrderDenied(Exception):  # noqa: N818 - reads as what happened
    """Tell the caller that the ownership policy held an exit order back; the exchange has not seen it.

    What is raised is also the error of the client's own library: for python-binance a `BinanceAPIException`
    with HTTP status 400 and code -2010, so that a bot handles it as an order that the exchange refuses. The
    code is -4116 where a simulated order has the same client order id.

    Args:
        message: What was denied to whom, and why.
        reasons: Why, each with its `code` and `facts`; `str(reason)` has both in one line.
        code: Binance's error code to answer with.
    """

    message: str
    code: int

    def __init__(self, message: str, reasons: tuple[Reason, ...] = (), code: int = DENIED_CODE) -> None:
        super().__init__(message)
        self.message = message
        self.reasons = reasons
        self.code = code

    def __reduce__(self) -> tuple[object, tuple[str, tuple[Reason, ...], int]]:
        return type(self), (self.message, self.reasons, self.code)


class ExecutorError(Exception):
    """Say why the exit executor cannot work with a client, and what to do."""
