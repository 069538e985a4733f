"""A package is written whole or not at all, whatever fails on the way."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_scnet.core.files import sha256_bytes
from edge_scnet.errors import ArtifactError, EdgeError, StorageError
from edge_scnet.package.facts import EnginePart
from edge_scnet.package.form import Content
from edge_scnet.package.write import write_package

ENGINE = b"an engine"


@pytest.fixture
def contents(tmp_path: Path) -> dict[str, Content]:
    """Two texts, one in a folder, and an engine."""
    path = tmp_path / "model.xml"
    path.write_bytes(ENGINE)
    part = EnginePart(
        name=path.name, path=path, sha256=sha256_bytes(ENGINE), size_bytes=len(ENGINE)
    )
    return {"a.txt": "a\n", "net/1/model.xml": part, "net/z.txt": "é\n"}


def listed(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("exists", [True, False])
def test_all_files_are_there(tmp_path: Path, contents: dict[str, Content], exists: bool) -> None:
    out = tmp_path / "deep" / "out"
    if exists:
        out.mkdir(parents=True)
    write_package(out, contents)
    assert listed(out) == ["a.txt", "net", "net/1", "net/1/model.xml", "net/z.txt"]
    assert (out / "net/1/model.xml").read_bytes() == ENGINE
    assert (out / "net/z.txt").read_text("utf-8") == "é\n"
    assert listed(out.parent)[0] == "out"


def changed(path: Path) -> None:
    path.write_bytes(b"another one")


def removed(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize(
    ("happens", "words"),
    [(changed, "changed while it was copied"), (removed, "cannot be read: no such file")],
)
def test_an_engine_that_changes_leaves_nothing(
    tmp_path: Path,
    contents: dict[str, Content],
    exists: bool,
    happens: Callable[[Path], None],
    words: str,
) -> None:
    out = tmp_path / "deep" / "out"
    if exists:
        out.mkdir(parents=True)
    happens(tmp_path / "model.xml")
    with pytest.raises(ArtifactError, match=words):
        write_package(out, contents)
    assert out.exists() == exists and listed(out.parent) == ["out"] * exists


@pytest.mark.parametrize("exists", [True, False])
def test_a_disk_that_is_full_leaves_nothing(
    tmp_path: Path, contents: dict[str, Content], exists: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "deep" / "out"
    out.parent.mkdir()
    if exists:
        out.mkdir()
    write = Path.write_text

    def full(path: Path, text: str, **settings: str) -> int:
        if path.name == "z.txt":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, text, **settings)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(StorageError, match="No space left on device") as caught:
        write_package(out, contents)
    assert str(out) in caught.value.message and "df -h" in caught.value.hint
    assert listed(out.parent) == ["out"] * exists


def test_what_comes_into_the_folder_meanwhile_stays(
    tmp_path: Path, contents: dict[str, Content], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    rename = Path.rename

    def late(path: Path, place: Path) -> Path:
        if place == out and not out.exists():
            out.mkdir()
            (out / "mine.txt").write_text("mine")
        return rename(path, place)

    monkeypatch.setattr(Path, "rename", late)
    with pytest.raises(EdgeError, match="cannot write"):
        write_package(out, contents)
    assert listed(out) == ["mine.txt"]
