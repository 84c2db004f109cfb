"""How many examples a test tries: a quarter of them, unless the suite is to be thorough."""

import hypothesis


def examples(number: int) -> int:
    """Return how many of a test's examples to try under the profile in force, whose default is 100."""
    return max(1, number * hypothesis.settings().max_examples // 100)
