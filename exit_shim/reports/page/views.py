"""What the page is sent: positions, exits, spans and the rest, as JSON-ready values."""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeAlias

from exit_shim.domain.events import ExecutorStep, Record
from exit_shim.journal import StoredStep
from exit_shim.journal.order_state import site_of
from exit_shim.reports.lives import Actor, Life, PositionName, Span, number
from exit_shim.reports.page.feed import KIND_WORDS, FeedItem, cut
from exit_shim.reports.page.live_state import LiveState, Mark, is_open
from exit_shim.reports.position_cover import Doubt, PositionState

View: TypeAlias = dict[str, Any]

OwnerOf: TypeAlias = Callable[[str, str], str | None]
"""Returns who should hold the stops of a symbol in a mode; None for nobody."""

NS_PER_MS: Final = 1_000_000

RANKS: Final = {"bare": 0, "partly": 1, "unknown": 2, "covered": 3, "flat": 4}
"""The order of positions: what is urgent comes first."""

DOUBTS: Final[Mapping[Doubt, str]] = {
    "never_seen": "nobody has looked at the position",
    "not_seen_since": "nobody has looked at it for too long",
    "resized": "its size changed, and nobody has looked since",
    "in_doubt": "the outcome of an order about its stop is not known",
    "not_activated": "its trailing stop may wait for its activation",
    "not_listed": "what rests at the exchange was not read",
}
"""Why the cover of a position is not known, for people."""

STAGES: Final = {"is_breakeven": "stop at breakeven", "is_trailing": "trailing"}
"""What an executor's step says of how far a plan has come."""

MOST_DIGITS: Final = 16

MOST_POSITIONS: Final = 100
MOST_CLOSED: Final = 12
"""The positions that are shown although they were closed."""

MOST_EXITS: Final = 40
MOST_LISTED: Final = 50
MOST_LIVES: Final = 2_000
"""The exits of one position that a browser is sent."""

EXTERNAL: Final = "somebody unknown"


def key_of(name: PositionName) -> str:
    """Return the text that names a position."""
    return "\t".join((name.account or "", name.symbol, name.position_side))


def position_views(state: LiveState, owner_of: OwnerOf) -> tuple[list[View], int]:
    """Return the positions, the most urgent first, and how many are left out."""
    everything = state.positions()
    closed = [each for each in everything if each.cover == "flat" and not is_open(each)]
    closed.sort(key=lambda each: each.since_ns, reverse=True)
    states = [each for each in everything if is_open(each)] + closed[:MOST_CLOSED]
    states.sort(key=lambda each: (RANKS[each.cover], each.position.symbol, key_of(each.position)))
    bare_ms = bare_times(state.spans)
    views = [position_view(each, state, owner_of, bare_ms) for each in states[:MOST_POSITIONS]]
    return views, len(states) - len(views)


def bare_times(spans: Iterable[Span]) -> dict[PositionName, int]:
    """Return for how many milliseconds positions were bare, in spans that ended."""
    times: dict[PositionName, int] = {}
    for span in spans:
        if span.cover == "bare" and span.end_ns is not None:
            lasted = (span.end_ns - span.start_ns) // NS_PER_MS
            times[span.position] = times.get(span.position, 0) + lasted
    return times


def position_view(
    each: PositionState, state: LiveState, owner_of: OwnerOf, bare_ms: dict[PositionName, int]
) -> View:
    """Return a position as the page shows it."""
    name, stop = each.position, each.last_stop
    return {
        "key": key_of(name),
        "account": name.account,
        "symbol": name.symbol,
        "side": side_of(each),
        "position_side": name.position_side,
        "amount": None if each.amount is None else plain(each.amount),
        "entry": each.entry_price,
        "mark": each.mark_price,
        "seen": None if each.seen_ns is None else each.seen_ns // NS_PER_MS,
        "cover": each.cover,
        "doubt": DOUBTS[each.doubt] if each.cover == "unknown" and each.doubt else "",
        "since": each.since_ns // NS_PER_MS,
        "guard": guard_view(each),
        "owner": owner_text(state.episodes.get(name), owner_of(name.symbol, state.mode)),
        "bared_by": None if stop is None or stop.ended_by is None else actor_view(stop.ended_by),
        "last_stop": None if stop is None else {**exit_view(stop), "end": stop.end},
        "bare_ms": bare_ms.get(name, 0),
        "exits": [exit_view(life) for life in each.exits[-MOST_EXITS:]],
        "more_exits": max(0, len(each.exits) - MOST_EXITS),
    }


def side_of(each: PositionState) -> str:
    """Return LONG or SHORT; "" where nobody knows."""
    if each.position.position_side != "BOTH":
        return each.position.position_side
    if not each.amount:
        return ""
    return "LONG" if each.amount > 0 else "SHORT"


def guard_view(each: PositionState) -> View | None:
    """Return the stop that guards a position best: one that surely rests, the nearest to the price."""
    closing = {"LONG": "SELL", "SHORT": "BUY"}.get(side_of(each))
    stops = [life for life in each.exits if life.is_stop and life.side == closing]
    if not stops:
        return None
    best = min(stops, key=lambda life: (life.is_in_doubt, life.waits_for_activation, -level_toward(life)))
    others = {life.module or EXTERNAL for life in stops} - {best.module or EXTERNAL}
    return {**exit_view(best), "others": sorted(others)}


def level_toward(life: Life) -> Decimal:
    """Return a number that is greater the sooner a stop fires."""
    level = life.level or Decimal(0)
    return level if life.side == "SELL" else -level


def owner_text(episode: StoredStep | None, by_policy: str | None) -> str | None:
    """Return who should hold the stops of a position."""
    if episode is None:
        return by_policy
    step = episode.step
    plan = "" if step.plan_id is None else f", plan {step.plan_id} r{step.revision}"
    return cut(f"exit executor{plan}")


def exit_view(life: Life) -> View:
    """Return a live exit as the page lists it."""
    return {
        "module": life.module or EXTERNAL,
        "by": None if life.placed_by is None else actor_view(life.placed_by),
        "kind": KIND_WORDS.get(life.kind, life.kind),
        "type": life.type,
        "side": life.side,
        "level": None if life.level is None else plain(life.level),
        "quantity": None if life.quantity is None else plain(life.quantity),
        "whole": life.close_position,
        "placed": life.placed_ns // NS_PER_MS,
        "doubt": life.is_in_doubt,
        "waits": life.waits_for_activation,
        "id": cut(life.name),
    }


def actor_view(actor: Actor) -> View:
    """Return who did something, and from where."""
    return {
        "module": cut(actor.module),
        "where": cut(f"{actor.function} {actor.place}"),
        "record": f"{actor.run_id}:{actor.seq}",
    }


def life_view(life: Life, place: int) -> View:
    """Return an exit as the ladder draws it; what is not said is not so."""
    view: View = {
        "n": place,
        "from": life.placed_ns // NS_PER_MS,
        "module": cut(life.module or EXTERNAL),
        "kind": life.kind,
        "level": None if life.level is None else float(life.level),
    }
    if life.ended_ns is not None:
        view |= {"to": life.ended_ns // NS_PER_MS, "end": life.end}
    if life.ended_by is not None:
        view |= {"by": cut(life.ended_by.module), "other": life.is_ended_by_other}
        view["where"] = cut(f"{life.ended_by.function} {life.ended_by.place}")
    if life.is_in_doubt:
        view["doubt"] = True
    return view


def span_view(span: Span) -> View:
    """Return a span of cover as the band draws it."""
    view: View = {"from": span.start_ns // NS_PER_MS, "cover": span.cover}
    if span.end_ns is not None:
        view["to"] = span.end_ns // NS_PER_MS
    if span.by is not None:
        view["by"] = cut(f"{span.by.module}, {span.by.function} {span.by.place}")
    return view


def mark_view(mark: Mark) -> list[float]:
    """Return a price as time and number."""
    return [mark.at // NS_PER_MS, mark.price]


def step_view(stored: StoredStep) -> View:
    """Return a step of an executor."""
    step = stored.step
    return {
        "ms": stored.ts // NS_PER_MS,
        "symbol": step.symbol,
        "side": step.position_side,
        "what": f"{step.verb} {step.leg}" if step.leg else step.verb,
        "at": step.trigger or step.price or "",
        "quantity": quantity_text(step),
        "why": cut(step.why),
    }


def plan_view(step: ExecutorStep) -> View:
    """Return which plan an executor holds a position to, and how far it has come."""
    stages = [word for flag, word in STAGES.items() if flag in step.state]
    takes = sum(number(amount) is not None for amount in step.taken.values())
    stages += [f"{takes} take{'s' * (takes != 1)} filled"] * bool(takes)
    began = step.state.get("began_ms", "")
    return {
        "symbol": step.symbol,
        "side": step.state.get("side") or step.position_side,
        "plan": "no plan yet" if step.plan_id is None else cut(f"plan {step.plan_id} r{step.revision}"),
        "stage": ", ".join(stages) or "the first stop stands",
        "since": int(began) if began.isascii() and began.isdecimal() and len(began) < MOST_DIGITS else None,
    }


def quantity_text(step: ExecutorStep) -> str:
    """Return the quantity of the order that a step sends."""
    return step.quantity or ("whole position" if step.verb == "place" else "")


def doubt_view(record: Record) -> View:
    """Return an order in doubt."""
    intent, site = record.intent, site_of(record.intent)
    return {
        "ms": intent.ts // NS_PER_MS,
        "symbol": intent.order.symbol or "",
        "text": cut(f"{site.module}: {intent.operation} {KIND_WORDS.get(intent.order.kind, 'order')}"),
        "where": cut(f"{site.function} {site.place}"),
        "record": f"{record.run_id}:{record.seq}",
    }


def item_view(item: FeedItem) -> View:
    """Return a line of the feed."""
    return item._asdict()


def state_view(state: LiveState, owner_of: OwnerOf, source: str, window_ns: int) -> View:
    """Return everything but the ladder and the feed."""
    positions, more = position_views(state, owner_of)
    return {
        "source": source,
        "window": window_ns // NS_PER_MS,
        "mode": cut(state.mode),
        "enforce": state.enforce,
        "positions": positions,
        "more_positions": more,
        "steps": [step_view(stored) for stored in reversed(state.steps)],
        "plans": [plan_view(stored.step) for stored in list(state.episodes.values())[-MOST_LISTED:]],
        "doubts": [doubt_view(record) for record in list(state.doubts.values())[-MOST_LISTED:]],
        "in_doubt": len(state.doubts),
        "lost": state.lost,
    }


def plain(amount: Decimal) -> str:
    """Return a number as people write it."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
