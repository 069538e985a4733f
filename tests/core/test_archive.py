"""Archives from anywhere: only plain files with an expected name are read."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from edge_scnet.core.archive import DAMAGED, Limits, archive_files
from edge_scnet.errors import ArtifactError

LIMITS = Limits(file_bytes=10, all_bytes=15, hint="pack less")


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
        for name, source in archive_files(path, name_of, limits=LIMITS, refusal="which is odd")
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


def test_all_files_together_have_a_limit(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="all that it holds has 18 bytes, 15 are allowed") as e:
        read(pack(tmp_path / "a", ("a", b"x" * 9), ("b", b"x" * 9)))
    assert e.value.hint == "pack less"


def test_a_header_may_not_claim_memory(tmp_path: Path) -> None:
    """gzip packs zeros 1,000 to 1, and tarfile reads a PAX header at once."""
    huge = tarfile.TarInfo("x")
    huge.type, huge.size = tarfile.XHDTYPE, 1 << 30
    with gzip.open(tmp_path / "a", "wb") as packed:
        packed.write(huge.tobuf(tarfile.USTAR_FORMAT) + b"\0" * (8 << 20))
    with pytest.raises(DAMAGED, match="claims 1,073,741,824 bytes"):
        read(tmp_path / "a")


def test_a_sparse_map_of_damaged_numbers_is_damage(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a")
    info.pax_headers = {"GNU.sparse.map": "0,x", "GNU.sparse.size": "10"}
    with gzip.open(tmp_path / "a", "wb") as packed:
        packed.write(info.tobuf(tarfile.PAX_FORMAT) + b"\0" * 1024)
    with pytest.raises(DAMAGED):
        read(tmp_path / "a")
