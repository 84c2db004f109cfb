"""A bot with a guard of its own, a position, and the orders that it places."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from types import MethodType

from record_sink import keep_record

import exit_shim
from exit_shim.domain.events import GuardFinding
from exit_shim.guard.policy import parse_policy
from exit_shim.testing import FakeClient, LocalExchange

STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "stopPrice": 50000, "closePosition": True}
TARGET = {**STOP, "type": "TAKE_PROFIT_MARKET", "stopPrice": 70000}
LIMIT = {
    "symbol": "BTCUSDT",
    "side": "SELL",
    "type": "LIMIT",
    "price": "70000",
    "quantity": "0.005",
    "timeInForce": "GTC",
    "reduceOnly": "true",
}
COVER = {key: value for key, value in STOP.items() if key != "closePosition"} | {
    "stopPrice": 48000,
    "quantity": "0.010",
    "reduceOnly": "true",
}
ENFORCE = 'level = "enforce"\n'
LEGACY, OWNER = "position_monitor", "exit_brain_v3"
SYMBOL, STRANGER = "BTCUSDT", "exposure_guard"
PART = {key: value for key, value in STOP.items() if key != "closePosition"} | {
    "quantity": "0.010",
    "reduceOnly": "true",
}
MONITOR = ENFORCE + 'on_deny = "simulate"\n'


def patient(policy):
    """A policy whose looks wait longer: a loaded machine may take its time."""
    return policy if "look_within_s" in policy else f"look_within_s = 10\n{policy}"


class Bot:
    """A shim of its own around a client in this process, with a position."""

    def __init__(self, policy=ENFORCE, journal=False, exchange=None, client=FakeClient, own=(), **options):
        self.records = []
        self.findings = []
        self.covering = None
        parsed = parse_policy(patient(policy), own_rules=frozenset(own))
        self.shim = exit_shim.ExitShim(journal=journal, policy=parsed, mode="EXIT_BRAIN_V3", sinks=[self])
        self.exchange = exchange or LocalExchange(**options)
        self.client = self.shim.wrap(client(exchange=self.exchange))

    @property
    def records(self):
        self.shim.flush()
        return self._records

    @records.setter
    def records(self, records):
        self._records = records

    def on(self, recorded):
        if isinstance(recorded.event, GuardFinding):
            self.findings.append(recorded.event)
        else:
            keep_record(self._records, recorded)

    def enter(self):
        self.client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
        return self

    def by(self, module, method="futures_create_order", **params):
        with exit_shim.attributed(module):
            return getattr(self.client, method)(**params)

    def cover(self):
        """Have the owner cover the position, with a stop on its quantity; `resting` leaves it out."""
        self.covering = self.by(OWNER, **COVER)["algoId"]
        return self

    def resting(self):
        return [algo.algo_id for algo in self.exchange.engine.open_algos() if algo.algo_id != self.covering]


class Served(Bot):
    """The same bot with a genuine client on an exchange over HTTP."""

    def __init__(self, client, exchange, policy=ENFORCE):
        super().__init__(policy, exchange=exchange, client=lambda **_: client)


@contextlib.contextmanager
def held_up(bot, monkeypatch):
    """Have the owner place its stop on a thread, whose answer comes when the block ends."""
    real, arrived, go = bot.client.__wrapped__, threading.Event(), threading.Event()
    place = real.futures_create_order

    def slow(_, **params):
        answer = place(**params)
        if params["type"] == STOP["type"]:
            arrived.set()
            assert go.wait(60)
        return answer

    with monkeypatch.context() as patched, ThreadPoolExecutor(1) as pool:
        patched.setattr(real, "futures_create_order", MethodType(slow, real))
        placing = pool.submit(bot.by, OWNER, **STOP, clientAlgoId="own")
        assert arrived.wait(60)
        try:
            yield placing
        finally:
            go.set()
