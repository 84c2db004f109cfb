"""Read Binance's answers from ccxt's results and from its exceptions, whose text holds only a part of them.

Facts: the code of ccxt 4.5.90.
"""

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any, Final, NamedTuple

from exit_shim.clients.sessions import loaded
from exit_shim.clients.support import ApiError, CodeStep

OVER_WEBSOCKET: Final = "WS "
"""How the names of the rows of the WebSocket API begin."""

REFUSED: Final = 400
"""The HTTP status of a refusal that came in a list under 200, or without a status over the WebSocket."""

PROVES_NOTHING: Final = 408
"""The HTTP status after which an order may have been executed or not."""

BODIES: Final = {"handle_errors": 6, "handle_http_status_code": 5}
"""The functions that read a failed answer, with the place of its body among their arguments.

The HTTP status comes first, after `self`.
"""

BEFORE_SENDING: Final = frozenset(
    {
        *("check_proxy_url_settings", "check_proxy_settings", "check_conflicting_proxies"),
        *("prepare_request_headers", "open", "get_socks_proxy_session"),
    }
)
"""The functions that `fetch` calls before it sends."""

HTTP_STATUSES: Final = range(100, 600)
BARE_REFUSALS: Final = range(-9999, -1099)
MOST_CHARACTERS: Final = 100_000

_CODE: Final = re.compile(r'"code"\s*:\s*"?(-\d+)')


class FailedAnswer(NamedTuple):
    """Hold what the exchange answered to a request that failed."""

    status: object
    body: object


def owns_module(name: object) -> bool:
    """Return whether a module of this dotted name is part of ccxt."""
    return isinstance(name, str) and (name == "ccxt" or name.startswith("ccxt."))


def read_api_error(error: BaseException) -> ApiError | None:
    """Return what ccxt's exception says of the exchange's answer; None for any other error.

    An error of a request that ccxt has repeated proves nothing of the first attempt.
    """
    kind = loaded("ccxt.base.errors", "BaseError")
    if not isinstance(kind, type) or not isinstance(error, kind):
        return None
    # Many exceptions show neither code nor status: ccxt has them where it reads the answer.
    failed = None
    for frame in _frames(error):
        name = frame.f_code.co_name
        if name == "fetch2" and _count_repetitions(frame):
            return ApiError(_code_in(str(error)), PROVES_NOTHING, str(error))
        if name in BODIES:
            failed = _answer_in(frame)
    return _read_text(error) if failed is None else _read_answer(failed, error)


def _frames(error: BaseException) -> Iterator[FrameType]:
    """Yield ccxt's frames that an error came through, outermost first."""
    trace = error.__traceback__
    while trace is not None:
        if owns_module(trace.tb_frame.f_globals.get("__name__")):
            yield trace.tb_frame
        trace = trace.tb_next


def _count_repetitions(frame: FrameType) -> int:
    """Return how often `fetch2` has sent its request before the last time."""
    attempt = frame.f_locals.get("i")
    return attempt if isinstance(attempt, int) else 0


def _answer_in(frame: FrameType) -> FailedAnswer | None:
    code, values = frame.f_code, frame.f_locals
    names = code.co_varnames[: code.co_argcount]
    place = BODIES[code.co_name]
    if len(names) <= place:
        return None
    return FailedAnswer(values.get(names[1]), values.get(names[place]))


def _read_answer(failed: FailedAnswer, error: BaseException) -> ApiError:
    # Over the WebSocket ccxt has Binance's code in the place of the status.
    status = failed.status if isinstance(failed.status, int) and failed.status in HTTP_STATUSES else None
    answer = _object_in(failed.body)
    code = answer.get("code")
    if code is not None and (status is None or status < REFUSED):
        status = REFUSED
    return ApiError(code, status, answer.get("msg", str(error)))


def _object_in(body: object) -> dict[str, Any]:
    """Return the object in a JSON body, alone or in a list of one; an empty dict for any other body."""
    try:
        answer = json.loads(body[:MOST_CHARACTERS]) if isinstance(body, str) else None
    except ValueError:
        return {}
    if isinstance(answer, list) and len(answer) == 1:
        (answer,) = answer
    return answer if isinstance(answer, dict) else {}


def _read_text(error: BaseException) -> ApiError | None:
    """Return what the text shows of an exception that has lost the frames that it came through.

    An answer over the WebSocket without a code stands in the text as a whole, with its status.
    """
    text = str(error)
    code = _code_in(text)
    if code is not None:
        return ApiError(code, REFUSED if code in BARE_REFUSALS else None, text)
    message = _object_in(text.partition(" ")[2])
    failed = message.get("error")
    return ApiError(None, message.get("status"), failed.get("msg")) if isinstance(failed, dict) else None


def _code_in(text: str) -> int | None:
    match = _CODE.search(text)
    return None if match is None else int(match[1])


def is_before_send(steps: Sequence[CodeStep]) -> bool:
    """Return whether an error was raised before the request was sent."""
    if not steps or not owns_module(steps[0].module):
        return False
    # Code of the bot's among these may have sent before.
    own = [step.function for step in itertools.takewhile(lambda step: owns_module(step.module), steps)]
    # What goes over the WebSocket is sent later, by a task.
    if own[0] == "watch":
        return True
    if any(step.function == "fetch" for step in steps):
        after = own[own.index("fetch") + 1 :] if "fetch" in own else []
        return bool(after) and after[0] in BEFORE_SENDING
    return own[:2] == ["request", "fetch2"] or (own == ["request"] and len(steps) == 1)


def read_result(result: Any) -> Any:
    """Return Binance's answer: what came over the WebSocket is ccxt's order, with the answer inside."""
    if isinstance(result, dict) and isinstance(result.get("info"), dict):
        return result["info"]
    return result


def make_result(answer: Any, call: Any) -> Any:
    """Return an answer as the door of a call returns it: with numbers as text, or as ccxt's order."""
    client = call.method.__self__
    if call.door.method.startswith(OVER_WEBSOCKET):
        return client.parse_order(answer)
    return client.parse_json(json.dumps(answer))
