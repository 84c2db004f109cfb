"""The guard cannot hurt: histories with real control flow, lived with the guard and without it.

The long form is `python tests/support/histories.py --histories 2000`.
"""

import pytest
from histories import COMBINATIONS, live, make
from history_worlds import SecondProcess


@pytest.fixture(scope="module")
def second():
    process = SecondProcess()
    yield process
    process.close()


@pytest.mark.parametrize("combination", range(6), ids=[" ".join(one) for one in COMBINATIONS])
def test_no_position_is_barer_for_the_guard(combination, second, pytestconfig):
    """At each denial the position is covered, and after each step as protected as without the guard."""
    histories = pytestconfig.getoption("histories")
    found = live([make(seed, combination) for seed in range(histories)], second)
    assert found.failures == []
    assert found.total["held"] > histories // 4
    assert found.total["let out: no_owners_stop"] > histories


def test_the_worlds_do_not_differ_where_nothing_is_held_back():
    """The comparison itself: with a policy that warns, no history differs."""
    found = live([make(seed, level="warn", second_process=False) for seed in range(12)])
    assert found.failures == []
    assert found.total["held"] == 0
