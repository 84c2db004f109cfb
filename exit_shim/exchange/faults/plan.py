"""When faults happen: rules over requests and stream events, the same for the same seed."""

from __future__ import annotations

import inspect
import json
import random
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from . import kinds
from .kinds import Fault

Fields = Mapping[str, object]
NO_FAULT = Fault(name="")
#: How many hits the plan remembers.
REMEMBERED = 10_000


@dataclass
class Injection:
    """One rule of a plan; see `FaultPlan.inject`.

    Attributes:
        seen: how many requests or events it could have hit.
        hits: how many it hit.
    """

    fault: Fault
    draw: random.Random
    method: str | None = None
    path: str | None = None
    where: Fields = field(default_factory=dict)
    times: int | None = 1
    skip: int = 0
    chance: float = 1.0
    since_ms: int | None = None
    until_ms: int | None = None
    seen: int = 0
    hits: int = 0
    cancelled: bool = False

    def cancel(self) -> None:
        """Stop this rule."""
        self.cancelled = True

    @property
    def spent(self) -> bool:
        """Return whether the rule hits nothing any more."""
        return self.cancelled or (self.times is not None and self.hits >= self.times)

    def takes_request(self, method: str, path: str, params: Fields, now: int) -> bool:
        """Return whether the rule hits this request, and count it."""
        endpoint = endpoint_of(path)
        if self.fault.endpoints and (method, endpoint) not in self.fault.endpoints:
            return False
        if self.method not in {None, method} or self.path not in {None, path, endpoint}:
            return False
        if self.fault.spares_reducing and only_reduces(params):
            return False
        return self._takes(params, now)

    def takes_event(self, event: Fields, now: int) -> bool:
        """Return whether the rule hits this stream event, and count it."""
        body = event.get("o")
        return self._takes({**body, **event} if isinstance(body, Mapping) else event, now)

    def _takes(self, fields: Fields, now: int) -> bool:
        early = self.since_ms is not None and now < self.since_ms
        late = self.until_ms is not None and now >= self.until_ms
        if early or late or not all(_same(fields.get(name), value) for name, value in self.where.items()):
            return False
        self.seen += 1
        if self.seen <= self.skip or self.draw.random() >= self.chance:
            return False
        self.hits += 1
        return True


class FaultPlan:
    """The faults of one local exchange. Safe to use from any thread.

        exchange.faults.inject(reset_after_execution(), method="POST", path="algoOrder")
        exchange.faults.inject(delayed(0.05, jitter=0.1), times=None)
        exchange.faults.inject(lost_event(), where={"e": "ORDER_TRADE_UPDATE", "X": "FILLED"})

    Args:
        seed: two plans with the same rules and seed hit the same requests of the same series.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.injections: list[Injection] = []
        #: What was hit, as (fault, method, path); for an event ("fault", "EVENT", its type).
        self.hits: deque[tuple[str, str, str]] = deque(maxlen=REMEMBERED)
        self._made = 0
        self._silent: set[str] = set()
        self._lock = threading.Lock()

    def inject(  # noqa: PLR0913 - one rule, all but the fault by name
        self,
        fault: Fault,
        *,
        method: str | None = None,
        path: str | None = None,
        where: Fields | None = None,
        times: int | None = 1,
        skip: int = 0,
        chance: float = 1.0,
        since_ms: int | None = None,
        until_ms: int | None = None,
    ) -> Injection:
        """Add a rule for a fault and return it; it counts its hits and can be cancelled.

        Args:
            fault: what happens.
            method: the HTTP method, None for any.
            path: a path (/fapi/v1/order) or an endpoint (order), None for any.
            where: fields of the request, or of the event, that must have these values; text in any case.
            times: how often, None for always.
            skip: how many that match are let through first.
            chance: how likely each is hit, drawn from the seed.
            since_ms: from when on, by the exchange's clock.
            until_ms: up to when.
        """
        with self._lock:
            self._made += 1
            # One generator per rule, so that adding a rule does not change what another hits.
            draw = random.Random(f"{self.seed}/{self._made}")  # noqa: S311 - chance, not a secret
            rule = Injection(
                fault, draw, method, path, dict(where or {}), times, skip, chance, since_ms, until_ms
            )
            self.injections.append(rule)
            return rule

    def schedule(self, rows: Iterable[Mapping[str, Any]]) -> list[Injection]:
        """Add rules from data, such as the rows of a JSON file.

        Args:
            rows: one mapping a rule: `fault` is the name of a kind, `with` its arguments, and the rest
                are arguments of `inject`.

        Raises:
            ValueError: for an unknown fault, and for arguments that it or `inject` does not take; no rule is
                added then.
        """
        read = [(_make_fault(row), _read_rule(row)) for row in rows]
        return [self.inject(fault, **rule) for fault, rule in read]

    def clear(self, name: str | None = None) -> None:
        """Remove every rule, or those of the fault `name`, and let silent streams deliver again."""
        with self._lock:
            self.injections = [rule for rule in self.injections if name not in {None, rule.fault.name}]
            if name in {None, "silent_stream"}:
                self._silent.clear()

    def meet(self, method: str, path: str, params: Fields, now: int) -> Fault:
        """Return the fault of a request: delays add up, and the first fault that does more decides."""
        if not self.injections:
            return NO_FAULT
        with self._lock:
            fault = NO_FAULT
            for rule in self._active_rules():
                if (fault.decides and rule.fault.decides) or _is_of_events(rule.fault):
                    continue
                if rule.takes_request(method, path, params, now):
                    self.hits.append((rule.fault.name, method, path))
                    fault = _merge_faults(fault, _draw_fault(rule))
            return fault

    def deliver(self, event: Fields, stream: str = "", now: int = 0) -> int:
        """Return how often to deliver a stream event: 0, 1 or 2.

        Args:
            event: the event as it would be sent.
            stream: which connection it goes to; a stream that has gone silent stays so on it.
            now: the exchange's time in milliseconds.
        """
        if not self.injections and not self._silent:
            return 1
        with self._lock:
            if stream in self._silent:
                return 0
            for rule in self._active_rules():
                if _is_of_events(rule.fault) and rule.takes_event(event, now):
                    self.hits.append((rule.fault.name, "EVENT", str(event.get("e", ""))))
                    if rule.fault.silences:
                        self._silent.add(stream)
                    return rule.fault.copies
            return 1

    def _active_rules(self) -> list[Injection]:
        return [rule for rule in self.injections if not rule.spent]


def endpoint_of(path: str) -> str:
    """Return the path after the version: `order/test` of /fapi/v1/order/test."""
    return path.split("/", 3)[-1]


def only_reduces(params: Fields) -> bool:
    """Return whether an order, or every order of a batch, can only reduce or close a position."""
    batch = params.get("batchOrders")
    if batch is None:
        return _reduces(params)
    try:
        orders = json.loads(str(batch))
    except (ValueError, RecursionError):
        return False
    if not isinstance(orders, list) or not orders:
        return False
    return all(isinstance(order, dict) and _reduces(order) for order in orders)


def _reduces(order: Fields) -> bool:
    if _same(order.get("closePosition"), "true"):
        return True
    sides = (order.get("positionSide") or "BOTH", order.get("side"))
    if sides[0] == "BOTH":
        return _same(order.get("reduceOnly"), "true")
    return sides in {("LONG", "SELL"), ("SHORT", "BUY")}


def _same(sent: object, wanted: object) -> bool:
    return sent is not None and str(sent).lower() == str(wanted).lower()


def _is_of_events(fault: Fault) -> bool:
    return fault.copies != 1 or fault.silences


def _draw_fault(rule: Injection) -> Fault:
    fault, draw = rule.fault, rule.draw
    return msgspec.structs.replace(
        fault,
        delay=fault.delay and fault.delay + draw.random() * fault.jitter,
        answer_delay=fault.answer_delay and fault.answer_delay + draw.random() * fault.jitter,
        executed=draw.random() < 0.5 if fault.executed is None else fault.executed,  # noqa: PLR2004 - even
    )


def _merge_faults(former: Fault, more: Fault) -> Fault:
    leads = more if more.decides or not former.name else former
    return msgspec.structs.replace(
        leads, delay=former.delay + more.delay, answer_delay=former.answer_delay + more.answer_delay
    )


def _make_fault(row: Mapping[str, Any]) -> Fault:
    make = getattr(kinds, str(row.get("fault")), None)
    if make is None or make is Fault or getattr(make, "__module__", "") != kinds.__name__:
        raise ValueError(
            f"fault {row.get('fault')!r} is unknown; expected a function of exit_shim.testing.faults"
        )
    takes = inspect.signature(make).parameters
    arguments = row.get("with") or {}
    try:
        made = make(**arguments)
        return msgspec.convert(msgspec.structs.asdict(made), Fault)
    except (TypeError, msgspec.ValidationError) as wrong:
        expected = ", ".join(takes) or "nothing"
        raise ValueError(
            f"with={arguments!r} is invalid for {row['fault']}: {wrong}; expected {expected}"
        ) from wrong


class _Rule(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The arguments of `inject` as a row has them."""

    method: str | None = None
    path: str | None = None
    where: dict[str, Any] | None = None
    times: int | None = 1
    skip: int = 0
    chance: float = 1.0
    since_ms: int | None = None
    until_ms: int | None = None


def _read_rule(row: Mapping[str, Any]) -> dict[str, Any]:
    rule = {name: value for name, value in row.items() if name not in {"fault", "with"}}
    try:
        return msgspec.structs.asdict(msgspec.convert(rule, _Rule, strict=False))
    except msgspec.ValidationError as wrong:
        expected = ", ".join(("fault", "with", *_Rule.__struct_fields__))
        raise ValueError(f"a rule of {row['fault']} is invalid: {wrong}; expected {expected}") from wrong
