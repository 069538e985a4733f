"""What the headers of `.npy` and `.npz` files claim, which is looked at before memory is taken."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO

import numpy as np


def claimed_bytes(file: Path) -> int:
    """The size of all arrays in a file, in bytes.

    Raises:
        ValueError: a header claims more than the file holds, or is damaged.
        OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError: the archive cannot be read.
    """
    with file.open("rb") as opened:
        if not zipfile.is_zipfile(opened):
            opened.seek(0)
            return _claimed(opened, file.stat().st_size, file.name)
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
