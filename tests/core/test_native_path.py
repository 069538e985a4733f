"""Paths that are not UTF-8, for libraries that take no others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_scnet.core.native_path import utf8_path


@pytest.mark.parametrize("folder", [b"plain", b"ordner\xe9"])
@pytest.mark.parametrize("name", [b"net.onnx", b"net\xe9.onnx"])
def test_a_path_that_is_utf_8_leads_to_the_file(tmp_path: Path, folder: bytes, name: bytes) -> None:
    path = tmp_path / os.fsdecode(folder) / os.fsdecode(name)
    path.parent.mkdir()
    path.write_text("net")
    (path.parent / "weights.bin").write_text("weights")
    with utf8_path(path) as found:
        found.encode()
        assert Path(found).read_text() == "net" and Path(found).suffix == ".onnx"
        if name == b"net.onnx":
            assert Path(found).with_name("weights.bin").read_text() == "weights"
    assert path.read_text() == "net" and (found == str(path)) == (b"\xe9" not in folder + name)
