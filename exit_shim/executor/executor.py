"""The executor that a user starts: it holds the positions of an account to their plans."""

import asyncio
import functools
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from exit_shim.clients.proxy import unwrap
from exit_shim.clients.registry import asking_client, can_be_cloned, clone_client, support_of
from exit_shim.domain.accounts import exchange_of
from exit_shim.domain.events import Switch
from exit_shim.executor.account_reads import AccountReads, weight_of_symbol
from exit_shim.executor.agenda import Agenda
from exit_shim.executor.announcements import Announcements
from exit_shim.executor.checks import check_access, check_methods
from exit_shim.executor.driving import TaskDriver, ThreadDriver
from exit_shim.executor.exchange_reader import Key, Seen
from exit_shim.executor.keeper import Keeper
from exit_shim.executor.lease import Tenure
from exit_shim.executor.memory import describe_event
from exit_shim.executor.order_limits import OrderLimits
from exit_shim.executor.plan import ExitPlan
from exit_shim.executor.protection import Protection
from exit_shim.executor.requests import Request, Requests
from exit_shim.executor.router import Router, plan_function
from exit_shim.executor.runners import AsyncRunner, runner_for
from exit_shim.executor.steps import LookUp, Wait
from exit_shim.executor.streams import Streams, Wake
from exit_shim.executor.takeover import Takeover
from exit_shim.feeds import StreamError, why_not
from exit_shim.feeds.exchange_log import Sight
from exit_shim.guard.exchange_snapshot import OpenOrder, OpenPosition
from exit_shim.runtime.service import weakly
from exit_shim.shim import ExitShim, default_shim

MODULE: Final = "exit_brain_executor"
"""The module that the executor's orders are attributed to, an owner in EXIT_BRAIN_V3 by default."""

SHORTEST_S: Final = 1.0

AT_REST_S: Final = 60.0
"""Seconds between two passes over the account beside a stream that says what happens."""

DAY_S: Final = 24 * 3600.0

FOLLOW_UP_S: Final = 0.2
"""The pause before a position with something left to do is looked at again; it doubles each time."""

MOST_DRY_PASSES: Final = 5
"""How often a dry run reads what may have been done before."""

WITHOUT_JOURNAL: Final = (
    "there is no journal: the next start remembers nothing, and a second executor would not be noticed"
)

_started: "set[ExitExecutor]" = set()
"""Those that run: a position must not lose its executor because nobody keeps a reference to it."""


class ExitExecutor:
    """Hold the positions of an account to their exit plans.

    With a sync client its methods return what they say; with an AsyncClient they return that to be awaited,
    and `start` needs a running event loop. One executor per account and journal is at work: another one
    keeps its hands off until the first has stopped or died. Without a journal nobody sees to that.

    Args:
        client: A client of the account, wrapped or not.
        router: Says which plan a position has; None: only what `ensure_protection` is given.
        module: The module that its orders are attributed to.
        shim: The configuration to use; None for the process-wide one.
        every_s: Seconds between two passes over the account, where no stream says what happened.
        stream: Whether to listen to the user data stream and to mark prices once started; the address where
            they are, such as "wss://fstream.binance.com/", for a host that python-binance does not know.
        close_after_s: Close a position that has been bare for so many seconds; None: never.
        takes_over: Returns the names of others' resting exits that are cancelled once the position is
            covered, of those given; None: those of modules that the policy denies, by its key `takeover`.
        on_pass: Called after each pass with what it found and did, on the thread or loop of the pass.

    Raises:
        ExecutorError: The client lacks a method that the executor needs.
    """

    def __init__(  # noqa: PLR0913 - all by name, each with a default
        self,
        client: Any,
        router: Router | None = None,
        *,
        module: str = MODULE,
        shim: ExitShim | None = None,
        every_s: float = 5.0,
        stream: bool | str = True,
        close_after_s: float | None = None,
        takes_over: Callable[[tuple[OpenOrder, ...]], frozenset[str]] | None = None,
        on_pass: Callable[[list[Protection]], object] | None = None,
    ) -> None:
        if every_s < SHORTEST_S:
            raise ValueError(f"every_s={every_s!r} is invalid; expected at least {SHORTEST_S:g} second")
        bare = asking_client(unwrap(client))
        check_methods(bare)
        self._client = bare
        self._shim = shim or default_shim()
        self.account = self._shim.account_of(bare)
        self._shim.remember(bare)
        self.every_s = every_s
        self.on_pass = on_pass
        self._route = None if router is None else plan_function(router)
        self._close_after_ms = None if close_after_s is None else int(close_after_s * 1000)
        self._takes_over = takes_over or Takeover(self._shim.guard, self._shim.mode, self.account, module)
        self._given: dict[tuple[str, str], ExitPlan] = {}
        self._latest: dict[Key, Protection] = {}
        self._pauses_s: dict[Key, float] = {}
        self._access_problems: tuple[str, ...] | None = None
        self._has_rules = False
        self._recorded_at = time.monotonic()

        report = self._shim.internal_errors.report
        self.agenda = Agenda()
        self._used = self._shim.guard.snapshots.used.at(exchange_of(self.account))
        self._limits = OrderLimits()
        self._runner = runner_for(bare, self._shim, module, self._heed)
        self._tenure = Tenure(self._shim.journal, self.account, report)
        self._announcements = Announcements(self._shim.log)
        self._streams, self._why_no_stream = self._make_streams(stream, report)
        # Not the bound method: the keeper is replaced where the lease passes on.
        self._reads = AccountReads(lambda: self._keeper.symbols(), self._used.spend, self._log_seen)  # noqa: PLW0108
        self._keeper = self._make_keeper()
        self._shim.guard.switches.on_turn.append(weakly(self._heed_switch))
        is_async = isinstance(self._runner, AsyncRunner)
        self._driver = TaskDriver(self) if is_async else ThreadDriver(self)

    def _make_keeper(self, before: Keeper | None = None) -> Keeper:
        library = support_of(self._client)
        streams = self._streams
        keeper = Keeper(
            account=self.account,
            plan_for=self._plan_for,
            record=self._shim.recorder.record,
            takes_over=self._takes_over,
            has_algo_orders=library.has_algo_orders(getattr(self._client, library.commands["place"])),
            close_after_ms=self._close_after_ms,
            price_of=(lambda _symbol, _working: None) if streams is None else streams.price_of,
            read=self._reads.read,
            may_send=self._limits.may_send,
        )
        if before is not None:
            keeper.take_over_from(before)
        # The set that the journal's switches keep up to date.
        keeper.paused = self._shim.guard.switches.paused
        return keeper

    def _make_streams(
        self, stream: bool | str, report: Callable[[str, Exception], None]
    ) -> tuple[Streams | None, str | None]:
        """Return what listens, or why nothing does."""
        if not stream:
            return None, None
        address = stream if isinstance(stream, str) else None
        clone = clone_client(self._client) if can_be_cloned(self._client) else None
        why = why_not(clone, address)
        if clone is None or why is not None:
            return None, why
        streams = Streams(
            self.agenda,
            clone=clone,
            address=address,
            on_trouble=report,
            may_wake=lambda: self._used.has_room_for(weight_of_symbol()),
        )
        return streams, None

    # What a bot calls

    def ensure_protection(self, symbol: str, plan: ExitPlan) -> Any:
        """Hold the position of a symbol to a plan; one pass, which does nothing where nothing is to do.

        The plan stays in force for the positions of its symbol and side, before what the router says.

        Returns:
            The `Protection` of that position; of an AsyncClient, to be awaited.
        """
        self._given[symbol, plan.position_side] = plan
        return self._runner.run(self._ensure(symbol, plan), self._prepare())

    def protect(self, symbol: str | None = None, *, dry_run: bool = False) -> Any:
        """Do one pass over the positions of a symbol, or of the account.

        Args:
            symbol: The symbol; None for all of the account.
            dry_run: Whether to say only what would be done; nothing is sent but reads, and nothing recorded.

        Returns:
            A list of `Protection`; of an AsyncClient, to be awaited. Where it is empty although positions
            are open, `problems` says why.
        """
        if dry_run:
            return self._runner.run(self._dry_pass(symbol), self._recall)
        return self._runner.run(self._pass(symbol), self._prepare())

    def check(self) -> Any:
        """Ask whether the key may read and trade, and what time it is, which `start` does too.

        Returns:
            What is wrong, as a tuple of sentences; of an AsyncClient, to be awaited.
        """
        return self._runner.run(self._check())

    def take_lease(self) -> str | None:
        """Take the account over unless another executor of the journal has it; return who that is."""
        self._take_up()
        return self._keeper.held_by

    def start(self) -> None:
        """Keep every planned position protected, on a thread or as a task, until `stop`.

        Raises:
            RuntimeError: The system gives no more threads; no event loop is running, for an AsyncClient.
        """
        self.agenda.want(None)
        if not self._driver.start():
            raise RuntimeError("cannot start the executor's thread: the system gives no more threads")
        _started.add(self)
        if self._shim.journal is None:
            self._announcements.warn([WITHOUT_JOURNAL])
        if self._streams is not None:
            self._streams.start()
        elif self._why_no_stream is not None:
            error = StreamError(f"{self._why_no_stream}; the exchange is polled every {self.every_s:g} s")
            self._announcements.warn([f"there is no user data stream: {error}"])

    def stop(self) -> Any:
        """Stop; a pass that is under way is finished, and every order stays as it is. Awaitable if async."""
        _started.discard(self)
        if self._streams is not None:
            self._streams.stop()
        if isinstance(self._driver, TaskDriver):
            return self._stop_task(self._driver)
        self._driver.stop()
        self._tenure.end()
        self._runner.close()
        return None

    async def _stop_task(self, driver: TaskDriver) -> None:
        await driver.stop()
        await asyncio.to_thread(self._tenure.end)

    def pause(self, symbol: str) -> None:
        """Keep the hands off a symbol until `resume`, in every process of the journal; its orders rest on."""
        self._shim.switch(protect="pause", symbol=symbol)

    def resume(self, symbol: str) -> None:
        """Hold the positions of a symbol to their plans again, in every process of the journal."""
        self._shim.switch(protect="resume", symbol=symbol)

    @property
    def is_running(self) -> bool:
        """Whether it was started and not stopped."""
        return self._driver.is_running

    @property
    def is_listening(self) -> bool:
        """Whether what happens at the exchange is heard at once; else it is polled."""
        return self._streams is not None and self._streams.are_heard

    @property
    def protections(self) -> Mapping[tuple[str, str], Protection]:
        """The latest of each position, by symbol and position side."""
        return {(key.symbol, key.position_side): each for key, each in self._latest.items()}

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with the key, the clock or the reads, in sentences; empty where nothing is."""
        read = () if self._reads.problem is None else (self._reads.problem,)
        return tuple(dict.fromkeys((*(self._access_problems or ()), *read)))

    @property
    def why_no_stream(self) -> str | None:
        """Why no stream will say what happens; None where one will, or none was asked for."""
        return self._why_no_stream

    # Passes

    def do_due(self) -> Any:
        """Do the passes that are due; the driver calls this."""
        return self._runner.run(self._do_due(), self._prepare())

    def fail(self, error: Exception) -> None:
        """Report a pass that failed, and have another one done; the driver calls this."""
        self.agenda.want(None, self.every_s)
        self._shim.internal_errors.report("hold the positions to their plans", error)

    def _do_due(self) -> Requests[None]:
        quiet_s = self._used.quiet_s()
        if quiet_s:
            # Asking on would have the address banned.
            self.agenda.delay(quiet_s)
            self._announcements.warn([f"the exchange limits requests; the next pass is in {quiet_s:.0f} s"])
            return
        for symbol in self._passes_for(self.agenda.take_due()):
            if symbol is None:
                self._record_anew()
                yield from self._check_anew()
                # Before the pass: what is wanted while it runs must not be put off.
                self.agenda.put_off(None, self._interval_s())
            yield from self._pass(symbol)

    def _passes_for(self, due: list[str | None]) -> list[str | None]:
        """Return the passes to do for what is due: by symbol, or one over the account where that is less."""
        symbols = frozenset(symbol for symbol in due if symbol is not None)
        self._reads.expected = symbols
        is_much = len(symbols) > 1 and len(symbols) * weight_of_symbol() >= self._reads.weight()
        return [None] if None in due or is_much else due

    def _interval_s(self) -> float:
        is_heard = self.is_listening and self._keeper.held_by is None
        return max(AT_REST_S, self.every_s) if is_heard else self.every_s

    def _record_anew(self) -> None:
        """Record each position once a day, so that pruning the journal does not lose what is known of it."""
        now = time.monotonic()
        if now - self._recorded_at >= DAY_S:
            self._recorded_at = now
            for episode in self._keeper.episodes.values():
                self._shim.recorder.record(describe_event(episode, "note", "it is still held"))

    def _check_anew(self) -> Requests[None]:
        """Check key and clock at the start, and for as long as something is wrong; learn all rules."""
        before = self._access_problems
        if before is None or before or not self._has_rules:
            problems = yield from self._check()
            self._announcements.warn(problem for problem in problems if problem not in (before or ()))

    def _check(self) -> Requests[tuple[str, ...]]:
        # No stop is to wait for the rules of its contract.
        also = () if self._has_rules else (Request("rules", {}),)
        offset_ms = getattr(self._client, "timestamp_offset", 0)
        self._access_problems, answers = yield from check_access(offset_ms, also)
        self._has_rules = self._has_rules or self._keeper.learn_rules(answers[0])
        return self._access_problems

    def _ensure(self, symbol: str, plan: ExitPlan) -> Requests[Protection]:
        protections = yield from self._pass(symbol)
        sides = {"BOTH", plan.position_side}
        matching = (each for each in protections if each.position_side in sides)
        missing = Protection(
            account=self.account,
            symbol=symbol,
            position_side=plan.position_side,
            state="FLAT" if self._reads.problem is None else "UNKNOWN",
            problem=self._reads.problem,
        )
        return next(matching, missing)

    def _pass(self, symbol: str | None) -> Requests[list[Protection]]:
        protections = yield from self._keeper.protect(symbol)
        problems = self.problems
        if problems:
            protections = [_with_problem(each, problems[0]) for each in protections]
        self._latest = {
            **{key: each for key, each in self._latest.items() if symbol not in {None, key.symbol}},
            **{Key(each.symbol, each.position_side): each for each in protections},
        }
        if self._streams is not None:
            self._streams.wait_for(self._wakes())
        if self.is_running:
            for each in protections:
                self._follow_up(each)
        self._announcements.tell(protections)
        if self.on_pass is not None:
            with self._shim.internal_errors.guarded("tell on_pass"):
                self.on_pass(protections)
        return protections

    def _dry_pass(self, symbol: str | None) -> Requests[list[Protection]]:
        keeper = self._keeper.for_dry_run(functools.partial(self._reads.read, dry_run=True))
        protections: list[Protection] = []
        for _ in range(MOST_DRY_PASSES):
            protections = yield from keeper.protect(symbol, dry_run=True)
            # What may have been done before is asked for first, and the steps follow from the answers.
            if not any(isinstance(step, LookUp) for each in protections for step in each.steps):
                break
        return protections

    def _heed_switch(self, switch: Switch) -> None:
        if switch.protect is not None:
            self.agenda.want(switch.symbol)

    def _follow_up(self, each: Protection) -> None:
        """Have a position with something left to do looked at again, with growing pauses."""
        key = Key(each.symbol, each.position_side)
        is_at_rest = each.state in {"PROTECTED", "FLAT", "NO_PLAN", "HANDS_OFF"}
        if is_at_rest and not each.steps:
            self._pauses_s.pop(key, None)
            return
        # What was placed is listed in a moment; a refused leg has a pause of its own.
        pause_s = self._pauses_s.get(key, FOLLOW_UP_S)
        if all(isinstance(step, Wait) for step in each.steps):
            pause_s = max(pause_s, SHORTEST_S)
        self.agenda.want(each.symbol, pause_s)
        self._pauses_s[key] = min(2 * pause_s, max(self.every_s, SHORTEST_S))

    def _wakes(self) -> dict[str, tuple[Wake, ...]]:
        """Return the prices at which there is something to do, by symbol."""
        wakes: dict[str, tuple[Wake, ...]] = {}
        for key, level in self._keeper.wake_prices.items():
            episode = self._keeper.episodes.get(key)
            if level is not None and episode is not None and key.symbol not in self._keeper.paused:
                wakes[key.symbol] = (*wakes.get(key.symbol, ()), Wake(episode.direction, level))
        return wakes

    def _plan_for(self, position: OpenPosition) -> ExitPlan | None:
        plan = self._given.get((position.symbol, position.side))
        return plan if plan is not None or self._route is None else self._route(position)

    def _log_seen(self, seen: Seen, symbol: str | None, asked: int) -> None:
        sight = Sight(seen.positions or (), seen.orders, asked, None if symbol is None else (symbol,))
        with self._shim.internal_errors.guarded("record what the executor saw"):
            self._shim.exchange_log.take_sight(self.account, sight, "executor", self._interval_s())

    def _heed(self, answer: Any) -> None:
        self._used.heed(answer)
        self._limits.heed(answer)

    # Taking up and ending

    def _prepare(self) -> Callable[[], None] | None:
        """Return what has to be done before a pass, which reads files; None where nothing has."""
        return None if self._tenure.is_held else self._take_up

    def _take_up(self) -> None:
        """Take the account over, with what was recorded of it; note who else has it."""
        if self._tenure.is_held:
            return
        held_by = self._tenure.why_not()
        if held_by is None:
            # What this one knew is of old: in between another one may have been at work.
            self._keeper = self._make_keeper(self._keeper)
            self._keeper.remember(self._tenure.last_steps())
        self._keeper.held_by = held_by

    def _recall(self) -> None:
        """Read what was recorded, without taking the account over."""
        if not self._tenure.is_held:
            self._keeper.remember(self._tenure.last_steps())


def _with_problem(protection: Protection, problem: str) -> Protection:
    is_flat = protection.state in {"FLAT", "SWEEPING"}
    if is_flat or protection.problem is not None:
        return protection
    return msgspec.structs.replace(protection, problem=problem)
