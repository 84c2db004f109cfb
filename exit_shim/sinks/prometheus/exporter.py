"""Answer scrapes: read the record at most once a second, whoever asks."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from exit_shim.journal import JournalError, RecordSource
from exit_shim.runtime.scrubbing import describe as describe_error
from exit_shim.sinks.prometheus.declared import METRICS, Metric
from exit_shim.sinks.prometheus.figures import Figures, describe, describe_failure
from exit_shim.sinks.prometheus.labels import LabelLimits
from exit_shim.sinks.prometheus.reading import Memory, read_all

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric as Family

FRESH_S: Final = 1.0
"""How long a reading serves; one that took longer serves for as long as it took."""


class Exporter:
    """The metrics of a record, read when they are asked for; nothing is counted in a bot's process.

    Thread-safe: scrapes at the same time share one reading. Make one and keep it, since counters rely on what
    it remembers.

    Args:
        source: What to read.
        on_problem: Called with what prevents reading, when that changes; None: it can be read again.
        clock: Seconds that never go back.

    Raises:
        ModuleNotFoundError: prometheus-client is missing.
    """

    def __init__(
        self,
        source: RecordSource,
        *,
        on_problem: Callable[[str | None], object] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.problem: str | None = None
        self._source = source
        self._on_problem = on_problem
        self._clock = clock
        self._lock = threading.Lock()
        self._limits = LabelLimits()
        self._memory = Memory()
        self._figures: Figures | None = None
        self._serves_until = 0.0
        self.registry = make_registry(self.read)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Return the metrics and their content type; it reads, so call it on a thread that may wait.

        Args:
            accept: The Accept header of the request: Prometheus's text format, or OpenMetrics.
        """
        from prometheus_client.exposition import choose_encoder  # noqa: PLC0415 - an extra

        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def read(self) -> Figures:
        """Return the numbers, at most a second old."""
        with self._lock:
            if self._figures is None or self._clock() >= self._serves_until:
                began = self._clock()
                self._figures = self._read_now()
                now = self._clock()
                self._serves_until = now + max(FRESH_S, now - began)
            return self._figures

    def _read_now(self) -> Figures:
        problem, figures = None, describe_failure()
        try:
            figures = describe(read_all(self._source, self._memory), self._limits)
        # Whatever prevents reading, the scrape says so itself: a dead exporter would hide it.
        except Exception as error:  # noqa: BLE001
            text = str(error) if isinstance(error, JournalError) else describe_error(error)
            problem = " ".join(text.split())
        if problem != self.problem:
            self.problem = problem
            self._on_problem(problem)
        return figures


def make_registry(read: Callable[[], Figures]) -> "CollectorRegistry":
    """Return a registry that reads when it is asked."""
    try:
        from prometheus_client import CollectorRegistry  # noqa: PLC0415 - an extra
        from prometheus_client.registry import Collector  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        if missing.name != "prometheus_client":
            raise
        raise ModuleNotFoundError(
            "metrics need prometheus-client: pip install 'exit_shim[prometheus]'", name=missing.name
        ) from None

    class RecordCollector(Collector):
        """Collects from the record."""

        def describe(self) -> Iterator["Family"]:
            """Declare all metrics without reading anything."""
            return map(declare, METRICS.values())

        def collect(self) -> Iterator["Family"]:
            """Return all metrics with their samples."""
            return families_of(read())

    registry = CollectorRegistry()
    registry.register(RecordCollector())
    return registry


def families_of(figures: Figures) -> Iterator["Family"]:
    """Yield every metric, with what is known of it."""
    from prometheus_client.core import (  # noqa: PLC0415 - an extra
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        InfoMetricFamily,
    )

    for metric in METRICS.values():
        family = declare(metric)
        histogram = figures.histograms.get(metric.name)
        if isinstance(family, HistogramMetricFamily) and histogram is not None:
            family.add_metric((), histogram.buckets, histogram.sum_s)
        for labels, value in figures.series.get(metric.name, {}).items():
            if isinstance(family, (CounterMetricFamily, GaugeMetricFamily)):
                family.add_metric(labels, value)
            elif isinstance(family, InfoMetricFamily):
                family.add_metric((), dict(zip(metric.labels, labels, strict=True)))
        yield family


def declare(metric: Metric) -> "Family":
    """Return a metric without samples."""
    from prometheus_client import core  # noqa: PLC0415 - an extra

    if metric.type == "info":
        return core.InfoMetricFamily(metric.name.removesuffix("_info"), metric.help)
    if metric.type == "histogram":
        return core.HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    if metric.type == "counter":
        return core.CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    return core.GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
