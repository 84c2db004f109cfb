"""An unmodified bot of 2024 under `exit-shim run`: it lives through the bridge, and dies without."""

import os
import subprocess
import sys

from repository import ROOT

BOT = ROOT / "examples" / "bot_of_2024" / "main.py"


def run(tmp_path, *options):
    """Run the bot, and return its exit status and what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EXIT_")}
    environment["EXIT_SHIM_JOURNAL"] = str(tmp_path / "exits.db")
    command = [sys.executable, "-m", "exit_shim", "run", "--local", *options, str(BOT)]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_it_lives_to_its_end_through_the_bridge(tmp_path):
    """It does its three trades, hears of each exit's fill under the id that it knows, and leaves nothing."""
    status, printed = run(tmp_path, "--bridge")
    assert "3 trades, 0 orders left" in printed, printed[-3000:]
    assert status == 0


def test_it_dies_at_its_first_stop_without(tmp_path):
    """Today the answer to its first stop has no orderId, or the stop is refused."""
    status, printed = run(tmp_path)
    assert status == 1
    assert "KeyError: 'orderId'" in printed or "-4120" in printed
