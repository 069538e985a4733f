"""A package written into a folder: all of its files, or none."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from edge_scnet.core.files import check_folder, make_folder, scratch_folder
from edge_scnet.core.foreign import open_regular, reason
from edge_scnet.errors import ArtifactError, StorageError
from edge_scnet.package.facts import EnginePart
from edge_scnet.package.form import Content

_BLOCK_BYTES = 1 << 20


def check_empty(out: Path) -> None:
    """Refuses a place that holds anything.

    Raises:
        StorageError: a folder with something in it, a file, or a link.
    """
    check_folder(out)
    try:
        with os.scandir(out) as entries:
            first = next(entries, None)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"cannot read {out}: {error.strerror or error}") from error
    if first is not None:
        raise StorageError(
            f"{out} is not empty ({first.name} is in it): a package gets a folder of its own",
            hint="name one that is empty or not there yet: --out DIR",
        )


def write_package(out: Path, contents: Mapping[str, Content]) -> None:
    """Writes a package; where anything fails, nothing is left.

    Args:
        out: a folder that is empty, or is not there yet.
        contents: by path in it.

    Raises:
        StorageError: as `check_empty`, or it cannot be written.
        ArtifactError: a file of the engine is no more what its manifest says.
    """
    check_empty(out)
    if not out.exists():
        make_folder(out.parent)
        with scratch_folder(out.parent, out.name) as made, _said_of(out):
            _fill(made, contents)
            made.rename(out)
        return
    # a folder that is there stays the one it is: it may be mounted, or the current one
    with scratch_folder(out, "package") as made, _said_of(out):
        _fill(made, contents)
        moved: list[Path] = []
        try:
            for entry in sorted(made.iterdir()):
                moved.append(entry.rename(out / entry.name))
        except BaseException:
            for place in moved:
                place.rename(made / place.name)
            raise


def _fill(folder: Path, contents: Mapping[str, Content]) -> None:
    for name, content in contents.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            place.write_text(content, encoding="utf-8")
        else:
            _copy(content, place)


def _copy(part: EnginePart, place: Path) -> None:
    """Copies a file of the engine, and looks at what was copied."""
    digest = hashlib.sha256()
    with _source(part) as source, place.open("xb") as copy:
        while block := source.read(_BLOCK_BYTES):
            digest.update(block)
            copy.write(block)
    if digest.hexdigest() != part.sha256:
        raise ArtifactError(
            f"{part.path} changed while it was copied: nothing was written",
            hint="build again, then package it: edge-scnet build",
        )


@contextlib.contextmanager
def _said_of(out: Path) -> Iterator[None]:
    """Has failures to write say where, and what helps."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot write {out}: {error.strerror or error}",
            hint=f"free space or choose another folder with --out DIR: df -h {out.parent}",
        ) from error


def _source(part: EnginePart) -> BinaryIO:
    try:
        return open_regular(part.path)
    except OSError as error:
        raise ArtifactError(
            f"{part.path} cannot be read: {reason(error)}", hint="build again: edge-scnet build"
        ) from error
