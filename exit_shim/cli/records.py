"""`exit-shim records`: the recorded exit orders, one by one."""

import contextlib
from collections.abc import Iterable

import click

from exit_shim.cli.clock import Clock
from exit_shim.cli.csv_rows import csv_option, print_csv, refuse_both
from exit_shim.cli.filters import Selection, filter_options
from exit_shim.cli.json_lines import record_json
from exit_shim.cli.options import json_option
from exit_shim.cli.order_rows import CSV_COLUMNS, csv_fields, show_orders
from exit_shim.cli.output import say
from exit_shim.cli.steps import show_steps
from exit_shim.cli.why_empty import why_empty
from exit_shim.domain.events import Record

OF_STEPS = frozenset({"--symbol", "--account", "--run", "--since", "--until"})
"""The filters that apply to steps too."""


@click.command()
@json_option
@csv_option
@click.option("--steps", is_flag=True, help="List the steps of exit executors instead of orders.")
@filter_options()
def records(*, as_json: bool, as_csv: bool, steps: bool, selection: Selection) -> None:
    """List the recorded exit orders, oldest first.

    The last column has whose orders a cancel or change took, and what the guard found. On a narrow terminal
    it stands below its row, and other columns make room.
    """
    refuse_both(as_json=as_json, as_csv=as_csv)
    if steps:
        list_steps(selection, as_json=as_json, as_csv=as_csv)
        return
    # Closed here and not by the garbage collector, which may close the database first and complain.
    with contextlib.closing(selection.read_records()) as orders:
        number = print_orders(orders, selection.clock, as_json=as_json, as_csv=as_csv)
    if not number:
        say(why_empty(selection), err=True)


def print_orders(orders: Iterable[Record], clock: Clock, *, as_json: bool, as_csv: bool) -> int:
    """Print orders in a format; return how many there were."""
    if as_json:
        return print_json(orders)
    if as_csv:
        return print_csv(CSV_COLUMNS, (csv_fields(record, clock) for record in orders))
    listed = list(orders)
    show_orders(listed, clock)
    return len(listed)


def list_steps(selection: Selection, *, as_json: bool, as_csv: bool) -> None:
    """Print the steps of exit executors."""
    if as_csv or selection.given.keys() - OF_STEPS:
        raise click.UsageError(f"--steps takes {', '.join(sorted(OF_STEPS))} and --json only")
    chosen = list(selection.read_steps())
    if chosen:
        show_steps(chosen, selection.clock, as_json=as_json)
    else:
        say("no step of an exit executor matches; `exit-shim protect --plans` records them", err=True)


def print_json(orders: Iterable[Record]) -> int:
    """Print each order as a JSON line as it is read; return how many."""
    number = 0
    for record in orders:
        say(record_json(record))
        number += 1
    return number
