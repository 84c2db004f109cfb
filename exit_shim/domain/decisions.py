"""Define the question that a judge is asked before a call is sent, and its three answers."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from exit_shim.domain.answers import Answer
from exit_shim.domain.doors import Door
from exit_shim.domain.events import Intent


class Go(NamedTuple):
    """Send the call as it is.

    Attributes:
        touch: Called right before the send and after it: earlier looks at the exchange are old then.
    """

    touch: Callable[[], None] | None = None


GO: Final = Go()


class Withheld(NamedTuple):
    """Hold an order that is not sent, its recorded answer, and what the caller gets in its place."""

    intent: Intent
    answer: Answer
    stands_for: Any = None


class Withhold:
    """Send nothing of the call, or only a part of it.

    Attributes:
        orders: What is not sent.
        intents: What is left, and sent by `rest`.
        rest: Sends what is left, and merges the answers of the others in; None where nothing is sent.
        rest_async: Does the same for an async client.
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
    """Look at the exchange before the decision.

    Attributes:
        is_awaited: Whether the caller awaits the answer.
    """

    is_awaited: bool

    def look(self) -> Go | Withhold:
        """Look and decide; raise only what ends the caller, such as a time limit by a signal."""
        raise NotImplementedError

    def look_async(self) -> Awaitable[Go | Withhold]:
        """Do the same without blocking the event loop."""
        raise NotImplementedError

    def unsent(self) -> Sequence[Intent]:
        """Return the intents of a call whose caller gave up during the look; nobody denied them."""
        raise NotImplementedError


Decision: TypeAlias = Go | NeedsLook | Withhold


class Call(Protocol):
    """Describe a call of a door to a judge."""

    door: Door
    params: dict[str, Any]
    method: Callable[..., Any]
    is_async: bool
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    account: str | None
    library: str | None
    """The name of its library, where its client's class does not tell."""
    intents: list[Intent]
    """The exits that it carries; a judge puts its verdicts on them."""


class Judge(Protocol):
    """Decide what becomes of a call."""

    sees_entries: bool
    """Whether it sees calls that carry no exit, too."""

    def answers(self, door: Door, params: Mapping[str, Any]) -> bool:
        """Return whether a query may be about an order that was never sent."""

    def before(self, call: Call) -> Decision:
        """Decide about a call; if this raises, the order goes out without a verdict."""
