"""The vocabulary of a bot, in which the promises are held with every client library."""

import asyncio
import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

CONDITIONAL = frozenset({"STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"})
"""The types of orders that wait in the Algo Service."""

SYMBOL = "BTCUSDT"
SIZE = "0.010"
CLOSING = {"symbol": SYMBOL, "side": "SELL"}


class Ids(NamedTuple):
    """The ids that an answer names."""

    order_id: int | None
    algo_id: int | None
    client_order_id: str | None


class Reply(NamedTuple):
    """What a bot got of a call: an answer, or an exception."""

    answer: Any
    error: Exception | None

    @property
    def is_error(self) -> bool:
        """Return whether the library raised."""
        return self.error is not None


class Driver:
    """One client library, as a bot uses it.

    A subclass writes `connect`, `place`, `batch`, `amend`, `cancel`, `cancel_all`, `query` in its library's
    idiom, from Binance's fields. Each returns the library's own answer, or the awaitable that the library
    returned; `call` awaits it. No exception is caught.
    """

    library: ClassVar[str]
    """The name of its `ClientSupport`."""

    ways: ClassVar[tuple[str, ...]] = ("wrap", "install")
    is_async: ClassVar[bool] = False
    can_be_asked: ClassVar[bool] = True
    """Whether a client shows what it takes to ask the exchange in its place: key, secret and address."""

    by_websocket: ClassVar[bool] = False
    """Whether single orders go by WebSocket."""
    hides: ClassVar[frozenset[str]] = frozenset()
    """Sure failures that the library's exception does not tell from doubtful ones: "unavailable"."""

    generates_client_ids: ClassVar[bool] = False
    refusals: ClassVar[tuple[type[BaseException], ...]] = ()
    """The library's exceptions for a refusal of the exchange; none where a refusal is returned."""

    client: Any = None
    _loop: asyncio.AbstractEventLoop | None = None

    # The vocabulary

    def connect(self, url: str, key: str, secret: str, timeout: float = 30) -> None:
        """Make the client."""
        raise NotImplementedError

    def place(self, fields: Mapping[str, Any]) -> Any:
        """Place an order from Binance's fields."""
        raise NotImplementedError

    def batch(self, orders: list[dict[str, Any]]) -> Any:
        """Place ordinary orders at once."""
        raise NotImplementedError

    def amend(self, order_id: int, fields: Mapping[str, Any]) -> Any:
        """Change price and quantity of an ordinary order."""
        raise NotImplementedError

    def cancel(self, ids: Ids, symbol: str = SYMBOL) -> Any:
        """Cancel an order by one of its ids."""
        raise NotImplementedError

    def cancel_all(self, store: str, symbol: str = SYMBOL) -> Any:
        """Cancel all orders of a store, "orders" or "conditional"."""
        raise NotImplementedError

    def query(self, ids: Ids, symbol: str = SYMBOL) -> Any:
        """Ask for an order by one of its ids."""
        raise NotImplementedError

    def disconnect(self) -> Any:
        """Close the client's connections."""

    def place_stop(self, price: float, **more: Any) -> Any:
        """Place a stop on the whole position."""
        fields = {"type": "STOP_MARKET", "triggerPrice": price, "closePosition": "true"}
        return self.place({**CLOSING, **fields, **more})

    def place_target(self, price: float, **more: Any) -> Any:
        """Place a take profit on a part of the position."""
        fields = {"type": "TAKE_PROFIT_MARKET", "triggerPrice": price, "quantity": SIZE, "reduceOnly": "true"}
        return self.place({**CLOSING, **fields, **more})

    def place_trailing(self, rate: float, **more: Any) -> Any:
        """Place a trailing stop."""
        fields = {
            "type": "TRAILING_STOP_MARKET",
            "callbackRate": rate,
            "quantity": SIZE,
            "reduceOnly": "true",
        }
        return self.place({**CLOSING, **fields, **more})

    def place_limit_exit(self, price: float, **more: Any) -> Any:
        """Place a limit order that closes."""
        return self.place({**CLOSING, **limit_exit(price), **more})

    def market_close(self, **more: Any) -> Any:
        """Close a part of the position at once."""
        return self.place({**CLOSING, "type": "MARKET", "quantity": SIZE, "reduceOnly": "true", **more})

    def open_position(self, size: str = "0.050", **more: Any) -> Any:
        """Buy at market."""
        return self.place({"symbol": SYMBOL, "side": "BUY", "type": "MARKET", "quantity": size, **more})

    # Readers

    def read(self, answer: Any) -> Any:
        """Return Binance's own answer in the library's."""
        return answer

    def ids_of(self, answer: Any) -> Ids:
        """Return the ids that an answer of the library names."""
        return ids_in(self.read(answer))

    def error_code_of(self, error: BaseException) -> int | None:
        """Return Binance's code in the library's exception."""
        code = getattr(error, "code", None)
        return code if isinstance(code, int) else None

    def code_of(self, reply: Reply) -> int | None:
        """Return Binance's code of a refusal, raised or returned; None for no refusal."""
        if reply.error is not None:
            return self.error_code_of(reply.error)
        try:
            read = self.read(reply.answer)
        except ValueError:  # a page
            return None
        return int(read["code"]) if isinstance(read, dict) and int(read.get("code", 200)) < 0 else None

    # Machinery

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop of the client's awaitables."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop

    def call(self, word: str, *args: Any, **options: Any) -> Any:
        """Say a word of the vocabulary, and return the library's own answer."""
        return self.finish(getattr(self, word)(*args, **options))

    def attempt(self, word: str, *args: Any, **options: Any) -> Reply:
        """Say a word of the vocabulary, and return what came of it."""
        try:
            return Reply(self.call(word, *args, **options), None)
        except Exception as error:  # noqa: BLE001 - it is what the test is about
            return Reply(None, error)

    def finish(self, made: Any) -> Any:
        """Await what a library returned, if it is to be awaited."""
        if not inspect.isawaitable(made):
            return made
        # In a task that nobody awaits, so that nothing of ours is on the stack where the library sends.
        task = asyncio.ensure_future(made, loop=self.loop)
        self.loop.run_until_complete(asyncio.wait([task]))
        return task.result()

    def cover(self, way: str, shim: Any) -> None:
        """Put the client, or the classes of its library, behind a shim."""
        if way == "wrap":
            self.client = shim.wrap(self.client)
        else:
            shim.install(raw=way == "raw")

    def close(self) -> None:
        """Close the client, and the loop."""
        if self.client is not None:
            self.finish(self.disconnect())
        if self._loop is not None:
            self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.close()


def limit_exit(price: Any) -> dict[str, Any]:
    """Return the fields of a limit order that closes."""
    return {"type": "LIMIT", "timeInForce": "GTC", "price": price, "quantity": SIZE, "reduceOnly": "true"}


def ids_in(answer: Any) -> Ids:
    """Return the ids in an answer of Binance's."""
    get = answer.get if isinstance(answer, dict) else lambda _: None
    numbers = (int(value) if (value := get(name)) else None for name in ("orderId", "algoId"))
    return Ids(*numbers, get("clientAlgoId") or get("clientOrderId"))


def by_ids(ids: Ids) -> dict[str, Any]:
    """Return the fields that name an order of either store."""
    if ids.algo_id is not None:
        return {"algoId": ids.algo_id}
    if ids.order_id is not None:
        return {"orderId": ids.order_id}
    return {"origClientOrderId": ids.client_order_id}
