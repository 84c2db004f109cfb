"""Each rule from both sides, by orders of named modules on the local exchange."""

import threading
import time

import pytest
from binance.exceptions import BinanceAPIException
from log_capture import captured_events
from record_sink import keep_record

import exit_shim
from exit_shim.domain.attributions import Attribution
from exit_shim.domain.events import GuardFinding, Intent, Outcome
from exit_shim.domain.orders import ExitOrder, Reference
from exit_shim.domain.recorded import RecordedEvent
from exit_shim.domain.verdicts import Reason
from exit_shim.guard.live_exits import MAX_PER_POSITION, position_of
from exit_shim.guard.policy import parse_policy
from exit_shim.guard.rules.custom import forget_custom_rules
from exit_shim.journal import read_records
from exit_shim.testing import FakeClient, LocalExchange

STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "stopPrice": 50000, "closePosition": True}
PART = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "stopPrice": 50000, "quantity": 0.005}
LIMIT = {
    "symbol": "BTCUSDT",
    "side": "SELL",
    "type": "LIMIT",
    "price": 70000,
    "quantity": 0.005,
    "timeInForce": "GTC",
    "reduceOnly": "true",
}


class Bot:
    """A shim of its own around a client in this process; `says` are the findings of the last order."""

    def __init__(self, policy="", mode="EXIT_BRAIN_V3", own_rules=(), **exchange):
        self.records = []
        self.findings = []
        self.shim = exit_shim.ExitShim(
            journal=False,
            policy=parse_policy(f"look_within_s = 10\n{policy}", own_rules=own_rules),
            mode=mode,
            sinks=[self],
            account="one",
        )
        self.exchange = LocalExchange(**exchange)
        self.client = self.shim.wrap(FakeClient(exchange=self.exchange))

    def on(self, recorded):
        if isinstance(recorded.event, GuardFinding):
            self.findings.append(recorded.event)
        else:
            keep_record(self.records, recorded)

    def enter(self, quantity=0.01, **more):
        self.client.futures_create_order(
            symbol="BTCUSDT", side="BUY", type="MARKET", quantity=quantity, **more
        )

    def cover(self):
        """Have an owner cover the position: nothing is held back without that."""
        self.by("exit_brain_v3", **{**PART, "stopPrice": 48000, "quantity": 0.01}, reduceOnly="true")

    def by(self, module, method="futures_create_order", kind=None, **params):
        with exit_shim.attributed(module, kind=kind):
            try:
                answer = getattr(self.client, method)(**params)
            except BinanceAPIException as refused:
                answer = refused
        assert self.shim.flush()
        return answer

    def says(self):
        return [reason.code for reason in self.records[-1].reasons]

    def fact(self, code):
        (found,) = [reason for reason in self.records[-1].reasons if reason.code == code]
        return str(found)


@pytest.fixture
def bot():
    own = Bot()
    own.enter()
    yield own
    own.shim.close()


@pytest.mark.parametrize("policy", [None, exit_shim.Policy()])
def test_rules_are_asked_without_a_policy_too(policy):
    """What rules find needs no file; it is warned of, never held back."""
    records = []

    class Sink:
        def on(self, recorded):
            keep_record(records, recorded)

    with LocalExchange() as exchange:
        shim = exit_shim.ExitShim(journal=False, policy=policy, sinks=[Sink()])
        client = shim.wrap(FakeClient(exchange=exchange))
        client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
        with exit_shim.attributed("somebody", kind="sl"):
            client.futures_create_order(**PART)
        assert shim.flush()
        shim.close()
    assert [reason.code for record in records for reason in record.reasons] == ["NAKED_EXIT"]
    assert [record.action for record in records] == ["warn"]


class Held(threading.Event):
    """A sink that holds up the thread that rules are asked on until it is set, and keeps what it gets."""

    def __init__(self):
        super().__init__()
        self.records = []

    def on(self, recorded):
        assert self.wait(60)
        keep_record(self.records, recorded)


def test_rules_see_the_book_as_it_was_when_the_order_came(tmp_path):
    """Asked late, on a thread of the shim's own, they say what they would have said at once."""
    held, asked_on = Held(), set()

    @exit_shim.rule("WHO_ASKS")
    def who_asks(case):
        asked_on.add(threading.current_thread())

    journal = tmp_path / "journal.db"
    shim = exit_shim.ExitShim(journal=journal, sinks=[held], account="one")
    forget_custom_rules()
    with LocalExchange() as exchange:
        client = shim.wrap(FakeClient(exchange=exchange))
        client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
        with exit_shim.attributed("first"):
            client.futures_create_order(**STOP)
            order = client.futures_create_order(**LIMIT)
        with exit_shim.attributed("second"):
            client.futures_create_order(**LIMIT)
            client.futures_cancel_all_open_orders(symbol="BTCUSDT", conditional=True)
            client.futures_cancel_order(symbol="BTCUSDT", orderId=order["orderId"])
            client.futures_create_order(**LIMIT)
        held.set()
        assert shim.flush(60)
        shim.close()
    told = [reason.code for record in held.records for reason in record.reasons]
    assert told == ["DUPLICATE_EXIT", "FOREIGN_CANCEL", "STRIPPED", "FOREIGN_CANCEL"]
    assert threading.current_thread() not in asked_on
    assert len(asked_on) == 1
    recorded = list(read_records(journal))
    assert [record.reasons for record in recorded] == [record.reasons for record in held.records]
    assert "sl whole position" in recorded[3].book[0]


def test_ownership_conflict(bot):
    """A legacy module's exit is one in EXIT_BRAIN_V3; an owner's and a stranger's is not."""
    bot.by("position_monitor", **STOP)
    assert bot.says() == ["OWNERSHIP_CONFLICT"]
    for module in ("exit_brain_v3", "somebody"):
        bot.by(module, **LIMIT)
        assert "OWNERSHIP_CONFLICT" not in bot.says()


def test_monitors_are_not_to_place():
    """A module of `monitors` conflicts like a legacy one."""
    bot = Bot('[modes.EXIT_BRAIN_V3]\nmonitors = ["looker"]\n')
    bot.enter()
    bot.by("looker", **LIMIT)
    assert "role=monitor" in bot.fact("OWNERSHIP_CONFLICT")


def test_unknown_module():
    """A module on no list is told where the mode says so, and only then."""
    for unknown, expected in (("warn", ["UNKNOWN_MODULE"]), ("allow", [])):
        bot = Bot(f'[modes.EXIT_BRAIN_V3]\nunknown = "{unknown}"\n')
        bot.enter()
        bot.by("somebody", **LIMIT)
        assert bot.says() == expected


def test_legacy_fallback(bot):
    """On a delegated symbol a legacy module acts in the owner's stead, until the owner has a stop."""
    bot.shim.delegate("BTCUSDT", to="exit_brain_v3", within=60)
    bot.by("position_monitor", **LIMIT)
    assert "delegated_to=exit_brain_v3" in bot.fact("LEGACY_FALLBACK")
    bot.by("exit_brain_v3", **STOP)
    bot.by("position_monitor", **LIMIT)
    assert "LEGACY_FALLBACK" not in bot.says()
    bot.shim.take_back("BTCUSDT")


@pytest.mark.parametrize("places", [True, False])
def test_delegation_gap(bot, monkeypatch, places):
    """A delegation whose owner has no live stop in time is a gap, told once."""
    bot.shim.process_feed.stop()
    monkeypatch.setattr(bot.shim.process_feed, "start", lambda: None)
    bot.shim.delegate("BTCUSDT", to="exit_brain_v3", within=0.05)
    if places:
        bot.by("exit_brain_v3", **STOP)
    time.sleep(0.06)
    for _ in range(2):
        bot.shim.process_feed.report_overdue()
    assert bot.shim.flush()
    found = [(finding.reason.code, finding.symbol) for finding in bot.findings]
    assert found == ([] if places else [("DELEGATION_GAP", "BTCUSDT")])


def test_a_delegation_must_name_somebody(bot):
    """An empty owner or a time that is none is an error."""
    with pytest.raises(ValueError, match="`to` must name a module"):
        bot.shim.delegate("BTCUSDT", to=" ")
    with pytest.raises(ValueError, match="seconds above zero"):
        bot.shim.delegate("BTCUSDT", to="me", within=0)


def test_duplicate_exit(bot):
    """Another module's live exit of the same kind is a duplicate; one's own, or one that is gone, is none."""
    placed = bot.by("one", **PART, reduceOnly="true")
    bot.by("one", **PART, reduceOnly="true")
    assert "DUPLICATE_EXIT" not in bot.says()
    bot.by("two", **PART, reduceOnly="true")
    assert f"other=one kind=sl algo_id={placed['algoId']}" in bot.fact("DUPLICATE_EXIT")
    bot.by("two", **LIMIT)
    assert "DUPLICATE_EXIT" not in bot.says()


def test_oversized(bot):
    """Exits of one kind that add up to more than the position, where its size was seen."""
    bot.by("one", **PART, reduceOnly="true")
    assert "OVERSIZED" not in bot.says()
    position = bot.shim.guard.book.positions()[0]
    bot.shim.guard.book.set_size(position, bot.exchange.engine.position("BTCUSDT").amount)
    bot.by("one", **PART, reduceOnly="true")
    assert "OVERSIZED" not in bot.says()
    bot.by("one", **PART, reduceOnly="true")
    assert "total=0.015 position=0.01" in bot.fact("OVERSIZED")


def test_foreign_cancel(bot):
    """Cancelling another's exit is foreign, by id or by a cancel-all; one's own, or by an owner, is not."""
    placed = bot.by("one", **PART, reduceOnly="true")
    bot.by("two", "futures_cancel_algo_order", algoId=placed["algoId"])
    assert "module=two of=one orders=1" in bot.fact("FOREIGN_CANCEL")
    mine = bot.by("two", **PART, reduceOnly="true")
    bot.by("two", "futures_cancel_algo_order", algoId=mine["algoId"])
    assert "FOREIGN_CANCEL" not in bot.says()
    bot.by("one", **PART, reduceOnly="true")
    bot.by("two", "futures_cancel_all_open_orders", symbol="BTCUSDT", conditional=True)
    assert "FOREIGN_CANCEL" in bot.says()
    bot.by("one", **PART, reduceOnly="true")
    bot.by("exit_brain_v3", "futures_cancel_all_open_orders", symbol="BTCUSDT", conditional=True)
    assert "FOREIGN_CANCEL" not in bot.says()


def test_stripped(bot):
    """The cancel of the last stop strips; of one of two it does not."""
    first, second = (bot.by("one", **PART, reduceOnly="true") for _ in range(2))
    bot.by("one", "futures_cancel_algo_order", algoId=first["algoId"])
    assert "STRIPPED" not in bot.says()
    bot.by("one", "futures_cancel_algo_order", algoId=second["algoId"])
    assert "STRIPPED" in bot.says()


def test_futile_cancel(bot):
    """A cancel-all that reaches no exit is futile where exits rest in the other store, whoever's."""
    bot.by("one", **STOP)
    bot.by("two", "futures_cancel_all_open_orders", symbol="BTCUSDT")
    assert bot.fact("FUTILE_CANCEL") == (
        "FUTILE_CANCEL store=orders resting_elsewhere=1 instead=futures_cancel_all_algo_open_orders"
    )
    assert len(bot.exchange.engine.open_algos()) == 1
    assert bot.records[-1].action == "warn"


def test_what_its_way_out_says_does_help(bot):
    """The method that the reason names takes the stops away, and python-binance has it."""
    bot.by("one", **STOP)
    bot.by("one", "futures_cancel_all_open_orders", symbol="BTCUSDT")
    bot.by("one", bot.fact("FUTILE_CANCEL").rpartition("instead=")[2], symbol="BTCUSDT")
    assert "FUTILE_CANCEL" not in bot.says()
    assert bot.exchange.engine.open_algos() == []


def test_a_futile_cancel_of_conditional_orders(bot):
    """The other way round: only a LIMIT target rests, and what waits for a trigger is cancelled."""
    bot.by("one", **LIMIT)
    bot.by("one", "futures_cancel_all_open_orders", symbol="BTCUSDT", conditional=True)
    assert bot.fact("FUTILE_CANCEL") == (
        "FUTILE_CANCEL store=conditional resting_elsewhere=1 instead=futures_cancel_all_open_orders"
    )


@pytest.mark.parametrize(
    ("placed", "method", "params"),
    [
        ([], "futures_cancel_all_open_orders", {}),
        ([STOP], "futures_cancel_all_open_orders", {"conditional": True}),
        ([STOP], "futures_cancel_all_algo_open_orders", {}),
        ([STOP, LIMIT], "futures_cancel_all_open_orders", {}),
        ([STOP], "futures_countdown_cancel_all", {"countdownTime": 60_000}),
        ([LIMIT], "futures_cancel_all_open_orders", {}),
    ],
)
def test_a_cancel_all_that_is_not_futile(bot, placed, method, params):
    """Where nothing rests, where it reaches an exit, and where it has only begun, there is nothing to say."""
    for order in placed:
        bot.by("one", **order)
    bot.by("one", method, symbol="BTCUSDT", **params)
    assert "FUTILE_CANCEL" not in bot.says()


def test_a_futile_cancel_of_another_symbol(bot):
    """Exits of other symbols are no matter."""
    bot.by("one", **STOP)
    bot.by("one", "futures_cancel_all_open_orders", symbol="ETHUSDT")
    assert "FUTILE_CANCEL" not in bot.says()


def test_a_futile_cancel_is_never_denied():
    """It takes nothing away, so a policy cannot enforce it."""
    with pytest.raises(exit_shim.PolicyError, match="FUTILE_CANCEL"):
        parse_policy('[rules.FUTILE_CANCEL]\nlevel = "enforce"\n')


@pytest.mark.parametrize(("left", "is_stripped"), [("0.010", False), ("0.005", True), ("0.020", True)])
def test_stripped_of_what_covers(left, is_stripped):
    """In hedge mode what is left must cover the position; less does not, nor more: it is refused."""
    bot = Bot(hedge_mode=True)
    bot.enter(positionSide="LONG")
    whole = bot.by("one", **STOP, positionSide="LONG")
    bot.by("one", **{**PART, "quantity": left}, positionSide="LONG")
    book, held = bot.shim.guard.book, bot.exchange.engine.position("BTCUSDT", "LONG").amount
    book.set_size(book.positions()[0], held)
    bot.by("one", "futures_cancel_algo_order", algoId=whole["algoId"])
    assert ("STRIPPED" in bot.says()) is is_stripped


@pytest.mark.parametrize("follows", [True, False])
def test_stripped_and_none_follows(follows):
    """A position that has no stop again within the stated time is told of, once; one that has is not."""
    bot = Bot("[rules.STRIPPED]\nwithin_s = 0.05\n")
    bot.enter()
    placed = bot.by("one", **STOP)
    bot.shim.process_feed.stop()
    bot.by("one", "futures_cancel_algo_order", algoId=placed["algoId"])
    if follows:
        bot.by("one", **STOP)
    bot.shim.process_feed.stop()
    time.sleep(0.06)
    for _ in range(2):
        bot.shim.process_feed.report_overdue()
    assert bot.shim.flush()
    assert [finding.reason.code for finding in bot.findings] == ([] if follows else ["STRIPPED"])


def test_churn():
    """The same exit placed `times` times within `within_s` is churn; less often, or another's, is not."""
    bot = Bot("[rules.CHURN]\ntimes = 3\nwithin_s = 60\n")
    bot.enter()
    for number in range(3):
        bot.by("one", **{**LIMIT, "quantity": 0.001})
        assert ("CHURN" in bot.says()) is (number == 2)
    bot.by("two", **{**LIMIT, "quantity": 0.001})
    assert "CHURN" not in bot.says()


@pytest.mark.parametrize(("to", "is_wider"), [(49000, True), (51000, False), (50000, False)])
def test_stop_widened(bot, to, is_wider):
    """A stop farther from the price than the one before is wider; one that is nearer, or the same, is not."""
    placed = bot.by("one", **STOP)
    bot.by("one", "futures_cancel_algo_order", algoId=placed["algoId"])
    bot.by("one", **{**STOP, "stopPrice": to})
    assert ("STOP_WIDENED" in bot.says()) is is_wider


def test_naked_exit(bot):
    """What the code calls an exit and could open is naked; reduceOnly, closePosition or side clothe it."""
    bot.by("one", kind="sl", **PART)
    assert bot.fact("NAKED_EXIT") == "NAKED_EXIT missing=reduceOnly"
    bot.by("one", kind="sl", **{**PART, "side": "BUY", "positionSide": "LONG"})
    assert "position_side=LONG" in bot.fact("NAKED_EXIT")
    for clothed in ({**PART, "reduceOnly": "true"}, STOP, {**PART, "positionSide": "LONG"}):
        bot.by("one", kind="sl", **clothed)
        assert "NAKED_EXIT" not in bot.says()


REFUSED = [
    ({**STOP, "type": "MARKET"}, "closePosition,type", -4136),
    ({**STOP, "reduceOnly": "true"}, "closePosition,reduceOnly", -1106),
    ({**STOP, "quantity": 0.01}, "closePosition,quantity", -4137),
    ({**PART, "reduceOnly": "true", "stopPrice": None}, "missing=triggerPrice", -1102),
    (
        {
            "symbol": "BTCUSDT",
            "side": "SELL",
            "type": "TRAILING_STOP_MARKET",
            "quantity": 0.01,
            "reduceOnly": True,
        },
        "missing=callbackRate",
        -1102,
    ),
]


@pytest.mark.parametrize(("order", "fact", "code"), REFUSED)
def test_refused_params(bot, order, fact, code):
    """What the exchange refuses is told with the code it gives, which the local exchange gives too."""
    answer = bot.by("one", **order)
    assert fact in bot.fact("REFUSED_PARAMS")
    assert str(code) in bot.fact("REFUSED_PARAMS")
    assert answer.code == code


def test_refused_in_hedge_mode():
    """In hedge mode reduceOnly is refused; so is a missing position side, told once the mode is known."""
    bot = Bot(hedge_mode=True)
    bot.enter(positionSide="LONG")
    assert bot.by("one", **PART, positionSide="LONG", reduceOnly="true").code == -1106
    assert "reduceOnly,positionSide" in bot.fact("REFUSED_PARAMS")
    assert bot.by("one", **PART, positionSide="LONG")["algoId"]
    assert "REFUSED_PARAMS" not in bot.says()
    assert bot.by("one", **PART, reduceOnly="true").code == -4061
    assert "missing=positionSide error=-4061" in bot.fact("REFUSED_PARAMS")


@pytest.mark.parametrize(
    ("order", "fact"), [({**LIMIT, "reduceOnly": True}, "field=reduceOnly"), (STOP, "field=closePosition")]
)
def test_refused_in_a_batch(bot, order, fact):
    """A bool inside a batch is invalid JSON, and a stop is not routed."""
    bot.by("one", "futures_place_batch_order", batchOrders=[dict(order)])
    assert fact in bot.fact("REFUSED_PARAMS")
    bot.by("one", "futures_place_batch_order", batchOrders=[dict(LIMIT)])
    assert "REFUSED_PARAMS" not in bot.says()


@pytest.mark.parametrize(
    ("method", "more", "fact"),
    [
        ("futures_create_order", {"activationPrice": 61000}, "field=activationPrice meant=activatePrice"),
        ("futures_create_order", {"newClientOrderId": "mine"}, "field=newClientOrderId meant=clientAlgoId"),
        ("futures_create_algo_order", {"stopPrice": 1}, "field=stopPrice meant=triggerPrice"),
        ("futures_create_order", {"workingTipe": "MARK_PRICE"}, "field=workingTipe meant=workingType"),
        ("futures_create_order", {"zzz": 1}, "field=zzz"),
        ("futures_create_order", {"workingType": "MARK_PRICE", "recvWindow": 5000}, None),
        ("futures_create_order", {"activatePrice": 61000, "clientAlgoId": "mine"}, None),
    ],
)
def test_ignored_param(bot, method, more, fact):
    """A field that nobody reads is told with the one that is likely meant; those that are read are not."""
    trailing = {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "type": "TRAILING_STOP_MARKET",
        "quantity": 0.01,
        "callbackRate": 1,
        "reduceOnly": "true",
    }
    bot.by("one", method, **trailing, **more)
    assert [str(reason) for reason in bot.records[-1].reasons if reason.code == "IGNORED_PARAM"] == (
        [] if fact is None else [f"IGNORED_PARAM {fact}"]
    )


def test_own_rules(monkeypatch):
    """A function of one's own is a rule under its code and level; one that raises is counted and skipped."""
    try:

        @exit_shim.rule("TOO_LATE")
        def too_late(case):
            return {"symbol": case.order.symbol} if case.who.module == "one" else None

        @exit_shim.rule("BROKEN")
        def broken(case):
            raise KeyError("mine")

        monkeypatch.setattr("exit_shim.runtime.internal_errors.RERAISE", False)
        for level in ("warn", "enforce"):
            bot = Bot(f'[rules.TOO_LATE]\nlevel = "{level}"\n', own_rules=["TOO_LATE"])
            bot.enter()
            bot.cover()
            answer = bot.by("one", **LIMIT)
            assert isinstance(answer, exit_shim.ExitOrderDenied) is (level == "enforce")
            assert Reason("TOO_LATE", {"symbol": "BTCUSDT"}) in bot.records[-1].reasons
            bot.by("two", **LIMIT)
            assert "TOO_LATE" not in bot.says()
            assert bot.shim.internal_errors.count >= 1
    finally:
        forget_custom_rules()


@pytest.mark.parametrize("code", ["late", "CHURN"])
def test_the_code_of_an_own_rule(code):
    """It is in capitals, and none of exit_shim's."""
    with pytest.raises(ValueError, match="rule code"):
        exit_shim.rule(code)


def test_a_level_of_observe_records_and_does_not_warn():
    """The reason is in the record, the verdict is allow, and no line of the guard appears."""
    bot = Bot('level = "observe"')
    bot.enter()
    with captured_events() as lines:
        bot.by("position_monitor", **LIMIT)
    assert bot.records[-1].action == "allow"
    assert "OWNERSHIP_CONFLICT" in bot.says()
    assert not lines


@pytest.mark.parametrize("sure", [True, False])
def test_a_rule_on_an_unsure_book_warns(sure):
    """DUPLICATE_EXIT enforced denies; while an order on the symbol is in doubt it only warns, and says so."""
    bot = Bot('[rules.DUPLICATE_EXIT]\nlevel = "enforce"\n')
    bot.enter()
    bot.cover()
    bot.by("one", **LIMIT)
    if not sure:
        bot.shim.guard.book.trust.doubt("one", "BTCUSDT")
    answer = bot.by("two", **LIMIT)
    assert isinstance(answer, exit_shim.ExitOrderDenied) is sure
    assert bot.fact("DUPLICATE_EXIT").endswith("sure=no") is not sure


def test_rules_of_installed_packages(monkeypatch):
    """An entry point of the group `exit_shim.rules` is a rule; one that cannot be loaded is told of."""

    class Point:
        def __init__(self, name, load):
            self.name, self.load = name, load

    points = (Point("FROM_AFAR", lambda: lambda case: ""), Point("NOT_THERE", lambda: 1 / 0))
    monkeypatch.setattr("exit_shim.guard.rules.custom._installed", lambda: points)
    monkeypatch.setattr("exit_shim.runtime.internal_errors.RERAISE", False)
    bot = Bot('[rules.FROM_AFAR]\nlevel = "enforce"\n', own_rules=["FROM_AFAR"])
    bot.enter()
    bot.cover()
    assert isinstance(bot.by("one", **LIMIT), exit_shim.ExitOrderDenied)
    assert bot.fact("FROM_AFAR") == "FROM_AFAR"
    assert bot.shim.internal_errors.count == 1


def test_no_position_has_more_exits_in_mind_than_the_exchange_lets_rest(bot):
    """Exits that fill unseen do not pile up in the book; of one position the stops are kept longest."""
    order = ExitOrder(kind="tp", symbol="BTCUSDT", side="SELL", type="LIMIT", quantity="1", reduce_only=True)
    stop = ExitOrder(kind="sl", symbol="BTCUSDT", side="SELL", type="STOP_MARKET", trigger_price="5")
    book = bot.shim.guard.book
    for number, placed in enumerate([stop, *[order] * (3 * MAX_PER_POSITION)]):
        intent = Intent(
            ts=number,
            door="futures_create_order",
            operation="place",
            order=placed,
            attribution=Attribution(module="m", evidence="stack"),
            mode="LEGACY",
            account="one",
        )
        outcome = Outcome("accepted", order_id=number + 1)
        book.fold(RecordedEvent("", 0, outcome, RecordedEvent("", 0, intent)))
    lives = book.exits_of(position_of("one", order))
    assert len(lives) == MAX_PER_POSITION
    assert [live.target.order_id for live in (lives[0], lives[-1])] == [1, 3 * MAX_PER_POSITION + 1]
    assert book.find("one", Reference(order_id=2)) is None
