"""Carry out the steps of one position: written down, sent, and the answer taken into its episode."""

import copy
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from exit_shim.clients.answers import read_failure
from exit_shim.domain.answers import Answer
from exit_shim.domain.events import ExecutorStep
from exit_shim.errors import ExitOrderDenied
from exit_shim.executor import requests
from exit_shim.executor.contract_rules import ContractRules
from exit_shim.executor.episode import Doubt, Episode, Refusal
from exit_shim.executor.failures import ROOM_TAKEN, pause_ms, rung_of
from exit_shim.executor.memory import describe_event, describe_step
from exit_shim.executor.order_ids import CLOSE, HARD, OwnId, is_looked_up, is_take
from exit_shim.executor.position_orders import others_take
from exit_shim.executor.protection import best_guarded
from exit_shim.executor.requests import Request, Requests
from exit_shim.executor.steps import Amend, Cancel, Close, LookUp, Place, Scene, Step
from exit_shim.guard.amounts import to_decimal
from exit_shim.guard.exchange_snapshot import price, read_position, rows

GONE_AFTER_MS: Final = 2_000
"""An order without an answer counts as never arrived after this, and two denials of the exchange."""

ENOUGH_ABSENCES: Final = 2

ENDED: Final = frozenset({"FILLED", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH", "REJECTED", "FINISHED"})

DEEPER: Final = Decimal("0.01")
"""By how much of the price an IOC order goes deeper into a thin book with each try."""

NO_SUCH_ORDER: Final = -2013
THIN_BOOK: Final = -4131


class StepSender:
    """Send steps, one after the other.

    Args:
        record: Writes a step down before it is sent.
        forget_rules: Has the rules of a contract read again.
        has_algo_orders: Whether the client sends conditional orders to the Algo Service.
        now_ms: The clock.
        may_send: Whether a step may be sent now.
    """

    def __init__(
        self,
        *,
        record: Callable[[ExecutorStep], object],
        forget_rules: Callable[[str], object],
        has_algo_orders: bool,
        now_ms: Callable[[], int],
        may_send: Callable[[Step], bool] = lambda _: True,
    ) -> None:
        self._record = record
        self._forget_rules = forget_rules
        self._has_algo_orders = has_algo_orders
        self._now_ms = now_ms
        self._may_send = may_send

    def for_dry_run(self) -> "StepSender":
        """Return a copy that records nothing."""
        twin = copy.copy(self)
        twin._record = lambda _: None  # noqa: SLF001 - this class's own
        return twin

    def carry_out(self, episode: Episode, steps: Iterable[Step], scene: Scene) -> Requests[tuple[Step, ...]]:
        """Carry out steps in order; return those that changed something."""
        done: list[Step] = []
        has_failed = False
        for step in steps:
            if has_failed and not _only_adds(step):
                # It was decided upon as if the stops before it had been placed and cancelled.
                continue
            if isinstance(step, LookUp):
                yield from self._look_up(episode, step)
            elif isinstance(step, Close):
                yield from self._close(episode, step, scene)
            elif isinstance(step, Place | Amend | Cancel):
                if self._may_send(step) and (yield from self._change(episode, step, scene)):
                    done.append(step)
                elif isinstance(step, Cancel) or not is_take(step.leg):
                    has_failed = True
        return tuple(done)

    def _change(self, episode: Episode, step: Place | Amend | Cancel, scene: Scene) -> Requests[bool]:
        """Send one change, written down before; return whether the exchange took it."""
        stops = [order for order in scene.orders if order.is_protective]
        self._record(describe_step(episode, step, best_guarded(stops, episode.size)))
        try:
            yield from requests.send(self._request(episode, step))
        except Exception as error:  # noqa: BLE001 - each is read for what it proves
            self._note_failure(episode, step, error)
            return False
        if step.leg is not None:
            episode.refusals.pop(step.leg, None)
        if isinstance(step, Place):
            self._note_placed(episode, step.name)
        elif isinstance(step, Amend):
            episode.amended[step.order.name] = step.quantity, step.price
        elif step.leg is not None and not is_take(step.leg):
            # Of a take the fills are looked up.
            ended = step.order.client_order_id
            episode.resting = {name for name in episode.resting if str(name) != ended}
        return True

    def _request(self, episode: Episode, step: Place | Amend | Cancel) -> Request:
        if isinstance(step, Place):
            return requests.place(episode, step, has_algo_orders=self._has_algo_orders)
        return requests.amend(episode, step) if isinstance(step, Amend) else requests.cancel(step)

    def _note_placed(self, episode: Episode, name: OwnId) -> None:
        episode.note_number(name)
        if is_looked_up(name.leg):
            episode.resting.add(name)

    def _note_failure(self, episode: Episode, step: Place | Amend | Cancel | Close, error: Exception) -> None:
        """Take in that the exchange did not take a step, or did not say so."""
        answer = _read(error)
        if answer.result == "unknown":
            # What became of a cancel or an amendment, the next lists show.
            if isinstance(step, Place):
                episode.doubts[step.leg] = Doubt(step.name, self._now_ms())
            return
        rung = rung_of(answer)
        if rung.reaction == "gone" or isinstance(step, Cancel):
            return
        if rung.reaction == "rules":
            self._forget_rules(episode.symbol)
        before = episode.refusals.get(step.leg)
        tries = 1 if before is None or before.code != answer.error_code else before.tries + 1
        episode.refusals[step.leg] = Refusal(
            answer.error_code or 0,
            answer.error_message or answer.result,
            self._now_ms() + pause_ms(rung, tries),
            tries,
        )

    # Orders without an answer

    def _look_up(self, episode: Episode, step: LookUp) -> Requests[None]:
        """Ask for an order without an answer, or for one that is not listed any more."""
        try:
            answer = yield from requests.send(requests.find(step, episode.symbol))
        except Exception as error:  # noqa: BLE001 - each is read for what it proves
            if _read(error).error_code == NO_SUCH_ORDER:
                self._note_absence(episode, step.leg)
            return
        if not isinstance(answer, Mapping):
            return
        status = str(answer.get("algoStatus") or answer.get("status") or "").upper()
        if status in ENDED:
            self._note_ended(episode, step.name, answer, status)

    def _note_ended(self, episode: Episode, name: OwnId, answer: Mapping[str, Any], status: str) -> None:
        episode.note_number(name)
        executed = to_decimal(answer.get("executedQty") or answer.get("actualQty"))
        if is_looked_up(name.leg) and name.leg != HARD and executed:
            episode.note_take(name, executed)
        if name.leg == HARD and (status == "EXPIRED" or executed):
            # It expired with the position, or closed it.
            episode.is_over = True
        if name.leg in episode.unverified:
            episode.unverified[name.leg] = name.number + 1
        doubt = episode.doubts.get(name.leg)
        if doubt is not None and doubt.name == name:
            del episode.doubts[name.leg]
        self._record(describe_event(episode, "note", f"{name} has ended: {status}"))

    def _note_absence(self, episode: Episode, leg: str) -> None:
        """Take in that the exchange knows no such order; once may be too early."""
        episode.unverified.pop(leg, None)
        doubt = episode.doubts.get(leg)
        if doubt is None:
            return
        doubt = doubt._replace(absences=doubt.absences + 1)
        if doubt.absences >= ENOUGH_ABSENCES and self._now_ms() - doubt.since_ms >= GONE_AFTER_MS:
            del episode.doubts[leg]
        else:
            episode.doubts[leg] = doubt

    # Closing now

    def _close(self, episode: Episode, step: Close, scene: Scene) -> Requests[None]:
        """Close the position, if a fresh price is beyond the level; what is open is read just before."""
        fresh = yield from self._fresh_price(episode.symbol)
        if step.level is not None and not episode.is_crossed(step.level, fresh):
            episode.refusals.pop(HARD, None)
            return
        size = yield from self._size_now(episode)
        refusal = episode.refusals.get(CLOSE)
        if refusal is not None and refusal.code in ROOM_TAKEN:
            yield from self._make_room(episode, scene)
            # What others' orders are to close, they keep.
            size = max(Decimal(0), size - others_take(scene.orders))
        if not size:
            return
        self._record(describe_step(episode, step, Decimal(0)))
        episode.note_number(step.name)
        try:
            yield from requests.send(self._closing(episode, step, size, fresh, scene.rules))
        except Exception as error:  # noqa: BLE001 - each is read for what it proves
            # The position is read again before the next try, so one in doubt needs no looking up.
            self._note_failure(episode, step, error)
        else:
            episode.refusals.pop(CLOSE, None)

    def _closing(
        self, episode: Episode, step: Close, size: Decimal, fresh: Decimal | None, rules: ContractRules
    ) -> Request:
        refusal = episode.refusals.get(CLOSE)
        if refusal is None or refusal.code != THIN_BOOK or fresh is None:
            return requests.close(episode, step, min(size, rules.quantity(rules.max_market_quantity)))
        limit = fresh * (1 - episode.direction * DEEPER * refusal.tries)
        return requests.close_within(episode, step, size, rules.trigger(limit, episode.side))

    def _fresh_price(self, symbol: str) -> Requests[Decimal | None]:
        """Return the mark price of this moment; None where it cannot be read."""
        try:
            ticker = yield from requests.send(Request("mark", {"symbol": symbol}))
            return price(ticker.get("markPrice"))
        except Exception:  # noqa: BLE001 - without a fresh price nothing is closed for it
            return None

    def _size_now(self, episode: Episode) -> Requests[Decimal]:
        """Return the size of the position at this moment; 0 where that cannot be read."""
        try:
            answer = yield from requests.send(Request("positions", {"symbol": episode.symbol}))
            positions = [read_position(row) for row in rows(answer)]
        except Exception:  # noqa: BLE001 - it is tried again in the next pass
            return Decimal(0)
        place = episode.position_side, episode.side
        sizes = (one.size for one in positions if one.amount and (one.position_side, one.side) == place)
        return next(sizes, Decimal(0))

    def _make_room(self, episode: Episode, scene: Scene) -> Requests[None]:
        """Cancel the executor's own takes, which occupy the position."""
        for order in scene.orders:
            own = episode.owns(order)
            if own is not None and is_take(own.leg):
                step = Cancel(leg=own.leg, why="the position is closed now", order=order)
                yield from self._change(episode, step, scene)


def _only_adds(step: Step) -> bool:
    """Return whether a step can take no cover away."""
    if isinstance(step, Cancel):
        return not step.order.is_protective
    return isinstance(step, LookUp | Close) or (isinstance(step, Place) and step.type != "LIMIT")


def _read(error: Exception) -> Answer:
    if isinstance(error, ExitOrderDenied):
        return Answer("denied", error_code=error.code, error_message=error.message)
    return read_failure(error)
