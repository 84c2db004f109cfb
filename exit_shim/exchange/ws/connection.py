"""One stream connection: its address, its subscriptions and its queue."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from .addresses import PRIVATE_ROUTES, StreamAddress, StreamMarket
from .message_queue import MessageQueue


@dataclass(eq=False)
class StreamConnection:
    """A client of the streams: its address, its subscriptions and its queue.

    Attributes:
        name: tells connections apart in the fault plan.
        address: where it connected.
        outbox: what goes to the client.
        since: when it connected, by the exchange's clock in milliseconds.
        names: its subscriptions, in the order in which they were made.
        combined: whether events are wrapped as {"stream": ..., "data": ...}.
    """

    name: str
    address: StreamAddress
    queue: MessageQueue
    since: int

    def __post_init__(self) -> None:
        self.names: dict[str, None] = dict.fromkeys(self.address.names)
        self.combined = self.address.combined

    @property
    def is_private(self) -> bool:
        """Return whether the connection may get user data."""
        return self.address.route in PRIVATE_ROUTES or self.address.market is StreamMarket.COIN_M

    def push(self, stream: str, text: str) -> None:
        """Queue an event of `stream`, given as JSON."""
        if self.combined:
            text = f'{{"stream":{msgspec.json.encode(stream).decode()},"data":{text}}}'
        self.queue.put(text)
