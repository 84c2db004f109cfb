"""What `whatif` says beforehand is what enforcing does, on histories that nobody chose.

Modules act at random on two exchanges, first while the guard only warns, then while it enforces. Once an
answer of the exchange differs, the two histories are no longer one, and the comparison ends.
"""

import contextlib
import random
from typing import Any, NamedTuple

import pytest
from binance.exceptions import BinanceAPIException
from guarded_bot import ENFORCE, LEGACY, OWNER, STRANGER, Bot

import exit_shim
from exit_shim.guard.policy import CompiledPolicy, parse_policy
from exit_shim.guard.whatif import Replay, replay, replay_records
from exit_shim.journal import JournalReader, read_records
from exit_shim.testing import LocalExchange, faults

MODULES, SHARES = (OWNER, LEGACY, "trailing_stop_manager", STRANGER), (4, 3, 2, 2)
ACTS = 30
LISTS = '[modes.EXIT_BRAIN_V3]\nowners = ["exit_brain_v3"]\n'
POLICIES = (
    ENFORCE,
    ENFORCE + 'on_deny = "return_none"\n',
    ENFORCE + 'on_deny = "simulate"\n',
    ENFORCE + "rollout = 0.5\n",
    ENFORCE + LISTS + 'legacy = ["position_monitor"]\nmonitors = ["trail*"]\nunknown = "deny"\n',
    ENFORCE
    + LISTS
    + '[[modes.EXIT_BRAIN_V3.scopes]]\nkinds = ["tp"]\nowners = ["position_monitor"]\n'
    + 'legacy = ["exit_brain_v3"]\n[[modes.EXIT_BRAIN_V3.scopes]]\nsymbols = ["ETH*"]\nlevel = "warn"\n',
    ENFORCE + '[rules.STRIPPED]\nlevel = "enforce"\n[rules.DUPLICATE_EXIT]\nlevel = "enforce"\n',
    *(
        f'[rules.{code}]\nlevel = "enforce"\n'
        for code in ("NAKED_EXIT", "DUPLICATE_EXIT", "CHURN", "STOP_WIDENED", "STRIPPED", "FOREIGN_CANCEL")
    ),
)
SYMBOLS = {"BTCUSDT": (60_000, "0.010"), "ETHUSDT": (3_000, "0.100")}


class Act(NamedTuple):
    """What a module does: with an order of its own, or `about` one that an earlier act has placed."""

    number: int
    module: str
    does: str
    kind: str | None
    about: int | None
    order: dict[str, Any]
    is_lost: bool


class History:
    """Acts drawn from a seed."""

    def __init__(self, seed):
        self.dice = random.Random(seed)
        self.hedge = self.dice.random() < 0.3
        self.placed = []
        self.acts = [self.act(number) for number in range(ACTS)]

    def act(self, number):
        module = self.dice.choices(MODULES, SHARES)[0]
        does = self.dice.choices(
            ("place", "batch", "cancel", "cancel_list", "cancel_all", "modify", "restart"),
            (50, 5, 18, 5, 10, 5, 5),
        )[0]
        if does in {"place", "batch"}:
            self.placed.append(number)
        about = self.dice.choice(self.placed[-6:]) if self.placed else None
        kind = self.dice.choice(("sl", *[None] * 6))
        return Act(number, module, does, kind, about, self.order(does), self.dice.random() < 0.06)

    def order(self, does):
        symbol = self.dice.choice(sorted(SYMBOLS))
        price, quantity = SYMBOLS[symbol]
        long = self.dice.random() < 0.5 or not self.hedge
        away = 1 if long else -1
        own = {"symbol": symbol, "side": "SELL" if long else "BUY", "quantity": quantity}
        position = {"positionSide": "LONG" if long else "SHORT"} if self.hedge else {}
        size = position or {"reduceOnly": "true"}
        higher = round(price * (1 + away * self.dice.choice((0.1, 0.2))), 1)
        lower = round(price * (1 - away * self.dice.choice((0.05, 0.1, 0.15))), 1)
        limit = own | size | {"type": "LIMIT", "price": str(higher), "timeInForce": "GTC"}
        if does == "batch":
            return limit
        whole = {"symbol": symbol, "side": own["side"], "closePosition": True} | position
        return self.dice.choice(
            (
                limit,
                own | size | {"type": "STOP_MARKET", "stopPrice": lower},
                whole | {"type": "STOP_MARKET", "stopPrice": lower},
                own | position | {"type": "STOP_MARKET", "stopPrice": lower},
                own | size | {"type": "TRAILING_STOP_MARKET", "callbackRate": 2},
                self.dice.choice((own | size, whole)) | {"type": "TAKE_PROFIT_MARKET", "stopPrice": higher},
            )
        )


class World:
    """An exchange with positions, and the bot that lives a history there."""

    def __init__(self, path, policy, history):
        self.path, self.policy, self.history = path, policy, history
        self.exchange = LocalExchange(hedge_mode=history.hedge, rate_limits=False)
        self.ids = {}
        self.bot = None
        self.restart()
        for symbol, (_, quantity) in SYMBOLS.items():
            for side, position in (("BUY", "LONG"), ("SELL", "SHORT")):
                entry = {"symbol": symbol, "side": side, "type": "MARKET", "quantity": quantity}
                if history.hedge:
                    self.bot.client.futures_create_order(**entry, positionSide=position)
                elif side == "BUY":
                    self.bot.client.futures_create_order(**entry)
        self.told = [self.live(act) for act in history.acts]
        self.bot.shim.close()

    def restart(self):
        if self.bot is not None:
            self.bot.shim.close()
            assert list(read_records(self.path)) is not None  # what the run has left is in the journal
        self.bot = Bot(self.policy, journal=self.path, exchange=self.exchange)
        if "enforce" in self.policy:
            # Its book is sure; under `warn` it knows no earlier run yet.
            self.bot.shim.process_feed.run_once()

    def live(self, act):
        """What was recorded of an act; None where the module has no id for it."""
        if act.does == "restart":
            self.restart()
            return []
        call = self.call_of(act)
        if call is None:
            return None
        self.bot.records.clear()
        if act.is_lost and act.does == "place" and act.order["type"] != "LIMIT":
            lost = faults.unknown_error(executed=True)
            self.exchange.faults.inject(lost, method="POST", path="algoOrder")
        with contextlib.suppress(BinanceAPIException), exit_shim.attributed(act.module, kind=act.kind):
            method, params = call
            answer = getattr(self.bot.client, method)(**params)
            if act.does in {"place", "batch"}:
                self.ids[act.number] = (answer[0] if act.does == "batch" else answer) or {}
        self.exchange.faults.clear()
        self.bot.shim.flush()
        return sorted(self.bot.records, key=lambda record: record.intent.batch_index or 0)

    def call_of(self, act):
        order = act.order
        if act.does == "place":
            return "futures_create_order", {**order}
        if act.does == "batch":
            return "futures_place_batch_order", {"batchOrders": [{**order}, {**order}]}
        if act.does == "cancel_all":
            which = {"symbol": order["symbol"], "conditional": order["type"] != "LIMIT"}
            return "futures_cancel_all_open_orders", which
        about = self.ids.get(act.about, {})
        if "algoId" in about and act.does == "cancel":
            return "futures_cancel_algo_order", {"algoId": about["algoId"]}
        if "orderId" not in about:
            return None
        own = {"symbol": about["symbol"], "orderId": about["orderId"]}
        price, quantity = SYMBOLS[about["symbol"]]
        change = {"side": about["side"], "price": price + 1000, "quantity": quantity}
        return {
            "cancel": ("futures_cancel_order", own),
            "cancel_list": (
                "futures_cancel_orders",
                {"symbol": own["symbol"], "orderidlist": [own["orderId"]]},
            ),
            "modify": ("futures_modify_order", own | change),
        }[act.does]


def fate(record):
    if record.outcome.result in {"denied", "simulated"}:
        return "answered" if record.reasons[0].code == "SIMULATED_ORDER" else "denied"
    return "overridden" if record.intent.verdict.has("PROTECTIVE_OVERRIDE") else "sent"


def predicted(path, policy, replaying):
    """What would become of each order of a journal."""
    into, fates = Replay(CompiledPolicy(parse_policy(policy))), []
    take = into.take
    into.take = lambda *order: fates.append(take(*order)[0])
    reader = JournalReader(path)
    history = reader.read_bodies() if replaying is replay else reader.read_records()
    assert sum(replaying(history, into)) == len(fates)
    assert into.internal_errors == 0
    return fates


@pytest.mark.parametrize("policy", POLICIES)
def test_whatif_predicts_what_enforcing_does(tmp_path, policy):
    """Order by order it says what is denied, what goes out all the same, and what is left alone."""
    compared = 0
    for seed in range(2):
        history, before = History(f"{seed} {policy}"), tmp_path / f"warn-{seed}.db"
        warned = World(before, policy.replace("enforce", "warn"), history)
        enforced = World(tmp_path / f"enforce-{seed}.db", policy, history)
        fates = predicted(before, policy, replay)
        assert fates == predicted(before, policy, replay_records)
        for act, then, now in zip(history.acts, warned.told, enforced.told, strict=True):
            said, fates = fates[: len(then or ())], fates[len(then or ()) :]
            if now is None:
                assert set(said) <= {"nothing"}, act
                continue
            if then is None:
                break
            assert said == list(map(fate, now)), act
            compared += len(said)
            if any(
                word not in {"denied", "answered"} and one.outcome.result != other.outcome.result
                for word, one, other in zip(said, then, now, strict=True)
            ):
                break
    assert compared
