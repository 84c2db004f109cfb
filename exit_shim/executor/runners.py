"""Send the executor's requests with a client: reads at once, changes in turn and through the gateway."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from exit_shim.attribution.attribute import attributed
from exit_shim.clients.proxy import unwrap
from exit_shim.clients.registry import can_be_cloned, clone_client, support_of
from exit_shim.executor.requests import Request, Requests, method_for
from exit_shim.guard.exchange_snapshot import LISTS
from exit_shim.guard.snapshot_reads import Clones
from exit_shim.runtime.reentrancy import ReentrantState
from exit_shim.shim import ExitShim

T = TypeVar("T")

READ_S: Final = 5.0
"""How long a sync client's read waits for its answer; a read is done again soon."""

READERS: Final = 16
"""How many reads a sync client's clones send at once."""

Heed = Callable[[Any], object]
"""Called with the HTTP response of each request, for the limits that its headers name."""


class SyncRunner(ReentrantState):
    """Send requests with a sync client.

    Reads are sent at once by clones, and changes in turn by a wrapped clone: a client stores an answer on
    itself before it reads it, so the bot's threads and this one must not share it. A client of a class of
    the bot's own sends the changes itself, since it may add to them; its bot must not use it meanwhile.

    Args:
        client: The bot's client, not wrapped.
        shim: Wraps what sends the changes.
        module: The module that changes are attributed to.
        heed: Called with each response.
    """

    def __init__(self, client: Any, shim: ExitShim, module: str, heed: Heed = lambda _: None) -> None:
        self._bare = client
        self._module = module
        self._heed = heed
        self._shim = shim
        self._is_clonable = can_be_cloned(client)
        self._clones = Clones()
        self._make_sender()
        super().__init__()

    def _make_sender(self) -> None:
        """Make what sends the changes: a wrapped clone, or the client where it is not the library's own."""
        is_plain = self._is_clonable and type(self._bare) in support_of(self._bare).client_classes()
        self._sender = clone_client(self._bare).client() if is_plain else self._bare
        self._wrapped = self._shim.wrap(self._sender)

    def renew_after_fork(self) -> None:
        """Begin as in a new process: the connection is the parent's."""
        super().renew_after_fork()
        self._make_sender()

    def renew(self) -> None:
        """Begin with a lock that nobody holds and without threads."""
        super().renew()
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="exit-shim-executor-read")

    def run(self, conversation: Requests[T], prepare: Callable[[], object] | None = None) -> T:
        """Hold a conversation with the exchange, and return what it comes to; one at a time."""
        with self._lock:
            if prepare is not None:
                prepare()
            answers: list[Any] | None = None
            while True:
                try:
                    asked = conversation.send(answers)  # type: ignore[arg-type] # None begins it
                except StopIteration as done:
                    result: T = done.value
                    return result
                answers = self._ask_all(asked)

    def _ask_all(self, asked: Sequence[Request]) -> list[Any]:
        if len(asked) > 1 and self._is_clonable:
            return list(self._pool.map(self._ask, asked))
        return [self._ask(request) for request in asked]

    def _ask(self, request: Request) -> Any:
        try:
            return self._change(request) if request.changes else self._read(request)
        except Exception as error:  # noqa: BLE001 - the conversation reads what it proves
            return error

    def _change(self, request: Request) -> Any:
        library = support_of(self._bare)
        if self._sender is not self._bare:
            library.refresh_clone(self._sender, self._bare)
        try:
            with attributed(self._module, kind=request.kind, explanation=request.why):
                return method_for(self._wrapped, request)(**request.params)
        finally:
            self._heed(library.last_answer(self._sender))

    def _read(self, request: Request) -> Any:
        if not self._is_clonable:
            return method_for(self._bare, request)(**request.params)
        clone = self._clones.borrow(self._bare)
        library = support_of(clone)
        try:
            limit = library.time_limit(READ_S) if request.name in LISTS else {}
            return method_for(clone, request)(**request.params, **limit)
        finally:
            self._heed(library.last_answer(clone))
            self._clones.give_back(self._bare, clone)

    def close(self) -> None:
        """Close connections and threads; a later request makes new ones."""
        with self._lock:
            self._pool.shutdown(wait=False)
            self._clones.close()
            self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="exit-shim-executor-read")


class AsyncRunner:
    """Send requests with an async client: reads gathered, changes through the wrapped client.

    A conversation that has begun is finished even if its caller is cancelled, since a change may have left.

    Args:
        client: The bot's client, not wrapped.
        shim: Wraps it for the changes.
        module: The module that changes are attributed to.
        heed: Called with each response.
    """

    def __init__(self, client: Any, shim: ExitShim, module: str, heed: Heed = lambda _: None) -> None:
        self._bare = client
        self._wrapped = shim.wrap(client)
        self._module = module
        self._heed = heed
        self._running: set[asyncio.Task[Any]] = set()
        self._turn: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None

    def run(
        self, conversation: Requests[T], prepare: Callable[[], object] | None = None
    ) -> Coroutine[Any, Any, T]:
        """Hold a conversation with the exchange, and return what it comes to; one at a time."""
        return self._run_shielded(conversation, prepare)

    async def _run_shielded(self, conversation: Requests[T], prepare: Callable[[], object] | None) -> T:
        task = asyncio.ensure_future(self._run(conversation, prepare))
        # A loop keeps no strong reference to its tasks.
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _run(self, conversation: Requests[T], prepare: Callable[[], object] | None) -> T:
        async with self._lock():
            if prepare is not None:
                # It reads files.
                await asyncio.to_thread(prepare)
            answers: list[Any] | None = None
            while True:
                try:
                    asked = conversation.send(answers)  # type: ignore[arg-type] # None begins it
                except StopIteration as done:
                    result: T = done.value
                    return result
                answers = list(await asyncio.gather(*map(self._ask, asked)))

    def _lock(self) -> asyncio.Lock:
        """Return the running loop's lock."""
        loop = asyncio.get_running_loop()
        if self._turn is None or self._turn[0] is not loop:
            self._turn = loop, asyncio.Lock()
        return self._turn[1]

    async def _ask(self, request: Request) -> Any:
        try:
            if not request.changes:
                return await method_for(self._bare, request)(**request.params)
            with attributed(self._module, kind=request.kind, explanation=request.why):
                return await method_for(self._wrapped, request)(**request.params)
        except Exception as error:  # noqa: BLE001 - the conversation reads what it proves
            return error
        finally:
            self._heed(support_of(self._bare).last_answer(self._bare))

    def close(self) -> None:
        """Close nothing: connections are the client's own."""


Runner = SyncRunner | AsyncRunner


def runner_for(client: Any, shim: ExitShim, module: str, heed: Heed = lambda _: None) -> Runner:
    """Return what sends requests with a client, wrapped or not."""
    bare = unwrap(client)
    make = AsyncRunner if support_of(bare).is_async(bare) else SyncRunner
    return make(bare, shim, module, heed)
