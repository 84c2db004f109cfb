"""`exit-shim run`: run an unmodified bot in this process, with the shim around each of its clients."""

import atexit
import builtins
import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import Any, TextIO

import click

from exit_shim.cli.clock import Clock, clock_of, clock_options
from exit_shim.cli.filters import Selection, select
from exit_shim.cli.json_lines import json_text, record_json
from exit_shim.cli.local_watch import LocalWatch
from exit_shim.cli.next_step import next_command
from exit_shim.cli.output import OutputError, check_stdout, output_error, pluralize, say, say_styled
from exit_shim.cli.overview import read_overview
from exit_shim.cli.overview_screen import show_overview
from exit_shim.cli.sources import local_journal
from exit_shim.configuration import is_disabled
from exit_shim.domain.modes import MODE_VARIABLE
from exit_shim.guard.policy import FILE_NAME, POLICY_VARIABLE
from exit_shim.journal.default_path import JOURNAL_VARIABLE, journal_path
from exit_shim.runtime.nearest_name import did_you_mean
from exit_shim.shim import ExitShim, default_shim
from exit_shim.testing import LocalExchange, WalkingMarket
from exit_shim.testing.confine import confine
from exit_shim.testing.redirect import redirect_clients

INTERRUPTED = 130
"""The exit status of a process that Ctrl-C ended."""


class BotCommand(click.Command):
    """A command whose options end where the bot's begin: at the script, or after `-m MODULE`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert a `--` behind `-m MODULE`, so that what follows is the bot's."""
        place, takes_value = 0, {"--mode", "--allow-port", "--tz", "-m"}
        while place < len(args) and args[place].startswith("-") and args[place] != "--":
            word = args[place]
            place += 2 if word in takes_value else 1
            if word.startswith("-m") and place <= len(args):
                args = [*args[:place], "--", *args[place:]]
                break
        return super().parse_args(ctx, args)


@click.command(cls=BotCommand, context_settings={"allow_interspersed_args": False})
@click.option("--local", is_flag=True, help="Use a local exchange; no order can leave this machine.")
@click.option(
    "--allow-port", type=int, multiple=True, help="With --local: let the bot use this loopback port."
)
@click.option(
    "--mode", metavar="MODE", help="EXIT_MODE for this run: LEGACY, EXIT_BRAIN_V3 or a mode of the policy."
)
@click.option(
    "--bridge", is_flag=True, help="Keep calls of before 2025-12-09 about conditional orders working."
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print orders as JSON lines, and the bot's output to stderr."
)
@click.option("--sites", is_flag=True, help="Count by each place in the bot, too.")
@clock_options
@click.option("-m", "module", metavar="MODULE", help="Run a module, as python -m does.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[SCRIPT.py] [ARGS]...")
def run(  # noqa: PLR0913 - all by name
    *,
    local: bool,
    allow_port: tuple[int, ...],
    mode: str | None,
    bridge: bool,
    as_json: bool,
    sites: bool,
    module: str | None,
    arguments: tuple[str, ...],
) -> None:
    """Run a bot under the shim and report who placed what.

    The bot runs as `python SCRIPT.py ARGS` would run it, unmodified, and the exit status is its own. The
    report comes when it ends: who fights whom, what was found, and which positions were without a stop.
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
    report.records_to = redirect_stdout() if as_json else None
    use_policy_beside(Path.cwd() if module is not None else Path(arguments[0]).resolve().parent)
    shim, undo = make_shim(mode), contextlib.ExitStack()
    if local:
        report.watch = undo.enter_context(on_local_exchange(allow_port))
        report.watch.start(shim.exchange_log, shim.internal_errors.report)
    undo.enter_context(shim.install(bridge=bridge or None))
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


@contextlib.contextmanager
def on_local_exchange(allow_ports: tuple[int, ...]) -> Iterator[LocalWatch]:
    """Start a local exchange, redirect python-binance to it, and keep this process from any other host.

    Yields:
        What records the sizes of its positions.
    """
    # A run packs a day into seconds, which no rate limit allows.
    exchange = LocalExchange(market=WalkingMarket(seed=1), rate_limits=False)
    with exchange:
        watch = LocalWatch(exchange)
        with redirect_clients(exchange.url, watch.add_key):
            confine({exchange.port, *allow_ports})
            yield watch


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
        self.records_to: TextIO | None = None
        """Where JSON lines go; None for a report to people."""
        self.watch: LocalWatch | None = None

    def show(self, shim: ExitShim) -> None:
        """Print what this run recorded: JSON lines to the former stdout, or a screen."""
        if is_disabled() or shim.journal is None:
            say("EXIT_SHIM_DISABLED is set: nothing was recorded", err=True)
            return
        if self.watch is not None:
            self.watch.stop()
        shim.flush()
        selection = select(self._clock, journal=str(shim.journal.path), run=shim.journal.run_id)
        try:
            if self.records_to is None:
                self._show_screen(shim, selection)
            else:
                for record in selection.read_records():
                    say(record_json(record), file=self.records_to)
        except OutputError:
            raise
        except click.ClickException as error:
            why = shim.journal.health().last_error or error.message
            counts = json_text(shim.metrics.get_summary())
            say(f"the journal has no records of this run: {why}", f"counts of this run: {counts}", err=True)

    def _show_screen(self, shim: ExitShim, selection: Selection) -> None:
        overview = read_overview(selection)
        check_stdout()
        show_overview(overview, self._clock, with_sites=self._with_sites)
        coroutines = shim.gateway.entry_coroutines()
        say(
            f"{pluralize(shim.gateway.entry_orders(), 'entry order')} passed through"
            + f", {pluralize(coroutines, 'coroutine')} of entry orders created" * bool(coroutines)
            + f"; journal: {selection.journal}"
        )
        is_usual = selection.journal == self._usual_journal
        say_styled(f"Next: {next_command(overview, None if is_usual else selection.journal)}", "bold")


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
