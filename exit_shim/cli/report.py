"""`exit-shim report`: the picture of the exits, as one HTML file."""

import contextlib
import gc
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

import click

from exit_shim.cli.filters import Selection, filter_options
from exit_shim.cli.output import pluralize, say
from exit_shim.cli.progress import ProgressBar
from exit_shim.cli.sources import readable_journal_errors
from exit_shim.cli.why_empty import why_empty
from exit_shim.journal.default_path import journal_path


@click.command()
@click.option(
    *("-o", "--output"),
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("exits.html"),
    show_default=True,
    help="Where to write the page; an older one is replaced.",
)
@click.option(
    "--source",
    metavar="PATH",
    type=click.Path(exists=True, path_type=Path),
    help="Also show which places of the bot's source here were ever seen.",
)
@filter_options(omit={"limit"})
def report(*, output: Path, source: Path | None, selection: Selection) -> None:
    """Draw the exits as one HTML page.

    It opens in any browser and needs no network.

    Who placed, moved and cancelled which exit, when positions were covered or bare, who cancels whom, what
    the guard found, and what the shim costs. Filters narrow what is drawn; cover is that of all exits.
    """
    # They are of no use to other commands, and plotly is an extra.
    from exit_shim.cli.source_coverage import read_coverage  # noqa: PLC0415
    from exit_shim.reports.html_page import write_page  # noqa: PLC0415
    from exit_shim.reports.report_fold import Labels, Zone, read_report  # noqa: PLC0415

    plotly_js = read_plotly_js()
    with readable_journal_errors(), ProgressBar("reading"), without_collection():
        data = read_report(
            selection.source,
            selection.wanted,
            labels=Labels(
                Zone(selection.clock.zone, selection.clock.name),
                [f"{option} {text}" for option, text in selection.given.items()],
                shared_options(selection),
            ),
        )
        if source is not None:
            data = replace(data, coverage=read_coverage(source, selection.source, selection.wanted))
    is_empty = not (data.orders or data.exits)
    why = why_empty(selection) if is_empty else ""
    with replaced(output) as stream:
        write_page(data, stream, plotly_js, why)
    if is_empty:
        say(why, err=True)
    exits, symbols = pluralize(data.exits, "exit"), pluralize(len(data.ladders), "symbol")
    say(f"{output}: {exits} on {symbols}, {data.ended_by_other} ended by another module")


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """Collect no garbage: what is read has no cycles, and looking for them takes a tenth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def read_plotly_js() -> str:
    """Return the source of plotly.js; end the command where plotly is not installed."""
    try:
        from plotly.offline import get_plotlyjs  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise click.ClickException("the report needs plotly: pip install 'exit_shim[report]'") from None
    return str(get_plotlyjs())


def shared_options(selection: Selection) -> Sequence[str]:
    """Return the options that let another command read the same journal; a database is in a variable."""
    if selection.journal is None or selection.journal == str(journal_path()):
        return ()
    return "--journal", selection.journal


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[IO[str]]:
    """Open a file that takes the place of `path` once it is whole; end the command where it cannot."""
    try:
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        with os.fdopen(number, "w", encoding="utf-8", newline="\n") as stream:
            yield stream
        # A temporary file is its owner's alone; a page is as any other new file.
        Path(name).chmod(0o666 & ~current_umask())
        Path(name).replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        Path(name).unlink(missing_ok=True)


def current_umask() -> int:
    """Return the permissions that new files of this process do not have."""
    umask = os.umask(0)
    os.umask(umask)
    return umask


def cannot_write(path: Path, error: OSError) -> click.ClickException:
    """Return the error of a page that cannot be written."""
    return click.ClickException(f"{path} cannot be written: {error.strerror or error}")
