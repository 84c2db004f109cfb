"""Hold one call of a door on its way through the gateway."""

import time
from collections.abc import Callable
from typing import Any

from exit_shim.domain.attributions import Frame, Step
from exit_shim.domain.doors import Door, DoorCall
from exit_shim.domain.events import Intent
from exit_shim.domain.recorded import RecordedEvent
from exit_shim.gateway.nesting import NestedCall
from exit_shim.runtime.scrubbing import secrets_of


class OrderCall:
    """Hold a call, the exits that it carries, and how long the shim takes for it.

    Attributes:
        door: The row that describes it.
        params: Its fields under Binance's names.
        identity: Whose account it is about, where the call itself shows that.
        library: The name of its library, where its client's class does not tell.
        method: The client's method.
        args: What the bot gave.
        kwargs: What the bot gave.
        is_async: Whether the method is a coroutine function.
        is_bridged: Whether the bridge carries it out.
        account: Whose client it is.
        nested: Its orders, as calls further in see them; None for a call that carries no exit.
        intents: Its exits; none where it is the inside of a call that was recorded already.
        recorded: The intents once they are in the journal.
        one_by_one: Whether an adapter may send the orders one after the other: an error may be of any.
        touch: To be called before and after the send; None for nothing.
        asking: The frame that asked, for as long as it is certainly there.
        chain: The frames behind it.
        presend: Nanoseconds that the shim took before the send.
    """

    __slots__ = (
        *("account", "args", "asking", "chain", "door", "intents", "is_async", "kwargs", "method", "nested"),
        *("identity", "is_bridged", "library", "one_by_one", "params", "presend", "recorded", "started"),
        "touch",
    )

    def __init__(
        self, asked: DoorCall, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.started = time.perf_counter_ns()
        self.door: Door
        self.params: dict[str, Any]
        self.door, self.params, self.identity, self.library = asked
        self.method = method
        self.args = args
        self.kwargs = kwargs
        self.is_async = False
        self.is_bridged = False
        self.account: str | None = None
        self.nested: NestedCall | None = None
        self.intents: list[Intent] = []
        self.recorded: list[RecordedEvent] = []
        self.one_by_one = False
        self.touch: Callable[[], None] | None = None
        self.asking: Frame | None = None
        self.chain: tuple[Step, ...] = ()
        self.presend = 0

    @property
    def client(self) -> Any:
        """The client whose method it is; None where that cannot be seen."""
        return getattr(self.method, "__self__", None)

    def secrets(self) -> tuple[str, ...]:
        """Return the credentials of the call, which a text of the exchange's may hold."""
        shown = None if self.identity is None else self.identity.key
        return secrets_of(self.client, self.params, shown)

    def pause(self) -> None:
        """Note the time that the shim has spent so far."""
        self.presend = time.perf_counter_ns() - self.started

    def restart(self) -> None:
        """Continue from the time that `pause` noted: a coroutine does not run before its first step."""
        self.started = time.perf_counter_ns() - self.presend

    def times(self) -> tuple[float, float]:
        """Return microseconds before the send, and since the call was entered."""
        return self.presend / 1000, (time.perf_counter_ns() - self.started) / 1000
