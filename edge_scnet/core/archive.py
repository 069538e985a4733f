"""Archives that may come from anywhere: what is in them is checked before it is read."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from edge_scnet.core.foreign import open_regular
from edge_scnet.errors import ArtifactError

# what reading a damaged archive raises: ValueError of PAX headers, zlib's of what gzip packed
DAMAGED = (tarfile.TarError, EOFError, OSError, ValueError, zlib.error)
# of files in an archive of ours; each has a name that is expected
_MOST_MEMBERS = 1000
_AT_ONCE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an archive may hold."""

    # of one file, and of all
    file_bytes: int
    all_bytes: int
    # of the error
    hint: str


class _Bounded:
    """A stream of which no more is read at once than the largest header of a member may have.

    tarfile reads a PAX header at once, of whatever size it claims, and gzip packs zeros 1,000 to 1.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int) -> bytes:
        """Reads so many bytes.

        Raises:
            tarfile.ReadError: they are too many.
        """
        if size > _AT_ONCE_BYTES:
            raise tarfile.ReadError(f"a header in it claims {size:,} bytes")
        return self._stream.read(size)


def _bounded(stream: Any) -> IO[bytes]:
    return cast(IO[bytes], _Bounded(stream))


def content(source: IO[bytes]) -> bytes:
    """All of a file that `archive_files` yields."""
    return b"".join(iter(lambda: source.read(1 << 16), b""))


def archive_files(
    path: Path, name_of: Callable[[str], str | None], *, limits: Limits, refusal: str
) -> Iterator[tuple[str, IO[bytes]]]:
    """Yields the files of a tar.gz, each with its name and open for reading (`content`).

    Args:
        name_of: the plain name of the file that a member's path stands for; None: no such archive
            holds it.
        refusal: the end of the sentence about a member that no such archive holds.

    Raises:
        ArtifactError: a member is a link, a folder or a device, has no name here, comes twice, or
            is too large, or all are together.
        DAMAGED: it is no tar.gz, or damaged.
    """
    names: set[str] = set()
    total = 0
    with (
        open_regular(path) as packed,
        gzip.open(packed) as stream,
        tarfile.open(
            fileobj=cast(IO[bytes], _Bounded(cast(IO[bytes], stream))), mode="r:"
        ) as archive,
    ):
        for member in archive:
            name = name_of(member.name)
            if name is None or not member.isreg() or name in names:
                raise ArtifactError(f"{path} holds {member.name!r}, {refusal}", hint=limits.hint)
            total += member.size
            for what, size, most in (
                (name, member.size, limits.file_bytes),
                ("all that it holds", total, limits.all_bytes),
            ):
                if size > most:
                    raise ArtifactError(
                        f"{path}: {what} has {size:,} bytes, {most:,} are allowed",
                        hint=limits.hint,
                    )
            names.add(name)
            if len(names) > _MOST_MEMBERS:
                raise ArtifactError(
                    f"{path} holds more than {_MOST_MEMBERS:,} files", hint=limits.hint
                )
            source = archive.extractfile(member)
            assert source is not None
            with source:
                yield name, source
