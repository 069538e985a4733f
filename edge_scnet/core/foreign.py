"""Files that anybody may have written: opened, and read no further than what they may hold.

A path may name a FIFO, whose opening waits for a writer for ever, a device, or a folder; a file may
be larger than memory. Whatever reads a file that this program did not write opens it here.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path
from typing import BinaryIO

# of a text: reports with raw samples have some MB, COCO's largest json has 450
MOST_TEXT_BYTES = 1 << 30
# of settings: targets, projects, class names, label files
MOST_SETTINGS_BYTES = 10 << 20
LONGEST_NAME = "a name has 255 bytes at most, a path 4,096"
# all of C0 and C1 but tab and line ends
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def open_regular(path: Path | str) -> BinaryIO:
    """Opens a regular file, or a link to one, for reading.

    Raises:
        OSError: it cannot be opened, or is a folder, a FIFO, a socket or a device, which is not
            opened at all.
    """
    try:
        _check_regular(Path(path).stat(), path)
        # O_NONBLOCK: a FIFO that came in its place since is opened without waiting
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except ValueError as error:  # a NUL in the path
        raise OSError(errno.EINVAL, "its name holds a NUL", os.fspath(path)) from error
    try:
        _check_regular(os.fstat(descriptor), path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(path: Path, *, most_bytes: int = MOST_TEXT_BYTES) -> bytes:
    """The content of a regular file.

    Raises:
        OSError: as `open_regular`, or it has more bytes than it may.
    """
    with open_regular(path) as file:
        content = file.read(most_bytes + 1)
        if len(content) > most_bytes:
            size = os.fstat(file.fileno()).st_size
            problem = f"it has {size:,} bytes; at most {most_bytes:,} are read"
            raise OSError(errno.EFBIG, problem, os.fspath(path))
    return content


def read_text(path: Path, *, most_bytes: int = MOST_TEXT_BYTES, encoding: str = "utf-8") -> str:
    """The text of a regular file, as `Path.read_text` reads it.

    Raises:
        OSError: as `read_bytes`. UnicodeDecodeError: it is not in that encoding.
    """
    text = read_bytes(path, most_bytes=most_bytes).decode(encoding)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def exists(path: Path | str) -> bool:
    """Whether there is anything at a path; of a name that no path can have, nothing is."""
    return os.path.exists(path)  # noqa: PTH110  Path.exists raises where a name is too long


def file_fault(path: Path) -> str | None:
    """Why there is no regular file at a path, as in "no such file"; None: there is one."""
    try:
        _check_regular(path.stat(), path)
    except (OSError, ValueError) as error:
        return reason(error)
    return None


def control_character(text: str) -> str | None:
    """The first control character in a text, as in "U+001B"; tabs and line ends are none."""
    found = _CONTROL.search(text)
    return f"U+{ord(found[0]):04X}" if found else None


def reason(error: Exception) -> str:
    """Why a file cannot be read, without its path."""
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return f"no such file ({LONGEST_NAME})"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 text (byte {error.start})"
    return str(error)


def _check_regular(status: os.stat_result, path: Path | str) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder", os.fspath(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", os.fspath(path))
