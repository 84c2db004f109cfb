"""What `exit-shim protect` shows of positions: a table on a terminal, lines in a pipe, or JSON."""

import contextlib
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from exit_shim.cli.json_lines import json_text
from exit_shim.cli.output import DEFAULT_WIDTH, line_limit, pluralize, printable, say
from exit_shim.executor.protection import Protection
from exit_shim.executor.requests import text
from exit_shim.executor.steps import Amend, Cancel, Close, LookUp, Place, Step, Wait

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDE: Final = 110
"""The width of a terminal from which the table has the plan, too."""

COLORS: Final[Mapping[str, str]] = {
    "PROTECTED": "green",
    "GUARDED": "green",
    "MOVING": "cyan",
    "CLOSING": "bold yellow",
    "UNKNOWN": "bold yellow",
    "NO_PLAN": "yellow",
    "HANDS_OFF": "yellow",
}

MOST_NOTES: Final = 6
"""How many of the latest texts stand below the table."""

BARE_COLOR: Final = "bold red"

VERBS: Final[Mapping[type, str]] = {
    Place: "place",
    Amend: "change",
    Cancel: "cancel",
    Close: "close at the market",
    LookUp: "look up",
    Wait: "wait",
}


class ProtectView:
    """Print a line, or a JSON object, for each change of a position's state.

    Args:
        has_plans: Whether there are plans; without them a position only has stops or has none.
        is_dry_run: Whether the steps that would be done are printed.
        as_json: Whether JSON is printed.
        paused: The symbols that are paused.
    """

    def __init__(self, *, has_plans: bool, is_dry_run: bool, as_json: bool, paused: set[str]) -> None:
        self._has_plans = has_plans
        self._is_dry_run = is_dry_run
        self._as_json = as_json
        self._paused = paused
        self._shown: dict[tuple[str, str], object] = {}
        self._bare_since: dict[tuple[str, str], int] = {}
        self._problems: tuple[str, ...] = ()
        self.protections: list[Protection] = []

    def drawing(self) -> contextlib.AbstractContextManager[object]:
        """Return what the terminal is prepared by, and cleared up."""
        return contextlib.nullcontext()

    @property
    def has_unsound(self) -> bool:
        """Whether a position is unprotected, has no plan, or has another problem."""
        return any(self.is_unsound(one) for one in self.protections)

    def is_unsound(self, one: Protection) -> bool:
        """Return whether somebody has to look at a position."""
        if not self._has_plans or one.state == "HANDS_OFF":
            return is_bare(one)
        return not one.is_sound

    def show(self, protections: Sequence[Protection], problems: tuple[str, ...]) -> None:
        """Show how the positions are now, and what could not be read."""
        self.protections = sorted(protections, key=lambda one: (one.symbol, one.position_side))
        self._note_bare()
        self.print_changes()
        if problems != self._problems:
            news = [problem for problem in problems if problem not in self._problems]
            self._problems = problems
            for problem in news:
                self.note(f"{problem}; it is tried again")
            if not problems:
                self.note("the exchange answers again, and key and clock are right")

    def note(self, text: str) -> None:
        """Print what is about no single position."""
        say(text, err=True)

    def print_changes(self) -> None:
        """Print the positions whose state has changed."""
        keys = {(one.symbol, one.position_side) for one in self.protections}
        for key in [key for key in self._shown if key not in keys]:
            del self._shown[key]
            if not self._as_json:
                say(f"{time_text()}  {key[0]} {key[1]}  FLAT")
        for one in self.protections:
            key, now = (one.symbol, one.position_side), self._state_key(one)
            if self._shown.get(key) == now or (one.state == "FLAT" and key not in self._shown):
                continue
            self._shown[key] = now
            say(*([json_text(self.as_dict(one))] if self._as_json else self.lines_of(one)))
            if one.state == "FLAT":
                del self._shown[key]

    def _state_key(self, one: Protection) -> object:
        """Return what a new line is printed for."""
        steps = [step_text(step) for step in one.steps] if self._is_dry_run else ()
        return self.state_of(one), is_bare(one), one.problem, one.plan_id, one.revision, steps

    def _note_bare(self) -> None:
        """Remember since when positions lack cover that no executor keeps the time of."""
        bare = {(one.symbol, one.position_side): one for one in self.protections if is_bare(one)}
        now = time.time_ns() // 1_000_000
        self._bare_since = {
            key: one.bare_since or self._bare_since.get(key, now) for key, one in bare.items()
        }

    def bare_s(self, one: Protection) -> float | None:
        """Return for how many seconds a position has lacked cover; None where it is covered."""
        since = self._bare_since.get((one.symbol, one.position_side))
        return None if since is None else max(0.0, time.time() - since / 1000)

    def state_of(self, one: Protection) -> str:
        """Return a position's state; without plans, whether stops cover it."""
        if one.state == "NO_PLAN" and not self._has_plans:
            return "UNPROTECTED" if is_bare(one) else "GUARDED"
        return one.state

    def next_of(self, one: Protection) -> str:
        """Say what comes next for a position, or what to do about it."""
        if one.symbol in self._paused:
            return f"paused; `exit-shim protect resume {one.symbol}` goes on"
        if one.state == "NO_PLAN":
            if one.problem is not None:
                return f"no plan is in force: {one.problem}"
            if self._has_plans:
                return "no rule of the plans is for it; it is left alone"
            return "place a stop, or give a plan with --plans" if is_bare(one) else ""
        sent = ", ".join(f"{VERBS[type(step)]} {step.leg or 'order'}" for step in one.steps)
        return one.problem or one.next_step or (f"sent: {sent}" if sent else "")

    def cover_text(self) -> str:
        """Say how many positions are covered, and which are not."""
        opened = [one for one in self.protections if one.size]
        bare = [f"{one.symbol} {one.position_side}" for one in opened if is_bare(one)]
        covered = f"stops cover {len(opened) - len(bare)} of {pluralize(len(opened), 'position')}"
        return covered + (f", not {', '.join(bare)}" if bare else "")

    def lines_of(self, one: Protection) -> list[str]:
        """Return a position's line, and of a dry run one for each step."""
        if one.state in {"FLAT", "SWEEPING"}:
            parts: list[str] = [one.state]
        else:
            bare_s = self.bare_s(one)
            facts = [f"guarded {text(one.guarded)} of {text(one.size)}"]
            facts += [] if bare_s is None else [f"bare for {duration_text(bare_s)}"]
            facts += [] if one.plan_id is None else [f"plan {one.plan_id} r{one.revision}"]
            parts = [self.state_of(one), ", ".join(facts)]
        follows = "" if self._is_dry_run and one.problem is None and one.plan_id else self.next_of(one)
        parts += [follows] if follows else []
        head = f"{time_text()}  {one.symbol} {one.position_side}  {'  '.join(parts)}"
        return [head, *(f"    would {step_text(step)}" for step in one.steps if self._is_dry_run)]

    def as_dict(self, one: Protection) -> dict[str, Any]:
        """Return a position's JSON object."""
        bare_s = self.bare_s(one)
        return {
            "time": time_text(),
            "account": one.account,
            "symbol": one.symbol,
            "position_side": one.position_side,
            "state": self.state_of(one),
            "size": text(one.size),
            "guarded": text(one.guarded),
            "bare_s": None if bare_s is None else round(bare_s, 3),
            "plan_id": one.plan_id,
            "revision": one.revision,
            "next": self.next_of(one) or None,
            "problem": one.problem,
            "steps": [step_dict(step) for step in one.steps],
        }


class TableView(ProtectView):
    """Redraw a table of the positions on a terminal."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._notes: deque[str] = deque(maxlen=MOST_NOTES)

    def note(self, text: str) -> None:
        """Show a text below the table; beside it, it would be overwritten."""
        self._notes.append(f"{time_text()}  {printable(text)}")

    def drawing(self) -> contextlib.AbstractContextManager[object]:
        """Return what redraws the table twice a second."""
        from rich.live import Live  # noqa: PLC0415 - in a pipe there is no terminal to draw for

        return Live(get_renderable=self.render, refresh_per_second=2)

    def print_changes(self) -> None:
        """Leave it to the table."""

    def render(self) -> "RenderableType":
        """Return the table as it is now."""
        from rich import box  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        has_plan = (line_limit() or DEFAULT_WIDTH) >= WIDE
        columns = ["symbol", "side", "state", "guarded", "bare", *["plan"] * has_plan, "next"]
        caption = Text("\n".join([self._caption(), *self._notes]))
        table = Table(box=box.SIMPLE, pad_edge=False, caption=caption, caption_justify="left")
        for column in columns:
            table.add_column(Text(column), overflow="fold", no_wrap=column != "next")
        for one in self.protections:
            if one.state != "FLAT":
                color = BARE_COLOR if is_bare(one) else COLORS.get(self.state_of(one), "")
                table.add_row(
                    *(
                        Text(printable(cell), style=color if name == "state" else "")
                        for name, cell in zip(columns, self._cells(one, has_plan=has_plan), strict=True)
                    )
                )
        return table

    def _cells(self, one: Protection, *, has_plan: bool) -> list[str]:
        bare_s = self.bare_s(one)
        plan = "" if one.plan_id is None else f"{one.plan_id} r{one.revision}"
        return [
            one.symbol,
            one.position_side,
            self.state_of(one),
            f"{text(one.guarded)} of {text(one.size)}",
            "" if bare_s is None else duration_text(bare_s),
            *[plan] * has_plan,
            self.next_of(one),
        ]

    def _caption(self) -> str:
        opened = [one for one in self.protections if one.state != "FLAT"]
        unsound = sum(self.is_unsound(one) for one in opened)
        counts = f"{pluralize(len(opened), 'position')}, {unsound or 'none'} to look at"
        return f"{time_text()} UTC  {counts}; Ctrl-C stops, orders stay"


def make_view(
    *, has_plans: bool, is_dry_run: bool, as_json: bool, is_table: bool, paused: set[str]
) -> ProtectView:
    """Return the view for this output."""
    is_terminal = False
    with contextlib.suppress(AttributeError, ValueError):
        is_terminal = sys.stdout.isatty()
    make = TableView if is_table and is_terminal and not as_json else ProtectView
    return make(has_plans=has_plans, is_dry_run=is_dry_run, as_json=as_json, paused=paused)


def is_bare(one: Protection) -> bool:
    """Return whether stops do not cover a position."""
    return one.guarded < one.size


def time_text() -> str:
    """Return the time now, in UTC."""
    return f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S}"


def duration_text(seconds: float) -> str:
    """Return a duration in its two largest units, such as "3 s" or "2 h 5 min"."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def step_text(step: Step) -> str:
    """Return a step in words: what, and why."""
    words: list[str] = [VERBS[type(step)]]
    if isinstance(step, Amend | Cancel):
        words.append(f"{step.order.type} {step.order.name}")
    if step.leg is not None:
        words.append(step.leg)
    if isinstance(step, Place):
        words += [step.type, "whole position" if step.quantity is None else text(step.quantity)]
        words += [f"at {text(level)}" for level in (step.trigger, step.price) if level is not None]
    if isinstance(step, Amend):
        words += [f"to {text(step.quantity)} at {text(step.price)}"]
    return f"{' '.join(words)}: {step.why}"


def step_dict(step: Step) -> dict[str, Any]:
    """Return a step's JSON object."""
    fields: dict[str, Any] = {"step": VERBS[type(step)], "leg": step.leg, "why": step.why}
    for name in ("type", "quantity", "trigger", "price"):
        value = getattr(step, name, None)
        fields[name] = text(value) if isinstance(value, Decimal) else value
    order, own = getattr(step, "order", None), getattr(step, "name", None)
    fields["order"] = order.name if order is not None else None if own is None else str(own)
    return fields
