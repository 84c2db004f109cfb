"""Carry out plans: send their requests one after the other, for sync and for async clients."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from exit_shim.bridge.calls import Failure, HalfDoneError, Plan, Request, failure_of
from exit_shim.gateway.nesting import within
from exit_shim.runtime.internal_errors import InternalErrors

CHANGES: Final = frozenset({"post", "put", "delete"})

HALF_DONE: Final = "a bridged call was done by half"


class Owner(Protocol):
    """Provide what plans need of the bridge."""

    internal_errors: InternalErrors
    warn: Callable[..., object]


class Steps:
    """Carry a plan from request to request; what its own code raises costs the translation, not the order."""

    def __init__(self, bridge: Owner, plan: Plan) -> None:
        self._bridge = bridge
        self._plan = plan
        self._request: Request | None = None
        self._failures: list[Exception] = []
        self._accepted: Any = None
        self._is_begun = False
        self.result: Any = None
        self.is_void = False
        """Whether nothing was done, so that the old request should go out as it is."""

    def next(self) -> Request | None:
        """Return the request to send; None where the plan has ended."""
        if not self._is_begun:
            self._is_begun = True
            self._advance(lambda: next(self._plan))
        if self._request is not None and (call := within.get()) is not None:
            call.sent.append(str(self._request))
        return self._request

    def take(self, answer: Any) -> None:
        """Take the answer to the request, and go on to the next one."""
        request = self._request
        if isinstance(answer, Failure):
            self._failures.append(answer.error)
        elif request is not None and request.verb in CHANGES:
            self._accepted = answer
        self._advance(lambda: self._plan.send(answer))

    def abandon(self) -> None:
        """Warn of what is left half done where the caller ends the call by a time limit or an interrupt."""
        if self._accepted is not None:
            done = f"it was ended during {self._request}; what was sent before that was accepted"
            self._bridge.warn(HALF_DONE, done=done)

    def _advance(self, step: Callable[[], Request]) -> None:
        self._request = None
        try:
            self._request = step()
        except StopIteration as done:
            self.result = done.value
        except HalfDoneError as half:
            self._bridge.warn(HALF_DONE, done=half.done)
            raise half.error from None
        except Exception as error:
            if any(error is failure for failure in self._failures):
                raise
            self._bridge.internal_errors.report("translate an answer", error)
            self.result, self.is_void = self._accepted, self._accepted is None


def run(steps: Steps, send: Callable[[Request], Any], as_asked: Callable[[], Any]) -> Any:
    """Carry out a plan, and return the answer to the old call.

    Args:
        steps: The plan.
        send: Sends one request with the client's own method.
        as_asked: Sends the old call as it is; for a plan that could not be begun.
    """
    while (request := steps.next()) is not None:
        try:
            answer = send(request)
        except Exception as error:  # noqa: BLE001 - the plan decides what it means
            answer = failure_of(error)
        except BaseException:
            steps.abandon()
            raise
        steps.take(answer)
    return as_asked() if steps.is_void else steps.result


async def run_async(
    steps: Steps, send: Callable[[Request], Awaitable[Any]], as_asked: Callable[[], Awaitable[Any]]
) -> Any:
    """Carry out a plan as `run` does, with an async client."""
    while (request := steps.next()) is not None:
        try:
            answer = await send(request)
        except Exception as error:  # noqa: BLE001 - the plan decides what it means
            answer = failure_of(error)
        except BaseException:
            steps.abandon()
            raise
        steps.take(answer)
    return await as_asked() if steps.is_void else steps.result
