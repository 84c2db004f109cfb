"""The names of streams: what each carries, at which route, how often, and which are refused."""

from __future__ import annotations

import re
from dataclasses import dataclass

from exit_shim.exchange.engine.errors import ExchangeError
from exit_shim.exchange.engine.intervals import LENGTHS
from exit_shim.exchange.engine.state import State

from .addresses import BOTH, StreamAddress, StreamMarket

USD_M, COIN_M, SPOT = StreamMarket.USD_M, StreamMarket.COIN_M, StreamMarket.SPOT
_FUTURES = frozenset({USD_M, COIN_M})
_ALL = frozenset(StreamMarket)

LEGACY = (
    "an address without a route carries only what /public has since 2026-04-23; "
    "connect to /market/ws or /market/stream"
)
LEGACY_USER = "user data is pushed at /private/ws only since 2026-04-23"


@dataclass(frozen=True)
class Stream:
    """A stream that is fed.

    Attributes:
        name: as it was asked for.
        market: the market of the stream.
        kind: its content, such as "kline" or "all tickers".
        symbol: the contract, "" for all.
        detail: the interval of candles, or the number of levels.
        pause: the shortest time between two events, in seconds; 0 for one with each change.
        repeat: after how many milliseconds it is repeated without a change; 0 for never.
    """

    name: str
    market: StreamMarket
    kind: str
    symbol: str = ""
    detail: str = ""
    pause: float = 0
    repeat: int = 0


class UnknownStreamError(Exception):
    """Binance has no such stream, or not at this address: it stays silent. The text says why."""


class WrongRouteError(UnknownStreamError):
    """Binance has the stream at another address."""


class RefusedStreamError(Exception):
    """Binance has the stream and this exchange lacks it. The text says why."""


@dataclass(frozen=True)
class _Kind:
    """A row of the table: the pattern of its names after the symbol, or as a whole for all symbols."""

    name: str
    pattern: re.Pattern[str]
    markets: frozenset[StreamMarket] = _ALL
    routes: tuple[str, ...] = ("market",)
    pause: float = 0
    #: By market, where they differ.
    pauses: tuple[tuple[StreamMarket, float], ...] = ()
    #: Whether the name has a pair, such as btcusd, instead of a symbol.
    of_pair: bool = False


_INTERVAL = "(?P<detail>" + "|".join(LENGTHS) + ")"
_SPEED = "(?:@(?P<speed>[0-9]+)ms)?"
_DEPTH_PAUSES = ((SPOT, 1.0),)
_KLINE_PAUSES = ((SPOT, 2.0),)
_TICKER_PAUSES = ((COIN_M, 0.5),)


def _kind(name: str, pattern: str, markets: frozenset[StreamMarket] = _ALL, **rest: object) -> _Kind:
    return _Kind(name, re.compile(pattern, re.ASCII), markets, **rest)  # type: ignore[arg-type]


_PUBLIC = ("public",)
_OF_SYMBOL = (
    _kind("aggTrade", "aggTrade"),
    # It is in no documentation. ccxt hears it at /public (ccxt/ccxt#28396), others ask for it at /market.
    _kind("trade", "trade", routes=("public", "market")),
    _kind("bookTicker", "bookTicker", routes=_PUBLIC),
    _kind("markPrice", "markPrice(?P<fast>@1s)?", _FUTURES),
    _kind("pair mark price", "markPrice(?P<fast>@1s)?", frozenset({COIN_M}), of_pair=True),
    _kind("kline", f"kline_{_INTERVAL}", pause=0.25, pauses=_KLINE_PAUSES),
    _kind("miniTicker", "miniTicker", pause=1.0, pauses=_TICKER_PAUSES),
    _kind("ticker", "ticker", pause=1.0, pauses=_TICKER_PAUSES),
    _kind("forceOrder", "forceOrder", _FUTURES),
    _kind("levels", f"depth(?P<detail>5|10|20){_SPEED}", routes=_PUBLIC, pause=0.25, pauses=_DEPTH_PAUSES),
    _kind("depth", f"depth{_SPEED}", routes=_PUBLIC, pause=0.25, pauses=_DEPTH_PAUSES),
    _kind("depth", f"rpiDepth{_SPEED}", frozenset({USD_M}), routes=_PUBLIC, pause=0.5),
    _kind("window", "ticker_(?P<detail>1h|4h|1d)", frozenset({SPOT}), pause=1.0),
    _kind("avgPrice", "avgPrice", frozenset({SPOT}), pause=1.0),
    _kind("continuousKline", f"continuousKline_{_INTERVAL}", _FUTURES, pause=0.25, of_pair=True),
    _kind("markPriceKline", f"markPriceKline_{_INTERVAL}", frozenset({COIN_M}), pause=0.25),
    _kind("indexPriceKline", f"indexPriceKline_{_INTERVAL}", frozenset({COIN_M}), pause=0.25, of_pair=True),
    _kind("indexPrice", "indexPrice(?P<fast>@1s)?", frozenset({COIN_M}), of_pair=True),
)
_OF_ALL = (
    _kind("all mark prices", "!markPrice@arr(?P<fast>@1s)?", frozenset({USD_M}), pause=1.0),
    _kind("all mini tickers", f"!miniTicker@arr{_SPEED}", pause=1.0),
    _kind("all tickers", f"!ticker@arr{_SPEED}", pause=1.0),
    _kind("all windows", "!ticker_(?P<detail>1h|4h|1d)@arr", frozenset({SPOT}), pause=1.0),
    _kind("all book tickers", "!bookTicker", routes=_PUBLIC),
    _kind("all liquidations", "!forceOrder@arr", _FUTURES),
    _kind("contracts", "!contractInfo", _FUTURES),
)
#: The whole names that Binance has and nothing here can feed, and why.
_REFUSED = (
    ("[^@!]+@compositeIndex", "there are no composite index symbols here"),
    (
        "(?:!assetIndex@arr|[^@!]+@assetIndex)",
        "Multi-Assets mode has no effect here, so assets have no index",
    ),
    ("tradingSession", "only coins are traded here, at all hours: there are no sessions"),
    ("[^@!]+@optionTicker.*|[^@!]+@optionTrade|[^@!]+@optionMarkPrice", "there are no options here"),
    ("[^@!]+@optionOpenInterest.*|[^@!]+@openInterest.*", "there are no options here"),
    ("!optionSymbol|option_pair|!index@arr|[^@!]+@index", "there are no options here"),
    ("[^@!]+-[0-9]{6}-[^@!]+@.*", "there are no options here"),
    ("[^@!]+@kline_1s", "the shortest candles here are those of a minute"),
    ("[^@!]+@kline_[^@]+@[+]08:00", "candles begin in UTC here; take the stream without @+08:00"),
    ("[^@!]+_(?:current|next)_quarter@.*|[^@!]+_[0-9]{6}@.*", "only perpetual contracts are here"),
    ("[^@!]+@blockTrade|[^@!]+@referencePrice", "there are no block trades and no reference prices here"),
)
_REFUSALS = tuple((re.compile(pattern, re.ASCII), reason) for pattern, reason in _REFUSED)


def read_stream(state: State, address: StreamAddress, name: str) -> Stream:
    """Return the stream of a name, at the address of its connection.

    Raises:
        RefusedStreamError: when Binance has it and this exchange has not.
        UnknownStreamError: when Binance pushes nothing under this name, or not at this address.
    """
    reason = next((reason for pattern, reason in _REFUSALS if pattern.fullmatch(name)), None)
    if reason is not None:
        raise RefusedStreamError(reason)
    base, at, rest = name.partition("@")
    whole = name.startswith("!") or not at
    table, text = (_OF_ALL, name) if whole else (_OF_SYMBOL, rest)
    for kind in table:
        match = kind.pattern.fullmatch(text)
        # COIN-M has the mark prices of a contract, btcusd_perp, and of a pair, btcusd.
        is_named = whole or kind.name == "continuousKline" or kind.of_pair == _is_pair(address.market, base)
        if match is not None and is_named and address.market in kind.markets:
            _require_route(address, kind)
            symbol = "" if whole else _symbol(state, address.market, base, kind)
            return _make(name, address.market, kind, symbol, match.groupdict())
    raise UnknownStreamError(f"Binance has no such stream of {address.market.value}")


def _is_pair(market: StreamMarket, base: str) -> bool:
    return market is COIN_M and "_" not in base


def _make(name: str, market: StreamMarket, kind: _Kind, symbol: str, groups: dict[str, str | None]) -> Stream:
    speed = groups.get("speed")
    pause = int(speed) / 1000 if speed else dict(kind.pauses).get(market, kind.pause)
    repeat = 0
    if "fast" in groups:
        repeat = 1000 if groups["fast"] else 3000
    return Stream(name, market, kind.name, symbol, groups.get("detail") or "", pause, repeat)


def _require_route(address: StreamAddress, kind: _Kind) -> None:
    if address.market is not USD_M or address.route in (*kind.routes, BOTH):
        return
    if not address.route and "public" in kind.routes:
        return
    raise WrongRouteError(
        LEGACY if not address.route else f"it is at /{kind.routes[0]}, not at /{address.route}"
    )


def _symbol(state: State, market: StreamMarket, base: str, kind: _Kind) -> str:
    if base != base.lower():
        raise UnknownStreamError("names of streams have lower case symbols")
    name = base.upper()
    if kind.name == "continuousKline":
        name, contract, _ = name.partition("_PERPETUAL")
        if not contract:
            raise UnknownStreamError("its names have a pair and a contract, such as btcusdt_perpetual")
    if kind.of_pair and market is COIN_M:
        name = f"{name}_PERP"
    try:
        return state.symbol(name).name
    except ExchangeError:
        raise UnknownStreamError(f"there is no symbol {name}") from None
