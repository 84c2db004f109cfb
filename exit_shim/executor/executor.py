"""The executor that a user starts: it holds the positions of an account to their plans."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from exit_shim.attribution.attribute import attributed
from exit_shim.clients.accounts import label_of
from exit_shim.clients.proxy import unwrap
from exit_shim.clients.registry import can_be_cloned, support_of
from exit_shim.executor.keeper import Keeper
from exit_shim.executor.plan import ExitPlan
from exit_shim.executor.protection import Protection
from exit_shim.executor.requests import Request, Requests, method_for
from exit_shim.executor.router import Router, plan_function
from exit_shim.guard.exchange_snapshot import OpenPosition
from exit_shim.guard.snapshot_reads import Clones
from exit_shim.shim import ExitShim, default_shim

MODULE: Final = "exit_brain_executor"
"""The module that the executor's orders are attributed to, an owner in EXIT_BRAIN_V3 by default."""

T = TypeVar("T")


class ExitExecutor:
    """Hold the positions of an account to their exit plans.

    Args:
        client: A client of the account, wrapped or not.
        router: Says which plan a position has; None: only what `ensure_protection` is given.
        module: The module that its orders are attributed to.
        shim: The configuration to use; None for the process-wide one.
        close_after_s: Close a position that has been bare for so many seconds; None: never.
    """

    def __init__(
        self,
        client: Any,
        router: Router | None = None,
        *,
        module: str = MODULE,
        shim: ExitShim | None = None,
        close_after_s: float | None = None,
    ) -> None:
        self._shim = shim or default_shim()
        self._client = self._shim.wrap(client)
        self._route = None if router is None else plan_function(router)
        self._given: dict[tuple[str, str], ExitPlan] = {}
        bare = unwrap(client)
        library = support_of(bare)
        self._keeper = Keeper(
            account=label_of(bare),
            plan_for=self._plan_for,
            record=self._shim.recorder.record,
            has_algo_orders=library.has_algo_orders(getattr(bare, library.commands["place"])),
            close_after_ms=None if close_after_s is None else int(close_after_s * 1000),
        )
        self._runner = SyncRunner(self._client, module)

    def ensure_protection(self, symbol: str, plan: ExitPlan) -> list[Protection]:
        """Hold the position of a symbol to a plan; one pass, which does nothing where nothing is to do.

        The plan stays in force for the positions of its symbol and side, before what the router says.
        """
        self._given[symbol, plan.position_side] = plan
        return self.protect(symbol)

    def protect(self, symbol: str | None = None, *, dry_run: bool = False) -> list[Protection]:
        """Do one pass over the positions of a symbol, or of the account."""
        return self._runner.run(self._keeper.protect(symbol, dry_run=dry_run))

    def _plan_for(self, position: OpenPosition) -> ExitPlan | None:
        plan = self._given.get((position.symbol, position.side))
        return plan if plan is not None or self._route is None else self._route(position)


class SyncRunner:
    """Send requests with a sync client: reads at once, by clones of it; changes in turn, through the gateway.

    Args:
        client: The wrapped client.
        module: The module that changes are attributed to.
    """

    def __init__(self, client: Any, module: str) -> None:
        self._client = client
        self._bare = unwrap(client)
        self._module = module
        self._clones = Clones() if can_be_cloned(self._bare) else None
        self._pool = ThreadPoolExecutor(3, thread_name_prefix="exit-shim-executor-read")

    def run(self, conversation: Requests[T]) -> T:
        """Hold a conversation with the exchange, and return what it comes to."""
        answers: list[Any] | None = None
        while True:
            try:
                asked = conversation.send(answers)  # type: ignore[arg-type] # None begins it
            except StopIteration as done:
                result: T = done.value
                return result
            answers = self._ask_all(asked)

    def _ask_all(self, asked: Sequence[Request]) -> list[Any]:
        if len(asked) > 1 and self._clones is not None:
            return list(self._pool.map(self._ask, asked))
        return [self._ask(request) for request in asked]

    def _ask(self, request: Request) -> Any:
        try:
            if request.changes:
                with attributed(self._module, kind=request.kind, explanation=request.why):
                    return method_for(self._client, request)(**request.params)
            return self._read(request)
        except Exception as error:  # noqa: BLE001 - the conversation reads what it proves
            return error

    def _read(self, request: Request) -> Any:
        """Send a read with a clone: the bot's client keeps its own last answer and connections."""
        if self._clones is None:
            return method_for(self._bare, request)(**request.params)
        clone = self._clones.borrow(self._bare)
        try:
            return method_for(clone, request)(**request.params)
        finally:
            self._clones.give_back(self._bare, clone)

    def close(self) -> None:
        """Close the connections of the clones."""
        self._pool.shutdown(wait=False)
        if self._clones is not None:
            self._clones.close()
