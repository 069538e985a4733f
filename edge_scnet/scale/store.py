"""Files by content: inputs of tasks under their hash, results under the hash of their task.

A folder may be shared by machines, so nothing that is read is trusted: an input is held to its
hash, a result to the hash in front of it, and a result is arrays alone, never a pickle.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np

from edge_scnet.core.files import make_folder, remove_files, sha256_bytes, write_atomic
from edge_scnet.core.foreign import open_regular

Arrays = dict[str, np.ndarray]
_DIGEST_BYTES = 32


class Blobs:
    """Inputs of tasks in a folder, each under its sha256."""

    def __init__(self, folder: Path) -> None:
        """Opens the folder; it is made by the first `put`."""
        self.folder = folder

    def put(self, data: bytes) -> str:
        """Keeps an input, and returns its sha256 in hex.

        Raises:
            StorageError: the folder cannot be written.
        """
        digest = sha256_bytes(data)
        path = self._path(digest)
        if not path.exists():
            make_folder(path.parent)
            with write_atomic(path) as temporary:
                temporary.write_bytes(data)
        return digest

    def get(self, digest: str) -> bytes | None:
        """An input; None where it is not there, or is not what its name says."""
        try:
            with open_regular(self._path(digest)) as file:
                data = file.read()
        except OSError:
            return None
        return data if sha256_bytes(data) == digest else None

    def remove(self, digest: str) -> None:
        """Removes an input, where it is there.

        Raises:
            StorageError: it cannot be removed.
        """
        remove_files([self._path(digest)])

    def _path(self, digest: str) -> Path:
        return self.folder / digest[:2] / digest


class Results:
    """Results of tasks in a folder, each under the key of its task."""

    def __init__(self, folder: Path) -> None:
        """Opens the folder; it is made by the first `put`."""
        self.folder = folder

    def put(self, key: str, arrays: Arrays) -> None:
        """Keeps a result, whole or not at all.

        Raises:
            StorageError: the folder cannot be written.
        """
        data = packed(arrays)
        path = self._path(key)
        make_folder(path.parent)
        with write_atomic(path) as temporary:
            temporary.write_bytes(hashlib.sha256(data).digest() + data)

    def get(self, key: str) -> Arrays | None:
        """A result; None where there is none, or a damaged one, which the next `put` replaces."""
        try:
            with open_regular(self._path(key)) as file:
                digest, data = file.read(_DIGEST_BYTES), file.read()
        except OSError:
            return None
        if hashlib.sha256(data).digest() != digest:
            return None
        try:
            return unpacked(data)
        except (ValueError, OSError, zipfile.BadZipFile):
            return None

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.npz"


def packed(arrays: Arrays) -> bytes:
    """Arrays by name as bytes: an .npz without pickles."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # np.savez takes "file" for its own argument
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
            # a fixed time: the same arrays are the same bytes
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())
    return buffer.getvalue()


def unpacked(data: bytes) -> Arrays:
    """Arrays by name from `packed`.

    Raises:
        ValueError, OSError, zipfile.BadZipFile: it is something else.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {
            name.removesuffix(".npy"): np.lib.format.read_array(
                io.BytesIO(archive.read(name)), allow_pickle=False
            )
            for name in archive.namelist()
        }
