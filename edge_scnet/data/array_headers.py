"""`.npy` and `.npz` files: what their headers claim is looked at before memory is taken."""

from __future__ import annotations

import math
import os
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from edge_scnet.core.foreign import open_regular, reason
from edge_scnet.errors import first_line

# of damaged archives, of ones with a password or packed in a way that Python cannot read, and of
# headers that are no Python
UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    MemoryError,
    SyntaxError,
    TypeError,
    tokenize.TokenError,
)
_MOST_BYTES = 1 << 30


def read_npz(path: Path, *, most_bytes: int = _MOST_BYTES) -> dict[str, np.ndarray]:
    """All arrays of an `.npz` file by name.

    Raises:
        ValueError: it cannot be read, is damaged, holds Python objects, or claims more than it
            may hold.
    """
    try:
        if (size := claimed_bytes(path)) > most_bytes:
            raise ValueError(f"its arrays claim {size:,} bytes; {most_bytes:,} are allowed")
        with open_regular(path) as file:
            content = np.load(file, allow_pickle=False)
            if isinstance(content, np.ndarray):
                raise ValueError("it is one array, an .npz file is needed")
            with content as arrays:
                return {name: np.asarray(arrays[name]) for name in arrays.files}
    except UNREADABLE as error:
        raise ValueError(why(error)) from error


def read_npy(path: Path, *, most_bytes: int = _MOST_BYTES) -> np.ndarray:
    """The array of an `.npy` file.

    Raises:
        ValueError: as `read_npz`.
    """
    try:
        if (size := claimed_bytes(path)) > most_bytes:
            raise ValueError(f"it claims {size:,} bytes; {most_bytes:,} are allowed")
        with open_regular(path) as file:
            content = np.load(file, allow_pickle=False)
            if not isinstance(content, np.ndarray):
                raise ValueError("it is an archive of arrays, an .npy file is needed")
            return content
    except UNREADABLE as error:
        raise ValueError(why(error)) from error


def why(error: BaseException) -> str:
    """The reason, less NumPy's advice to unpickle what anybody may have written."""
    if isinstance(error, OSError):
        return reason(error)
    if "pickle" in str(error):
        return "it holds Python objects, or is no NumPy file"
    return first_line(error)


def claimed_bytes(file: Path) -> int:
    """The size of all arrays in a file, in bytes.

    Raises:
        ValueError: a header claims more than the file holds, or is damaged.
        OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError: the archive cannot be read.
    """
    with open_regular(file) as opened:
        if not zipfile.is_zipfile(opened):
            opened.seek(0)
            return _claimed(opened, os.fstat(opened.fileno()).st_size, file.name)
        with zipfile.ZipFile(opened) as archive:
            total = 0
            for info in archive.infolist():
                if info.filename.endswith(".npy"):
                    with archive.open(info) as member:
                        total += _claimed(member, info.file_size, info.filename)
            return total


def _claimed(stream: IO[bytes], held: int, name: str) -> int:
    """The size of an array.

    Args:
        stream: at its start.
        held: the bytes that there are.
    """
    version = np.lib.format.read_magic(stream)
    # version 3 is of records with names in other letters, which no input takes
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"{name} is of version {version[0]}.{version[1]}; 1.0 or 2.0 is needed")
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    shape, _, dtype = read(stream)
    size = math.prod(shape) * dtype.itemsize
    if size > held and not dtype.hasobject:
        raise ValueError(
            f"the header of {name} claims {' x '.join(map(str, shape))} of {dtype}, {size:,} bytes;"
            f" it has {held:,}"
        )
    return size
