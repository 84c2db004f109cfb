"""One executor per account and journal, and what it takes over from the one before it."""

import contextlib
import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from exit_shim.domain.events import ExecutorStep
from exit_shim.executor.memory import last_steps
from exit_shim.journal import Journal, JournalError, JournalReader
from exit_shim.journal.file_lock import try_to_hold
from exit_shim.runtime.reentrancy import ReentrantState

FLUSH_S: Final = 5.0
"""The longest that recorded steps are waited for to be in the database."""


class Lease(ReentrantState):
    """Hold an account for one executor, for as long as its process lives.

    Args:
        journal: The journal's path; the file is beside it.
        account: The account's label.
    """

    def __init__(self, journal: Path, account: str | None) -> None:
        digest = hashlib.sha256((account or "").encode()).hexdigest()[:12]
        self.path = journal.with_name(f"{journal.name}.executor-{digest}")
        self._fd: int | None = None
        super().__init__()

    @property
    def is_held(self) -> bool:
        """Whether this process has it through this object."""
        return self._fd is not None

    def take(self) -> bool:
        """Take the lease, or keep it; return False where another executor has it.

        Raises:
            OSError: The file cannot be made.
        """
        with self._lock:
            return self._fd is not None or self._try_to_take()

    def _try_to_take(self) -> bool:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not try_to_hold(fd):
                os.close(fd)
                return False
            os.ftruncate(fd, 0)
            os.write(fd, b"%d\n" % os.getpid())
        except BaseException:
            with contextlib.suppress(OSError):
                os.close(fd)
            raise
        self._fd = fd
        return True

    def holder(self) -> str:
        """Return who has it, in words."""
        with contextlib.suppress(OSError):
            pid = self.path.read_text().strip()
            if pid.isdigit():
                return f"process {pid}"
        return "another process"

    def release(self) -> None:
        """Let another executor have it."""
        with self._lock:
            fd, self._fd = self._fd, None
            if fd is not None:
                os.close(fd)

    def renew_after_fork(self) -> None:
        """Leave the lease to the parent."""
        super().renew_after_fork()
        # The lock is of the open file, which the parent still has.
        self.release()


class Tenure:
    """Say whether an executor may act on an account, and what the one before it recorded.

    Without a journal every executor may, and none knows of another.

    Args:
        journal: The shim's; None for none.
        account: The account's label.
        report: Reports what fails.
    """

    def __init__(
        self, journal: Journal | None, account: str | None, report: Callable[[str, Exception], None]
    ) -> None:
        self._journal = journal
        self._account = account
        self._report = report
        self._lease = None if journal is None else Lease(journal.path, account)

    @property
    def is_held(self) -> bool:
        """Whether nothing has to be taken before a pass."""
        return self._lease is None or self._lease.is_held

    def why_not(self) -> str | None:
        """Take the lease, or keep it; return who has it otherwise."""
        if self._lease is None:
            return None
        try:
            return None if self._lease.take() else f"{self._lease.holder()} is the executor of this account"
        except OSError as error:
            # Better two executors than none: their orders have the same ids.
            self._lease = None
            self._report("take the executor's lease", error)
            return None

    def last_steps(self) -> Mapping[tuple[str, str], ExecutorStep]:
        """Return the last recorded step of each position, of dead processes too."""
        if self._journal is None:
            return {}
        # This process's own steps may not be in the database yet.
        self._journal.flush(FLUSH_S)
        try:
            return last_steps(JournalReader(self._journal.path).read_last_steps(self._account))
        except JournalError as error:
            if self._journal.path.exists():
                self._report("read the executor's steps", error)
            return {}

    def end(self) -> None:
        """Let another executor act: everything recorded can be read by it."""
        if self._lease is not None and self._lease.is_held and self._journal is not None:
            self._journal.flush(FLUSH_S)
            self._lease.release()
