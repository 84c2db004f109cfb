"""What every command prints: text without terminal controls, and one line where writing fails."""

import contextlib
import errno
import os
import sys
from collections.abc import Iterable, Iterator
from typing import IO, Any, Final, TypeAlias

import click

Line: TypeAlias = list[tuple[str, str]]
"""A line of output in pieces, each with its style: "", "bold", "dim" or "red"."""

CANNOT_WRITE: Final = 74
"""The exit status where the output cannot be written: EX_IOERR of sysexits.h."""

READER_LEFT: Final = 141
"""The exit status where the reader of a pipe has ended, as of any program that SIGPIPE ends."""

DEFAULT_WIDTH: Final = 80
"""The width of a terminal that does not tell its own."""


class OutputError(click.ClickException):
    """Ends a command whose output cannot be written.

    Args:
        error: What the write raised.
        stream: What was written to; None: stdout.
    """

    exit_code = CANNOT_WRITE

    def __init__(self, error: OSError, stream: IO[Any] | None = None) -> None:
        super().__init__(f"the output cannot be written: {error.strerror or error}")
        self._stream = stream

    def show(self, file: IO[Any] | None = None) -> None:
        """Print one line to stderr, and drop what the stream still holds."""
        with contextlib.suppress(OSError):
            super().show(file)
        drop_output(self._stream or sys.stdout)


class ReaderLeftError(OutputError):
    """Ends a command quietly: the reader of its pipe has ended."""

    exit_code = READER_LEFT

    def show(self, file: IO[Any] | None = None) -> None:  # noqa: ARG002 - click's signature
        """Print nothing."""
        drop_output(self._stream or sys.stdout)


def output_error(error: OSError, stream: IO[Any] | None = None) -> OutputError:
    """Return the exception that ends a command after this failure to write."""
    return (ReaderLeftError if error.errno == errno.EPIPE else OutputError)(error, stream)


@contextlib.contextmanager
def readable_errors() -> Iterator[None]:
    """End the command with one printable line where writing fails, input is wrong or rich is missing."""
    try:
        yield
    except click.ClickException as error:
        error.message = "\n".join(  # type: ignore[misc]
            map(printable, error.message.split("\n"))
        )
        raise
    except OSError as error:
        if not is_from_writing(error):
            raise
        raise output_error(error) from None
    except ModuleNotFoundError as missing:
        if missing.name != "rich":
            raise
        raise click.ClickException("exit-shim's tables need rich: pip install 'exit_shim[cli]'") from None


def is_from_writing(error: OSError) -> bool:
    """Return whether click or rich raised this; all they do with files is to write to them."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = None if trace is None else trace.tb_frame.f_globals.get("__name__")
    return str(name).partition(".")[0] in {"click", "rich"}


def drop_output(stream: IO[Any] | None) -> None:
    """Redirect what a stream still holds to /dev/null, so that Python prints no complaint at its exit."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # type: ignore[union-attr]


def check_stdout() -> None:
    """Raise OutputError where the caller has closed stdout."""
    if sys.stdout is None:
        raise OutputError(OSError(errno.EBADF, os.strerror(errno.EBADF)))


def say(*lines: object, err: bool = False, file: IO[Any] | None = None) -> None:
    """Print each line, escaped, to stdout or stderr."""
    for line in lines:
        click.echo(printable(str(line)), err=err, file=file)


class Red(str):
    """Text that is red on a terminal: a conflict, or a position without a stop."""

    __slots__ = ()


def line_limit() -> int | None:
    """Return the width that lines should keep to; None in a pipe, unless COLUMNS says it."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    if not sys.stdout.isatty():
        return None
    try:
        # shutil has the same, and loads four compression libraries.
        return os.get_terminal_size(sys.stdout.fileno()).columns or DEFAULT_WIDTH
    except OSError:
        return DEFAULT_WIDTH


def show_lines(lines: Iterable[Line]) -> None:
    """Print lines with their styles on a terminal, and without them elsewhere."""
    if not sys.stdout.isatty():
        say(*("".join(text for text, _ in line).rstrip() for line in lines))
        return
    # In a pipe there are no styles, and rich is most of a command's start.
    from rich.console import Console  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False)
    for line in lines:
        # A plain str would be read as rich's markup, and load the names of all emoji for that.
        text = Text.assemble(*((printable(part), style) for part, style in line))
        text.rstrip()
        # The terminal folds what is too long: rich would cut ids in two.
        console.print(text, soft_wrap=True)


def say_styled(text: str, style: str) -> None:
    """Print one line in a style."""
    show_lines([[(text, style)]])


def printable(text: str) -> str:
    r"""Escape what a terminal would obey or reorder: control and bidi characters, as \x1b or \u202e."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )


def pluralize(number: int, noun: str) -> str:
    """Return a number with its noun: "1 order", "2 orders"."""
    return f"{number} {noun}{'s' * (number != 1)}"
