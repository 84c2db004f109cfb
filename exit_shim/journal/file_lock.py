"""Locks on files that end with the process, however it ends."""

import os
import sys

if sys.platform == "win32":
    import msvcrt

    FAR = 2**40
    """The locked byte, which no spool reaches: Windows keeps others from reading a locked byte."""

    def try_to_hold(fd: int) -> bool:
        """Lock the file until it is closed; return False where somebody else has."""
        os.lseek(fd, FAR, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def release(fd: int) -> None:
        """Unlock the file."""
        os.lseek(fd, FAR, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def try_to_hold(fd: int) -> bool:
        """Lock the file until it is closed; return False where somebody else has."""
        # A POSIX lock would end with the first descriptor of the file that this process closes.
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(fd: int) -> None:
        """Unlock the file."""
        # To close it is not enough where a fork gave it to a child as well.
        fcntl.flock(fd, fcntl.LOCK_UN)


def hold(fd: int) -> None:
    """Lock a new file; raise OSError where the file system has no locks."""
    if not try_to_hold(fd):
        raise OSError("a new file is locked by another process")
