"""`exit-shim protect --alert`: alerts by the executor's own process."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from exit_shim.alerts.account import AccountSight
from exit_shim.alerts.digest import TimeOfDay
from exit_shim.alerts.episodes import Trouble
from exit_shim.alerts.watch import Watch, WatchOptions, Zone
from exit_shim.alerts.wording import SECOND_NS, lines, plain
from exit_shim.cli.alert import alert_line
from exit_shim.cli.clock import local_clock
from exit_shim.clients.registry import clone_client, support_of
from exit_shim.executor.executor import AT_REST_S, ExitExecutor
from exit_shim.executor.protection import Protection
from exit_shim.reports.lives import PositionName
from exit_shim.shim import ExitShim
from exit_shim.sinks.alerts import AlertServices

OPTIONS: Final = WatchOptions(digest=TimeOfDay(8, 0))

STALE_S: Final = 3 * AT_REST_S
"""After so long without a pass, an executor that passes once a minute hangs."""

LEFT_ALONE: Final = frozenset({"NO_PLAN", "FLAT", "SWEEPING", "UNKNOWN"})
"""States that call for no alert of their own: a position without a plan is reported where it is bare."""

PARTING_S: Final = 10.0
"""How long the end waits for messages that are under way."""


class ExecutorSight(AccountSight):
    """Know the account by what an executor reads; ask only about positions that seem bare.

    Args:
        executor: The executor, which is not started yet.
        client: A client of its own to ask with.
        shim: Records what is seen.
    """

    def __init__(self, executor: ExitExecutor, client: Any, shim: ExitShim) -> None:
        super().__init__(client, executor.account, shim.exchange_log, "executor", executor.every_s)
        self._executor = executor
        self._passed: float | None = None
        executor.on_pass = self._note_pass

    def _note_pass(self, _: list[Protection]) -> None:
        self._passed = time.monotonic()

    def look_if_due(self) -> bool:
        """Take over what the executor knows; return whether it could read the account."""
        problems, protections = self._executor.problems, self._executor.protections
        # Before its first pass it knows nothing, and one that hangs learns nothing.
        is_stale = self._passed is None or time.monotonic() - self._passed > STALE_S
        if problems or is_stale or not self._executor.is_running:
            self.problem = problems[0] if problems else "the executor does not look"
            return False
        self.read_ns, self.problem = time.time_ns(), None
        self.open = frozenset(
            PositionName(self.account, symbol, side)
            for (symbol, side), each in protections.items()
            if each.state != "FLAT"
        )
        return True


class ExecutorTroubles:
    """Know what keeps an executor from acting, once that has lasted.

    Args:
        executor: The executor.
        lasts_s: How long it must be unable to act before an alert is sent.
    """

    def __init__(self, executor: ExitExecutor, lasts_s: float) -> None:
        self._executor = executor
        self._lasts_ns = int(lasts_s * SECOND_NS)
        self._since: dict[str, int] = {}

    def read(self) -> list[Trouble]:
        """Return the positions that it cannot hold to their plans, each as long as that lasts."""
        now_ns = time.time_ns()
        hindered = {
            f"{each.account or '-'} {each.symbol} {each.position_side}": each
            for each in self._executor.protections.values()
            if each.state not in LEFT_ALONE and (each.state == "HANDS_OFF" or each.problem is not None)
        }
        self._since = {key: self._since.get(key, now_ns) for key in hindered}
        return [
            trouble_of(key, each, self._since[key])
            for key, each in hindered.items()
            if now_ns - self._since[key] >= self._lasts_ns
        ]


def trouble_of(key: str, protection: Protection, since_ns: int) -> Trouble:
    """Return the alert about a position that the executor cannot hold to its plan."""
    symbol = plain(protection.symbol)
    what = "keeps its hands off" if protection.state == "HANDS_OFF" else "cannot do all for"
    text = lines(
        ("account", plain(protection.account or "without a label")),
        ("state", protection.state),
        ("why", plain(protection.problem or protection.next_step or "it is paused, or another one acts")),
        ("guarded", f"{protection.guarded:f} of {protection.size:f}"),
        ("next", f"exit-shim why {symbol}"),
    )
    return Trouble("hands_off", key, since_ns, f"the exit executor {what} {symbol}", text)


@contextlib.contextmanager
def alerting(
    executor: ExitExecutor,
    shim: ExitShim,
    client: Any,
    services: AlertServices | None,
    show: Callable[[str], object],
    options: WatchOptions = OPTIONS,
) -> Iterator[None]:
    """Send alerts on a thread of their own meanwhile.

    Args:
        executor: The executor.
        shim: Its shim, with a journal.
        client: The client that it was given.
        services: Where alerts go; None: they are only shown.
        show: Shows a line about each alert.
        options: What is watched for.
    """
    own = clone_client(client).client()
    clock, sight = local_clock(), ExecutorSight(executor, own, shim)
    assert shim.journal is not None  # noqa: S101 - the command has seen it
    watch = Watch(
        journal=shim.journal,
        record=shim.recorder.record,
        sight=sight,
        services=services,
        show=lambda sent: show(alert_line(sent, clock)),
        zone=Zone(clock.with_zone, clock.time_of),
        options=options,
        troubles=ExecutorTroubles(executor, options.settle_s).read,
        on_trouble=shim.internal_errors.report,
    )
    stopped = threading.Event()
    thread = threading.Thread(target=watch.run, args=(stopped,), name="exit-shim-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(PARTING_S)
        support_of(own).close(own)
        if services is not None:
            services.stop()
