"""Reading the exceptions of adapters and other libraries for what the exchange answered. Pure.

Read are the HTTP status and Binance's code, in attributes or in the text, of an error and its causes.
"""

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from exit_shim.clients.binance_connector import is_connector_error
from exit_shim.runtime.scrubbing import text_of

STATUS_NAMES: Final = ("status_code", "status", "http_status", "http_code")
CODE_NAMES: Final = ("error_code", "code")
TEXT_NAMES: Final = ("error_message", "message", "msg", "text", "body")

_STATUS: Final = re.compile(r"(?i)\b(?:http|status)(?:[ _]?(?:status|error|code))*\W{0,3}([1-5]\d\d)\b")
_CODE: Final = re.compile(r"(?i)\b(?:code|error|err|[45]\d\d)\W{1,5}?(-\d{4})(?![\w.])")

TRANSPORTS: Final = ("requests", "urllib3", "aiohttp", "websockets", "http", "ssl", "socket", "httpx")

MAX_ERRORS: Final = 16
MAX_TEXT: Final = 2_000


class ForeignAnswer(NamedTuple):
    """Hold what an exception shows of the exchange's answer.

    `is_certain` for the exception of Binance's own connector: its status is the exchange's for certain, and
    so is a refusal without a code.
    """

    status: int | None
    code: int | None
    text: str
    is_certain: bool = False


def read_error(error: BaseException) -> ForeignAnswer | None:
    """Return what one exception shows of the exchange's answer; None where it shows nothing or two codes."""
    is_certain = is_connector_error(error)
    attributes: dict[str, Any] = getattr(error, "__dict__", {})
    texts = _texts(error, attributes)
    text = "\n".join(texts)
    codes = set(filter(None, map(_code, _values(attributes, CODE_NAMES))))
    codes = codes or {int(code) for code in _CODE.findall(text)}
    if len(codes) > 1 or not (codes or is_certain):
        return None
    code = codes.pop() if codes else None
    return ForeignAnswer(
        _status_of(attributes, text), code, _message(texts) if is_certain else text, is_certain
    )


def with_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes, as far as they were raised within the same call."""
    frames: set[int] = set()
    seen: list[BaseException] = []
    pending: list[BaseException | None] = [error]
    while pending and len(seen) < MAX_ERRORS:
        cause = pending.pop()
        if cause is None or any(cause is other for other in seen):
            continue
        trace = cause.__traceback__
        # An error that is being handled around the call was caught in a frame that ours did not come through.
        if cause is not error and (trace is None or id(trace.tb_frame) not in frames):
            continue
        while trace is not None:
            frames.add(id(trace.tb_frame))
            trace = trace.tb_next
        seen.append(cause)
        yield cause
        pending += [cause.__cause__, cause.__context__]


def is_silence(error: BaseException) -> bool:
    """Return whether an error is a transport's: a request left, and what became of it is not known."""
    if isinstance(error, ValueError):  # a body that is not JSON is an answer
        return False
    package = type(error).__module__.partition(".")[0]
    return isinstance(error, OSError | asyncio.TimeoutError) or package in TRANSPORTS


def _texts(error: BaseException, attributes: dict[str, Any]) -> list[str]:
    """Return the texts that may hold the exchange's answer; the body of a response comes last."""
    texts = [text_of(error)[:MAX_TEXT]]
    texts += [value[:MAX_TEXT] for value in _values(attributes, TEXT_NAMES) if isinstance(value, str)]
    # Not `response.text`: it may read from the network, and guesses at an encoding.
    body = getattr(attributes.get("response"), "__dict__", {}).get("_content")
    if isinstance(body, bytes):
        texts.append(body[:MAX_TEXT].decode("utf-8", "replace"))
    return texts


def _status_of(attributes: dict[str, Any], text: str) -> int | None:
    """Return the HTTP status in an error's attributes, else in those of its response, else in its text."""
    response = attributes.get("response")
    statuses = list(_values(attributes, STATUS_NAMES))
    if response is not None:
        statuses += _values(response, STATUS_NAMES[:2])
    status = next(filter(None, map(_status, statuses)), None)
    if status is None and (match := _STATUS.search(text)):
        return int(match[1])
    return status


def _message(texts: list[str]) -> str:
    """Return the exchange's own words, which the connector's exception may hold as the JSON that it got."""
    try:
        return str(json.loads(texts[-1])["msg"])
    except (KeyError, TypeError, ValueError):
        return texts[-1]


def _values(owner: Any, names: tuple[str, ...]) -> Iterator[Any]:
    for name in names:
        yield owner.get(name) if isinstance(owner, dict) else getattr(owner, name, None)


def _status(value: object) -> int | None:
    return value if type(value) is int and 100 <= value < 600 else None  # noqa: PLR2004 - HTTP's


def _code(value: object) -> int | None:
    # Binance's codes are four digits and a minus.
    digits = text_of(value) if type(value) in {int, str} else ""
    return int(digits) if re.fullmatch(r"-[1-9]\d{3}", digits) else None
