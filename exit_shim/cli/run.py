"""`exit-shim run`: an unmodified bot, in this process, with the shim around every client that it makes."""

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

from exit_shim.cli.output import OutputError, check_stdout, json_text, output_error, say
from exit_shim.cli.reading import json_line
from exit_shim.cli.tables import Report
from exit_shim.configuration import JOURNAL_VARIABLE, is_disabled
from exit_shim.domain.modes import MODE_VARIABLE
from exit_shim.guard.policy import FILE_NAME, POLICY_VARIABLE, meant
from exit_shim.journal import JournalError, RecordFilter, count_records, read_records, state_folder
from exit_shim.shim import ExitShim, default_shim
from exit_shim.testing import LocalExchange, WalkingMarket
from exit_shim.testing.confine import confine
from exit_shim.testing.redirect import redirect_clients

INTERRUPTED = 130
"""The exit status of a process that Ctrl-C ended."""


class BotCommand(click.Command):
    """A command whose options end where the bot's begin: at the script, or after `-m MODULE`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put a `--` behind `-m MODULE`, as if the user had."""
        place, takes_value = 0, {"--mode", "--allow-port", "-m"}
        while place < len(args) and args[place].startswith("-") and args[place] != "--":
            word = args[place]
            place += 2 if word in takes_value else 1
            if word.startswith("-m") and place <= len(args):
                args = [*args[:place], "--", *args[place:]]
                break
        return super().parse_args(ctx, args)


@click.command(cls=BotCommand, context_settings={"allow_interspersed_args": False})
@click.option("--local", is_flag=True, help="Against a local exchange; no order can leave this machine.")
@click.option("--allow-port", type=int, multiple=True, help="With --local: a loopback port the bot needs.")
@click.option("--mode", metavar="MODE", help="EXIT_MODE for this run: LEGACY, EXIT_BRAIN_V3 or the policy's.")
@click.option("--json", "as_json", is_flag=True, help="The orders as JSON lines; the bot's output to stderr.")
@click.option("-m", "module", metavar="MODULE", help="Run a module, as python -m does.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[SCRIPT.py] [ARGS]...")
def run(
    *,
    local: bool,
    allow_port: tuple[int, ...],
    mode: str | None,
    as_json: bool,
    module: str | None,
    arguments: tuple[str, ...],
) -> None:
    """Run a bot under the shim, and say at its end who placed what."""
    if module is None and not (arguments and Path(arguments[0]).is_file()):
        raise click.UsageError(f"{arguments[0]} is no file" if arguments else "name a SCRIPT.py or -m MODULE")
    if module is not None:
        begin(str(Path.cwd()), ["-m", *arguments])
        if importlib.util.find_spec(module.partition(".")[0]) is None:
            raise click.UsageError(
                f"there is no module named {module} in {Path.cwd()} or among the installed"
            )
    if mode is not None:
        os.environ[MODE_VARIABLE] = mode
    if local:
        os.environ.setdefault(JOURNAL_VARIABLE, str(state_folder() / "local.db"))
    printed_to = aside_stdout() if as_json else None
    find_policy_beside(Path.cwd() if module is not None else Path(arguments[0]).resolve().parent)
    shim, around = begun_shim(mode), contextlib.ExitStack()
    if local:
        around.enter_context(on_local_exchange(allow_port))
    around.enter_context(shim.install())
    # Registered before the bot registers anything, so it comes last: python waits for the bot's threads and
    # pools and calls its atexit functions first, which may place orders too.
    atexit.register(finish, os.getpid(), shim, around, printed_to)
    run_bot(module, arguments)


def find_policy_beside(folder: Path) -> None:
    """Have the policy beside the bot found: the main script of this process is not the bot's."""
    path = folder / FILE_NAME
    if not os.environ.get(POLICY_VARIABLE) and path.is_file():
        os.environ[POLICY_VARIABLE] = str(path)


def begun_shim(mode: str | None) -> ExitShim:
    """Return the process's shim; a mode that its policy does not have ends the command."""
    shim = default_shim()
    modes = shim.guard.compiled_policy.modes
    if mode is not None and mode not in modes:
        raise click.UsageError(f"{mode!r} is no mode{meant(mode, modes)}; there are {', '.join(modes)}")
    return shim


@contextlib.contextmanager
def on_local_exchange(allow_ports: tuple[int, ...]) -> Iterator[None]:
    """A local exchange, python-binance pointed at it, and this process kept from any other host."""
    exchange = LocalExchange(
        market=WalkingMarket(seed=1), rate_limits=False
    )  # a run packs a day into seconds
    with exchange, redirect_clients(exchange.url, exchange.register):
        confine({exchange.port, *allow_ports})
        yield


def aside_stdout() -> TextIO:
    """Turn file descriptor 1 into stderr, for the bot and what it starts; returns what stdout was."""
    check_stdout()
    sys.stdout.flush()
    kept = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return kept


def run_bot(module: str | None, arguments: tuple[str, ...]) -> None:
    """Run it as `python` would, its own SystemExit included; its failures are shown as python shows them."""
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
    """`python SCRIPT.py ARGS`."""
    path = str(Path(script).absolute())
    begin(str(Path(path).resolve().parent), [script, *arguments])
    loader = SourceFileLoader("__main__", path)
    code = loader.source_to_code(loader.get_data(path), path)
    run_as_main(code, __file__=path, __loader__=loader, __package__=None, __spec__=None, __cached__=None)


def run_module(module: str) -> None:
    """`python -m MODULE ARGS`; a package is run by its `__main__`."""
    spec = importlib.util.find_spec(module)
    if spec is not None and spec.submodule_search_locations is not None:
        spec = importlib.util.find_spec(f"{module}.__main__")
    loader: Any = None if spec is None else spec.loader
    code = None if loader is None or spec is None else loader.get_code(spec.name)
    if spec is None or code is None:
        sys.exit(f"exit-shim: there is no code to run in {module}")
    sys.argv[0] = spec.origin or module
    run_as_main(
        code,
        __file__=spec.origin,
        __loader__=loader,
        __package__=spec.parent,
        __spec__=spec,
        __cached__=spec.cached,
    )


def begin(folder: str, argv: list[str]) -> None:
    """What the bot finds in `sys`."""
    sys.argv = argv
    if not getattr(sys.flags, "safe_path", False):  # Python 3.11's -P: no folder is put in front
        sys.path[0] = folder


def run_as_main(code: CodeType, **names: Any) -> None:
    """Execute as `__main__`, and leave it there: threads and pickles look it up after the last line too."""
    main = ModuleType("__main__")
    vars(main).update(names, __builtins__=builtins)
    sys.modules["__main__"] = main
    exec(code, vars(main))  # noqa: S102 - running a program is what this command is for


def bot_part(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the bot's first frame on."""
    while trace is not None and str(trace.tb_frame.f_globals.get("__name__")).startswith(
        ("exit_shim.cli", "importlib", "runpy")
    ):
        trace = trace.tb_next
    return trace


def finish(pid: int, shim: ExitShim, around: contextlib.ExitStack, printed_to: TextIO | None) -> None:
    """Report, and close what was opened; not in a child that the bot forked."""
    if os.getpid() != pid:
        return
    try:
        with around:
            report(shim, printed_to)
            (printed_to or sys.stdout).flush()
    except OSError as error:
        output_error(error, printed_to).show()
    except OutputError as error:
        error.show()


def report(shim: ExitShim, printed_to: TextIO | None) -> None:
    """Print what this run recorded: JSON lines where a place for them was kept, else a table."""
    if is_disabled() or shim.journal is None:
        say("EXIT_SHIM_DISABLED is set: nothing was recorded", err=True)
        return
    shim.flush()
    try:
        records = list(read_records(shim.journal.path, RecordFilter(run_id=shim.journal.run_id)))
    except JournalError as error:
        why = shim.journal.health().last_error or error
        counts = json_text(shim.metrics.get_summary())
        say(f"this run's records could not be kept: {why}", f"its counts: {counts}", err=True)
        return
    if printed_to is not None:
        for record in records:
            say(json_line(record), file=printed_to)
        return
    check_stdout()
    Report(*count_records(records)).show()
    coroutines = shim.gateway.entry_coroutines()
    say(
        f"{shim.gateway.entry_orders()} entry orders passed"
        + f", {coroutines} coroutines of entry orders made" * bool(coroutines)
        + f"; journal: {shim.journal.path}"
    )
