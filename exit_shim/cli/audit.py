"""`exit-shim audit`: the positions and open orders at the exchange, compared with the journal."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, NoReturn

import click

from exit_shim.cli.exchange_client import (
    KEY_VARIABLE,
    SECRET_VARIABLE,
    check_exchange,
    describe_failure,
    exchange_options,
    find_credentials,
    open_client,
)
from exit_shim.cli.json_lines import json_text
from exit_shim.cli.options import json_option
from exit_shim.cli.origins import is_placing
from exit_shim.cli.output import pluralize, say
from exit_shim.cli.tables import show_table
from exit_shim.clients.accounts import label_of
from exit_shim.clients.registry import clone_client
from exit_shim.domain.accounts import exchange_of
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
from exit_shim.journal.default_path import journal_path

PROBLEMS_FOUND, CANNOT_ASK = 1, 2

UNKNOWN: Final = "unknown"

Modules = dict[OpenOrder, str | None]
"""The module that placed each order; None where the journal does not know."""


class Discrepancy(NamedTuple):
    """A problem at the exchange; `module` placed the order, as far as the journal knows."""

    code: str
    symbol: str
    position_side: str
    detail: str
    order: str = ""
    module: str = ""


@click.command()
@exchange_options
@click.option("--symbol", metavar="S", help="Only this symbol.")
@json_option
def audit(*, local: str | None, testnet: bool, demo: bool, symbol: str | None, as_json: bool) -> None:
    """Report unprotected positions and stray exits at the exchange.

    Finds positions without a stop, exits without a position, double and oversized exits, and orders that the
    journal does not know. Reads positions and open orders with the key in BINANCE_API_KEY and
    BINANCE_API_SECRET; nothing is placed, changed or cancelled.

    The exit status is 0 without problems, 1 with some, 2 where the exchange could not be asked.
    """
    check_exchange(local, testnet=testnet, demo=demo)
    credentials = find_credentials(local)
    if credentials is None:
        refuse(
            f"set {KEY_VARIABLE} and {SECRET_VARIABLE} to a key of the account that may read, or give "
            "--local URL"
        )
    with open_client(credentials, local, testnet=testnet, demo=demo) as client:
        exchange = exchange_of(label_of(client))
        snapshot = read_exchange(client, symbol.upper() if symbol else None)
    try:
        JournalReader(journal_path()).read_runs()
    except JournalError as error:
        say(f"the module of each order is unknown: {error}", err=True)
    problems = list(find_discrepancies(snapshot, exchange))
    if as_json:
        say(*(json_text(problem._asdict()) for problem in problems))
    else:
        show_report(snapshot, problems)
    sys.exit(PROBLEMS_FOUND if problems else 0)


def read_exchange(client: Any, symbol: str | None) -> Snapshot:
    """Return positions and open orders; end the command where the exchange does not answer."""
    try:
        return ask(read_snapshot(client, symbol))
    except Exception as error:  # noqa: BLE001 - whatever the transport raises
        refuse(f"{clone_client(client).host} cannot be asked: {describe_failure(error, client)}")


def refuse(why: str) -> NoReturn:
    """Say why the exchange was not asked, and end the command."""
    say(why, err=True)
    sys.exit(CANNOT_ASK)


def find_discrepancies(snapshot: Snapshot, exchange: str) -> Iterator[Discrepancy]:
    """Yield the problems of positions, then those of orders."""
    modules = find_modules(snapshot, exchange)
    yield from find_problems(snapshot, modules)
    for order, module in modules.items():
        if module is None:
            yield about_order("UNKNOWN_ORIGIN", order, f"{order.type} is not in the journal", modules)


def find_modules(snapshot: Snapshot, exchange: str) -> Modules:
    """Return which module placed each exit."""
    return {order: module_of(order, exchange) for order in snapshot.resting if order.can_only_reduce}


def find_problems(snapshot: Snapshot, modules: Modules) -> Iterator[Discrepancy]:
    """Yield what needs no journal to be wrong: positions first, then exits without one."""
    yield from find_position_problems(snapshot, modules)
    for order in orphans(snapshot):
        yield about_order("ORPHAN", order, f"{order.type} without a position", modules)


def find_position_problems(snapshot: Snapshot, modules: Modules) -> Iterator[Discrepancy]:
    """Yield unprotected positions, and exits that are double or too large for their position."""
    for held, missing in bare(snapshot):
        detail = f"{missing} of {abs(held.amount)} has no stop"
        yield Discrepancy("UNPROTECTED", held.symbol, held.position_side, detail)
    for _, stops in duplicates(snapshot):
        for stop in stops:
            yield about_order("DUPLICATE_EXIT", stop, f"one of {len(stops)} stops", modules)
    for held, kind, total in oversized_exits(snapshot):
        detail = f"{kind} orders over {total}, position {abs(held.amount)}"
        yield Discrepancy("OVERSIZED", held.symbol, held.position_side, detail)


def about_order(code: str, order: OpenOrder, detail: str, modules: Modules) -> Discrepancy:
    """Return a problem of one order."""
    module = modules.get(order) or UNKNOWN
    return Discrepancy(code, order.symbol, order.position_side, detail, order.name, module)


def module_of(order: OpenOrder, exchange: str) -> str | None:
    """Return the module that placed an order at this exchange; None where the journal does not know."""
    # Order ids recur at other exchanges; fakes, adapters and old records do not name theirs.
    exchanges = {"", exchange}
    for name in (order.algo_id, order.order_id, order.client_order_id):
        if name is None:
            continue
        with contextlib.suppress(JournalError):
            for record in read_records(journal_path(), RecordFilter(named=str(name))):
                account = record.intent.account
                if is_placing(record, order, order.symbol) and exchange_of(account) in exchanges:
                    return record.intent.attribution.module
    return None


def show_report(snapshot: Snapshot, problems: list[Discrepancy]) -> None:
    """Print the problems as a table, and the totals."""
    if problems:
        show_table(("problem", "symbol", "side", "detail", "order", "module"), problems)
    positions = pluralize(len(snapshot.positions), "position")
    orders = pluralize(len(snapshot.resting), "open order")
    say(f"{positions}, {orders}: {pluralize(len(problems), 'problem') if problems else 'no problems found'}")
