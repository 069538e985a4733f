"""Archives that may come from anywhere: what is in them is checked before it is read."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from edge_scnet.errors import ArtifactError

# what reading a damaged archive raises
DAMAGED = (tarfile.TarError, EOFError, OSError)


def archive_files(
    path: Path, name_of: Callable[[str], str | None], *, most_bytes: int, refusal: str
) -> Iterator[tuple[str, IO[bytes]]]:
    """Yields the files of a tar.gz, each with its name and open for reading.

    Args:
        name_of: the plain name of the file that a member's path stands for; None: no such archive
            holds it.
        most_bytes: that a file may have.
        refusal: the end of the sentence about a member that no such archive holds.

    Raises:
        ArtifactError: a member is a link, a folder or a device, has no name here, comes twice, or
            is too large.
        tarfile.TarError, EOFError, OSError: it is no tar.gz, or damaged (`DAMAGED`).
    """
    names: set[str] = set()
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            name = name_of(member.name)
            if name is None or not member.isreg() or name in names:
                raise ArtifactError(f"{path} holds {member.name!r}, {refusal}")
            if member.size > most_bytes:
                raise ArtifactError(
                    f"{path}: {name} has {member.size:,} bytes, {most_bytes:,} are allowed"
                )
            names.add(name)
            source = archive.extractfile(member)
            assert source is not None
            with source:
                yield name, source
