"""Output that a user names: files, through links too, and devices and pipes, which are written to.

In a build folder, which may come from anybody, a name is a file's or it is refused.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from edge_scnet.core.files import no_file, write_atomic
from edge_scnet.core.manifest import MANIFEST
from edge_scnet.errors import StorageError

# A process's own open files: they are written where they stand, not opened anew.
_DESCRIPTORS = re.compile(r"/(?:dev|proc/self)/fd/(\d{1,6})")
_STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}
_READER_S, _EVERY_S = 5.0, 0.05


@contextlib.contextmanager
def output_file(path: Path) -> Iterator[Path]:
    """Yields the path of an empty file whose content then is at `path`.

    A regular file is replaced whole, also where a link leads to it; of a device or a pipe nothing
    is replaced: it is written to.

    Raises:
        StorageError: it cannot be written; or, in a build folder, it is no regular file.
    """
    descriptor = _descriptor_of(path)
    if descriptor is None and ((path.parent / MANIFEST).exists() or not _is_special(path)):
        is_ours = (path.parent / MANIFEST).exists()
        with write_atomic(path if is_ours else Path(os.path.realpath(path))) as temporary:
            yield temporary
        return
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, f"output{path.suffix}")
        made.touch()
        yield made
        try:
            with made.open("rb") as content:
                _write_through(path, descriptor, content.fileno())
        except BrokenPipeError:
            raise  # the reader has what it wanted
        except OSError as error:
            raise StorageError(
                f"cannot write {path}: {error.strerror or error}", hint=f"ls -l {path}"
            ) from error


def write_output(path: Path, text: str) -> None:
    """Writes text to what the user named.

    File names in the text that are not UTF-8 are written with escapes.

    Raises:
        StorageError: as `output_file`.
    """
    with output_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def _descriptor_of(path: Path) -> int | None:
    """The number of the process's own open file that a path names."""
    name = os.path.abspath(path)  # noqa: PTH100  links are not followed
    if name in _STANDARD:
        return _STANDARD[name]
    named = _DESCRIPTORS.fullmatch(name)
    return int(named[1]) if named else None


def _is_special(path: Path) -> bool:
    """Whether a path leads to a device, a pipe or a socket."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False  # nothing is there; or the error is that of writing
    return no_file(mode) is not None and not stat.S_ISDIR(mode)


def _write_through(path: Path, descriptor: int | None, content: int) -> None:
    sys.stdout.flush()
    target = _opened(path) if descriptor is None else os.dup(descriptor)
    with os.fdopen(target, "wb") as file, os.fdopen(os.dup(content), "rb") as source:
        shutil.copyfileobj(source, file)


def _opened(path: Path) -> int:
    """Opens a device or a pipe; for a pipe's reader it waits some seconds, and not for ever."""
    patience = time.monotonic() + _READER_S
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError as error:
            is_pipe = error.errno == errno.ENXIO and stat.S_ISFIFO(path.stat().st_mode)
            if is_pipe and time.monotonic() > patience:
                raise OSError(errno.ENXIO, "no process reads this pipe") from error
            if not is_pipe:
                raise
            time.sleep(_EVERY_S)
            continue
        os.set_blocking(descriptor, True)
        return descriptor
