"""Where a run's events are first: plain files of lines, appended to before an order leaves.

An append is one `write`, a fifth of what a row in SQLite costs and never in another process's way. What has
been written outlives the process; with `sync="power"` the machine too. The journal's thread moves the lines
into the database, and then the files go. Each is locked for as long as its process lives: those that are not
are what dead runs left.
"""

import contextlib
import errno
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple

from exit_shim.journal import file_lock
from exit_shim.journal.line_format import whole

Sync = Literal["process", "power"]
"""What an intent survives once the order leaves: the death of the process, or the loss of power too."""

SEGMENT_BYTES: Final = 4_000_000
"""The size from which on a new file is begun, so that old ones can go."""

SPOOL_BYTES: Final = 256_000_000
"""The most that one run leaves here while the database takes nothing; beyond it memory is next."""

CHUNK_BYTES: Final = 64_000
"""The most that is read back at once: some hundred events, one transaction."""

CLOSED: Final = -1
UNFINISHED: Final = ".new"
SUFFIX: Final = ".spool"


def folder_of(journal: Path) -> Path:
    """Where the spools of a journal are."""
    return journal.with_name(f"{journal.name}-spool")


class Segment:
    """One file of a run's spool."""

    __slots__ = ("fd", "inode", "is_amid_append", "lines", "moved", "number", "path", "read", "size")

    def __init__(self, path: Path, fd: int, number: int) -> None:
        self.path = path
        self.fd = fd
        self.number = number
        found = os.fstat(fd)
        self.inode = found.st_dev, found.st_ino
        self.size = found.st_size
        self.is_amid_append = False
        self.read = 0
        self.lines = 0
        self.moved = 0

    def is_in_place(self) -> bool:
        """Whether the file is still where it was made."""
        with contextlib.suppress(OSError):
            found = self.path.stat()
            return (found.st_dev, found.st_ino) == self.inode
        return False

    def chunk(self) -> bytes:
        """The whole lines that follow what has been read."""
        asked = CHUNK_BYTES
        while True:
            data = os.pread(self.fd, asked, self.read)
            end = whole(data)
            if end or len(data) < asked:
                return data[:end]
            asked *= 4  # a line may be longer than most

    def was_cut(self) -> bool:
        """Whether somebody has made the file shorter."""
        size = self.size  # before one looks: others append meanwhile
        return os.fstat(self.fd).st_size < size

    def all(self) -> bytes:
        """All that is in it now."""
        return os.pread(self.fd, os.fstat(self.fd).st_size, 0)

    def measure(self) -> None:
        """Go by the file itself where an append did not come to its end: a signal handler raised amid it."""
        if self.is_amid_append:
            self.size = os.fstat(self.fd).st_size
            self.is_amid_append = False

    def rest(self) -> bytes:
        """All that follows what has been read."""
        return os.pread(self.fd, self.size - self.read, self.read)

    def remove(self) -> None:
        """Take the file away."""
        with contextlib.suppress(OSError):
            if self.is_in_place():
                self.path.unlink()
        self.close()

    def close(self) -> None:
        """Close the file, once; its lock goes with it."""
        fd, self.fd = self.fd, CLOSED
        if fd != CLOSED:
            os.close(fd)


class Spool:
    """The files of one living run. Nothing here is locked: the journal sees to that.

    Args:
        journal: The database's path.
        run_id: Whose events.
        sync: What an intent is to survive.
    """

    def __init__(self, journal: Path, run_id: str, sync: Sync) -> None:
        self._folder = folder_of(journal)
        self._run_id = run_id
        self.sync = sync
        self.segments: list[Segment] = []
        self._left: list[Segment] = []
        self._numbers = itertools.count(1)

    def begin(self) -> None:
        """Begin another file; OSError where there can be none."""
        self.go_on_in(self.another())

    def another(self) -> Segment:
        """Make another file, without any lock, for it takes long; OSError where there can be none."""
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
            made.rename(path)  # nobody takes it for a dead run's before it is locked
            if self.sync == "power":
                for folder in (self._folder, *(one.parent for one in new)):
                    sync_folder(folder)
        except BaseException:
            os.close(fd)
            with contextlib.suppress(OSError):
                made.unlink()
            raise
        return Segment(path, fd, number)

    def go_on_in(self, segment: Segment) -> None:
        """Append to this file from now on."""
        self.segments += [*self._taken_back(), segment]

    def _taken_back(self) -> Iterator[Segment]:
        """What a close left unread, held again: it is to come to the database before what follows."""
        left, self._left = self._left, []
        for closed in left:
            segment = held_again(closed.path, closed.number)
            if segment is not None:
                segment.read, segment.lines, segment.moved = closed.read, closed.lines, closed.moved
                yield segment

    def wants_another(self) -> bool:
        """Whether the file that is written to is big enough to be let go of, or has been tampered with."""
        return any(
            segment.size > SEGMENT_BYTES or not segment.is_in_place() or segment.was_cut()
            for segment in self.segments[-1:]
        )

    def append(self, data: bytes) -> Segment:
        """Write lines; OSError where the file does not take them, and then nothing of them is in it."""
        segment = self.segments[-1]
        segment.measure()
        if segment.size > SEGMENT_BYTES and sum(one.size for one in self.segments) > SPOOL_BYTES:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(segment.path))
        segment.is_amid_append = True
        try:
            written = os.write(segment.fd, data)
        except OSError:
            segment.is_amid_append = False
            raise
        if written != len(data):  # the disk is full: half a line would spoil the next
            os.ftruncate(segment.fd, segment.size)
            segment.is_amid_append = False
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(segment.path))
        segment.size += written
        segment.is_amid_append = False
        segment.lines += data.count(b"\n")
        return segment

    def make_lasting(self, segment: Segment) -> None:
        """Not to return before the loss of power cannot undo what was appended, if that is wished for at all.

        A file that was closed meanwhile is in the database, which is as lasting.
        """
        fd = segment.fd
        if self.sync == "power" and fd != CLOSED:
            try:
                sync_file(fd)
            except OSError:
                if segment.fd == fd:
                    raise

    def waiting(self) -> int:
        """How many lines are not known to be in the database."""
        return sum(segment.lines - segment.moved for segment in (*self._left, *self.segments))

    def unread(self) -> Segment | None:
        """The first file with lines that were not read."""
        return next((one for one in self.segments if one.read < one.size), None)

    def drop_read(self) -> None:
        """Take away the files that have been read, but for the one that is written to."""
        for segment in self.segments[:-1]:
            if segment.read >= segment.size:
                self.segments.remove(segment)
                segment.remove()

    def close(self) -> None:
        """Take away what has been read, and leave the rest for whoever comes."""
        for segment in self.segments:
            segment.measure()
            if segment.read >= segment.size:
                segment.remove()
            else:
                self._left.append(segment)
        self.let_go()

    def rewind(self) -> None:
        """Read from the beginning again."""
        for segment in self.segments:
            segment.read = segment.moved = 0

    def let_go(self) -> None:
        """Close the files and leave them."""
        segments, self.segments = self.segments, []
        for segment in segments:
            segment.close()


class Left(NamedTuple):
    """A file that a dead run has left, held open and locked."""

    run_id: str
    segment: Segment


def left(journal: Path) -> Iterator[Left]:
    """What dead runs have left, oldest first; each is ours while the caller looks at it.

    Behind a file that somebody holds, the others of its run are left to whoever that is: an outcome must not
    come to the database before its intent.
    """
    held: set[str] = set()
    for path in sorted(spools(journal), key=named):
        run_id, number = named(path)
        if run_id in held:
            continue
        segment = held_again(path, number)
        if segment is None:
            held.add(run_id)
            continue
        try:
            yield Left(run_id, segment)
        finally:
            segment.close()


def held_again(path: Path, number: int) -> Segment | None:
    """Open and lock a file that was let go of; None where it is gone, another user's, or held by somebody."""
    with contextlib.ExitStack() as undo, contextlib.suppress(OSError):
        segment = Segment(path, os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0)), number)
        undo.callback(segment.close)
        if file_lock.try_to_hold(segment.fd) and segment.is_in_place():
            undo.pop_all()
            return segment
    return None


def spools(journal: Path) -> list[Path]:
    """The files of all runs, living and dead."""
    return list(folder_of(journal).glob(f"*{SUFFIX}"))


def living_runs(journal: Path) -> frozenset[str]:
    """The runs whose processes live, where what dead ones left has just been taken up."""
    return frozenset(named(path)[0] for path in spools(journal))


def named(path: Path) -> tuple[str, int]:
    """The run and the number of a file."""
    run_id, _, number = path.stem.rpartition(".")
    return run_id, int(number) if number.isdecimal() else 0


def sync_file(fd: int) -> None:
    """Have the file's bytes on the disk itself."""
    try:
        import fcntl  # noqa: PLC0415 - not everywhere

        fcntl.fcntl(fd, getattr(fcntl, "F_FULLFSYNC"))  # noqa: B009 - macOS alone, whose fsync does less
    except (ImportError, AttributeError):
        getattr(os, "fdatasync", os.fsync)(fd)


def sync_folder(folder: Path) -> None:
    """Have the folder's entries on the disk; where folders cannot be opened the system does it."""
    with contextlib.suppress(PermissionError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
