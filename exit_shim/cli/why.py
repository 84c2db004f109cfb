"""`exit-shim why`: is a position protected now, since when not, and who did it."""

import shlex
import sys
import time
from typing import Final

import click
from click.core import ParameterSource

from exit_shim.cli import COMMANDS
from exit_shim.cli.filters import Selection, filter_options
from exit_shim.cli.json_lines import json_text
from exit_shim.cli.options import json_option
from exit_shim.cli.output import say, show_lines
from exit_shim.cli.sources import readable_journal_errors
from exit_shim.cli.why_empty import nearest_values
from exit_shim.cli.why_json import incident_fields
from exit_shim.cli.why_policy import Ruling, rule_on
from exit_shim.cli.why_screen import Screen, draw
from exit_shim.domain.accounts import exchange_of
from exit_shim.domain.events import PositionSeen, Record
from exit_shim.journal.rows import decode
from exit_shim.reports.incident import URGENCY, Incident, find_incidents, read_history
from exit_shim.reports.situation import UNSAFE, History, read_positions
from exit_shim.runtime.nearest_name import did_you_mean

UNPROTECTED, UNKNOWN = 1, 3
"""The exit statuses besides 0."""

MOST_NAMED: Final = 10


@click.command()
@click.argument("name", metavar="[SYMBOL]", required=False)
@click.option("--policy", metavar="FILE", help="Say what this policy would have done, not exit_shim.toml.")
@json_option
@filter_options(omit={"symbol", "module", "kind", "outcome", "reason", "limit"})
def why(*, name: str | None, policy: str | None, as_json: bool, selection: Selection) -> None:
    """Say whether a position is protected now, and if not, why.

    Shows its size and the stops that hold it; since when it is bare, or was; whose stop was the last one; who
    cancelled it, from which line; what happened around it; and what a policy would have done. The beginning
    of SYMBOL will do; without one, it is the most urgent position that was seen of late. Reads back to when
    it was flat last, a day at most; --since reads farther.

    The exit status is 0 where it is covered or flat, 1 where it is bare or covered in part only, 3 where that
    is not known.
    """
    now_ns = time.time_ns()
    with readable_journal_errors():
        chosen = choose_symbol(selection, name, now_ns)
        history = (
            None
            if chosen is None
            else read_history(selection.source, selection.wanted._replace(symbol=chosen), now_ns)
        )
    if chosen is None or history is None:
        say(nothing_of(selection, name), err=True)
        sys.exit(UNKNOWN)
    sys.exit(status_of(say_why(selection, history, now_ns, policy=policy, as_json=as_json)))


def say_why(
    selection: Selection, history: History, now_ns: int, *, policy: str | None = None, as_json: bool
) -> list[Incident]:
    """Print the incidents of a symbol, and return them."""
    incidents = find_incidents(history, selection.wanted.until_ns or now_ns)
    for number, incident in enumerate(incidents):
        record = record_of(history, incident)
        ruling = None if record is None else rule_on(history, record, policy)
        next_ones = next_commands(selection, incident, ruling)
        if as_json:
            say(json_text(incident_fields(incident, record, ruling, next_ones)))
            continue
        screen = Screen(incident, record, ruling, next_ones, selection.clock, now_ns)
        show_lines([[("", "")]] * bool(number) + list(draw(screen)))
    return incidents


def status_of(incidents: list[Incident]) -> int:
    """Return the exit status that the most urgent position asks for."""
    if not incidents:
        return UNKNOWN
    covers = {incident.now.cover for incident in incidents}
    if covers & UNSAFE:
        return UNPROTECTED
    return UNKNOWN if "unknown" in covers else 0


def choose_symbol(selection: Selection, typed: str | None, now_ns: int) -> str | None:
    """Return the symbol that is meant; None where it is not in the record."""
    if typed is None:
        return most_urgent(selection, now_ns)
    name = typed.upper().replace("/", "").replace("-", "")
    symbols = known_symbols(selection)
    if name in symbols:
        return name
    beginning = [symbol for symbol in symbols if symbol.startswith(name)]
    return beginning[0] if len(beginning) == 1 else None


def most_urgent(selection: Selection, now_ns: int) -> str | None:
    """Return the symbol of the most urgent position that was seen of late; None for none."""
    states = read_positions(selection.source, now_ns, account=selection.wanted.account)
    states.sort(key=lambda state: (URGENCY.index(state.cover), -state.since_ns))
    if states:
        return states[0].position.symbol
    symbols = known_symbols(selection)
    return symbols[0] if len(symbols) == 1 else None


def known_symbols(selection: Selection) -> list[str]:
    """Return the symbols of orders and positions."""
    seen = {decode(PositionSeen, stored.body).symbol for stored in selection.source.read_last_seen()}
    return sorted(seen | set(selection.source.read_values("symbol")))


def nothing_of(selection: Selection, typed: str | None) -> str:
    """Say that nothing is recorded of a symbol, and name the nearest ones."""
    with readable_journal_errors():
        symbols, name = known_symbols(selection), selection.source.name
    if not symbols:
        return f"{name} has no exit orders and no positions yet"
    some = ", ".join(symbols[:MOST_NAMED])
    if typed is None:
        return f"no position was seen of late; name a symbol: {some}"
    if typed.upper() in symbols:
        return f"{name} has nothing of {typed.upper()!r} that fits; remove or widen a filter"
    nearest = nearest_values(typed.upper(), symbols)
    return f"{name} has nothing of {typed!r}{did_you_mean(typed.upper(), symbols)}; it has {nearest}"


def record_of(history: History, incident: Incident) -> Record | None:
    """Return the record by which the last stop was taken away."""
    by = incident.culprit
    if by is None:
        return None
    key = by.run_id, by.seq
    return next((record for record in history.records if (record.run_id, record.seq) == key), None)


def next_commands(selection: Selection, incident: Incident, ruling: Ruling | None) -> list[tuple[str, str]]:
    """Return what to type next, each with what for."""
    symbol, cover = incident.position.symbol, incident.now.cover
    where = typed_source(selection)
    chosen: list[tuple[list[str], str]] = []
    # Of a local exchange nothing is left to be asked.
    if not exchange_of(incident.position.account) and (cover in UNSAFE or cover == "unknown"):
        chosen.append((["audit", "--symbol", symbol], "asks the exchange itself"))
    if incident.culprit is not None:
        name = f"{incident.culprit.run_id}:{incident.culprit.seq}"
        chosen.append((["explain", name, *where], "how it came to that call"))
    elif incident.moments:
        chosen.append((["records", "--symbol", symbol, *where], "all of its orders"))
    if incident.culprit is not None and ruling is not None and ruling.policy is None and "init" in COMMANDS:
        chosen.append((["init", *where], "writes a policy to start from"))
    if incident.now.doubt == "never_seen" and "watch" in COMMANDS:
        chosen.append((["watch"], "looks at the exchange from now on"))
    return [(shlex.join(["exit-shim", *words]), what) for words, what in chosen]


def typed_source(selection: Selection) -> list[str]:
    """Return the options that name what is read, as far as they were typed."""
    context = click.get_current_context(silent=True)
    # What a variable says is said to the next command too, and may have a password.
    typed = [
        name
        for name in ("journal", "dsn")
        if context is not None and context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if not typed:
        return []
    return ["--from", selection.dsn] if selection.dsn else ["--journal", selection.journal or ""]
