"""What a step in the journal holds of a position's episode, and the episode made of it. Pure."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, Literal

from exit_shim.domain.events import ExecutorStep
from exit_shim.executor.episode import Doubt, Episode, is_continued
from exit_shim.executor.order_ids import NATIVE_TRAIL, OwnId, is_looked_up, read_id
from exit_shim.executor.requests import text
from exit_shim.executor.steps import Amend, Cancel, Close, Place, Step
from exit_shim.guard.exchange_snapshot import OpenOrder, OpenPosition

AMOUNTS: Final = ("entry", "size", "initial", "risk", "extreme", "costs")
FLAGS: Final = ("is_trailing", "is_breakeven")
UNVERIFIED: Final = "is_unverified"


Verb = Literal["begin", "plan", "refuse", "note", "end"]

VERBS: Final[Mapping[type[Step], Literal["place", "amend", "cancel", "close"]]] = {
    Place: "place",
    Amend: "amend",
    Cancel: "cancel",
    Close: "close",
}
"""The steps that change something."""


def describe_step(episode: Episode, step: Place | Amend | Cancel | Close, guarded: Decimal) -> ExecutorStep:
    """Return the record of a step that changes something at the exchange.

    Args:
        episode: What is known of the position.
        step: The step.
        guarded: How much of the position stops close before it.
    """
    order = step.order if isinstance(step, Amend | Cancel) else None
    name = str(step.name) if isinstance(step, Place | Close) else order and order.client_order_id
    return _record(
        episode,
        VERBS[type(step)],
        step.why,
        leg=step.leg,
        client_order_id=name,
        order_id=None if order is None else order.name,
        type=getattr(step, "type", None) or (order and order.type),
        quantity=_text_or_none(getattr(step, "quantity", None)),
        trigger=_text_or_none(getattr(step, "trigger", None)),
        price=_text_or_none(getattr(step, "price", None)),
        guarded=text(guarded),
    )


def describe_event(episode: Episode, verb: Verb, why: str) -> ExecutorStep:
    """Return the record of something that happened to an episode."""
    return _record(episode, verb, why)


def _record(episode: Episode, verb: Any, why: str, **fields: Any) -> ExecutorStep:
    plan = episode.plan
    return ExecutorStep(
        account=episode.account,
        symbol=episode.symbol,
        position_side=episode.position_side,
        episode=episode.key,
        verb=verb,
        why=why,
        plan_id=None if plan is None else plan.plan_id,
        revision=None if plan is None else plan.revision,
        state=state_of(episode),
        taken={str(name): text(amount) for name, amount in episode.taken.items()},
        numbers=dict(episode.numbers),
        **fields,
    )


def _text_or_none(amount: Decimal | None) -> str | None:
    return None if amount is None else text(amount)


def state_of(episode: Episode) -> dict[str, str]:
    """Return what a later process needs of an episode, as text."""
    state = {"side": episode.side, "began_ms": str(episode.began_ms)}
    state |= {name: text(value) for name in AMOUNTS if (value := getattr(episode, name)) is not None}
    if episode.unverified:
        state[UNVERIFIED] = "1"
    return state | {name: "1" for name in FLAGS if getattr(episode, name)}


def restore(step: ExecutorStep, position: OpenPosition, orders: tuple[OpenOrder, ...]) -> Episode | None:
    """Return the episode that a recorded step is of; None where the position is another one by now."""
    state = step.state
    side = state.get("side")
    if step.verb == "end" or side not in {"LONG", "SHORT"} or "entry" not in state:
        return None
    amounts = {name: Decimal(state[name]) for name in AMOUNTS if name in state}
    episode = Episode(
        key=step.episode,
        account=step.account,
        symbol=step.symbol,
        position_side=step.position_side,
        side="LONG" if side == "LONG" else "SHORT",
        began_ms=int(state.get("began_ms", "0")),
        taken={own: Decimal(amount) for name, amount in step.taken.items() if (own := read_id(name))},
        numbers=dict(step.numbers),
        **amounts,  # type: ignore[arg-type] # each is a Decimal
        **{name: name in state for name in FLAGS},  # type: ignore[arg-type]
    )
    if not is_continued(episode, position, orders):
        return None
    if UNVERIFIED in state:
        episode.doubt_takes()
    own = read_id(step.client_order_id)
    if step.verb == "place" and own is not None:
        # Whether it left is not known. Its number is not taken yet, so that numbers have no gaps: a process
        # without a journal looks them up one by one.
        episode.doubts[own.leg] = Doubt(own, 0)
    # What rested then may have ended meanwhile.
    episode.resting = {
        name
        for leg, last in episode.numbers.items()
        if is_looked_up(leg)
        for name in (OwnId(episode.key, leg, number) for number in range(1, last + 1))
        # Several native trails rest side by side.
        if leg == NATIVE_TRAIL or name.number == last
    } - {doubt.name for doubt in episode.doubts.values()}
    return episode


def last_steps(events: Iterable[ExecutorStep]) -> dict[tuple[str, str], ExecutorStep]:
    """Return the last step of each position, of steps in the order in which they were recorded."""
    last: dict[tuple[str, str], ExecutorStep] = {}
    for event in events:
        if event.verb == "end":
            last.pop((event.symbol, event.position_side), None)
        elif event.state:
            last[event.symbol, event.position_side] = event
    return last


def flat_step(account: str | None, symbol: str, position_side: str, step: Cancel) -> ExecutorStep:
    """Return the record of a cancel at a position that is flat."""
    own = read_id(step.order.client_order_id)
    return ExecutorStep(
        account=account,
        symbol=symbol,
        position_side=position_side,
        episode="" if own is None else own.episode,
        verb="cancel",
        leg=step.leg,
        why=step.why,
        client_order_id=step.order.client_order_id,
        order_id=step.order.name,
        type=step.order.type,
    )
