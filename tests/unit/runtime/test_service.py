"""The life of a background thread: started once, stopped within a bound, begun anew in a child."""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import weakref

import pytest

from exit_shim.runtime import process_hooks
from exit_shim.runtime.process_hooks import ProcessAware
from exit_shim.runtime.service import Service, weakly

PATIENCE_S = 60


class Ticking(Service):
    """A service that counts its rounds until it is stopped, and lets a test hold one up."""

    thread_name = "exit-shim-ticking"

    def __init__(self):
        self.rounds = 0
        self.ticked, self.go = threading.Event(), threading.Event()
        self.go.set()
        super().__init__()

    @staticmethod
    def live(owner, stopped):
        while (service := owner()) is not None:
            service.rounds += 1
            service.ticked.set()
            go = service.go
            del service
            assert go.wait(PATIENCE_S)
            if stopped.wait(0.001):
                return


@pytest.fixture
def service():
    own = Ticking()
    yield own
    own.go.set()
    own.stop()


def running():
    return [thread for thread in threading.enumerate() if thread.name == "exit-shim-ticking"]


def test_it_starts_once_however_many_ask(service):
    """Threads that start a service at the same moment start one thread, and it does not hold up the exit."""
    barrier = threading.Barrier(8)

    def start():
        barrier.wait(PATIENCE_S)
        assert service.start()

    starters = [threading.Thread(target=start) for _ in range(8)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join(PATIENCE_S)
    (thread,) = running()
    assert thread is service.thread
    assert thread.daemon


def test_it_stops_and_starts_again(service):
    """After `stop` the thread has ended, and `start` begins another one."""
    assert service.start()
    first = service.thread
    service.stop()
    assert not first.is_alive()
    assert service.thread is None
    assert service.start()
    assert service.thread is not first


def test_stopping_waits_no_longer_than_stated(service, monkeypatch):
    """A round that hangs holds up `stop` by its bound, and ends by itself once it goes on."""
    monkeypatch.setattr(Ticking, "stop_s", 0.01)
    service.go.clear()
    assert service.start()
    assert service.ticked.wait(PATIENCE_S)
    thread = service.thread
    service.stop()
    assert thread.is_alive()
    service.go.set()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_its_thread_does_not_keep_it_alive():
    """A service that nobody has any more is collected, and its thread ends."""
    service = Ticking()
    assert service.start()
    assert service.ticked.wait(PATIENCE_S)
    thread, reference = service.thread, weakref.ref(service)
    del service
    thread.join(PATIENCE_S)
    gc.collect()
    assert not thread.is_alive()
    assert reference() is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_dies_is_started_again(service, monkeypatch):
    """Whatever ends the thread, the next `start` begins another one."""
    monkeypatch.setattr(Ticking, "live", staticmethod(lambda owner, stopped: sys.exit(1)))
    assert service.start()
    for thread in running():
        thread.join(PATIENCE_S)
    monkeypatch.undo()
    assert service.start()
    assert service.ticked.wait(PATIENCE_S)


def test_where_no_thread_can_be_had(service, monkeypatch):
    """A system that gives no more threads is no exception, and `start` may be tried again."""

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert not service.start()
    monkeypatch.undo()
    assert service.start()


def test_it_stops_with_another_object(service):
    """A service that others still have stops with the object that it is said to stop with."""

    class Owner:
        pass

    owner = Owner()
    service.stop_with(owner)
    assert service.start()
    thread = service.thread
    del owner
    gc.collect()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_a_weak_method_does_nothing_once_its_object_is_gone():
    """It is called for as long as somebody else has the object."""
    heard = []

    class Ear:
        def hear(self, word):
            heard.append(word)

    ear = Ear()
    hear = weakly(ear.hear)
    hear("a")
    del ear
    gc.collect()
    hear("b")
    assert heard == ["a"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_has_no_thread_and_can_start_one(service):
    """In a child after `fork` the service is as new, even where the parent held its locks."""
    assert service.start()
    with service._starting, service._lock:
        pid = os.fork()
        if pid == 0:
            signal.alarm(PATIENCE_S)
            service.ticked.clear()
            fresh = service.thread is None and service.start() and service.ticked.wait(PATIENCE_S)
            os._exit(0 if fresh else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert service.thread.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forks_and_ends_are_told_in_the_order_of_making(monkeypatch):
    """What was made first is told last of a fork and of the end, and first in a child; no failure spreads."""
    told = []

    class Told(ProcessAware):
        def __init__(self, name):
            self.name = name
            super().__init__()

        def hold_for_fork(self, held, until):
            told.append(f"hold {self.name}")
            lock = threading.Lock()
            lock.acquire()
            locks.append(lock)
            held.append(lock)

        def renew_after_fork(self):
            told.append(f"renew {self.name}")

        def end_at_exit(self, until):
            told.append(f"end {self.name}")
            raise ValueError(self.name)

    locks = []
    monkeypatch.setattr(process_hooks, "_members", {})
    kept = [Told("a"), Told("b")]
    pid = os.fork()
    if pid == 0:
        expected = ["hold b", "hold a", "renew a", "renew b"]
        os._exit(0 if told == expected and not any(lock.locked() for lock in locks) else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert told == ["hold b", "hold a"]
    assert not any(lock.locked() for lock in locks)
    with pytest.raises(ValueError, match="b"):
        process_hooks.end_all()
    assert told[2:] == ["end b", "end a"]
    assert len(kept) == 2


def test_objects_of_one_class_share_one_bound(monkeypatch):
    """However many there are of a kind, they wait until the same moment."""
    limits = []

    class Waiting(ProcessAware):
        def end_at_exit(self, until):
            limits.append(until)

    monkeypatch.setattr(process_hooks, "_members", {})
    kept = [Waiting() for _ in range(3)]
    process_hooks.end_all()
    assert len(limits) == len(kept)
    assert len(set(limits)) == 1


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_end_of_a_child_of_multiprocessing(tmp_path, method):
    """A forked one skips exit functions; what has a thread is ended all the same."""
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    script = tmp_path / "bot.py"
    script.write_text(f"""
import multiprocessing
from exit_shim.runtime.service import Service

class Own(Service):
    thread_name = "exit-shim-own"
    @staticmethod
    def live(owner, stopped):
        stopped.wait(60)
    def end_at_exit(self, until):
        print("ended", multiprocessing.current_process().name, flush=True)

def work():
    global own
    own = Own()
    own.start()

if __name__ == "__main__":
    child = multiprocessing.get_context("{method}").Process(target=work, name="child")
    child.start()
    child.join()
""")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    assert set(done.stdout.splitlines()) == {"ended child"}
