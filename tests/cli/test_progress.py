"""A bar on a terminal, for what takes long; nothing anywhere else."""

import subprocess
import sys

import pytest
from terminals import in_terminal, plain

import exit_shim
from exit_shim.cli.progress import ProgressBar

SLOW = """
import time
from exit_shim.cli.output import say
from exit_shim.cli.progress import ProgressBar

with ProgressBar("verifying", 4, appears_after_s=0) as bar:
    {wait}
    bar.advance(3)
    with bar.hidden():
        say("a line of its own")
    bar.advance(1)
say("done")
"""

UNTIL_SHOWN = "while bar._bar is None: time.sleep(0.01)"


def test_a_bar_on_a_terminal():
    """It tells what is done and how far, stands in no line's way, and leaves nothing behind."""
    code = SLOW.format(wait=UNTIL_SHOWN)
    status, text = in_terminal(program=[sys.executable, "-c", code], stderr="terminal")
    assert status == 0
    assert "verifying" in text
    assert "75%" in text
    # What rich erases is followed by a carriage return.
    lines = [line.rpartition("\r")[2] for line in plain(text).splitlines()]
    assert {"a line of its own", "done"} <= set(lines)


def test_no_bar_in_a_pipe():
    """Neither rich nor a byte of a bar comes where stderr is no terminal: nothing waits to show it."""
    code = SLOW.format(wait="say(bar._timer.ident)") + "import sys; say('rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("None\na line of its own\ndone\nFalse\n", "")


@pytest.mark.parametrize("command", ["verify", "prune --older-than 90d"])
def test_no_bar_for_what_is_quick(command, tmp_path):
    """What ends within a second shows no bar, on a terminal either."""
    journal = tmp_path / "quick.db"
    shim = exit_shim.ExitShim(sinks=[], journal=journal)
    shim.journal.open()
    shim.close()
    status, text = in_terminal(*command.split(), "--journal", journal, stderr="terminal")
    assert status == 0
    assert "━" not in text
    assert ProgressBar("verifying")._timer.interval == 1.0
