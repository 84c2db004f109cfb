"""The incident of a position on one screen."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from exit_shim.cli import COMMANDS
from exit_shim.cli.clock import NANOSECONDS, Clock
from exit_shim.cli.output import Line, line_limit
from exit_shim.cli.why_policy import Ruling
from exit_shim.domain.events import Record
from exit_shim.reports.incident import WHOLE, Incident, Moment, exit_text
from exit_shim.reports.lives import Actor, Life
from exit_shim.reports.position_cover import Doubt, PositionState
from exit_shim.reports.situation import UNSAFE

LABEL: Final = 12
"""The columns in front of what a line says."""

BEFORE, AFTER = 5, 5
"""How many moments are shown before and after the one at the centre."""

MOST_STOPS: Final = 3
"""How many of the live stops are named."""

MOST_WIDTH: Final = 110
"""Sentences that are longer than this are hard to read on any terminal."""

STATES: Final[Mapping[str, str]] = {
    "covered": "COVERED",
    "partly": "COVERED IN PART ONLY",
    "bare": "BARE",
    "unknown": "UNKNOWN",
    "flat": "FLAT",
}

WHY_UNKNOWN: Final[Mapping[Doubt, str]] = {
    "never_seen": "nobody looks at the exchange, so nobody knows whether the position is open",
    "not_seen_since": "nobody has looked at the exchange since",
    "resized": "it was closed, or a part of it, and nobody has looked at the exchange since",
    "in_doubt": "an order about its stops went unanswered",
    "not_activated": "a trailing stop rests, and nobody knows whether it is activated",
    "not_listed": "nobody has read the open orders yet, and a stop placed elsewhere may rest",
}
"""Why the cover of a position is unknown, in words."""

SOURCES: Final[Mapping[str, str]] = {
    "poller": "the poller",
    "stream": "the user data stream",
    "executor": "the exit executor",
    "watch": "exit-shim watch",
}


class Screen(NamedTuple):
    """What is drawn.

    Attributes:
        incident: The incident.
        record: The order that took the last stop away, if any did.
        ruling: What a policy would have done with it.
        next: What to type next, each with what for.
        clock: The zone for times.
        now_ns: The moment.
    """

    incident: Incident
    record: Record | None
    ruling: Ruling | None
    next: Sequence[tuple[str, str]]
    clock: Clock
    now_ns: int


def draw(screen: Screen) -> Iterator[Line]:
    """Yield the lines of the screen."""
    yield from wrapped(headline(screen), indent=2, style="red" if is_unsafe(screen) else "bold")
    yield from draw_position(screen)
    yield from draw_last_stop(screen)
    yield from draw_culprit(screen)
    yield from draw_moments(screen)
    yield [("", "")]
    yield from draw_next(screen.next)


def draw_next(commands: Sequence[tuple[str, str]]) -> Iterator[Line]:
    """Yield what to type next, each with what for where there is room."""
    width = max((len(command) for command, _ in commands), default=0)
    limit = line_limit() or MOST_WIDTH
    for number, (command, what) in enumerate(commands):
        padding = min(width, max(limit - LABEL - len(what) - 2, 0)) - len(command)
        tail = [(" " * padding + f"  {what}", "dim")] if padding >= 0 else []
        yield [(("" if number else "next").ljust(LABEL), ""), (command, "bold"), *tail]


def is_unsafe(screen: Screen) -> bool:
    """Return whether the position is bare or covered in part only, now or when it was last known."""
    return screen.incident.known.cover in UNSAFE


# The head


def headline(screen: Screen) -> str:
    """Return the answer in a sentence."""
    incident, clock, now_ns = screen.incident, screen.clock, screen.now_ns
    now, then, name = incident.now, incident.then, name_of(incident)
    if then is not None:
        seen_ns = then.seen_ns or then.since_ns
        ago = f"{span_text(now_ns - seen_ns)} ago"
        return f"{name}: {STATES[then.cover]} when it was last seen, {when(screen, seen_ns)} ({ago})"
    since = f"{span_text(now_ns - now.since_ns)}, since {when(screen, now.since_ns)}"
    if now.cover in UNSAFE:
        return f"{name}: {STATES[now.cover]} for {since}"
    if now.cover == "unknown":
        return f"{name}: UNKNOWN whether it is protected: {why_unknown(now)}"
    if now.cover == "flat":
        return f"{name}: FLAT since {when(screen, now.since_ns)} {clock.name}: nothing to protect"
    return f"{name}: COVERED now, since {when(screen, now.since_ns)}"


def name_of(incident: Incident) -> str:
    """Return what a position is called."""
    account, symbol, side = incident.position
    return " ".join([symbol, *[side] * (side != "BOTH"), *([f"of account {account}"] if account else [])])


def why_unknown(state: PositionState) -> str:
    """Return why nobody knows whether a position is covered."""
    return WHY_UNKNOWN[state.doubt or "never_seen"]


def when(screen: Screen, ns: int) -> str:
    """Return a moment, without its date where that is today's."""
    clock = screen.clock
    return clock.time_of_day(ns) if clock.date(ns) == clock.date(screen.now_ns) else clock.stamp(ns)


def draw_position(screen: Screen) -> Iterator[Line]:
    """Yield the size of the position, the stops that hold it, and its latest gap."""
    incident, state = screen.incident, screen.incident.known
    if state.seen_ns is not None:
        source = SOURCES.get(state.source or "", state.source or "")
        seen = f"seen {span_text(screen.now_ns - state.seen_ns)} ago by {source}"
        yield from labelled("position", f"{size_text(state)}; {seen}")
    stops = [life for life in state.exits if life.is_stop]
    for number, life in enumerate(stops[:MOST_STOPS]):
        more = f" and {len(stops) - MOST_STOPS} more" if number == MOST_STOPS - 1 < len(stops) - 1 else ""
        yield from labelled("" if number else "held by", stop_text(life) + more)
    if not stops and state.cover != "flat":
        yield from labelled("held by", "no stop that is known of", style="red" if is_unsafe(screen) else "")
    gap = incident.gap
    if gap is not None and gap.end_ns is not None:
        long = span_text(gap.end_ns - gap.start_ns)
        text = f"{STATES[gap.cover].lower()} for {long}, from {when(screen, gap.start_ns)}"
        yield from labelled("but was", f"{text} to {when(screen, gap.end_ns)}", style="red")
    if incident.gaps > 1:
        begin = when(screen, incident.since_ns)
        all_in_all = f"{incident.gaps} such times since {begin}, {span_text(incident.gaps_ns)} in all"
        yield from labelled("", f"{all_in_all}" + "; the longest is shown here" * (not is_unsafe(screen)))
    hint = hint_of(incident.now)
    if hint:
        yield from labelled("", hint)


def hint_of(state: PositionState) -> str | None:
    """Return what makes an unknown position known."""
    if state.cover != "unknown" or state.doubt not in {"never_seen", "not_listed", "not_seen_since"}:
        return None
    command = "`exit-shim watch`, or " if "watch" in COMMANDS else ""
    return f"To know it from now on: {command}`exit_shim.watch(client)` in the bot."


def size_text(state: PositionState) -> str:
    """Return the size of a position, with its prices."""
    if state.amount is None:
        return "its size is not known"
    if not state.amount:
        return "flat"
    side = "long" if state.amount > 0 else "short"
    prices = [
        f"{name} {price}"
        for name, price in (("entry", state.entry_price), ("mark", state.mark_price))
        if price is not None
    ]
    return ", ".join([f"{side} {abs(state.amount):f}", *prices])


def stop_text(life: Life) -> str:
    """Return a stop in words: what it is, whose, and its id."""
    doubt = ", which may not rest: no answer came" if life.is_in_doubt else ""
    size = "" if life.quantity is not None else f", {WHOLE}"
    return f"{exit_text(life)}{size} of {owner_of(life)}, order {life.name}{doubt}"


def owner_of(life: Life) -> str:
    """Return who placed an exit."""
    return life.module or "nobody known (by hand, or another program)"


# Who did it


def draw_last_stop(screen: Screen) -> Iterator[Line]:
    """Yield the stop whose end bared the position, and where it came from."""
    incident = screen.incident
    life = incident.last_stop
    if life is None:
        if incident.cause is not None:
            yield from labelled("because", incident.cause)
        return
    yield from labelled("last stop", stop_text(life))
    if life.placed_by is not None:
        yield from labelled("placed", f"{when(screen, life.placed_ns)} by {place_text(life.placed_by)}")
    if life.ended_by is None and life.ended_ns is not None:
        text = END_TEXTS[life.end or "gone"].format(when(screen, life.listed_ns or life.placed_ns))
        yield from labelled("ended", f"{when(screen, life.ended_ns)}: {text}")


END_TEXTS: Final = {
    "filled": "it fired",
    "cancelled": "cancelled, and no record of this journal did it: by hand, or another program",
    "changed": "changed at the exchange",
    "expired": "expired at the exchange",
    "gone": "it is not among the open orders any more, where it was last at {}; no record says who took it",
}
"""How a stop ended that no module took away, in words."""


def draw_culprit(screen: Screen) -> Iterator[Line]:
    """Yield who took the last stop away, from where, and what guard and policy have to say of it."""
    life, by = screen.incident.last_stop, screen.incident.culprit
    if life is None or by is None:
        return
    verb = "changed" if life.end == "changed" else "cancelled"
    whose = "its own" if by.module == life.module else f"not its own but {owner_of(life)}'s"
    text = f"{when(screen, life.ended_ns or 0)} by {by.module} ({whose})"
    yield from labelled(verb, text, style="red")
    yield from labelled("from", f"{by.function}, {file_of(screen, by)}")
    yield from labelled("record", f"{by.run_id}:{by.seq}")
    if screen.record is not None:
        yield from labelled("guard", guard_text(screen.record))
    if screen.ruling is not None:
        yield from labelled("policy", screen.ruling.text)


def place_text(actor: Actor) -> str:
    """Return a module with the place in it."""
    return f"{actor.module}, {actor.function}, {actor.place}"


def file_of(screen: Screen, actor: Actor) -> str:
    """Return the file and line of a call, with its folders where there is room."""
    record = screen.record
    who = None if record is None else record.intent.attribution
    if who is None or not who.file:
        return actor.place
    whole = f"{who.file}:{who.line}"
    return (
        whole if len(whole) < (line_limit() or MOST_WIDTH) - LABEL - len(actor.function) - 2 else actor.place
    )


def guard_text(record: Record) -> str:
    """Return what the guard did with an order then."""
    codes = ", ".join(dict.fromkeys(reason.code for reason in record.reasons))
    did = {"allow": "let it through", "warn": "only warned", "deny": "denied it"}.get(
        record.action, record.action
    )
    return f"{did}, in mode {record.intent.mode}" + (f": {codes}" if codes else "")


# What happened


def draw_moments(screen: Screen) -> Iterator[Line]:
    """Yield what happened around the moment that counts, each with its distance from it."""
    incident = screen.incident
    before, after, hidden = choose(incident)
    if not before and not after:
        return
    yield [("", "")]
    yield [(f"{screen.clock.with_zone(incident.pivot_ns)}, and around it", "bold")]
    for moment in (*before, *after):
        is_pivot = moment.at_ns == incident.pivot_ns
        style = "red" if moment.is_alarming or (is_pivot and incident.gap is not None) else ""
        at = distance_text(moment.at_ns - incident.pivot_ns)
        yield from labelled(f"{at:>9} {'>' * is_pivot}", moment.text, style=style)
    if hidden:
        yield from labelled(
            "", f"({hidden} more: --json, or exit-shim records --symbol {incident.position.symbol})"
        )


def choose(incident: Incident) -> tuple[Sequence[Moment], Sequence[Moment], int]:
    """Return the moments before and after the one that counts, and how many are not among them."""
    earlier = fold_repeats([each for each in incident.moments if each.at_ns < incident.pivot_ns])
    later = fold_repeats([each for each in incident.moments if each.at_ns >= incident.pivot_ns])
    room = BEFORE + AFTER
    before = earlier[-max(BEFORE, room - len(later)) :]
    after = later[: max(AFTER, room - len(before))]
    return before, after, len(earlier) + len(later) - len(before) - len(after)


def fold_repeats(moments: Sequence[Moment]) -> list[Moment]:
    """Return moments with one for all that say the same in a row: a module may try again every second."""
    folded = []
    for text, group in groupby(moments, lambda moment: moment.text):
        first, *more = group
        if more:
            long = more[-1].at_ns - first.at_ns
            within = f" in {span_text(long)}" if long >= NANOSECONDS else ""
            first = first._replace(text=f"{text} ({len(more) + 1} times{within})")
        folded.append(first)
    return folded


# Text


def labelled(label: str, text: str, *, style: str = "") -> Iterator[Line]:
    """Yield a text behind its label, in as many lines as it takes."""
    for number, piece in enumerate(fold_text(text, LABEL)):
        yield [(("" if number else label).ljust(LABEL), "dim"), (piece, style)]


def wrapped(text: str, *, indent: int, style: str) -> Iterator[Line]:
    """Yield a text in as many lines as it takes, all but the first indented."""
    for number, piece in enumerate(fold_text(text, indent)):
        yield [(" " * indent * bool(number), ""), (piece, style)]


def fold_text(text: str, indent: int) -> list[str]:
    """Return a text in lines that fit beside an indent."""
    width = min(line_limit() or MOST_WIDTH, MOST_WIDTH) - indent
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]


SHORT_S: Final = 10
"""Shorter times are shown with a digit after the point."""

LONG_S: Final = 100
"""Longer distances are shown in minutes."""

UNITS: Final[Sequence[tuple[int, str]]] = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def span_text(ns: int) -> str:
    """Return a length of time in its two largest units, such as "4 min 12 s"."""
    seconds = max(ns, 0) / NANOSECONDS
    if seconds < SHORT_S:
        return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
    left, parts = round(seconds), []
    for size, unit in UNITS:
        if left >= size:
            parts.append(f"{left // size} {unit}")
            left %= size
    return " ".join(parts[:2])


def distance_text(ns: int) -> str:
    """Return how far a moment is from another one, such as "-3.2 s"."""
    seconds = abs(ns) / NANOSECONDS
    sign = "-" if ns < 0 else "+"
    if seconds < 1:
        return f"{sign}{seconds * 1000:.0f} ms" if ns else "0"
    return f"{sign}{seconds:.1f} s" if seconds < LONG_S else f"{sign}{span_text(abs(ns))}"
