"""Ask an address now and then, so that a dead-man's switch alarms once nobody does."""

import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Final

from exit_shim.runtime.service import Service

HEARTBEAT_VARIABLE: Final = "EXIT_SHIM_HEARTBEAT_URL"

EVERY_S: Final = 60.0

REQUEST_S: Final = 10.0
"""The longest that a heartbeat takes."""

REFUSED: Final = 400


class Heartbeat(Service):
    """Ask an address on a thread, once per `beat` and no oftener than every so many seconds.

    Args:
        url: The address, which is a secret.
        on_change: Called with why heartbeats fail, and with None once they work again; nothing is repeated.
        every_s: Seconds between two heartbeats.
    """

    thread_name = "exit-shim-heartbeat"
    # A request that is under way is not waited for.
    stop_s = 0.0

    def __init__(self, url: str, on_change: Callable[[str | None], object], every_s: float = EVERY_S) -> None:
        self._url = url
        self._on_change = on_change
        self.every_s = every_s
        self._due = 0.0
        self._error: str | None = None
        super().__init__()

    def renew(self) -> None:
        """Begin with no thread and no heartbeat that is wanted."""
        super().renew()
        self._wanted = threading.Event()

    def beat(self) -> None:
        """Have a heartbeat sent if one is due; returns at once."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + self.every_s
            self._wanted.set()
            self.start()

    def send(self) -> None:
        """Send a heartbeat, and report a change of how that goes."""
        error = ask(self._url)
        if error != self._error:
            self._error = error
            self._on_change(error)

    def _tell_to_stop(self) -> None:
        super()._tell_to_stop()
        self._wanted.set()

    @staticmethod
    def live(owner: "weakref.ref[Heartbeat]", stopped: threading.Event) -> None:
        """Send a heartbeat each time that one is wanted."""
        while (heartbeat := owner()) is not None:
            wanted = heartbeat._wanted  # noqa: SLF001 - this class's own thread
            # The thread must not keep the heartbeat alive.
            del heartbeat
            if not wanted.wait(1.0) and not stopped.is_set():
                continue
            wanted.clear()
            if stopped.is_set():
                return
            if (heartbeat := owner()) is not None:
                heartbeat.send()
                del heartbeat


def find_url() -> str | None:
    """Return the address in the environment; None where there is none."""
    return os.environ.get(HEARTBEAT_VARIABLE, "").strip() or None


def ask(url: str) -> str | None:
    """Ask an address; return why that failed, without any part of it, and None where it worked."""
    import requests  # noqa: PLC0415 - python-binance brings it

    try:
        # Nothing of the answer is read: it may be of any length.
        with requests.get(url, timeout=REQUEST_S, stream=True) as answer:
            status = answer.status_code
    except Exception as error:  # noqa: BLE001 - the text has the address
        return type(error).__name__
    return None if status < REFUSED else f"HTTP {status}"
