"""`exit-shim reconcile`: ask the exchange about orders in doubt, and record what it says."""

import contextlib
import sys
import time
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

import click

from exit_shim.cli.clock import local_clock
from exit_shim.cli.exchange_client import (
    KEY_VARIABLE,
    SECRET_VARIABLE,
    check_exchange,
    describe_failure,
    exchange_options,
    find_credentials,
    open_client,
)
from exit_shim.cli.json_lines import record_json
from exit_shim.cli.options import journal_option
from exit_shim.cli.order_rows import show_orders
from exit_shim.cli.output import pluralize, say
from exit_shim.cli.progress import ProgressBar
from exit_shim.cli.sources import read_orders
from exit_shim.clients.accounts import label_of
from exit_shim.clients.registry import clone_client
from exit_shim.domain.accounts import AT
from exit_shim.domain.events import Record
from exit_shim.journal import Journal
from exit_shim.journal.default_path import journal_path
from exit_shim.resolving import PACE, Budget, ExchangeReader
from exit_shim.resolving.doubt import plan_inquiry, why_unanswerable
from exit_shim.resolving.from_journal import find_left_in_doubt, make_resolver
from exit_shim.resolving.questions import Question
from exit_shim.runtime.background import Dispatch
from exit_shim.runtime.internal_errors import InternalErrors

STILL_IN_DOUBT, CANNOT_ASK = 1, 2

POLL_S: Final = 0.05

WAY_OUT: Final = f"""\
To ask the exchange about them, set {KEY_VARIABLE} and {SECRET_VARIABLE} to a key of the account that may
read, and run `exit-shim reconcile` again; or give --local URL for a local exchange.
Nothing is placed, changed or cancelled."""


@click.command()
@exchange_options
@click.option("--account", metavar="LABEL", help="The account's label in the journal, if it was given one.")
@click.option(
    "--for",
    "patience",
    metavar="SECONDS",
    type=float,
    default=300.0,
    show_default=True,
    help="Give up after SECONDS.",
)
@click.option("--json", "as_json", is_flag=True, help="Print each resolved order as a JSON line.")
@journal_option
def reconcile(  # noqa: PLR0913 - all by name
    *,
    local: str | None,
    testnet: bool,
    demo: bool,
    account: str | None,
    patience: float,
    as_json: bool,
    journal: str | None,
) -> None:
    """Ask the exchange about orders in doubt.

    An order is in doubt while no answer proves what became of it. Asks about those that went to this
    exchange from the account of BINANCE_API_KEY and BINANCE_API_SECRET, if the process that placed them has
    ended, and records what it finds. The exchange is only read.

    The exit status is 0 where all are resolved, 1 where some stay in doubt, 2 where the exchange could not
    be asked.
    """
    check_exchange(local, testnet=testnet, demo=demo)
    path = Path(journal_path(journal))
    in_doubt = list(read_orders(path, in_doubt=True))
    if not in_doubt:
        say("No orders are in doubt.", err=as_json)
        return
    credentials = find_credentials(local)
    if credentials is None:
        refuse(in_doubt, f"{pluralize(len(in_doubt), 'order')} in doubt. {WAY_OUT}", as_json=as_json)
    of_ended = list(find_left_in_doubt(path))
    with open_client(credentials, local, testnet=testnet, demo=demo) as client:
        label = label_at(client, account)
        asked = [record for record in of_ended if record.intent.account == label]
        report_others(in_doubt, of_ended, label)
        if not asked:
            refuse(in_doubt, f"none of them can be asked about as account {label}", as_json=as_json)
        host = clone_client(client).host
        problem = why_unanswered(client, asked)
        if problem is not None:
            refuse(asked, f"{host} cannot be asked: {problem}", as_json=as_json)
        say(f"asking {host} about {pluralize(len(asked), 'order')} in doubt", err=True)
        still = resolve(path, Asking(client, label, asked), patience, as_json=as_json)
        sys.exit(STILL_IN_DOUBT if still else 0)


def refuse(records: list[Record], why: str, *, as_json: bool) -> NoReturn:
    """List what is in doubt, say why it stays so, and end the command."""
    if not as_json:
        show_orders(records, local_clock())
    say(*why.split("\n"), err=True)
    sys.exit(CANNOT_ASK)


def report_others(in_doubt: list[Record], of_ended: list[Record], label: str) -> None:
    """Count the orders in doubt that are not asked about here, with the reason."""
    running = len(in_doubt) - len(of_ended)
    if running:
        say(f"{pluralize(running, 'order')} in doubt left to the running bots that placed them", err=True)
    for other in sorted({str(record.intent.account) for record in of_ended} - {label}):
        number = sum(str(record.intent.account) == other for record in of_ended)
        say(f"{pluralize(number, 'order')} in doubt of account {other}", err=True)


def label_at(client: Any, account: str | None) -> str:
    """Return the account's label at the client's exchange; refuse a label of another exchange."""
    name, at, _ = (account or "").partition(AT)
    label = str(label_of(client, name or None))
    if at and label != account:
        raise click.UsageError(f"--account {account} is at another exchange; this one has {label}")
    return label


def why_unanswered(client: Any, records: list[Record]) -> str | None:
    """Return why the exchange does not answer this key, None where it does; set the client's clock."""
    try:
        began = time.time()
        server = client.futures_time()["serverTime"]
        client.timestamp_offset = int(server - (began + time.time()) * 500)
    except Exception as error:  # noqa: BLE001 - whatever the transport raises
        return describe_failure(error, client)
    first = next((record for record in records if why_unanswerable(record) is None), None)
    if first is None or first.intent.operation == "test":
        return None
    reader = ExchangeReader(clone_client(client), Budget(PACE.weight_a_minute))
    store = plan_inquiry(first).market.orders
    reply = reader.ask(Question(store, store.waiting, {"symbol": first.intent.order.symbol}))
    reader.close()
    return reply.failure


class Asking(NamedTuple):
    """The orders to ask about, and the client and account to ask with."""

    client: Any
    label: str
    records: list[Record]


def resolve(path: Path, asking: Asking, patience: float, *, as_json: bool) -> int:
    """Look orders up until all are resolved or the time is over; return how many stay in doubt."""
    resolved: list[Record] = []
    bar = ProgressBar("asking", len(asking.records))

    def report(record: Record) -> None:
        resolved.append(record)
        bar.advance()
        with bar.hidden():
            say(*([record_json(record)] if as_json else describe_resolved(record)))

    def report_open(record: Record, reason: str) -> None:
        with bar.hidden():
            say(f"{order_name(record)} stays in doubt: {reason}", err=True)

    with contextlib.closing(Journal(path)) as journal, bar:
        journal.open()
        errors = InternalErrors(Dispatch(lambda _dropped: None))
        resolver = make_resolver(journal, errors, PACE, report, report_open)
        resolver.add_client(asking.client, asking.label)
        until = time.monotonic() + patience
        while resolver.is_busy() and time.monotonic() < until:
            time.sleep(POLL_S)
        for record, reason in resolver.open_doubts():
            report_open(record, reason)
        resolver.stop()
    return len(asking.records) - len(resolved)


def order_name(record: Record) -> str:
    """Name an order for people."""
    order = record.intent.order
    client_id = order.client_order_id or "without a client order id"
    return f"{record.intent.operation} {order.kind} {order.symbol} {client_id} ({record.run_id}:{record.seq})"


def describe_resolved(record: Record) -> list[str]:
    """Return the lines about a resolved order: what it came to, and the requests that prove it."""
    resolution = record.resolution
    assert resolution is not None  # noqa: S101 - the resolver reports only what it has resolved
    ids = {"status": resolution.status, "order id": resolution.order_id, "algo id": resolution.algo_id}
    words = [f"{name} {value}" for name, value in ids.items() if value is not None]
    first = f"{order_name(record)}: {', '.join([resolution.result, *words])}"
    return [first, *(f"    {question}" for question in resolution.evidence)]
