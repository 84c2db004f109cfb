"""What the local exchange holds, recorded at each of its changes: `run --local` knows sizes and cover."""

import threading
import time
from collections.abc import Callable
from typing import Final

from exit_shim.clients.accounts import key_label
from exit_shim.clients.hosts import suffix_of
from exit_shim.exchange.engine.events import Event, MarketEvent, UserEvent
from exit_shim.exchange.engine.views.stream import user_event
from exit_shim.exchange.http.request import RawRequest
from exit_shim.feeds.exchange_log import AGAIN_S, ExchangeLog, Sight
from exit_shim.guard.exchange_snapshot import read_open_order, read_position
from exit_shim.testing import LocalExchange

FUTURES: Final = ("/fapi/", "/dapi/", "/papi/")
"""How the paths begin where positions are."""

PAUSE_S: Final = AGAIN_S / 2
"""How often a look is taken without a change, so that what does not change stays known."""


class LocalWatch:
    """Record positions and exits of a local exchange that runs in this process.

    The guard learns nothing of it: a run on the local exchange finds what a run elsewhere would find.

    Args:
        exchange: The exchange, which runs.
    """

    def __init__(self, exchange: LocalExchange) -> None:
        self._exchange = exchange
        self._suffix = suffix_of(exchange.url)
        self._accounts: set[str] = set()
        exchange.service.gate.on_unknown_secret = self._add_unregistered
        self._log: ExchangeLog | None = None
        self._on_trouble: Callable[[str, Exception], None] = _ignore
        self._is_looking = False
        self._stopped = threading.Event()

    def add_key(self, api_key: str, api_secret: str) -> None:
        """Accept a client's key at the exchange, and record what it holds for that client's account too."""
        self._exchange.register(api_key, api_secret)
        self._accounts.add(f"{key_label(api_key)}{self._suffix}")

    def _add_unregistered(self, request: RawRequest) -> None:
        """Record the account of a key that no python-binance client registered."""
        if request.path.startswith(FUTURES):
            self._accounts.add(f"{key_label(request.headers['x-mbx-apikey'])}{self._suffix}")

    def start(self, log: ExchangeLog, on_trouble: Callable[[str, Exception], None]) -> None:
        """Record from now on.

        Args:
            log: Records what the exchange shows.
            on_trouble: Called with what failed; the bot's own request goes on.
        """
        self._log, self._on_trouble = log, on_trouble
        with self._exchange.lock:
            self._exchange.engine.feed.listeners.append(self._on_event)
        threading.Thread(target=self._look_again, name="exit-shim-local-watch", daemon=True).start()

    def stop(self) -> None:
        """Take a last look, and record nothing more."""
        self.look()
        self._stopped.set()
        with self._exchange.lock:
            self._exchange.engine.feed.listeners.remove(self._on_event)

    def look(self) -> None:
        """Record what the exchange holds now, as far as it is news."""
        # An event that comes of looking is not looked at once more.
        if self._log is None or self._is_looking:
            return
        with self._exchange.lock:
            self._is_looking = True
            try:
                positions = [read_position(row) for row in self._exchange.positions()]
                orders = [read_open_order(row) for row in self._exchange.orders()]
                sight = Sight(positions, orders, time.time_ns())
                for account in sorted(self._accounts):
                    self._log.take_sight(account, sight, "poller", PAUSE_S)
            finally:
                self._is_looking = False

    def _on_event(self, event: Event) -> None:
        """Look after each change but that of a price; called under the lock of the exchange."""
        if isinstance(event, MarketEvent) or self._log is None:
            return
        try:
            self._record(self._log, event)
        except Exception as error:  # noqa: BLE001 - a bug in watching must not fail the bot's request
            self._on_trouble("watch the local exchange", error)

    def _record(self, log: ExchangeLog, event: UserEvent) -> None:
        state = self._exchange.engine.state
        payload = user_event(event, state.symbols, algo_service=state.rules.algo_service)
        for account in sorted(self._accounts) if payload is not None else ():
            # The event says that an order was cancelled; a look says only that it is gone.
            log.take_event(account, payload or {}, PAUSE_S)
        self.look()

    def _look_again(self) -> None:
        while not self._stopped.wait(PAUSE_S):
            self.look()


def _ignore(_step: str, _error: Exception) -> None:
    """Do nothing."""
