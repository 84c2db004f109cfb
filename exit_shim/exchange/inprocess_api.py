"""The WebSocket APIs of a client, answered by a local exchange without a socket."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Any

from binance.exceptions import BinanceAPIException, BinanceWebsocketUnableToConnect

from exit_shim.exchange.http.gate import HttpAnswer
from exit_shim.exchange.inprocess import Wire
from exit_shim.exchange.server import LocalExchange
from exit_shim.exchange.ws.api import ApiError, read_request, render_reply
from exit_shim.exchange.ws.methods import Endpoint

#: How long python-binance waits for a reply, in seconds.
PATIENCE = 10.0

Sleep = Callable[[float], Awaitable[None]]


class InProcessApi:
    """Answer a client's WebSocket API in place of its `WebsocketAPI`.

    Args:
        exchange: who answers.
        sleep: how the client waits.
        methods: the methods of the API.
    """

    def __init__(self, exchange: LocalExchange, sleep: Sleep, methods: Mapping[str, Endpoint]) -> None:
        self._wire = Wire(exchange)
        self._unanswered = exchange.service.gate.unanswered
        self._sleep = sleep
        self._methods = methods

    async def request(self, id: str, payload: dict[str, Any]) -> Any:  # noqa: A002, ARG002 - the client's names
        """Send a request and return the result.

        Raises:
            BinanceAPIException: the exchange refuses.
            BinanceWebsocketUnableToConnect: there is no connection, or no answer.
        """
        reply = await self._reply(json.dumps(payload))
        if reply is None:
            raise BinanceWebsocketUnableToConnect("Request timed out")
        answer = json.loads(reply)
        if answer["status"] != 200:  # noqa: PLR2004 - OK
            raise BinanceAPIException(answer, answer["status"], json.dumps(answer["error"]))
        return answer["result"]

    async def close(self) -> None:
        """Do nothing, since nothing is open."""

    async def _reply(self, message: str) -> str | None:
        try:
            request = read_request(message, methods=self._methods)
        except ApiError as refused:
            refused.note(self._unanswered)
            return refused.answer
        try:
            return render_reply(request, await self._wait_for_answer(self._wire.ask(request.http, PATIENCE)))
        except ConnectionRefusedError as refused:
            raise BinanceWebsocketUnableToConnect(f"Connection failed: {refused}") from refused
        except (ConnectionResetError, TimeoutError):
            return None

    async def _wait_for_answer(self, answering: Generator[float, None, HttpAnswer]) -> HttpAnswer:
        while True:
            try:
                pause = next(answering)
            except StopIteration as done:
                answer: HttpAnswer = done.value
                return answer
            await self._sleep(pause)
