"""Output where the user wants it: files, links to files, devices and pipes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edge_scnet.core import output_file
from edge_scnet.core.output_file import write_output
from edge_scnet.errors import StorageError


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    write_output(tmp_path / "a", "new \udce9")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a", "new \\udce9")]


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_and_its_file_is_replaced(tmp_path: Path, exists: bool) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
    file, link = tmp_path / "there" / "file", tmp_path / "here" / "link"
    if exists:
        file.write_text("old")
    link.symlink_to(file)
    write_output(link, "new")
    assert link.is_symlink() and not file.is_symlink() and file.read_text() == "new"
    assert len(list(tmp_path.rglob("*"))) == 4


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_in_a_build_folder_only_files_are_written(tmp_path: Path, kind: str) -> None:
    build, victim = tmp_path / "build", tmp_path / "victim"
    build.mkdir()
    (build / "manifest.json").touch()
    victim.write_text("mine")
    path = build / "page.html"
    path.symlink_to(victim) if kind == "link" else os.mkfifo(path)
    with pytest.raises(StorageError, match=f"page.html is a {kind}"):
        write_output(path, "text")
    assert victim.read_text() == "mine" and len(list(build.iterdir())) == 2


def test_a_pipe_gets_the_text(tmp_path: Path) -> None:
    pipe, texts = tmp_path / "p", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: texts.append(pipe.read_text()))
    reader.start()
    write_output(pipe, "text" * 50_000)
    reader.join()
    assert texts == ["text" * 50_000] and stat.S_ISFIFO(pipe.lstat().st_mode)


def test_a_pipe_that_nobody_reads_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output_file, "_READER_S", 0.1)
    os.mkfifo(tmp_path / "p")
    with pytest.raises(StorageError, match="no process reads this pipe"):
        write_output(tmp_path / "p", "text")


def test_a_device_is_written_to(tmp_path: Path) -> None:
    """Of /dev/null itself: as root a rename would make it a file."""
    before = os.lstat("/dev/null")
    write_output(Path("/dev/null"), "text")
    (tmp_path / "link").symlink_to("/dev/null")
    write_output(tmp_path / "link", "text")
    assert os.path.samestat(os.lstat("/dev/null"), before) and (tmp_path / "link").is_symlink()
    with pytest.raises(StorageError, match="cannot write /dev/full: No space left"):
        write_output(Path("/dev/full"), "text")


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_by_its_name(tmp_path: Path, name: str) -> None:
    """It goes on where it stands: neither the link nor a file that it was sent to is replaced."""
    code = (
        "import sys; from pathlib import Path; from edge_scnet.core.output_file import"
        f" write_output; print('before'); write_output(Path({name!r}), 'text\\n'); print('after')"
    )
    out = tmp_path / "out"
    with out.open("w") as file:
        subprocess.run([sys.executable, "-c", code], stdout=file, check=True)
    assert out.read_text() == "before\ntext\nafter\n"


def test_a_folder_is_no_output(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match="folder is a folder"):
        write_output(tmp_path / "folder", "text")
