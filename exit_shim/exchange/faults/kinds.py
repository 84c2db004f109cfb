"""The faults by name. Each is a plain value that says what happens; the plan says when.

Statuses and texts are those of Binance's USDⓈ-M general information and error-code pages.
"""

from __future__ import annotations

import msgspec

_PLACING = (("POST", "order"), ("POST", "batchOrders"), ("POST", "order/test"))
_UNKNOWN = "Unknown error, please check your request or try again later."
_UNEXPECTED = "An unexpected response was received from the message bus. Execution status unknown."
_TIMEOUT = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
_THROTTLED = (
    "Request throttled by system-level protection. Reduce-only/close-position orders are exempt. "
    "Please try again."
)
_TOO_MANY = (
    "Too many requests; current limit is 2400 requests per minute. "
    "Please use the websocket for live updates to avoid polling the API."
)
_BANNED = (
    "Way too many requests; IP(127.0.0.1) banned until {until}. "
    "Please use the websocket for live updates to avoid bans."
)
_HTML = (
    "<html><head><title>{status}</title></head><body><h1>Service Temporarily Unavailable</h1></body></html>"
)


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to one request or one stream event; times are in seconds, clock skew in milliseconds.

    Attributes:
        name: what the request log calls it.
        delay: how long the request waits before the exchange acts on it.
        answer_delay: how long the answer waits after the exchange has acted.
        jitter: the largest random addition to each delay that is not zero.
        executed: whether the exchange acts on the request; None lets the seed decide.
        reset: the connection is reset in place of an answer.
        status: the HTTP status of an answer that takes the place of the exchange's own.
        msg: its text; `{until}` becomes the end of a ban.
        code: its code; None makes a body without one.
        html: the answer is a page instead of JSON.
        trickle: the time between two bytes of the answer.
        refuse_for: how long no connection is accepted afterwards.
        skew: how far the exchange's clock is ahead of its real one, for the check of the timestamp.
        ban: how long a ban lasts that the answer speaks of.
        spares_reducing: orders that only reduce or close are exempt.
        endpoints: (method, endpoint) pairs that it can hit at all; empty for any.
        copies: how often a stream event is delivered.
        silences: the stream delivers nothing from this event on, and stays open.
    """

    name: str
    delay: float = 0.0
    answer_delay: float = 0.0
    jitter: float = 0.0
    executed: bool | None = True
    reset: bool = False
    status: int | None = None
    msg: str = ""
    code: int | None = None
    html: bool = False
    trickle: float = 0.0
    refuse_for: float = 0.0
    skew: int = 0
    ban: float = 0.0
    spares_reducing: bool = False
    endpoints: tuple[tuple[str, str], ...] = ()
    copies: int = 1
    silences: bool = False

    @property
    def decides(self) -> bool:
        """Whether it does more than delay, so that a second such fault has nothing left to do."""
        return self.reset or self.status is not None or bool(self.trickle or self.skew)


def delayed(seconds: float, jitter: float = 0.0, *, answer_only: bool = False) -> Fault:
    """The request reaches the exchange late, or with `answer_only` its answer reaches the client late.

    A request that the wait carries past its recvWindow is refused with -5028.
    """
    before, after = (0.0, seconds) if answer_only else (seconds, 0.0)
    return Fault(name="delayed", delay=before, answer_delay=after, jitter=jitter)


def reset_unread() -> Fault:
    """The connection is reset before the exchange has taken the request in."""
    return Fault(name="reset_unread", reset=True, executed=False)


def reset_before_execution() -> Fault:
    """The request is read, nothing comes of it, and the connection is reset."""
    return Fault(name="reset_before_execution", reset=True, executed=False)


def reset_after_execution() -> Fault:
    """The exchange does what it was asked, and the connection is reset before the answer leaves."""
    return Fault(name="reset_after_execution", reset=True)


def refused_connections(seconds: float) -> Fault:
    """The connection is reset unread, and for a while nothing listens."""
    return Fault(name="refused_connections", reset=True, executed=False, refuse_for=seconds)


def trickled(seconds: float) -> Fault:
    """The answer arrives byte by byte, `seconds` apart."""
    return Fault(name="trickled", trickle=seconds)


def unknown_error(*, executed: bool | None = None, code: int | None = None) -> Fault:
    """HTTP 503 "Unknown error": sent, and nobody knows whether it was executed. Usually without a code."""
    return Fault(name="unknown_error", status=503, msg=_UNKNOWN, code=code, executed=executed)


def service_unavailable(code: int | None = None) -> Fault:
    """HTTP 503 "Service Unavailable.": a failure for certain."""
    return Fault(
        name="service_unavailable", status=503, msg="Service Unavailable.", code=code, executed=False
    )


def internal_error() -> Fault:
    """HTTP 503 with -1001: a failure for certain."""
    text = "Internal error; unable to process your request. Please try again."
    return Fault(name="internal_error", status=503, msg=text, code=-1001, executed=False)


def throttled() -> Fault:
    """HTTP 503 with -1008: a failure for certain. Hits only placing, and no order that reduces or closes."""
    return Fault(
        name="throttled",
        status=503,
        msg=_THROTTLED,
        code=-1008,
        executed=False,
        spares_reducing=True,
        endpoints=_PLACING,
    )


def html_error(status: int = 503, *, executed: bool | None = None) -> Fault:
    """A page of a proxy in front of the exchange in place of JSON."""
    return Fault(name="html_error", status=status, msg=_HTML, html=True, executed=executed)


def timed_out(*, executed: bool | None = None) -> Fault:
    """HTTP 408 with -1007: nobody knows whether it was executed."""
    return Fault(name="timed_out", status=408, msg=_TIMEOUT, code=-1007, executed=executed)


def unexpected_response(*, executed: bool | None = None) -> Fault:
    """-1006: nobody knows whether it was executed."""
    return Fault(name="unexpected_response", status=500, msg=_UNEXPECTED, code=-1006, executed=executed)


def too_many_requests() -> Fault:
    """HTTP 429 with -1003, whatever the weight used."""
    return Fault(name="too_many_requests", status=429, msg=_TOO_MANY, code=-1003, executed=False)


def banned(seconds: float = 120.0) -> Fault:
    """HTTP 418 with -1003, naming the time until which the address is banned."""
    return Fault(name="banned", status=418, msg=_BANNED, code=-1003, executed=False, ban=seconds)


def skewed_clock(milliseconds: int) -> Fault:
    """The exchange's clock is off: a timestamp that was right is -1021, and GET time tells the wrong time."""
    return Fault(name="skewed_clock", skew=milliseconds)


def no_such_algo_order() -> Fault:
    """GET algoOrder answers -2013 for an order that waits; openAlgoOrders still lists it."""
    return Fault(
        name="no_such_algo_order",
        status=400,
        msg="Order does not exist.",
        code=-2013,
        executed=False,
        endpoints=(("GET", "algoOrder"),),
    )


def lost_event() -> Fault:
    """A stream event is not delivered."""
    return Fault(name="lost_event", copies=0)


def duplicated_event() -> Fault:
    """A stream event is delivered twice."""
    return Fault(name="duplicated_event", copies=2)


def silent_stream() -> Fault:
    """A stream stops delivering and does not close."""
    return Fault(name="silent_stream", copies=0, silences=True)
