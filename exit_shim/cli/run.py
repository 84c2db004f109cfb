"""`exit-shim run`: an unmodified bot, in this process, with the shim around every client that it makes."""

import contextlib
import os
import runpy
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

import click

from exit_shim.cli.reading import json_line
from exit_shim.cli.tables import Report
from exit_shim.journal import JournalError, read_records, state_folder
from exit_shim.modes import MODE_VARIABLE, MODES
from exit_shim.shim import JOURNAL_VARIABLE, ExitShim, default_shim, is_disabled
from exit_shim.testing import LocalExchange, WalkingMarket
from exit_shim.testing.confine import confine
from exit_shim.testing.pointing import pointed_at

INTERRUPTED = 130
"""The exit status of a process that Ctrl-C ended."""


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--local", is_flag=True, help="Against a local exchange; no order can leave this machine.")
@click.option("--allow-port", type=int, multiple=True, help="With --local: a loopback port the bot needs.")
@click.option("--mode", type=click.Choice(MODES), help="EXIT_MODE for this run.")
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
    if mode is not None:
        os.environ[MODE_VARIABLE] = mode
    if local:
        os.environ.setdefault(JOURNAL_VARIABLE, str(state_folder() / "local.db"))
    shim = default_shim()
    with contextlib.ExitStack() as around:
        if local:
            around.enter_context(on_local_exchange(allow_port))
        if not is_disabled():
            around.enter_context(shim.installed())
        with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
            status = run_bot(module, arguments)
    report(shim, as_json=as_json)
    sys.exit(status)


@contextlib.contextmanager
def on_local_exchange(allow_ports: tuple[int, ...]) -> Iterator[None]:
    """A local exchange, python-binance pointed at it, and this process kept from any other host."""
    exchange = LocalExchange(market=WalkingMarket(seed=1))
    with exchange, pointed_at(exchange.url, exchange.register):
        confine({exchange.port, *allow_ports})
        yield


def run_bot(module: str | None, arguments: tuple[str, ...]) -> int:
    """Run it as `python` would; returns the exit status. Threads that it leaves running are waited for."""
    try:
        if module is not None:
            sys.path[0] = str(Path.cwd())
            sys.argv = [module, *arguments]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        else:
            script = Path(arguments[0]).resolve()
            sys.path[0] = str(script.parent)
            sys.argv = [arguments[0], *arguments[1:]]
            runpy.run_path(str(script), run_name="__main__")
        for thread in threading.enumerate():
            if not thread.daemon and thread is not threading.current_thread():
                thread.join()
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as end:
        return exit_status(end.code)
    except Exception:  # noqa: BLE001 - the bot's own failure, shown as python shows it
        traceback.print_exc()
        return 1
    return 0


def exit_status(code: object) -> int:
    """What `sys.exit(code)` ends a process with; a text goes to stderr, as python does it."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code
    click.echo(code, err=True)
    return 1


def report(shim: ExitShim, *, as_json: bool) -> None:
    """Print what this run recorded."""
    if is_disabled() or shim.journal is None:
        click.echo("EXIT_SHIM_DISABLED is set: nothing was recorded", err=True)
        return
    shim.journal.flush()
    try:
        records = list(read_records(shim.journal.path, run_id=shim.journal.run_id))
    except JournalError as error:
        click.echo(f"{error}; what is known without it: {shim.summary()}", err=True)
        return
    if as_json:
        for record in records:
            click.echo(json_line(record))
        return
    Report(records).show()
    click.echo(f"{shim.gateway.entry_orders()} entry orders passed; journal: {shim.journal.path}")
