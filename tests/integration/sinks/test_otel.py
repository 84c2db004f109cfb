"""OpenTelemetry's metrics and spans, with its real SDK and genuine clients on the local exchange."""

import asyncio
import contextlib
import logging
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter

import pytest
import requests
from abilities import needs_generated_ids
from binance.exceptions import BinanceAPIException
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv.attributes import code_attributes, error_attributes
from opentelemetry.trace import StatusCode

import exit_shim
from exit_shim.domain.events import Resolution
from exit_shim.errors import ExitOrderDenied
from exit_shim.guard.policy import parse_policy
from exit_shim.journal import read_records
from exit_shim.resolving import RetryPolicy
from exit_shim.sinks.log import LogSink
from exit_shim.sinks.otel import MOST_LETTERS, MOST_NAMES, OTHER, OtelSink
from exit_shim.testing import FakeClient, faults
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET

OPEN = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": 0.01}
STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "stopPrice": 50000, "closePosition": True}
PART = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "stopPrice": 50000, "quantity": 0.005}
ENFORCED = """
level = "enforce"
look_within_s = 10
[modes.EXIT_BRAIN_V3]
owners = ["brain"]
legacy = ["helper"]
"""


class Telemetry:
    """A bot's own providers, kept in memory."""

    def __init__(self):
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.traces = TracerProvider()
        self.traces.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meters = MeterProvider([self.reader])
        self.tracer = self.traces.get_tracer("bot")

    def sink(self):
        return OtelSink(self.traces, self.meters)

    def spans(self):
        """The spans of orders, oldest first."""
        return [
            one for one in self.exporter.get_finished_spans() if one.instrumentation_scope.name == "exit_shim"
        ]

    def metrics(self):
        """Each metric by name."""
        data = self.reader.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics]
        return {metric.name: metric for scope in scopes for metric in scope.metrics}

    def points(self, name):
        """The points of a metric: its value, or number of values, by attributes without their prefix."""
        return {
            tuple(value for _, value in sorted(point.attributes.items())): getattr(point, "value", None)
            if hasattr(point, "value")
            else point.count
            for point in self.metrics()[name].data.data_points
        }

    def close(self):
        self.traces.shutdown()
        self.meters.shutdown()


@pytest.fixture
def telemetry():
    made = Telemetry()
    yield made
    made.close()


@pytest.fixture
def shim(telemetry, tmp_path):
    """A shim with the sink alone and an account that enforces nothing."""
    made = exit_shim.ExitShim(journal=tmp_path / "journal.db", sinks=[telemetry.sink()], account="one")
    yield made
    made.close()


def test_an_order_is_a_span_below_the_bots_own(telemetry, shim, client):
    """Its times, names and parent are those of the call, though it is made afterwards."""
    wrapped = shim.wrap(client)
    wrapped.futures_create_order(**OPEN)
    before = time.time_ns()
    with telemetry.tracer.start_as_current_span("cycle") as parent:
        placed = wrapped.futures_create_order(**STOP)
    line = test_an_order_is_a_span_below_the_bots_own.__code__.co_firstlineno + 6
    assert shim.flush()
    (span,) = telemetry.spans()
    assert span.name == "place sl"
    assert span.parent == parent.get_span_context()
    assert before <= span.start_time < span.end_time <= parent.end_time
    assert span.status.status_code is StatusCode.UNSET
    said = dict(span.attributes)
    assert said[code_attributes.CODE_FUNCTION_NAME].endswith(
        "test_otel.test_an_order_is_a_span_below_the_bots_own"
    )
    assert said[code_attributes.CODE_FILE_PATH] == __file__
    assert said[code_attributes.CODE_LINE_NUMBER] == line
    assert error_attributes.ERROR_TYPE not in said
    assert said["exit_shim.module"] == "test_otel"
    assert (said["exit_shim.kind"], said["exit_shim.symbol"]) == ("sl", "BTCUSDT")
    assert said["exit_shim.algo_id"] == placed["algoId"]
    assert said["exit_shim.client_order_id"] == placed["clientAlgoId"]
    assert said["exit_shim.trigger_price"] == "50000"
    assert said["exit_shim.verdict"] == "allow"
    assert 0 < said["exit_shim.before_send_s"] < (span.end_time - span.start_time) / 1e9
    (record,) = read_records(shim.journal.path)
    assert said["exit_shim.record"] == f"{record.run_id}:{record.seq}"


def test_without_a_span_of_the_bot_there_is_none_and_orders_are_counted(telemetry, shim, client):
    """A span that is a trace of its own would tell nobody anything; entries are neither."""
    wrapped = shim.wrap(client)
    wrapped.futures_create_order(**OPEN)
    with exit_shim.attributed("monitor"):
        wrapped.futures_create_order(**STOP)
    wrapped.futures_cancel_all_algo_open_orders(symbol="BTCUSDT")
    assert shim.flush()
    assert telemetry.spans() == []
    assert telemetry.points("exit_shim.orders") == {
        ("sl", "LEGACY", "monitor", "place", "accepted"): 1,
        ("sl", "LEGACY", "test_otel", "cancel", "accepted"): 1,
    }
    calls = telemetry.points("exit_shim.order.duration")
    assert calls == {("place", "accepted"): 1, ("cancel", "accepted"): 1}
    assert telemetry.points("exit_shim.order.before_send") == {("place",): 1, ("cancel",): 1}
    found = telemetry.points("exit_shim.findings")
    assert found[("FOREIGN_CANCEL",)] == found[("STRIPPED",)] == 1
    (bucketed,) = [
        point
        for point in telemetry.metrics()["exit_shim.order.duration"].data.data_points
        if point.attributes["exit_shim.operation"] == "place"
    ]
    assert 0 < bucketed.sum < 60
    assert bucketed.explicit_bounds[0] == 0.001
    assert {name: metric.unit for name, metric in telemetry.metrics().items()} == {
        "exit_shim.orders": "{order}",
        "exit_shim.findings": "{finding}",
        "exit_shim.order.duration": "s",
        "exit_shim.order.before_send": "s",
    }


async def test_each_task_has_its_orders_below_its_own_span(telemetry, shim, async_client):
    """Three tasks that order at the same time: no order is below another task's span."""
    wrapped = shim.wrap(async_client)
    await wrapped.futures_create_order(**{**OPEN, "quantity": 0.1})

    async def protect(name, price):
        with telemetry.tracer.start_as_current_span(name) as parent:
            await asyncio.gather(
                *(
                    wrapped.futures_create_order(**{**PART, "stopPrice": price + step, "reduceOnly": "true"})
                    for step in (0, 1)
                )
            )
        return parent.get_span_context().span_id, price

    parents = dict(await asyncio.gather(*(protect(f"task{price}", price) for price in (41000, 42000, 43000))))
    assert await asyncio.to_thread(shim.flush)
    below = [
        (one.parent.span_id, float(one.attributes["exit_shim.trigger_price"])) for one in telemetry.spans()
    ]
    assert sorted(below) == sorted(
        (span_id, float(price + step)) for span_id, price in parents.items() for step in (0, 1)
    )
    assert {one.attributes["exit_shim.outcome"] for one in telemetry.spans()} == {"accepted"}


def test_what_went_wrong_is_an_error_with_a_type_of_few(telemetry, tmp_path, client, exchange):
    """Refused by the exchange, denied by the guard and in doubt; what warned is among the reasons."""
    shim = exit_shim.ExitShim(
        journal=tmp_path / "journal.db",
        sinks=[telemetry.sink()],
        policy=parse_policy(ENFORCED),
        mode="EXIT_BRAIN_V3",
        account="one",
    )
    wrapped = shim.wrap(client)
    wrapped.futures_create_order(**OPEN)
    with telemetry.tracer.start_as_current_span("cycle"):
        with exit_shim.attributed("brain"):
            wrapped.futures_create_order(**{**STOP, "stopPrice": 59_500})
            with pytest.raises(BinanceAPIException):
                wrapped.futures_create_order(**STOP)
        with exit_shim.attributed("helper"), pytest.raises(ExitOrderDenied):
            wrapped.futures_create_order(**STOP)
        with exit_shim.attributed("stranger"):
            wrapped.futures_create_order(**PART, reduceOnly="true")
        exchange.faults.inject(faults.reset_after_execution())
        with exit_shim.attributed("brain"), pytest.raises(requests.ConnectionError):
            wrapped.futures_create_order(**PART, reduceOnly="true")
    shim.close()
    accepted, refused, denied, warned, doubtful = telemetry.spans()
    assert [one.attributes.get("error.type") for one in telemetry.spans()] == [
        *(None, "-4130", "denied", None, "in_doubt"),
    ]
    assert not any(LOCAL_SECRET in one.to_json() or LOCAL_KEY in one.to_json() for one in telemetry.spans())
    for error in (refused, denied, doubtful):
        assert error.status.status_code is StatusCode.ERROR
        assert error.status.description
    assert accepted.status.status_code is warned.status.status_code is StatusCode.UNSET
    assert denied.attributes["exit_shim.verdict"] == "deny"
    assert denied.attributes["exit_shim.reasons"][0].startswith("OWNERSHIP_CONFLICT")
    assert "exit_shim.before_send_s" not in denied.attributes
    assert any(reason.startswith("DUPLICATE_EXIT") for reason in warned.attributes["exit_shim.reasons"])
    assert warned.attributes["exit_shim.verdict"] == "warn"
    assert telemetry.points("exit_shim.orders.in_doubt") == {(): 1}
    assert ("place", "denied") not in telemetry.points("exit_shim.order.duration")


class Hears:
    """A sink that waits for a resolution."""

    wants = frozenset({Resolution})

    def __init__(self):
        self.heard = threading.Event()

    def on(self, recorded):
        self.heard.set()


@needs_generated_ids
def test_an_order_in_doubt_is_counted_until_it_is_found(telemetry, tmp_path, client, exchange):
    """The number in doubt goes back to zero, and the resolution is counted."""
    hears = Hears()
    shim = exit_shim.ExitShim(
        journal=tmp_path / "journal.db",
        sinks=[telemetry.sink(), hears],
        resolve=RetryPolicy(absent_after_s=60.0, looks=3, first_s=0.02, longest_s=0.2, weight_a_minute=600),
    )
    wrapped = shim.wrap(client)
    wrapped.futures_create_order(**OPEN)
    exchange.faults.inject(faults.reset_after_execution())
    with pytest.raises(requests.ConnectionError):
        wrapped.futures_create_order(**STOP)
    assert hears.heard.wait(60)
    shim.close()
    assert telemetry.points("exit_shim.orders.in_doubt") == {(): 0}
    assert telemetry.points("exit_shim.orders.resolved") == {("accepted",): 1}


def test_a_million_modules_are_few_attributes(telemetry, shim):
    """Beyond the first 200 names the module is "other", and no order is lost of the count."""
    client = shim.wrap(FakeClient())
    client.futures_create_order(**OPEN)
    names = ["m" * 1_000_000, *(f"module_{number}" for number in range(1, MOST_NAMES + 20))]
    for name in names:
        with exit_shim.attributed(name):
            client.futures_cancel_all_algo_open_orders(symbol="BTCUSDT")
    assert shim.flush()
    by_module = Counter()
    for point in telemetry.metrics()["exit_shim.orders"].data.data_points:
        by_module[point.attributes["exit_shim.module"]] += point.value
    assert len(by_module) == MOST_NAMES + 1
    assert max(map(len, by_module)) == MOST_LETTERS
    assert by_module[OTHER] == 20


def calls_of(client, order, sent):
    """Every call on this thread, of Python and of C, from the bot's call to the send, and after it.

    Of nine orders it is the one with the fewest: another thread may make one of them wait.
    """
    orders = []

    def note(frame, event, argument):
        if event in {"call", "c_call"}:
            name = argument.__name__ if event == "c_call" else frame.f_code.co_name
            orders[-1]["after" if sent else "before"].append((event, frame.f_code.co_filename, name))

    for _ in range(20):
        client.futures_create_order(**order)
    for _ in range(9):
        sent.clear()
        orders.append({"before": [], "after": []})
        sys.setprofile(note)
        try:
            client.futures_create_order(**order)
        finally:
            sys.setprofile(None)
    return {part: min((calls[part] for calls in orders), key=len) for part in ("before", "after")}


@pytest.mark.parametrize("others", [[], [LogSink()]], ids=["alone", "beside the log"])
def test_nothing_is_added_before_a_send(telemetry, tmp_path, others):
    """Inside a span, every call until the client's method is entered is the same with the sink and without.

    After the send nothing of OpenTelemetry runs on the order's thread either.
    """
    sent = []

    class Client:
        def futures_create_order(self, **params):
            sent.append(1)
            return {"orderId": 1}

    def count(name, sinks):
        own = exit_shim.ExitShim(journal=tmp_path / name, sinks=sinks)
        with contextlib.closing(own):
            return calls_of(own.wrap(Client()), {**PART, "reduceOnly": "true"}, sent)

    with telemetry.tracer.start_as_current_span("cycle"):
        without = count("without.db", others)
        with_it = count("with.db", [*others, telemetry.sink()])
    assert len(without["before"]) > 20
    assert with_it["before"] == without["before"]
    assert with_it["after"] == without["after"]
    assert len(telemetry.spans()) == 29


def test_without_the_library_there_is_one_readable_error(monkeypatch, caplog, tmp_path):
    """In code it is raised; from the environment it is a warning, and orders go out."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ImportError, match=r"needs opentelemetry-api .*pip install 'exit_shim\[otel\]'"):
        OtelSink()
    monkeypatch.setenv("EXIT_SHIM_OTEL", "1")
    caplog.set_level(logging.WARNING, "exit_shim")
    shim = exit_shim.ExitShim(journal=tmp_path / "journal.db")
    client = shim.wrap(FakeClient())
    client.futures_create_order(**OPEN)
    client.futures_create_order(**STOP)
    shim.close()
    assert "EXIT_SHIM_OTEL has no effect: OtelSink needs opentelemetry-api" in caplog.text


BOT = """
import exit_shim
from exit_shim.testing import FakeClient

client = exit_shim.wrap(FakeClient())
client.futures_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
STOP = dict(symbol="BTCUSDT", side="SELL", type="STOP_MARKET", stopPrice=50_000, closePosition=True)
"""

EXPORTING = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter()))
trace.set_tracer_provider(provider)
with trace.get_tracer("bot").start_as_current_span("cycle"):
    client.futures_create_order(**STOP)
"""

UNCONFIGURED = """
from opentelemetry import metrics, trace

client.futures_create_order(**STOP)
exit_shim.shim.default_shim().flush()
print(type(trace.get_tracer_provider()).__name__, type(metrics.get_meter_provider()).__name__)
"""


def run_bot(text, tmp_path, monkeypatch):
    monkeypatch.setenv("EXIT_SHIM_OTEL", "1")
    path = tmp_path / "bot.py"
    path.write_text(textwrap.dedent(BOT + text))
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=True, timeout=120)
    assert "has no effect" not in done.stderr
    return done.stdout


def test_the_last_order_of_a_process_is_exported(tmp_path, monkeypatch):
    """A bot that ends right after its order, with a provider that shuts down at exit, loses no span."""
    printed = run_bot(EXPORTING, tmp_path, monkeypatch)
    assert '"name": "cycle"' in printed
    assert '"name": "place sl"' in printed


def test_it_makes_no_provider(tmp_path, monkeypatch):
    """Where the bot has configured none, there are only OpenTelemetry's own stand-ins."""
    assert run_bot(UNCONFIGURED, tmp_path, monkeypatch).split() == [
        "ProxyTracerProvider",
        "_ProxyMeterProvider",
    ]
