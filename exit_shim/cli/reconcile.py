"""`exit-shim reconcile`: ask the exchange about orders in doubt, and write down what it says."""

import contextlib
import inspect
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click

from exit_shim.cli.output import say
from exit_shim.cli.reading import json_line, read
from exit_shim.cli.tables import RECORD_COLUMNS, record_row, show
from exit_shim.clients.accounts import label_of
from exit_shim.clients.hosts import AT, exchange_of
from exit_shim.clients.registry import clone_client
from exit_shim.configuration import journal_path
from exit_shim.domain.events import Record
from exit_shim.journal import Journal
from exit_shim.resolving import PACE, Budget, ExchangeReader
from exit_shim.resolving.doubt import plan_inquiry, why_unanswerable
from exit_shim.resolving.from_journal import find_left_in_doubt, make_resolver
from exit_shim.resolving.questions import Question
from exit_shim.runtime.background import Dispatch
from exit_shim.runtime.internal_errors import InternalErrors
from exit_shim.runtime.scrubbing import describe, secrets_of
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET, redirect_clients

KEY, SECRET = "BINANCE_API_KEY", "BINANCE_API_SECRET"

STILL_IN_DOUBT, COULD_NOT_ASK = 1, 2

HERE: Final = ("127.0.0.1", "localhost", "::1")

POLL_S: Final = 0.05

NO_KEYS: Final = f"""\
{{number}} orders are in doubt. To have the exchange asked about them, set {KEY} and {SECRET} to a key of
the account that may read, and run `exit-shim reconcile` again; or give --local URL for a local exchange.
Nothing is placed, changed or cancelled."""


class LocalUrl(click.ParamType):  # type: ignore[type-arg] # generic since click 8.2
    """Where a local exchange listens: http://127.0.0.1:8080, or without the scheme."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return scheme, host and port; refuse another machine, which would be shown signed requests."""
        expected = f"expected http://HOST:PORT, HOST one of {', '.join(HERE)}"
        url = value if "://" in value else f"http://{value}"
        try:
            parts = urlsplit(url)
            is_address = parts.scheme in {"http", "https"} and parts.port != 0
        except ValueError:
            is_address = False
        if not is_address or not parts.hostname:
            self.fail(f"{value!r} is not an address; {expected}", param, ctx)
        if parts.hostname not in HERE:
            self.fail(f"{value!r} is not on this machine; {expected}", param, ctx)
        return url


def asks_an_exchange(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say which exchange a command asks; the live one without any."""
    for option in (
        click.option("--demo", is_flag=True, help="Ask Binance's demo exchange, as Client(demo=True) does."),
        click.option("--testnet", is_flag=True, help="Ask the testnet, as Client(testnet=True) does."),
        click.option(
            "--local",
            type=LocalUrl(),
            metavar="URL",
            help="Ask a local exchange at URL or HOST:PORT, which must be on this machine.",
        ),
    ):
        command = option(command)
    return command


@click.command()
@asks_an_exchange
@click.option("--account", metavar="LABEL", help="The account's label in the journal, where it has one.")
@click.option(
    "--for",
    "patience",
    metavar="SECONDS",
    type=float,
    default=300.0,
    show_default=True,
    help="Give up after SECONDS.",
)
@click.option("--json", "as_json", is_flag=True, help="Each resolved order as a JSON line.")
def reconcile(
    *, local: str | None, testnet: bool, demo: bool, account: str | None, patience: float, as_json: bool
) -> None:
    """Ask the exchange what became of orders in doubt, and write it down.

    Only the orders that went to this exchange, of the account whose key is in BINANCE_API_KEY and
    BINANCE_API_SECRET, and only of processes that have ended; the exchange is only read. The exit status is 0
    where all are resolved, 1 where some stay in doubt, 2 where nobody could be asked.
    """
    check_exchange(local, testnet=testnet, demo=demo)
    all_of_them = list(read(in_doubt=True))
    if not all_of_them:
        say("nothing is in doubt", err=as_json)
        return
    key = os.environ.get(KEY) or (LOCAL_KEY if local else "")
    secret = os.environ.get(SECRET) or (LOCAL_SECRET if local else "")
    if not (key and secret):
        refuse(all_of_them, NO_KEYS.format(number=len(all_of_them)), as_json=as_json)
    left = list(find_left_in_doubt(Path(journal_path())))
    with client_of(key, secret, local, testnet=testnet, demo=demo) as client:
        label = label_there(client, account)
        ours = [record for record in left if record.intent.account == label]
        say_of_the_others(all_of_them, left, label)
        if not ours:
            refuse(all_of_them, f"none of what can be asked about is of account {label}", as_json=as_json)
        complaint = cannot_ask(client, ours)
        if complaint is not None:
            refuse(ours, f"{clone_client(client).host} cannot be asked: {complaint}", as_json=as_json)
        say(f"asking {clone_client(client).host} about {len(ours)} orders in doubt", err=True)
        sys.exit(STILL_IN_DOUBT if resolve(client, label, ours, patience, as_json=as_json) else 0)


def refuse(records: list[Record], why: str, *, as_json: bool) -> None:
    """List what is in doubt, say why it stays so, and end."""
    if not as_json:
        show(RECORD_COLUMNS, [record_row(record) for record in records])
    say(*why.split("\n"), err=True)
    sys.exit(COULD_NOT_ASK)


def say_of_the_others(records: list[Record], left: list[Record], label: str) -> None:
    """What is in doubt and not asked about here."""
    living = len(records) - len(left)
    if living:
        say(f"{living} in doubt are of processes that still run, which look after them", err=True)
    for other in sorted({str(one.intent.account) for one in left} - {label}):
        number = sum(str(one.intent.account) == other for one in left)
        say(f"{number} in doubt are of account {other}", err=True)


def check_exchange(local: str | None, *, testnet: bool, demo: bool) -> None:
    """Refuse to ask more than one exchange."""
    if (local is not None) + testnet + demo > 1:
        raise click.UsageError("--local, --testnet and --demo are three exchanges; give one, or none")


@contextlib.contextmanager
def client_of(
    key: str, secret: str, local: str | None, *, testnet: bool = False, demo: bool = False
) -> Iterator[Any]:
    """A genuine client; nothing is sent but, by old releases of python-binance, a ping."""
    import binance  # noqa: PLC0415 - heavy, and only needed here

    known = inspect.signature(binance.Client).parameters
    options = {"ping": False} if "ping" in known else {}
    flags = {name: True for name, given in (("testnet", testnet), ("demo", demo)) if given}
    if not set(flags) <= set(known):
        raise click.UsageError(f"this python-binance knows no {', '.join(flags)}")
    with contextlib.ExitStack() as around:
        if local is not None:
            around.enter_context(redirect_clients(local, lambda *_: None))
        client = binance.Client(key, secret, **flags, **options)
        if flags and not exchange_of(label_of(client)):
            raise click.UsageError(f"this python-binance sends futures orders of {', '.join(flags)} to live")
        yield client


def label_there(client: Any, account: str | None) -> str:
    """The label of what an account did at the client's exchange; `account` may say that it is that one."""
    name, at, _ = (account or "").partition(AT)
    label = str(label_of(client, name or None))
    if at and label != account:
        raise click.UsageError(f"--account {account} is at another exchange; this one has {label}")
    return label


def cannot_ask(client: Any, records: list[Record]) -> str | None:
    """Why the exchange does not answer this key; by the way the client's clock is set by the exchange's."""
    try:
        began = time.time()
        server = client.futures_time()["serverTime"]
        client.timestamp_offset = int(server - (began + time.time()) * 500)
    except Exception as error:  # noqa: BLE001 - whatever it is, there is no asking
        return describe_failure(error, client)
    asked = next((record for record in records if why_unanswerable(record) is None), None)
    if asked is None or asked.intent.operation == "test":
        return None
    asker, store = (
        ExchangeReader(clone_client(client), Budget(PACE.weight_a_minute)),
        plan_inquiry(asked).market.orders,
    )
    reply = asker.ask(Question(store, store.waiting, {"symbol": asked.intent.order.symbol}))
    asker.close()
    return reply.failure


def describe_failure(error: Exception, client: Any) -> str:
    """Return type, code, text and HTTP status of what a request raised, without the client's secrets."""
    status = getattr(error, "status_code", None)
    return describe(error, secrets_of(client, {})) + (f" (HTTP {status})" if status else "")


def resolve(client: Any, label: str, records: list[Record], patience: float, *, as_json: bool) -> int:
    """Look them up until all are resolved or the time is over; returns how many stay in doubt."""
    resolved: list[Record] = []

    def tell(record: Record) -> None:
        resolved.append(record)
        say(*([json_line(record)] if as_json else told(record)))

    def give_up(record: Record, reason: str) -> None:
        say(f"{name(record)} stays in doubt: {reason}", err=True)

    with contextlib.closing(Journal(journal_path())) as journal:
        journal.open()
        resolver = make_resolver(
            journal, InternalErrors(Dispatch(lambda _dropped: None)), PACE, tell, give_up
        )
        resolver.add_client(client, label)
        until = time.monotonic() + patience
        while resolver.is_busy() and time.monotonic() < until:
            time.sleep(POLL_S)
        for record, reason in resolver.open_doubts():
            give_up(record, reason)
        resolver.stop()
    return len(records) - len(resolved)


def name(record: Record) -> str:
    """Which order, for people."""
    order = record.intent.order
    called = order.client_order_id or "without a client order id"
    return f"{record.intent.operation} {order.kind} {order.symbol} {called} ({record.run_id}:{record.seq})"


def told(record: Record) -> list[str]:
    """One finding, for people."""
    found = record.resolution
    assert found is not None  # noqa: S101 - it is told because it was found
    ids = {"status": found.status, "order id": found.order_id, "algo id": found.algo_id}
    words = [f"{what} {value}" for what, value in ids.items() if value is not None]
    first = f"{name(record)}: {', '.join([found.result, *words])}"
    return [first, *(f"    {question}" for question in found.evidence)]
