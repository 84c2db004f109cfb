"""A local exchange as the executor's adversary sees it: its own state, its requests, and what goes wrong.

Requests reach the handlers of the HTTP API directly: no socket, no signature, a clock that a test moves.
"""

import json
import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec
import requests
from binance.exceptions import BinanceAPIException

from exit_shim.exchange.engine.params import Params
from exit_shim.exchange.http.api_call import ApiCall
from exit_shim.exchange.http.routes import ROUTES
from exit_shim.executor.requests import Request
from exit_shim.testing import Exchange, ExchangeError

START = 1_790_000_000_000
ROUND_TRIP_MS = 20
TICK, STEP = Decimal("0.1"), Decimal("0.001")
NOTHING = Decimal(0)

PATHS = {
    "positions": ("GET", 3, "positionRisk"),
    "orders": ("GET", 1, "openOrders"),
    "algos": ("GET", 1, "openAlgoOrders"),
    "place": ("POST", 1, "order"),
    "amend": ("PUT", 1, "order"),
    "cancel": ("DELETE", 1, "order"),
    "cancel_algo": ("DELETE", 1, "algoOrder"),
    "find": ("GET", 1, "order"),
    "find_algo": ("GET", 1, "algoOrder"),
    "rules": ("GET", 1, "exchangeInfo"),
    "mark": ("GET", 1, "premiumIndex"),
    "commission": ("GET", 1, "commissionRate"),
    "income": ("GET", 1, "income"),
}

REFUSALS = {
    "place": (-1001, -1008, -1003, -1015, -2021, -4130, -4045, -4509, -4118, -2019, -1021),
    "amend": (-1008, -1003, -5027),
    "cancel": (-1008, -1003),
    "cancel_algo": (-1008, -1003),
}
STATUSES = {-1001: 503, -1008: 503, -1003: 429, -1015: 429}


class Stop(NamedTuple):
    """A live stop: where it fires, on how much (None: everything), and whether it is a trailing one."""

    trigger: Decimal
    quantity: Decimal | None
    is_trailing: bool


class View(NamedTuple):
    """A position with its live stops, by the engine's own state."""

    symbol: str
    position_side: str
    amount: Decimal
    stops: tuple[Stop, ...]

    @property
    def size(self) -> Decimal:
        """Return its size."""
        return abs(self.amount)

    def covered(self, level: Decimal | None = None) -> Decimal:
        """Return how much the stops close as the price runs through them, up to a level if one is given."""
        falls = self.amount > 0
        stops = [
            stop for stop in self.stops if level is None or (stop.trigger - level) * (1 if falls else -1) >= 0
        ]
        left = self.size
        for stop in sorted(stops, key=lambda stop: stop.trigger, reverse=falls):
            if stop.quantity is None:
                return self.size
            if self.position_side == "BOTH":
                left -= min(left, stop.quantity)
            elif stop.quantity <= left:
                left -= stop.quantity
        return self.size - left

    @property
    def bare(self) -> Decimal:
        """Return how much no stop closes."""
        return self.size - self.covered()


class Market:
    """The exchange, its clock, and requests to it that may go wrong.

    Args:
        hedge_mode: whether the account is in hedge mode.
        trigger_delay: milliseconds from the reach of a trigger to the order.
        wallet: the opening balance.
    """

    def __init__(self, *, hedge_mode: bool, trigger_delay: int = 0, wallet: int = 10_000_000) -> None:
        self.now = START
        self.engine = Exchange(
            clock=lambda: self.now, hedge_mode=hedge_mode, trigger_delay=trigger_delay, wallet=wallet
        )
        self.sides = ("LONG", "SHORT") if hedge_mode else ("BOTH",)
        self.hedge_mode = hedge_mode
        self.symbol = "BTCUSDT"
        self.numbers = 0

    # Seeing

    def views(self) -> dict[str, View]:
        """Return the positions by position side, flat ones too."""
        return {side: self.view(side) for side in self.sides}

    def view(self, side: str) -> View:
        """Return one position."""
        amount = self.engine.position(self.symbol, side).amount
        exit_side = "SELL" if amount > 0 else "BUY"
        stops = [
            Stop(trigger_of(algo), None if algo.close_position else algo.quantity, is_trailing(algo))
            for algo in self.engine.all_algos(self.symbol)
            if algo.status in {"NEW", "TRIGGERING"}
            and (algo.side, algo.position_side) == (exit_side, side)
            and algo.type in {"STOP_MARKET", "TRAILING_STOP_MARKET"}
            and (algo.type == "STOP_MARKET" or algo.activated)
            and (side != "BOTH" or algo.reduce_only or algo.close_position)
        ]
        return View(self.symbol, side, amount, tuple(stops))

    def open_orders(self, side: str | None = None) -> list[Any]:
        """Return what rests in both stores."""
        resting = [*self.engine.open_orders(self.symbol), *self.engine.open_algos(self.symbol)]
        return [order for order in resting if side in {None, order.position_side}]

    def own_orders(self, side: str | None = None) -> list[Any]:
        """Return what rests of the executor."""
        return [order for order in self.open_orders(side) if order.client_id.startswith("xs-")]

    @property
    def mark(self) -> Decimal:
        """Return the mark price."""
        return Decimal(self.engine.quote(self.symbol).mark)

    # Asking

    def ask(self, request: Request) -> Any:
        """Send a request, and return its answer.

        Raises:
            ExchangeError: the exchange refused it.
        """
        self.now += ROUND_TRIP_MS
        self.engine.run_due()
        method, version, path = PATHS[request.name]
        params = {name: str(value) for name, value in request.params.items()}
        if request.name == "place" and params["type"] in {"STOP_MARKET", "TRAILING_STOP_MARKET"}:
            path = "algoOrder"
            params |= {"algoType": "CONDITIONAL"}
            if "stopPrice" in params:
                params["triggerPrice"] = params.pop("stopPrice")
        handler = ROUTES[method, f"/fapi/v{version}/{path}"].handler
        # Answers may hold parts that are encoded already, as the gate sends them.
        return msgspec.json.decode(
            msgspec.json.encode(handler(ApiCall(self.engine, Params(params), "local-key")))
        )

    # Others at work

    def others(self, side: str, direction: str, quantity: Decimal, **more: Any) -> None:
        """Send an order of somebody else, which may be refused."""
        self.numbers += 1
        params = {
            "symbol": self.symbol,
            "side": direction,
            "type": "MARKET",
            "quantity": quantity,
            "newClientOrderId": f"other-{self.numbers}",
            "positionSide": side,
            **more,
        }
        if "STOP" in params["type"] or "TRAILING" in params["type"]:
            params["clientAlgoId"] = params.pop("newClientOrderId")
        try:
            self.ask(Request("place", {name: value for name, value in params.items() if value is not None}))
        except ExchangeError:
            return

    def cancel(self, order: Any) -> None:
        """Cancel an order on behalf of somebody else."""
        try:
            if hasattr(order, "trigger_price"):
                self.ask(Request("cancel_algo", {"algoId": order.algo_id}))
            else:
                self.ask(Request("cancel", {"symbol": order.symbol, "orderId": order.order_id}))
        except ExchangeError:
            return


def trigger_of(algo: Any) -> Decimal:
    """Return where a stop fires now; a trailing one's follows the best price seen."""
    if not is_trailing(algo):
        return Decimal(algo.trigger_price)
    rate = algo.callback_rate / 100
    return Decimal(algo.extreme * (1 - rate if algo.side == "SELL" else 1 + rate))


def is_trailing(algo: Any) -> bool:
    """Return whether a conditional order is a trailing stop."""
    return bool(algo.type == "TRAILING_STOP_MARKET")


def api_error(code: int, message: str = "made up", status: int = 400) -> BinanceAPIException:
    """Return the exception of python-binance for a refusal."""
    text = json.dumps({"code": code, "msg": message})
    return BinanceAPIException(SimpleNamespace(text=text), status, text)


class Faults:
    """Draw what goes wrong with requests.

    Args:
        draw: where chance comes from.
        rate: how often anything does.
    """

    def __init__(self, draw: random.Random, rate: float) -> None:
        self.draw = draw
        self.rate = rate
        self.happened = 0

    def ask(self, market: Market, request: Request, sent: Callable[[], None] = lambda: None) -> Any:
        """Return the answer to a request, or the exception of one that fails; `sent` runs once it arrived."""
        kind = self._kind(request)
        if kind is not None:
            self.happened += 1
        if kind == "lost":
            market.now += 1_000
            return requests.ReadTimeout("made up")
        if kind == "refused":
            code = self.draw.choice(REFUSALS.get(request.name, (-1003,)))
            return api_error(code, status=STATUSES.get(code, 400))
        try:
            answer = market.ask(request)
        except ExchangeError as error:
            return api_error(error.code, error.msg, error.http_status)
        finally:
            sent()
        if kind == "late":
            market.now += 1_000
            return requests.ReadTimeout("made up")
        if kind == "lacks one" and answer:
            answer = list(answer)
            del answer[self.draw.randrange(len(answer))]
        return answer

    def _kind(self, request: Request) -> str | None:
        if self.draw.random() >= self.rate:
            return None
        if request.changes:
            return self.draw.choice(("lost", "late", "late", "refused", "refused"))
        if request.name in {"orders", "algos"}:
            return self.draw.choice(("lost", "refused", "lacks one"))
        return self.draw.choice(("lost", "refused"))


def swing(draw: random.Random, price: Decimal, furthest: float) -> Decimal:
    """Return a price on the tick within a distance of another."""
    moved = price * Decimal(str(1 + draw.uniform(-furthest, furthest)))
    return (moved / TICK).to_integral_value() * TICK


def path(draw: random.Random, start: Decimal, steps: int, furthest: float) -> Iterator[Decimal]:
    """Yield the prices of a walk."""
    price = start
    for _ in range(steps):
        price = swing(draw, price, furthest)
        yield price
