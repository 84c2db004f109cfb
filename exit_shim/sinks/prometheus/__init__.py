"""Serve the record as Prometheus metrics, read at each scrape. Needs the extra `prometheus`."""

from exit_shim.sinks.prometheus.exporter import Exporter
from exit_shim.sinks.prometheus.server import MetricsServer

__all__ = ["Exporter", "MetricsServer"]
