"""The arguments and the result of a handler."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from exit_shim.exchange.engine.engine import Exchange
from exit_shim.exchange.engine.params import Params

from .auth import ApiKey

Json = dict[str, object] | list[dict[str, object]] | list[list[object]] | list[msgspec.Raw]


class ApiCall(msgspec.Struct, frozen=True):
    """A request that has passed the gate: the engine, its parameters and its API key.

    `skew` is how many milliseconds the clock is off that the client is shown. `permissions` are those of the
    key, None where none was asked for.
    """

    engine: Exchange
    params: Params
    api_key: str = ""
    skew: int = 0
    permissions: ApiKey | None = None


Handler = Callable[[ApiCall], Json]
