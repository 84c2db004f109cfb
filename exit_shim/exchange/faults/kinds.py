"""The faults by name: plain values that describe an effect. The plan decides when they happen.

Statuses and texts are those of Binance's USDⓈ-M general information and error-code pages.
"""

from __future__ import annotations

import msgspec

_PLACING = (("POST", "order"), ("POST", "batchOrders"), ("POST", "order/test"))
_VANISHING = (("POST", "order"), ("POST", "batchOrders"), ("POST", "algoOrder"))
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
    """The effect on one request or stream event; times are in seconds, clock skew in milliseconds.

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
        cancel_after: how long an order that was placed stays before the exchange cancels it by itself.
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
    cancel_after: float | None = None

    @property
    def decides(self) -> bool:
        """Return whether the fault does more than delay, so that a second such fault has no effect."""
        return (
            self.reset
            or self.status is not None
            or bool(self.trickle or self.skew)
            or self.cancel_after is not None
        )


def delayed(seconds: float, jitter: float = 0.0, *, answer_only: bool = False) -> Fault:
    """Delay the request before the exchange acts on it, or with `answer_only` its answer.

    A request that the wait carries past its recvWindow is refused with -5028.
    """
    before, after = (0.0, seconds) if answer_only else (seconds, 0.0)
    return Fault(name="delayed", delay=before, answer_delay=after, jitter=jitter)


def reset_unread() -> Fault:
    """Reset the connection before the exchange has read the request."""
    return Fault(name="reset_unread", reset=True, executed=False)


def reset_before_execution() -> Fault:
    """Read the request, do nothing, and reset the connection."""
    return Fault(name="reset_before_execution", reset=True, executed=False)


def reset_after_execution() -> Fault:
    """Do what was asked, and reset the connection before the answer leaves."""
    return Fault(name="reset_after_execution", reset=True)


def refused_connections(seconds: float) -> Fault:
    """Reset the connection unread, and refuse new ones for some seconds."""
    return Fault(name="refused_connections", reset=True, executed=False, refuse_for=seconds)


def trickled(seconds: float) -> Fault:
    """Send the answer byte by byte, `seconds` apart."""
    return Fault(name="trickled", trickle=seconds)


def unknown_error(*, executed: bool | None = None, code: int | None = None) -> Fault:
    """Answer HTTP 503 "Unknown error", usually without a code; it may have been executed."""
    return Fault(name="unknown_error", status=503, msg=_UNKNOWN, code=code, executed=executed)


def service_unavailable(code: int | None = None) -> Fault:
    """Answer HTTP 503 "Service Unavailable.": the request was not executed."""
    return Fault(
        name="service_unavailable", status=503, msg="Service Unavailable.", code=code, executed=False
    )


def internal_error() -> Fault:
    """Answer HTTP 503 with -1001: the request was not executed."""
    text = "Internal error; unable to process your request. Please try again."
    return Fault(name="internal_error", status=503, msg=text, code=-1001, executed=False)


def throttled() -> Fault:
    """Answer HTTP 503 with -1008 to placing: nothing was executed. Orders that only reduce are exempt."""
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
    """Answer with the HTML page of a proxy in front of the exchange."""
    return Fault(name="html_error", status=status, msg=_HTML, html=True, executed=executed)


def timed_out(*, executed: bool | None = None) -> Fault:
    """Answer HTTP 408 with -1007: it is unknown whether the request was executed."""
    return Fault(name="timed_out", status=408, msg=_TIMEOUT, code=-1007, executed=executed)


def unexpected_response(*, executed: bool | None = None) -> Fault:
    """Answer -1006: it is unknown whether the request was executed."""
    return Fault(name="unexpected_response", status=500, msg=_UNEXPECTED, code=-1006, executed=executed)


def too_many_requests() -> Fault:
    """Answer HTTP 429 with -1003, whatever the weight used."""
    return Fault(name="too_many_requests", status=429, msg=_TOO_MANY, code=-1003, executed=False)


def banned(seconds: float = 120.0) -> Fault:
    """Answer HTTP 418 with -1003, naming the time until which the address is banned."""
    return Fault(name="banned", status=418, msg=_BANNED, code=-1003, executed=False, ban=seconds)


def skewed_clock(milliseconds: int) -> Fault:
    """Set the exchange's clock wrong: right timestamps get -1021, and GET time is wrong."""
    return Fault(name="skewed_clock", skew=milliseconds)


def no_such_algo_order() -> Fault:
    """Answer -2013 to GET algoOrder for a waiting order, which openAlgoOrders still lists."""
    return Fault(
        name="no_such_algo_order",
        status=400,
        msg="Order does not exist.",
        code=-2013,
        executed=False,
        endpoints=(("GET", "algoOrder"),),
    )


def vanished_order(seconds: float = 53.0) -> Fault:
    """Accept an order as NEW, and cancel it by itself some seconds later, without a reason.

    Seen on Binance's demo exchange with conditional orders, after 53 seconds.
    """
    return Fault(name="vanished_order", cancel_after=seconds, endpoints=_VANISHING)


def lost_event() -> Fault:
    """Do not deliver a stream event."""
    return Fault(name="lost_event", copies=0)


def duplicated_event() -> Fault:
    """Deliver a stream event twice."""
    return Fault(name="duplicated_event", copies=2)


def silent_stream() -> Fault:
    """Stop delivering on a stream without closing it."""
    return Fault(name="silent_stream", copies=0, silences=True)
