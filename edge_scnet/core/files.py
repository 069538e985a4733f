"""Files: written whole or not at all, and their sha256."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from edge_scnet.core.foreign import open_regular
from edge_scnet.errors import StorageError


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
    """Yields a temporary path beside `path`, and renames it on success.

    On failure nothing is left.

    Raises:
        StorageError: the folder cannot be written or the disk is full.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)  # noqa: PTH105  the rename that must be atomic, by its POSIX name
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}",
            hint=f"free space or choose another folder: df -h {path.parent}",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all.

    Raises:
        StorageError: as `write_atomic`.
    """
    with write_atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def make_folder(path: Path) -> None:
    """Creates an output folder and proves that it can be written.

    Raises:
        StorageError: it cannot be created or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe.{os.getpid()}.part"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StorageError(
            f"cannot write to {path}: {error.strerror or error}",
            hint="choose another folder with --out DIR",
        ) from error
