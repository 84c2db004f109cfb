"""Never in the way: whatever fails in the shim, the order goes out once, unchanged; failures are counted."""

import ast
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import structlog

import exit_shim
import exit_shim.gateway.gateway
from exit_shim.domain.events import Intent, Outcome
from exit_shim.gateway.nesting import within
from exit_shim.journal import IN_DOUBT, state_of

STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "stopPrice": 50_000, "quantity": 0.01}
STOP["reduceOnly"] = True
PACKAGE = Path(exit_shim.__file__).parent


@pytest.fixture(autouse=True)
def as_in_production(monkeypatch):
    """Internal errors are counted and logged, not raised."""
    monkeypatch.setattr(exit_shim.runtime.internal_errors, "RERAISE", False)


class Fake:
    """A bot's own stand-in, which keeps what it was called with."""

    def __init__(self):
        self.seen = []

    def futures_create_order(self, **params):
        self.seen.append(params)
        return {"orderId": len(self.seen)}


class HostileError(Exception):
    """An error that cannot even be printed."""

    def __str__(self):
        raise LookupError("no text")

    __repr__ = __str__


class Unspeakable:
    """A value that can be neither printed, compared, hashed nor taken for true or false."""

    def _refuse(self, *_):
        raise LookupError("not with me")

    __str__ = __repr__ = __bool__ = __eq__ = __hash__ = __len__ = __format__ = _refuse


class Ambiguous:
    """Like an array: its truth is ambiguous, and its comparison is another of its kind."""

    def __bool__(self):
        raise ValueError("The truth value of an array with more than one element is ambiguous.")

    def __eq__(self, other):
        return self

    __hash__ = object.__hash__


def fail(*_, **__):
    """What any step may do."""
    raise ZeroDivisionError("a step failed")


def fail_unprintably(*_, **__):
    """The same, worse."""
    raise HostileError


ODD_VALUES = [Unspeakable(), Ambiguous(), b"\xff", "\ud800", [], {}, 1 + 2j]

STEPS = {
    "fix a client order id": "gateway.gateway.fix_client_order_ids",
    "attribute an order": "attribution.attributor.attribute",
    "judge an order": "guard.judge.Guard.judge",
    "read a declared kind": "gateway.gateway.declared_kind",
    "name the account": "shim.account_label",
    "read an answer": "gateway.gateway.answers_of",
    "conclude an order": "gateway.gateway.Outcome",
}


@pytest.mark.parametrize("failing", [fail, fail_unprintably])
@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_fails(exchange, client, recorded, request, step, failing):
    """The order goes out once and unchanged, with a record; the failure is counted, and logged once."""
    monkeypatch, caplog = request.getfixturevalue("monkeypatch"), request.getfixturevalue("caplog")
    monkeypatch.setattr(f"exit_shim.{STEPS[step]}", failing)
    wrapped = exit_shim.wrap(client)
    for _ in range(2):
        with exit_shim.attributed("m", kind="sl"):
            assert wrapped.futures_create_order(**STOP)["algoId"]
    assert [request.params["triggerPrice"] for request in exchange.order_requests] == ["50000", "50000"]
    assert len(recorded()) == 2
    assert exit_shim.shim.default_shim().internal_errors.count == 2
    (said,) = [record for record in caplog.records if "internal error" in record.getMessage()]
    assert said.getMessage().startswith("[EXIT_GATEWAY] internal error of exit_shim; the order itself is not")
    assert said.exit_shim["step"] == step


@pytest.mark.parametrize("failing", [fail, fail_unprintably])
def test_an_answer_that_cannot_be_read_is_in_doubt(client, recorded, monkeypatch, failing):
    """The bot gets the answer; the record claims nothing, so that the order is looked up later."""
    monkeypatch.setattr(exit_shim.gateway.gateway, "answers_of", failing)
    assert exit_shim.wrap(client).futures_create_order(**STOP)["algoId"]
    (record,) = recorded()
    assert record.outcome.result == "unknown"
    assert record.outcome.error_message.startswith("the answer could not be read (")
    assert state_of(record.outcome, record.resolution) == IN_DOUBT


@pytest.mark.parametrize("failing", [fail, fail_unprintably])
def test_an_error_that_cannot_be_read_passes(recorded, monkeypatch, failing):
    """Where the reading of the client's exception fails, the bot still gets that very exception."""
    error = ValueError("the client's")

    class Refusing:
        def futures_create_order(self, **params):
            raise error

    monkeypatch.setattr(exit_shim.gateway.gateway, "read_failure", failing)
    with pytest.raises(ValueError, match="client's") as raised:
        exit_shim.wrap(Refusing()).futures_create_order(**STOP)
    assert raised.value is error
    (record,) = recorded()
    assert record.outcome.result == "unknown"


@pytest.mark.parametrize("failing", [fail, fail_unprintably])
@pytest.mark.parametrize("kind", [Intent, Outcome])
def test_a_journal_that_fails(exchange, client, monkeypatch, caplog, kind, failing):
    """A failure inside the journal itself costs the record; order, log and metrics go on."""
    append = exit_shim.journal.Journal.append

    def append_or_fail(journal, event, about=None):
        return failing() if isinstance(event, kind) else append(journal, event, about)

    monkeypatch.setattr(exit_shim.journal.Journal, "append", append_or_fail)
    caplog.set_level(logging.INFO)
    assert exit_shim.wrap(client).futures_create_order(**STOP)["algoId"]
    assert len(exchange.order_requests) == 1
    assert exit_shim.get_exit_order_metrics().get_summary()["total_orders"] == 1
    assert "exit order accepted" in caplog.text
    assert exit_shim.shim.default_shim().summary()["internal_errors"] == 1


@pytest.mark.parametrize("failing", [fail, fail_unprintably])
def test_an_unreadable_stack(exchange, client, recorded, monkeypatch, failing):
    """Where frames cannot be read the order goes out, recorded as nobody's."""
    monkeypatch.setattr(exit_shim.attribution.attribute.SiteFinder, "nearest", failing)
    exit_shim.wrap(client).futures_create_order(**STOP)
    assert len(exchange.order_requests) == 1
    (line,) = [record.flat() for record in recorded()]
    assert (line["module"], line["evidence"], line["outcome"]) == ("unknown", "unknown", "accepted")


@pytest.mark.parametrize("failing", [fail, fail_unprintably])
def test_a_sink_that_raises(exchange, client, recorded, failing):
    """One sink's failure is neither the order's nor another sink's."""
    taken = []

    class Sink:
        wants = frozenset({Outcome})

        def __init__(self, on):
            self.on = on

    shim = exit_shim.ExitShim(sinks=[Sink(failing), Sink(taken.append)])
    assert exit_shim.wrap(client, shim=shim).futures_create_order(**STOP)["algoId"]
    assert shim.flush()
    assert (len(exchange.order_requests), len(taken), shim.internal_errors.count) == (1, 1, 1)
    shim.close()


class FailingHandler(logging.Handler):
    """A log handler of the bot that raises."""

    def emit(self, record):
        fail()


@pytest.fixture
def broken_log():
    """The bot's logging fails at each line."""
    handler = FailingHandler()
    logging.getLogger().addHandler(handler)
    yield
    logging.getLogger().removeHandler(handler)


def use_failing_processor():
    structlog.configure(processors=[fail])


def use_failing_factory():
    structlog.configure(logger_factory=fail, processors=[structlog.processors.JSONRenderer()])


@pytest.mark.parametrize("configure", [None, use_failing_processor, use_failing_factory])
async def test_a_log_that_raises(exchange, client, recorded, monkeypatch, broken_log, configure):
    """No line of ours comes through, at any call of ours; every order does, and none of the calls raises."""
    if configure:
        configure()
    monkeypatch.setenv("EXIT_MODE", "NONSENSE")
    logging.getLogger("exit_shim").setLevel(logging.INFO)
    wrapped = exit_shim.wrap(client)
    wrapped.futures_create_order(**STOP)
    await exit_shim.submit_exit_order("m", "ETHUSDT", STOP, "sl", wrapped)
    assert exit_shim.get_exit_mode() == "LEGACY"
    exit_shim.log_exit_metrics_summary()
    exit_shim.shim.default_shim().flush()
    logging.getLogger("exit_shim").setLevel(logging.NOTSET)
    assert len(exchange.order_requests) == 2
    assert [record.intent.mode for record in recorded()] == ["LEGACY", "LEGACY"]
    assert exit_shim.shim.default_shim().internal_errors.count >= 3


@pytest.mark.parametrize(
    "field", ["symbol", "side", "type", "stopPrice", "closePosition", "reduceOnly", "positionSide"]
)
@pytest.mark.parametrize(
    "value",
    ODD_VALUES,
    ids=lambda value: type(value).__name__,
)
def test_odd_values_reach_the_client_as_they_are(recorded, field, value):
    """Whatever a field holds, the client gets that very object, once."""
    fake = Fake()
    params = {"symbol": "BTCUSDT", "type": "STOP_MARKET", "closePosition": "true", field: value}
    assert exit_shim.wrap(fake).futures_create_order(**params) == {"orderId": 1}
    (seen,) = fake.seen
    assert list(seen) == list(params)
    assert seen[field] is value
    (record,) = recorded()
    assert record.outcome.result == "accepted"
    assert exit_shim.shim.default_shim().internal_errors.count == 0


@pytest.mark.parametrize(
    "orders", [None, 5, "text", [None, 5, "x"], [{"closePosition": Unspeakable()}], {"a": 1}]
)
def test_odd_batches_reach_the_client_as_they_are(orders):
    """A batch that is no batch is the client's business."""
    seen = []

    class Batching:
        def futures_place_batch_order(self, **params):
            seen.append(params)
            return orders

    assert exit_shim.wrap(Batching()).futures_place_batch_order(batchOrders=orders) is orders
    assert len(seen) == 1
    assert seen[0]["batchOrders"] is orders


@pytest.mark.parametrize(
    ("name", "dotted"), [(None, None), (7, None), (Unspeakable(), None), ("a.b\ud800", "a.b\\ud800")]
)
def test_odd_module_names(recorded, name, dotted):
    """A bot whose `__name__` is no name still places its orders, and has them recorded."""
    fake = Fake()
    space = {"client": exit_shim.wrap(fake), "STOP": STOP, "__name__": name}
    exec(compile("client.futures_create_order(**STOP)", "/bot/odd.py", "exec"), space)
    assert fake.seen == [STOP]
    (record,) = recorded()
    assert record.outcome.result == "accepted"
    if dotted:
        assert record.intent.attribution.dotted_module == dotted


@pytest.mark.parametrize(
    "said",
    [
        {"module": 7},
        {"module": Unspeakable()},
        {"module": "m", "kind": ["sl"]},
        {"module": "m", "kind": Unspeakable()},
        {"module": "m", "explanation": {"why": object()}},
        {"module": "m", "explanation": "\ud800"},
    ],
    ids="-".join,
)
def test_odd_declarations(monkeypatch, recorded, said):
    """What `attributed` is told may be of any type: the order goes out and is recorded."""
    monkeypatch.setenv("EXIT_MODE", "EXIT_BRAIN_V3")
    fake = Fake()
    with exit_shim.attributed(**said):
        exit_shim.wrap(fake).futures_create_order(**STOP)
    assert fake.seen == [STOP]
    (record,) = recorded()
    assert record.flat()["outcome"] == "accepted"


@pytest.mark.parametrize("mode", [None, 7, Unspeakable(), ["LEGACY"], "\ud800"])
def test_an_odd_mode(recorded, monkeypatch, mode):
    """Whatever stands for the mode, the order goes out and is recorded."""
    shim = exit_shim.shim.default_shim()
    monkeypatch.setattr(shim.gateway._attributor, "current_mode", lambda: mode)
    fake = Fake()
    exit_shim.wrap(fake).futures_create_order(**STOP)
    assert fake.seen == [STOP]
    assert len(recorded()) == 1


def test_an_odd_policy(recorded, monkeypatch):
    """A policy that cannot be asked costs the judgement, not the order."""
    fake = Fake()
    shim = exit_shim.ExitShim(mode="EXIT_BRAIN_V3", policy=exit_shim.Policy())
    monkeypatch.setattr(shim.guard.compiled_policy, "modes", None)
    exit_shim.wrap(fake, shim=shim).futures_create_order(**STOP)
    shim.close()
    assert fake.seen == [STOP]
    assert len(recorded()) == 1
    assert shim.internal_errors.count == 2  # before the send, and after it for what only warns


@pytest.mark.parametrize("params", [None, 7, "text", Ambiguous()])
async def test_odd_order_params_of_a_submission(params):
    """`submit_exit_order` with what is no order fails as `client.futures_create_order(**params)` would."""
    with pytest.raises(TypeError, match="mapping"):
        await exit_shim.submit_exit_order("m", "BTCUSDT", params, "sl", Fake())


@pytest.mark.parametrize("symbol", [Unspeakable(), Ambiguous(), None])
async def test_an_odd_symbol_of_a_submission(symbol):
    """The comparison of the two symbols may fail; the order goes out all the same."""
    fake = Fake()
    await exit_shim.submit_exit_order("m", symbol, STOP, "sl", fake)
    assert fake.seen == [STOP]


@pytest.mark.parametrize(
    "answer", [None, [], [1], {}, {"code": "x"}, {"orderId": Unspeakable()}, Unspeakable(), Ambiguous()]
)
def test_odd_answers_reach_the_bot_as_they_are(answer):
    """What the client returns is what the bot gets, be it ever so odd."""

    class Odd:
        def futures_create_order(self, **params):
            return answer

    assert exit_shim.wrap(Odd()).futures_create_order(**STOP) is answer


async def test_an_odd_coroutine_method(recorded):
    """A coroutine method whose very name raises is awaited as ever; what it answers is not read."""

    class Method:
        async def __call__(self, **params):
            return {"orderId": 1}

        def __getattr__(self, name):
            raise LookupError(name)

    class Odd:
        futures_create_order = Method()

    assert await exit_shim.wrap(Odd()).futures_create_order(**STOP) == {"orderId": 1}
    (record,) = recorded()
    assert record.outcome.result == "unknown"


def test_an_unhurt_shim_after_many_failures(caplog):
    """A failure that comes back a thousand times is counted a thousand times and logged once."""

    class Sink:
        wants = frozenset({Outcome})

        def on(self, recorded):
            return fail(recorded)

    shim = exit_shim.ExitShim(journal=False, sinks=[Sink()])
    wrapped = exit_shim.wrap(Fake(), shim=shim)
    for _ in range(1000):
        wrapped.futures_create_order(**STOP)
    assert shim.flush()
    assert shim.summary()["internal_errors"] == 1000
    (said,) = [record.getMessage() for record in caplog.records]
    assert 'at="fail:' in said
    assert "on:" in said


def test_a_fork_while_counts_are_taken():
    """A child forked while another thread holds the counts' lock can count its own orders."""
    script = """
import os, signal, sys, threading
import exit_shim
shim = exit_shim.ExitShim(journal=False, sinks=[])
class Client:
    def futures_create_order(self, **params):
        return {}
client = exit_shim.wrap(Client(), shim=shim)
held, done = threading.Event(), threading.Event()
def hold():
    with shim.metrics._lock, shim.internal_errors._lock:
        held.set()
        done.wait()
thread = threading.Thread(target=hold)
thread.start()
held.wait()
child = os.fork()
if not child:
    signal.alarm(60)
    client.futures_create_order(type="STOP_MARKET", closePosition=True)
    shim.internal_errors.report("x", ValueError())
    os._exit(0)
status = os.waitpid(child, 0)[1]
done.set()
thread.join()
sys.exit(status)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], timeout=90, check=False)
    assert done.returncode == 0


def test_a_signal_amid_the_counting():
    """The counts' locks can be taken again by a signal handler on the thread that holds them."""
    shim = exit_shim.ExitShim(journal=False, sinks=[])
    wrapped = exit_shim.wrap(Fake(), shim=shim)
    with shim.metrics._lock, shim.internal_errors._lock:
        wrapped.futures_create_order(**STOP)
    assert shim.metrics.get_summary()["total_orders"] == 1
    assert threading.active_count() >= 1


def test_only_exception_is_ever_caught():
    """No bare except; and each `except BaseException` ends in a bare raise, outside the local exchange."""
    wrong = []
    for file in PACKAGE.rglob("*.py"):
        if not {"testing", "exchange"}.isdisjoint(file.parts):
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.ExceptHandler):
                continue
            names = (
                {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)}
                if node.type
                else {"bare"}
            )
            greedy = names & {"bare", "BaseException", "KeyboardInterrupt", "SystemExit", "CancelledError"}
            last = node.body[-1]
            if greedy and not (isinstance(last, ast.Raise) and last.exc is None):
                wrong.append(f"{file.relative_to(PACKAGE)}:{node.lineno} {greedy}")
    assert [found for found in wrong if not found.startswith("cli" + os.sep)] == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_while_another_thread_makes_the_first_shim(tmp_path):
    """The child makes its own, and does not wait for a thread that it has not got."""
    code = """
import os, signal, threading, time
import exit_shim.shim as shims
class Slow(shims.ExitShim):
    def __init__(self):
        making.set()
        time.sleep(0.5)
        super().__init__()
making, shims.ExitShim = threading.Event(), Slow
thread = threading.Thread(target=shims.default_shim)
thread.start()
making.wait()
pid = os.fork()
if pid == 0:
    signal.alarm(60)
    shims.default_shim()
    os._exit(0)
thread.join()
raise SystemExit(os.waitpid(pid, 0)[1])
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, "EXIT_SHIM_JOURNAL": str(tmp_path / "journal.db")},
        check=False,
    )
    assert done.returncode == 0


def test_an_interrupt_right_before_the_send_leaves_nothing_behind(recorded):
    """Whoever stops the bot with Ctrl-C just then has the next order recorded as any other."""
    client = exit_shim.wrap(Fake())

    def interrupt(_frame, event, function):
        if event == "c_return" and function == within.set:
            sys.setprofile(None)
            raise KeyboardInterrupt

    before = sys.getprofile()
    sys.setprofile(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            client.futures_create_order(**STOP)
    finally:
        sys.setprofile(before)
    client.futures_create_order(**STOP)
    assert [record.outcome.result for record in recorded()] == ["unknown", "accepted"]
