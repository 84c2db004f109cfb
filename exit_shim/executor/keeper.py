"""Hold the positions of one account to their plans: read, decide, and ask for what is to be sent.

Nothing here sends: what talks to the exchange is a generator of requests (`requests.Requests`), which
`executor.ExitExecutor` runs with a sync or an async client, and tests without any.
"""

import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

from exit_shim.clients.answers import read_failure
from exit_shim.domain.events import ExecutorStep
from exit_shim.executor import requests
from exit_shim.executor.carry_out import StepSender
from exit_shim.executor.contract_rules import ContractRules, RulesError, read_rules
from exit_shim.executor.decide import cancel, decide
from exit_shim.executor.episode import (
    Doubt,
    Episode,
    adopt_plan,
    begin,
    follow,
    is_continued,
    wake_price,
    watch_price,
)
from exit_shim.executor.memory import describe_event, flat_step, restore
from exit_shim.executor.order_ids import CLOSE, is_take, read_id, take_leg
from exit_shim.executor.plan import ExitPlan, PlanError
from exit_shim.executor.protection import Protection
from exit_shim.executor.reports import report, report_unknown
from exit_shim.executor.requests import Request, Requests
from exit_shim.executor.steps import Cancel, Close, Scene, Step
from exit_shim.guard.amounts import to_decimal
from exit_shim.guard.exchange_snapshot import (
    LISTS,
    OpenOrder,
    OpenPosition,
    UnreadableError,
    read_open_order,
    read_position,
    rows,
)

MOST_TAKES: Final = 20
"""The takes that are looked up for a position of unknown past; a plan with more of them is odd."""

READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Any]]] = {
    "orders": read_open_order,
    "algos": read_open_order,
    "positions": read_position,
}


class Seen(NamedTuple):
    """What was read of the exchange.

    Attributes:
        positions: The open positions; None where they could not be read.
        orders: The orders of the stores that could be read.
        is_complete: Whether everything was read.
        problem: What could not be read, and why; None where everything was.
    """

    positions: tuple[OpenPosition, ...] | None
    orders: tuple[OpenOrder, ...]
    is_complete: bool
    problem: str | None


class Key(NamedTuple):
    """Name one position of the account."""

    symbol: str
    position_side: str


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
    ) -> None:
        self.account = account
        self.episodes: dict[Key, Episode] = {}
        self.paused: set[str] = set()
        self.wake_prices: dict[Key, Decimal | None] = {}
        self._plan_for = plan_for
        self._record = record
        self._remembered = {Key(*key): step for key, step in (remembered or {}).items()}
        self._takes_over = takes_over
        self._close_after_ms = close_after_ms
        self._now_ms = now_ms
        self._price_of = price_of
        self._rules: dict[str, ContractRules] = {}
        self._sender = StepSender(
            record=record,
            forget_rules=lambda symbol: self._rules.pop(symbol, None),
            has_algo_orders=has_algo_orders,
            now_ms=now_ms,
        )
        self._seen_flat: set[Key] = set()
        self._has_looked = False

    # A pass over positions

    def protect(self, symbol: str | None = None, *, dry_run: bool = False) -> Requests[list[Protection]]:
        """Read the exchange once, and do what is to be done now; one pass.

        Args:
            symbol: The symbol; None for all of the account.
            dry_run: Whether to say only what would be done.
        """
        seen = yield from read_exchange(symbol)
        if seen.positions is None:
            return [
                report_unknown(one, seen.problem)
                for one in self.episodes.values()
                if symbol in {None, one.symbol}
            ]
        positions = {Key(each.symbol, each.position_side): each for each in seen.positions}
        protections = []
        for key in self._keys(positions, seen.orders, symbol):
            position = positions.get(key)
            orders = exits_of(key, position, seen.orders)
            if position is None:
                protections.append((yield from self._sweep(key, orders, seen, dry_run=dry_run)))
            else:
                protections.append((yield from self._hold(key, position, orders, seen, dry_run=dry_run)))
        self._has_looked = self._has_looked or (seen.is_complete and symbol is None)
        return protections

    def _keys(
        self, positions: Mapping[Key, OpenPosition], orders: tuple[OpenOrder, ...], symbol: str | None
    ) -> list[Key]:
        """Return the positions to look at, those first that may be bare."""
        keys = dict.fromkeys(positions)
        keys |= {key: None for key in self.episodes if symbol in {None, key.symbol}}
        # What is flat by now may have left something behind.
        keys |= {
            Key(order.symbol, order.position_side): None
            for order in orders
            if read_id(order.client_order_id) is not None
        }
        return sorted(keys, key=lambda key: key in self.episodes and self.episodes[key].bare_since is None)

    # An open position

    def _hold(
        self,
        key: Key,
        position: OpenPosition,
        orders: tuple[OpenOrder, ...],
        seen: Seen,
        *,
        dry_run: bool,
    ) -> Requests[Protection]:
        """Hold an open position to its plan."""
        if key.symbol in self.paused:
            return report(self.account, position, orders, state="HANDS_OFF", problem="it is paused")
        if position.entry is None:
            return report(self.account, position, orders, problem="the exchange gave no entry price")
        episode = self._episode_of(key, position, orders)
        problem = self._choose_plan(episode, position)
        if episode.plan is None:
            del self.episodes[key]
            return report(self.account, position, orders, state="NO_PLAN", problem=problem)
        try:
            rules = yield from self._rules_of(key.symbol)
        except Exception as error:  # noqa: BLE001 - whatever a transport raises is no answer
            why = str(error) if isinstance(error, RulesError) else read_failure(error).error_message
            return report(self.account, position, orders, episode, problem=f"exchangeInfo: {why}")
        self._settle(episode, orders, is_complete=seen.is_complete)
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
        steps = (*decide(episode, scene), *self._close_if_late(episode))
        done = () if dry_run else (yield from self._sender.carry_out(episode, steps, scene))
        protection = report(
            self.account, position, orders, episode, steps, done, problem=problem or seen.problem
        )
        self._note_cover(episode, is_bare=protection.guarded < position.size)
        if not steps and seen.is_complete:
            episode.is_widening = False
        self.wake_prices[key] = wake_price(episode, rules)
        return protection

    def _episode_of(self, key: Key, position: OpenPosition, orders: tuple[OpenOrder, ...]) -> Episode:
        """Return the episode of a position: as this process knows it, recorded, listed, or new."""
        episode = self.episodes.get(key)
        if episode is not None and not is_continued(episode, position):
            self._end(key, "the position was closed and opened anew")
            episode = None
        if episode is None:
            episode = self.episodes[key] = self._begin(key, position, orders)
        return episode

    def _begin(self, key: Key, position: OpenPosition, orders: tuple[OpenOrder, ...]) -> Episode:
        remembered = self._remembered.pop(key, None)
        if remembered is not None and (episode := restore(remembered, position)) is not None:
            return episode
        listed = [own.episode for order in orders if (own := read_id(order.client_order_id)) is not None]
        name = max(set(listed), key=listed.count) if listed else None
        episode = begin(self.account, position, key=name)
        # Of a position that this process did not see open, takes may have been done before.
        if name is not None or not (self._has_looked or key in self._seen_flat):
            episode.unverified = {take_leg(index): 1 for index in range(MOST_TAKES)}
        why = "a position was found" if name is None else "orders of an earlier run rest"
        self._record(describe_event(episode, "begin", why))
        return episode

    def _end(self, key: Key, why: str) -> None:
        """Forget the episode of a position that was closed."""
        episode = self.episodes.pop(key)
        self.wake_prices.pop(key, None)
        self._record(describe_event(episode, "end", why))

    def _choose_plan(self, episode: Episode, position: OpenPosition) -> str | None:
        """Take in the position and the router's plan; return what is wrong with them."""
        try:
            follow(episode, position)
            plan = self._plan_for(position)
            if plan is not None and plan is not episode.plan and adopt_plan(episode, plan, position):
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
        return None

    def _settle(self, episode: Episode, orders: tuple[OpenOrder, ...], *, is_complete: bool) -> None:
        """Take in which orders of the episode are listed, and which are not any more."""
        listed = {own for order in orders if (own := episode.owns(order)) is not None}
        for own in listed:
            episode.note_number(own)
            episode.unverified.pop(own.leg, None)
            if own.leg in episode.doubts and episode.doubts[own.leg].name == own:
                del episode.doubts[own.leg]
            if is_take(own.leg):
                episode.resting[own.leg] = own
        if any(order.executed for order in orders if (own := episode.owns(order)) and is_take(own.leg)):
            episode.note_take()
        for leg, own in list(episode.resting.items()):
            if is_complete and own not in listed:
                # It was filled, or somebody cancelled it.
                del episode.resting[leg]
                episode.doubts[leg] = Doubt(own, self._now_ms())

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
        self._seen_flat.add(key)
        self._remembered.pop(key, None)
        foreign = tuple(order for order in orders if read_id(order.client_order_id) is None)
        taken_over = self._takes_over(foreign) if foreign else frozenset()
        steps = [
            cancel(order, "the position is flat")
            for order in orders
            if order.name in taken_over or order not in foreign
        ]
        if not seen.is_complete or key.symbol in self.paused:
            steps = []
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


def read_exchange(symbol: str | None) -> Requests[Seen]:
    """Read positions and both order stores, all at once."""
    fields = {} if symbol is None else {"symbol": symbol}
    answers = yield tuple(Request(name, fields) for name in LISTS)
    read: dict[str, list[Any]] = {}
    problem = None
    for name, answer in zip(LISTS, answers, strict=True):
        answered = read_list(name, answer)
        if isinstance(answered, str):
            problem = answered
        else:
            read[name] = answered
    positions = read.get("positions")
    opened = None if positions is None else tuple(each for each in positions if each.amount)
    return Seen(opened, (*read.get("orders", ()), *read.get("algos", ())), problem is None, problem)


def read_list(name: str, answer: Any) -> list[Any] | str:
    """Return what a list has; a sentence where it could not be read."""
    try:
        if isinstance(answer, Exception):
            return f"{name} could not be read: {read_failure(answer).error_message}"
        return list(map(READERS[name], rows(answer)))
    except UnreadableError as error:
        return f"{name} could not be read: {error}"


def exits_of(key: Key, position: OpenPosition | None, orders: tuple[OpenOrder, ...]) -> tuple[OpenOrder, ...]:
    """Return the resting exits of a position; of a flat one, those of either side."""
    of_key = (order for order in orders if (order.symbol, order.position_side) == key)
    if position is None:
        return tuple(order for order in of_key if order.can_only_reduce)
    return tuple(order for order in of_key if position.is_guarded_by(order))
