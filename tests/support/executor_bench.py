"""A position, an executor, and an exchange that refuses what a test says."""

from decimal import Decimal
from typing import Any

from executor_market import Market, api_error

from exit_shim.domain.events import ExecutorStep
from exit_shim.executor.keeper import Keeper
from exit_shim.executor.plan import ExitPlan, HardStop, Leg, at_fraction
from exit_shim.executor.protection import Protection
from exit_shim.executor.requests import Request
from exit_shim.testing import ExchangeError

STOP = HardStop(at_fraction("0.02"))


class Bench:
    """A position of 0.1 BTC that an executor holds to a plan.

    Args:
        legs: the plan's, besides a hard stop 2 % away.
        hedge: whether the account is in hedge mode.
    """

    def __init__(self, *legs: Leg, hedge: bool = False) -> None:
        self.market = Market(hedge_mode=hedge)
        self.side = "LONG" if hedge else "BOTH"
        self.plan = plan_of(*legs)
        self.journal: list[ExecutorStep] = []
        self.sent: list[Request] = []
        #: Answers instead of the exchange's, by the leg of an order or the name of a request.
        self.refuse: dict[str, list[Any]] = {}
        self.report: Any = None
        self.keeper = self.restarted({})
        self.market.others(self.side, "BUY", Decimal("0.1"))

    def restarted(self, remembered: dict[tuple[str, str], ExecutorStep]) -> Keeper:
        """Return a new process's keeper."""
        return Keeper(
            account="a",
            plan_for=lambda _: self.plan,
            record=self.journal.append,
            remembered=remembered,
            now_ms=lambda: self.market.now,
        )

    def ask(self, request: Request) -> Any:
        """Answer a request."""
        self.sent.append(request)
        answers = self.refuse.get(self.name_of(request))
        if answers:
            return answers.pop(0)
        try:
            return self.market.ask(request)
        except ExchangeError as error:
            return api_error(error.code, error.msg, error.http_status)

    def name_of(self, request: Request) -> str:
        """Return the leg of an order that is placed, else the request's name."""
        name = request.params.get("clientAlgoId") or request.params.get("newClientOrderId")
        return str(name).split("-")[2] if request.name == "place" else request.name

    def run(self, wait_ms: int = 0) -> list[str]:
        """Run a pass after a while; return the names of what it sent after the lists."""
        self.market.now += wait_ms
        self.sent.clear()
        conversation = self.keeper.protect()
        answers: Any = None
        while True:
            try:
                asked = conversation.send(answers)
            except StopIteration as done:
                reports: list[Protection] = done.value
                self.report = reports[0] if reports else None
                return [self.name_of(request) for request in self.sent[3:]]
            answers = [self.ask(request) for request in asked]

    def settle(self) -> None:
        """Run passes until nothing is left to do."""
        for _ in range(8):
            self.run(1_000)

    @property
    def episode(self) -> Any:
        """The executor's state of the position."""
        return self.keeper.episodes["BTCUSDT", self.side]  # type: ignore[index]

    @property
    def legs(self) -> list[str]:
        """The legs of its orders that rest."""
        return sorted(order.client_id.split("-")[2] for order in self.market.own_orders())

    @property
    def bare(self) -> Decimal:
        """How much no stop closes."""
        return self.market.view(self.side).bare

    def order(self, leg: str) -> Any:
        """Return the resting order of a leg."""
        return next(order for order in self.market.own_orders() if f"-{leg}-" in order.client_id)


def plan_of(*legs: Leg, revision: int = 1) -> ExitPlan:
    """Return a plan for a long position; with a hard stop of 2 % where none is given."""
    stops = () if any(isinstance(leg, HardStop) for leg in legs) else (STOP,)
    return ExitPlan(symbol="BTCUSDT", position_side="LONG", legs=(*stops, *legs), revision=revision)
