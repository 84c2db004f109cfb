"""The plain files that a run appends its events to before an order leaves.

An append is one `write`: a fifth of the cost of a row in SQLite, and no lock that another process could hold.
What was written survives the process; with `sync="power"` a power failure too. The journal's thread copies
the lines into the database and removes the files. Each file is locked while its process lives: an unlocked
one was left by a dead run.
"""

import contextlib
import errno
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple

from exit_shim.journal import file_lock
from exit_shim.journal.line_format import measure_lines

Sync = Literal["process", "power"]
"""What an intent survives once the order leaves: the death of the process, or a power failure too."""

SEGMENT_BYTES: Final = 4_000_000
"""The size from which a new file is begun, so that old ones can be removed."""

SPOOL_BYTES: Final = 256_000_000
"""The most that one run keeps here while the database cannot be written; later events go to memory."""

CHUNK_BYTES: Final = 64_000
"""The most that is read back at once: some hundred events, one transaction."""

CLOSED: Final = -1
UNFINISHED: Final = ".new"
SUFFIX: Final = ".spool"


def folder_of(journal: Path) -> Path:
    """Return the folder of a journal's spool files."""
    return journal.with_name(f"{journal.name}-spool")


class Segment:
    """One file of a run's spool."""

    __slots__ = ("fd", "inode", "is_appending", "lines", "moved", "number", "path", "read", "size")

    def __init__(self, path: Path, fd: int, number: int) -> None:
        self.path = path
        self.fd = fd
        self.number = number
        status = os.fstat(fd)
        self.inode = status.st_dev, status.st_ino
        self.size = status.st_size
        self.is_appending = False
        self.read = 0
        self.lines = 0
        self.moved = 0

    def is_in_place(self) -> bool:
        """Return whether the file is still at its path."""
        with contextlib.suppress(OSError):
            status = self.path.stat()
            return (status.st_dev, status.st_ino) == self.inode
        return False

    def chunk(self) -> bytes:
        """Return the next whole lines that were not read."""
        asked = CHUNK_BYTES
        while True:
            data = os.pread(self.fd, asked, self.read)
            end = measure_lines(data)
            if end or len(data) < asked:
                return data[:end]
            # A line may be longer than a chunk.
            asked *= 4

    def was_truncated(self) -> bool:
        """Return whether another program made the file shorter."""
        # The size comes first, since other threads append meanwhile.
        size = self.size
        return os.fstat(self.fd).st_size < size

    def all(self) -> bytes:
        """Return all that is in the file."""
        return os.pread(self.fd, os.fstat(self.fd).st_size, 0)

    def measure(self) -> None:
        """Take the size from the file where a signal handler interrupted an append."""
        if self.is_appending:
            self.size = os.fstat(self.fd).st_size
            self.is_appending = False

    def rest(self) -> bytes:
        """Return all that was not read."""
        return os.pread(self.fd, self.size - self.read, self.read)

    def remove(self) -> None:
        """Remove and close the file."""
        with contextlib.suppress(OSError):
            if self.is_in_place():
                self.path.unlink()
        self.close()

    def close(self) -> None:
        """Close the file, which ends its lock."""
        fd, self.fd = self.fd, CLOSED
        if fd != CLOSED:
            os.close(fd)


class Spool:
    """The files of one living run. Not thread-safe: the journal holds a lock.

    Args:
        journal: The database's path.
        run_id: The run that appends.
        sync: What an intent survives.
    """

    def __init__(self, journal: Path, run_id: str, sync: Sync) -> None:
        self._folder = folder_of(journal)
        self._run_id = run_id
        self.sync = sync
        self.segments: list[Segment] = []
        self._left: list[Segment] = []
        self._numbers = itertools.count(1)

    def begin(self) -> None:
        """Make another file and append to it from now on; raise OSError where that fails."""
        self.append_to(self.make_segment())

    def make_segment(self) -> Segment:
        """Make another file; raise OSError where that fails. Needs no lock, since it takes long."""
        number = next(self._numbers)
        path = self._folder / f"{self._run_id}.{number}{SUFFIX}"
        new = [folder for folder in (self._folder, *self._folder.parents) if not folder.exists()]
        for folder in (self._folder.parent, self._folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = path.with_suffix(UNFINISHED)
        fd = os.open(
            made, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o600
        )
        try:
            file_lock.hold(fd)
            # Before it is locked, others would take it for a dead run's.
            made.rename(path)
            if self.sync == "power":
                for folder in (self._folder, *(each.parent for each in new)):
                    sync_folder(folder)
        except BaseException:
            os.close(fd)
            with contextlib.suppress(OSError):
                made.unlink()
            raise
        return Segment(path, fd, number)

    def append_to(self, segment: Segment) -> None:
        """Append to this file from now on."""
        self.segments += [*self._reopen_unread(), segment]

    def _reopen_unread(self) -> Iterator[Segment]:
        # What a close left unread must come to the database before what follows.
        unread, self._left = self._left, []
        for closed in unread:
            segment = reopen(closed.path, closed.number)
            if segment is not None:
                segment.read, segment.lines, segment.moved = closed.read, closed.lines, closed.moved
                yield segment

    def wants_another(self) -> bool:
        """Return whether the current file is big, or was removed or truncated."""
        return any(
            segment.size > SEGMENT_BYTES or not segment.is_in_place() or segment.was_truncated()
            for segment in self.segments[-1:]
        )

    def append(self, data: bytes) -> Segment:
        """Append whole lines; raise OSError where they do not fit, and leave nothing of them in the file."""
        segment = self.segments[-1]
        if segment.is_appending:
            segment.measure()
        if segment.size > SEGMENT_BYTES and sum(each.size for each in self.segments) > SPOOL_BYTES:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(segment.path))
        segment.is_appending = True
        try:
            written = os.write(segment.fd, data)
        except OSError:
            segment.is_appending = False
            raise
        # On a full disk, half a line would spoil the next one.
        if written != len(data):
            os.ftruncate(segment.fd, segment.size)
            segment.is_appending = False
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(segment.path))
        segment.size += written
        segment.is_appending = False
        segment.lines += data.count(b"\n")
        return segment

    def make_lasting(self, segment: Segment) -> None:
        """Write what was appended to the disk itself, if `sync` asks for that."""
        # A file that was closed meanwhile is in the database, or `close` has synced it.
        fd = segment.fd
        if self.sync == "power" and fd != CLOSED:
            try:
                sync_file(fd)
            except OSError:
                if segment.fd == fd:
                    raise

    def waiting(self) -> int:
        """Return the number of lines that are not known to be in the database."""
        return sum(segment.lines - segment.moved for segment in (*self._left, *self.segments))

    def unread(self) -> Segment | None:
        """Return the first file with unread lines."""
        return next((each for each in self.segments if each.read < each.size), None)

    def drop_read(self) -> None:
        """Remove the files that were read, except the current one."""
        for segment in self.segments[:-1]:
            if segment.read >= segment.size:
                self.segments.remove(segment)
                segment.remove()

    def close(self) -> None:
        """Remove the files that were read, and leave the others to whoever opens the journal next.

        Raises:
            OSError: What is left cannot be synced; the files are closed all the same.
        """
        try:
            self._part_with_all()
        finally:
            self.close_files()

    def _part_with_all(self) -> None:
        for segment in self.segments:
            segment.measure()
            if segment.read >= segment.size:
                segment.remove()
            else:
                self._left.append(segment)
                # A thread that has just appended cannot sync a closed file.
                self.make_lasting(segment)

    def rewind(self) -> None:
        """Read all files again from their start."""
        for segment in self.segments:
            segment.read = segment.moved = 0

    def close_files(self) -> None:
        """Close the files without removing any."""
        segments, self.segments = self.segments, []
        for segment in segments:
            segment.close()


class Abandoned(NamedTuple):
    """A file that a dead run left, open and locked."""

    run_id: str
    segment: Segment


def find_abandoned(journal: Path) -> Iterator[Abandoned]:
    """Yield the files that dead runs left, oldest first, each locked until the next."""
    in_use: set[str] = set()
    for path in sorted(spools(journal), key=split_name):
        run_id, number = split_name(path)
        # After a file that another process holds, it copies the rest of the run too: no outcome may come to
        # the database before its intent.
        if run_id in in_use:
            continue
        segment = reopen(path, number)
        if segment is None:
            in_use.add(run_id)
            continue
        try:
            yield Abandoned(run_id, segment)
        finally:
            segment.close()


def reopen(path: Path, number: int) -> Segment | None:
    """Open and lock a file again; return None where it is gone, another user's, or in use."""
    with contextlib.ExitStack() as undo, contextlib.suppress(OSError):
        segment = Segment(path, os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0)), number)
        undo.callback(segment.close)
        if file_lock.try_to_hold(segment.fd) and segment.is_in_place():
            undo.pop_all()
            return segment
    return None


def spools(journal: Path) -> list[Path]:
    """Return the files of all runs, living and dead."""
    return list(folder_of(journal).glob(f"*{SUFFIX}"))


def living_runs(journal: Path) -> frozenset[str]:
    """Return the runs that have files: those alive, once `recover` has copied what dead ones left."""
    return frozenset(split_name(path)[0] for path in spools(journal))


def split_name(path: Path) -> tuple[str, int]:
    """Return the run and the number of a file."""
    run_id, _, number = path.stem.rpartition(".")
    return run_id, int(number) if number.isdecimal() else 0


def sync_file(fd: int) -> None:
    """Write a file's bytes to the disk itself."""
    try:
        import fcntl  # noqa: PLC0415 - missing on Windows

        # On macOS `fsync` alone leaves them in the disk's cache.
        fcntl.fcntl(fd, getattr(fcntl, "F_FULLFSYNC"))  # noqa: B009 - macOS only
    except (ImportError, AttributeError):
        getattr(os, "fdatasync", os.fsync)(fd)


def sync_folder(folder: Path) -> None:
    """Write a folder's entries to the disk; where folders cannot be opened, the system does."""
    with contextlib.suppress(PermissionError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
