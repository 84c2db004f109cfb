"""The only path of an order: read, attribute, judge, intend, send, conclude.

All steps but the send are guarded: what fails in them is counted and logged, and the order goes out all
the same. The send is the client's own method, called once, with what the bot gave.
"""

import asyncio
import functools
import itertools
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import CoroutineType
from typing import Any, Final, cast

import msgspec

from exit_shim.attribution.attribute import Declared, attribute, declared
from exit_shim.attribution.stack import CHAIN, Frame, Site, SiteFinder
from exit_shim.clients.accounts import account_label, is_genuine
from exit_shim.clients.answers import Answer, read_answers, read_failure
from exit_shim.clients.doors import (
    DOOR_NAMES,
    NO_FIELDS,
    SEVERAL,
    Door,
    DoorCall,
    fix_client_order_ids,
    is_coroutine_method,
)
from exit_shim.domain.attributions import UNKNOWN_MODULE, Attribution, Step
from exit_shim.domain.events import UNREAD, Intent, Outcome, Record
from exit_shim.domain.orders import KINDS, ExitOrder, Kind, may_be_exit
from exit_shim.domain.verdicts import ALLOWED
from exit_shim.gateway.nesting import NestedCall, within
from exit_shim.gateway.parse_call import Item, clean, hide, read_call
from exit_shim.guard import (
    Gap,
    Guard,
    Place,
    Sights,
    WithheldAnswers,
    WithheldCall,
    answer_query,
    end_suppressed,
    override_denial,
    unsent,
)
from exit_shim.guard.book import Book, BookEntry
from exit_shim.guard.policy import Roles
from exit_shim.journal import Journal
from exit_shim.runtime.context_variables import set_variable
from exit_shim.runtime.internal_errors import InternalErrors
from exit_shim.runtime.scrubbing import HIDDEN, marks_of_owner, secrets_of
from exit_shim.sinks import Sink
from exit_shim.sinks.deferred import DeferredSinks

UNREADABLE: Final = [Item(None, ExitOrder(kind="other_exit"))]
OTHER: Final[Kind | None] = "other_exit"
UNNOTED: Final[BookEntry | None] = None
NO_STEPS: Final[tuple[Step, ...]] = ()
HIDE: Final = "hide a client's credentials"
NO_SECRETS: Final[tuple[str, ...]] = ()
NOBODY: Final[tuple[Attribution, Frame | None]] = (
    Attribution(module=UNKNOWN_MODULE, evidence="unknown"),
    None,
)
ACCEPTED: Final = Answer("accepted")
NO_PLACES: Final[Sequence[tuple[Place, bool]]] = ()
GUARD_FAILED: Final = Gap("the_guard_failed")
UNNUMBERED: Final = itertools.repeat(0)


class OrderCall:
    """The exits of one call on their way out: what each is, its `seq` once journalled (0 before), the clock.

    `one_by_one`: an adapter's method may send its orders one after the other, so an error may be of any.
    `presend` and `total` are nanoseconds; `restart` is for a coroutine, whose clock stands still between
    its making and its first step. `sent_at` is when the client's method was called, in seconds since the
    epoch, None before. `asking` is the frame that asked, for as long as it is there for certain. `touched`
    is what its sending makes obsolete: accounts, each with a symbol or, for all, None.
    """

    __slots__ = (
        *("asking", "chain", "layer", "method", "one_by_one", "params"),
        *("presend", "sent_at", "seqs", "started", "intents", "touched"),
    )

    def __init__(
        self,
        layer: NestedCall,
        method: Callable[..., Any],
        params: Mapping[str, Any],
        started: int,
    ) -> None:
        self.layer = layer
        self.method = method
        self.params = params
        self.one_by_one = False
        self.started = started
        self.presend = 0
        self.sent_at: float | None = None
        self.intents: Sequence[Intent] = ()
        self.seqs: list[int] = []
        self.asking: Frame | None = None
        self.chain: tuple[Step, ...] = ()
        self.touched: tuple[tuple[str | None, str | None], ...] = ()

    def client(self) -> Any:
        """Whose method it is; None where that does not show."""
        return getattr(self.method, "__self__", None)

    def pause(self) -> None:
        """Take the time that the shim has spent so far."""
        self.presend = time.perf_counter_ns() - self.started

    def restart(self) -> None:
        """Let the clock go on from what `pause` took."""
        self.started = time.perf_counter_ns() - self.presend

    def total(self) -> int:
        """Nanoseconds since the call was entered."""
        return time.perf_counter_ns() - self.started


class CallCount:
    """Counts calls from any thread; `add` is atomic without a lock, the dearest part of an entry."""

    __slots__ = ("_lock", "_looks", "add")

    def __init__(self) -> None:
        self.add: Callable[[], int] = itertools.count().__next__
        self._looks = 0
        self._lock = threading.Lock()

    def total(self) -> int:
        """Return how often `add` was called; each look at a count adds to it."""
        with self._lock:
            self._looks += 1
            return self.add() - self._looks + 1


class Gateway:
    """Takes every order of every door through the six steps.

    Args:
        roles: Who is an executor, and what is the bot's own code.
        guard: Judges each order.
        current_mode: The EXIT_MODE of this moment.
        journal: Where intents and outcomes are written down; None for nowhere.
        sinks: Where concluded orders go at once.
        apart: Where they go soon after, once the rules that only warn were asked.
        account: What the account is called instead of by its API key.
        troubles: Takes note of what fails in the shim itself.
        in_doubt: Told, with the client, of each order that ended in doubt; None for nobody.
    """

    def __init__(  # noqa: PLR0913 - all by name: how each step is done is given
        self,
        *,
        roles: Roles,
        guard: Guard,
        current_mode: Callable[[], str],
        journal: Journal | None,
        sinks: Sequence[Sink],
        apart: DeferredSinks,
        account: str | None,
        internal_errors: InternalErrors,
        in_doubt: Callable[[Any, Record], None] | None = None,
    ) -> None:
        self.finder = SiteFinder(
            roles.passthrough,
            layers=DOOR_NAMES,
            in_app=roles.in_app,
            not_in_app=roles.not_in_app,
            aliases=roles.aliases,
        )
        self._guard = guard
        self._current_mode = current_mode
        self._journal = journal
        self._sinks = tuple(sinks)
        self._apart = apart
        self._account = account
        self.internal_errors = internal_errors
        self._in_doubt = in_doubt
        self._or = internal_errors.otherwise
        self._book: Book = guard.book
        self._read: set[str] = set()
        self._entry_calls = CallCount()
        self._entry_coroutines = CallCount()
        self._count_entry = self._entry_calls.add
        self.count_entry_coroutine = self._entry_coroutines.add

    def entry_orders(self) -> int:
        """Return how many calls of a door carried no exit, and were not answered with a coroutine."""
        return self._entry_calls.total() - self._entry_coroutines.total()

    def entry_coroutines(self) -> int:
        """Return how many calls without an exit were answered with a coroutine.

        Whether it is awaited is not watched: that would take a coroutine of the shim's around each, which an
        entry's budget has no room for, and would warn twice where it is never awaited.
        """
        return self._entry_coroutines.total()

    def site(self, frame: Frame | None) -> Site | None:
        """The place that fetches a door's method, remembered for a call that comes without a stack."""
        try:
            return self.finder.find(frame)
        except Exception as error:  # noqa: BLE001
            return self.unreadable(error)

    def unreadable(self, error: Exception) -> Site | None:
        """Take note of a stack that cannot be read; it costs the evidence, not the order."""
        self.internal_errors.note("remember who fetched the method", error)
        return None

    def is_entry(self, door: Door, params: Mapping[str, Any]) -> bool:
        """True for a call that certainly carries no exit; it is counted, and nothing else is done."""
        try:
            if door.payload == "order" and door.operation == "place":
                may = may_be_exit(params, door.implies)  # at once: on an entry's path each call tells
            elif door.operation == "query":
                return not self._guard.is_asked_for(door, params)
            else:
                may = door.may_carry_exit(params)
            if may or declared.get() is not None:
                return False
        except Exception:  # noqa: BLE001 - odd values are read, and reported, further on
            return False
        self._count_entry()
        return True

    def asked(self, door: Door, args: tuple[Any, ...], kwargs: dict[str, Any]) -> DoorCall | None:
        """What a call of a door asks for in Binance's terms; None: nothing of ours, or not to be read."""
        nothing: DoorCall | None = None
        found = self._or(nothing, "read what a call asks for", door.asked, args, kwargs)
        if door.method not in self._read:
            if found is not None:
                self._read.add(door.method)
            elif DOOR_NAMES.get(door.method) is not door:
                self._or(None, "tell why a call was not read", self._unread, door, args, kwargs)
        return found

    def _unread(self, door: Door, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Keep the first call of a declared door that is none of an order's, for `exit-shim doctor`."""
        if (why := door.why_unread(args, kwargs)) is not None:
            self._read.add(door.method)
            self.internal_errors.keep_in_mind(f"{UNREAD}{door.method}", why, is_loud=why is NO_FIELDS)

    def call(
        self,
        asked: DoorCall,
        method: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        frame: Frame | None,
        bound_at: Site | None,
    ) -> Any:
        """Carry out one call of a door for the code at `frame`; returns or raises what the method does."""
        passage, is_async = None, False
        if asked.door.operation == "query":
            account = self._or(self._account, "name the account", account_label, method, self._account)
            answer = self._or(None, "answer a query", answer_query, self._guard, asked, method, account)
            return method(*args, **kwargs) if answer is None else answer
        try:
            passage = self._prepare(asked, method, frame, bound_at)
            is_async = passage is not None and is_coroutine_method(method)
        except Exception as error:  # noqa: BLE001
            self.internal_errors.note("read, attribute and judge an order", error)
        if passage is None:
            return self._pass(asked, method, args, kwargs)
        # Who enforces no more still answers for what was suppressed.
        may_hold = self._guard.enforces or asked.door.operation != "place"
        if may_hold and any(one.verdict.is_held for one in passage.intents):
            return self._hold(WithheldCall(self._guard, asked, method, args, kwargs), passage)
        if asked.door.payload == "symbol":
            self._or(None, "end suppressed orders", end_suppressed, self._guard, passage.intents)
        if is_async:
            self._look_outwards(passage)
            return self._named(self._send_async(passage, method, args, kwargs), method)
        return self._send(passage, method, args, kwargs)

    def _pass(
        self,
        asked: DoorCall,  # noqa: ARG002 - for who wants to know
        method: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Send a call that carries no exit."""
        return method(*args, **kwargs)

    def _prepare(
        self, asked: DoorCall, method: Callable[..., Any], frame: Frame | None, bound_at: Site | None
    ) -> OrderCall | None:
        """Steps 1 to 3: what the orders are, who asked, what the policy says. None: no exit among them."""
        started = time.perf_counter_ns()
        door, params = asked
        account = self._or(self._account, "name the account", account_label, method, self._account)
        said = declared.get()
        kind = None if said is None else self._or(OTHER, "read a declared kind", declared_kind, said)
        self._or(None, "fix a client order id", fix_client_order_ids, door, method, params)
        items = self._or(UNREADABLE, "read an order", read_call, door, params, kind, self._book, account)
        if not items:
            self._count_entry()
            if is_coroutine_method(method):
                self.count_entry_coroutine()
            return None
        items = self._or(items, HIDE, hide, method, params, items)
        layer, outer = NestedCall(door.operation, [item.order for item in items], method), within.get()
        passage = OrderCall(layer, method, params, started)
        passage.one_by_one = door.list_fields is SEVERAL
        if outer is not None and outer.meets(layer):
            return passage
        who, passage.asking = self._or(NOBODY, "attribute an order", attribute, self.finder, frame, bound_at)
        mode, now = self._or("unknown", "read the mode", self._current_mode), time.time_ns()
        if who.evidence == "context":
            who = self._or(who, HIDE, clean, who, method)
        store = door.reaches(params)
        passage.intents = [
            Intent(
                ts=now,
                door=door.method,
                operation=door.operation,
                order=order,
                attribution=who,
                mode=mode,
                account=account,
                batch_index=place,
                targets=targets,
                store=store,
            )
            for place, order, targets in items
        ]
        for intent in passage.intents:
            verdict = self._or(ALLOWED, "judge an order", self._guard.judge, intent, params)
            if verdict is not ALLOWED:
                msgspec.structs.force_setattr(intent, "verdict", verdict)  # nobody else has it yet
        passage.pause()
        return passage

    def _hold(self, holding: WithheldCall, passage: OrderCall) -> Any:
        """Instead of steps 4 and 5, where the guard denies an order: part, all or, after a look, nothing."""
        self._look_outwards(passage)
        if holding.is_awaited:
            return self._named(self._hold_async(holding, passage), holding.method)
        places = self._or(NO_PLACES, "find what to look at", holding.places, passage.intents)
        # What is raised from here on is the caller's own, such as a time limit by a signal: it gets it.
        try:
            self._part(holding, passage, holding.look(places))
        except BaseException as error:
            self._conclude_unsent(passage, error)
            raise
        if holding.sends:
            return self._send(passage, holding.rest, holding.args, holding.kwargs)
        return holding.answer()

    async def _hold_async(self, holding: WithheldCall, passage: OrderCall) -> Any:
        passage.restart()
        places = self._or(NO_PLACES, "find what to look at", holding.places, passage.intents)
        try:
            self._part(holding, passage, await holding.look_async(places))
        except BaseException as error:
            self._conclude_unsent(passage, error)
            raise
        if holding.sends:
            return await self._send_async(passage, holding.rest_async, holding.args, holding.kwargs)
        return holding.answer()

    def _conclude_unsent(self, passage: OrderCall, error: BaseException) -> None:
        """Write down what was asked for and not sent: its caller gave up by a time limit or an interrupt."""
        try:
            passage.pause()
            times = passage.presend / 1000, passage.total() / 1000
            answer = Answer("not_sent", error_message=type(error).__name__)
            for intent in map(unsent, passage.intents):
                self._record(intent, Outcome(*answer, *times, passage.chain), passage)
        except Exception as failure:  # noqa: BLE001
            self.internal_errors.note("record an order that was not sent", failure)

    def _part(self, holding: WithheldCall, passage: OrderCall, sights: Sights) -> None:
        """Write down and conclude what is held back, and leave in the passage what goes out."""
        nothing: tuple[Sequence[Intent], Sequence[WithheldAnswers]] = (
            [override_denial(intent, GUARD_FAILED) for intent in passage.intents],
            (),
        )
        passage.intents, held = self._or(nothing, "hold an order back", holding.part, passage.intents, sights)
        passage.pause()
        times = passage.presend / 1000, passage.total() / 1000
        for intent, answer, _ in held:
            self._record(intent, Outcome(*answer, *times, passage.chain), passage)

    def _record(self, intent: Intent, outcome: Outcome, passage: OrderCall) -> None:
        """Write down an order that does not leave, with what came of it."""
        seq = 0
        if self._journal is not None:
            seq = self._or(0, "journal an intent", self._journal.intend, intent)
        self._finish(seq, intent, outcome, passage)

    def _intend(self, passage: OrderCall) -> None:
        """Step 4: into the journal, before anything leaves."""
        if (journal := self._journal) is not None:
            for intent in passage.intents:
                passage.seqs.append(self._or(0, "journal an intent", journal.intend, intent))
        if self._book.expects:
            for intent in passage.intents:
                self._or(None, "tell the book", self._book.expect, intent)
        passage.sent_at = time.time()
        passage.pause()

    def _send(
        self, passage: OrderCall, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        self._intend(passage)
        outer = within.get()
        try:  # from here on: an interrupt amid this must not leave the layer behind
            set_variable(within, passage.layer)
            result = method(*args, **kwargs)
        except BaseException as error:
            self._look_outwards(passage)
            self._conclude_failure(passage, error)
            raise
        finally:
            within.set(outer)  # nothing of ours is called, which an interrupt could end before it did this
        self._look_outwards(passage)
        if type(result) is CoroutineType:  # a plain function around an async client
            return self._named(self._follow(passage, result), method)
        if issubclass(type(result), asyncio.Future):  # not isinstance: a lazy object's `__class__` acts
            result.add_done_callback(functools.partial(self._conclude_future, passage))
            return result
        self._conclude_result(passage, result)
        return result

    def _look_outwards(self, passage: OrderCall) -> None:
        """What else is to be known of the stack, while it is there and the order is no longer waiting."""
        asking, passage.asking = passage.asking, None
        if asking is not None:
            room = CHAIN - len(passage.intents[0].attribution.chain)
            passage.chain = self._or(NO_STEPS, "look behind who asked", self.finder.outer, asking, room)

    async def _send_async(
        self,
        passage: OrderCall,
        method: Callable[..., Coroutine[Any, Any, Any]],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        passage.restart()
        self._intend(passage)
        try:
            sending = method(*args, **kwargs)
        except BaseException as error:
            self._conclude_failure(passage, error)
            raise
        return await self._follow(passage, sending)

    async def _follow(self, passage: OrderCall, sending: Coroutine[Any, Any, Any]) -> Any:
        outer = within.get()
        try:
            set_variable(within, passage.layer)
            result = await sending
        except BaseException as error:
            self._conclude_failure(passage, error)
            raise
        finally:
            within.set(outer)  # nothing of ours is called, which an interrupt could end before it did this
        self._conclude_result(passage, result)
        return result

    def _conclude_future(self, passage: OrderCall, future: "asyncio.Future[Any]") -> None:
        if future.cancelled():
            self._conclude_failure(passage, asyncio.CancelledError())
        # Not `exception()`: the loop would no longer tell of an error that nobody awaits.
        elif (error := future._exception) is not None:  # noqa: SLF001
            self._conclude_failure(passage, error)
        else:
            self._conclude_result(passage, future.result())

    def _conclude_failure(self, passage: OrderCall, error: BaseException) -> None:
        client = self._or(None, "find the client", passage.client)
        secrets = self._or(NO_SECRETS, "find the secrets of a call", secrets_of, client, passage.params)
        unreadable = Answer("unknown", error_message=type(error).__name__)
        read = functools.partial(read_failure, one_by_one=passage.one_by_one)
        answer = self._or(unreadable, "read an error", read, error, secrets)
        self._conclude(passage, [answer] * len(passage.intents))

    def _conclude_result(self, passage: OrderCall, result: Any) -> None:
        intents = passage.intents
        found = self._or(None, "read an answer", answers, passage, result)
        self._conclude(passage, [ACCEPTED] * len(intents) if found is None else found)

    def _conclude(self, passage: OrderCall, found: Sequence[Answer]) -> None:
        """Step 6: the journal first, then whoever else wants to know."""
        try:
            passage.layer.close()
            times = passage.presend / 1000, passage.total() / 1000
            seqs = passage.seqs if self._journal else UNNUMBERED
            for seq, intent, answer in zip(seqs, passage.intents, found, strict=False):
                record = self._finish(seq, intent, Outcome(*answer, *times, passage.chain), passage)
                if answer.result == "unknown" and self._in_doubt is not None:
                    self._or(None, "look up an order in doubt", self._in_doubt, passage.client(), record)
        except Exception as error:  # noqa: BLE001
            self.internal_errors.note("conclude an order", error)

    def _finish(self, seq: int, intent: Intent, outcome: Outcome, passage: OrderCall) -> Record:
        journal = self._journal
        if journal is not None and seq:
            self._or(None, "journal an outcome", journal.conclude, seq, outcome)
        noted = self._or(UNNOTED, "keep the book", self._guard.note, intent, outcome, passage.params)
        run_id = "" if journal is None else journal.run_id
        record = Record(run_id, seq, intent, outcome, sent_at=passage.sent_at)
        self._emit(record)
        find = None if noted is None else functools.partial(self._guard.findings, noted)
        self._or(None, "hand a record on", self._apart.tell, record, find)
        return record

    def _emit(self, record: Record) -> None:
        for sink in self._sinks:
            try:
                sink.emit(record)
            except Exception as error:  # noqa: BLE001, PERF203 - one sink's failure is not another's
                self.internal_errors.note(f"sink {type(sink).__name__}", error)

    def _named(
        self, coroutine: Coroutine[Any, Any, Any], method: Callable[..., Any]
    ) -> Coroutine[Any, Any, Any]:
        """Give the coroutine the client's own names, which warnings and task dumps show."""
        own = cast("Any", coroutine)
        for name in ("__name__", "__qualname__"):
            given = self._or(None, "name a coroutine", getattr, method, name, None)
            if isinstance(given, str):
                setattr(own, name, given)
        return coroutine


def answers(passage: OrderCall, result: Any) -> list[Answer]:
    """What a returned value says of each submission."""
    places = [intent.batch_index for intent in passage.intents]
    asked = passage.intents[0].operation if places and is_genuine(passage.client()) else None
    found = read_answers(places, result, asked)
    for place, (answer, intent) in enumerate(zip(found, passage.intents, strict=True)):
        name = answer.client_order_id
        # One that went out was looked at before.
        is_known = name is None or name == intent.order.client_order_id
        if not is_known and marks_of_owner(passage.method).are_in(name or ""):
            found[place] = answer._replace(client_order_id=HIDDEN)
    return found


def declared_kind(said: Declared | None) -> Kind | None:
    """The kind that `attributed` declared; one that we do not know is `other_exit`, never an error."""
    if said is None or said.kind is None:
        return None
    return cast("Kind", said.kind) if said.kind in KINDS else "other_exit"
