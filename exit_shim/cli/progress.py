"""A bar for what takes long: on a terminal's stderr, and only from the second second on."""

import contextlib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID
    from typing_extensions import Self

T = TypeVar("T")

APPEARS_AFTER_S: Final = 1.0


class ProgressBar:
    """Show how far something is; use it in a `with` block.

    Args:
        what: What is done, in a word or two.
        total: How many steps it has; None where that is not known.
        appears_after_s: The seconds after which the bar appears.
        measure: Returns how many steps are done, asked a few times a second while the bar is shown; None:
            `advance` counts them.
    """

    def __init__(
        self,
        what: str,
        total: int | None = None,
        *,
        appears_after_s: float = APPEARS_AFTER_S,
        measure: Callable[[], int] | None = None,
    ) -> None:
        self.total = total
        self.done = 0
        self._what = what
        self._measure = measure
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._lock = threading.Lock()
        self._is_over = False
        self._timer = threading.Timer(appears_after_s, self._appear)
        self._timer.daemon = True

    def __enter__(self) -> "Self":
        if sys.stderr is not None and sys.stderr.isatty():
            self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()

    def advance(self, steps: int = 1) -> None:
        """Count steps that are done."""
        self.done += steps
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self.done, total=self.total)

    def over(self, items: Iterable[T]) -> Iterator[T]:
        """Yield items, and count each."""
        for item in items:
            self.advance()
            yield item

    def beat(self) -> None:
        """Ask how many steps are done, where the bar is shown."""
        if self._measure is not None and self._bar is not None:
            self.advance(max(self._measure() - self.done, 0))

    @contextlib.contextmanager
    def hidden(self) -> Iterator[None]:
        """Take the bar away while a line is printed."""
        with self._lock:
            if self._bar is not None:
                self._bar.stop()
            try:
                yield
            finally:
                if self._bar is not None and not self._is_over:
                    self._bar.start()

    def end(self) -> None:
        """Take the bar away; it does not come back."""
        self._timer.cancel()
        with self._lock:
            self._is_over = True
            if self._bar is not None:
                self._bar.stop()

    def _appear(self) -> None:
        # In a pipe there is no bar, and rich is most of a command's start.
        try:
            from rich.console import Console  # noqa: PLC0415
            from rich.progress import Progress  # noqa: PLC0415
        except ModuleNotFoundError:
            return
        bar = Progress(
            console=Console(file=sys.stderr), transient=True, redirect_stdout=False, redirect_stderr=False
        )
        with self._lock:
            if not self._is_over:
                self._task = bar.add_task(self._what, total=self.total, completed=self.done)
                self._bar = bar
                bar.start()
