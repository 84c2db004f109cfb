"""An endpoint: who may call it, its weight, and its handler."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from exit_shim.exchange.engine.params import Params

from .api_call import Handler

_COUNT = re.compile(r"[0-9]{1,5}")


class Security(Enum):
    """The proof that an endpoint demands."""

    NONE = "none"
    KEY = "key"
    SIGNED = "signed"


@dataclass(frozen=True)
class Route:
    """One endpoint. `weight_of_all` is the weight of a request without a symbol, when it differs."""

    handler: Handler
    security: Security = Security.SIGNED
    weight: int = 1
    weight_of_all: int | None = None
    counts_as_order: bool = False
    #: The weight on the order limit of ten seconds.
    ten_seconds: int = 1
    #: Rising (limit, weight) pairs, if the weight depends on `limit`.
    by_limit: tuple[tuple[int, int], ...] = ()
    #: The `limit` of a request without one.
    usual_limit: int = 500
    #: Whether it belongs to the Algo Service, which rules of earlier days do not know.
    of_algo_service: bool = False

    def weigh(self, params: Params) -> int:
        """Return the weight of a request with these parameters."""
        if self.weight_of_all is not None and params.text("symbol") is None:
            return self.weight_of_all
        if self.by_limit:
            limit = params.text("limit") or ""
            count = int(limit) if _COUNT.fullmatch(limit) else self.usual_limit
            return next((weight for most, weight in self.by_limit if count <= most), self.by_limit[-1][1])
        return self.weight

    @property
    def reaches_matching(self) -> bool:
        """Return whether the matching engine checks the timestamp a second time."""
        return self.counts_as_order


Routes = dict[tuple[str, str], Route]
