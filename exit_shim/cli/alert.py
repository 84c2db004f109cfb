"""`exit-shim alert`: the services that alerts go to, and a test message to all of them."""

import sys
import time
from typing import Final

import click

from exit_shim.alerts.episodes import Message
from exit_shim.alerts.watch import alert_sent
from exit_shim.cli.clock import Clock
from exit_shim.cli.output import say
from exit_shim.domain.events import AlertSent
from exit_shim.journal import Journal
from exit_shim.journal.default_path import journal_path
from exit_shim.sinks.alerts import (
    URLS_VARIABLE,
    AlertServices,
    AlertUrlError,
    Delivery,
    Mail,
    find_urls,
    named,
)

FAILED, NO_SERVICE = 1, 2

LOOK_S: Final = 0.05

TEST: Final = Message(
    "test", "test", "exit-shim: this is a test", "Alerts reach you here. Nothing has happened."
)


@click.command()
@click.option("--test", "is_test", is_flag=True, help="Send a test message to all of them, once.")
def alert(*, is_test: bool) -> None:
    """List the services that alerts go to, and test them.

    Their addresses are in EXIT_SHIM_ALERT_URLS, as apprise has them, separated by spaces or commas. They hold
    secrets, so they are never shown and never taken from the command line.

    The exit status is 0 where all services took the test, 1 where one did not, 2 where there is none.
    """
    services = open_services()
    if services is None:
        say(f"no service is configured: set {URLS_VARIABLE}, such as tgram://TOKEN/CHAT", err=True)
        sys.exit(NO_SERVICE)
    if is_test:
        sys.exit(FAILED if send_test(services) else 0)
    say(*services.names)


def open_services() -> AlertServices | None:
    """Return the services of the environment; None where there are none; end the command with an error."""
    urls = find_urls()
    if not urls:
        return None
    try:
        return AlertServices(urls)
    except AlertUrlError as error:
        say(str(error), err=True)
        sys.exit(NO_SERVICE)
    except ModuleNotFoundError as missing:
        if missing.name != "apprise":
            raise
        names = ", ".join(name for name, _ in named(urls))
        raise click.ClickException(
            f"alerts to {names} need apprise: pip install 'exit_shim[alerts]'"
        ) from None


def describe_services(services: AlertServices | None) -> str:
    """Say where alerts go, by names without secrets."""
    if services is None:
        return f"NO SERVICE IS CONFIGURED: alerts are only printed here; set {URLS_VARIABLE}"
    return f"to {', '.join(services.names)}"


def send_test(services: AlertServices) -> bool:
    """Send the test message, say what each service answered, and return whether one failed."""
    delivery = services.send(Mail(TEST.title, TEST.text, is_urgent=False))
    while not delivery.is_over(time.monotonic()):
        time.sleep(LOOK_S)
    services.stop()
    say(*answer_lines(delivery))
    record_test(delivery)
    return bool(delivery.failures)


def answer_lines(delivery: Delivery) -> list[str]:
    """Return what each service answered, a line each."""
    failures = delivery.failures
    return [
        f"{name}: {'FAILED: ' + failures[name] if name in failures else 'sent'}" for name in delivery.names
    ]


def record_test(delivery: Delivery) -> None:
    """Record the test in the journal, where that can be written."""
    error = "; ".join(f"{name}: {why}" for name, why in delivery.failures.items()) or None
    journal = Journal(journal_path())
    journal.append(alert_sent(TEST, delivery.taken, error))
    journal.close()


def alert_line(sent: AlertSent, clock: Clock, now_ns: int | None = None) -> str:
    """Return what is printed about an alert: when, what, and what became of it."""
    at = clock.second(time.time_ns() if now_ns is None else now_ns)
    word = {"first": "ALERT", "reminder": "ALERT", "over": "over "}[sent.stage]
    took = f"sent to {', '.join(sent.to)}" if sent.to else "NOT SENT"
    failed = f"; FAILED: {sent.error}" if sent.error is not None else ""
    return f"{at} {word} {sent.alert}: {sent.title} [{took}{failed}]"
