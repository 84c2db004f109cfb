"""Where the bot's source is: at --source, else in the folder in which the command runs."""

from pathlib import Path
from typing import Final, Literal, NamedTuple

import click

from exit_shim.scan.scan import scan
from exit_shim.scan.sites import Scan, Site
from exit_shim.scan.source_files import has_more_files

MOST_FILES: Final = 500
"""The files of a folder that is read unasked: a bot has fewer, and a folder of projects has more."""

source_option = click.option(
    "--source",
    metavar="PATH",
    type=click.Path(exists=True, path_type=Path),
    help="Read the bot's source here. Without it: in this folder, if it holds Python files.",
)


class BotSource(NamedTuple):
    """Hold the scan of a bot's source.

    Attributes:
        scan: What was found.
        origin: Where the path came from.
    """

    scan: Scan
    origin: Literal["--source", "this folder"]


def read_bot_source(typed: Path | None) -> BotSource | str:
    """Return the scan of the bot's source, or why there is none, in words.

    A home folder, one above it, and a folder of many files are never read unasked.
    """
    if typed is not None:
        return BotSource(scan(typed), "--source")
    try:
        folder, home = Path.cwd(), Path("~").expanduser()
        reason = why_not(folder, home)
    # The folder is gone or cannot be read, or the user has no home.
    except (OSError, RuntimeError) as error:
        reason = str(error)
    return reason or BotSource(scan(folder), "this folder")


def why_not(folder: Path, home: Path) -> str:
    """Return why a folder is not read unasked; "" where it is."""
    if folder == home or folder in home.parents:
        return "a home folder is not read"
    if not any(path.suffix == ".py" for path in folder.iterdir()):
        return "this folder has no Python files"
    return f"this folder has more than {MOST_FILES} files" if has_more_files(folder, MOST_FILES) else ""


def leaves_of(found: Scan) -> list[Site]:
    """Return the sites that send themselves."""
    return [site for site in found.sites if site.is_leaf]
