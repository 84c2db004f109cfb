"""Commands of a stream connection: SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS and properties.

Errors have the form and the texts of Binance's documentation of live subscribing.
"""

from __future__ import annotations

from typing import Any

import msgspec

from .connection import StreamConnection

#: Streams that one connection may have.
MOST_STREAMS = 1024
_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")


class CommandError(Exception):
    """A message that is not a command; `answer` is the reply to it."""

    def __init__(self, code: int, msg: str, request_id: object = None) -> None:
        super().__init__(code, msg)
        self.answer: dict[str, object] = {"error": {"code": code, "msg": msg}}
        if request_id is not None:
            self.answer["id"] = request_id


def run_command(connection: StreamConnection, message: str) -> tuple[dict[str, object], list[str]]:
    """Run the command of a message and return the reply and the new streams."""
    try:
        method, params, request_id = _read(message)
        if method == "SUBSCRIBE":
            result, new = None, _subscribe(connection, _names(params, request_id), request_id)
        elif method == "UNSUBSCRIBE":
            for name in _names(params, request_id):
                connection.names.pop(name, None)
            result, new = None, []
        elif method == "LIST_SUBSCRIPTIONS":
            return {"result": list(connection.names), "id": request_id}, []
        else:
            return {"result": _property(connection, method, params, request_id), "id": request_id}, []
    except CommandError as refused:
        return refused.answer, []
    return {"result": result, "id": request_id}, new


def _read(message: str) -> tuple[str, list[Any], object]:
    try:
        command = msgspec.json.decode(message)
    except (msgspec.MsgspecError, RecursionError):
        raise CommandError(3, "Invalid JSON: expected value at line 1 column 1") from None
    if not isinstance(command, dict) or "method" not in command:
        raise CommandError(2, "Invalid request: missing field `method`")
    request_id = command.get("id")
    if not (request_id is None or isinstance(request_id, str)) and not _is_id(request_id):
        raise CommandError(2, "Invalid request: request ID must be an unsigned integer or a string")
    method, params = command["method"], command.get("params", [])
    if method not in _METHODS:
        text = f"Invalid request: unknown variant {method}, expected one of {', '.join(_METHODS)}"
        raise CommandError(2, text, request_id)
    if not isinstance(params, list):
        raise CommandError(2, "Invalid request: params must be an array", request_id)
    return method, params, request_id


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _names(params: list[Any], request_id: object) -> list[str]:
    if not all(isinstance(name, str) for name in params):
        raise CommandError(2, "Invalid request: stream name must be a string", request_id)
    return params


def _subscribe(connection: StreamConnection, names: list[str], request_id: object) -> list[str]:
    new = [name for name in dict.fromkeys(names) if name not in connection.names]
    if len(connection.names) + len(new) > MOST_STREAMS:
        raise CommandError(2, "Invalid request: too many parameters", request_id)
    connection.names.update(dict.fromkeys(new))
    return new


def _property(connection: StreamConnection, method: str, params: list[Any], request_id: object) -> object:
    if not params or params[0] != "combined":
        raise CommandError(0, "Unknown property", request_id)
    if method == "GET_PROPERTY":
        return connection.combined
    if len(params) != 2 or not isinstance(params[1], bool):  # noqa: PLR2004 - name and value
        raise CommandError(1, "Invalid value type: expected Boolean", request_id)
    connection.combined = params[1]
    return None
