"""Count orders with OpenTelemetry, and add a span for each order that was placed inside a span of the bot."""

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

from exit_shim.domain.events import GuardFinding, Intent, Outcome, Resolution, Result, warn_if_found
from exit_shim.domain.recorded import RecordedEvent
from exit_shim.domain.verdicts import Reason
from exit_shim.runtime.process_hooks import end_before_others

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

NAME: Final = "exit_shim"
"""The instrumentation scope of all that is measured here."""

MOST_NAMES: Final = 200
"""The different modules, modes and codes that become attributes of metrics."""

MOST_LETTERS: Final = 200
"""The letters of such a name that become an attribute."""

OTHER: Final = "other"
"""The attribute of what comes beyond them."""

MOST_IN_DOUBT: Final = 10_000
"""The orders in doubt that are remembered, to count each resolution once."""

DURATIONS_S: Final = (*(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),)
BEFORE_SEND_S: Final = (
    *(0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5),
)

NEVER_LEFT: Final[frozenset[Result]] = frozenset({"denied", "simulated", "not_sent"})
"""Outcomes of orders that the exchange has certainly not seen."""

ERRORS: Final[Mapping[Result, str]] = {
    "rejected": "rejected",
    "denied": "denied",
    "unknown": "in_doubt",
    "not_sent": "not_sent",
}
"""The `error.type` of each outcome that is an error, where the exchange gave no code."""

Attributes = dict[str, Any]


class OtelSink:
    """Count orders and findings, and add a span for each order that was placed inside a span of the bot.

    Everything is done after the outcome, on the background thread: an order does not wait for it. It uses the
    providers that the bot has configured, and makes none. Needs the extra `otel`.

    Args:
        tracer_provider: Takes the spans; None for the process-wide provider.
        meter_provider: Takes the metrics; None for the process-wide provider.

    Raises:
        ImportError: opentelemetry-api is not installed.
    """

    wants: Final = frozenset({Outcome, Resolution, GuardFinding})
    is_after_rules: Final = True

    def __init__(
        self,
        tracer_provider: "TracerProvider | None" = None,
        meter_provider: "MeterProvider | None" = None,
    ) -> None:
        try:
            from opentelemetry import metrics, trace  # noqa: PLC0415 - an extra, for those who use it
        except ImportError as missing:
            raise ImportError(
                f"OtelSink needs opentelemetry-api ({missing}): pip install 'exit_shim[otel]'"
            ) from None
        self._trace = trace
        self._tracer = trace.get_tracer(NAME, own_version(), tracer_provider)
        self._instruments = Instruments(metrics.get_meter(NAME, own_version(), meter_provider))
        # An exporter shuts down as the process ends, and would miss the last orders.
        end_before_others()

    def on(self, recorded: RecordedEvent) -> None:
        """Take one event; it is called in the context of the code that placed the order."""
        event, intent = recorded.event, recorded.intent
        if isinstance(event, Outcome) and intent is not None:
            reasons = intent.verdict.reasons + getattr(recorded, "found", ())
            self._instruments.count_order(recorded, intent, event, reasons)
            self._add_span(recorded, intent, event, reasons)
        elif isinstance(event, Resolution):
            self._instruments.count_resolution(recorded, event)
        elif isinstance(event, GuardFinding):
            self._instruments.count_findings((event.reason,))

    def _add_span(
        self, recorded: RecordedEvent, intent: Intent, outcome: Outcome, reasons: Sequence[Reason]
    ) -> None:
        """Add a span below the one that is current in the bot; none where there is none."""
        if not self._trace.get_current_span().get_span_context().is_valid:
            return
        span = self._tracer.start_span(
            f"{intent.operation} {intent.order.kind}",
            attributes=attributes_of(recorded, intent, outcome, reasons),
            start_time=recorded.ts - round(outcome.total_us * 1000),
        )
        if outcome.result in ERRORS:
            words = outcome.error_message or ERRORS[outcome.result]
            span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, words))
        span.end(recorded.ts)


class Instruments:
    """Hold the metrics, each with a bounded number of attributes.

    Args:
        meter: Makes them.
    """

    def __init__(self, meter: Any) -> None:
        self._orders = meter.create_counter(
            "exit_shim.orders", "{order}", "Exit orders, changes and cancels, by what became of them."
        )
        self._findings = meter.create_counter(
            "exit_shim.findings", "{finding}", "What the guard found, by reason code."
        )
        self._in_doubt = meter.create_up_down_counter(
            "exit_shim.orders.in_doubt", "{order}", "Orders of this process that nobody knows the outcome of."
        )
        self._resolved = meter.create_counter(
            "exit_shim.orders.resolved", "{order}", "Orders in doubt of which the outcome was found later."
        )
        self._duration = meter.create_histogram(
            "exit_shim.order.duration",
            "s",
            "The whole call as the bot saw it, the exchange included.",
            explicit_bucket_boundaries_advisory=DURATIONS_S,
        )
        self._before_send = meter.create_histogram(
            "exit_shim.order.before_send",
            "s",
            "What exit_shim added before an order was sent.",
            explicit_bucket_boundaries_advisory=BEFORE_SEND_S,
        )
        self._modules, self._modes, self._codes = BoundedNames(), BoundedNames(), BoundedNames()
        self._unresolved: set[tuple[str, int]] = set()

    def count_order(
        self, recorded: RecordedEvent, intent: Intent, outcome: Outcome, reasons: Sequence[Reason]
    ) -> None:
        """Count an order with its outcome, once."""
        attributes = {
            "exit_shim.module": self._modules.bound(intent.attribution.module),
            "exit_shim.kind": intent.order.kind,
            "exit_shim.operation": intent.operation,
            "exit_shim.outcome": outcome.result,
            "exit_shim.mode": self._modes.bound(intent.mode),
        }
        self._orders.add(1, attributes)
        self.count_findings(reasons)
        if outcome.result not in NEVER_LEFT:
            of_call = {name: attributes[name] for name in ("exit_shim.operation", "exit_shim.outcome")}
            self._duration.record(outcome.total_us / 1e6, of_call)
            self._before_send.record(outcome.presend_us / 1e6, {"exit_shim.operation": intent.operation})
        if outcome.result == "unknown" and len(self._unresolved) < MOST_IN_DOUBT:
            self._unresolved.add(key_of(recorded))
            self._in_doubt.add(1)

    def count_findings(self, reasons: Sequence[Reason]) -> None:
        """Count reasons of the guard."""
        for reason in reasons:
            self._findings.add(1, {"exit_shim.code": self._codes.bound(reason.code)})

    def count_resolution(self, recorded: RecordedEvent, resolution: Resolution) -> None:
        """Count that the outcome of an order in doubt is known; it may be one of an earlier run."""
        self._resolved.add(1, {"exit_shim.resolution": resolution.result})
        key = key_of(recorded)
        if key in self._unresolved:
            self._unresolved.discard(key)
            self._in_doubt.add(-1)


class BoundedNames:
    """Let through a limited number of different names."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def bound(self, name: str) -> str:
        """Return a name, cut where it is long, or "other" for one beyond the limit."""
        name = name[:MOST_LETTERS]
        if name in self._names:
            return name
        if len(self._names) >= MOST_NAMES:
            return OTHER
        self._names.add(name)
        return name


def attributes_of(
    recorded: RecordedEvent, intent: Intent, outcome: Outcome, reasons: Sequence[Reason]
) -> Attributes:
    """Return the attributes of an order's span that have a value."""
    order, who = intent.order, intent.attribution
    attributes = {
        "code.function.name": function_name(who.dotted_module, who.function),
        "code.file.path": who.file,
        "code.line.number": who.line,
        "error.type": error_type(outcome),
        "exit_shim.module": who.module,
        "exit_shim.evidence": who.evidence,
        "exit_shim.via": who.via,
        "exit_shim.mode": intent.mode,
        "exit_shim.account": intent.account,
        "exit_shim.door": intent.door,
        "exit_shim.operation": intent.operation,
        "exit_shim.targets": [f"{one.kind} of {one.module or 'unknown'}" for one in intent.targets],
        "exit_shim.kind": order.kind,
        "exit_shim.symbol": order.symbol,
        "exit_shim.side": order.side,
        "exit_shim.position_side": order.position_side,
        "exit_shim.type": order.type,
        "exit_shim.quantity": order.quantity,
        "exit_shim.price": order.price,
        "exit_shim.trigger_price": order.trigger_price,
        "exit_shim.client_order_id": outcome.client_order_id or order.client_order_id,
        "exit_shim.order_id": outcome.order_id,
        "exit_shim.algo_id": outcome.algo_id,
        "exit_shim.verdict": warn_if_found(intent.verdict.action, tuple(reasons)),
        "exit_shim.reasons": [str(reason) for reason in reasons],
        "exit_shim.outcome": outcome.result,
        "exit_shim.error_code": outcome.error_code,
        "exit_shim.before_send_s": None if outcome.result in NEVER_LEFT else outcome.presend_us / 1e6,
        "exit_shim.record": record_name(recorded),
    }
    return {name: value for name, value in attributes.items() if value not in (None, [], ())}


def function_name(module: str | None, function: str | None) -> str | None:
    """Return a function's name with its module, as OpenTelemetry has it."""
    return f"{module}.{function}" if module and function else function


def error_type(outcome: Outcome) -> str | None:
    """Return the exchange's code or our word for what went wrong; None where nothing did."""
    word = ERRORS.get(outcome.result)
    if word is None or outcome.result == "denied" or outcome.error_code is None:
        return word
    return str(outcome.error_code)


def key_of(recorded: RecordedEvent) -> tuple[str, int]:
    """Return the run and number of the intent that an event is about."""
    about = recorded.about or recorded
    return about.run_id, about.seq


def record_name(recorded: RecordedEvent) -> str | None:
    """Return what `exit-shim explain` finds the order by; None where it is in no journal."""
    run_id, seq = key_of(recorded)
    return f"{run_id}:{seq}" if run_id and seq else None


def own_version() -> str:
    """Return the version of this package; "" where it is not installed as one."""
    try:
        return version(NAME)
    except PackageNotFoundError:
        return ""
