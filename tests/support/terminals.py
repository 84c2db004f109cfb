"""Commands in a real pseudo-terminal of a given size."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")

RED = "\x1b[31m"


def in_terminal(*arguments, columns=80, stderr=subprocess.DEVNULL, program=None, **variables):
    """Run a command with a pseudo-terminal as its stdout; return its exit status and what it wrote there.

    Args:
        arguments: Those of `exit-shim`.
        columns: The width of the terminal.
        stderr: Where stderr goes; "terminal" for the terminal, too.
        program: The beginning of the command line; None for `exit-shim`.
        variables: Environment variables; None removes one.
    """
    mine, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", **variables}
    environment = {name: value for name, value in environment.items() if value is not None}
    process = subprocess.Popen(
        [*(program or [sys.executable, "-m", "exit_shim"]), *map(str, arguments)],
        stdout=theirs,
        stderr=theirs if stderr == "terminal" else stderr,
        env=environment,
    )
    os.close(theirs)
    parts = []
    while True:
        try:
            part = os.read(mine, 65536)
        # The other end is closed.
        except OSError:
            break
        if not part:
            break
        parts.append(part)
    os.close(mine)
    return process.wait(60), b"".join(parts).decode().replace("\r\n", "\n")


def plain(text):
    """Return text without the terminal's escape sequences."""
    return ESCAPE.sub("", text)
