"""Say what is known of one order after its call."""

from typing import NamedTuple

from exit_shim.domain.events import Result


class Answer(NamedTuple):
    """Hold what the exchange's answer, or its silence, says of one order."""

    result: Result
    order_id: int | None = None
    algo_id: int | None = None
    client_order_id: str | None = None
    error_code: int | None = None
    error_message: str | None = None
