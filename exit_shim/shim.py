"""The object that holds the parts together, and the process-wide one that `wrap` uses by default."""

import asyncio
import contextlib
import functools
import inspect
import os
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, ParamSpec, TypeVar

from exit_shim.attribution.attribute import attributed
from exit_shim.attribution.attributor import StackAttributor
from exit_shim.attribution.stack import CallSite, SiteFinder
from exit_shim.clients.accounts import account_label, label_of
from exit_shim.clients.patching import Installation, InstallRequest
from exit_shim.clients.proxy import (
    BoundDoor,
    ClientProxy,
    Unpickling,
    bind_door,
    declared_doors,
    proxy_class,
    rebind_at,
    unpickle_with,
    unwrap,
)
from exit_shim.clients.registry import DOOR_NAMES, can_be_cloned, clone_client, support_of
from exit_shim.clients.support import ClientClone
from exit_shim.configuration import (
    SHIP_VARIABLE,
    chosen_policy,
    digest,
    is_disabled,
    pace_in_force,
    raw_mode,
    sync_in_force,
    with_policy,
)
from exit_shim.domain.accounts import exchange_of
from exit_shim.domain.doors import Door, DoorCall
from exit_shim.domain.events import (
    GuardFinding,
    Intent,
    InternalError,
    Outcome,
    Record,
    Resolution,
    Switch,
)
from exit_shim.domain.modes import BRAIN_FLAG_VARIABLE, MODE_VARIABLE, resolve_mode
from exit_shim.domain.recorded import RecordedEvent
from exit_shim.feeds import LISTEN, StreamError, UserStreamListener, take_in, why_not
from exit_shim.feeds.exchange_poller import ExchangePoller
from exit_shim.feeds.other_processes import ProcessFeed, who
from exit_shim.gateway.gateway import Gateway
from exit_shim.gateway.recorder import Recorder
from exit_shim.guard.book import Book
from exit_shim.guard.call_judge import CallJudge
from exit_shim.guard.judge import Guard
from exit_shim.guard.policy import Policy, Roles
from exit_shim.guard.rule_warnings import RuleWarnings
from exit_shim.guard.rules import custom_rules
from exit_shim.journal import Journal, Sync, journal_path
from exit_shim.resolving import FIND_LEFT, RetryPolicy
from exit_shim.resolving.from_journal import make_resolver
from exit_shim.runtime.background import MAX_WAITING, Dispatch
from exit_shim.runtime.internal_errors import InternalErrors
from exit_shim.runtime.logs import GATEWAY, METRICS, MODE, logger
from exit_shim.runtime.methods import is_coroutine_method
from exit_shim.runtime.reentrancy import ReentrantState
from exit_shim.runtime.scrubbing import scrub, secrets_of
from exit_shim.sinks import Sink
from exit_shim.sinks.log import LogSink
from exit_shim.sinks.metrics import ExitOrderMetrics

if TYPE_CHECKING:
    from exit_shim.sinks.postgres import Background

WRITE: Final = "write the journal"

FLUSH_S: Final = 1.0
"""How long `flush` and `close` wait for sinks and log handlers."""

C = TypeVar("C")
P = ParamSpec("P")


class ExitShim:
    """One configuration: journal, roles, mode, sinks and counts, for any number of clients.

    Everything is optional; None means the default, an empty sequence means none.

    Args:
        journal: Path of the journal. None: EXIT_SHIM_JOURNAL, else the platform's state folder. False: no
            journal. A path that cannot be written costs a warning and the record, never an order.
        mode: "LEGACY" or "EXIT_BRAIN_V3". None: the environment's EXIT_MODE, read at each order.
        roles: Who is legacy, executor and owner. None: the defaults of `Roles`.
        policy: Who may do what, and what follows; a `Policy`, or the path of a TOML file. None: the file that
            EXIT_SHIM_POLICY names, else `exit_shim.toml` beside the bot's main script, else what `roles`
            say, which only warns. An error in a file that was found so is logged, and nothing is enforced.
        sinks: Where concluded orders go besides journal and metrics, soon after, on a thread of the shim's
            own. None: log lines through structlog.
        account: What the account is called. None: a label derived from the client's API key, which does not
            give it away. Of clients that do not talk to Binance's live host, what is recorded goes on with
            where they do: `main@testnet`, `main@127.0.0.1:8080`.
        sync: What an order's intent survives before the order leaves: "process", the death of this process at
            any instant; "power", the loss of power too, for the price of an `fdatasync`. None:
            EXIT_SHIM_SYNC, else "process".
        resolve: Whether a thread asks the exchange what became of orders in doubt, those of earlier runs too;
            it only reads. A `Pace` says how patiently. None: yes, unless EXIT_SHIM_RESOLVE is 0. Never for
            mocks, fakes and adapters, nor without a journal.
        ship_to: A PostgreSQL to ship the journal to, from a thread of this process: postgresql://… None:
            EXIT_SHIM_SHIP_TO, else nowhere. False: nowhere. Without it, `exit-shim ship` does the same.

    Raises:
        ValueError: `mode` is not one of the policy's modes, `sync` neither of the two, or `account` has an @.
        PolicyError: The policy given here has an error; the text has the nearest right word.
    """

    def __init__(  # noqa: PLR0913 - all by name, each with a default
        self,
        *,
        journal: str | os.PathLike[str] | Literal[False] | None = None,
        mode: str | None = None,
        roles: Roles | None = None,
        policy: Policy | str | os.PathLike[str] | None = None,
        sinks: Sequence[Sink] | None = None,
        account: str | None = None,
        sync: Sync | None = None,
        resolve: bool | RetryPolicy | None = None,
        ship_to: str | Literal[False] | None = None,
    ) -> None:
        compiled_policy, is_fallback = chosen_policy(policy, roles)
        modes = tuple(compiled_policy.modes)
        if is_fallback and mode not in modes:
            mode = None  # it may be one of the policy that could not be read
        if mode is not None and mode not in modes:
            raise ValueError(f"mode={mode!r} is no mode; it must be one of {', '.join(modes)}, or None")
        if exchange_of(account):
            raise ValueError(f"account={account!r} has an @, behind which the shim says where orders went")
        self.metrics = ExitOrderMetrics()
        self.roles = with_policy(roles or Roles(), compiled_policy.policy)
        self.policy = compiled_policy.policy
        self._mode = mode
        self._modes: dict[object, str] = {}
        self.dispatch = Dispatch(warn_of_dropped)
        weakref.finalize(self, self.dispatch.stop).atexit = False
        self.internal_errors = InternalErrors(self.dispatch)
        self.guard = Guard(
            compiled_policy, Book(), custom_rules(self.internal_errors.report), self.internal_errors.report
        )
        self.journal = (
            None
            if journal is False
            else Journal(
                journal_path(journal),
                weakly(self._journal_trouble),
                sync=sync_in_force(sync),
                account=account,
                configuration=digest(self.roles, self.policy, mode),
            )
        )
        self.watcher = ProcessFeed(
            self.guard, self.journal, weakly(self._record_finding), self.internal_errors.report
        )
        self.guard.refresh = self.watcher.refresh
        self._pollers: list[ExchangePoller] = []
        self._listeners: list[UserStreamListener] = []
        if self.journal is not None:
            self.internal_errors.keep = weakly(self._keep_internal_error)
        pace = pace_in_force(resolve)
        self.resolver = (
            None
            if self.journal is None or pace is None
            else make_resolver(
                self.journal,
                self.internal_errors,
                pace,
                weakly(self._tell_resolution),
                used=self.guard.snapshots.used,
            )
        )
        self._account = account
        self._shipping = self._ship(ship_to)
        rules = RuleWarnings(self.guard)
        self.recorder = rules.recorder = Recorder(
            self.journal,
            {
                Intent: [self.guard.book.fold, self.guard.mark_judged] if self.guard.enforces else [],
                Outcome: [self.guard.book.fold, self.watcher.on, self.metrics.take],
                Resolution: [self.guard.book.fold],
            },
            # The rules come last: their findings are told after the outcome.
            [*([LogSink()] if sinks is None else sinks), rules],
            self.dispatch,
            self.internal_errors,
            weakly(self._look_up_later),
        )
        self.gateway = Gateway(
            StackAttributor(
                SiteFinder(
                    self.roles.passthrough,
                    layers=DOOR_NAMES,
                    in_app=self.roles.in_app,
                    not_in_app=self.roles.not_in_app,
                    aliases=self.roles.aliases,
                ),
                self.mode,
                functools.partial(account_label, name=account),
            ),
            CallJudge(self.guard),
            self.recorder,
            self.guard.book,
        )

    def wrap(self, client: C, *, doors: Sequence[Door] = ()) -> C:
        """A transparent proxy around `client`; wrapping twice is wrapping once. See `exit_shim.wrap`."""
        if is_disabled():
            return unwrap(client)
        if issubclass(type(client), ClientProxy) and not doors:
            own: Any = client
            if own._self_gateway is self.gateway:  # noqa: SLF001
                return client
        self.begin()
        self._meet(unwrap(client))
        bare: Any = unwrap(client)
        proxy: Any = proxy_class(support_of(bare), (*declared_doors(client), *doors))(bare, self.gateway)
        return proxy  # type: ignore[no-any-return]

    def install(
        self, *, threads: bool = False, doors: Mapping[type, Sequence[Door]] | None = None
    ) -> "Installation[ExitShim]":
        """Have every python-binance client of this process go through this shim. See `exit_shim.install`."""
        if is_disabled():
            return Installation(self, None)
        self.begin()
        return Installation(self, InstallRequest(self, doors or {}, threads))

    def begin(self) -> None:
        """What `wrap` and `install` do before orders come: open the journal, follow its switches, ship it."""
        if self.journal is not None:
            self.journal.open()
            with self._unhurt("read the switches"):
                self.watcher.begin()
            self.watcher.run()
        if self._shipping is not None:
            self._shipping.start()

    def watch(self, client: Any, *, every: float = 30.0, stream: bool | str = False) -> None:
        """Hold the book against positions and both order stores. See `exit_shim.watch`."""
        bare = unwrap(client)
        is_async = is_coroutine_method(getattr(bare, support_of(bare).reads["positions"]))
        clone = clone_client(bare) if can_be_cloned(bare) else None
        if every < 1 or (is_async and clone is None):
            raise ValueError(
                f"watch(a {type(bare).__name__}, every={every!r}) needs a sync client, or an AsyncClient "
                "that really sends, and at least a second"
            )
        account = label_of(bare, self._account)
        poller = ExchangePoller(
            guard=self.guard,
            client=clone.client() if is_async and clone is not None else bare,
            follows=bare if is_async else None,
            account=account,
            every_s=every,
            on_finding=weakly(self._record_finding),
            on_trouble=self.internal_errors.report,
        )
        self._pollers.append(poller)
        if stream:
            self._listen(clone, account, stream if isinstance(stream, str) else None, poller)
        poller.start()
        self.watcher.run()

    def _listen(
        self, clone: ClientClone | None, account: str | None, address: str | None, poller: ExchangePoller
    ) -> None:
        why = why_not(clone, address)
        if why is not None or clone is None:
            self.internal_errors.report(
                LISTEN,
                StreamError(f"{why}; the exchange is looked at every {poller.every_s:g} s all the same"),
            )
            return
        listener = UserStreamListener(
            book=self.guard.book,
            clone=clone,
            account=account,
            address=address,
            look_soon=poller.look_soon,
            expire=self.guard.snapshots.expire,
            hears=self.guard.snapshots.hears,
            on_trouble=self.internal_errors.report,
        )
        self._listeners.append(listener)
        listener.start()

    def feed_user_event(self, event: Mapping[str, Any], client: Any) -> None:
        """Take in an event that the bot's own user data stream has told. See `exit_shim.feed_user_event`."""
        with self._unhurt("take in an event of the user data stream"):
            account = client if isinstance(client, str) else label_of(unwrap(client), self._account)
            gap = take_in(self.guard.book, account, event, self.guard.snapshots.expire)
            self.watcher.run()
            for poller in self._pollers:
                if gap is not None and poller.account == account:
                    self.guard.book.trust.lose(account, f"the user data stream was interrupted: {gap.why}")
                    poller.look_soon()

    def delegate(self, symbol: str, *, to: str, within: float = 30.0) -> None:
        """Give the exits of a symbol to an owner. See `exit_shim.delegate`."""
        if not to.strip() or within <= 0:
            raise ValueError(
                f"delegate({symbol!r}, to={to!r}, within={within!r}): `to` must name a module, and `within` "
                "be seconds above zero"
            )
        self.guard.delegations.give(symbol, to, within)
        self.watcher.run()

    def take_back(self, symbol: str) -> None:
        """Undo `delegate`."""
        self.guard.delegations.take_back(symbol)

    def switch(self, *, mode: str | None = None, enforce: bool | None = None, by: str | None = None) -> None:
        """Change the mode, or whether the policy may hold orders back, in every process of this journal.

        Args:
            mode: One of the policy's modes; "" for what environment and code say. None: as it is.
            enforce: False switches all enforcement off. None: as it is.
            by: Who does it, for the record. None: the user that this process runs as.

        Raises:
            ValueError: `mode` is not one of the policy's.
        """
        if mode and mode not in self.guard.compiled_policy.modes:
            known = ", ".join(self.guard.compiled_policy.modes)
            raise ValueError(f"mode={mode!r} is no mode; it must be one of {known}, or ''")
        self.watcher.switch(
            Switch(by=by or who(), mode=mode, enforce=None if enforce is None else "on" if enforce else "off")
        )

    def mode(self) -> str:
        """The mode in force now: by a switch, code, EXIT_MODE or the policy; problems are logged once."""
        if (switched := self.guard.switches.mode) is not None:
            return switched
        if self._mode is not None:
            return self._mode
        written = raw_mode()
        if (known := self._modes.get(written)) is None:
            known, problems = resolve_mode(
                os.environ.get(MODE_VARIABLE) or self.policy.mode,
                os.environ.get(BRAIN_FLAG_VARIABLE),
                tuple(self.guard.compiled_policy.modes),
            )
            self._modes[written] = known
            for problem in problems:
                self._warn(f"{MODE} {problem}")
        return known

    async def submit(
        self,
        module_name: str,
        symbol: str,
        order_params: Mapping[str, Any],
        order_kind: str,
        client: Any,
        explanation: str | None = None,
    ) -> Any:
        """Place one exit order in the name of a module, without relying on the stack.

        A sync client is called on a worker thread, so the event loop goes on. Returns what the client
        returns and raises what it raises; `order_params` are sent as they are.
        """
        bare = unwrap(client)
        door = DOOR_NAMES[support_of(bare).place_order]
        method = getattr(bare, door.method)
        if issubclass(type(method), BoundDoor):
            method = method.__wrapped__
        is_async = is_coroutine_method(method)
        place = method
        if not is_disabled():
            if self._shipping is not None:  # nothing may have been wrapped before
                self._shipping.start()
            self._hold_against(symbol, order_params, client)
            site = self.gateway.site(sys._getframe(1))  # noqa: SLF001
            place = functools.partial(self._place, method, door, site)
        with attributed(module_name, kind=order_kind, explanation=explanation):
            placing = place(**order_params) if is_async else await asyncio.to_thread(place, **order_params)
            return await placing if inspect.isawaitable(placing) else placing

    def _place(self, method: Any, door: Door, site: CallSite | None, /, **params: Any) -> Any:
        return self.gateway.call(DoorCall(door, params), method, (), params, None, site)

    def summary(self) -> dict[str, Any]:
        """The metrics, and how the shim itself fares; JSON-ready."""
        return {
            **self.metrics.get_summary(),
            "entry_orders": self.gateway.entry_orders(),
            "entry_coroutines": self.gateway.entry_coroutines(),
            "internal_errors": self.internal_errors.count,
            "events_dropped": self.dispatch.dropped,
            "journal": None if self.journal is None else self.journal.health()._asdict(),
            "shipping": None if self._shipping is None else self._shipping.health()._asdict(),
        }

    def log_summary(self) -> None:
        """One log line with the counts."""
        self.dispatch.hand_over(self._log, "info", f"{METRICS} exit orders so far", self.summary())

    def flush(self, timeout_s: float = FLUSH_S) -> bool:
        """Have all orders concluded so far in the journal's file, in the log and with the sinks.

        Returns:
            False where the file would not take them, or a sink or log handler did not within `timeout_s`.
        """
        is_told = self.dispatch.flush(timeout_s)
        return (self.journal is None or self.journal.flush()) and is_told

    def close(self) -> None:
        """Flush, within a second or two, let go of the journal, and ask about no order in doubt any more.

        A later order begins all of it again.
        """
        if self.resolver is not None:
            self.resolver.stop()
        self.watcher.stop()
        for threads in (self._listeners, self._pollers):
            while threads:
                threads.pop().stop()
        self.guard.snapshots.close()
        # What these threads found is still logged, and in the journal before that is closed.
        self.dispatch.flush(FLUSH_S)
        self.dispatch.stop()
        if self.journal is not None:
            self.journal.close()
        if self._shipping is not None:
            self._shipping.stop()

    def _ship(self, ship_to: str | Literal[False] | None) -> "Background | None":
        """What ships the journal in this process; a DSN that is none costs a logged error, not the bot."""
        dsn = os.environ.get(SHIP_VARIABLE) if ship_to is None else ship_to
        if not dsn or self.journal is None or is_disabled():
            return None
        try:
            from exit_shim.sinks.postgres import Background  # noqa: PLC0415 - an extra, for those who use it

            shipping = Background(self.journal.path, dsn, weakly(self._shipping_trouble))
            weakref.finalize(self, shipping.request_stop).atexit = False
            return shipping  # noqa: TRY300 - what is in here may fail, all of it
        except Exception as error:  # noqa: BLE001
            self._shipping_trouble(error)
            return None

    def _tell_resolution(self, record: Record) -> None:
        """Tell everybody of a resolution that the resolver has written down."""
        if record.resolution is not None:
            about = RecordedEvent(record.run_id, record.seq, record.intent)
            self.recorder.tell(RecordedEvent(record.run_id, record.seq, record.resolution, about))

    def _look_up_later(self, client: Any, recorded: RecordedEvent) -> None:
        """Have the resolver ask what became of an order that ended in doubt."""
        about, outcome = recorded.about, recorded.event
        if self.resolver is None or about is None or not isinstance(outcome, Outcome):
            return
        if isinstance(about.event, Intent):
            self.resolver.add_order(client, Record(about.run_id, about.seq, about.event, outcome))

    def _record_finding(self, finding: GuardFinding) -> None:
        self.recorder.record(finding)

    def _keep_internal_error(self, step: str, text: str) -> None:
        if step != WRITE:  # of which that would only make more
            self.recorder.record(InternalError(step, text))

    def _meet(self, client: Any) -> None:
        """Take up what earlier runs left in doubt of the client's account."""
        if self.resolver is not None:
            with self._unhurt(FIND_LEFT):
                self.resolver.add_client(client, label_of(client, self._account))

    def _hold_against(self, symbol: str, order_params: Mapping[str, Any], client: Any) -> None:
        with self._unhurt("compare the symbols of a submission"):
            sent = getattr(order_params, "get", {"symbol": symbol}.get)("symbol")
            if sent != symbol:
                hidden = secrets_of(unwrap(client), {})
                self._warn(
                    f"{GATEWAY} submit_exit_order was told another symbol; it is sent as the order says",
                    told=scrub(str(symbol), hidden),
                    sent=scrub(str(sent), hidden),
                )

    def _warn(self, text: str, **fields: Any) -> None:
        self.dispatch.hand_over(self._log, "warning", text, fields)

    def _log(self, level: str, text: str, fields: dict[str, Any]) -> None:
        with self._unhurt(f"log at level {level}"):
            getattr(logger(), level)(text, **fields)

    @contextlib.contextmanager
    def _unhurt(self, step: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - a log that fails must not keep an order from going out
            self.internal_errors.report(step, error)

    def _shipping_trouble(self, error: Exception) -> None:
        self.internal_errors.report("ship the journal", error)

    def _journal_trouble(self, error: Exception) -> None:
        self.internal_errors.report(WRITE, error)


def weakly(method: Callable[P, None]) -> Callable[P, None]:
    """Return a method for a thread that must not be what keeps its object alive."""
    reference = weakref.WeakMethod(method)

    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        if (method := reference()) is not None:
            method(*args, **kwargs)

    return call


def warn_of_dropped(count: int) -> None:
    """Log that sinks and log handlers were too slow for all that there was to tell."""
    logger().warning(
        f"{GATEWAY} {count} events were dropped while {MAX_WAITING} others waited for a sink or log handler "
        "that took its time; the journal has the orders among them"
    )


class _Making(ReentrantState):
    """Makes one process-wide shim, not two."""

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


_default: ExitShim | None = None
_making = _Making()


def default_shim() -> ExitShim:
    """The process-wide shim, made from the environment on first use."""
    global _default  # noqa: PLW0603 - there is one per process, by design
    with _making:
        if _default is None:
            _default = ExitShim()
        return _default


def forget_default_shim() -> None:
    """Close and drop the process-wide shim, so that the next use makes one from the environment of then."""
    global _default  # noqa: PLW0603
    with _making:
        if _default is not None:
            _default.close()
        _default = None


def wrap(client: C, *, shim: ExitShim | None = None, doors: Sequence[Door] = ()) -> C:
    """A transparent proxy around a python-binance client, a fake or an adapter.

    Every exit order placed through it is attributed to the module that asked, judged, written to the
    journal before it leaves, sent unchanged, and concluded with what came back. Idempotent. With
    EXIT_SHIM_DISABLED=1 it is the client itself.

    Args:
        client: The client that the bot has; sync or async.
        shim: The configuration to use; None for the process-wide one.
        doors: Methods of the client's own class that place, change or cancel orders, besides
            python-binance's.
    """
    return (shim or default_shim()).wrap(client, doors=doors)


def wrap_unpickled(client: C, doors: Sequence[Door] = ()) -> C:
    """Wrap a client that was pickled as a proxy, in the process where it arrived."""
    return default_shim().wrap(client, doors=doors)


def bind_unpickled(method: Any, doors: Sequence[Door], bound_at: CallSite | None = None) -> Any:
    """Bind a method that was pickled as a door's, in the process where it arrived.

    Args:
        method: The client's own method.
        doors: The door; empty where it could not be pickled.
        bound_at: Who fetched it: in a process of a pool there may be no other trace of the bot.
    """
    if not doors or is_disabled():
        return method
    bound = bind_door(method, doors[0], default_shim().gateway, sys._getframe().f_back)  # noqa: SLF001
    if bound_at is not None:
        rebind_at(bound, bound_at)
    return bound


unpickle_with(Unpickling(wrap_unpickled, bind_unpickled))
