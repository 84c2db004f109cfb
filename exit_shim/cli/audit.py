"""`exit-shim audit`: what rests at the exchange now, held against the positions and the journal."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, NoReturn

import click

from exit_shim.cli.origins import is_placing
from exit_shim.cli.output import json_text, say
from exit_shim.cli.reading import as_json
from exit_shim.cli.reconcile import KEY, SECRET, asks_an_exchange, check_exchange, client_of, describe_failure
from exit_shim.cli.tables import show
from exit_shim.clients.accounts import label_of
from exit_shim.clients.hosts import exchange_of
from exit_shim.clients.registry import clone_client
from exit_shim.configuration import journal_path
from exit_shim.guard.exchange_snapshot import (
    OpenOrder,
    Snapshot,
    ask,
    bare,
    duplicates,
    orphans,
    oversized_exits,
    read_snapshot,
)
from exit_shim.journal import JournalError, JournalReader, RecordFilter, read_records
from exit_shim.testing.close_client import close_client
from exit_shim.testing.redirect import LOCAL_KEY, LOCAL_SECRET

FOUND, COULD_NOT_ASK = 1, 2

UNKNOWN: Final = "unknown"


class Flaw(NamedTuple):
    """Something at the exchange that is not as it should be; `module` placed it, as far as is known."""

    code: str
    symbol: str
    position_side: str
    what: str
    order: str = ""
    module: str = ""


@click.command()
@asks_an_exchange
@click.option("--symbol", metavar="S", help="Only this symbol.")
@as_json
def audit(*, local: str | None, testnet: bool, demo: bool, symbol: str | None, as_json: bool) -> None:
    """List positions without a stop, orphaned, double and oversized exits, and those of unknown origin.

    Reads positions and both order stores with the key in BINANCE_API_KEY and BINANCE_API_SECRET; nothing
    is placed, changed or cancelled. The exit status is 0 where all is well, 1 where something was found, 2
    where the exchange could not be asked.
    """
    check_exchange(local, testnet=testnet, demo=demo)
    key = os.environ.get(KEY) or (LOCAL_KEY if local else "")
    secret = os.environ.get(SECRET) or (LOCAL_SECRET if local else "")
    if not (key and secret):
        refuse(f"set {KEY} and {SECRET} to a key of the account that may read, or give --local URL")
    with client_of(key, secret, local, testnet=testnet, demo=demo) as client:
        there = exchange_of(label_of(client))
        try:
            snapshot = look(client, symbol.upper() if symbol else None)
        finally:
            close_client(client)
    try:
        JournalReader(journal_path()).read_runs()
    except JournalError as error:
        say(f"the module of each order is unknown: {error}", err=True)
    found = list(flaws(snapshot, there))
    if as_json:
        for flaw in found:
            say(json_text(flaw._asdict()))
    else:
        report(snapshot, found)
    sys.exit(FOUND if found else 0)


def look(client: Any, symbol: str | None) -> Snapshot:
    """Positions and resting orders; says so and ends where they cannot be had."""
    try:
        return ask(read_snapshot(client, symbol))
    except Exception as error:  # noqa: BLE001 - whatever the transport raises
        refuse(f"{clone_client(client).host} could not be asked: {describe_failure(error, client)}")


def refuse(why: str) -> NoReturn:
    """Say why nothing can be said."""
    say(why, err=True)
    sys.exit(COULD_NOT_ASK)


def flaws(snapshot: Snapshot, there: str) -> Iterator[Flaw]:
    """All that is wrong at an exchange, position by position, then the orders."""
    origins = {order: origin(order, there) for order in snapshot.resting if order.can_only_reduce}
    for held, missing in bare(snapshot):
        yield Flaw(
            "UNPROTECTED", held.symbol, held.position_side, f"{missing} of {abs(held.amount)} has no stop"
        )
    for _, stops in duplicates(snapshot):
        for stop in stops:
            yield about("DUPLICATE_EXIT", stop, f"one of {len(stops)} stops", origins)
    for held, kind, total in oversized_exits(snapshot):
        yield Flaw(
            "OVERSIZED",
            held.symbol,
            held.position_side,
            f"{kind} over {total}, the position is {abs(held.amount)}",
        )
    for order in orphans(snapshot):
        yield about("ORPHAN", order, f"{order.type} without a position", origins)
    for order, module in origins.items():
        if module is None:
            yield about("UNKNOWN_ORIGIN", order, f"{order.type} that the journal does not know", origins)


def about(code: str, order: OpenOrder, what: str, origins: dict[OpenOrder, str | None]) -> Flaw:
    """A flaw of one order."""
    return Flaw(code, order.symbol, order.position_side, what, order.name, origins.get(order) or UNKNOWN)


def origin(order: OpenOrder, there: str) -> str | None:
    """The module that placed an order at an exchange, where the journal knows: numbers recur at others."""
    known = {"", there}  # fakes, adapters and old records do not say where they went
    for name in (order.algo_id, order.order_id, order.client_order_id):
        if name is None:
            continue
        with contextlib.suppress(JournalError):
            for record in read_records(journal_path(), RecordFilter(named=str(name))):
                if is_placing(record, order, order.symbol) and exchange_of(record.intent.account) in known:
                    return record.intent.attribution.module
    return None


def report(snapshot: Snapshot, found: list[Flaw]) -> None:
    """The findings for people."""
    if found:
        show(("found", "symbol", "side", "what", "order", "module"), found)
    say(
        f"{len(snapshot.positions)} positions, {len(snapshot.resting)} resting orders: "
        + (f"{len(found)} findings" if found else "all is well")
    )
