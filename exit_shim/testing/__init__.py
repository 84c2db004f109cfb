"""The local exchange: Binance USDⓈ-M futures on loopback or in-process, for tests and `--local` runs."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .exchange import (
        DEFAULT_SYMBOLS,
        Exchange,
        ExchangeError,
        Market,
        Quote,
        StaticMarket,
        Symbol,
        WalkingMarket,
    )
    from .fake import FakeAsyncClient, FakeClient
    from .records import RequestRecord
    from .server import LocalExchange
else:
    # On first use: the pytest plugin lives in this package, and must not bring a web server with it.
    from exit_shim._lazy import on_first_use

    __getattr__ = on_first_use(
        __name__,
        {
            "exchange": (
                "DEFAULT_SYMBOLS",
                "Exchange",
                "ExchangeError",
                "Market",
                "Quote",
                "StaticMarket",
                "Symbol",
                "WalkingMarket",
            ),
            "fake": ("FakeAsyncClient", "FakeClient"),
            "records": ("RequestRecord",),
            "server": ("LocalExchange",),
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
]
