"""Files that anybody may have written: only regular ones are opened, and read to a limit."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_scnet.cli.options import _lines
from edge_scnet.config.schema import read_toml
from edge_scnet.core import foreign
from edge_scnet.core.json_records import read_json
from edge_scnet.core.manifest import MANIFEST, load_manifest
from edge_scnet.data.array_headers import read_npy, read_npz
from edge_scnet.data.idx import read_idx
from edge_scnet.data.tables import read_table
from edge_scnet.data.yolo_lines import read_lines
from edge_scnet.errors import EdgeError
from edge_scnet.gate import baseline
from edge_scnet.report.store import load_report
from tests.helpers.limits import no_longer_than


def in_folder(read: Callable[[Path], object], name: str) -> Callable[[Path], object]:
    """Reads what is called `name` in the folder of a path."""

    def read_named(path: Path) -> object:
        named = path.with_name(f"of {path.name}") / name
        named.parent.mkdir()
        named.symlink_to(path)
        return read(named)

    return read_named


READERS: dict[str, Callable[[Path], object]] = {
    "json": read_json,
    "toml": read_toml,
    "manifest": in_folder(lambda path: load_manifest(path.parent), MANIFEST),
    "report": load_report,
    "baseline": baseline.load,
    "class names": _lines,
    "idx": in_folder(read_idx, "t10k-images-idx3-ubyte"),
    "idx, packed": in_folder(read_idx, "t10k-images-idx3-ubyte.gz"),
    "npz": read_npz,
    "npy": read_npy,
    "csv": in_folder(read_table, "list.csv"),
    "yolo": read_lines,
}


@pytest.mark.parametrize("reader", READERS)
def test_a_fifo_a_folder_and_a_device_are_not_opened(reader: str, tmp_path: Path) -> None:
    fifo, folder, device = tmp_path / "fifo", tmp_path / "folder", tmp_path / "device"
    os.mkfifo(fifo)
    folder.mkdir()
    device.symlink_to("/dev/zero")
    for path in (fifo, folder, device):
        with no_longer_than(5), pytest.raises((EdgeError, OSError, ValueError)) as caught:
            READERS[reader](path)
        assert "regular file" in str(caught.value) or "a folder" in str(caught.value)


def test_links_to_files_are_read_and_names_with_a_nul_are_none(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one\r\ntwo")
    (tmp_path / "b").symlink_to("a")
    assert foreign.read_text(tmp_path / "b") == "one\ntwo"
    with pytest.raises(OSError, match="NUL"):
        foreign.read_bytes(tmp_path / "b\0")


def test_a_file_that_is_too_large_is_read_no_further(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="it has 1,099,511,627,776 bytes; at most 100 are read"):
        foreign.read_bytes(tmp_path / "large", most_bytes=100)
