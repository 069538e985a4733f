"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
from pathlib import Path

import pytest

from edge_scnet.core import files
from edge_scnet.core.files import (
    make_folder,
    remove_leftovers,
    replace_folder,
    scratch_folder,
    sha256_bytes,
    sha256_file,
    write_atomic,
    write_text,
    write_together,
)
from edge_scnet.errors import StorageError


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with write_atomic(path) as temporary:
        temporary.write_text("new")
        assert temporary.suffix == ".json" and path.read_text() == "old"
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.json", "new")]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_of_what_fails(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(error), write_atomic(tmp_path / "a") as temporary:
        temporary.write_text("half")
        raise error
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a", "old")]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot write") as caught:
        write_text(tmp_path / "file" / "a", "text")
    assert caught.value.hint.startswith("choose another folder")
    with pytest.raises(StorageError, match="cannot write to"):
        make_folder(tmp_path / "file" / "folder")
    make_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_hashes(tmp_path: Path) -> None:
    data = bytes(3 << 20)
    (tmp_path / "a").write_bytes(data)
    assert sha256_file(tmp_path / "a") == sha256_bytes(data) == hashlib.sha256(data).hexdigest()


def in_the_way(path: Path, kind: str) -> Path:
    """Puts what is no regular file at a path; of links, what they lead to is `victim` beside it."""
    victim = path.with_name("victim")
    victim.write_text("mine")
    if kind == "link":
        path.symlink_to(victim)
    elif kind == "dangling link":
        path.symlink_to(path.with_name("absent"))
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    return victim


@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "folder"])
def test_nothing_is_written_over_or_through_what_is_no_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    victim = in_the_way(path, kind)
    before = path.lstat()
    for write in (lambda: write_text(path, "text"), lambda: write_together({path: "text"})):
        with pytest.raises(StorageError, match=f"a is a {kind.split()[-1]}: nothing is written"):
            write()
    assert os.path.samestat(path.lstat(), before) and victim.read_text() == "mine"
    assert {found.name for found in tmp_path.iterdir()} == {"a", "victim"}


def test_a_name_that_is_foreseen_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the lot falls on a name that is there: O_EXCL opens nothing."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    monkeypatch.setattr(files.os, "urandom", lambda count: bytes(count))
    (tmp_path / ".a.00000000.part.json").symlink_to(victim)
    with pytest.raises(StorageError, match="File exists"):
        write_text(tmp_path / "a.json", "text")
    assert victim.read_text() == "mine"


def test_names_that_older_versions_would_have_used(tmp_path: Path) -> None:
    """The process id was all that was to be guessed."""
    victim = tmp_path / "victim"
    for name in (f".report.{os.getpid()}.part.json", f".probe.{os.getpid()}.part"):
        (tmp_path / name).symlink_to(victim)
    make_folder(tmp_path)
    write_text(tmp_path / "report.json", "text")
    assert not victim.exists() and not (tmp_path / "report.json").is_symlink()


def test_permissions_are_those_of_any_new_file_or_of_the_file_before(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a", "new")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
    (tmp_path / "a").chmod(0o600)
    write_text(tmp_path / "a", "newer")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600


def test_a_name_as_long_as_names_can_be(tmp_path: Path) -> None:
    path = tmp_path / f"{'ä' * 125}.json"
    write_text(path, "text")
    assert path.read_text() == "text"


def test_names_that_are_not_utf_8_are_written_with_escapes(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "bild\udce9.png")
    assert (tmp_path / "a").read_text() == "bild\\udce9.png"


def test_hints_fit_the_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError) as caught:
        write_text(tmp_path / "gone" / "a", "text")
    assert caught.value.hint == f"make the folder: mkdir -p {tmp_path / 'gone'}"

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(StorageError, match="No space left") as caught:
        write_text(tmp_path / "a", "text")
    assert caught.value.hint.startswith("free space") and not list(tmp_path.iterdir())


def test_files_that_belong_together(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_text("old")
    write_together({tmp_path / "a": "new", tmp_path / "b": "new", tmp_path / "c": None})
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a": "new", "b": "new"}


@pytest.mark.parametrize("moment", [0, 1])
def test_an_interrupt_leaves_all_old_files_or_all_new_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """It comes as the first or the second file gets its name: both are there before it counts."""
    for name in "ab":
        (tmp_path / name).write_text("old")
    replace, calls = os.replace, []

    def interrupted(source: Path, target: Path) -> None:
        if len(calls) == moment:
            signal.raise_signal(signal.SIGINT)
        calls.append(target)
        replace(source, target)

    monkeypatch.setattr("os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_together({tmp_path / "a": "new", tmp_path / "b": "new"})
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a": "new", "b": "new"}
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_process_killed_between_files_leaves_no_old_one_beside_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        (tmp_path / name).write_text("old")
    replace = os.replace

    def killed(source: Path, target: Path) -> None:
        replace(source, target)
        raise SystemExit

    monkeypatch.setattr("os.replace", killed)
    with pytest.raises(SystemExit):
        write_together({tmp_path / "a": "new", tmp_path / "b": "new"})
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a": "new"}


def test_a_folder_for_a_while(tmp_path: Path) -> None:
    with scratch_folder(tmp_path, "trial") as folder:
        (folder / "a").write_text("text")
        assert folder.parent == tmp_path and remove_leftovers(tmp_path) is None
        assert not folder.exists()  # a run that was killed would have left it
    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_place_of_another(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    replace_folder(tmp_path / "new", tmp_path / "old")
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")] == ["old", "old/new"]
    (tmp_path / "link").symlink_to(tmp_path / "old")
    with pytest.raises(StorageError, match="link is a link, where a folder is to be"):
        replace_folder(tmp_path / "old", tmp_path / "link")


def test_leftovers_are_removed_and_nothing_else(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    left = [".trial-71-model.xml", ".model.71.part.bin", ".probe.71.part", ".m.0123abcd.part.json"]
    for name in (*left, "timing-gpu.cache.71.part"):
        (tmp_path / name).touch()
    (tmp_path / ".link.0123abcd.part").symlink_to(victim)
    (tmp_path / ".trial.0123abcd.part").mkdir()
    (tmp_path / ".trial.0123abcd.part" / "model.xml").touch()
    kept = {".hidden", ".part", "model.part", "engine.plan.part", ".a.part.b", "victim"}
    for name in kept - {"victim"}:
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == kept and victim.read_text() == "mine"
