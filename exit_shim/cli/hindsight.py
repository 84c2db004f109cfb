"""What is known of positions and exits when a run is over, and which of the guard's findings that refutes."""

from array import array
from bisect import bisect_left, bisect_right
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from exit_shim.cli.filters import Selection
from exit_shim.domain.events import GuardFinding, Record
from exit_shim.domain.reason_codes import FUTILE_CANCEL, STOP_WIDENED, STRIPPED

if TYPE_CHECKING:
    from exit_shim.reports.lives import Life, Span

SymbolName = tuple[str | None, str | None]
"""An account and a symbol."""


NOW_NS: Final = 50_000_000
"""By how much the times of an order's record and of the exchange's news of it may differ."""


class Hindsight:
    """Know of each time which positions were open and which exits rested.

    The guard of a bot hears of fills and closes only where it watches the exchange, and takes the stops of a
    closed position for live ones until then.

    Attributes:
        spans: The cover of all positions, each in the order of time.
        now_ns: The end of what is known.
    """

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.now_ns = 0
        self._placed: defaultdict[SymbolName, array[int]] = defaultdict(lambda: array("q"))
        self._ended: defaultdict[SymbolName, array[int]] = defaultdict(lambda: array("q"))
        self._sides: dict[SymbolName, dict[str, list[Span]]] = {}

    def add_life(self, life: "Life") -> None:
        """Add an exit; only its times are kept."""
        name = life.position.account, life.position.symbol
        self._placed[name].append(life.placed_ns)
        if life.ended_ns is not None:
            self._ended[name].append(life.ended_ns)

    def finish(self, now_ns: int) -> None:
        """Make it ready to be asked."""
        self.now_ns = now_ns
        for times in (self._placed, self._ended):
            for name in times:
                times[name] = array("q", sorted(times[name]))
        for span in sorted(self.spans, key=lambda span: span.start_ns):
            sides = self._sides.setdefault((span.position.account, span.position.symbol), {})
            sides.setdefault(span.position.position_side, []).append(span)

    def refutes(self, record: Record, code: str) -> bool:
        """Return whether a reason did not hold, as far as that is known.

        A cancel strips nothing where no position was open. A cancel-all is not futile where no exit rested.
        A stop is not wider where it is the first one since the position was opened.
        """
        intent = record.intent
        name, at_ns = (intent.account, intent.order.symbol), intent.ts
        if code == STRIPPED:
            return self._open_since(name, at_ns) is None and name in self._sides
        if code == FUTILE_CANCEL:
            placed, ended = self._placed.get(name), self._ended.get(name, ())
            return placed is not None and bisect_right(placed, at_ns) == bisect_right(ended, at_ns)
        if code == STOP_WIDENED:
            opened = self._open_since(name, at_ns)
            placed = self._placed.get(name, array("q"))
            # It is one of them itself, seen about now.
            since = bisect_right(placed, at_ns + NOW_NS) - bisect_left(placed, opened or 0)
            return opened is not None and since <= 1
        return False

    def refutes_finding(self, finding: GuardFinding, at_ns: int) -> bool:
        """Return whether a finding about no single order did not hold: no position was open."""
        name = finding.account, finding.symbol
        is_flat = name in self._sides and self._open_since(name, at_ns) is None
        return finding.reason.code == STRIPPED and is_flat

    def _open_since(self, name: SymbolName, at_ns: int) -> int | None:
        """Return since when a position of a symbol was not known to be flat; None where all were."""
        since: int | None = None
        for spans in self._sides.get(name, {}).values():
            place = bisect_right(spans, at_ns, key=lambda span: span.start_ns) - 1
            while place >= 0 and spans[place].cover != "flat":
                since = spans[place].start_ns if since is None else min(since, spans[place].start_ns)
                place -= 1
        return since


def read_hindsight(selection: Selection) -> Hindsight:
    """Return what is known of what is selected."""
    # With what it needs it is a tenth of a command's start.
    from exit_shim.reports.situation import fold  # noqa: PLC0415
    from exit_shim.reports.timeline import Timeline  # noqa: PLC0415

    hindsight = Hindsight()
    timeline = Timeline(on_life=hindsight.add_life, on_span=hindsight.spans.append)
    fold(selection.source, timeline, selection.wanted)
    timeline.finish(timeline.now)
    hindsight.finish(timeline.now)
    return hindsight
