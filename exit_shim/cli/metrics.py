"""`exit-shim metrics`: serve what the journal says to Prometheus."""

import os
import signal
import threading
from typing import Final

import click

from exit_shim.cli.options import from_option, journal_option
from exit_shim.cli.output import say
from exit_shim.cli.sources import readable_journal_errors, source_at
from exit_shim.journal import RecordSource

PORT: Final = 9816


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    metavar="N",
    help="The port to listen on; 0: one that is free.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="The address to listen at. Whoever reaches it can read modules, symbols and bare positions.",
)
@click.option("--once", is_flag=True, help="Print the metrics, and end.")
@journal_option
@from_option
def metrics(*, port: int, host: str, once: bool, journal: str | None, dsn: str | None) -> None:
    """Serve Prometheus metrics of the recorded orders.

    GET /metrics reads the journal (or, with --from, the central database) when it is scraped, so nothing is
    counted in a bot's process. Where it cannot be read, the answer has `exit_shim_up 0`, and stderr says why.
    Ctrl-C and SIGTERM end it.
    """
    with readable_journal_errors():
        source = source_at(journal, dsn)
    try:
        if once:
            print_metrics(source)
        else:
            serve(source, host, port)
    except ModuleNotFoundError as missing:
        if missing.name != "prometheus_client":
            raise
        raise click.ClickException(f"exit-shim's {missing}") from None


def print_metrics(source: RecordSource) -> None:
    """Print the metrics once."""
    from exit_shim.sinks.prometheus import Exporter  # noqa: PLC0415 - an extra

    body, _ = Exporter(source, on_problem=report_problem).render()
    # The status is 0 also where nothing could be read: `metrics --once > new && mv new old` must not keep an
    # old file that says that all is well.
    say(*body.decode().splitlines())


def serve(source: RecordSource, host: str, port: int) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    from exit_shim.sinks.prometheus import Exporter, MetricsServer  # noqa: PLC0415 - an extra

    exporter = Exporter(source, on_problem=report_problem)
    try:
        server = MetricsServer(exporter, host, port)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise click.ClickException(
            f"cannot listen on {host}:{port}: {reason}; choose another with --host or --port"
        ) from None
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    server.start()
    say(f"serving metrics of {source.name} at {server.url}")
    if not server.is_local:
        say("anyone who reaches this address can read modules, symbols and bare positions", err=True)
    try:
        stopped.wait()
    finally:
        server.stop()


def report_problem(problem: str | None) -> None:
    """Print to stderr what prevents reading, or that it is over."""
    say(problem or "the record can be read again", err=True)
