"""`python -m exit_shim` and the `exit-shim` command."""

import os
import re
import sys
from typing import Final

DSN_VARIABLES: Final = {"--to": "EXIT_SHIM_SHIP_TO", "--from": "EXIT_SHIM_FROM"}
"""Options that take a DSN, and the variables that stand for them."""

WITH_A_PASSWORD: Final = re.compile(r"postgres(?:ql)?://(?:[^/@]*:[^/@]+@|.*password=)")


def main() -> None:
    """Run the command line, or say how to get it: an extra, so that old bots carry no more than they use."""
    hide_passwords()
    if sys.argv[1:2] != ["run"]:  # a bot is to find the streams that Python gives it
        open_missing_streams()
    try:
        from exit_shim.cli import app  # noqa: PLC0415 - its packages are an extra
    except ModuleNotFoundError as missing:
        if missing.name not in {"click", "rich"}:
            raise
        sys.exit(f"exit-shim's commands need {missing.name}: pip install 'exit_shim[cli]'")
    app(prog_name="exit-shim")


def open_missing_streams() -> None:
    """Open what the caller closed (`>&-`); writing to stdout then fails, so that the command can say so."""
    for name, flags in (("stdin", os.O_RDONLY), ("stdout", os.O_RDONLY), ("stderr", os.O_WRONLY)):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, flags)
            stream = os.fdopen(descriptor, "r" if name == "stdin" else "w", encoding="utf-8")
            setattr(sys, name, stream)


def hide_passwords() -> None:
    """Start over with a DSN's password in the environment: command lines are shown to everyone on a host."""
    left, hidden = list(sys.orig_argv[1:]), {}
    if sys.argv[1:2] == ["run"]:  # what follows is the bot's own
        return
    for option, variable in DSN_VARIABLES.items():
        for place, word in reversed(list(enumerate(left))):
            name, given, value = word.partition("=")
            value = value if given else "".join(left[place + 1 : place + 2])
            if name == option and WITH_A_PASSWORD.match(value):
                hidden[variable] = value
                del left[place : place + (1 if given else 2)]
    if hidden and sys.platform != "win32":  # whose exec is another process
        os.execve(sys.executable, [sys.executable, *left], {**os.environ, **hidden})  # noqa: S606 - itself


if __name__ == "__main__":
    main()
