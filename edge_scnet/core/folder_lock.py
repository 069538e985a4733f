"""A lock on a build folder: one run writes into it at a time, and says who it is.

The kernel holds the lock for the process (flock): it ends with the process, however that ends. The
file stays where a process was killed, and the next run takes it over.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import platform
import stat
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from edge_scnet.core.clock import now_utc
from edge_scnet.core.events import Events
from edge_scnet.core.files import make_folder, remove_leftovers
from edge_scnet.core.json_records import decode, encode_pretty
from edge_scnet.errors import StorageError

LOCK = ".edge-scnet.lock"
_MOST_BYTES = 65_536
_MOMENT_S = 0.05
# No link is followed, and no pipe is waited for.
_OPEN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# Some network file systems have no locks.
_NO_LOCKS = (errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The run that holds a lock."""

    command: str
    process: int
    machine: str
    since_utc: str


@contextlib.contextmanager
def locked(path: Path, *, command: str, wait: bool, events: Events) -> Iterator[None]:
    """Makes a build folder, keeps other runs out of it, and removes what killed ones left there.

    Args:
        path: the folder.
        command: what this run was called by, for those who want in meanwhile.
        wait: until the run that is in it has ended; otherwise it is an error.
        events: told what is waited for.

    Raises:
        StorageError: another run writes into the folder, or it cannot be written.
    """
    make_folder(path)
    descriptor = _acquire(path, command, wait=wait, events=events)
    try:
        remove_leftovers(path)
        yield
    finally:
        with contextlib.suppress(OSError):
            (path / LOCK).unlink()
        with contextlib.suppress(OSError):
            # a forked child may have the file open too
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


@contextlib.contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Lets one process at a time into the block, and has the others wait; nothing is written.

    For what takes no time, in folders that are the user's own. Where the file system locks no
    folders, nobody waits.
    """
    descriptor = None
    try:
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def check_free(path: Path) -> None:
    """Refuses a folder that another run writes into; for before much is read.

    Raises:
        StorageError: as `locked`.
    """
    try:
        descriptor = os.open(path / LOCK, os.O_RDONLY | _OPEN)
    except OSError:
        return  # nobody is in it, or `locked` says what is wrong
    try:
        if not _try(descriptor, fcntl.LOCK_SH):
            raise _in_use(path, _owner(descriptor))
    finally:
        os.close(descriptor)


def _acquire(path: Path, command: str, *, wait: bool, events: Events) -> int:
    """The lock's open file, locked, with this run's words in it."""
    told = False
    while True:
        descriptor = _open(path)
        try:
            if not _try_twice(descriptor):
                owner = _owner(descriptor)
                if not wait:
                    raise _in_use(path, owner)
                if not told:
                    events.stage("wait", f"{path} is in use by {_words(owner)}")
                    told = True
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_there(path, descriptor):
                _tell(descriptor, command)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its owner has ended and taken the file away


def _open(path: Path) -> int:
    try:
        descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | _OPEN, 0o666)
    except OSError as error:
        is_odd = error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO)
        raise StorageError(
            f"cannot write {path / LOCK}: {error.strerror or error}",
            hint=f"remove it: rm -r {path / LOCK}" if is_odd else f"df -h {path}; ls -ld {path}",
        ) from error
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(descriptor)
        raise StorageError(
            f"{path / LOCK} is no file of this folder's own", hint=f"remove it: rm {path / LOCK}"
        )
    return descriptor


def _try(descriptor: int, kind: int) -> bool:
    """Whether the lock is held now, or the file system has none."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True


def _try_twice(descriptor: int) -> bool:
    """As `_try`; twice, for another run's `check_free` has the lock for a moment."""
    if _try(descriptor, fcntl.LOCK_EX):
        return True
    time.sleep(_MOMENT_S)
    return _try(descriptor, fcntl.LOCK_EX)


def _is_there(path: Path, descriptor: int) -> bool:
    """Whether the open file is the one that has the lock's name."""
    try:
        return os.path.samestat((path / LOCK).lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _tell(descriptor: int, command: str) -> None:
    owner = Owner(
        command=command, process=os.getpid(), machine=platform.node(), since_utc=now_utc()
    )
    with contextlib.suppress(OSError):  # on a full disk the lock holds without words
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, encode_pretty(asdict(owner)).encode()[:_MOST_BYTES], 0)


def _owner(descriptor: int) -> Owner | None:
    """The run that holds the lock; None: it has not said so yet."""
    with contextlib.suppress(OSError, ValueError):
        return decode(Owner, os.pread(descriptor, _MOST_BYTES, 0))
    return None


def _in_use(path: Path, owner: Owner | None) -> StorageError:
    return StorageError(
        f"{path} is in use by {_words(owner)}",
        hint="wait until it has ended: add --wait; or build in another folder: --out DIR",
    )


def _words(owner: Owner | None) -> str:
    if owner is None:
        return "another run"
    where = "" if owner.machine == platform.node() else f" on {owner.machine}"
    return f"{owner.command} (process {owner.process}{where}, since {owner.since_utc})"
