"""What users import in tests: the local exchange, faults, markets and fake clients."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exit_shim.exchange import (
        ALL_SYMBOLS,
        DEFAULT_SYMBOLS,
        ApiKey,
        CrashMarket,
        Exchange,
        ExchangeError,
        LocalExchange,
        Market,
        Quote,
        ReplayMarket,
        RequestRecord,
        StaticMarket,
        Symbol,
        TrendMarket,
        WalkingMarket,
        faults,
        make_market,
    )
    from exit_shim.testing.fake_clients import FakeAsyncClient, FakeClient
else:
    from exit_shim.runtime.lazy_names import on_first_use

    # On first use: the pytest plugin lives in this package, and must not bring a web server with it.
    __getattr__ = on_first_use(
        __name__,
        {
            "exit_shim.exchange": (
                "ALL_SYMBOLS",
                "DEFAULT_SYMBOLS",
                "ApiKey",
                "CrashMarket",
                "Exchange",
                "ExchangeError",
                "LocalExchange",
                "Market",
                "Quote",
                "ReplayMarket",
                "RequestRecord",
                "StaticMarket",
                "Symbol",
                "TrendMarket",
                "WalkingMarket",
                "faults",
                "make_market",
            ),
            "exit_shim.testing.fake_clients": ("FakeAsyncClient", "FakeClient"),
        },
    )

__all__ = [
    "ALL_SYMBOLS",
    "DEFAULT_SYMBOLS",
    "ApiKey",
    "CrashMarket",
    "Exchange",
    "ExchangeError",
    "FakeAsyncClient",
    "FakeClient",
    "LocalExchange",
    "Market",
    "Quote",
    "ReplayMarket",
    "RequestRecord",
    "StaticMarket",
    "Symbol",
    "TrendMarket",
    "WalkingMarket",
    "faults",
    "make_market",
]
