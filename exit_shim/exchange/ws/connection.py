"""One stream connection: where it came in, what it subscribes to, and its way out."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from .addresses import Address
from .outbox import Outbox


@dataclass(eq=False)
class Connection:
    """A client of the streams.

    Attributes:
        name: tells connections apart in the fault plan.
        address: where it connected.
        outbox: what goes to the client.
        since: when it connected, by the exchange's clock in milliseconds.
        names: its subscriptions, in the order in which they were made.
        combined: whether events are wrapped as {"stream": ..., "data": ...}.
    """

    name: str
    address: Address
    outbox: Outbox
    since: int

    def __post_init__(self) -> None:
        self.names: dict[str, None] = dict.fromkeys(self.address.names)
        self.combined = self.address.combined

    @property
    def is_private(self) -> bool:
        """Whether it may get user data."""
        return self.address.route == "private"

    def push(self, stream: str, text: str) -> None:
        """Queue an event of `stream`, given as JSON."""
        if self.combined:
            text = f'{{"stream":{msgspec.json.encode(stream).decode()},"data":{text}}}'
        self.outbox.put(text)
