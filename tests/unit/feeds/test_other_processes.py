"""Following other processes: the thread that reads the journal ends with its shim."""

import threading

import pytest

import exit_shim
from exit_shim.domain.events import GuardFinding
from exit_shim.domain.verdicts import Reason

PATIENCE_S = 60


@pytest.fixture
def shim(tmp_path):
    own = exit_shim.ExitShim(journal=tmp_path / "journal.db", sinks=[], resolve=False)
    yield own
    own.close()


def test_a_round_that_is_under_way_ends_with_the_shim(shim, monkeypatch):
    """The thread of a closed shim ends, and what its last round finds does not open the journal again."""
    arrived, go = threading.Event(), threading.Event()

    def find_late():
        arrived.set()
        assert go.wait(PATIENCE_S)
        shim.recorder.record(GuardFinding(Reason("STRIPPED", {"within_s": "5"}), "BTCUSDT"))

    monkeypatch.setattr(shim.process_feed, "report_overdue", find_late)
    shim.begin()
    thread = shim.process_feed.thread
    assert arrived.wait(PATIENCE_S)
    closing = threading.Thread(target=shim.close)
    closing.start()
    while shim.process_feed.thread is not None:
        closing.join(0.001)
    go.set()
    closing.join(PATIENCE_S)
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert shim.journal._writer.thread is None
    assert shim.journal._drain.connection is None
