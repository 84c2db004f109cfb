"""Compose a shim of its parts; the process-wide one is what `wrap` uses by default."""

import functools
import itertools
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from exit_shim.attribution.attributor import StackAttributor
from exit_shim.attribution.stack import SiteFinder
from exit_shim.bridge.client import Bridge, socket_replacements
from exit_shim.clients.accounts import account_label, label_of
from exit_shim.clients.packages import is_raw_wanted
from exit_shim.clients.patching import Installation, InstallRequest, replace_methods
from exit_shim.clients.proxy import ClientProxy, declared_doors, inside, proxy_class, unwrap
from exit_shim.clients.python_binance import PYTHON_BINANCE
from exit_shim.clients.python_binance_clone import import_early
from exit_shim.clients.registry import DOOR_NAMES, is_genuine, support_of
from exit_shim.clients.seams import twin_with_doors
from exit_shim.clients.submission import Submission, other_symbol, submit
from exit_shim.clients.twins import bridge_of, make_twin, origin_of
from exit_shim.configuration import (
    CurrentMode,
    bridges_in_force,
    check_account,
    check_mode,
    chosen_policy,
    destination_in_force,
    digest,
    is_disabled,
    pace_in_force,
    sinks_in_force,
    sync_in_force,
    with_policy,
)
from exit_shim.domain.doors import Door
from exit_shim.domain.events import (
    Event,
    ExecutorStep,
    Intent,
    InternalError,
    Outcome,
    Record,
    Resolution,
    Switch,
)
from exit_shim.domain.recorded import RecordedEvent
from exit_shim.feeds.account_feeds import AccountFeeds
from exit_shim.feeds.exchange_log import ExchangeLog
from exit_shim.feeds.other_processes import ProcessFeed, who
from exit_shim.gateway.gateway import Gateway
from exit_shim.gateway.recorder import Recorder, is_late
from exit_shim.guard.book import Book
from exit_shim.guard.call_judge import CallJudge
from exit_shim.guard.judge import Guard
from exit_shim.guard.policy import Policy, Roles
from exit_shim.guard.rule_warnings import RuleWarnings
from exit_shim.guard.rules import custom_rules
from exit_shim.journal import Journal, Sync, journal_path
from exit_shim.resolving import FIND_LEFT, Resolver, RetryPolicy
from exit_shim.resolving.from_journal import event_of_resolution, look_up_later, make_resolver
from exit_shim.runtime.background import Dispatch
from exit_shim.runtime.deferred_log import DeferredLog, warn_of_dropped
from exit_shim.runtime.internal_errors import InternalErrors
from exit_shim.runtime.logs import GATEWAY, METRICS
from exit_shim.runtime.reentrancy import ReentrantState
from exit_shim.runtime.service import weakly
from exit_shim.sinks import Sink
from exit_shim.sinks.metrics import ExitOrderMetrics

if TYPE_CHECKING:
    from exit_shim.sinks.postgres import Background

WRITE: Final = "write the journal"
SHIP: Final = "ship the journal"

FLUSH_S: Final = 1.0
"""How long `flush` and `close` wait for sinks and log handlers."""

C = TypeVar("C")


class ExitShim:
    """Hold one configuration and the parts that it makes, for any number of clients.

    Every argument is optional; None means the default, an empty sequence means none.

    Args:
        journal: The path of the journal. None: EXIT_SHIM_JOURNAL, else the platform's state folder. False:
            no journal. If it cannot be written, a warning is logged and orders go out all the same.
        mode: "LEGACY", "EXIT_BRAIN_V3" or a mode of the policy. None: EXIT_MODE, read at each order.
        roles: Who is who among the bot's modules, where there is no policy. None: the defaults of `Roles`.
        policy: Who may do what, and what follows; a `Policy`, or the path of a TOML file. None: the file that
            EXIT_SHIM_POLICY names, else `exit_shim.toml` beside the bot's main script, else what `roles`
            say, which only warns. An error in such a file is logged, and nothing is enforced.
        sinks: Where events go besides the journal and the counts, on a background thread. None: log lines
            through structlog, and OpenTelemetry where EXIT_SHIM_OTEL is 1.
        account: What the account is called, where all clients are of one. None: a label derived from the
            client's API key, which it does not reveal. Unless a client talks to Binance's live host, the host
            is added: `main@testnet`, `main@127.0.0.1:8080`.
        sync: What an order's intent survives before the order leaves. "process": the death of this process at
            any instant. "power": a power failure too, for the price of an `fdatasync`. None: EXIT_SHIM_SYNC,
            else "process".
        resolve: Whether a thread looks up orders in doubt, those of earlier runs too; it only reads. A
            `RetryPolicy` says how patiently. None: yes, unless EXIT_SHIM_RESOLVE is 0. Never for mocks, fakes
            and adapters, nor without a journal.
        ship_to: A PostgreSQL DSN that a thread of this process copies the journal to: postgresql://… None:
            EXIT_SHIM_SHIP_TO, else nowhere. False: nowhere. `exit-shim ship` does the same from outside.
        bridge: Whether old calls about conditional orders keep their contract on today's exchange. It changes
            what is sent; each record says to what. None: no, unless EXIT_SHIM_BRIDGE is 1.

    Raises:
        ValueError: `mode` is not one of the policy's modes, `sync` is neither word, or `account` has an @.
        PolicyError: The policy given here has an error; the text suggests the right word.
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
        bridge: bool | None = None,
    ) -> None:
        compiled, is_fallback = chosen_policy(policy, roles)
        # The mode may be one of the policy that could not be read.
        mode = None if is_fallback and mode not in compiled.modes else mode
        if mode is not None:
            check_mode(mode, compiled.modes, "None")
        check_account(account)
        self._account = account
        self._bridges = bridges_in_force(bridge)
        self.policy = compiled.policy
        self.roles = with_policy(roles or Roles(), self.policy)

        self.dispatch = Dispatch(warn_of_dropped)
        self.dispatch.stop_with(self)
        self.internal_errors = InternalErrors(self.dispatch)
        self.log = DeferredLog(self.dispatch, self.internal_errors)
        report = self.internal_errors.report

        self.bridge = Bridge(self.internal_errors, self.log.warning)
        self.metrics = ExitOrderMetrics()
        self.guard = Guard(compiled, Book(), custom_rules(report), report)
        self._mode = CurrentMode(mode, compiled, self.guard.switches, self.log.warning)
        self.journal = None if journal is False else self._make_journal(journal, sync, mode)
        self.process_feed = ProcessFeed(self.guard, self.journal, weakly(self._record_event), report)
        self.guard.refresh = self.process_feed.refresh
        self.exchange_log = ExchangeLog(weakly(self._record_event))
        self.account_feeds = AccountFeeds(
            self.guard, account, self.exchange_log, weakly(self._record_event), self.internal_errors
        )
        self.resolver = self._make_resolver(pace_in_force(resolve))
        self._shipping = self._make_shipping(destination_in_force(ship_to))
        self.recorder = self._make_recorder(sinks_in_force(sinks))
        if self.journal is not None:
            self.internal_errors.keep = weakly(self._record_internal_error)
        self.gateway = Gateway(self._make_attributor(), CallJudge(self.guard), self.recorder, self.guard.book)
        # A proxy holds the gateway, and so the shim, for as long as it lives.
        self.gateway.owner = self

    # The parts, each with what it gets

    def _make_journal(
        self, path: str | os.PathLike[str] | None, sync: Sync | None, mode: str | None
    ) -> Journal:
        return Journal(
            journal_path(path),
            weakly(self._report_journal),
            sync=sync_in_force(sync),
            account=self._account,
            configuration=digest(self.roles, self.policy, mode),
        )

    def _make_resolver(self, pace: RetryPolicy | None) -> Resolver | None:
        if self.journal is None or pace is None:
            return None
        used = self.guard.snapshots.used
        return make_resolver(
            self.journal, self.internal_errors, pace, weakly(self._tell_resolution), used=used
        )

    def _make_shipping(self, dsn: str | None) -> "Background | None":
        if dsn is None or self.journal is None:
            return None
        # A wrong DSN or a missing library costs a logged error, not the bot.
        try:
            from exit_shim.sinks.postgres import Background  # noqa: PLC0415 - an extra, for those who use it

            return Background(self.journal.path, dsn, weakly(self._report_shipping))
        except Exception as error:  # noqa: BLE001
            self._report_shipping(error)
            return None

    def _make_recorder(self, sinks: Sequence[Sink]) -> Recorder:
        rules, fold = RuleWarnings(self.guard), self.guard.book.fold
        rules.recorder = Recorder(
            self.journal,
            {
                Intent: [fold, self.guard.mark_judged] if self.guard.enforces else [],
                Outcome: [fold, self.process_feed.on, self.metrics.take],
                Resolution: [fold],
                ExecutorStep: [fold],
            },
            # Sinks get an outcome before its findings, but for those that wait for both.
            [*itertools.filterfalse(is_late, sinks), rules, *filter(is_late, sinks)],
            self.dispatch,
            self.internal_errors,
            weakly(self._look_up_later),
        )
        return rules.recorder

    def _make_attributor(self) -> StackAttributor:
        roles = self.roles
        finder = SiteFinder(
            roles.passthrough,
            layers=DOOR_NAMES,
            in_app=roles.in_app,
            not_in_app=roles.not_in_app,
            aliases=roles.aliases,
        )
        account_of = functools.partial(account_label, name=self._account)
        return StackAttributor(finder, self._mode.read, account_of)

    # What a bot calls

    def wrap(self, client: C, *, doors: Sequence[Door] = (), bridge: bool | None = None) -> C:
        """Return a transparent proxy around `client`; see `exit_shim.wrap`."""
        if is_disabled():
            return unwrap(client)
        if issubclass(type(client), ClientProxy) and not doors:
            own: Any = client
            if own._self_gateway is self.gateway:  # noqa: SLF001
                return client
        self.begin()
        bare: Any = unwrap(client)
        self._find_left_in_doubt(bare)
        self.remember(bare)
        library = support_of(bare)
        if library is not PYTHON_BINANCE:
            self._prepare_to_ask()
        if library.calls_itself:
            with self.internal_errors.guarded("put doors inside a client"):
                bare = twin_with_doors(bare, self.gateway)
        # A bridged client stays one, unless the caller says otherwise.
        wanted = True if bridge is None and bridge_of(inside(client)) is not None else bridge
        if self._is_bridged(wanted) and library is PYTHON_BINANCE and is_genuine(bare):
            bare = self.bridged(bare)
        proxy: Any = proxy_class(library, (*declared_doors(client), *doors))(bare, self.gateway)
        return proxy  # type: ignore[no-any-return]

    def install(
        self,
        *,
        threads: bool = False,
        doors: Mapping[type, Sequence[Door]] | None = None,
        bridge: bool | None = None,
        raw: bool | None = None,
    ) -> "Installation[ExitShim]":
        """Send the calls of every supported client through this shim; see `exit_shim.install`."""
        if is_disabled():
            return Installation(self, None)
        self.begin()
        self._prepare_to_ask()
        replacements = self.bridge.replacements if self._is_bridged(bridge) else None
        is_raw = is_raw_wanted() if raw is None else raw
        return Installation(self, InstallRequest(self, doors or {}, threads, replacements, is_raw))

    def bridged(self, client: Any) -> Any:
        """Return a twin of a client that is not wrapped, whose old calls keep their contract."""
        replace_methods(socket_replacements)
        origin = origin_of(client)
        return make_twin(origin, self.bridge.methods_for(type(origin)))

    def _prepare_to_ask(self) -> None:
        """Import what the exchange is asked with, which a bot of another library has not imported."""
        # During an order's look it would take too long.
        if self.guard.enforces:
            import_early()

    def _is_bridged(self, wanted: bool | None) -> bool:
        """Return whether a client is to be bridged."""
        return self._bridges if wanted is None else wanted

    def begin(self) -> None:
        """Open the journal, read its switches and start the threads, before orders come."""
        if self.journal is not None:
            self.journal.open()
            with self.internal_errors.guarded("read the switches"):
                self.process_feed.read_switches()
            self.process_feed.start()
        if self._shipping is not None:
            self._shipping.start()

    def watch(self, client: Any, *, every: float = 30.0, stream: bool | str = False) -> None:
        """Compare the book with the exchange now and then; see `exit_shim.watch`."""
        self.account_feeds.watch(unwrap(client), every_s=every, stream=stream)
        self.remember(unwrap(client))
        self.process_feed.start()

    def feed_user_event(self, event: Mapping[str, Any], client: Any) -> None:
        """Take an event of the bot's own user data stream into the book; see `exit_shim.feed_user_event`."""
        with self.internal_errors.guarded("take in an event of the user data stream"):
            self.account_feeds.take_event(event, client if isinstance(client, str) else unwrap(client))
            self.process_feed.start()

    def delegate(self, symbol: str, *, to: str, within: float = 30.0) -> None:
        """Give the exits of a symbol to an owner; see `exit_shim.delegate`."""
        if not to.strip() or within <= 0:
            raise ValueError(
                f"delegate({symbol!r}, to={to!r}, within={within!r}): `to` must name a module, and `within` "
                "be seconds above zero"
            )
        self.guard.delegations.give(symbol, to, within)
        self.process_feed.start()

    def take_back(self, symbol: str) -> None:
        """Undo `delegate`."""
        self.guard.delegations.take_back(symbol)

    def switch(
        self,
        *,
        mode: str | None = None,
        enforce: bool | None = None,
        protect: Literal["pause", "resume"] | None = None,
        symbol: str | None = None,
        by: str | None = None,
    ) -> None:
        """Change the mode, what may be held back, or an executor's work, in every process of this journal.

        Args:
            mode: One of the policy's modes; "" for what environment and code say. None: as it is.
            enforce: False switches all enforcement off. None: as it is.
            protect: Whether exit executors act on `symbol`; "pause" leaves its orders as they are.
            symbol: The symbol to pause or resume.
            by: Who does it, for the record. None: the user that this process runs as.

        Raises:
            ValueError: `mode` is not one of the policy's, or `protect` comes without a symbol.
        """
        if mode:
            check_mode(mode, self.guard.compiled_policy.modes, "''")
        if (protect is None) != (symbol is None):
            raise ValueError(f"switch(protect={protect!r}, symbol={symbol!r}): give both or neither")
        on_or_off: Literal["on", "off"] | None = None if enforce is None else "on" if enforce else "off"
        self.process_feed.switch(
            Switch(by=by or who(), mode=mode, enforce=on_or_off, protect=protect, symbol=symbol)
        )

    def mode(self) -> str:
        """Return the mode in force: by a switch, code, EXIT_MODE or the policy, in this order."""
        return self._mode.read()

    async def submit(
        self,
        module_name: str,
        symbol: str,
        order_params: Mapping[str, Any],
        order_kind: str,
        client: Any,
        explanation: str | None = None,
    ) -> Any:
        """Place one exit order in the name of a module; see `exit_shim.submit_exit_order`."""
        bare, gateway = unwrap(client), None if is_disabled() else self.gateway
        if gateway is not None:
            # Nothing may have been wrapped before.
            if self._shipping is not None:
                self._shipping.start()
            with self.internal_errors.guarded("compare the symbols of a submission"):
                symbols = other_symbol(bare, symbol, order_params)
                if symbols is not None:
                    text = "submit_exit_order was told another symbol; it is sent as the order says"
                    self.log.warning(f"{GATEWAY} {text}", **symbols)
        return await submit(gateway, bare, Submission(module_name, order_kind, order_params, explanation))

    def account_of(self, client: Any) -> str | None:
        """Return the label that records have for a client's account."""
        return label_of(unwrap(client), self._account)

    def remember(self, client: Any) -> None:
        """Remember a client that is not wrapped, to ask with for raw requests of its account."""
        with self.internal_errors.guarded("remember a client"):
            client = origin_of(client)
            self.guard.snapshots.clients.remember(client, label_of(client, self._account))

    def summary(self) -> dict[str, Any]:
        """Return the counts, and the state of the shim itself; JSON-ready."""
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
        """Log the counts in one line."""
        self.log.info(f"{METRICS} exit orders so far", **self.summary())

    def flush(self, timeout_s: float = FLUSH_S) -> bool:
        """Wait until all orders so far are in the journal's file, in the log and with the sinks.

        Returns:
            False where the file cannot be written, or a sink or log handler takes longer than `timeout_s`.
        """
        is_told = self.dispatch.flush(timeout_s)
        return (self.journal is None or self.journal.flush()) and is_told

    def close(self) -> None:
        """Flush within a second or two, stop all threads and close the journal; a later order starts anew."""
        if self.resolver is not None:
            self.resolver.stop()
        self.process_feed.stop()
        self.account_feeds.stop()
        self.guard.snapshots.close()
        # What these threads found is still logged, and in the journal before that is closed.
        self.dispatch.flush(FLUSH_S)
        self.dispatch.stop()
        if self.journal is not None:
            self.journal.close()
        if self._shipping is not None:
            self._shipping.stop()

    # What the parts call; weakly, for their threads must not keep the shim alive

    def _record_event(self, event: Event) -> None:
        self.recorder.record(event)

    def _record_internal_error(self, step: str, text: str) -> None:
        # A journal that cannot be written cannot take the news of that either.
        if step != WRITE:
            self.recorder.record(InternalError(step, text))

    def _report_journal(self, error: Exception) -> None:
        self.internal_errors.report(WRITE, error)

    def _report_shipping(self, error: Exception) -> None:
        self.internal_errors.report(SHIP, error)

    def _tell_resolution(self, record: Record) -> None:
        event = event_of_resolution(record)
        if event is not None:
            self.recorder.tell(event)

    def _look_up_later(self, client: Any, recorded: RecordedEvent) -> None:
        if self.resolver is None:
            return
        if recorded.about is not None and isinstance(recorded.about.event, Intent):
            client = self.guard.snapshots.clients.asking(client, recorded.about.event.account)
        look_up_later(self.resolver, client, recorded)

    def _find_left_in_doubt(self, client: Any) -> None:
        if self.resolver is not None:
            with self.internal_errors.guarded(FIND_LEFT):
                self.resolver.add_client(client, label_of(client, self._account))


class _Making(ReentrantState):
    """Let one thread at a time make the process-wide shim."""

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


_default: ExitShim | None = None
_making = _Making()


def default_shim() -> ExitShim:
    """Return the process-wide shim, made from the environment on first use."""
    global _default  # noqa: PLW0603 - there is one per process, by design
    with _making:
        if _default is None:
            _default = ExitShim()
        return _default


def forget_default_shim() -> None:
    """Close and drop the process-wide shim; the next use makes one from the environment of then."""
    global _default  # noqa: PLW0603
    with _making:
        if _default is not None:
            _default.close()
        _default = None
