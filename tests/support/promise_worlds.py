"""What the tests of the promises share: a bot's life, a server that keeps every byte, and what is masked."""

import re

from client_drivers.driver import CLOSING, Reply, limit_exit
from odd_server import OddServer, reset

from exit_shim.exchange.http.request import RawRequest
from exit_shim.testing import faults

KEY, SECRET = "local-key", "local-secret"
BATCH = [{**CLOSING, **limit_exit(price)} for price in ("66000", "67000")]
AMENDED = {**CLOSING, "quantity": "0.010", "price": "65100"}

MASKS = (
    (re.compile(r"(timestamp|signature)=[0-9a-f]+"), r"\1=*"),
    (re.compile(r"'(timestamp|signature)': '[0-9a-f]+'"), r"'\1': '*'"),
    (re.compile(r"\bx-[A-Za-z0-9]{8,}"), "x-*"),
    (re.compile(r"\b1[789]\d{11}\b"), "TIME"),
    (re.compile(r"127\.0\.0\.1:\d+"), "HOST"),
    (re.compile(r"(?i)(x-mbx-(used-weight|order-count)[\w-]*\W+)\d+"), r"\1*"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"), "TIME"),
    (re.compile(r"Content-Length: \d+", re.IGNORECASE), "Content-Length: *"),  # generated ids vary in length
    (re.compile(r"\bport=\d+"), "port=*"),
    (re.compile(r"0x[0-9a-f]+"), "0x*"),
)
"""What differs between two equal lives: times, signatures, generated ids, ports and addresses of objects."""


def mask(text):
    """Return a text without what differs between two equal lives."""
    for pattern, replacement in MASKS:
        text = pattern.sub(replacement, text)
    return text


class RecordingServer(OddServer):
    """A local exchange behind a socket that keeps the bytes of each request.

    Args:
        exchange: The exchange that answers.
        on_order: Called with each request that changes orders, before the exchange acts on it.
    """

    def __init__(self, exchange, on_order=lambda _: None):
        super().__init__(self._pass_on)
        self._exchange, self._on_order = exchange, on_order

    def _pass_on(self, connection, text):
        head, _, body = text.partition("\r\n\r\n")
        line, *lines = head.split("\r\n")
        verb, target, _ = line.split(" ")
        path, _, query = target.partition("?")
        headers = {name.lower(): value.strip() for name, _, value in (row.partition(":") for row in lines)}
        if verb != "GET":
            self._on_order(text)
        try:
            answer = self._exchange.answer(RawRequest(verb, path, query, body, headers))
        except ConnectionResetError:
            reset(connection, text)
            return
        extra = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
        connection.sendall(
            f"HTTP/1.1 {answer.status} X\r\nContent-Type: {answer.content_type}\r\n{extra}"
            f"Content-Length: {len(answer.body)}\r\nConnection: close\r\n\r\n".encode()
            + answer.body
        )


def live(driver, exchange):
    """Live a whole life of exits, refusals and faults; yield each word with what came of it."""

    def say(word, *args, **options):
        reply = driver.attempt(word, *args, **options)
        replies.append((word, reply))
        return driver.ids_of(reply.answer) if reply.error is None else None

    replies: list[tuple[str, Reply]] = []
    say("open_position")
    stop = say("place_stop", 50_000)
    target = say("place_target", 70_000)
    say("place_trailing", 1)
    limit = say("place_limit_exit", "65000")
    say("amend", limit.order_id, AMENDED)
    say("query", stop)
    say("query", limit)
    say("cancel", target)
    say("cancel", limit)
    say("cancel", limit)
    say("batch", BATCH)
    say("place_stop", 49_000)
    say("place_stop", 90_000, closePosition="false", quantity="0.010", reduceOnly="true")
    for fault in (
        faults.unknown_error(executed=False),
        faults.timed_out(executed=True),
        faults.too_many_requests(),
        faults.reset_before_execution(),
    ):
        exchange.faults.inject(fault, method="POST")
        say("market_close")
        exchange.faults.clear()
    say("market_close")
    say("cancel_all", "orders")
    say("cancel_all", "conditional")
    return replies
