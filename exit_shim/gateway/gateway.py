"""Take an order through the six steps: read, attribute, judge, record, send, record.

All steps but the send are guarded: what fails in them is counted and logged, and the order goes out all the
same. The send is the client's own method, called once, with what the bot gave.
"""

import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from exit_shim.clients.answers import read_answers, read_failure
from exit_shim.clients.registry import (
    LIBRARIES,
    fix_client_order_ids,
    is_declared,
    library_of_class,
    support_of_call,
)
from exit_shim.clients.twins import BRIDGES, is_bridged
from exit_shim.domain.answers import Answer
from exit_shim.domain.attributions import (
    CHAIN,
    UNKNOWN_MODULE,
    Attribution,
    Attributor,
    Declared,
    Frame,
)
from exit_shim.domain.decisions import GO, Decision, Judge
from exit_shim.domain.doors import NO_FIELDS, SEVERAL, Door, DoorCall
from exit_shim.domain.events import UNREAD, Intent, Outcome
from exit_shim.domain.orders import KINDS, ExitOrder, Kind, Reach, fields_of_order, may_be_exit
from exit_shim.gateway import sending
from exit_shim.gateway.nesting import NestedCall, within
from exit_shim.gateway.order_call import OrderCall
from exit_shim.gateway.parse_call import Item, TargetLookup, clean, hide, reach_of, read_call
from exit_shim.gateway.recorder import Recorder
from exit_shim.runtime.methods import is_coroutine_method
from exit_shim.runtime.scrubbing import HIDDEN, marks_of_owner

UNREADABLE: Final = [Item(None, ExitOrder(kind="other_exit"))]
NOBODY: Final = Attribution(module=UNKNOWN_MODULE, evidence="unknown")


class Gateway:
    """Take every call of every door through the six steps.

    Args:
        attributor: Says who asked.
        judge: Decides what may leave.
        recorder: Takes every event.
        targets: Finds the orders that a cancel or change is about.
    """

    def __init__(
        self, attributor: Attributor, judge: Judge, recorder: Recorder, targets: TargetLookup
    ) -> None:
        self.finder = attributor.finder
        self.internal_errors = recorder.internal_errors
        self._report = recorder.internal_errors.report
        self._attributor = attributor
        self._declared = attributor.declared
        self._judge = judge
        self._sees_entries = judge.sees_entries  # on an entry's path each look-up tells
        self._recorder = recorder
        self._targets = targets
        self._read_doors: set[str] = set()
        self._entry_calls = CallCount()
        self._entry_coroutines = CallCount()
        self.count_entry = self._entry_calls.add
        self.count_entry_coroutine = self._entry_coroutines.add
        self.owner: object = None
        """Whatever is to live for as long as the gateway."""

    def call(
        self,
        asked: DoorCall,
        method: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        frame: Frame | None,
        bound_at: Any,
    ) -> Any:
        """Carry out one call of a door for the code at `frame`; return or raise what the method does."""
        call = OrderCall(asked, method, args, kwargs)
        decision: Decision = GO
        try:
            items = self._read(call)
            if items and not self._is_inside_of_another(call, items):
                self._attribute(call, items, frame, bound_at)
            if call.intents or (call.nested is None and self._is_wanted(call.door)):
                decision = self._judge.before(call)
        except Exception as error:  # noqa: BLE001 - a bug costs the record or the verdict, never the order
            self._report("read, attribute and judge an order", error)
        return sending.carry_out(self, call, decision)

    def _is_wanted(self, door: Door) -> bool:
        """Return whether the judge wants to see a call without an exit."""
        return self._sees_entries or door.operation == "query"

    def _read(self, call: OrderCall) -> list[Item]:
        """Return the exits that a call carries (step 1); none for an entry, and for a query."""
        method, door, params = call.method, call.door, call.params
        try:
            account_of = self._attributor.account_of
            call.account = (
                account_of(method) if call.identity is None else account_of(method, identity=call.identity)
            )
        except Exception as error:  # noqa: BLE001
            self._report("name the account", error)
        try:
            call.is_async = is_coroutine_method(method)
        except Exception as error:  # noqa: BLE001
            self._report("see whether a method is a coroutine function", error)
        if door.operation == "query":
            return []
        try:
            fix_client_order_ids(door, method, params)
        except Exception as error:  # noqa: BLE001
            self._report("fix a client order id", error)
        kind: Kind | None = None
        if (declared := self._declared()) is not None:
            try:
                kind = declared_kind(declared)
            except Exception as error:  # noqa: BLE001
                self._report("read a declared kind", error)
                kind = "other_exit"
        try:
            # Nearly no process has a bridge, and each call before the send counts.
            call.is_bridged = bool(BRIDGES) and is_bridged(method, door)
            items = read_call(door, params, kind, self._targets, call.account, is_bridged=call.is_bridged)
        except Exception as error:  # noqa: BLE001
            self._report("read an order", error)
            items = UNREADABLE
        if not items:
            self.count_entry()
            return items
        try:
            items = hide(method, params, items)
        except Exception as error:  # noqa: BLE001
            self._report("hide a client's credentials", error)
        call.one_by_one = door.list_fields is SEVERAL
        return items

    def _is_inside_of_another(self, call: OrderCall, items: list[Item]) -> bool:
        """Return whether a call further out has recorded these orders already."""
        call.nested = NestedCall(call.door.operation, [item.order for item in items], call.method)
        outer = within.get()
        if outer is None or not outer.meets(call.nested):
            return False
        # What the bridge sends further in belongs to the call that was recorded.
        call.nested.sent = outer.sent
        return True

    def _attribute(self, call: OrderCall, items: list[Item], frame: Frame | None, bound_at: Any) -> None:
        """Name who asked, and make the intents (step 2)."""
        who, mode, now = NOBODY, "unknown", time.time_ns()
        try:
            who, call.asking = self._attributor.attribute(frame, bound_at)
            if who.evidence == "context":
                who = clean(who, call.method)
        except Exception as error:  # noqa: BLE001
            self._report("attribute an order", error)
        try:
            mode = self._attributor.current_mode()
        except Exception as error:  # noqa: BLE001
            self._report("read the mode", error)
        door = call.door
        store: Reach | None = None
        if door.payload == "symbol":
            store = reach_of(door, call.params, is_bridged=call.is_bridged)
        call.intents = [
            Intent(
                ts=now,
                door=door.method,
                operation=door.operation,
                order=order,
                attribution=who,
                mode=mode,
                account=call.account,
                batch_index=place,
                targets=targets,
                store=store,
                is_bridged=call.is_bridged,
            )
            for place, order, targets in items
        ]

    def record_intents(self, call: OrderCall) -> None:
        """Write down what is about to leave (step 4)."""
        for intent in call.intents:
            # A copy: the bot may use its dict again before the rules are asked.
            if intent.batch_index is None:
                params = dict(call.params)
            else:
                params = dict(fields_of_order(call.params, intent.batch_index))
            call.recorded.append(self._recorder.record(intent, None, params))
        call.presend = time.perf_counter_ns() - call.started

    def record_outcomes(self, call: OrderCall, answers: Sequence[Answer]) -> None:
        """Write down what came of it (step 6)."""
        try:
            times = call.presend / 1000, (time.perf_counter_ns() - call.started) / 1000
            for recorded, answer in zip(call.recorded, answers, strict=False):
                sent = tuple(call.nested.sent) if call.nested is not None and call.nested.sent else ()
                outcome = self._recorder.record(Outcome(*answer, *times, call.chain, sent), recorded)
                if answer.result == "unknown" and self._recorder.on_doubt is not None:
                    self._recorder.on_doubt(call.client, outcome)
        except Exception as error:  # noqa: BLE001
            self._report("conclude an order", error)

    def record_withheld(self, call: OrderCall, intent: Intent, answer: Answer) -> None:
        """Write down an order that is not sent, with what came of it."""
        recorded = self._recorder.record(intent, leaves=False)
        self._recorder.record(Outcome(*answer, *call.times(), call.chain), recorded)

    def record_unsent(self, call: OrderCall, intents: Sequence[Intent], error: BaseException) -> None:
        """Write down orders that were not sent: their caller was ended by a time limit or an interrupt."""
        try:
            call.pause()
            for intent in intents:
                answer = Answer("not_sent", error_message=type(error).__name__)
                self.record_withheld(call, intent, answer)
        except Exception as failure:  # noqa: BLE001
            self._report("record an order that was not sent", failure)

    def record_failure(self, call: OrderCall, error: BaseException) -> None:
        """Record what an exception proves of the orders of a call."""
        try:
            library = support_of_call(call.method, call.library)
            several = call.one_by_one or library.may_send_again(call, error)
            answer = read_failure(error, call.secrets(), one_by_one=several, library=library)
        except Exception as failure:  # noqa: BLE001
            self._report("read an error", failure)
            answer = Answer("unknown", error_message=type(error).__name__)
        self.record_outcomes(call, [answer] * len(call.recorded))

    def record_result(self, call: OrderCall, result: Any) -> None:
        """Record what a returned value says of the orders of a call."""
        try:
            answers = answers_of(call, result)
        except Exception as failure:  # noqa: BLE001
            self._report("read an answer", failure)
            reason = f"the answer could not be read ({type(failure).__name__})"
            answers = [Answer("unknown", error_message=reason)] * len(call.recorded)
        self.record_outcomes(call, answers)

    def look_outwards(self, call: OrderCall) -> None:
        """Capture the outer frames after the send."""
        asking, call.asking = call.asking, None
        if asking is not None:
            try:
                room = CHAIN - len(call.intents[0].attribution.chain)
                call.chain = self.finder.outer(asking, room)
            except Exception as error:  # noqa: BLE001
                self._report("look behind who asked", error)

    # Calls without an exit

    def is_entry(self, door: Door, params: Mapping[str, Any]) -> bool:
        """Return whether a call certainly carries no exit; it is counted, and nothing else is done."""
        try:
            if door.payload == "order" and door.operation == "place":
                # At once: on an entry's path each call tells.
                may = self._sees_entries or may_be_exit(params, door.implies)
            elif door.operation == "query":
                return not self._judge.answers(door, params)
            else:
                may = self._sees_entries or door.may_carry_exit(params)
            if may or self._declared() is not None:
                return False
        except Exception:  # noqa: BLE001 - odd values are read, and reported, further on
            return False
        self.count_entry()
        return True

    def entry_orders(self) -> int:
        """Return how many calls of a door carried no exit, and were not answered with a coroutine."""
        return self._entry_calls.total() - self._entry_coroutines.total()

    def entry_coroutines(self) -> int:
        """Return how many calls without an exit were answered with a coroutine.

        Whether it is awaited is not watched: that would take a coroutine of ours around each, which an
        entry's budget has no room for, and would warn twice where it is never awaited.
        """
        return self._entry_coroutines.total()

    # What a door's call means

    def site(self, frame: Frame | None) -> Any:
        """Return the place that fetches a door's method, for a call that comes without a stack."""
        try:
            return self.finder.find(frame)
        except Exception as error:  # noqa: BLE001
            return self.unreadable(error)

    def unreadable(self, error: Exception) -> Any:
        """Report a stack that cannot be read; the order goes out without evidence."""
        self._report("remember who fetched the method", error)
        return None

    def asked(self, door: Door, args: tuple[Any, ...], kwargs: dict[str, Any]) -> DoorCall | None:
        """Return what a call of a door asks for in Binance's terms; None if none, or unreadable."""
        asked: DoorCall | None = None
        try:
            asked = door.describe(args, kwargs)
        except Exception as error:  # noqa: BLE001
            self._report("read what a call asks for", error)
        if door.method not in self._read_doors:
            if asked is not None:
                self._read_doors.add(door.method)
            elif is_declared(door):
                self._note_unread(door, args, kwargs)
        return asked

    def _note_unread(self, door: Door, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Record the first call of a declared door that was not read as an order, for `exit-shim doctor`."""
        try:
            if (why := door.why_unread(args, kwargs)) is not None:
                self._read_doors.add(door.method)
                self.internal_errors.keep_in_mind(f"{UNREAD}{door.method}", why, is_loud=why is NO_FIELDS)
        except Exception as error:  # noqa: BLE001
            self._report("say why a call was not read", error)


class CallCount:
    """Count calls from any thread; `add` is atomic without a lock, which an entry could not afford."""

    __slots__ = ("_lock", "_looks", "add")

    def __init__(self) -> None:
        self.add: Callable[[], int] = itertools.count().__next__
        self._looks = 0
        self._lock = threading.Lock()

    def total(self) -> int:
        """Return how often `add` was called."""
        with self._lock:
            self._looks += 1
            return self.add() - self._looks + 1


def answers_of(call: OrderCall, result: Any) -> list[Answer]:
    """Return what a returned value says of each intent of a call."""
    intents = call.intents
    places = [intent.batch_index for intent in intents]
    client = getattr(call.method, "__self__", None)
    library = library_of_class(type(client)) if call.library is None else LIBRARIES[call.library]
    asked = intents[0].operation if intents and library is not None else None
    if library is not None and library.read_result is not None:
        result = library.read_result(result)
    answers = read_answers(places, result, asked, call.secrets)
    for place, answer in enumerate(answers):
        name = answer.client_order_id
        # One that went out was looked at before.
        if name is None or name == intents[place].order.client_order_id:
            continue
        if marks_of_owner(call.method).are_in(name):
            answers[place] = answer._replace(client_order_id=HIDDEN)
    return answers


def declared_kind(declared: Declared) -> Kind | None:
    """Return the kind that `attributed` declared; `other_exit` for an unknown one."""
    if declared.kind is None:
        return None
    return cast("Kind", declared.kind) if declared.kind in KINDS else "other_exit"
