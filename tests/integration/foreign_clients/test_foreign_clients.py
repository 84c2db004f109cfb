"""Clients that nobody here wrote live on the local exchange, each in a program of its own, with its defaults.

`.ci/run` installs them on one Python, where a missing one is an error. `.ci/clients` has the heavy ones.
"""

import importlib.util
import os
import sys

import pytest
from foreign_lives import FOLDER, run_life

REQUIRED = bool(os.environ.get("EXIT_SHIM_FOREIGN_CLIENTS"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("life", "package"),
    [
        ("ccxt_sync.py", "ccxt"),
        ("ccxt_pro.py", "ccxt"),
        ("official_sdk.py", "binance_sdk_derivatives_trading_usds_futures"),
        ("python_binance.py", "binance"),
    ],
)
def test_client_lives_with_its_defaults(life, package):
    """Each step of the client's life passes, and what the exchange does not have it refuses with a reason."""
    if importlib.util.find_spec(package) is None:
        assert not REQUIRED, f"{package} is missing: pip install 'exit_shim[clients]'"
        pytest.skip(f"{package} is not installed; pip install 'exit_shim[clients]'")
    outcome = run_life([sys.executable], life)
    assert outcome.failed == []
    assert outcome.passed != []
    assert [missing for missing in outcome.unanswered if not missing.reason] == []


def test_life_with_a_failing_step_is_ill(tmp_path):
    """A failed step and a life that dies are both reported, so that a broken client cannot pass."""
    program = "import sys; sys.path.insert(0, {folder!r}); from life import Life; life = Life()\n{rest}"
    folder = str(FOLDER)
    for rest, expected in {
        "with life.step('sum'): assert 1 + 1 == 3\nlife.end()": "sum: AssertionError",
        "raise SystemExit(3)": "it ended with 3",
    }.items():
        path = tmp_path / "life_that_fails.py"
        path.write_text(program.format(folder=folder, rest=rest))
        outcome = run_life([sys.executable], path)
        assert not outcome.is_well
        assert expected in outcome.failed[0]
