"""Start, keep and stop what `watch` asks for: pollers and listeners of accounts."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from exit_shim.clients.accounts import label_of
from exit_shim.clients.registry import can_be_cloned, clone_client, support_of
from exit_shim.clients.support import ClientClone
from exit_shim.domain.events import GuardFinding
from exit_shim.feeds.exchange_log import AGAIN_S, ExchangeLog
from exit_shim.feeds.exchange_poller import ExchangePoller
from exit_shim.feeds.stream_events import take_in
from exit_shim.feeds.stream_listener import StreamError, StreamListener
from exit_shim.feeds.user_stream import LISTEN, BookListener, why_not
from exit_shim.guard.judge import Guard
from exit_shim.runtime.internal_errors import InternalErrors
from exit_shim.runtime.methods import is_coroutine_method
from exit_shim.runtime.service import Service

SHORTEST_S = 1


class AccountFeeds:
    """Keep the book of a guard in step with accounts at the exchange.

    Args:
        guard: Whose book to feed.
        account_name: What the account is called; None: a label derived from each client's key.
        exchange_log: Records what the exchange tells.
        on_finding: Called with each exit that outlives its position.
        internal_errors: Reports what fails.
    """

    def __init__(
        self,
        guard: Guard,
        account_name: str | None,
        exchange_log: ExchangeLog,
        on_finding: Callable[[GuardFinding], None],
        internal_errors: InternalErrors,
    ) -> None:
        self._guard = guard
        self._account_name = account_name
        self._exchange_log = exchange_log
        self._on_finding = on_finding
        self._internal_errors = internal_errors
        self.pollers: list[ExchangePoller] = []
        self._listeners: list[StreamListener] = []

    def watch(self, client: Any, *, every_s: float, stream: bool | str) -> None:
        """Poll the account of a client, which is not wrapped, and listen to its stream if asked to.

        Raises:
            ValueError: `every_s` is under a second, or the client is an async one that does not really send.
            RuntimeError: The system gives no more threads.
        """
        reads = support_of(client).reads
        # A client of another library is asked through its clone, like an async one.
        is_async = not reads or is_coroutine_method(getattr(client, reads["positions"]))
        clone = clone_client(client) if can_be_cloned(client) else None
        if every_s < SHORTEST_S or (is_async and clone is None):
            raise ValueError(
                f"watch(a {type(client).__name__}, every={every_s!r}) needs a sync client, or an AsyncClient "
                "that really sends, and at least a second"
            )
        poller = ExchangePoller(
            guard=self._guard,
            client=clone.client() if is_async and clone is not None else client,
            follows=client if is_async else None,
            account=label_of(client, self._account_name),
            every_s=every_s,
            exchange_log=self._exchange_log,
            on_finding=self._on_finding,
            on_trouble=self._internal_errors.report,
        )
        self.pollers.append(poller)
        if stream:
            self._listen(clone, stream if isinstance(stream, str) else None, poller)
        start(poller)

    def _listen(self, clone: ClientClone | None, address: str | None, poller: ExchangePoller) -> None:
        why = why_not(clone, address)
        if why is not None or clone is None:
            error = StreamError(f"{why}; the exchange is polled every {poller.every_s:g} s all the same")
            self._internal_errors.report(LISTEN, error)
            return
        snapshots = self._guard.snapshots
        listener = BookListener(
            book=self._guard.book,
            clone=clone,
            account=poller.account,
            address=address,
            look_soon=poller.look_soon,
            expire=snapshots.expire,
            hears=snapshots.hears,
            on_event=functools.partial(self._log_event, poller.account),
            on_trouble=self._internal_errors.report,
        )
        self._listeners.append(listener)
        start(listener)

    def take_event(self, event: Mapping[str, Any], client: Any) -> None:
        """Take an event of the bot's own user data stream into the book.

        Args:
            event: As it came.
            client: A client of the account, not wrapped, or the account's label.
        """
        account = client if isinstance(client, str) else label_of(client, self._account_name)
        gap = take_in(self._guard.book, account, event, self._guard.snapshots.expire)
        self._log_event(account, event)
        for poller in self.pollers:
            if gap is not None and poller.account == account:
                self._guard.book.trust.lose(account, f"the user data stream was interrupted: {gap.why}")
                poller.look_soon()

    def _log_event(self, account: str | None, event: Mapping[str, Any]) -> None:
        again_s = min((each.every_s for each in self.pollers if each.account == account), default=0.0)
        with self._internal_errors.guarded("record an event of the user data stream"):
            self._exchange_log.take_event(account, event, max(again_s, AGAIN_S) if again_s else 0.0)

    def stop(self) -> None:
        """Stop all of them; what is under way is not waited for."""
        for services in (self._listeners, self.pollers):
            while services:
                services.pop().stop()


def start(service: Service) -> None:
    """Start a service that the bot has asked for.

    Raises:
        RuntimeError: The system gives no more threads.
    """
    if not service.start():
        raise RuntimeError(
            f"cannot start the thread {service.thread_name!r}: the system gives no more threads"
        )
