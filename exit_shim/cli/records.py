"""`exit-shim records`: the recorded exit orders, one by one."""

import contextlib
import difflib
from collections.abc import Iterable
from typing import Final, cast

import click

from exit_shim.cli.json_lines import record_json
from exit_shim.cli.options import from_option, json_option, since_option
from exit_shim.cli.output import say
from exit_shim.cli.sources import read_orders, read_steps, readable_journal_errors, source_of
from exit_shim.cli.steps import STEP_COLUMNS, step_json, step_row
from exit_shim.cli.tables import RECORD_COLUMNS, record_row, show_table, utc_time
from exit_shim.domain.events import Record
from exit_shim.journal.record_source import Field
from exit_shim.runtime.nearest_name import did_you_mean

MOST_VALUES: Final = 10
"""How many existing values are listed where a filter matches none of them."""


@click.command()
@json_option
@since_option
@click.option("--module", metavar="M", help="Only orders of module M, by its short name.")
@click.option("--symbol", metavar="S", help="Only orders on symbol S.")
@click.option("--host", metavar="H", help="With --from: only orders from host H.")
@click.option("--account", metavar="A", help="With --from: only orders of the account labelled A.")
@click.option("--steps", is_flag=True, help="List the steps of exit executors instead of orders.")
@from_option
def records(
    *, as_json: bool, since: int | None, symbol: str | None, steps: bool, dsn: str | None, **of: str | None
) -> None:
    """List the recorded exit orders, oldest first."""
    options = {"symbol": symbol.upper() if symbol else None, **of}
    filters = {name: value for name, value in options.items() if value is not None}
    if not dsn and filters.keys() & {"host", "account"}:
        raise click.UsageError("--host and --account need --from: the journal has the orders of one host")
    if steps:
        list_steps(dsn, since, filters, as_json=as_json)
        return
    # Closed here and not by the garbage collector, which may close the database first and complain.
    with contextlib.closing(read_orders(dsn, since_ns=since, **filters)) as orders:
        number = (print_json if as_json else print_table)(orders)
    if not number:
        say(why_empty(dsn, filters, since), err=True)


def list_steps(dsn: str | None, since: int | None, filters: dict[str, str], *, as_json: bool) -> None:
    """Print the steps of exit executors."""
    if filters.keys() - {"symbol", "account"}:
        raise click.UsageError("--steps can be narrowed by --symbol, --account and --since only")
    chosen = [
        stored
        for stored in read_steps(dsn, since_ns=since)
        if all(getattr(stored.step, name) == value for name, value in filters.items())
    ]
    if as_json:
        say(*map(step_json, chosen))
    elif chosen:
        show_table(STEP_COLUMNS, list(map(step_row, chosen)))
    if not chosen:
        say("no step of an exit executor matches; `exit-shim protect --plans` records them", err=True)


def print_json(orders: Iterable[Record]) -> int:
    """Print each order as a JSON line as it is read; return how many."""
    number = 0
    for record in orders:
        say(record_json(record))
        number += 1
    return number


def print_table(orders: Iterable[Record]) -> int:
    """Print orders as a table; return how many."""
    rows = [record_row(record) for record in orders]
    show_table(RECORD_COLUMNS, rows)
    return len(rows)


def why_empty(dsn: str | None, filters: dict[str, str], since_ns: int | None) -> str:
    """Say why no order is listed: there are none, none has this value, or none has all of them."""
    with readable_journal_errors():
        source = source_of(dsn)
        if not source.read_values("module"):
            return f"{source.name} has no exit orders yet"
        for name, value in filters.items():
            if value not in (values := source.read_values(cast("Field", name))):
                return (
                    f"--{name} {value!r} matches no order in {source.name}{did_you_mean(value, values)}; "
                    f"it has {nearest_values(value, values)}"
                )
    shown = [f"--{name} {value!r}" for name, value in filters.items()]
    if since_ns:
        shown.append(f"--since {utc_time(since_ns):%Y-%m-%dT%H:%MZ}")
    return f"no order in {source.name} matches {' and '.join(shown)}; remove or widen a filter"


def nearest_values(value: str, values: list[str]) -> str:
    """List the existing values, those most like a mistyped one first."""
    nearest = difflib.get_close_matches(value, values, n=MOST_VALUES, cutoff=0.0)
    more = len(values) - len(nearest)
    return (", ".join(nearest) or "none") + (f" and {more} more" if more else "")
