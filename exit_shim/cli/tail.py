"""`exit-shim tail`: exit orders as they are recorded."""

import contextlib
import time
from typing import Final

import click

from exit_shim.cli.json_lines import record_json
from exit_shim.cli.options import json_option
from exit_shim.cli.output import say
from exit_shim.cli.sources import read_orders, read_steps
from exit_shim.cli.steps import step_json, step_line
from exit_shim.cli.tables import NANOSECONDS, record_row

POLL_S: Final = 0.25

PATIENCE_NS: Final = 15 * NANOSECONDS
"""How long to wait for an order's outcome before the order is shown as in doubt."""


@click.command()
@json_option
def tail(*, as_json: bool) -> None:
    """Show exit orders as they are recorded, until Ctrl-C.

    An order appears once its outcome is known, or after 15 s as in doubt. A step of an exit executor appears
    when it is about to be done.
    """
    with contextlib.suppress(KeyboardInterrupt):
        follow(as_json=as_json)


def follow(*, as_json: bool) -> None:
    """Poll the journal until interrupted, and print each order and step once."""
    shown: dict[tuple[str, int], int] = {}
    start = time.time_ns()
    while True:
        horizon = time.time_ns() - 2 * PATIENCE_NS
        shown = {key: ts for key, ts in shown.items() if ts >= horizon}
        # A step comes just before its order.
        for stored in list(read_steps(since_ns=max(start, horizon))):
            if (stored.run_id, stored.seq) not in shown:
                shown[stored.run_id, stored.seq] = stored.ts
                say(step_json(stored) if as_json else step_line(stored))
        for record in list(read_orders(since_ns=max(start, horizon))):
            key, ts = (record.run_id, record.seq), record.intent.ts
            is_settled = record.outcome is not None or ts < time.time_ns() - PATIENCE_NS
            if is_settled and key not in shown:
                shown[key] = ts
                say(record_json(record) if as_json else "  ".join(map(str, record_row(record))))
        time.sleep(POLL_S)
