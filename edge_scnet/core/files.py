"""Files: written whole or not at all, over nothing but files and through no link; their sha256.

All that goes into a build folder, or into any folder of the tool's, is written here. A folder may
come from anybody: its names are never followed out of it. What users name for output is written by
`core/output_file.py`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import signal
import stat
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from edge_scnet.core.foreign import LONGEST_NAME, open_regular
from edge_scnet.errors import StorageError

# Of temporary names: what is drawn by lot, so that nobody can have put a link there.
_TOKEN_BYTES = 4
_STEM_CHARACTERS = 32  # a name may have 255 bytes, the temporary one is longer
# Temporary files and folders of this version, and of older ones, which had the process id.
_TEMPORARY = re.compile(
    r"\..*\.([0-9a-f]{8}|\d+)\.part(\..*)?|\.trial-\d+-.*|[^.].*\.cache\.\d+\.part", re.DOTALL
)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def sha256_file(path: Path) -> str:
    """The hex sha256 of a regular file's bytes.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sha256_bytes(data: bytes) -> str:
    """The hex sha256 of bytes."""
    return hashlib.sha256(data).hexdigest()


@contextlib.contextmanager
def write_atomic(path: Path) -> Iterator[Path]:
    """Yields the path of a new, empty file beside `path`, and renames it on success.

    On failure nothing is left. A file that is replaced keeps its permissions.

    Raises:
        StorageError: the folder cannot be written or the disk is full; or `path` is a link, a
            folder, a device or a pipe.
    """
    with _storage_errors(path):
        _check_replaceable(path)
        temporary = _new_file(path)
        try:
            yield temporary
            replace_file(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all.

    File names in the text that are not UTF-8 are written with escapes.

    Raises:
        StorageError: as `write_atomic`.
    """
    with write_atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_together(texts: Mapping[Path, str | None]) -> None:
    """Writes text files that belong together, and removes those that have no text.

    An interrupt or a fault leaves all old ones or makes all new ones. A process that is killed in
    between may leave some out, and never an old one beside a new one.

    Raises:
        StorageError: as `write_atomic`.
    """
    with contextlib.ExitStack() as stack:
        made = []
        for path, text in texts.items():
            with _storage_errors(path):
                _check_replaceable(path)
                if text is None:
                    continue
                temporary = _new_file(path)
                stack.callback(_unlink_if_there, temporary)
                temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
            made.append((temporary, path))
        with _uninterrupted():
            remove_files(list(texts)[1:])
            for temporary, path in made:
                with _storage_errors(path):
                    replace_file(temporary, path)


def remove_files(paths: Iterable[Path]) -> None:
    """Removes files, those that are there; of a link the link.

    Raises:
        StorageError: one cannot be removed.
    """
    for path in paths:
        with _storage_errors(path):
            path.unlink(missing_ok=True)


def replace_file(source: Path, target: Path) -> None:
    """Gives a file its name; what has that name is replaced where it is a file.

    Raises:
        OSError: it cannot be renamed. StorageError: `target` is a link, or no file.
    """
    found = _check_replaceable(target)
    if found is not None:
        source.chmod(stat.S_IMODE(found.st_mode) & 0o777)
    os.replace(source, target)  # noqa: PTH105  the rename that must be atomic, by its POSIX name


@contextlib.contextmanager
def scratch_folder(parent: Path, name: str) -> Iterator[Path]:
    """Yields a new, empty folder in another, which is removed at the end with all in it.

    Raises:
        StorageError: `parent` cannot be written.
    """
    with _storage_errors(parent):
        folder = _drawn(parent / name)
        folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_folder(path: Path) -> None:
    """Refuses what is no folder where one is to be: a link, or a file.

    Raises:
        StorageError: says what is there.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        raise StorageError(
            f"{path} is {no_file(mode) or 'a file'}, where a folder is to be",
            hint=f"remove or rename it: ls -ld {path}",
        )


def replace_folder(source: Path, target: Path) -> None:
    """Gives a folder its name; the folder that has that name is removed with all in it.

    Raises:
        StorageError: it cannot be renamed, or `target` is a link or no folder.
    """
    check_folder(target)
    with _storage_errors(target):
        if target.is_dir():
            shutil.rmtree(target)  # it follows no links
        source.rename(target)


def make_folder(path: Path) -> None:
    """Creates an output folder and proves that it can be written.

    Raises:
        StorageError: it cannot be created or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        # it has no name where the file system can do that
        with tempfile.TemporaryFile(dir=path, prefix=".probe.", suffix=".00000000.part"):
            pass
    except OSError as error:
        raise StorageError(
            f"cannot write to {path}: {error.strerror or error}",
            hint="choose another folder with --out DIR",
        ) from error


def remove_leftovers(folder: Path) -> None:
    """Removes the temporary files of runs that were killed; no other run may write here now."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if not _TEMPORARY.fullmatch(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            _unlink_if_there(Path(entry.path))


def no_file(mode: int) -> str | None:
    """What an `st_mode` is of, where that is no regular file."""
    kinds = {
        stat.S_IFLNK: "a link",
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
    }
    return None if stat.S_ISREG(mode) else kinds.get(stat.S_IFMT(mode), "a device")


def _check_replaceable(path: Path) -> os.stat_result | None:
    """What is known of the file that is to be replaced; None: there is none.

    Raises:
        StorageError: it is no regular file.
    """
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if (kind := no_file(found.st_mode)) is not None:
        raise StorageError(
            f"{path} is {kind}: nothing is written over it or through it",
            hint=f"remove or rename it: ls -l {path.parent}; or choose another place",
        )
    return found


def _new_file(path: Path) -> Path:
    """Creates an empty file beside `path`, with the permissions of any new file."""
    temporary = _drawn(path)
    # O_EXCL: neither a file nor a link that is there is opened
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    return temporary


def _drawn(path: Path) -> Path:
    """A temporary name beside a path, with its suffix."""
    token = os.urandom(_TOKEN_BYTES).hex()
    return path.with_name(f".{path.stem[:_STEM_CHARACTERS]}.{token}.part{path.suffix}")


def _unlink_if_there(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


@contextlib.contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    """Has failures to write a file say which, and what helps."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}", hint=_hint(error, path)
        ) from error


def _hint(error: OSError, path: Path) -> str:
    if error.errno in _FULL or error.errno is None:
        return f"free space or choose another folder: df -h {path.parent}"
    if error.errno == errno.ENAMETOOLONG:
        return f"choose a shorter one: {LONGEST_NAME}"
    if error.errno == errno.ENOENT and not path.parent.exists():
        return f"make the folder: mkdir -p {path.parent}"
    return f"choose another folder, or look at this one: ls -ld {path.parent}"


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Keeps Ctrl-C until the end of the block."""
    if threading.current_thread() is not threading.main_thread():
        yield  # interrupts come to the main thread alone
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            signal.raise_signal(signal.SIGINT)
