"""How many Python calls one exit order costs."""

import subprocess
import sys

import pytest
from repository import ROOT


@pytest.mark.skipif(sys.version_info < (3, 12), reason="before 3.12 each comprehension is a call")
def test_an_exit_order_takes_at_most_seventy_calls():
    """From the door to its return, warm, with journal and log, without a policy."""
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "calls.py"], capture_output=True, text=True, check=True
    )
    calls, at_most = int(done.stdout.split()[0]), 70
    assert calls <= at_most, done.stdout
