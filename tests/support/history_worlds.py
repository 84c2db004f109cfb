"""The worlds of a history: an exchange, the clients on it, and what happens there unasked."""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Generator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from binance.exceptions import BinanceAPIException
from cover_oracle import open_positions
from virtual_time import PASSED, jump, new_loop

from exit_shim.testing import FakeAsyncClient, FakeClient, LocalExchange, faults

SLOW_READ_S = 1.5


class Violation(BaseException):
    """Something that must never be; no `except Exception` of a module's takes it."""


class Raised(Exception):  # noqa: N818 - what the second process was told, as the bot there saw it
    """An exception of the other process."""

    def __init__(self, kind: str, code: int | None, text: str) -> None:
        super().__init__(f"{kind} {code}: {text}")
        self.kind = kind
        self.code = code


class SecondProcess:
    """One long-lived process with a shim of its own on the same journal."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("second_process.py")
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([sys.executable, str(script)], **pipes)

    def ask(self, **command: Any) -> Any:
        """Have it do something, and return what came of it.

        Raises:
            Raised: What its client raised.
        """
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({**command, "passed": PASSED[0]}) + "\n")
        self.process.stdin.flush()
        said = json.loads(self.process.stdout.readline())
        if "kind" in said:
            raise Raised(said["kind"], said["code"], said["text"])
        return said["answer"]

    def close(self) -> None:
        """End it."""
        self.process.communicate(timeout=60)


class World:
    """One exchange, the clients on it, and what its modules remember."""

    def __init__(self, history: Any, *, hedge: bool) -> None:
        self.history = history
        self.hedge = hedge
        self.exchange = LocalExchange(hedge_mode=hedge, rate_limits=False, wallet=history.wallet)
        self.raw = FakeClient(exchange=self.exchange)
        self.memory: dict[Any, dict[str, Any]] = {}
        self.placed_by: dict[int, str] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop of its async calls."""
        if self._loop is None:
            self._loop = new_loop()
        return self._loop

    def close(self) -> None:
        """Let go of everything."""
        if self._loop is not None:
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
            self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.close()

    def advance(self, run: Generator[None, None, None], calls: int) -> None:
        """Let a routine go on for some calls; it ends at the first exception that it does not catch."""
        for _ in range(calls):
            try:
                next(run)
            except StopIteration:  # noqa: PERF203 - a bot's loop
                return
            except Exception:  # noqa: BLE001 - as the bot's main loop does: log it and go on
                return

    def note_placed(self, module: str) -> list[int]:
        """Remember who placed what rests now and did not before; return its ids."""
        engine = self.exchange.engine
        resting = [algo.algo_id for algo in engine.open_algos()]
        resting += [order.order_id for order in engine.open_orders()]
        new = [number for number in resting if number not in self.placed_by]
        self.placed_by.update(dict.fromkeys(new, module))
        return new

    @contextlib.contextmanager
    def answering(self, bot: Any) -> Iterator[None]:
        """Inside, a stop may go unanswered, whether or not the exchange takes it."""
        if bot.options["arrives"] is None:
            yield
            return
        fault = faults.unknown_error(executed=bot.options["arrives"])
        unanswered = self.exchange.faults.inject(fault, method="POST", path="algoOrder")
        try:
            yield
        finally:
            unanswered.cancel()  # of an order that was held back it is left over

    def resting_of(self, module: str, symbol: str) -> list[int]:
        """Return the ids of a module's conditional orders that rest."""
        resting = self.exchange.engine.open_algos(symbol)
        return [algo.algo_id for algo in resting if self.placed_by[algo.algo_id] == module]

    def call(self, bot: Any, method: str, params: dict[str, Any]) -> Any:
        """Have a module call its client."""
        raise NotImplementedError

    async def _limited(self, client: Any, limit: float, method: str, params: dict[str, Any]) -> Any:
        return await asyncio.wait_for(getattr(client, method)(**params), limit)

    def call_slowly(self, client: Any, limit: float, method: str, params: dict[str, Any]) -> Any:
        """Call an async client under a time limit, while reads are slow."""
        slow = self.exchange.faults.inject(faults.delayed(SLOW_READ_S), method="GET", times=None)
        try:
            return self.loop.run_until_complete(self._limited(client, limit, method, params))
        finally:
            slow.cancel()

    def note_refused(self, module: str, symbol: str, error: Exception | None) -> None:
        """Take note of an order that the exchange refused."""

    def restart(self) -> None:
        """End the bot's process and start it anew."""

    # What nobody here asked for

    def happen(self, what: str, options: dict[str, Any]) -> None:
        """Have the market or the app do something."""
        engine, symbol = self.exchange.engine, options["symbol"]
        if what == "wait":
            jump(options["seconds"] / 2)  # in each world
        elif what == "reads_fail":
            for path in ("openOrders", "openAlgoOrders", "positionRisk"):
                self.exchange.faults.inject(faults.service_unavailable(), method="GET", path=path, times=2)
        elif what == "restart":
            self.restart()
        elif what in {"move", "wick", "last", "mark", "trade"}:
            self._move(what, symbol, Decimal(str(options["by"])))
        elif what == "app_drop":
            for victim in self.resting_of(options["victim"], symbol):
                with contextlib.suppress(BinanceAPIException):
                    self.raw.futures_cancel_algo_order(algoId=victim)
        elif what == "app_clear":
            engine.cancel_all_algos(symbol)
            engine.cancel_all_orders(symbol)
        else:
            self.act_in_app(what, symbol, options)
        self.note_placed("app")

    def _move(self, what: str, symbol: str, by: Decimal) -> None:
        quote, start = self.exchange.engine.quote(symbol), self.exchange.engine.state.symbols[symbol].start
        if abs(quote.mark * (1 + by) / start - 1) > Decimal("0.2"):
            by = -by
        to = (quote.mark * (1 + by)).quantize(Decimal("0.1"))
        if what == "last":
            self.exchange.set_prices(symbol, last=to)
        elif what == "mark":
            self.exchange.set_prices(symbol, mark=to)
        elif what == "trade":
            self.exchange.trade(symbol, to, Decimal("0.003"))
        else:
            self.exchange.set_mark(symbol, to)
            if what == "wick":
                self.exchange.set_mark(symbol, quote.mark)

    def act_in_app(self, what: str, symbol: str, options: dict[str, Any]) -> None:
        """Place a stop in the app, or close there."""
        for position in open_positions(self.exchange, symbol):
            if position.side not in {"BOTH", options["side"]}:
                continue
            sides = {} if position.side == "BOTH" else {"positionSide": position.side}
            order = {"symbol": symbol, "side": position.exit_side, **sides}
            if what == "app_stop":
                mark = self.exchange.engine.quote(symbol).mark
                price = mark * (Decimal("0.95") if position.amount > 0 else Decimal("1.05"))
                order |= {"type": "STOP_MARKET", "stopPrice": f"{price:.1f}", "closePosition": "true"}
            else:
                reduce = {} if sides else {"reduceOnly": "true"}
                order |= {"type": "MARKET", "quantity": str(abs(position.amount)), **reduce}
            try:
                self.raw.futures_create_order(**order)
            except BinanceAPIException as refused:
                self.note_refused("app", symbol, refused)


class Unguarded(World):
    """The world in which a module's call goes to the exchange as it is."""

    def __init__(self, history: Any, *, hedge: bool) -> None:
        super().__init__(history, hedge=hedge)
        self.patient = FakeAsyncClient(exchange=self.exchange)

    def call(self, bot: Any, method: str, params: dict[str, Any]) -> Any:
        """Have a module call its client."""
        try:
            with self.answering(bot):
                return getattr(self.raw, method)(**params)
        finally:
            self.note_placed(bot.module)

    def call_within(self, bot: Any, limit: float, method: str, params: dict[str, Any]) -> Any:
        """The same, under a time limit."""
        try:
            with self.answering(bot):
                return self.call_slowly(self.patient, limit, method, params)
        finally:
            self.note_placed(bot.module)
