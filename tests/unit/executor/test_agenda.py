"""Which passes are due: at once, soon, and now and then."""

from exit_shim.executor.agenda import Agenda


class Clock:
    """Seconds that pass when told."""

    now = 100.0

    def __call__(self):
        return self.now


def agenda():
    """An agenda with a clock of its own, and how often it woke somebody."""
    clock, woken = Clock(), []
    return Agenda(lambda: woken.append(clock.now), clock), clock, woken


def test_nothing_is_due_at_first():
    """And there is nothing to wait for."""
    own, _, woken = agenda()
    assert (own.wait_s(), own.take_due(), woken) == (None, [], [])


def test_a_wish_is_taken_once_at_its_time():
    """Not before, and not again."""
    own, clock, woken = agenda()
    own.want("BTCUSDT", 2)
    assert (own.wait_s(), own.take_due(), woken) == (2, [], [100])
    clock.now += 2
    assert (own.wait_s(), own.take_due(), own.take_due()) == (0, ["BTCUSDT"], [])


def test_the_soonest_wish_counts():
    """A later one changes nothing and wakes nobody."""
    own, _, woken = agenda()
    own.want("BTCUSDT")
    own.want("BTCUSDT", 5)
    own.want("BTCUSDT")
    assert (own.take_due(), len(woken)) == (["BTCUSDT"], 1)


def test_the_account_comes_first_then_who_waits_longest():
    """The order of the passes."""
    own, clock, _ = agenda()
    own.want("B")
    clock.now += 1
    own.want("A")
    own.want(None)
    assert own.take_due() == [None, "B", "A"]


def test_put_off_moves_one_and_delay_moves_all():
    """Until then nothing is due."""
    own, clock, _ = agenda()
    own.want(None)
    own.want("A")
    own.put_off(None, 60)
    assert own.take_due() == ["A"]
    own.want("A")
    own.delay(100)
    clock.now += 99
    assert own.take_due() == []
    clock.now += 1
    assert own.take_due() == [None, "A"]
