"""Tell objects when the process forks or ends; the only module that registers hooks for either."""

import atexit
import contextlib
import functools
import itertools
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from typing import Final, Protocol

SHARED_S: Final = 1.0
"""The longest that a fork, or the end of the process, waits for all objects of one class together."""


# A list and no function: an order's path reads it.
exiting: Final[list[float]] = []
"""When the process began to end; empty before. From then on threads may not run any more."""


class Releasable(Protocol):
    """Describe a lock that is held while the process is copied."""

    def release(self) -> None:
        """Open the lock."""


class ProcessAware:
    """Be told about forks and the end of the process.

    Objects are called in the order in which they were made, or in reverse: what an object relies on was made
    before it. So it is renewed before it in a child, and is still usable when the object ends.
    """

    def __init__(self) -> None:
        number = next(_numbers)
        _members[number] = weakref.ref(self, functools.partial(_drop, number))

    def hold_for_fork(self, held: list[Releasable], until: float) -> None:
        """Bring threads to a point where the process may be copied; add the locks that keep them there.

        Args:
            held: Takes locks that are released after the fork, in the parent and in the child.
            until: When to stop waiting, by `time.monotonic`.
        """

    def renew_after_fork(self) -> None:
        """Begin as in a new process: threads and locks of the parent are not in the child."""

    def end_at_exit(self, until: float) -> None:
        """Finish what must not be lost with the process, by `until` of `time.monotonic`."""


def end_with_child_process() -> None:
    """Have everything end with a child of `multiprocessing`, which skips `atexit`."""
    util, process = sys.modules.get("multiprocessing.util"), sys.modules.get("multiprocessing.process")
    if util is None or process is None or process.parent_process() is None or os.getpid() in _children:
        return
    _children.add(os.getpid())
    util.Finalize(None, end_all, exitpriority=0)


def end_all() -> None:
    """Finish everything, the latest object first."""
    _tell(reversed(members()), lambda member, until: member.end_at_exit(until))


def members() -> list[ProcessAware]:
    """Return the registered objects, in the order in which they were made."""
    # One call in C, so that no other thread changes the dict meanwhile.
    references = list(_members.values())
    return [member for reference in references if (member := reference()) is not None]


def end_before_others() -> None:
    """End before everything that asks `atexit` in the life of the main thread, such as an exporter."""
    # There is no public way to be called before `atexit` begins; `concurrent.futures` takes this one too.
    register = getattr(threading, "_register_atexit", None)
    if register is not None:
        # It is refused once the process ends.
        with contextlib.suppress(RuntimeError):
            register(_be_first_at_exit)


def _be_first_at_exit() -> None:
    atexit.unregister(_end_at_exit)
    atexit.register(_end_at_exit)


def _tell(objects: Iterable[ProcessAware], act: Callable[[ProcessAware, float], None]) -> None:
    """Call `act` on each object with its time limit; raise the first failure once all were told."""
    limits: dict[type, float] = {}
    failure: Exception | None = None
    for member in objects:
        until = limits.setdefault(type(member), time.monotonic() + SHARED_S)
        try:
            act(member, until)
        except Exception as error:  # noqa: BLE001 - one object's failure must not cost the others their turn
            failure = failure or error
    if failure is not None:
        raise failure


def _drop(number: int, _: object) -> None:
    _members.pop(number, None)


def _end_at_exit() -> None:
    exiting.append(time.monotonic())
    end_all()


def _before_fork() -> None:
    _tell(reversed(members()), lambda member, until: member.hold_for_fork(_held, until))


def _release_held() -> None:
    while _held:
        _held.pop().release()


def _after_fork_in_child() -> None:
    _release_held()
    _tell(members(), lambda member, _: member.renew_after_fork())


_numbers = itertools.count()
_members: "dict[int, weakref.ref[ProcessAware]]" = {}
_held: list[Releasable] = []
_children: set[int] = set()

atexit.register(_end_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_release_held, after_in_child=_after_fork_in_child
    )
