"""Histories of modules that work side by side, lived by two exchanges: one behind a guard, one without.

    python tests/support/histories.py --histories 2000 --seed 0

A history is a pure value, made from a seed. Its steps run in both worlds, one after the other, and each
module's code runs in each world on the answers that it gets there. After each step the engines are compared.
"""

import argparse
import collections
import contextlib
import inspect
import itertools
import random
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from history_guarded import Guarded
from history_worlds import SecondProcess, Unguarded, Violation
from routines import ROUTINES, Bot
from virtual_time import jump, jumping

COMBINATIONS = [
    (denied, mode) for denied in ("raise", "return_none", "simulate") for mode in ("one-way", "hedge")
]
OWNERS, LEGACY, MONITOR, STRANGER = (
    ("brain", "brain_two"),
    ("old_stops", "old_trailer"),
    "watcher",
    "stranger",
)
MODULES = (
    ["brain"] * 7
    + ["brain_two"]
    + ["old_stops"] * 5
    + ["old_trailer"] * 4
    + ["watcher"] * 2
    + ["stranger"] * 2
)
RULES = ("CHURN", "DUPLICATE_EXIT", "STRIPPED", "STOP_WIDENED", "OVERSIZED", "HOUSE")
WEIGHTS = {
    "target_then_stop": 4, "clear_then_guard": 4, "move_stop": 4, "place_then_drop": 2, "look_after": 5,
    "batch": 1, "insist": 3, "stop_only": 3, "targets": 2, "rest_a_close": 2, "close_now": 3, "modify": 2,
    "enter": 3, "flip": 1, "drop": 2, "drop_foreign": 2,
}  # fmt: skip
OWNERS_WEIGHTS = WEIGHTS | {"stop_only": 8, "clear_then_guard": 6, "close_now": 1, "drop_foreign": 1}


NEAR = ["0.02"] * 2 + ["0.04"] * 3 + ["0.1"] * 3
FAR = ["0.3", "0.45", "0.6", "0.9"]

ELSEWHERE = ["move"] * 3 + ["wick", "app_drop", "wait"] * 2
ELSEWHERE += ["last", "mark", "trade", "app_clear", "app_stop", "app_close", "reads_fail", "restart"]

KEPT = 300
"""How many folders of histories are kept."""


class Step(NamedTuple):
    """One thing that happens: a module's routine, or something that nobody here asked for.

    `amid` happens after the routine's call number `at`.
    """

    what: str
    options: dict[str, Any]
    amid: "Step | None" = None
    at: int = 1


class History(NamedTuple):
    """What happens, and under which policy."""

    seed: int
    denied: str
    mode: str
    wallet: int
    unknown: str
    rules: tuple[str, ...]
    second_process: bool
    level: str
    steps: tuple[Step, ...]

    @property
    def policy(self) -> str:
        """The policy of the guarded world."""
        lines = [
            f'level = "{self.level}"',
            "[modes.EXIT_BRAIN_V3]",
            f"owners = {list(OWNERS)}",
            f"legacy = {list(LEGACY)}",
            f"monitors = {[MONITOR]}",
            f'on_deny = "{self.denied}"',
            f'unknown = "{self.unknown}"',
        ]
        for rule in self.rules:
            lines += [f"[rules.{rule}]", f'level = "{self.level}"']
            lines += ["times = 3"] if rule == "CHURN" else []
        return "\n".join(lines).replace("'", '"') + "\n"


def make(
    seed: int, combination: int | None = None, *, second_process: bool | None = None, level: str = "enforce"
) -> History:
    """Make the history of a seed."""
    draw = random.Random(seed)
    denied, mode = COMBINATIONS[seed % 6 if combination is None else combination]
    rules = tuple(rule for rule in RULES if draw.random() < 0.16)
    wallet = draw.choice([10_000, 10_000, 10_000, 400])
    unknown = draw.choice(["allow", "allow", "deny"])
    apart = draw.random() < 0.1
    apart = apart if second_process is None else second_process
    symbols = ["BTCUSDT"] * 9 + (["ETHUSDT"] if draw.random() < 0.3 else [])
    maker = Maker(draw, mode, symbols, second_process=apart)
    steps = [maker.entry(), *(maker.step() for _ in range(draw.randint(8, 22)))]
    return History(seed, denied, mode, wallet, unknown, rules, apart, level, tuple(steps))


class Maker:
    """Draws steps."""

    def __init__(self, draw: random.Random, mode: str, symbols: list[str], *, second_process: bool) -> None:
        self.draw = draw
        self.sides = ["LONG", "LONG", "SHORT"] if mode == "hedge" else ["BOTH"]
        self.symbols = symbols
        self.processes = (0, 0, 1) if second_process else (0,)

    def entry(self) -> Step:
        """An entry of a module."""
        return Step(
            "enter",
            self.options(self.draw.choice(["brain", "stranger"])) | {"guards": self.draw.random() < 0.5},
        )

    def step(self) -> Step:
        """Anything."""
        draw = self.draw
        chance = draw.random()
        if chance < 0.17:
            return self.elsewhere()
        module = draw.choice(MODULES)
        weights = OWNERS_WEIGHTS if module in OWNERS else WEIGHTS
        (name,) = draw.choices(list(weights), list(weights.values()))
        amid = None
        if draw.random() < 0.15:
            inner = draw.choice(MODULES)
            amid = (
                self.elsewhere()
                if draw.random() < 0.4
                else Step(draw.choice(list(ROUTINES)), self.options(inner))
            )
        return Step(name, self.options(module), amid, draw.choice([1, 1, 2]))

    def elsewhere(self) -> Step:
        """What no shim sees: the market, the app, time."""
        draw = self.draw
        options = {
            "symbol": draw.choice(self.symbols),
            "side": draw.choice(self.sides),
            "waits": draw.random() < 0.8,
        }
        what = draw.choice(ELSEWHERE)
        options |= {
            "by": draw.choice([0.005, 0.01, 0.025, 0.06, 0.12]) * draw.choice([1, -1]),
        }
        options |= {
            "victim": draw.choice(["brain", "brain", "old_stops", "app"]),
            "seconds": draw.choice([0.5, 2, 30]),
        }
        return Step(what, options)

    def options(self, module: str) -> dict[str, Any]:
        """All that any routine may need; the same draws for each."""
        draw = self.draw
        is_owner = module in OWNERS
        limited = draw.random() < 0.08
        return {
            "module": module,
            "process": draw.choice(self.processes),
            "symbol": draw.choice(self.symbols),
            "side": draw.choice(self.sides),
            "limit": draw.choice([0.4, 1.0]) if limited else None,
            "shape": self.shape(is_owner=is_owner),
            "second": self.shape(is_owner=is_owner) if draw.random() < 0.4 else None,
            "name": draw.choice([None, None, None, "a", "b"]),
            "target_name": draw.choice([None, None, None, "a", "b"]),
            "towards": draw.choice(["0.01", "0.03", "0.08"]),
            "target_part": draw.choice(["whole", 1, 0.5, 0.34]),
            "close_part": draw.choice([1, 0.5, 0.34]),
            "both": draw.random() < 0.3,
            "by_name": draw.random() < 0.4,
            "times": draw.choice([2, 3, 4]),
            "way": draw.choice(["MARKET", "IOC", "FOK", "through"]),
            "fills": draw.random() < 0.7,
            "guards": draw.random() < 0.7,
            "long": draw.random() < 0.6,
            "size": draw.choice(["0.005", "0.01", "0.03"]),
            "which": draw.choice(["stop", "target"]),
            "victim": draw.choice(["brain", "old_stops", "old_trailer", "app"]),
            "arrives": draw.choice([None] * 30 + [True, False]),
        }

    def shape(self, *, is_owner: bool) -> dict[str, Any]:
        """A stop's fields."""
        draw = self.draw
        kind = draw.choice(["STOP_MARKET"] * 9 + ["TRAILING_STOP_MARKET"] * 2 + ["STOP"])
        part: Any = draw.choice(
            ["whole", "whole", "whole", 1, 1, 1, 0.67] if is_owner else ["whole", 1, 1, 0.67, 0.34]
        )
        # In hedge mode nothing else covers; drawn first, so that all other draws stay the same.
        if self.sides != ["BOTH"] and is_owner and part == 1:
            part = "whole"
        if kind == "TRAILING_STOP_MARKET" and part == "whole":
            part = 1
        return {
            "type": kind,
            "part": part,
            "distance": draw.choice([*NEAR, *FAR[: draw.randint(1, 4)]]),
            "working": draw.choice(["CONTRACT_PRICE", "CONTRACT_PRICE", "MARK_PRICE"]),
            "rate": draw.choice([1, 5, 15]),
            "later": draw.random() < 0.4,
            "protect": draw.random() < 0.05,
        }  # fmt: skip


class Lockstep:
    """Runs one history in both worlds, and compares them."""

    guarded: type[Guarded] = Guarded
    bare: type[Unguarded] = Unguarded

    def __init__(
        self, history: History, folder: Path, second: SecondProcess | None, tally: collections.Counter
    ) -> None:
        self.history = history
        self.tally = tally
        hedge = history.mode == "hedge"
        self.on = self.guarded(history, folder, second, tally, hedge=hedge)
        self.off = self.bare(history, hedge=hedge)
        self.worlds = (self.on, self.off)

    def run(self) -> None:
        """Live the history.

        Raises:
            Violation: The guard did what it must not.
        """
        try:
            for number, step in enumerate(self.history.steps):
                self.on.about = f"step {number}: {about(step)}"
                self.take(step)
            self.on.check_journal()
        finally:
            for world in self.worlds:
                world.close()

    def take(self, step: Step) -> None:
        """Take a step in both worlds, and compare them."""
        if step.what in ROUTINES:
            self.run_routine(step)
        else:
            self.happen(step)
        self.on.note_cover(step.what)
        self.on.check_simulated()
        self.on.compare(self.off)
        jump(random.Random(self.on.moment).choice([0.05, 0.3, 1.2, 5]))

    def run_routine(self, step: Step) -> None:
        """Run a module's code in both worlds, with something amid it in both."""
        runs = [ROUTINES[step.what](Bot(world, step.options), step.options) for world in self.worlds]
        pauses = step.at if step.amid else 99
        for run, world in zip(runs, self.worlds, strict=True):
            world.advance(run, pauses)
        if step.amid:
            self.take(step.amid)
            for run, world in zip(runs, self.worlds, strict=True):
                world.advance(run, 99)

    def happen(self, step: Step) -> None:
        """Have the market or the app do something in both worlds."""
        for world in self.worlds:
            world.happen(step.what, step.options)
        if step.options["waits"]:
            jump(1.3)


def tried(
    history: History,
    folder: Path,
    second: SecondProcess | None,
    tally: collections.Counter,
    lockstep: type[Lockstep] = Lockstep,
) -> str | None:
    """Live a history; return what is wrong, None for nothing."""
    try:
        lockstep(history, folder, second, tally).run()
    except Violation as wrong:
        return str(wrong)
    except Exception:  # noqa: BLE001 - a failure of the test's own or the shim's is one to report
        return traceback.format_exc()
    return None


def shrunk(history: History, kind: str, run: Callable[[History], str | None]) -> History:
    """Drop steps for as long as the history fails in the same way without them."""

    def fails(other: History) -> bool:
        wrong = run(other)
        return wrong is not None and kind_of(wrong) == kind

    size = len(history.steps) // 2
    while size:
        place = 0
        while place < len(history.steps):
            fewer = history._replace(steps=history.steps[:place] + history.steps[place + size :])
            if fails(fewer):
                history = fewer
            else:
                place += size
        size //= 2
    for place, step in enumerate(history.steps):
        alone = (*history.steps[:place], step._replace(amid=None), *history.steps[place + 1 :])
        if step.amid and fails(history._replace(steps=alone)):
            history = history._replace(steps=alone)
    return history


def told(history: History) -> str:
    """Return a history for people: what each step's routine does not read is left out."""
    about_all = " ".join(f"{key}={value}" for key, value in history._asdict().items() if key != "steps")
    return "\n".join([about_all, *(f"  {about(step)}" for step in history.steps)])


def about(step: Step) -> str:
    """Return a step in one line, with those of its options that it reads."""
    read = {"symbol", "by", "victim", "seconds", "waits"}
    if step.what in ROUTINES:
        read = set(re.findall(r'o\["(\w+)"\]', inspect.getsource(ROUTINES[step.what])))
        read |= {"module", "symbol", "side", "limit", "process", "arrives"}
    said = " ".join(
        f"{key}={value}" for key, value in step.options.items() if key in read and value is not None
    )
    return f"{step.what} {said}" + (f"\n     amid at {step.at}: {about(step.amid)}" if step.amid else "")


@contextlib.contextmanager
def house_rule():
    """A rule of a user's own: a pure function of the order, that finds something in one of three."""
    import exit_shim  # noqa: PLC0415
    from exit_shim.guard.rules.custom import forget_custom_rules  # noqa: PLC0415

    @exit_shim.rule("HOUSE")
    def house(case):
        quantity = case.order.quantity or "0"
        return {"house": "yes"} if case.operation != "query" and float(quantity) * 1000 % 3 == 1 else None

    yield
    forget_custom_rules()


class Run:
    """Lives histories one after the other, with one second process for all that need one.

    Args:
        folder: Where journals are.
        second: A second process to use; None: one of its own, once it is needed.
        lockstep: What runs a history.
    """

    def __init__(
        self, folder: Path, second: SecondProcess | None = None, lockstep: type[Lockstep] = Lockstep
    ) -> None:
        self._folder = folder
        self._lockstep = lockstep
        self._second = second
        self._is_lent = second is not None
        self._numbers = itertools.count()
        self._kept: collections.deque[Path] = collections.deque()

    def live(self, history: History, tally: collections.Counter | None = None) -> str | None:
        """Live a history; return what is wrong, None for nothing."""
        own = self._folder / str(next(self._numbers))
        own.mkdir()
        self._kept.append(own)
        if len(self._kept) > KEPT:  # what a thread of the last ones' may still write has a place
            shutil.rmtree(self._kept.popleft())
        if history.second_process and self._second is None:
            self._second = SecondProcess()
        second = self._second if history.second_process else None
        counts = collections.Counter() if tally is None else tally
        return tried(history, own, second, counts, self._lockstep)

    def close(self) -> None:
        """End the second process."""
        if self._second is not None and not self._is_lent:
            self._second.close()


class Found(NamedTuple):
    """What came of histories: failures in words, and counts by combination."""

    failures: list[str]
    tallies: dict[str, collections.Counter]

    @property
    def total(self) -> collections.Counter:
        """The counts of all."""
        return sum(self.tallies.values(), collections.Counter())


def live(
    histories: Iterable[History],
    second: SecondProcess | None = None,
    *,
    shrinks: bool = True,
    lockstep: type[Lockstep] = Lockstep,
) -> Found:
    """Live histories; of one that fails the shortest that fails alike is told."""
    found = Found([], collections.defaultdict(collections.Counter))
    shared = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder,
        jumping(),
        house_rule(),
        contextlib.closing(Run(Path(folder), second, lockstep)) as run,
    ):
        for history in histories:
            tally = found.tallies[f"{history.denied} {history.mode}"]
            tally["histories"] += 1
            wrong = run.live(history, tally)
            if wrong is None:
                continue
            tally["FAILURES"] += 1
            smallest = shrunk(history, kind_of(wrong), run.live) if shrinks else history
            found.failures.append(f"{run.live(smallest) or wrong}\n{told(smallest)}")
    return found


def kind_of(wrong: str) -> str:
    """Return in a few words what kind of failure one is."""
    lines = [line for line in wrong.splitlines() if not line.startswith(("step ", "     amid"))]
    return re.sub(r"[(:].*|\d+", "", lines[0]) if lines else ""


def main() -> int:
    """Live many histories, and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--histories", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--combination", type=int, help="0 to 5; all in turn by default")
    parser.add_argument("--level", default="enforce", help="warn holds nothing back: then nothing may differ")
    parser.add_argument("--no-shrink", action="store_true")
    asked = parser.parse_args()
    began = time.perf_counter()
    seeds = range(asked.seed, asked.seed + asked.histories)
    histories = (make(seed, asked.combination, level=asked.level) for seed in seeds)
    found = live(histories, shrinks=not asked.no_shrink)
    lines = [f"\nFAILED {failure}\n" for failure in found.failures]
    for name, tally in sorted(found.tallies.items()):
        lines.append(f"{name}:")
        lines += [f"  {tally[key]:6} {key}" for key in sorted(tally)]
    took = f"{time.perf_counter() - began:.0f} s"
    lines.append(
        f"{len(seeds)} histories, seeds {seeds[0]} to {seeds[-1]}, {took}, {len(found.failures)} failures"
    )
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if found.failures else 0


if __name__ == "__main__":
    sys.exit(main())
