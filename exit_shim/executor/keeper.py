"""Hold the positions of one account to their plans: read, decide, and ask for what is to be sent.

Nothing here sends: what talks to the exchange is a generator of requests (`requests.Requests`), which
`executor.ExitExecutor` runs with a sync or an async client, and tests without any.
"""

import contextlib
import copy
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from exit_shim.clients.answers import read_failure
from exit_shim.domain.events import ExecutorStep
from exit_shim.executor import requests
from exit_shim.executor.carry_out import StepSender
from exit_shim.executor.contract_rules import ContractRules, RulesError, read_rules
from exit_shim.executor.decide import decide
from exit_shim.executor.episode import (
    Doubt,
    Episode,
    adopt_plan,
    begin,
    follow,
    is_continued,
    liquidation_problem,
    wake_price,
    watch_price,
)
from exit_shim.executor.exchange_reader import Key, Seen, by_position, read_exchange
from exit_shim.executor.memory import describe_event, flat_step, restore
from exit_shim.executor.order_ids import CLOSE, is_looked_up, is_take, read_id
from exit_shim.executor.plan import ExitPlan, PlanError
from exit_shim.executor.position_orders import cancel
from exit_shim.executor.protection import Protection
from exit_shim.executor.reports import report, report_unknown
from exit_shim.executor.requests import Request, Requests
from exit_shim.executor.steps import Cancel, Close, LookUp, Scene, Step
from exit_shim.guard.amounts import to_decimal
from exit_shim.guard.exchange_snapshot import (
    OpenOrder,
    OpenPosition,
    rows,
)


class Settled(NamedTuple):
    """What a position was like when nothing was left to do for it."""

    amount: Decimal
    entry: Decimal | None
    orders: tuple[OpenOrder, ...]
    plan: ExitPlan | None
    protection: Protection


class Keeper:
    """Keep the positions of one account protected.

    Args:
        account: The account's label.
        plan_for: Returns the plan of a position; None for one to leave alone.
        record: Writes a step down before it is sent.
        remembered: The last recorded step of each position, from earlier runs.
        takes_over: Returns the names of the orders of others that are to be cancelled once the position is
            covered.
        has_algo_orders: Whether the client sends conditional orders to the Algo Service.
        close_after_ms: Close a position that has been bare for so long; None: never.
        now_ms: The clock.
        price_of: Returns a price that was heard of lately, of a symbol and a working type; None without one.
        decide: Decides what to do for a position.
        read: Reads the exchange: of a symbol, or of the account.
        may_send: Whether a step may be sent now; one that is not is tried in a later pass.
    """

    def __init__(  # noqa: PLR0913 - all by name
        self,
        *,
        account: str | None,
        plan_for: Callable[[OpenPosition], ExitPlan | None],
        record: Callable[[ExecutorStep], object],
        remembered: Mapping[tuple[str, str], ExecutorStep] | None = None,
        takes_over: Callable[[tuple[OpenOrder, ...]], frozenset[str]] = lambda _: frozenset(),
        has_algo_orders: bool = True,
        close_after_ms: int | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        price_of: Callable[[str, str], Decimal | None] = lambda _symbol, _working: None,
        decide: Callable[[Episode, Scene], tuple[Step, ...]] = decide,
        read: "Callable[[str | None], Requests[Seen]] | None" = None,
        may_send: Callable[[Step], bool] = lambda _: True,
    ) -> None:
        self.account = account
        self.episodes: dict[Key, Episode] = {}
        self.paused: set[str] = set()
        self.held_by: str | None = None
        """Who else protects the account; None: nobody, so this one does."""
        self.wake_prices: dict[Key, Decimal | None] = {}
        self._plan_for = plan_for
        self._record = record
        self._remembered: dict[Key, ExecutorStep] = {}
        self.remember(remembered or {})
        self._takes_over = takes_over
        self._close_after_ms = close_after_ms
        self._now_ms = now_ms
        self._price_of = price_of
        self._decide = decide
        self._read = read or read_exchange
        self._rules: dict[str, ContractRules] = {}
        self._sender = StepSender(
            record=record,
            forget_rules=lambda symbol: self._rules.pop(symbol, None),
            has_algo_orders=has_algo_orders,
            now_ms=now_ms,
            may_send=may_send,
        )
        self._sweeping: set[Key] = set()
        self._ended: set[str] = set()
        self._settled: dict[Key, Settled] = {}

    def remember(self, steps: Mapping[tuple[str, str], ExecutorStep]) -> None:
        """Take in the last recorded step of each position, from earlier runs, for positions not known yet."""
        self._remembered = {Key(*key): step for key, step in steps.items()}

    def learn_rules(self, answer: Any) -> bool:
        """Take in what exchangeInfo says of all contracts; return False where it says nothing."""
        symbols = answer.get("symbols") if isinstance(answer, Mapping) else None
        for row in symbols or ():
            # Some odd contracts are none that a position is held in.
            with contextlib.suppress(RulesError):
                self._rules.setdefault(row["symbol"], read_rules({"symbols": [row]}, row["symbol"]))
        return bool(symbols)

    def take_over_from(self, before: "Keeper") -> None:
        """Take over what does not depend on what was seen of positions."""
        self.paused |= before.paused
        self._rules.update(vars(before)["_rules"])

    def for_dry_run(self, read: "Callable[[str | None], Requests[Seen]] | None" = None) -> "Keeper":
        """Return a copy that records nothing, and from which this one learns nothing.

        Args:
            read: Reads the exchange; None: as this one does.
        """
        twin = copy.copy(self)
        vars(twin).update(
            episodes=copy.deepcopy(self.episodes),
            wake_prices={},
            _remembered=dict(self._remembered),
            _sweeping=set(self._sweeping),
            _ended=set(self._ended),
            _settled={},
            _record=lambda _: None,
            _read=read or self._read,
            _sender=self._sender.for_dry_run(),
        )
        return twin

    def symbols(self) -> set[str]:
        """Return the symbols of the positions that are held, or whose remains are being cancelled."""
        return {key.symbol for key in (*self.episodes, *self._sweeping)}

    # A pass over positions

    def protect(self, symbol: str | None = None, *, dry_run: bool = False) -> Requests[list[Protection]]:
        """Read the exchange once, and do what is to be done now; one pass.

        Args:
            symbol: The symbol; None for all of the account.
            dry_run: Whether to say only what would be done; only reads are sent.
        """
        seen = yield from self._read(symbol)
        if seen.positions is None:
            return [
                report_unknown(one, seen.problem)
                for one in self.episodes.values()
                if symbol in {None, one.symbol}
            ]
        positions = {Key(each.symbol, each.position_side): each for each in seen.positions}
        listed = by_position(seen.orders)
        protections = []
        for key in self._keys(positions, listed, symbol):
            position, orders = positions.get(key), listed.get(key, ())
            if position is None:
                exits = tuple(order for order in orders if order.can_only_reduce)
                protections.append((yield from self._sweep(key, exits, seen, dry_run=dry_run)))
            elif (settled := self._still_settled(key, position, orders, seen)) is not None:
                protections.append(settled)
            else:
                protections.append((yield from self._hold(key, position, orders, seen, dry_run=dry_run)))
        return protections

    def _keys(
        self,
        positions: Mapping[Key, OpenPosition],
        orders: Mapping[Key, tuple[OpenOrder, ...]],
        symbol: str | None,
    ) -> list[Key]:
        """Return the positions to look at, those first that may be bare."""
        keys = dict.fromkeys(positions)
        keys |= {key: None for key in self.episodes if symbol in {None, key.symbol}}
        # What is flat by now may have left something behind.
        keys |= {
            key: None
            for key, listed in orders.items()
            if key not in keys and any(read_id(order.client_order_id) is not None for order in listed)
        }
        keys |= {key: None for key in self._sweeping if symbol in {None, key.symbol}}
        return sorted(keys, key=lambda key: key in self.episodes and self.episodes[key].bare_since is None)

    # An open position

    def _still_settled(
        self, key: Key, position: OpenPosition, orders: tuple[OpenOrder, ...], seen: Seen
    ) -> Protection | None:
        """Return the last report where nothing has changed since; None where there is to decide."""
        settled = self._settled.get(key)
        if settled is None or not seen.is_complete or orders != settled.orders:
            return None
        if (position.amount, position.entry) != (settled.amount, settled.entry):
            return None
        episode, wake = self.episodes[key], self.wake_prices.get(key)
        if wake is not None and episode.is_reached(wake, self._price(episode, position)):
            return None
        plan = self._plan_or_none(position)
        is_same = plan is settled.plan and key.symbol not in self.paused and self.held_by is None
        return settled.protection if is_same and not self._is_late(episode, position) else None

    def _plan_or_none(self, position: OpenPosition) -> ExitPlan | None:
        try:
            return self._plan_for(position)
        except Exception:  # noqa: BLE001 - reported where the plan is chosen
            return None

    def _is_late(self, episode: Episode, position: OpenPosition) -> bool:
        """Return whether time or the liquidation price have caught up with the plan."""
        plan, levels = episode.plan, episode.levels
        is_over = plan is None or plan.is_expired(self._now_ms())
        return is_over or levels is None or liquidation_problem(episode, position) is not None

    def _hold(
        self,
        key: Key,
        position: OpenPosition,
        listed: tuple[OpenOrder, ...],
        seen: Seen,
        *,
        dry_run: bool,
    ) -> Requests[Protection]:
        """Hold an open position to its plan."""
        self._settled.pop(key, None)
        orders = tuple(order for order in listed if position.is_guarded_by(order))
        hands_off = "it is paused" if key.symbol in self.paused else self.held_by
        if hands_off is not None:
            return report(self.account, position, orders, state="HANDS_OFF", problem=hands_off)
        if position.entry is None:
            return report(self.account, position, orders, problem="the exchange gave no entry price")
        episode = self._episode_of(key, position, orders)
        follow(episode, position)
        self._settle(episode, orders, is_complete=seen.is_complete)
        problem = self._choose_plan(episode, position)
        if episode.plan is None:
            del self.episodes[key]
            return report(self.account, position, orders, state="NO_PLAN", problem=problem)
        try:
            rules = yield from self._rules_of(key.symbol)
        except Exception as error:  # noqa: BLE001 - whatever a transport raises is no answer
            why = str(error) if isinstance(error, RulesError) else read_failure(error).error_message
            return report(self.account, position, orders, episode, problem=f"exchangeInfo: {why}")
        price_now = self._price(episode, position)
        watch_price(episode, price_now)
        yield from self._ask_costs(episode)
        foreign = tuple(order for order in orders if read_id(order.client_order_id) is None)
        scene = Scene(
            position,
            orders,
            price_now,
            rules,
            self._now_ms(),
            self._takes_over(foreign) if foreign else frozenset(),
            seen.is_complete,
        )
        steps = (*self._decide(episode, scene), *self._close_if_late(episode))
        to_do = tuple(step for step in steps if isinstance(step, LookUp)) if dry_run else steps
        done = yield from self._sender.carry_out(episode, to_do, scene)
        if seen.is_complete and not dry_run:
            yield from self._cancel_all(key, left_of_other_side(position, listed))
        protection = report(
            self.account, position, orders, episode, steps, done, problem=problem or seen.problem
        )
        self._note_cover(episode, is_bare=protection.guarded < position.size)
        if not steps and seen.is_complete:
            episode.is_widening = False
        self.wake_prices[key] = wake_price(episode, rules)
        # Whether others' orders are taken over may change by a switch.
        is_settled = not (steps or foreign or episode.doubts or episode.is_widening or protection.problem)
        if is_settled and seen.is_complete and not dry_run:
            plan = self._plan_or_none(position)
            self._settled[key] = Settled(position.amount, position.entry, listed, plan, protection)
        return protection

    def _episode_of(self, key: Key, position: OpenPosition, orders: tuple[OpenOrder, ...]) -> Episode:
        """Return the episode of a position: as this process knows it, recorded, listed, or new."""
        episode = self.episodes.get(key)
        if episode is not None and not is_continued(episode, position, orders):
            self._end(key, "the position was closed and opened anew")
            episode = None
        if episode is not None and min(self._listed_keys(orders), default=episode.key) < episode.key:
            # Another executor is at work: both go on under one name, so that neither doubles the other's.
            self._end(key, "another executor's orders rest")
            episode = None
        if episode is None:
            episode = self.episodes[key] = self._begin(key, position, orders)
        return episode

    def _begin(self, key: Key, position: OpenPosition, orders: tuple[OpenOrder, ...]) -> Episode:
        remembered = self._remembered.pop(key, None)
        if remembered is not None:
            if (episode := restore(remembered, position, orders)) is not None:
                return episode
            self._ended.add(remembered.episode)
        name = min(self._listed_keys(orders), default=None)
        episode = begin(self.account, position, key=name)
        if name is not None:
            # Takes may have been done before.
            episode.doubt_takes()
        return episode

    def _listed_keys(self, orders: tuple[OpenOrder, ...]) -> set[str]:
        """Return the episodes of the orders that rest, without those that have ended."""
        names = (read_id(order.client_order_id) for order in orders)
        return {name.episode for name in names if name is not None} - self._ended

    def _end(self, key: Key, why: str) -> None:
        """Forget the episode of a position that was closed."""
        episode = self.episodes.pop(key)
        self._ended.add(episode.key)
        self._settled.pop(key, None)
        self.wake_prices.pop(key, None)
        self._record(describe_event(episode, "end", why))

    def _choose_plan(self, episode: Episode, position: OpenPosition) -> str | None:
        """Take in the router's plan; return what is wrong with it."""
        try:
            plan, is_new = self._plan_for(position), episode.risk is None
            if plan is not None and plan is not episode.plan and adopt_plan(episode, plan, position):
                if is_new:
                    self._record(describe_event(episode, "begin", "a position was found"))
                episode.unverified = {
                    leg: number
                    for leg, number in episode.unverified.items()
                    if int(leg[1:]) <= len(plan.takes)
                }
                self._record(describe_event(episode, "plan", plan.reason or "the router gave it"))
        except PlanError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - a router's failure leaves the plan in force
            return f"the router failed: {type(error).__name__}: {error}"
        return liquidation_problem(episode, position)

    def _settle(self, episode: Episode, orders: tuple[OpenOrder, ...], *, is_complete: bool) -> None:
        """Take in which orders of the episode are listed, and which are not any more."""
        listed = {own: order for order in orders if (own := episode.owns(order)) is not None}
        for own, order in listed.items():
            episode.note_number(own)
            if episode.unverified.get(own.leg) == own.number:
                # Those before it were looked up.
                del episode.unverified[own.leg]
            if own.leg in episode.doubts and episode.doubts[own.leg].name == own:
                del episode.doubts[own.leg]
            if is_looked_up(own.leg):
                episode.resting.add(own)
            if is_take(own.leg) and order.executed:
                episode.note_take(own, order.executed)
        for own in sorted(episode.resting):
            if is_complete and own not in listed and own.leg not in episode.doubts:
                # It was filled, somebody cancelled it, or it expired with the position.
                episode.resting.remove(own)
                episode.doubts[own.leg] = Doubt(own, self._now_ms(), has_rested=True)

    def _price(self, episode: Episode, position: OpenPosition) -> Decimal | None:
        """Return the latest price of the kind that triggers the plan's stops."""
        working = "MARK_PRICE" if episode.plan is None else episode.plan.hard_stop.working_type
        return self._price_of(position.symbol, working) or position.mark

    def _rules_of(self, symbol: str) -> Requests[ContractRules]:
        if symbol not in self._rules:
            self._rules[symbol] = read_rules((yield from requests.send(Request("rules", {}))), symbol)
        return self._rules[symbol]

    def _ask_costs(self, episode: Episode) -> Requests[None]:
        """Ask for the fees and funding that breakeven is to earn back, once it is due."""
        breakeven = None if episode.plan is None else episode.plan.breakeven
        is_due = breakeven is not None and breakeven.include_costs and episode.is_breakeven
        if not is_due or episode.costs is not None:
            return
        symbol = episode.symbol
        income = {"symbol": symbol, "incomeType": "FUNDING_FEE", "startTime": episode.began_ms, "limit": 1000}
        asked = Request("commission", {"symbol": symbol}), Request("income", income)
        try:
            rates, paid = yield asked
            fee = to_decimal(rates.get("takerCommissionRate")) or Decimal(0)
            funding = sum((to_decimal(row.get("income")) or Decimal(0) for row in rows(paid)), Decimal(0))
        except Exception:  # noqa: BLE001 - it is asked again in the next pass
            return
        episode.costs = max(Decimal(0), 2 * fee * episode.entry - funding / episode.size)

    def _close_if_late(self, episode: Episode) -> tuple[Step, ...]:
        """Return the step that closes a position which has been bare for too long, if that is asked for."""
        late, since = self._close_after_ms, episode.bare_since
        if late is None or since is None or self._now_ms() - since < late:
            return ()
        why = f"it has been bare for {(self._now_ms() - since) / 1000:g} s"
        return (Close(leg=CLOSE, why=why, name=episode.next_id(CLOSE), level=None),)

    def _note_cover(self, episode: Episode, *, is_bare: bool) -> None:
        if not is_bare:
            episode.bare_since = None
        elif episode.bare_since is None:
            episode.bare_since = self._now_ms()

    # A position that is flat

    def _sweep(
        self, key: Key, orders: tuple[OpenOrder, ...], seen: Seen, *, dry_run: bool
    ) -> Requests[Protection]:
        """Cancel what is left of a position that is flat."""
        if key in self.episodes:
            self._end(key, "the position is flat")
        self._remembered.pop(key, None)
        foreign = tuple(order for order in orders if read_id(order.client_order_id) is None)
        taken_over = self._takes_over(foreign) if foreign else frozenset()
        steps = [
            cancel(order, "the position is flat")
            for order in orders
            if order.name in taken_over or order not in foreign
        ]
        if not seen.is_complete or key.symbol in self.paused or self.held_by is not None:
            steps = []
        elif steps:
            self._sweeping.add(key)
        else:
            self._sweeping.discard(key)
        if not dry_run:
            yield from self._cancel_all(key, steps)
        return Protection(
            account=self.account,
            symbol=key.symbol,
            position_side=key.position_side,
            state="SWEEPING" if steps else "FLAT",
            steps=tuple(steps),
        )

    def _cancel_all(self, key: Key, steps: list[Cancel]) -> Requests[None]:
        for step in steps:
            self._record(flat_step(self.account, key.symbol, key.position_side, step))
            try:
                yield from requests.send(requests.cancel(step))
            except Exception:  # noqa: BLE001, S112 - the next pass sees whether it is still there
                continue


def left_of_other_side(position: OpenPosition, orders: tuple[OpenOrder, ...]) -> list[Cancel]:
    """Return the steps that cancel what is left of a position which was turned to the other side."""
    return [
        cancel(order, "the position has the other side now")
        for order in orders
        if order.side != position.exit_side and read_id(order.client_order_id) is not None
    ]
