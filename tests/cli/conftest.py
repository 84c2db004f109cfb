"""Fixtures of the tests of the command line."""

import time

import pytest


@pytest.fixture(autouse=True)
def plain_surroundings():
    """No zone of this machine decides how commands print."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()
