"""Locks on files that end with the process, however that ends."""

import os
import sys

if sys.platform == "win32":
    import msvcrt

    FAR = 2**40
    """Locked is a byte that no spool reaches, since Windows keeps others from reading a locked one."""

    def try_to_hold(fd: int) -> bool:
        """Lock the file if nobody has; until it is closed."""
        os.lseek(fd, FAR, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def try_to_hold(fd: int) -> bool:
        """Lock the file if nobody has; until it is closed.

        `flock`, whose lock is the open file's: a POSIX lock would end with the first of this process's
        descriptors of the file that is closed.
        """
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def hold(fd: int) -> None:
    """Lock a file that nobody else knows of; OSError where the file system has no locks."""
    if not try_to_hold(fd):
        raise OSError("a new file is locked by somebody else")
