"""Whether a request that looks like a futures order of Binance's goes to spot or to another exchange."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Final

from exit_shim.scan.code_index import CallSite, CodeIndex, dotted_name

_SPOT: Final = frozenset({"spot", "margin"})
_FUTURES: Final = frozenset(
    {
        *("futures", "future", "um", "cm", "usdm", "coinm", "usds", "perp", "perpetual", "swap"),
        *("linear", "inverse", "fapi", "dapi", "papi", "derivatives"),
    }
)
_OTHERS: Final = frozenset(
    {
        *("ascendex", "aster", "asterdex", "bingx", "bitfinex", "bitget", "bithumb", "bitmart", "bitmex"),
        *("bitrue", "bitstamp", "bittrex", "bitunix", "blofin", "bybit", "coinbase", "coindcx", "coinex"),
        *("coinw", "deribit", "dydx", "ftx", "gateio", "gdax", "htx", "huobi", "hyperliquid", "kraken"),
        *("kucoin", "lbank", "lighter", "mexc", "okex", "okx", "paradex", "phemex", "poloniex", "upbit"),
        *("weex", "whitebit"),
    }
)
"""Other exchanges, as functions, classes and files are named by them."""

_OTHER_EXCHANGE: Final = re.compile("bybit|okx|bitget", re.IGNORECASE)
"""Those with WebSocket messages of the same names, anywhere in a text; other names are parts of words."""

_WORD: Final = re.compile(r"[A-Z]*[a-z]+")
_SPOT_ADDRESS: Final = re.compile(r"//api\d?\.binance|/s?api/v[13]\b|/sapi\b|ws-api\.binance")
_HOST: Final = re.compile(r"https?://[fdp]api[\w-]*\.[\w.-]+")
_BINANCE: Final = re.compile(r"//[\w.:/-]*binance", re.IGNORECASE)
_TRADES_FUTURES: Final = re.compile(
    r"usdm|coin_?m\b|\b[fdp]api|set_?leverage|leverage[\"']?\]?\s*[=:]|reduce_?only|position_?side|margin_?mode"
    r"|:USDT|defaultType[\"']?\]?\s*[:=](?!\s*[\"']?(?:spot|margin))"
    r"|(?:type|mode|market)\s*[:=]\s*(?:futures?|swap|delivery|linear)\b"  # YAML has no quotes
    r"|[\"'](?:futures?|swap|delivery|perpetual)[\"']|\bfutures_|perpetual"
    r"|binance.?futures|futures (?:trad|order|market|contract|account|position)",
    re.IGNORECASE,
)


class Elsewhere:
    """Tell the futures orders of Binance's from other orders of the same names and paths.

    Args:
        index: The index of all files.
    """

    def __init__(self, index: CodeIndex) -> None:
        self._index = index

    @cached_property
    def trades_futures(self) -> bool:
        """Return whether code or settings speak of futures; a client of ccxt is for spot by default."""
        code = (file.source.text for file in self._index.files)
        return any(_TRADES_FUTURES.search(text) for text in (*code, *self._index.other_texts))

    @cached_property
    def _hosts(self) -> bool | None:
        """Return whether the bot has addresses of another futures API; None without any."""
        return _has_other_address([file.source.text for file in self._index.files])

    def is_other_exchange(self, call: CallSite) -> bool:
        """Return whether a request goes to another exchange that copied Binance's futures API."""
        by_name = names_other_exchange(call)
        if by_name is not None:
            return by_name
        of_file = _has_other_address([call.file.source.text])
        return bool(self._hosts if of_file is None else of_file)

    def is_message_of_others(self, call: CallSite) -> bool:
        """Return whether a WebSocket message belongs to spot or another exchange, of the same names."""
        by_name = _is_spot_by_name(call)
        if by_name is not None:
            return by_name
        text = call.file.source.text
        is_spot = "ws-api" in text and not re.search("ws-[fd]api", text)
        return is_spot or ("binance" not in text.lower() and _OTHER_EXCHANGE.search(text) is not None)

    def is_short_path_of_futures(self, call: CallSite) -> bool:
        """Return whether a path without `/fapi/v1/` is one, by names around it and addresses."""
        text, is_other = call.file.source.text, names_other_exchange(call)
        if is_other or ("fapi" not in text and is_other is None):
            return False
        by_name = _is_spot_by_name(call)
        if by_name is not None:
            return not by_name
        return "fapi" in text and not _SPOT_ADDRESS.search(text)


def names_other_exchange(call: CallSite) -> bool | None:
    """Return whether names around a call mean another exchange, the nearest first; None if none tells."""
    receiver = dotted_name(call.node.func) or ""
    for name in (*reversed(receiver.split(".")[:-1]), *_names_around(call)):
        words = _words(name)
        if "binance" in words:
            return False
        if words & _OTHERS:
            return True
    return None


def _has_other_address(texts: list[str]) -> bool | None:
    """Return whether texts have another futures API's address and none of Binance's; None without either."""
    if any(_BINANCE.search(text) for text in texts):
        return False
    return True if any(_HOST.search(text) for text in texts) else None


def _is_spot_by_name(call: CallSite) -> bool | None:
    """Return whether names around a call mean spot, the nearest first; None if none tells."""
    for name in _names_around(call):
        words = _words(name)
        if words & _FUTURES:
            return False
        if words & _SPOT:
            return True
    return None


def _names_around(call: CallSite) -> list[str]:
    """Return the names of the function, the class, the file and its folders, nearest first."""
    names = [call.function.name] if call.function is not None else []
    names += [call.owner.name] if call.owner is not None else []
    return [*names, *reversed(call.file.source.name.removesuffix(".py").split("/"))]


def _words(name: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(name)}
