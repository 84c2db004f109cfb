"""Send alerts to people by apprise: Telegram, Discord, Slack, mail, webhooks and a hundred others.

The addresses hold the secrets of the services, so they come from the environment alone, and no text that
leaves this file has any part of one but the scheme.
"""

import contextlib
import logging
import os
import queue
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from exit_shim.runtime.reentrancy import ReentrantState
from exit_shim.runtime.scrubbing import describe, scrub
from exit_shim.runtime.service import Service

URLS_VARIABLE: Final = "EXIT_SHIM_ALERT_URLS"

SEPARATOR: Final = re.compile(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)|\s+|,+\s*$")
"""Between two addresses; an address may have commas of its own."""

SCHEME: Final = re.compile(r"[a-z][a-z0-9]{0,31}", re.ASCII)

PARTS: Final = re.compile(r"[/:@?&=#;,]+")
"""What separates the parts of an address, any of which may be a secret."""

SHORTEST_PART: Final = 3
"""Shorter parts of an address are no secrets, and to replace them would garble the reason."""

PAUSES_S: Final = (1.0, 4.0)
"""The pauses before a message is sent again to a service that failed."""

LIMIT_S: Final = 45.0
"""How long a service may take over a message, with everything; then it counts as failed."""

TOO_LATE: Final = "no answer in time"

MOST_WAITING: Final = 100
"""The messages that wait for a service that hangs; later ones fail at once."""


class AlertUrlError(ValueError):
    """Raised where the addresses cannot be used; the text has no part of them but the scheme."""


class Mail(NamedTuple):
    """A message on its way to services: its first line, and the rest."""

    title: str
    text: str
    is_urgent: bool = True


class Delivery(ReentrantState):
    """What became of one message; thread-safe.

    Args:
        mail: The message.
        names: The services that get it.
        until: Until when they may take it, by `time.monotonic`.
    """

    def __init__(self, mail: Mail, names: Sequence[str], until: float) -> None:
        super().__init__()
        self.mail = mail
        self.names = tuple(names)
        self.until = until
        self._errors: dict[str, str | None] = {}

    def settle(self, name: str, error: str | None) -> None:
        """Note that a service took the message, or why it did not."""
        with self._lock:
            self._errors.setdefault(name, error)

    def is_over(self, now: float) -> bool:
        """Return whether all services answered, or the time is up; then nothing changes any more."""
        with self._lock:
            if now >= self.until:
                for name in self.names:
                    self._errors.setdefault(name, TOO_LATE)
            return len(self._errors) == len(self.names)

    @property
    def taken(self) -> tuple[str, ...]:
        """The services that took it."""
        with self._lock:
            return tuple(name for name in self.names if name in self._errors and self._errors[name] is None)

    @property
    def failures(self) -> dict[str, str]:
        """The services that did not, each with why."""
        with self._lock:
            return {name: error for name in self.names if (error := self._errors.get(name)) is not None}


class AlertServices:
    """Send messages to services, each on a thread of its own; nobody ever waits for them.

    Args:
        urls: The addresses, as apprise has them.
        limit_s: How long a service may take over a message.
        pauses_s: The pauses before a message is sent again.

    Raises:
        AlertUrlError: An address is not one that apprise understands.
        ModuleNotFoundError: apprise is not installed.
    """

    def __init__(
        self, urls: Sequence[str], *, limit_s: float = LIMIT_S, pauses_s: Sequence[float] = PAUSES_S
    ) -> None:
        self._limit_s = limit_s
        self._services = [
            AlertService(name, make_notifier(url, number), secrets_in(url), tuple(pauses_s))
            for number, (name, url) in enumerate(named(urls), 1)
        ]

    @property
    def names(self) -> tuple[str, ...]:
        """The services by their schemes, such as "tgram"; a second one of a scheme has a number."""
        return tuple(service.name for service in self._services)

    def send(self, mail: Mail) -> Delivery:
        """Hand a message to all services; return what will say what became of it."""
        delivery = Delivery(mail, self.names, time.monotonic() + self._limit_s)
        for service in self._services:
            service.send(delivery)
        return delivery

    def stop(self) -> None:
        """Stop all threads; what is under way is not waited for."""
        for service in self._services:
            service.stop()


class AlertService(Service):
    """Send messages to one service on a thread.

    Args:
        name: What the service is called.
        notify: Sends a message; returns why it could not, None where it was taken.
        secrets: The parts of its address.
        pauses_s: The pauses before a message is sent again.
    """

    thread_name = "exit-shim-alerts"
    # A service may hang.
    stop_s = 0.0

    def __init__(
        self,
        name: str,
        notify: Callable[[Mail], str | None],
        secrets: tuple[str, ...],
        pauses_s: tuple[float, ...],
    ) -> None:
        self.name = name
        self._notify = notify
        self._secrets = secrets
        self._pauses_s = pauses_s
        self._waiting: queue.Queue[Delivery] = queue.Queue(MOST_WAITING)
        super().__init__()

    def send(self, delivery: Delivery) -> None:
        """Have a message sent; one that has no place in the queue has failed."""
        try:
            self._waiting.put_nowait(delivery)
        except queue.Full:
            delivery.settle(self.name, "it hangs, and too many messages wait for it")
            return
        if not self.start():
            delivery.settle(self.name, "the system gives no more threads")

    def deliver(self, delivery: Delivery, stopped: threading.Event) -> None:
        """Send a message, again where that fails, until its time is up."""
        error: str | None = TOO_LATE
        for pause in (0.0, *self._pauses_s):
            if (pause and stopped.wait(pause)) or time.monotonic() >= delivery.until:
                break
            error = self._try(delivery.mail)
            if error is None:
                break
        delivery.settle(self.name, error)

    def _try(self, mail: Mail) -> str | None:
        try:
            error = self._notify(mail)
        except Exception as failure:  # noqa: BLE001 - whatever a service's code raises
            error = describe(failure, self._secrets)
        return None if error is None else scrub(one_line(error), self._secrets)

    @staticmethod
    def live(owner: "weakref.ref[AlertService]", stopped: threading.Event) -> None:
        """Send one message after the other."""
        while not stopped.is_set() and (service := owner()) is not None:
            waiting = service._waiting  # noqa: SLF001 - this class's own thread
            with contextlib.suppress(queue.Empty):
                service.deliver(waiting.get(timeout=0.5), stopped)
            # The thread must not keep the service alive.
            del service


def find_urls() -> list[str]:
    """Return the addresses in the environment."""
    return [url for url in SEPARATOR.split(os.environ.get(URLS_VARIABLE, "").strip()) if url]


def named(urls: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each address with a name that has no secret: its scheme, with a number from the second on."""
    seen: dict[str, int] = {}
    for url in urls:
        scheme = scheme_of(url)
        seen[scheme] = seen.get(scheme, 0) + 1
        yield scheme if seen[scheme] == 1 else f"{scheme}-{seen[scheme]}", url


def scheme_of(url: str) -> str:
    """Return the scheme of an address; "?" where it has none."""
    scheme, separator, _ = url.partition("://")
    is_scheme = bool(separator) and SCHEME.fullmatch(scheme.lower()) is not None
    return scheme.lower() if is_scheme else "?"


def secrets_in(url: str) -> tuple[str, ...]:
    """Return all that must not be shown of an address, longest first."""
    rest = url.partition("://")[2] or url
    parts = {url, rest, *PARTS.split(rest)}
    spellings = {form for part in parts for form in (part, unquote(part))}
    return tuple(sorted((each for each in spellings if len(each) >= SHORTEST_PART), key=len, reverse=True))


def make_notifier(url: str, number: int) -> Callable[[Mail], str | None]:
    """Return what sends a message to an address.

    Raises:
        AlertUrlError: apprise does not understand the address.
    """
    import apprise  # noqa: PLC0415 - an extra, for those who use it

    silence(logging.getLogger("apprise"))
    asset = apprise.AppriseAsset(app_id="exit_shim", app_desc="exit_shim alerts", async_mode=False)
    service = apprise.Apprise(asset=asset)
    if not add(service, url):
        raise AlertUrlError(
            f"address {number} in {URLS_VARIABLE} ({scheme_of(url)}) is not one that apprise understands; "
            "see https://github.com/caronc/apprise/wiki for how each service is written"
        )
    return Notifier(service, apprise).notify


def add(service: Any, url: str) -> bool:
    """Add an address to apprise's services; return False where it does not understand it."""
    try:
        return bool(service.add(url))
    except Exception:  # noqa: BLE001 - the text may have the address
        return False


class Notifier:
    """Send messages with apprise, and learn from its log why one failed.

    Args:
        service: The `Apprise` with one address.
        apprise: The library.
    """

    def __init__(self, service: Any, apprise: Any) -> None:
        self._service = service
        self._apprise = apprise

    def notify(self, mail: Mail) -> str | None:
        """Send a message; return why it failed, None where it was taken."""
        types = self._apprise.NotifyType
        with own_warnings() as warnings:
            is_sent = self._service.notify(
                title=mail.title,
                body=mail.text or mail.title,
                notify_type=types.FAILURE if mail.is_urgent else types.INFO,
                body_format=self._apprise.NotifyFormat.TEXT,
            )
        return None if is_sent else (warnings[-1] if warnings else "the service did not take it")


# Newer apprises send on threads of their own, with a copy of the caller's context.
_warnings: ContextVar[list[str] | None] = ContextVar("exit_shim_alert_warnings", default=None)


class _Warnings(logging.Handler):
    """Keep each warning with the message that it is about."""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the text of a record."""
        texts = _warnings.get()
        if texts is not None:
            texts.append(record.getMessage())


@contextlib.contextmanager
def own_warnings() -> Iterator[list[str]]:
    """Yield what apprise warns of meanwhile, in this context."""
    texts: list[str] = []
    token = _warnings.set(texts)
    try:
        yield texts
    finally:
        _warnings.reset(token)


def silence(logger: logging.Logger) -> None:
    """Keep apprise's log from all other handlers: it quotes addresses."""
    logger.propagate = False
    if not any(isinstance(handler, _Warnings) for handler in logger.handlers):
        logger.addHandler(_Warnings(logging.WARNING))


def one_line(text: str) -> str:
    """Return a text without line breaks and controls."""
    return "".join(char if char.isprintable() else " " for char in text).strip()
