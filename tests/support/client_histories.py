"""Histories (see histories.py) lived through any client library, over HTTP.

    python tests/support/client_histories.py ccxt --histories 200 --seed 0

The routines of modules speak python-binance's method names; `Translated` says the same through a driver.
"""

import argparse
import contextlib
import sys
import time
from typing import Any

import histories
from client_drivers import DRIVERS, RAW, make_driver
from client_drivers.driver import Ids
from history_guarded import Guarded
from history_worlds import Unguarded

import exit_shim


class Returned(Exception):  # noqa: N818 - a refusal that a transport returned
    """A refusal of the exchange that was an answer, as bots that send raw requests raise it."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Translated:
    """The methods of python-binance that routines call, through a driver.

    Args:
        driver: The library.
        exchange: The exchange, for the symbol of an order that a call names by its id alone.
    """

    def __init__(self, driver: Any, exchange: Any) -> None:
        self._driver, self._exchange = driver, exchange

    def _say(self, word: str, *args: Any) -> Any:
        reply = self._driver.attempt(word, *args)
        code = self._driver.code_of(reply)
        if reply.error is not None:
            with contextlib.suppress(AttributeError):
                reply.error.code = code
            raise reply.error
        if reply.answer is None:
            return None
        read = self._driver.read(reply.answer)
        if code is not None:
            raise Returned(code, str(read))
        return read

    def futures_create_order(self, **fields: Any) -> Any:
        """Place an order."""
        return self._say("place", fields)

    def futures_place_batch_order(self, batchOrders: list[Any]) -> Any:  # noqa: N803 - the client's
        """Place several."""
        return self._say("batch", batchOrders)

    def futures_modify_order(self, orderId: int, **fields: Any) -> Any:  # noqa: N803
        """Change one."""
        return self._say("amend", orderId, fields)

    def futures_cancel_algo_order(self, **ids: Any) -> Any:
        """Cancel a conditional order."""
        return self._say("cancel", *self._named(ids))

    def futures_cancel_all_open_orders(self, symbol: str, *, conditional: bool) -> Any:
        """Cancel all of a symbol."""
        return self._say("cancel_all", "conditional" if conditional else "orders", symbol)

    def futures_get_algo_order(self, **ids: Any) -> Any:
        """Ask for a conditional order."""
        return self._say("query", *self._named(ids))

    def futures_get_order(self, symbol: str, orderId: int) -> Any:  # noqa: N803
        """Ask for an ordinary order."""
        return self._say("query", Ids(orderId, None, None), symbol)

    def _named(self, ids: dict[str, Any]) -> tuple[Ids, str]:
        number, name = ids.get("algoId"), ids.get("clientAlgoId")
        open_ones = self._exchange.engine.open_algos()
        symbols = [algo.symbol for algo in open_ones if algo.algo_id == number or algo.client_id == name]
        return Ids(None, number, name), symbols[0] if symbols else "BTCUSDT"


class BehindTheShim(Guarded):
    """The world behind the guard, through a driver."""

    name = ""
    driver: Any = None

    def begin(self) -> None:
        """Start a shim, and connect a client behind it."""
        if self.driver is None:
            self.exchange.start()
        else:
            exit_shim.uninstall()
            self.driver.close()
        self.shim = exit_shim.ExitShim(**self.options, resolve=False, sinks=[])
        self.driver = make_driver(self.name)
        self.driver.connect(self.exchange.url, "local-key", "local-secret")
        self.driver.cover("raw" if self.name in RAW else "wrap", self.shim)
        self.client = Translated(self.driver, self.exchange)
        self.patient = None

    def close(self) -> None:
        """Let go of everything."""
        exit_shim.uninstall()
        self.driver.close()
        super().close()


class Bare(Unguarded):
    """The world without a shim, through the same driver."""

    name = ""

    def __init__(self, history: Any, *, hedge: bool) -> None:
        super().__init__(history, hedge=hedge)
        if self.name in RAW:
            return  # a covered transport is covered in the whole process, so the calls come without one
        self.exchange.start()
        self.driver = make_driver(self.name)
        self.driver.connect(self.exchange.url, "local-key", "local-secret")
        self.app, self.bots = self.raw, Translated(self.driver, self.exchange)

    def call(self, bot: Any, method: str, params: dict[str, Any]) -> Any:
        """Have a module call its client."""
        if self.name in RAW:
            return super().call(bot, method, params)
        try:
            with self.answering(bot):
                return getattr(self.bots, method)(**params)
        finally:
            self.note_placed(bot.module)

    def call_within(self, bot: Any, limit: float, method: str, params: dict[str, Any]) -> Any:
        """The same: time limits have tests of their own."""
        return self.call(bot, method, params)

    def close(self) -> None:
        """Let go of everything."""
        super().close()
        if self.name not in RAW:
            self.driver.close()
            self.exchange.stop()


def lockstep_of(name: str) -> type[histories.Lockstep]:
    """Return what runs histories through a driver."""
    worlds = {
        "guarded": type("G", (BehindTheShim,), {"name": name}),
        "bare": type("B", (Bare,), {"name": name}),
    }
    return type("ClientLockstep", (histories.Lockstep,), worlds)


def main() -> int:
    """Live many histories, and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("driver", choices=sorted(DRIVERS))
    parser.add_argument("--histories", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--level", default="enforce")
    parser.add_argument("--no-shrink", action="store_true")
    asked = parser.parse_args()
    began = time.perf_counter()
    seeds = range(asked.seed, asked.seed + asked.histories)
    lives = (histories.make(seed, second_process=False, level=asked.level) for seed in seeds)
    found = histories.live(lives, shrinks=not asked.no_shrink, lockstep=lockstep_of(asked.driver))
    lines = [f"\nFAILED {failure}\n" for failure in found.failures]
    lines += [f"  {found.total[key]:6} {key}" for key in sorted(found.total)]
    lines.append(
        f"{asked.driver}: {len(seeds)} histories, seeds {seeds[0]} to {seeds[-1]}, "
        f"{time.perf_counter() - began:.0f} s, {len(found.failures)} failures"
    )
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if found.failures else 0


if __name__ == "__main__":
    sys.exit(main())
