"""The suite itself: what several tests share is made once."""

import pytest


@pytest.mark.xdist_group("a group")
def test_pytest_xdist_groups_tests(request):
    """A test's group is in its name, by which pytest-xdist keeps to one worker; not every pytest lets it."""
    groups_tests = getattr(request.config.option, "loadgroup", False)
    assert request.node.nodeid.endswith("@a group") == groups_tests
