"""The arguments and the result of a handler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from exit_shim.exchange.engine.engine import Exchange
from exit_shim.exchange.engine.params import Params

Json = dict[str, object] | list[dict[str, object]] | list[list[object]]


@dataclass(frozen=True)
class ApiCall:
    """A request that has passed the gate: the engine, its parameters and its API key.

    `skew` is how many milliseconds the clock is off that the client is shown.
    """

    engine: Exchange
    params: Params
    api_key: str = ""
    skew: int = 0


Handler = Callable[[ApiCall], Json]
