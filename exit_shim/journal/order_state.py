"""Where an order comes from, what became of it, and the ids that it has."""

from typing import Final, NamedTuple

from exit_shim.domain.events import Intent, Outcome, Resolution, Target

IN_DOUBT: Final = "in doubt"
"""The state of an order without an outcome, or with an unknown one that was not resolved."""


class OrderSite(NamedTuple):
    """A place in the bot that places, changes or cancels exits of one kind, with the evidence for it."""

    module: str
    operation: str
    kind: str
    function: str
    place: str
    via: str
    evidence: str


def site_of(intent: Intent) -> OrderSite:
    """Return the place in the bot that an order comes from."""
    who = intent.attribution
    file = (who.file or "").replace("\\", "/").rpartition("/")[2]
    return OrderSite(
        module=who.module,
        operation=intent.operation,
        kind=intent.order.kind,
        function=who.function or "?",
        place=f"{file}:{who.line}" if file else "?",
        via=",".join(who.via),
        evidence=who.evidence,
    )


def state_of(outcome: Outcome | None, resolution: Resolution | None = None) -> str:
    """Return an order's state: its outcome unless that is unknown, else its resolution."""
    if outcome is not None and outcome.result != "unknown":
        return outcome.result
    return IN_DOUBT if resolution is None else resolution.result


def names_of(source: Outcome | Resolution | Target) -> list[object]:
    """Return the ids that exchange and bot have for an order."""
    return [source.order_id, source.algo_id, source.client_order_id]
