"""`exit-shim run`: run an unmodified bot in this process, with the shim around each of its clients."""

import atexit
import builtins
import contextlib
import importlib.util
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from exit_shim.cli.clock import Clock, clock_of, clock_options
from exit_shim.cli.filters import Selection, select
from exit_shim.cli.forked_runs import count_forked, forked_lines
from exit_shim.cli.json_lines import json_text, record_json
from exit_shim.cli.local_run import on_local_exchange
from exit_shim.cli.local_watch import LocalWatch
from exit_shim.cli.market_options import VALUE_OPTIONS, MarketChoice, market_options
from exit_shim.cli.missing_notices import say_missing
from exit_shim.cli.next_step import next_command
from exit_shim.cli.output import (
    Line,
    OutputError,
    check_stdout,
    output_error,
    pluralize,
    say,
    say_styled,
    show_lines,
)
from exit_shim.cli.overview import Overview, read_overview
from exit_shim.cli.overview_screen import cover_lines, fit, overview_lines, site_lines
from exit_shim.cli.sources import local_journal
from exit_shim.clients.hosts import suffix_of
from exit_shim.clients.raw_http import note_signatures
from exit_shim.configuration import OTEL_VARIABLE, SHIP_VARIABLE, is_disabled
from exit_shim.domain.modes import MODE_VARIABLE
from exit_shim.guard.policy import FILE_NAME, POLICY_VARIABLE
from exit_shim.journal.default_path import JOURNAL_VARIABLE, journal_path
from exit_shim.runtime.nearest_name import did_you_mean
from exit_shim.shim import ExitShim, default_shim
from exit_shim.testing import LocalExchange

if TYPE_CHECKING:
    from exit_shim.cli.local_end import LocalEnd
    from exit_shim.reports.timeline import PositionState

INTERRUPTED = 130
"""The exit status of a process that Ctrl-C ended."""

ROOM: Final = 80
"""The most lines of what is shown at the end, but for places in the bot."""


class BotCommand(click.Command):
    """A command whose options end where the bot's begin: at the script, or after `-m MODULE`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert a `--` behind `-m MODULE`, so that what follows is the bot's."""
        place = 0
        takes_value = {"--mode", "--allow-port", "--allow-package", "--tz", "-m"} | VALUE_OPTIONS
        while place < len(args) and args[place].startswith("-") and args[place] != "--":
            word = args[place]
            place += 2 if word in takes_value else 1
            if word.startswith("-m") and place <= len(args):
                args = [*args[:place], "--", *args[place:]]
                break
        return super().parse_args(ctx, args)


@click.command(
    cls=BotCommand, context_settings={"allow_interspersed_args": False, "default_map": {"seed": 1}}
)
@click.option("--local", is_flag=True, help="Use a local exchange; no order can leave this machine.")
@click.option(
    "--allow-port", type=int, multiple=True, help="With --local: let the bot use this loopback port."
)
@click.option(
    "--allow-package",
    metavar="NAME",
    multiple=True,
    help="With --local: let the bot import this package. Its connections are not watched.",
)
@market_options
@click.option(
    "--mode", metavar="MODE", help="EXIT_MODE for this run: LEGACY, EXIT_BRAIN_V3 or a mode of the policy."
)
@click.option("--bridge", is_flag=True, help="Keep conditional-order calls from before 2025-12-09 working.")
@click.option(
    "--raw",
    is_flag=True,
    help="Also cover orders that the bot itself sends by requests, httpx or aiohttp. Always on with --local.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print orders as JSON lines, and the bot's output to stderr."
)
@click.option("--sites", is_flag=True, help="Also count by each place in the bot.")
@clock_options
@click.option("-m", "module", metavar="MODULE", help="Run a module, as python -m does.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[SCRIPT.py] [ARGS]...")
def run(  # noqa: PLR0913 - all by name
    *,
    local: bool,
    allow_port: tuple[int, ...],
    allow_package: tuple[str, ...],
    market_choice: MarketChoice,
    mode: str | None,
    bridge: bool,
    raw: bool,
    as_json: bool,
    sites: bool,
    module: str | None,
    arguments: tuple[str, ...],
) -> None:
    """Run a bot under the shim and report who placed what.

    The bot runs as `python SCRIPT.py ARGS` would run it, unmodified, and the exit status is its own. The
    report comes when it ends: who fights whom, what the guard found, and which positions had no stop. With
    --local it also says what the exchange refused or lacks, and what was left on it; --symbols, --prices,
    --market, --seed and --speed choose its market.
    """
    # The shim's own settings say where the next command looks, unless this one sets them.
    report = RunReport(clock_of(click.get_current_context()), journal_path(), with_sites=sites)
    if module is None and not (arguments and Path(arguments[0]).is_file()):
        raise click.UsageError(
            f"{arguments[0]} is not a file" if arguments else "name a SCRIPT.py or -m MODULE"
        )
    if module is not None:
        set_argv(str(Path.cwd()), ["-m", *arguments])
        if importlib.util.find_spec(module.partition(".")[0]) is None:
            raise click.UsageError(f"there is no module named {module} in {Path.cwd()} or installed")
    if mode is not None:
        os.environ[MODE_VARIABLE] = mode
    if local:
        os.environ.setdefault(JOURNAL_VARIABLE, str(local_journal()))
        # Nobody who watches real orders should see those of a local run.
        for variable in (SHIP_VARIABLE, OTEL_VARIABLE):
            os.environ.pop(variable, None)
    report.records_to = redirect_stdout() if as_json else None
    use_policy_beside(Path.cwd() if module is not None else Path(arguments[0]).resolve().parent)
    shim, undo = make_shim(mode), contextlib.ExitStack()
    if local:
        report.exchange, report.watch = undo.enter_context(
            on_local_exchange(market_choice, allow_port, allow_package)
        )
        report.covered = note_signatures()
        report.watch.start(shim.exchange_log, shim.internal_errors.report)
        report.end_notices = say_missing(report.exchange)
    undo.enter_context(shim.install(bridge=bridge or None, raw=raw or local or None))
    # Registered before the bot's atexit functions, so it runs after them: they, threads and pools may still
    # place orders.
    atexit.register(finish, os.getpid(), shim, undo, report)
    run_bot(module, arguments)


def use_policy_beside(folder: Path) -> None:
    """Set EXIT_SHIM_POLICY to the policy beside the bot: the main script of this process is not the bot's."""
    path = folder / FILE_NAME
    if not os.environ.get(POLICY_VARIABLE) and path.is_file():
        os.environ[POLICY_VARIABLE] = str(path)


def make_shim(mode: str | None) -> ExitShim:
    """Return the process's shim; refuse a mode that its policy does not have."""
    shim = default_shim()
    modes = shim.guard.compiled_policy.modes
    if mode is not None and mode not in modes:
        raise click.UsageError(
            f"{mode!r} is not a mode{did_you_mean(mode, modes)}; expected {', '.join(modes)}"
        )
    return shim


def redirect_stdout() -> TextIO:
    """Redirect file descriptor 1 to stderr, for the bot and its children; return the former stdout."""
    check_stdout()
    sys.stdout.flush()
    former = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return former


def run_bot(module: str | None, arguments: tuple[str, ...]) -> None:
    """Run the bot as `python` would, and show its failures as python shows them."""
    try:
        if module is None:
            run_script(*arguments)
        else:
            run_module(module)
    except SystemExit:
        raise
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BaseException as error:  # noqa: BLE001 - the bot's own, and the last stop
        error.__traceback__ = bot_part(error.__traceback__)
        sys.excepthook(type(error), error, error.__traceback__)
        sys.exit(1)


def run_script(script: str, *arguments: str) -> None:
    """Run `python SCRIPT.py ARGS`."""
    path = str(Path(script).absolute())
    set_argv(str(Path(path).resolve().parent), [script, *arguments])
    loader = SourceFileLoader("__main__", path)
    code = loader.source_to_code(loader.get_data(path), path)
    run_as_main(code, __file__=path, __loader__=loader, __package__=None, __spec__=None, __cached__=None)


def run_module(module: str) -> None:
    """Run `python -m MODULE ARGS`; a package runs by its `__main__`."""
    spec = importlib.util.find_spec(module)
    if spec is not None and spec.submodule_search_locations is not None:
        spec = importlib.util.find_spec(f"{module}.__main__")
    loader: Any = None if spec is None else spec.loader
    code = None if loader is None or spec is None else loader.get_code(spec.name)
    if spec is None or code is None:
        sys.exit(f"exit-shim: {module} has no code to run")
    sys.argv[0] = spec.origin or module
    run_as_main(
        code,
        __file__=spec.origin,
        __loader__=loader,
        __package__=spec.parent,
        __spec__=spec,
        __cached__=spec.cached,
    )


def set_argv(folder: str, argv: list[str]) -> None:
    """Set `sys.argv` and the first entry of `sys.path` as the bot expects them."""
    sys.argv = argv
    # With Python 3.11's -P no folder is put in front.
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = folder


def run_as_main(code: CodeType, **names: Any) -> None:
    """Execute code as `__main__`."""
    main = ModuleType("__main__")
    vars(main).update(names, __builtins__=builtins)
    # It stays there: threads and pickles look it up after the last line too.
    sys.modules["__main__"] = main
    exec(code, vars(main))  # noqa: S102 - running a program is what this command is for


def bot_part(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the bot's first frame on."""
    while trace is not None and str(trace.tb_frame.f_globals.get("__name__")).startswith(
        ("exit_shim.cli", "importlib", "runpy")
    ):
        trace = trace.tb_next
    return trace


class RunReport:
    """What a run shows when it ends.

    Args:
        clock: The zone for times.
        usual_journal: The journal that the next command reads unless another one is named.
        with_sites: Whether each place in the bot is counted, too.
    """

    def __init__(self, clock: Clock, usual_journal: str, *, with_sites: bool) -> None:
        self._clock = clock
        self._usual_journal = usual_journal
        self._with_sites = with_sites
        self._started_ns = time.time_ns()
        self.records_to: TextIO | None = None
        """Where JSON lines go; None for a report to people."""
        self.exchange: LocalExchange | None = None
        self.watch: LocalWatch | None = None
        self.covered: set[int] = set()
        """The signatures of the requests that the shim saw, as hashes."""
        self.end_notices: Callable[[], None] | None = None

    def show(self, shim: ExitShim) -> None:
        """Print what this run recorded: JSON lines to the former stdout, or a screen."""
        if is_disabled() or shim.journal is None:
            say("EXIT_SHIM_DISABLED is set: nothing was recorded", err=True)
            return
        if self.end_notices is not None and self.watch is not None:
            self.end_notices()
            self.watch.stop()
        # The end names modules by what the journal has.
        shim.flush()
        end = self._read_end()
        selection = select(self._clock, journal=str(shim.journal.path), run=shim.journal.run_id)
        try:
            if self.records_to is None:
                self._show_screen(shim, selection, end)
            else:
                for record in selection.read_records():
                    say(record_json(record), file=self.records_to)
        except OutputError:
            raise
        except click.ClickException as error:
            why = shim.journal.health().last_error or error.message
            counts = json_text(shim.metrics.get_summary())
            say(f"the journal has no records of this run: {why}", f"counts of this run: {counts}", err=True)
        if end is not None and self.records_to is not None:
            # Readers of stdout expect orders only.
            say(json_text(end.as_dict()), err=True)

    def _read_end(self) -> "LocalEnd | None":
        """Return what the local exchange saw; None where there is none."""
        if self.exchange is None:
            return None
        # Heavy, and only for a local run.
        from exit_shim.cli.local_end import read_local_end  # noqa: PLC0415

        return read_local_end(self.exchange, self.covered)

    def _show_screen(self, shim: ExitShim, selection: Selection, end: "LocalEnd | None") -> None:
        overview = read_overview(selection)
        if end is not None:
            overview = overview._replace(positions=seen_since(overview.positions, self._started_ns))
        is_usual = selection.journal == self._usual_journal
        named = "" if is_usual else f" --journal {shlex.quote(str(selection.journal))}"
        see = f"exit-shim summary --json --run {selection.wanted.run_id}{named}"
        check_stdout()
        if self.exchange is not None:
            counts = count_forked(selection, self._started_ns, suffix_of(self.exchange.url))
            show_lines(list(forked_lines(counts, named)))
        # The two lines below it have to be there, too.
        show_lines(fit(lambda most: self._draw(overview, end, most, see), ROOM - 2))
        if self._with_sites:
            show_lines(site_lines(overview.totals))
        entries = f"{entry_text(shim)}; " if is_recorded(overview, end) else ""
        say(f"{entries}journal: {selection.journal}")
        say_styled(f"Next: {next_command(overview, None if is_usual else selection.journal)}", "bold")

    def _draw(self, overview: Overview, end: "LocalEnd | None", most: int, see: str) -> Iterator[Line]:
        """Yield the parts of the screen, each with at most so many entries; `see` shows the others."""
        if end is None:
            yield from overview_lines(overview, self._clock, most=most, see=see)
            return
        from exit_shim.cli.local_end_screen import local_end_lines, unrecorded_lines  # noqa: PLC0415 - as above

        yield from unrecorded_lines(end)
        # A bot without a covered client has no recorded order, which does not mean that nothing happened.
        draw = overview_lines if is_recorded(overview, end) else cover_lines
        yield from draw(overview, self._clock, most=most, see=see, is_watched=True)
        yield from local_end_lines(end, most)


def seen_since(positions: "list[PositionState]", start_ns: int) -> "list[PositionState]":
    """Return the positions of this run's exchange; those of earlier ones are gone with theirs."""
    return [state for state in positions if (state.seen_ns or 0) >= start_ns]


def is_recorded(overview: Overview, end: "LocalEnd | None") -> bool:
    """Return whether the journal tells what the bot did, as far as the exchange knows."""
    return bool(overview.totals.sites) or end is None or not end.unrecorded


def entry_text(shim: ExitShim) -> str:
    """Return how many entry orders there were."""
    coroutines = shim.gateway.entry_coroutines()
    return (
        f"{pluralize(shim.gateway.entry_orders(), 'entry order')} passed through"
        + f", {pluralize(coroutines, 'coroutine')} of entry orders created" * bool(coroutines)
    )


def finish(pid: int, shim: ExitShim, undo: contextlib.ExitStack, report: RunReport) -> None:
    """Report, and close what was opened; not in a child that the bot forked."""
    if os.getpid() != pid:
        return
    try:
        with undo:
            report.show(shim)
            (report.records_to or sys.stdout).flush()
    except OSError as error:
        output_error(error, report.records_to).show()
    except OutputError as error:
        error.show()
