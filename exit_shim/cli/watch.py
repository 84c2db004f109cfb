"""`exit-shim watch`: one process that watches an account and a journal, and alerts somebody."""

import re
import time
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import click

from exit_shim.alerts.account import AT_REST_S, AccountSight
from exit_shim.alerts.bare import GRACE_S
from exit_shim.alerts.digest import TimeOfDay
from exit_shim.alerts.episodes import SETTLE_S
from exit_shim.alerts.orders import DOUBT_S
from exit_shim.alerts.watch import BLIND_S, Watch, WatchOptions, Zone
from exit_shim.cli.alert import alert_line, describe_services, open_services
from exit_shim.cli.audit import refuse
from exit_shim.cli.clock import Clock, clock_of, clock_options
from exit_shim.cli.exchange_client import (
    KEY_VARIABLE,
    SECRET_VARIABLE,
    check_exchange,
    describe_failure,
    exchange_options,
    find_credentials,
    open_client,
)
from exit_shim.cli.output import say
from exit_shim.cli.protect import stop_signals
from exit_shim.cli.protect_start import find_other_runs
from exit_shim.clients.accounts import label_of
from exit_shim.clients.registry import clone_client, support_of
from exit_shim.configuration import DISABLED_VARIABLE, check_account, is_disabled
from exit_shim.feeds.exchange_log import ExchangeLog
from exit_shim.guard.exchange_snapshot import ask, read_snapshot
from exit_shim.journal import Journal, JournalError, JournalReader
from exit_shim.journal.default_path import JOURNAL_VARIABLE, journal_path
from exit_shim.runtime.scrubbing import describe
from exit_shim.sinks.alerts import AlertServices
from exit_shim.sinks.heartbeat import HEARTBEAT_VARIABLE, Heartbeat, find_url

REFUSED_KEY: Final = frozenset({-2014, -2015, -1022})
"""The codes with which the exchange refuses a key; asking again does not help."""

SAID_S: Final = 60.0
MOST_SAID: Final = 100
"""How often the same trouble is said, and how many are remembered for that."""

DEFAULT_DIGEST: Final = "08:00"

OFF: Final = "off"


class DigestTime(click.ParamType):  # type: ignore[type-arg] # generic since click 8.2
    """A time of day, such as 08:00, or "off"."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> TimeOfDay | str:
        """Return the time of day; "off" as it is."""
        if isinstance(value, TimeOfDay):
            return value
        if value == OFF:
            return OFF
        match = re.fullmatch(r"(\d{1,2}):(\d{2})", str(value), re.ASCII)
        time_of_day = TimeOfDay(int(match[1]), int(match[2])) if match else None
        if time_of_day is None or time_of_day.hour > 23 or time_of_day.minute > 59:  # noqa: PLR2004
            self.fail(f"{value!r} is not a time of day; expected 08:00 or {OFF}", param, ctx)
        return time_of_day


class Watched(NamedTuple):
    """What the command works with.

    Attributes:
        sight: The account.
        journal: Where it reads what bots do, and records what it sees and sends.
        services: Where alerts go; None: nowhere.
        heartbeat: Shows that somebody watches; None: nothing does.
        options: What is watched for.
        every_s: Seconds between two looks without a stream.
        why_no_stream: Why no stream says what happens; None where one does.
        troubles: Says what fails.
    """

    sight: AccountSight
    journal: Journal
    services: AlertServices | None
    heartbeat: Heartbeat | None
    options: WatchOptions
    every_s: float
    why_no_stream: str | None
    troubles: "TroubleLines"


digest_option = click.option(
    "--digest",
    type=DigestTime(),
    default=DEFAULT_DIGEST,
    show_default=True,
    metavar="HH:MM|off",
    help="When to send what was found, once a day; in local time unless --utc or --tz say so.",
)

grace_option = click.option(
    "--grace",
    "grace_s",
    type=click.FloatRange(min=0.1),
    default=GRACE_S,
    show_default=True,
    metavar="S",
    help="Seconds that a position may be bare before an alert is sent.",
)

partly_option = click.option(
    "--partly", "also_partly", is_flag=True, help="Tell of positions that stops close in part, too."
)


@click.command()
@click.option("--account", metavar="NAME", help="What the bots call the account, as ExitShim(account=NAME).")
@exchange_options
@click.option("--symbol", "symbols", multiple=True, metavar="S", help="Only this symbol; may be repeated.")
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(min=1),
    default=10.0,
    show_default=True,
    metavar="S",
    help="Seconds between two looks at the account, where no stream tells of changes; one costs a request "
    "weight of 85.",
)
@grace_option
@partly_option
@click.option(
    "--settle",
    "settle_s",
    type=click.FloatRange(min=0),
    default=SETTLE_S,
    show_default=True,
    metavar="S",
    help="Seconds that a position must be covered before it counts as covered again.",
)
@click.option(
    "--doubt",
    "doubt_s",
    type=click.FloatRange(min=1),
    default=DOUBT_S,
    show_default=True,
    metavar="S",
    help="Seconds that an order may be in doubt.",
)
@click.option(
    "--blind",
    "blind_s",
    type=click.FloatRange(min=1),
    default=BLIND_S,
    show_default=True,
    metavar="S",
    help="Seconds that the exchange or the journal may be unreadable.",
)
@digest_option
@clock_options
@click.pass_context
def watch(ctx: click.Context, /, **options: Any) -> None:
    """Watch an account and the journal, and alert somebody.

    Tells at once of bare positions and who bared them, of orders in doubt, denied stops, switches, lost
    events and an exchange that cannot be read; once a day of what was found. Reads with the key in
    BINANCE_API_KEY and BINANCE_API_SECRET; nothing is placed, changed or cancelled. Alerts go to the services
    in EXIT_SHIM_ALERT_URLS; EXIT_SHIM_HEARTBEAT_URL is asked once a minute while everything can be read. One
    process an account is enough.

    SIGTERM and Ctrl-C end it.
    """
    run_watch(clock_of(ctx), **options)


def run_watch(
    clock: Clock,
    *,
    account: str | None,
    local: str | None,
    testnet: bool,
    demo: bool,
    every_s: float,
    **options: Any,
) -> None:
    """Watch until stopped."""
    check_exchange(local, testnet=testnet, demo=demo)
    check_can_record(account)
    services = open_services()
    credentials = find_credentials(local)
    if credentials is None:
        refuse(
            f"set {KEY_VARIABLE} and {SECRET_VARIABLE} to a key of the account that may read, or give "
            "--local URL"
        )
    with open_client(credentials, local, testnet=testnet, demo=demo) as client, stop_signals() as stopped:
        check_access(client)
        watched = begin(client, account, services, every_s, make_options(**options))
        say(*describe_watch(watched, clone_client(client).host), err=True)
        make_watch(watched, clock).run(stopped)
        end(watched)
    say("stopped; nothing was placed, changed or cancelled", err=True)


def check_access(client: Any) -> None:
    """End the command where the exchange refuses the key; only say where it cannot be reached now."""
    try:
        ask(read_snapshot(client))
    except Exception as error:  # noqa: BLE001 - whatever the transport raises
        why = f"{clone_client(client).host} cannot be asked: {describe_failure(error, client)}"
        read = support_of(client).read_api_error(error)
        if read is not None and read.code in REFUSED_KEY:
            refuse(why)
        # After a power failure the watch may be there before the network is.
        say(f"{why}; it is asked again", err=True)


def check_can_record(account: str | None) -> None:
    """Refuse to watch where nothing can be recorded, or the account's name is invalid."""
    if is_disabled():
        refuse(f"{DISABLED_VARIABLE} is set, and without the journal nobody knows who did what; unset it")
    try:
        check_account(account)
    except ValueError as error:
        refuse(str(error))


def make_options(*, symbols: tuple[str, ...], digest: TimeOfDay | str, **options: Any) -> WatchOptions:
    """Return what the command line asks for."""
    return WatchOptions(
        symbols=frozenset(symbol.upper() for symbol in symbols),
        digest=digest if isinstance(digest, TimeOfDay) else None,
        **options,
    )


def begin(
    client: Any, account: str | None, services: AlertServices | None, every_s: float, options: WatchOptions
) -> Watched:
    """Open the journal, and begin to listen to the account."""
    label = label_of(client, account)
    troubles = TroubleLines()
    journal = Journal(journal_path(), troubles.note_journal, account=label)
    journal.open()
    sight = AccountSight(client, label, ExchangeLog(journal.append), "watch", every_s)
    why = sight.listen(troubles.note)
    url = find_url()
    heartbeat = None if url is None else Heartbeat(url, note_heartbeat)
    return Watched(sight, journal, services, heartbeat, options, every_s, why, troubles)


def end(watched: Watched) -> None:
    """Stop all threads, and close the journal."""
    watched.sight.stop()
    if watched.heartbeat is not None:
        watched.heartbeat.stop()
    if watched.services is not None:
        watched.services.stop()
    watched.journal.close()


def make_watch(watched: Watched, clock: Clock) -> Watch:
    """Return the watch."""
    return Watch(
        journal=watched.journal,
        record=watched.journal.append,
        sight=watched.sight,
        services=watched.services,
        show=lambda sent: say(alert_line(sent, clock)),
        zone=Zone(clock.with_zone, clock.time_of),
        options=watched.options,
        heartbeat=watched.heartbeat,
        on_trouble=watched.troubles.note,
    )


def describe_watch(watched: Watched, host: str) -> Iterator[str]:
    """Yield what is watched, how, and where alerts go."""
    options, journal = watched.options, watched.journal
    symbols = ", ".join(sorted(options.symbols)) or "all symbols"
    yield f"account   {watched.sight.account or 'without a label'}, at {host}; {symbols}"
    look = f"a look at positions and both order stores every {watched.every_s:g} s"
    if watched.why_no_stream is None:
        rest = max(watched.every_s, AT_REST_S)
        yield f"looks     the user data stream; {look}, every {rest:g} s while the stream is heard"
    else:
        yield f"looks     {look}; no stream: {watched.why_no_stream}"
    if not watched.sight.can_list_stops:
        yield (
            "          this client cannot list the stops of the Algo Service, so no position is called bare; "
            "install python-binance 1.0.33 or later"
        )
    others = find_other_runs(journal.path, journal.run_id)
    writers = f"to which write: {', '.join(others)}" if others else "which no other process writes to now"
    yield f"journal   {journal.path}, {writers}"
    yield from describe_accounts(watched)
    yield f"alerts    {describe_services(watched.services)}"
    what = "bare or partly bare" if options.also_partly else "bare"
    yield (
        f"tells of  positions {what} for {options.grace_s:g} s, orders in doubt for {options.doubt_s:g} s, "
        f"denied stops, switches, lost events, an exchange or journal unreadable for {options.blind_s:g} s"
    )
    yield f"digest    {'never' if options.digest is None else f'daily at {options.digest}'}"
    beat = "once a minute while everything can be read"
    yield f"heartbeat {beat if watched.heartbeat is not None else f'none; set {HEARTBEAT_VARIABLE}'}"


def describe_accounts(watched: Watched) -> Iterator[str]:
    """Warn where the journal's orders are of other accounts: then nobody can say who bared a position."""
    try:
        accounts = JournalReader(watched.journal.path).read_values("account")
    except JournalError:
        return
    own = watched.sight.account
    if accounts and own not in accounts:
        yield (
            f"          it has orders of {', '.join(accounts)} and none of {own}; if one is the same "
            "account, name it in both processes: --account NAME and ExitShim(account=NAME)"
        )


class TroubleLines:
    """Say what fails while the watch goes on; the same no oftener than once a minute."""

    def __init__(self) -> None:
        self._said: dict[str, float] = {}

    def note(self, step: str, error: Exception) -> None:
        """Say that a step failed."""
        now, text = time.monotonic(), f"could not {step}: {describe(error)}"
        if now - self._said.get(text, -SAID_S) >= SAID_S:
            # What fails with ever other texts must not fill the memory.
            self._said = {text: now} if len(self._said) > MOST_SAID else {**self._said, text: now}
            say(text, err=True)

    def note_journal(self, error: Exception) -> None:
        """Say that the journal cannot be written."""
        self.note(f"write the journal (see {JOURNAL_VARIABLE})", error)


def note_heartbeat(error: str | None) -> None:
    """Say that heartbeats fail, or work again."""
    say("heartbeats work again" if error is None else f"heartbeats fail: {error}", err=True)
