"""`exit-shim tail`: exit orders as they are recorded."""

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from operator import itemgetter
from typing import Final, TypeAlias

import click

from exit_shim.cli.clock import NANOSECONDS
from exit_shim.cli.fact_lines import FACTS, CoverLog, fact_json, fact_line
from exit_shim.cli.filters import Selection, filter_options
from exit_shim.cli.json_lines import json_text, record_json
from exit_shim.cli.options import json_option
from exit_shim.cli.order_rows import order_line, red_if_alarming
from exit_shim.cli.output import Red, say, say_styled
from exit_shim.cli.sources import readable_journal_errors
from exit_shim.cli.steps import step_json, step_line
from exit_shim.domain.events import Record
from exit_shim.journal.record_source import StoredEvent, StoredStep

POLL_S: Final = 0.25

PATIENCE_NS: Final = 15 * NANOSECONDS
"""How long to wait for an order's outcome before the order is shown as in doubt."""

Timed: TypeAlias = tuple[int, Callable[[], None]]
"""When something happened, and what prints it."""

OF_ORDERS: Final = frozenset({"--module", "--kind", "--outcome", "--reason", "--host"})
"""The filters that only orders have: with one of them nothing else is shown."""


@click.command()
@json_option
@filter_options(omit={"until", "limit"})
def tail(*, as_json: bool, selection: Selection) -> None:
    """Show exit orders as they are recorded, until Ctrl-C.

    An order appears once its outcome is known, or after 15 s as in doubt, and what rules that only warn found
    about it a moment later. A step of an exit executor appears when it is about to be done; a position when
    its cover changes; switches, alerts and lost events when they are recorded. With --since it begins with
    the orders since then.
    """
    with contextlib.suppress(KeyboardInterrupt):
        Follower(selection, as_json=as_json).follow()


class Follower:
    """Print each order, step and fact of a record once.

    Args:
        selection: What to follow.
        as_json: Whether to print JSON lines.
    """

    def __init__(self, selection: Selection, *, as_json: bool) -> None:
        self._selection = selection
        self._as_json = as_json
        self._start_ns = selection.wanted.since_ns or time.time_ns()
        self._is_first = True
        self._shown: dict[tuple[str, int], int] = {}
        self._found: set[tuple[str, int]] = set()
        self._covers = CoverLog()

    def follow(self) -> None:
        """Poll until interrupted."""
        self._greet()
        while True:
            self.look()
            time.sleep(POLL_S)

    def look(self) -> None:
        """Print what is new."""
        now_ns = time.time_ns()
        horizon = self._start_ns if self._is_first else max(self._start_ns, now_ns - 2 * PATIENCE_NS)
        self._is_first = False
        recent = self._selection.narrow(since_ns=horizon)
        prints = [*self._new_steps(recent), *self._new_orders(recent, now_ns), *self._new_facts(recent)]
        for _, print_it in sorted(prints, key=itemgetter(0)):
            print_it()
        self._shown = {key: ts for key, ts in self._shown.items() if ts >= now_ns - 4 * PATIENCE_NS}
        self._found &= self._shown.keys()

    @property
    def _is_of_orders(self) -> bool:
        return bool(OF_ORDERS & self._selection.given.keys())

    def _greet(self) -> None:
        selection = self._selection
        filters = "".join(f", {option} {text}" for option, text in selection.given.items())
        zone = selection.clock.name
        say(f"listening to {selection.source.name}{filters}; times are {zone}; Ctrl-C ends it", err=True)

    def _new_steps(self, recent: Selection) -> Iterator[Timed]:
        for stored in () if self._is_of_orders else recent.read_steps():
            if self._is_new((stored.run_id, stored.seq), stored.ts):
                yield stored.ts, partial(self._print_step, stored)

    def _new_orders(self, recent: Selection, now_ns: int) -> Iterator[Timed]:
        for record in recent.read_records():
            if (print_it := self._what_to_print(record, now_ns)) is not None:
                yield record.intent.ts, partial(print_it, record)

    def _new_facts(self, recent: Selection) -> Iterator[Timed]:
        if self._is_of_orders:
            return
        with readable_journal_errors():
            for stored in recent.source.read_facts(FACTS, since_ns=recent.wanted.since_ns):
                if recent.has_fact(stored) and self._is_new((stored.run_id, stored.seq), stored.ts):
                    yield stored.ts, partial(self._print_fact, stored)

    def _is_new(self, key: tuple[str, int], ts: int) -> bool:
        """Return whether something is shown for the first time, and note that it is."""
        is_new = key not in self._shown
        self._shown.setdefault(key, ts)
        return is_new

    def _what_to_print(self, record: Record, now_ns: int) -> Callable[[Record], None] | None:
        """Return what prints an order, or what was found about it since; None for nothing new."""
        key, ts = (record.run_id, record.seq), record.intent.ts
        if record.outcome is None and ts >= now_ns - PATIENCE_NS:
            return None
        has_findings = record.findings is not None and key not in self._found
        if has_findings:
            self._found.add(key)
        if self._is_new(key, ts):
            return self._print_order
        return self._print_findings if has_findings else None

    def _print_order(self, record: Record) -> None:
        if self._as_json:
            say(record_json(record))
        else:
            show(red_if_alarming(order_line(record, self._selection.clock), record))

    def _print_findings(self, record: Record) -> None:
        findings = record.findings
        assert findings is not None  # noqa: S101 - the caller has looked
        if self._as_json:
            about = {"event": "order_findings", "run_id": record.run_id, "seq": record.seq}
            say(json_text({**about, "reasons": list(map(str, findings.reasons))}))
            return
        stamp = self._selection.clock.line_stamp(record.intent.ts)
        who = record.intent.attribution.module
        text = f"{stamp}  {who}  found: {', '.join(map(str, findings.reasons))}"
        show(red_if_alarming(text, record))

    def _print_step(self, stored: StoredStep) -> None:
        say(step_json(stored) if self._as_json else step_line(stored, self._selection.clock))

    def _print_fact(self, stored: StoredEvent) -> None:
        if self._as_json:
            say(fact_json(stored))
        elif (text := fact_line(stored, self._covers)) is not None:
            stamp = f"{self._selection.clock.line_stamp(stored.ts)}  "
            show(Red(stamp + text) if isinstance(text, Red) else stamp + text)


def show(text: str) -> None:
    """Print a line, in red where it is alarming."""
    if isinstance(text, Red):
        say_styled(text, "red")
    else:
        say(text)
