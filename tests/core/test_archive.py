"""Archives from anywhere: only plain files with an expected name are read."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from edge_scnet.core.archive import DAMAGED, archive_files
from edge_scnet.errors import ArtifactError


def pack(path: Path, *members: tarfile.TarInfo | tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            archive.addfile(info, io.BytesIO(member[1]))
    return path


def member(name: str, kind: bytes, to: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info


def name_of(path: str) -> str | None:
    return path.removeprefix("./") if path.removeprefix("./") in ("a", "b") else None


def read(path: Path) -> dict[str, bytes]:
    return {
        name: source.read()
        for name, source in archive_files(path, name_of, most_bytes=10, refusal="which is odd")
    }


def test_files_are_read_by_their_names(tmp_path: Path) -> None:
    assert read(pack(tmp_path / "a", ("./a", b"one"), ("b", b""))) == {"a": b"one", "b": b""}


@pytest.mark.parametrize(
    "odd",
    [
        ("../a", b""),
        ("/a", b""),
        ("x/a", b""),
        ("c", b""),
        ("a", b"twice"),
        member("b", tarfile.SYMTYPE, "/etc/passwd"),
        member("b", tarfile.LNKTYPE, "a"),
        member("b", tarfile.DIRTYPE),
        member("b", tarfile.FIFOTYPE),
    ],
)
def test_whatever_else_is_in_it_is_refused(
    tmp_path: Path, odd: tarfile.TarInfo | tuple[str, bytes]
) -> None:
    with pytest.raises(ArtifactError, match=r"holds '.*', which is odd"):
        read(pack(tmp_path / "a", ("a", b"one"), odd))


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="a has 11 bytes, 10 are allowed"):
        read(pack(tmp_path / "a", ("a", b"x" * 11)))


def test_a_damaged_archive_raises_what_its_reader_expects(tmp_path: Path) -> None:
    whole = pack(tmp_path / "a", ("a", b"one")).read_bytes()
    for damaged in (whole[:30], b"", b"not gzip", b"\x1f\x8b" + b"\0" * 40):
        (tmp_path / "b").write_bytes(damaged)
        with pytest.raises(DAMAGED):
            read(tmp_path / "b")
