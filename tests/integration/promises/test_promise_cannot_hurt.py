"""A guard that cannot hurt: no position is less protected for it, whatever the client library.

Histories with real control flow, lived with the guard and without it. The long form, one library at a time:
`python tests/support/client_histories.py NAME --histories 200`.
"""

import histories
from client_drivers import make_driver
from client_histories import lockstep_of


def test_no_position_is_barer_for_the_guard(library, pytestconfig):
    """At each denial the position is covered, and after each step as protected as without the guard."""
    number = pytestconfig.getoption("histories")
    lives = [histories.make(seed, second_process=False) for seed in range(number)]
    found = histories.live(lives, lockstep=lockstep_of(library))
    assert found.failures == []
    assert (found.total["held"] > number // 4) == make_driver(library).can_be_asked
    assert found.total["sent"] > 10 * number
