"""What may happen amid a look at the exchange, and between an order and the rules that only warn."""

import asyncio
import contextlib
import json
import shutil
import threading
import time

import pytest
from binance import Client
from guarded_bot import ENFORCE, LEGACY, LIMIT, OWNER, PART, STOP, SYMBOL, TARGET, Bot, Served
from odd_server import OddServer

import exit_shim
from exit_shim.guard.policy import parse_policy
from exit_shim.guard.rules.custom import forget_custom_rules
from exit_shim.runtime import background as dispatch
from exit_shim.testing import FakeAsyncClient, FakeClient, LocalExchange

ODD = ENFORCE + '[rules.ODD]\nlevel = "enforce"\n'


@pytest.fixture
def own_rules():
    yield
    forget_custom_rules()


def test_an_own_rule_that_only_warns_is_not_shown_the_signature(client, exchange, own_rules):
    """What a rule is shown of a raw request is what the bot gave, though the client signs in that dict."""
    seen = []

    @exit_shim.rule("LOOKS")
    def looks(case):
        seen.append(dict(case.params))
        return f"fields={json.dumps(dict(case.params), default=str)}"

    bot = Served(client, exchange, 'level = "warn"\n').enter()
    seen.clear()
    data = {**PART, "algoType": "CONDITIONAL", "triggerPrice": 50000}
    del data["stopPrice"]
    with exit_shim.attributed(OWNER):
        bot.client._request_futures_api("post", "algoOrder", True, data=data)
    bot.shim.close()
    assert seen
    assert not {"signature", "timestamp"} & set(seen[0])
    assert "signature" not in str(bot.records[-1].findings)


def drips(connection, _request):
    """A body of ten thousand bytes, one each half second."""
    connection.sendall(b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\nContent-Length: 10000\r\n\r\n[")
    for _ in range(240):
        time.sleep(0.5)
        connection.sendall(b" ")


def test_a_look_at_an_exchange_that_drips_has_an_end():
    """`LOOK_S` bounds the look before a cancel, though each read of it brings another byte in time."""
    with OddServer(drips) as server:
        client = Client("k" * 64, "s" * 64, ping=False)
        client.FUTURES_URL = server.url + "/fapi"
        shim = exit_shim.ExitShim(journal=False, policy=parse_policy(ENFORCE), mode="EXIT_BRAIN_V3", sinks=[])
        wrapped = shim.wrap(client)
        began = time.monotonic()
        done = threading.Event()

        def cancel():
            with contextlib.suppress(Exception), exit_shim.attributed(LEGACY):
                wrapped.futures_cancel_all_open_orders(symbol=SYMBOL, conditional=True)
            done.set()

        threading.Thread(target=cancel, daemon=True).start()
        while time.monotonic() - began < 60 and not any(r.startswith("DELETE") for r in server.requests):
            time.sleep(0.1)
        assert any(r.startswith("DELETE") for r in server.requests), server.requests[0][:40]


class Portfolio(FakeClient):
    """A client whose account is of portfolio margin: /fapi has nothing of it, /papi all."""

    def papi_create_um_conditional_order(self, **params):
        params["stopPrice"] = params.pop("stopPrice")
        params.pop("strategyType", None)
        answer = FakeClient.futures_create_order(self, **params, type="STOP_MARKET")
        return {"strategyId": answer["algoId"], "newClientStrategyId": answer["clientAlgoId"], **answer}

    def papi_cancel_um_conditional_order(self, **params):
        return FakeClient.futures_cancel_algo_order(self, algoId=params["strategyId"])

    def futures_get_open_orders(self, **_):
        return []

    def futures_get_open_algo_orders(self, **_):
        return []

    def futures_position_information(self, **_):
        return []


def test_portfolio_margin_is_not_judged_by_another_wallet(monkeypatch):
    """What /fapi lists says nothing of an order in /papi: no cover is seen, and nothing is held back."""
    monkeypatch.setattr("exit_shim.guard.book.READ_LAG_NS", 0)
    bot = Bot(ENFORCE + '[rules.STRIPPED]\nlevel = "enforce"\n', client=Portfolio)
    bot.enter()
    stop = {"symbol": SYMBOL, "side": "SELL", "strategyType": "STOP_MARKET", "stopPrice": 50000,
            "quantity": "0.010", "reduceOnly": "true"}  # fmt: skip
    placed = bot.by(OWNER, "papi_create_um_conditional_order", **stop)
    bot.by(LEGACY, "papi_cancel_um_conditional_order", symbol=SYMBOL, strategyId=placed["strategyId"])
    assert bot.records[-1].reasons[-1].fact("because") == "could_not_be_asked"


def test_a_denied_neighbour_does_not_make_an_allowed_order_warned(monkeypatch):
    """Enforcement switched off amid a look: what was allowed is recorded as allowed."""
    bot = Bot(ENFORCE).enter()
    switches = bot.shim.guard.switches
    switches.force_off(True)
    ids = [bot.by(module, **LIMIT)["orderId"] for module in (LEGACY, OWNER)]
    switches.force_off(False)
    real = bot.client.__wrapped__
    listing = real.futures_get_open_orders

    def off(**params):
        switches.force_off(True)
        return listing(**params)

    monkeypatch.setattr(real, "futures_get_open_orders", off)
    bot.records.clear()
    bot.by(LEGACY, "futures_cancel_orders", symbol=SYMBOL, orderidlist=ids)
    said = [(record.action, record.reasons) for record in bot.records]
    assert said
    assert all(action == "allow" or reasons for action, reasons in said), said


def test_a_countdown_may_be_disarmed(client, exchange):
    """countdownTime=0 takes nothing: denied, the countdown that it ends would fire and take all."""
    bot = Served(client, exchange, ENFORCE).enter()
    bot.by(LEGACY, "futures_countdown_cancel_all", symbol=SYMBOL, countdownTime=120_000)
    bot.by(
        OWNER,
        symbol=SYMBOL,
        side="SELL",
        type="LIMIT",
        price="70000",
        quantity="0.005",
        timeInForce="GTC",
        reduceOnly="true",
    )
    bot.by(LEGACY, "futures_countdown_cancel_all", symbol=SYMBOL, countdownTime=0)
    bot.shim.close()


class Stubborn(FakeAsyncClient):
    """An adapter's client whose listing goes on though it is cancelled, as retry loops do."""

    may_end = False

    async def futures_get_open_orders(self, **params):
        while not Stubborn.may_end:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.05)
        return await super().futures_get_open_orders(**params)


async def test_a_look_that_will_not_be_cancelled_is_left_behind(monkeypatch):
    """A look has an end, whatever the client makes of being cancelled."""
    monkeypatch.setattr(Stubborn, "may_end", False)
    bot = Bot("look_within_s = 0.5\n" + ENFORCE, client=Stubborn)
    asyncio.get_running_loop().call_later(60, setattr, Stubborn, "may_end", True)
    with contextlib.suppress(exit_shim.ExitOrderDenied):
        await bot.by(LEGACY, "futures_cancel_all_open_orders", symbol=SYMBOL, conditional=True)
    assert not Stubborn.may_end
    Stubborn.may_end = True


def test_a_rule_that_outlasts_close_does_not_open_the_journal_again(tmp_path, monkeypatch, own_rules):
    """After `close` nothing of the shim writes a file any more without an order."""
    monkeypatch.setattr(dispatch, "INLINE", False)

    @exit_shim.rule("SLOW")
    def slow(case):
        time.sleep(3)
        return "slow=yes"

    bot = Bot('level = "warn"\n', journal=tmp_path / "j.db").enter()
    bot.shim.flush(9)
    bot.by(OWNER, **STOP)
    bot.shim.close()
    shutil.rmtree(tmp_path)
    time.sleep(3)
    assert not tmp_path.exists(), list(tmp_path.rglob("*"))


def test_what_was_found_before_the_send_is_not_found_again(monkeypatch, own_rules):
    """Enforcement switched off between an order and its findings: each reason stands once."""
    monkeypatch.setattr(dispatch, "INLINE", False)

    @exit_shim.rule("ODD")
    def odd(case):
        return {"odd": "yes"}

    bot = Bot(ODD, own={"ODD"}).enter()
    bot.by(LEGACY, **STOP)  # goes out: no owner's stop
    bot.shim.guard.switches.force_off(True)
    bot.shim.flush()
    reasons = [str(reason) for reason in bot.records[-1].reasons]
    assert len(reasons) == len(set(reasons)), reasons


def test_what_was_not_asked_before_the_send_is_asked_after(monkeypatch, own_rules):
    """Enforcement switched on between an order and its findings: no rule has judged it, and then they do."""
    monkeypatch.setattr(dispatch, "INLINE", False)

    @exit_shim.rule("ODD")
    def odd(case):
        return {"odd": "yes"}

    bot = Bot(ODD, own={"ODD"}).enter()
    bot.shim.guard.switches.force_off(True)
    bot.by(OWNER, **STOP)
    bot.shim.guard.switches.force_off(False)
    bot.shim.flush()
    assert any(reason.code == "ODD" for reason in bot.records[-1].reasons), bot.records[-1].reasons


def test_the_kind_of_a_cancel_all_is_that_of_what_it_takes(tmp_path, monkeypatch):
    """The look finds a stop that the book did not know of: the record calls the cancel by no wrong kind."""
    monkeypatch.setattr("exit_shim.guard.book.READ_LAG_NS", 0)
    bot = Bot(ENFORCE, journal=tmp_path / "j.db").enter()
    bot.by(OWNER, **STOP)
    bot.by(OWNER, **TARGET)
    book = bot.shim.guard.book
    both = [live for position in book.positions() for live in book.exits_of(position)]
    (stop,) = [live for live in both if live.is_protective]
    book.compare(stop.account, SYMBOL, [live.target for live in both if live is not stop], time.time_ns())
    with contextlib.suppress(exit_shim.ExitOrderDenied):
        bot.by(LEGACY, "futures_cancel_all_open_orders", symbol=SYMBOL, conditional=True)
    intent = bot.records[-1].intent
    bot.shim.close()
    assert len(intent.targets) == 2
    assert intent.order.kind == "unknown"


def test_a_rule_is_asked_once_though_another_raises(own_rules, monkeypatch):
    """A rule of one's own may count what it is asked about."""
    asked = []

    @exit_shim.rule("A_COUNTS")
    def counts(case):
        asked.append(case)

    @exit_shim.rule("B_RAISES")
    def raises(case):
        raise ValueError("no")

    monkeypatch.setattr("exit_shim.runtime.internal_errors.RERAISE", False)
    bot = Bot('level = "warn"\n').enter()
    bot.by(OWNER, **STOP)
    bot.shim.flush()
    assert len(asked) == 1


async def test_a_task_that_is_cancelled_as_its_look_ends_is_cancelled():
    """Cancelled in the moment in which the look is answered, the caller's task ends, and nothing is sent."""
    bot = Bot(ENFORCE, client=Ending)
    task = asyncio.ensure_future(
        bot.by(LEGACY, "futures_cancel_all_open_orders", symbol=SYMBOL, conditional=True)
    )
    Ending.task = task
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await task
    assert task.cancelled()
    assert not [one for one in bot.exchange.requests if one.method == "DELETE"]


class Ending(FakeAsyncClient):
    """Has the task that asks cancelled as the last answer of the look comes."""

    task = None

    async def futures_position_information(self, **params):
        answer = await super().futures_position_information(**params)
        asyncio.get_running_loop().call_soon(Ending.task.cancel)
        return answer


@pytest.mark.parametrize("times_out", [False, True])
def test_a_stop_that_came_amid_a_look_is_looked_at_again(monkeypatch, times_out):
    """An owner's stop that is accepted while a cancel-all looks covers; where nothing is seen it goes out."""
    bot = Bot(ENFORCE).enter()
    real = bot.client.__wrapped__
    positions, placed = real.futures_position_information, []

    def slowly(**params):
        if not placed:
            placed.append(bot.by(OWNER, **STOP)["algoId"])
        if times_out:
            raise TimeoutError
        return positions(**params)

    monkeypatch.setattr(real, "futures_position_information", slowly)
    with contextlib.nullcontext() if times_out else pytest.raises(exit_shim.ExitOrderDenied):
        bot.by(LEGACY, "futures_cancel_all_open_orders", symbol=SYMBOL, conditional=True)
    assert placed
    assert ("PROTECTIVE_OVERRIDE" in str(bot.records[-1].intent.verdict.reasons)) is times_out
    assert [target.module for target in bot.records[-1].intent.targets] == [OWNER]
    assert bot.resting() == ([] if times_out else placed)


class Broker:
    """An adapter with the client's lists, and a cancel-all of its own that takes the conditional orders."""

    def __init__(self, *, exchange):
        self.inner = FakeClient(exchange=exchange)

    def futures_create_order(self, **params):
        return self.inner.futures_create_order(**params)

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def clear_stops(self, pair):
        return self.inner.futures_cancel_all_open_orders(symbol=pair, conditional=True)


def test_an_adapters_cancel_all_reaches_what_its_row_says():
    """`store` of a row with `parse` counts: an owner's stop is among what it takes."""
    exchange = LocalExchange()
    shim = exit_shim.ExitShim(journal=False, policy=parse_policy(ENFORCE), mode="EXIT_BRAIN_V3", sinks=[])
    row = exit_shim.Door(
        "clear_stops", "cancel", "symbol", store="conditional", parse=lambda pair: {"symbol": pair}
    )
    client = shim.wrap(Broker(exchange=exchange), doors=(row,))
    client.futures_create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01)
    with exit_shim.attributed(OWNER):
        client.futures_create_order(**STOP)
    with exit_shim.attributed(LEGACY), pytest.raises(exit_shim.ExitOrderDenied):
        client.clear_stops(SYMBOL)
    assert exchange.engine.open_algos()


class Bitcoin(FakeClient):
    """A client with a method of its own, whose name has another product's in it."""

    def stop_bitcoin(self, **params):
        return self.futures_create_order(**params)


def test_a_look_is_taken_for_doors_of_any_name():
    """Only the doors of other products are not looked for: "bitcoin" is no COIN-M."""
    shim = exit_shim.ExitShim(journal=False, policy=parse_policy(ENFORCE), mode="EXIT_BRAIN_V3", sinks=[])
    client = shim.wrap(Bitcoin(exchange=LocalExchange()), doors=(exit_shim.Door("stop_bitcoin"),))
    client.futures_create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01)
    with exit_shim.attributed(OWNER):
        client.stop_bitcoin(**STOP)
    with exit_shim.attributed(LEGACY), pytest.raises(exit_shim.ExitOrderDenied):
        client.stop_bitcoin(**PART)
