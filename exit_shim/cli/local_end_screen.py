"""The last part of the screen of `run --local`: refusals, missing parts, hosts, and what was left."""

from collections.abc import Iterator, Sequence
from typing import Final

from exit_shim.cli.audit import Discrepancy
from exit_shim.cli.local_end import LocalEnd, Refused
from exit_shim.cli.missing_notices import is_missing, missing_text
from exit_shim.cli.output import Line, Red, pluralize
from exit_shim.cli.overview_screen import INDENT, TIMES, heading, more_lines, name_text, plain
from exit_shim.cli.tables import text_lines
from exit_shim.exchange.engine.state import MADE_UP
from exit_shim.exchange.unanswered import Unanswered
from exit_shim.testing.confinement.dummy_hosts import NOTE as DUMMY

MOST: Final = 10
"""The most entries of a part."""

SEE: Final = "run --json"


def local_end_lines(end: LocalEnd, most: int) -> Iterator[Line]:
    """Yield the lines, with at most so many entries in each part."""
    most = min(most, MOST)
    hosts = [each for each in end.unanswered if each.kind == "host"]
    missing = [each for each in end.unanswered if each.kind != "host" and is_missing(each)]
    symbols = [each.name for each in end.unanswered if each.reason == MADE_UP]
    refused = [(each.number, refused_text(each)) for each in end.refused]
    yield from counted_lines("Refused by the exchange", refused, most)
    entries = [(each.count, missing_text(each)) for each in missing]
    yield from counted_lines("Asked for, and not answered", entries, most)
    yield from counted_lines("Other hosts", [(each.count, host_text(each)) for each in hosts], most)
    if symbols:
        more = f" and {len(symbols) - most} more" * (len(symbols) > most)
        names = ", ".join(symbols[:most])
        yield from text_lines("", f"Made up on demand, with plausible prices and filters: {names}{more}")
    yield from remaining_lines(end, most)


def unrecorded_lines(end: LocalEnd) -> Iterator[Line]:
    """Yield the accepted order requests that are not recorded, since the shim did not see them."""
    if not end.unrecorded:
        return
    yield [("Accepted, but not recorded", "bold")]
    for agent, counts in end.unrecorded.items():
        what = ", ".join(f"{number} {does}" for does, number in counts.items())
        total = pluralize(counts.total(), "order request")
        yield from text_lines(INDENT, f"{total} by {agent}: {what}")
    yield from text_lines(
        INDENT,
        "The local exchange accepted them. exit_shim sees what this process sends by a supported client "
        "library, or by requests, httpx or aiohttp, so it cannot say which module sent these.",
    )


def counted_lines(title: str, entries: Sequence[tuple[int, str]], most: int) -> Iterator[Line]:
    """Yield a title and the entries with their counts; nothing without entries."""
    if not entries:
        return
    yield heading(title)
    width = max(len(str(count)) for count, _ in entries)
    for count, text in entries[:most]:
        yield from text_lines(f"{INDENT}{count:>{width}} {TIMES} ", text)
    yield from more_lines(entries[most:], SEE)


def refused_text(refused: Refused) -> str:
    """Return a refused request and the reason."""
    return f"{refused.method} {refused.path}: {refused.code} {refused.text}".rstrip()


def host_text(host: Unanswered) -> str:
    """Return how the requests to a host ended."""
    result = host.reason if host.reason == DUMMY else f"refused; {host.reason}"
    return f"{host.name}: {result}"


def remaining_lines(end: LocalEnd, most: int) -> Iterator[Line]:
    """Yield what was left on the exchange, and the problems of it."""
    positions = pluralize(end.positions, "open position")
    left = f"Left on the exchange: {positions}, {pluralize(end.orders, 'order')}"
    if not end.positions and not end.orders:
        left = "Left on the exchange: nothing"
    if not end.problems:
        yield plain(f"{left}; every position has a stop" if end.positions else left)
        return
    yield heading(left)
    width = max(len(problem.code) for problem in end.problems)
    for problem in end.problems[:most]:
        yield from text_lines(f"{INDENT}{problem.code:<{width}}  ", Red(problem_text(problem)))
    yield from more_lines(end.problems[most:], SEE)


def problem_text(problem: Discrepancy) -> str:
    """Return a problem as text."""
    text = f"{name_text(problem.symbol, problem.position_side)}: {problem.detail}"
    if problem.order:
        by = "" if problem.module == "unknown" else f" by {problem.module}"
        text += f", order {problem.order}{by}"
    return text
