"""A file of exit plans to start from: a hard stop where the bot's own stops were. Pure."""

import bisect
import re
from collections import defaultdict
from collections.abc import Iterable
from decimal import ROUND_CEILING, Decimal
from statistics import median
from typing import Final, NamedTuple

from exit_shim.cli.output import pluralize
from exit_shim.cli.suggested_policy import STOPS, comment, quoted
from exit_shim.domain.events import PositionSeen, Record
from exit_shim.reports.lives import number

DEFAULT_STOP: Final = Decimal(3)
"""How far a hard stop is from the entry, in percent, where the record shows none."""

NARROWEST, WIDEST, STEP = Decimal("0.5"), Decimal(10), Decimal("0.5")

MOST_SYMBOLS: Final = 200
"""How many symbols are written down."""

SYMBOL: Final = re.compile(r"[A-Z0-9_-]+")
"""What a plan can name; other texts in the place of a symbol are not one."""


class Distance(NamedTuple):
    """How far the stops of a symbol were from the entry: the median, in percent, and of how many."""

    percent: Decimal
    stops: int


def measure_stops(
    records: Iterable[Record], sights: Iterable[tuple[int, PositionSeen]]
) -> dict[str, Distance | None]:
    """Return how far each symbol's accepted stops were from the entry; None where no entry was seen."""
    entries: defaultdict[str, list[tuple[int, Decimal]]] = defaultdict(list)
    symbols: dict[str, None] = {}
    for ts, seen in sights:
        symbols[seen.symbol] = None
        if (entry := number(seen.entry_price)) is not None:
            entries[seen.symbol].append((ts, entry))
    shares: defaultdict[str, list[Decimal]] = defaultdict(list)
    for record in records:
        order, ts = record.intent.order, record.intent.ts
        if order.symbol is None:
            continue
        symbols[order.symbol] = None
        level, before = number(order.trigger_price), entries.get(order.symbol, [])
        place = bisect.bisect(before, (ts, Decimal("Infinity"))) - 1
        if level is not None and place >= 0 and is_stop(record):
            shares[order.symbol].append(abs(level / before[place][1] - 1) * 100)
    return {
        symbol: Distance(Decimal(median(shares[symbol])), len(shares[symbol])) if symbol in shares else None
        for symbol in symbols
        if SYMBOL.fullmatch(symbol)
    }


def is_stop(record: Record) -> bool:
    """Return whether an order is a stop that the exchange took."""
    answer = record.resolution or record.outcome
    return (
        record.intent.operation == "place"
        and record.intent.order.kind in STOPS
        and answer is not None
        and answer.result == "accepted"
    )


def plans_text(distances: dict[str, Distance | None], about: str, name: str) -> str:
    """Return a commented file of plans: a hard stop for each symbol that was seen.

    Args:
        distances: How far each symbol's stops were from the entry.
        about: What it is made from, in words.
        name: What the file is called, in a shell.
    """
    lines = [
        "# How the exit executor leaves positions: plans to start from.",
        *comment(f"Written by `exit-shim init --plans` from {about}."),
        "# As it is, each position gets a hard stop and nothing else. Every key: docs/reference/plans.md",
        *comment(f"See what it would do, without doing it: `exit-shim protect --plans {name} --dry-run`"),
        "",
    ]
    for symbol, distance in sorted(distances.items())[:MOST_SYMBOLS]:
        lines += plan_lines(symbol, distance)
    lines += [
        "# All other positions are left alone, and reported.",
        "[[plans]]",
        'name = "all others"',
        "leave_alone = true",
    ]
    return "\n".join(lines) + "\n"


def plan_lines(symbol: str, distance: Distance | None) -> list[str]:
    """Return the plan of a symbol."""
    if distance is None:
        why = "The record shows no stop beside an entry price; check this distance."
    else:
        stops = pluralize(distance.stops, "stop")
        why = f"The bot's own stops were {distance.percent:.2f} % from the entry (median of {stops})."
    return [
        *comment(why),
        "[[plans]]",
        f"name = {quoted(symbol)}",
        f"symbols = {quoted(symbol)}",
        f'hard_stop = "{stop_of(distance)} %"',
        '# takes = [{ share = "50 %", at = "1.5 R" }]',
        '# breakeven = { after = "first take" }',
        '# trail = { callback = "0.8 %" }',
        "",
    ]


def stop_of(distance: Distance | None) -> str:
    """Return the distance of a hard stop, in percent: the bot's own, rounded up."""
    if distance is None:
        return f"{DEFAULT_STOP:f}"
    rounded = (distance.percent / STEP).to_integral_value(ROUND_CEILING) * STEP
    return f"{min(max(rounded, NARROWEST), WIDEST).normalize():f}"
