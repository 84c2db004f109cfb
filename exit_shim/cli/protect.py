"""`exit-shim protect`: a process of its own that holds the positions of an account to their exit plans."""

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import click

from exit_shim.cli.alert import describe_services, open_services
from exit_shim.cli.audit import CANNOT_ASK, read_exchange, refuse
from exit_shim.cli.exchange_client import (
    KEY_VARIABLE,
    SECRET_VARIABLE,
    check_exchange,
    exchange_options,
    find_credentials,
    open_client,
)
from exit_shim.cli.options import json_option
from exit_shim.cli.output import say
from exit_shim.cli.protect_alerts import alerting
from exit_shim.cli.protect_start import describe_start, find_other_runs
from exit_shim.cli.protect_view import ProtectView, make_view
from exit_shim.cli.switches import by_option, turn_switch
from exit_shim.configuration import is_disabled
from exit_shim.domain.events import Switch
from exit_shim.errors import ExecutorError
from exit_shim.executor.executor import ExitExecutor
from exit_shim.executor.plan import ExitPlan
from exit_shim.executor.plan_files import PlanFile, PlanFileError, load_plans
from exit_shim.executor.protection import Protection
from exit_shim.executor.steps import Wait
from exit_shim.feeds.other_processes import who
from exit_shim.guard.exchange_snapshot import OpenPosition
from exit_shim.guard.policy import PolicyError, find_policy
from exit_shim.journal.default_path import journal_path
from exit_shim.shim import ExitShim
from exit_shim.sinks.alerts import AlertServices

UNSOUND: Final = 1
"""The exit status of `--once` where something is unprotected, has no plan, or has another problem."""

MOST_PASSES: Final = 24
"""The most passes of `--once`: a plan takes a few to be placed, and orders in doubt some seconds."""

PAUSE_S: Final = 0.25
"""How long `--once` waits between two passes, and how often a running process looks at what is new."""

PLANS_S: Final = 1.0
"""How often the file of plans is looked at."""


class Wanted(NamedTuple):
    """What the command line asks for.

    Attributes:
        plans: The plans; None: nothing is placed.
        symbols: The symbols; empty: all.
        dry_run: Whether nothing is to be done.
        once: Whether to end once nothing is left to do.
        every_s: Seconds between two looks at the account, where no stream tells of changes.
        as_json: Whether to print JSON.
        alert: Whether to send alerts.
    """

    plans: PlanFile | None
    symbols: frozenset[str]
    dry_run: bool
    once: bool
    every_s: float
    as_json: bool
    alert: bool

    @property
    def only_looks(self) -> bool:
        """Whether no order is placed, changed or cancelled."""
        return self.dry_run or self.plans is None

    def plan_for(self, position: OpenPosition) -> ExitPlan | None:
        """Return the plan of a position; None for one to leave alone."""
        if self.plans is None or not self.is_about(position.symbol):
            return None
        return self.plans.plan_for(position)

    def is_about(self, symbol: str) -> bool:
        """Return whether a symbol was asked for."""
        return not self.symbols or symbol in self.symbols


@click.group(invoke_without_command=True, subcommand_metavar="[pause|resume SYMBOL]")
@click.option(
    "--plans",
    "plans_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The plans of exits, in TOML; read again when it changes. Without it nothing is placed.",
)
@click.option("--once", is_flag=True, help="End once nothing is left to do, with a status for cron.")
@click.option("--dry-run", is_flag=True, help="Print the steps that would be done, and why; do none.")
@click.option("--symbol", "symbols", multiple=True, metavar="S", help="Only this symbol; may be repeated.")
@click.option(
    "--account", metavar="NAME", help="What the bots call the account, as ExitShim(account=NAME) does."
)
@exchange_options
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(min=1),
    default=5.0,
    show_default=True,
    metavar="S",
    help="Seconds between two looks at the account, where no stream tells of changes.",
)
@click.option("--alert", is_flag=True, help="Send alerts as `exit-shim watch` does, to EXIT_SHIM_ALERT_URLS.")
@json_option
@click.pass_context
def protect(ctx: click.Context, /, **options: Any) -> None:
    """Hold every position of an account to its exit plan.

    Whoever opened a position, it gets the stops and takes of its plan, and they are replaced where somebody
    takes them away. Uses the key in BINANCE_API_KEY and BINANCE_API_SECRET. Without --plans it prints what is
    unprotected and places nothing; a position without a plan is left alone and reported. On a terminal it
    shows a table, in a pipe a line for each change of state.

    SIGTERM and Ctrl-C stop it; every order stays at the exchange.

    The exit status of --once is 0 where every position is protected, 1 where one is not, has no plan or
    another problem, 2 where the exchange could not be asked or the plans could not be read.
    """
    if ctx.invoked_subcommand is None:
        run_protect(**options)


@protect.command()
@click.argument("symbol")
@by_option
def pause(*, symbol: str, by: str | None) -> None:
    """Keep executors' hands off SYMBOL; its orders stay.

    Reaches every executor of the journal within a second, in this command's processes and in bots, and lasts
    until `resume`.
    """
    switch_protection("pause", symbol.upper(), by)


@protect.command()
@click.argument("symbol")
@by_option
def resume(*, symbol: str, by: str | None) -> None:
    """Hold the positions of SYMBOL to their plans again."""
    switch_protection("resume", symbol.upper(), by)


def switch_protection(state: Literal["pause", "resume"], symbol: str, by: str | None) -> None:
    """Turn the switch of a symbol, and say whom it reaches."""
    turn_switch(Switch(by=by or who(), protect=state, symbol=symbol))
    what = "its orders stay, and no executor acts on it" if state == "pause" else "it follows its plan again"
    path = Path(journal_path())
    if find_other_runs(path):
        say(f"{state} {symbol}: {what}; reaches every process that writes to {path} within a second")
    else:
        say(f"{state} {symbol}: {what}, in processes that start with {path}")
        say(
            f"no running process writes to {path}; is EXIT_SHIM_JOURNAL that of the running executor?",
            err=True,
        )


def run_protect(
    *,
    plans_file: Path | None,
    symbols: tuple[str, ...],
    account: str | None,
    local: str | None,
    testnet: bool,
    demo: bool,
    **options: Any,
) -> None:
    """Protect until stopped, or once."""
    check_exchange(local, testnet=testnet, demo=demo)
    plans = None if plans_file is None else read_plans(plans_file)
    wanted = Wanted(plans, frozenset(symbol.upper() for symbol in symbols), **options)
    services = open_alert_services(wanted)
    credentials = find_credentials(local)
    if credentials is None:
        refuse(
            f"set {KEY_VARIABLE} and {SECRET_VARIABLE} to a key of the account that may trade futures, or "
            "give --local URL"
        )
    with open_client(credentials, local, testnet=testnet, demo=demo) as client:
        shim = make_shim(account)
        try:
            status = protect_with(client, shim, wanted, services)
        finally:
            shim.close()
    sys.exit(status)


def read_plans(path: Path) -> PlanFile:
    """Return the plans in a file; end the command where it has an error."""
    try:
        return load_plans(path)
    except PlanFileError as error:
        for line in str(error).splitlines():
            say(line, err=True)
        refuse("nothing is protected until the plans can be read; correct the file and start again")


def make_shim(account: str | None) -> ExitShim:
    """Return a shim with the policy of this folder or environment, which says whom the executor is."""
    try:
        return ExitShim(account=account, policy=find_policy(Path.cwd()))
    except (PolicyError, ValueError) as error:
        refuse(str(error))


def open_alert_services(wanted: Wanted) -> AlertServices | None:
    """Return where alerts go, where any are wanted; refuse what `exit-shim watch` is for."""
    if not wanted.alert:
        return None
    if wanted.once or wanted.only_looks:
        raise click.UsageError(
            "--alert needs a process that keeps protecting: --plans FILE without --once and --dry-run; "
            "`exit-shim watch` alerts without an executor"
        )
    if is_disabled():
        raise click.UsageError("--alert needs the journal, which EXIT_SHIM_DISABLED turns off; unset it")
    services = open_services()
    say(f"alerts    {describe_services(services)}", err=True)
    return services


def protect_with(client: Any, shim: ExitShim, wanted: Wanted, services: AlertServices | None) -> int:
    """Protect with a client; return the exit status."""
    # What ends the command early is said before anything is placed.
    for symbol in wanted.symbols or (None,):
        read_exchange(client, symbol)
    try:
        executor = ExitExecutor(client, wanted.plan_for, shim=shim, every_s=wanted.every_s)
    except ExecutorError as error:
        refuse(str(error))
    for line in describe_start(executor, shim, client, wanted.plans, only_looks=wanted.only_looks):
        say(line, err=True)
    view = make_view(
        has_plans=wanted.plans is not None,
        is_dry_run=wanted.dry_run,
        as_json=wanted.as_json,
        is_table=not wanted.once and not wanted.dry_run,
        paused=shim.guard.switches.paused,
    )
    if wanted.once:
        return protect_once(executor, view, wanted)
    alerts = (
        alerting(executor, shim, client, services, view.note) if wanted.alert else contextlib.nullcontext()
    )
    with stop_signals() as stopped, view.drawing(), alerts:
        (look_on if wanted.only_looks else keep_on)(executor, view, wanted, stopped)
    if wanted.only_looks:
        say("stopped; nothing was placed, changed or cancelled", err=True)
    else:
        text = "stopped; every order stays at the exchange, and nothing moves or replaces it"
        say(f"{text}: {view.cover_text()}", err=True)
    return 0


def protect_once(executor: ExitExecutor, view: ProtectView, wanted: Wanted) -> int:
    """Do passes until nothing is left to do; return the exit status."""
    if wanted.only_looks:
        protections = executor.protect(dry_run=True)
    else:
        for number in range(MOST_PASSES):
            if number:
                time.sleep(PAUSE_S)
            protections = executor.protect()
            if not is_at_work(protections, wanted):
                break
        executor.stop()
    show(executor, protections, view, wanted)
    if executor.problems:
        say("not every position could be checked; nothing above is certain", err=True)
        return CANNOT_ASK
    return UNSOUND if view.has_unsound else 0


def is_at_work(protections: Iterable[Protection], wanted: Wanted) -> bool:
    """Return whether another pass, soon, may change something."""
    asked = [one for one in protections if wanted.is_about(one.symbol)]
    is_done = all(isinstance(step, Wait) for one in asked for step in one.steps)
    return not is_done or any(one.state in {"UNPROTECTED", "CLOSING"} for one in asked)


def show(
    executor: ExitExecutor, protections: Iterable[Protection], view: ProtectView, wanted: Wanted
) -> None:
    """Show how the positions are that were asked for."""
    view.show([one for one in protections if wanted.is_about(one.symbol)], executor.problems)


def look_on(executor: ExitExecutor, view: ProtectView, wanted: Wanted, stopped: threading.Event) -> None:
    """Look again and again, and do nothing, until stopped."""
    plans, due = PlanWatcher(wanted.plans, view), 0.0
    protections: list[Protection] = []
    while not stopped.wait(PAUSE_S):
        if plans.read_again() or time.monotonic() >= due:
            protections = executor.protect(dry_run=True)
            due = time.monotonic() + wanted.every_s
        show(executor, protections, view, wanted)


def keep_on(executor: ExitExecutor, view: ProtectView, wanted: Wanted, stopped: threading.Event) -> None:
    """Keep the positions protected until stopped."""
    plans = PlanWatcher(wanted.plans, view)
    executor.start()
    while not stopped.wait(PAUSE_S):
        show(executor, executor.protections.values(), view, wanted)
        if plans.read_again():
            executor.agenda.want(None)
        if not executor.is_running:
            view.note("the executor's thread ended; it is started again")
            executor.start()
    executor.stop()
    show(executor, executor.protections.values(), view, wanted)


class PlanWatcher:
    """Read a file of plans again when it changes, and say so.

    Args:
        plans: The plans; None: there is no file.
        view: Takes what is to be said.
    """

    def __init__(self, plans: PlanFile | None, view: ProtectView) -> None:
        self._plans = plans
        self._view = view
        self._due = 0.0

    def read_again(self) -> bool:
        """Read the file again if it is time; return whether the plans are others now."""
        if self._plans is None or time.monotonic() < self._due:
            return False
        self._due = time.monotonic() + PLANS_S
        try:
            is_changed = self._plans.reload()
        except PlanFileError as error:
            for line in str(error).splitlines():
                self._view.note(line)
            return False
        if is_changed:
            self._view.note(f"{self._plans.path} has changed: its plans are in force now")
        return is_changed


@contextlib.contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM and Ctrl-C set."""
    stopped = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: stopped.set()) for number in numbers}
    try:
        yield stopped
    finally:
        for number, former in before.items():
            signal.signal(number, former)
