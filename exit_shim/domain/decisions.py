"""What may become of a call before it is sent: the question that a judge is asked, and its three answers."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from exit_shim.domain.answers import Answer
from exit_shim.domain.doors import Door
from exit_shim.domain.events import Intent


class Go(NamedTuple):
    """The call is sent as it is.

    `touch` is called right before the send and once it is over: what was seen of the exchange before is old.
    """

    touch: Callable[[], None] | None = None


GO: Final = Go()


class Withheld(NamedTuple):
    """An order that is not sent, what is recorded of it, and what stands in its place in an answer."""

    intent: Intent
    answer: Answer
    stands_for: Any = None


class Withhold:
    """The call, or some of its orders, is not sent.

    Attributes:
        orders: What is not sent.
        intents: What is left, and sent by `rest`.
        rest: Sends what is left, and puts the answers of the others between; None where nothing is sent.
        rest_async: Does the same for who awaits it.
        args: What `rest` is called with.
        kwargs: What `rest` is called with.
        touch: As in `Go`.
    """

    def __init__(self, orders: Sequence[Withheld], answer: Callable[[], Any]) -> None:
        self.orders = orders
        self.answer = answer
        self.intents: list[Intent] = []
        self.rest: Callable[..., Any] | None = None
        self.rest_async: Callable[..., Coroutine[Any, Any, Any]] | None = None
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}
        self.touch: Callable[[], None] | None = None


class NeedsLook:
    """Only the exchange can tell: it has to be looked at first. `is_awaited`: by who awaits the answer."""

    is_awaited: bool

    def look(self) -> Go | Withhold:
        """Look and decide; what is raised meanwhile is the caller's own, such as a time limit by a signal."""
        raise NotImplementedError

    def look_async(self) -> Awaitable[Go | Withhold]:
        """Do the same without blocking the event loop."""
        raise NotImplementedError

    def unsent(self) -> Sequence[Intent]:
        """Return the intents of a call whose caller gave up during the look: nobody denied them."""
        raise NotImplementedError


Decision: TypeAlias = Go | NeedsLook | Withhold


class Call(Protocol):
    """A call of a door, as a judge sees it."""

    door: Door
    params: dict[str, Any]
    method: Callable[..., Any]
    is_async: bool
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    account: str | None
    intents: list[Intent]
    """The exits that it carries; a judge replaces them by the same ones under their verdicts."""


class Judge(Protocol):
    """Decides what becomes of a call."""

    sees_entries: bool
    """Whether calls that carry no exit come before it, too."""

    def answers(self, door: Door, params: Mapping[str, Any]) -> bool:
        """Return whether a query may be about an order that was never sent."""

    def before(self, call: Call) -> Decision:
        """Decide; what it raises is a bug, which costs the verdict and not the order."""
