"""Child processes of a confined run: forks are the default, and clearing the screen needs none."""

import functools
import multiprocessing
import multiprocessing.context
import os
import re
import subprocess
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

_DISPLAY: Final = re.compile(
    r"\s*(?:(?:clear|cls|reset|color|mode|title|chcp|tput)\b[^|&;<>`$]*)?\s*", re.ASCII
)
_SEPARATOR: Final = re.compile(r"\|\||&&|;")


def answer_display_commands() -> None:
    """Answer `os.system("clear")` and its like with success, without a child, from now on.

    Such commands only change the terminal. The audit hook refuses every other one.
    """
    _answer(os, "system", lambda _: 0)
    _answer(subprocess, "call", lambda _: 0)
    _answer(subprocess, "run", lambda command: subprocess.CompletedProcess(command, 0))


def _answer(module: ModuleType, name: str, make_answer: Callable[[Any], Any]) -> None:
    former = vars(module)[name]

    @functools.wraps(former)
    def start(*args: Any, **kwargs: Any) -> Any:
        if args and is_display_command(args[0]):
            return make_answer(args[0])
        return former(*args, **kwargs)

    vars(module)[name] = start


def is_display_command(command: object) -> bool:
    """Return whether a shell command consists of commands that only change the terminal."""
    if isinstance(command, list) and all(isinstance(word, str) for word in command):
        command = " ".join(command)
    return isinstance(command, str) and all(map(_DISPLAY.fullmatch, _SEPARATOR.split(command)))


def fork_by_default() -> None:
    """Make fork the default start method of multiprocessing, as it was before Python 3.14."""
    if "fork" in multiprocessing.get_all_start_methods():
        # Not set_start_method(): a bot that sets the method itself may do so only once.
        default = vars(multiprocessing.context)["_default_context"]
        vars(default)["_default_context"] = multiprocessing.get_context("fork")
