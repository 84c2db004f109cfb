"""Events in memory while nothing else takes them: how many, in which order, and what is dropped."""

from collections import deque

import pytest

from exit_shim.journal.overflow import AT_ONCE, MAX_WAITING, Overflow


def filled(lines=MAX_WAITING):
    """A memory with numbered lines."""
    memory = Overflow()
    for number in range(lines):
        memory.keep(b"%d\n" % number)
    return memory


def numbers(memory):
    """The numbers of the lines that wait."""
    return [int(line) for line in memory.lines]


def test_beyond_the_bound_the_oldest_are_dropped_and_counted():
    """The latest stay, in their order."""
    memory = filled(MAX_WAITING + 3)
    assert numbers(memory) == list(range(3, MAX_WAITING + 3))
    assert (len(memory), memory.dropped, memory.unrecorded) == (MAX_WAITING, 3, 3)


@pytest.mark.parametrize("hand_over", ["hand_over", "hand_over_some"])
def test_lines_that_come_during_a_handing_over_that_fails(hand_over):
    """The bound holds afterwards: the oldest are dropped then, and counted."""
    memory, more = filled(), 700

    def refuse(lines):
        assert lines.count(b"\n") == AT_ONCE
        for number in range(MAX_WAITING, MAX_WAITING + more):
            memory.keep(b"%d\n" % number)
        return False

    assert not getattr(memory, hand_over)(refuse)
    assert len(memory) == MAX_WAITING
    assert numbers(memory) == list(range(more, MAX_WAITING + more))
    assert memory.dropped == memory.unrecorded == more


def test_lines_that_come_during_a_handing_over_that_succeeds():
    """None of them is dropped, since there is room for them afterwards, and they follow the others."""
    memory, taken = filled(), []

    def take(lines):
        if not taken:
            for number in range(MAX_WAITING, MAX_WAITING + AT_ONCE):
                memory.keep(b"%d\n" % number)
        taken.extend(map(int, lines.split()))
        return True

    assert memory.hand_over(take)
    assert taken == list(range(MAX_WAITING + AT_ONCE))
    assert (len(memory), memory.dropped) == (0, 0)


def test_a_line_counts_once_while_it_is_handed_over():
    """Whoever counts meanwhile sees no line twice, and never that there is none."""
    memory, seen = filled(), []

    class Watched(deque):
        def popleft(self):
            line = super().popleft()
            seen.append((len(memory), memory.is_handing_over))
            return line

    memory.lines = Watched(memory.lines)
    assert not memory.hand_over(lambda lines: seen.append((len(memory), memory.is_handing_over)))
    assert len(seen) == AT_ONCE + 1
    # The one on its way is in neither of the two.
    assert set(seen) == {(MAX_WAITING - 1, True), (MAX_WAITING, True)}
    assert len(memory) == MAX_WAITING
    assert not memory.is_handing_over
