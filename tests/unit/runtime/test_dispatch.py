"""Sinks and log lines on the shim's own thread: an order waits for none of them, and none is lost unseen."""

import contextlib
import gc
import logging
import queue
import signal
import subprocess
import sys
import threading
import time

import pytest
import structlog

import exit_shim
import exit_shim.runtime.background
from exit_shim.domain.events import Outcome
from exit_shim.runtime.background import Dispatch

STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "stopPrice": 50_000, "quantity": 0.01}
STOP["reduceOnly"] = True
MINUTE = 60.0
PREAMBLE = """
import logging, os, sys, threading, time
import exit_shim
class Client:
    def futures_create_order(self, **params):
        return {"orderId": params["quantity"]}
def place(number):
    client.futures_create_order(symbol="BTCUSDT", type="STOP_MARKET", reduceOnly=True, quantity=number)
class Handler(logging.Handler):
    def emit(self, record):
        handle(record)
        print(record.getMessage()[15:36], record.exit_shim.get("order_id"), flush=True)
def handle(record):
    pass
logging.getLogger("exit_shim").setLevel(logging.INFO)
logging.getLogger("exit_shim").addHandler(Handler())
client = exit_shim.wrap(Client(), shim=exit_shim.ExitShim(journal=False))
"""


class Fake:
    """A bot's own stand-in for the client."""

    def futures_create_order(self, **params):
        return {"orderId": 7}


class Holding:
    """A sink that holds up whoever calls it, until let go, and keeps what it was given."""

    def __init__(self):
        self.held, self.go = threading.Event(), threading.Event()
        self.taken = []

    wants = frozenset({Outcome})

    def on(self, recorded):
        self.held.set()
        assert self.go.wait(MINUTE)
        self.taken.append(recorded.intent.order.quantity)


@pytest.fixture
def make():
    """Make shims without a journal, closed after the test."""
    with contextlib.ExitStack() as closing:

        def shim(**configuration):
            own = exit_shim.ExitShim(journal=False, **configuration)
            closing.callback(own.close)
            return own

        yield shim


def place(shim, *quantities):
    """One stop for each quantity; returns the seconds that they took."""
    client, began = shim.wrap(Fake()), time.monotonic()
    for quantity in quantities:
        assert client.futures_create_order(**{**STOP, "quantity": quantity}) == {"orderId": 7}
    return time.monotonic() - began


def lines_of(script):
    """What a process prints that runs `script` after the preamble, and how it ended."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PREAMBLE + script],
        capture_output=True,
        text=True,
        timeout=MINUTE,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout.splitlines()


def test_a_sink_that_hangs_holds_up_no_order(make):
    """While a sink hangs orders go through at once, are counted at once, and reach it when it goes on."""
    sink = Holding()
    shim = make(sinks=[sink])
    taken = place(shim, 1)
    assert sink.held.wait(MINUTE)
    taken += place(shim, *range(2, 50))
    assert taken < 20
    assert shim.metrics.get_summary()["total_orders"] == 49
    assert sink.taken == []
    assert not shim.flush(timeout_s=0.01)
    sink.go.set()
    assert shim.flush(timeout_s=MINUTE)
    assert sink.taken == [str(number) for number in range(1, 50)]


def test_a_log_handler_that_hangs_holds_up_no_order(make, monkeypatch):
    """Nor does a handler of the bot's logging, whatever has a line for it: an order, a mode that is none."""
    go, held = threading.Event(), threading.Event()

    class Handler(logging.Handler):
        def emit(self, record):
            held.set()
            assert go.wait(MINUTE)

    monkeypatch.setenv("EXIT_MODE", "NONSENSE")
    handler, shim = Handler(), make()
    logging.getLogger("exit_shim").addHandler(handler)
    try:
        taken = place(shim, 1)
        assert held.wait(MINUTE)
        shim.log_summary()
        monkeypatch.setenv("EXIT_MODE", "NONSENSE TOO")
        assert taken + place(shim, 2, 3) < 20
        go.set()
        assert shim.flush(timeout_s=MINUTE)
    finally:
        logging.getLogger("exit_shim").removeHandler(handler)


def test_what_is_dropped_is_counted_and_told_once(make, monkeypatch, caplog):
    """Beyond what may wait events are dropped: the summary counts them, and one line says so afterwards."""
    monkeypatch.setattr(exit_shim.runtime.background, "MAX_WAITING", 3)
    sink = Holding()
    shim = make(sinks=[sink])
    place(shim, 0)
    assert sink.held.wait(MINUTE)
    place(shim, *range(1, 10))
    assert shim.summary()["events_dropped"] == 6
    assert shim.metrics.get_summary()["total_orders"] == 10
    sink.go.set()
    assert shim.flush(timeout_s=MINUTE)
    place(shim, 10)
    assert shim.flush(timeout_s=MINUTE)
    assert sink.taken == ["0", "1", "2", "3", "10"]
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("[EXIT_GATEWAY] 6 events were dropped: ")


def test_a_sink_that_raises_is_counted(make, monkeypatch, caplog):
    """What a sink raises on the shim's thread is an internal error, logged once; others get theirs."""
    monkeypatch.setattr(exit_shim.runtime.internal_errors, "RERAISE", False)
    taken = []

    class Sink:
        wants = frozenset({Outcome})

        def __init__(self, on):
            self.on = on

    shim = make(sinks=[Sink(lambda recorded: 1 / 0), Sink(taken.append)])
    place(shim, 1, 2, 3)
    assert shim.flush(timeout_s=MINUTE)
    assert shim.flush(timeout_s=MINUTE)  # the line about the first was handed over meanwhile
    assert (len(taken), shim.summary()["internal_errors"]) == (3, 3)
    (said,) = [record.getMessage() for record in caplog.records]
    assert 'step="sink Sink"' in said


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_sink_that_ends_its_thread(make):
    """One that raises SystemExit ends the thread, and the next order begins another."""
    taken = []

    class Sink:
        wants = frozenset({Outcome})

        def on(self, recorded):
            taken.append(recorded)
            if len(taken) == 1:
                sys.exit(1)

    shim = make(sinks=[Sink()])
    place(shim, 1)
    thread = shim.dispatch.thread
    if thread is not None:
        thread.join(MINUTE)
    place(shim, 2)
    assert shim.flush(timeout_s=MINUTE)
    assert len(taken) == 2


def test_the_bots_context_variables_hold(make, capsys):
    """What the bot had bound to structlog's context at the order stands in the order's lines."""
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.KeyValueRenderer()]
    )
    shim = make()
    for bot in ("alpha", "beta"):
        with structlog.contextvars.bound_contextvars(bot=bot):
            place(shim, 1)
    assert shim.flush(timeout_s=MINUTE)
    said = capsys.readouterr().out.splitlines()
    assert [line.partition("bot=")[2][:6] for line in said] == ["'alpha", "'alpha", "'beta'", "'beta'"]


def test_lines_bear_the_time_and_thread_of_the_order(make, caplog):
    """A record's time and thread are those of the order, in all of its attributes, not of the emission."""
    caplog.set_level(logging.INFO, "exit_shim")
    shim = make()
    before, thread = time.time(), threading.Thread(target=place, args=(shim, 1), name="the-bots-own")
    thread.start()
    thread.join()
    after = time.time()
    time.sleep(0.05)
    assert shim.flush(timeout_s=MINUTE)
    now = logging.makeLogRecord({})
    for record in caplog.records:
        assert before <= record.created <= after
        assert record.msecs == int(record.created % 1 * 1000)
        passed = (now.created - record.created) * 1000
        assert now.relativeCreated - record.relativeCreated == pytest.approx(passed, abs=1)
        assert (record.threadName, record.thread) == ("the-bots-own", thread.ident)
    assert len(caplog.records) == 2


def test_a_signal_handler_places_orders(make):
    """An order placed by a signal handler, amid another's handing over, is neither lost nor held up."""
    taken = []

    class Sink:
        wants = frozenset({Outcome})

        def on(self, recorded):
            taken.append(recorded.intent.order.quantity)

    shim = make(sinks=[Sink()])

    def handle(*_):
        place(shim, "s")
        signal.setitimer(signal.ITIMER_REAL, 0.001)  # not before: on a slow machine they would pile up

    former = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    try:
        place(shim, *["o"] * 2000)
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
    assert shim.flush(timeout_s=MINUTE)
    assert taken.count("o") == 2000
    assert len(taken) == shim.metrics.get_summary()["total_orders"]


def test_closing_ends_the_thread_and_an_order_begins_another(make):
    """`close` tells what waits and leaves no thread; an order after it is told all the same."""
    taken = []

    class Sink:
        wants = frozenset({Outcome})

        def on(self, recorded):
            taken.append(recorded)

    shim = make(sinks=[Sink()])
    for count in (1, 2):
        place(shim, 1)
        thread = shim.dispatch.thread
        shim.close()
        assert len(taken) == count
        thread.join(MINUTE)
        assert not thread.is_alive()
        assert shim.dispatch.thread is None


def test_a_shim_that_is_forgotten_leaves_no_thread():
    """Where nobody closes a shim, its thread ends with it."""
    shim = exit_shim.ExitShim(journal=False)
    place(shim, 1)
    thread = shim.dispatch.thread
    del shim
    gc.collect()
    thread.join(MINUTE)
    assert not thread.is_alive()


def test_the_end_of_the_process_waits_for_what_waits():
    """What was handed over before the end is told, and what an exit function of the bot's places too."""
    status, said = lines_of("""
import atexit
atexit.register(place, 4)
def handle(record):
    time.sleep(0.02)
for number in (1, 2, 3):
    place(number)
""")
    assert status == 0
    assert [line[-1] for line in said if "accepted" in line] == ["1", "2", "3", "4"]


def test_an_order_after_the_last_flush_is_told():
    """An exit function that was registered before the shim was imported runs after it, and is told of too."""
    script = "import atexit\natexit.register(lambda: place(5))\n" + PREAMBLE
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=MINUTE, check=True
    )
    told = [line for line in done.stdout.splitlines() if "exit order" in line]
    assert told == ["submitting exit order None", "exit order accepted k 5"]


def test_a_sink_that_hangs_delays_the_end_by_a_bound():
    """The process ends though a sink hangs, and so do orders in its exit functions."""
    began = time.monotonic()
    status, said = lines_of("""
class Sink:
    def on(self, recorded):
        time.sleep(600)
client = exit_shim.wrap(Client(), shim=exit_shim.ExitShim(journal=False, sinks=[Sink()]))
place(1)
""")
    assert (status, said) == (0, [])
    assert time.monotonic() - began < MINUTE / 2


def test_a_fork_during_an_emission():
    """A child tells of its own orders alone, and can log though the parent was amid it, a lock held."""
    status, said = lines_of("""
import signal
import exit_shim.runtime.process_hooks
held, amid = threading.Lock(), threading.Event()
def handle(record):
    with held:
        amid.set()
        time.sleep(0.05)
place(1)
amid.wait()
child = os.fork()
if not child:
    signal.alarm(60)
    place(2)
    exit_shim.runtime.process_hooks.SHARED_S = 60
    exit_shim.runtime.process_hooks.end_all()
    os._exit(0)
status = os.waitpid(child, 0)[1]
place(3)
sys.exit(status)
""")
    assert status == 0
    assert sorted(line[-1] for line in said if "accepted" in line) == ["1", "2", "3"]


def test_the_end_of_a_child_of_multiprocessing():
    """Such a child skips exit functions; what it handed over is told all the same."""
    status, said = lines_of("""
import multiprocessing
child = multiprocessing.get_context("fork").Process(target=place, args=(1,))
child.start()
child.join()
sys.exit(child.exitcode)
""")
    assert status == 0
    assert [line[-1] for line in said if "accepted" in line] == ["1"]


def test_where_no_thread_can_be_had(make, monkeypatch):
    """Where the system gives no more threads, sinks are told within the call."""

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    taken = []

    class Sink:
        wants = frozenset({Outcome})

        def on(self, recorded):
            taken.append(recorded)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    place(make(sinks=[Sink()]), 1)
    assert len(taken) == 1


class Interleaved(queue.SimpleQueue):
    """A queue in which something else happens once, just before or after an item that is waited for."""

    def __init__(self, is_awaited, *, before=lambda: None, after=lambda: None):
        self._is_awaited, self._before, self._after = is_awaited, before, after

    def put(self, item):
        is_awaited, self._is_awaited = self._is_awaited, lambda _: False
        if not is_awaited(item):
            self._is_awaited = is_awaited
            super().put(item)
            return
        self._before()
        super().put(item)
        self._after()


@pytest.fixture
def dispatch():
    """Work on a thread of its own, stopped after the test."""
    own = Dispatch(lambda _: None)
    yield own
    own.stop()


def test_work_that_comes_while_the_thread_is_told_to_stop(dispatch):
    """It is done though it lies behind what ends the thread, and though nothing comes after it."""
    go, done = threading.Event(), threading.Event()
    dispatch._waiting = Interleaved(lambda item: item is None, after=lambda: dispatch.hand_over(done.set))
    dispatch.hand_over(go.wait, MINUTE)
    dispatch.stop()
    go.set()
    assert done.wait(MINUTE)


@pytest.mark.parametrize("act", ["hand_over", "flush"])
def test_a_thread_that_ends_before_the_work_is_in_the_queue(dispatch, act):
    """Whoever has seen a thread that is gone by then starts another one."""

    def end():
        thread = dispatch.thread
        dispatch.stop()
        thread.join(MINUTE)

    done = threading.Event()
    dispatch._waiting = Interleaved(lambda item: item is not None, before=end)
    assert dispatch.start()
    if act == "flush":
        assert dispatch.flush(MINUTE)
    else:
        dispatch.hand_over(done.set)
        assert done.wait(MINUTE)


def test_work_that_comes_after_the_threads_last_look():
    """A thread that has found nothing more, and is still seen as running, leaves no work behind."""
    done = threading.Event()

    class Late(Dispatch):
        def _end(self, thread):
            if not done.is_set():
                self.hand_over(done.set)
            super()._end(thread)

    dispatch = Late(lambda _: None)
    assert dispatch.start()
    dispatch.stop()
    assert done.wait(MINUTE)
    dispatch.stop()


def test_work_after_stop_waits_for_a_thread_that_is_held_up(dispatch):
    """What comes after `stop` is done after what came before it, in its order, and flushes wait for it."""
    go, done = threading.Event(), []
    dispatch.hand_over(go.wait, MINUTE)
    dispatch.hand_over(done.append, 1)
    for number in (2, 3, 4):
        dispatch.stop()
        dispatch.hand_over(done.append, number)
    assert not dispatch.flush(0.01)
    go.set()
    assert dispatch.flush(MINUTE)
    assert done == [1, 2, 3, 4]


def test_what_is_left_where_no_thread_can_be_had_any_more(dispatch, monkeypatch):
    """Work whose thread ended meanwhile is done by whoever handed it over."""

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    def end():
        thread = dispatch.thread
        dispatch.stop()
        thread.join(MINUTE)
        monkeypatch.setattr(threading.Thread, "start", refuse)

    done = []
    dispatch._waiting = Interleaved(lambda item: item is not None, before=end)
    assert dispatch.start()
    dispatch.hand_over(done.append, 1)
    assert done == [1]
    assert dispatch.flush(MINUTE)


def test_a_thread_for_late_work_ends_with_its_queue():
    """A thread that was started after `stop` does not outlive all who could hand it work."""
    dispatch = Dispatch(lambda _: None)
    dispatch.stop()
    dispatch.hand_over(int)
    assert dispatch.flush(MINUTE)
    thread = dispatch.thread
    del dispatch
    gc.collect()
    thread.join(MINUTE)
    assert not thread.is_alive()


def test_a_flush_replaces_a_thread_that_has_died(monkeypatch):
    """A thread that could not say that it ended leaves work waiting; a flush has it done."""
    monkeypatch.setattr(exit_shim.runtime.background, "INLINE", False)
    dead = threading.Thread(target=int)
    dead.start()
    dead.join()
    done = []
    dispatch = Dispatch(lambda _: None)
    dispatch.thread = dead
    dispatch.hand_over(done.append, 1)
    assert dispatch.flush(5.0)
    assert done == [1]
    dispatch.stop()
