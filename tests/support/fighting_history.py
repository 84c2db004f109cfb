"""Make the history of a few processes that take each other's orders, with all that can be odd about it."""

import contextlib
import random
import time

import msgspec

from exit_shim.domain.attributions import Attribution, Step
from exit_shim.domain.events import (
    GuardFinding,
    Intent,
    OrderFindings,
    Outcome,
    PositionSeen,
    Resolution,
    RunStarted,
    Target,
)
from exit_shim.domain.orders import ExitOrder
from exit_shim.domain.verdicts import Reason, Verdict
from exit_shim.journal.database import open_writer
from exit_shim.journal.ingest import RunOrigin, ingest, transaction
from exit_shim.journal.line_format import Line
from exit_shim.journal.rows import encode

HOUR = 3_600_000_000_000
DAYS = 3
MODULES = ("position_monitor", "trailing_stop", "exit_brain", "helper “ä”")
CODES = ("FOREIGN_CANCEL", "STRIPPED", "DUPLICATE_EXIT", "custom_rule")
RESULTS = ("accepted",) * 6 + ("rejected", "unknown", "unknown", "denied", "not_sent", None)


class History:
    """Events of some processes, in the order of their time; each has a run, and each order a number in it.

    Args:
        seed: Makes another history.
        host: Is in the names of runs and accounts.
    """

    def __init__(self, seed=1, host="alpha"):
        self.dice = random.Random(seed)
        self.host = host
        self.began = time.time_ns() - DAYS * 24 * HOUR
        self.now = self.began
        self.copied = [f"{host}-{letter}" for letter in "bac"]
        self.lines = {run_id: [] for run_id in sorted(self.copied)}
        self.placed = []
        self.doubtful = []

    def append(self, run_id, event, body, about=None, later_ns=0):
        """Add one event; return its name RUN:SEQ."""
        seq = len(self.lines[run_id])
        text = encode(body).decode()
        self.lines[run_id].append(Line(seq, self.now + later_ns, event, about, text))
        return f"{run_id}:{seq}"

    def pass_time(self, moments):
        self.now += self.dice.randrange(2 * DAYS * 24 * HOUR // moments)

    def reasons(self, chance):
        """Some reasons, or none; the same one may be there twice."""
        number = self.dice.choice((1, 1, 2, 3)) if self.dice.random() < chance else 0
        return tuple(Reason(self.dice.choice(CODES), {"of": "“ä”"}) for _ in range(number))

    def targets(self, run_id):
        """Orders to take: placed here, by another process, or by nobody who is known."""
        targets = []
        for name, module, number in self.dice.sample(
            self.placed, min(self.dice.randrange(4), len(self.placed))
        ):
            ids = self.dice.choice(
                (
                    {"order_id": number},
                    {"client_order_id": f"x-{self.host}-{number}"},
                    {"order_id": number, "algo_id": 10**6 + number},
                )
            )
            seen = module if name.startswith(run_id) else None
            targets.append(Target(kind="sl", module=seen, **ids))
        if self.dice.random() < 0.2:
            targets.append(Target(kind="unknown", order_id=self.dice.randrange(10**9, 10**10)))
        return tuple(targets)

    def order(self, number):
        """Add an order, and what came of it."""
        run_id = self.dice.choice(list(self.lines))
        module = self.dice.choice(MODULES)
        operation = self.dice.choice(("place", "place", "cancel", "cancel", "modify"))
        line = self.dice.randrange(3)
        intent = Intent(
            ts=self.now,
            door="futures_create_order",
            operation=operation,
            order=ExitOrder(
                kind=self.dice.choice(("sl", "tp", "trailing")),
                symbol="BTCUSDT" if number % 3 else "ETHUSDT",
                side="SELL",
                client_order_id=f"x-{self.host}-{number}" if operation == "place" else None,
            ),
            attribution=Attribution(
                module=module,
                evidence="stack",
                function=f"{module}.run",
                file=f"/bot/{module}.py",
                line=line,
                chain=(Step(module, "chosen", "run", line),),
            ),
            mode=self.dice.choice(("LEGACY", "EXIT_BRAIN_V3")),
            account=f"{self.host}-main" if number % 11 else "other",
            verdict=Verdict("warn", self.reasons(0.3)),
            targets=self.targets(run_id) if operation != "place" else (),
        )
        name = self.append(run_id, "intent", intent)
        if operation == "place":
            self.placed.append((name, module, number))
        self.conclude(run_id, name, number)
        found = self.reasons(0.3)
        if found:
            self.append(run_id, "order_findings", OrderFindings(found), name, later_ns=2_000_000)

    def conclude(self, run_id, name, number):
        result = self.dice.choice(RESULTS)
        if result is not None:
            outcome = Outcome(
                result,
                order_id=number if result == "accepted" else None,
                presend_us=self.dice.choice((0.0, 25.0, 25.0004, 137.25, 1e99)),
                total_us=self.dice.random() * 10 ** self.dice.randrange(8),
                chain=(Step("main", "outer", "main", self.dice.randrange(4)),),
            )
            self.append(run_id, "outcome", outcome, name, later_ns=1_000_000)
        if result in {"unknown", None}:
            self.doubtful.append((name, number))

    def resolve(self, of=None):
        """Prove something of an order in doubt, from its process or one whose events come later."""
        name, number = of or self.dice.choice(self.doubtful)
        result = self.dice.choice(("accepted", "rejected", "not_there"))
        found = Resolution(result=result, order_id=number)
        later = self.copied[self.copied.index(name.partition(":")[0]) :]
        self.append(self.dice.choice(later), "resolution", found, name)

    def see(self):
        """See a position, with its exits, without, or flat."""
        amount = self.dice.choice(("0.5", "0.5", "0"))
        seen = PositionSeen(
            account=self.dice.choice((f"{self.host}-main", None)),
            symbol=self.dice.choice(("BTCUSDT", "ETHUSDT", "X")),
            position_side=self.dice.choice(("BOTH", "LONG")),
            amount=amount,
            exits=self.dice.choice((None, (), ("x-1",))),
            source="poller",
        )
        self.append(self.dice.choice(list(self.lines)), "position_seen", seen)

    def find(self):
        """Find something about no order."""
        finding = GuardFinding(Reason(self.dice.choice(CODES)), "BTCUSDT")
        self.append(self.dice.choice(list(self.lines)), "guard_finding", finding)

    def live(self, orders):
        """Go through so many orders, and what else happens meanwhile; return self."""
        for run_id in self.lines:
            self.append(run_id, "run_started", RunStarted(host=self.host, account="main"))
        for number in range(1, orders + 1):
            self.pass_time(orders)
            self.order(number)
            for happen, chance in ((self.see, 0.2), (self.find, 0.1), (self.resolve, 0.15)):
                if self.dice.random() < chance and (self.doubtful or happen != self.resolve):
                    happen()
        return self

    def settle(self):
        """Prove something of every order in doubt; return self."""
        for each in self.doubtful:
            self.resolve(each)
        return self

    def write(self, path):
        """Copy it into a journal in small batches: one run late, and one with its second half first."""
        late = self.lines[self.copied[-1]]
        halves = late[len(late) // 2 :], late[: len(late) // 2]
        pieces = [
            (run_id, lines[first : first + 20])
            for run_id, lines in [
                *((run_id, self.lines[run_id]) for run_id in self.copied[:2]),
                *((self.copied[-1], half) for half in halves),
            ]
            for first in range(0, len(lines), 20)
        ]
        header = msgspec.json.encode(RunStarted(host=self.host, account="main")).decode()
        with contextlib.closing(open_writer(path)) as connection:
            for run_id, lines in pieces:
                with transaction(connection):
                    started = self.began + self.copied.index(run_id)
                    ingest(connection, RunOrigin(run_id, started, header), lines)

    def odd_moments(self):
        """Bounds at, beside and between hours and days; None for none."""
        day = (self.began // (24 * HOUR) + 1) * 24 * HOUR
        middle = self.began + (self.now - self.began) // 2
        return [
            (None, None),
            (day, None),
            (day + 1, None),
            (middle, None),
            (None, middle),
            (day - 7, day + 24 * HOUR + 7),
            (day + HOUR // 3, day + HOUR // 2),
            (day + HOUR // 3, day + 5 * HOUR // 2),
            (self.now + 1, None),
            (middle, middle),
        ]
