"""The local exchange: Binance USDⓈ-M futures on loopback or in-process, for tests and `--local` runs."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exit_shim.exchange import faults
    from exit_shim.exchange.engine import (
        DEFAULT_SYMBOLS,
        Exchange,
        ExchangeError,
        Market,
        Quote,
        StaticMarket,
        Symbol,
        WalkingMarket,
    )
    from exit_shim.exchange.request_record import RequestRecord
    from exit_shim.exchange.server import LocalExchange
    from exit_shim.testing.fake import FakeAsyncClient, FakeClient
else:
    # On first use: the pytest plugin lives in this package, and must not bring a web server with it.
    from exit_shim.runtime.lazy_names import on_first_use

    __getattr__ = on_first_use(
        __name__,
        {
            "exit_shim.exchange": ("faults",),
            "exit_shim.exchange.engine": (
                "DEFAULT_SYMBOLS",
                "Exchange",
                "ExchangeError",
                "Market",
                "Quote",
                "StaticMarket",
                "Symbol",
                "WalkingMarket",
            ),
            "exit_shim.testing.fake": ("FakeAsyncClient", "FakeClient"),
            "exit_shim.exchange.request_record": ("RequestRecord",),
            "exit_shim.exchange.server": ("LocalExchange",),
        },
    )

__all__ = [
    "DEFAULT_SYMBOLS",
    "Exchange",
    "ExchangeError",
    "FakeAsyncClient",
    "FakeClient",
    "LocalExchange",
    "Market",
    "Quote",
    "RequestRecord",
    "StaticMarket",
    "Symbol",
    "WalkingMarket",
    "faults",
]
