"""Whether an exception of an adapter, or of another library, shows what the exchange answered. Pure.

Read: HTTP status and Binance's code, in attributes or in the text, of the error and of the errors that it
came from. What was raised before the call began, and is being handled around it, does not count.
"""

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from exit_shim.runtime.scrubbing import text_of

STATUS_NAMES: Final = ("status_code", "status", "http_status", "http_code")
CODE_NAMES: Final = ("error_code", "code")
TEXT_NAMES: Final = ("error_message", "message", "msg", "text", "body")

_STATUS: Final = re.compile(r"(?i)\b(?:http|status)(?:[ _]?(?:status|error|code))*\W{0,3}([1-5]\d\d)\b")
_CODE: Final = re.compile(r"(?i)\b(?:code|error|err|[45]\d\d)\W{1,5}?(-\d{4})(?![\w.])")

TRANSPORTS: Final = ("requests", "urllib3", "aiohttp", "websockets", "http", "ssl", "socket", "httpx")

MOST_ERRORS: Final = 16
MAX_TEXT: Final = 2_000


class Shown(NamedTuple):
    """What an exception shows of the exchange's answer.

    `is_librarys` for the exception of Binance's own connector: its status is the exchange's for certain, and
    so is a refusal without a code.
    """

    status: int | None
    code: int | None
    text: str
    is_librarys: bool = False


def read_error(error: BaseException) -> Shown | None:
    """Return what one exception shows of the exchange's answer; None where it shows nothing or two codes."""
    is_librarys = any(
        isinstance(kind := getattr(sys.modules.get("binance.error"), name, None), type)
        and isinstance(error, kind)
        for name in ("ClientError", "ServerError")
    )
    own: dict[str, Any] = getattr(error, "__dict__", {})
    response = own.get("response")
    status = next(filter(None, map(_status, _attributes(own, STATUS_NAMES))), None)
    if status is None and response is not None:
        status = next(filter(None, map(_status, _attributes(response, STATUS_NAMES[:2]))), None)
    said = [text_of(error)[:MAX_TEXT]]
    said += [found[:MAX_TEXT] for found in _attributes(own, TEXT_NAMES) if isinstance(found, str)]
    # Not `response.text`: it may read from the network, and guesses at an encoding.
    body = getattr(response, "__dict__", {}).get("_content")
    if isinstance(body, bytes):
        said.append(body[:MAX_TEXT].decode("utf-8", "replace"))
    words = "\n".join(said)
    if status is None and (written := _STATUS.search(words)):
        status = int(written[1])
    codes = set(filter(None, map(_code, _attributes(own, CODE_NAMES))))
    codes = codes or {int(written) for written in _CODE.findall(words)}
    if len(codes) > 1 or not (codes or is_librarys):
        return None
    return Shown(
        status, codes.pop() if codes else None, _message(said) if is_librarys else words, is_librarys
    )


def came_from(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it came from, as far as they were raised within the same call.

    One that is being handled around the call was caught in a frame that the error did not come through.
    """
    frames: set[int] = set()
    seen: list[BaseException] = []
    pending: list[BaseException | None] = [error]
    while pending and len(seen) < MOST_ERRORS:
        found = pending.pop()
        if found is None or any(found is other for other in seen):
            continue
        trace = found.__traceback__
        if found is not error and (trace is None or id(trace.tb_frame) not in frames):
            continue
        while trace is not None:
            frames.add(id(trace.tb_frame))
            trace = trace.tb_next
        seen.append(found)
        yield found
        pending += [found.__cause__, found.__context__]


def is_silence(error: BaseException) -> bool:
    """Return whether an error is a transport's: a request left, and what became of it does not show."""
    if isinstance(error, ValueError):  # a body that is no JSON is an answer
        return False
    package = type(error).__module__.partition(".")[0]
    return isinstance(error, OSError | asyncio.TimeoutError) or package in TRANSPORTS


def _message(said: list[str]) -> str:
    """Return the exchange's own words, which the connector's exception may hold as the JSON that it got."""
    try:
        return str(json.loads(said[-1])["msg"])
    except (KeyError, TypeError, ValueError):
        return said[-1]


def _attributes(owner: Any, names: tuple[str, ...]) -> Iterator[Any]:
    for name in names:
        yield owner.get(name) if isinstance(owner, dict) else getattr(owner, name, None)


def _status(value: object) -> int | None:
    return value if type(value) is int and 100 <= value < 600 else None  # noqa: PLR2004 - HTTP's


def _code(value: object) -> int | None:
    """Binance's codes have four digits and a minus."""
    written = text_of(value) if type(value) in {int, str} else ""
    return int(written) if re.fullmatch(r"-[1-9]\d{3}", written) else None
