"""Bots under `exit-shim run --local`, each in a process of its own."""

import json
import os
import subprocess
import sys
import textwrap

UNANSWERED = """
import gc
from exit_shim.exchange import LocalExchange
exchange = next(each for each in gc.get_objects() if type(each) is LocalExchange)
unanswered = [[each.kind, each.name, each.reason, each.count] for each in exchange.unanswered]
"""
"""Lines of a bot that look, from within, at what the exchange of its run could not answer."""

ATTEMPTS = """
import json, sys
found = {}
def attempt(function):
    try:
        found[function.__name__] = {"answer": repr(function())[:400]}
    except BaseException as error:
        found[function.__name__] = {"error": type(error).__name__, "said": f"{error} {error.__cause__}"}
"""
"""The first lines of a bot that tries many things and remembers what it met."""


def local_run(folder, *command, **variables):
    """Run a bot with `--local`, its journal and temporary files in `folder`."""
    return subprocess.run(
        [sys.executable, "-m", "exit_shim", "run", "--local", *map(str, command)],
        env={**os.environ, "EXIT_SHIM_JOURNAL": str(folder / "j.db"), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def run_attempts(folder, body, *options, arguments=(), **variables):
    """Run a bot of attempts; return what each met, and `unanswered` beside them."""
    script, answers = folder / "bot.py", folder / "found.json"
    end = "\nfound['unanswered'] = unanswered\njson.dump(found, open(sys.argv[1], 'w'))\n"
    script.write_text(ATTEMPTS + textwrap.dedent(body) + UNANSWERED + end)
    done = local_run(folder, *options, script, answers, *arguments, **variables)
    assert answers.exists(), done.stderr
    return json.loads(answers.read_text())
