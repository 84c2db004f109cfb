"""What `explain` says of a name that is no order's: a symbol's incident and orders, or what may be meant."""

import shlex
import time
from typing import Final

from exit_shim.cli.filters import Selection
from exit_shim.cli.order_rows import show_orders
from exit_shim.cli.output import say
from exit_shim.cli.sources import readable_journal_errors
from exit_shim.cli.why import choose_symbol, known_symbols, say_why
from exit_shim.reports.incident import read_history
from exit_shim.runtime.nearest_name import did_you_mean

MOST_ORDERS: Final = 10
"""How many of the latest orders are listed."""


def explain_symbol(name: str, selection: Selection, *, as_json: bool) -> bool:
    """Print the incident of a symbol and its latest orders; return False where no symbol is called so."""
    with readable_journal_errors():
        symbol = choose_symbol(selection, name, 0)
        now_ns = time.time_ns()
        wanted = selection.wanted._replace(symbol=symbol)
        history = None if symbol is None else read_history(selection.source, wanted, now_ns)
    if history is None:
        return False
    say_why(selection, history, now_ns, as_json=as_json)
    if not as_json:
        say("", f"the latest orders of {symbol}")
        show_orders(history.records[-MOST_ORDERS:], selection.clock)
    return True


def nothing_named(name: str, selection: Selection) -> str:
    """Say that no order has a name, and what it may be instead."""
    with readable_journal_errors():
        modules, symbols = selection.source.read_values("module"), known_symbols(selection)
    if name in modules:
        return f"{name!r} is a module, not an order; try `exit-shim records --module {shlex.quote(name)}`"
    hint = did_you_mean(name.upper(), symbols) or did_you_mean(name, modules)
    return (
        f"no record matches {name!r}{hint}; `exit-shim records` lists the ids of all orders in its column "
        "`order`"
    )
