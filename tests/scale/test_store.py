"""Files by content: what comes back is what was put, or nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_scnet.errors import StorageError
from edge_scnet.scale.store import Blobs, Results, packed, unpacked


def test_an_input_comes_back_under_its_hash_and_a_changed_one_does_not(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "inputs")
    digest = blobs.put(b"some bytes")
    assert blobs.put(b"some bytes") == digest and blobs.get(digest) == b"some bytes"
    (file,) = [path for path in blobs.folder.rglob("*") if path.is_file()]
    file.write_bytes(b"other bytes")
    assert blobs.get(digest) is None
    blobs.remove(digest)
    blobs.remove(digest)
    assert not file.exists() and blobs.get("0" * 64) is None


def test_arrays_of_all_kinds_are_kept_and_the_same_are_the_same_bytes() -> None:
    arrays = {
        "file": np.arange(6, dtype=np.int64).reshape(2, 3),
        "0.1": np.array(0.1),
        "names": np.array(["conv1", "a.b"]),
        "none": np.zeros((0, 4), np.float32),
        "several": np.zeros(2, [("a", np.float32, (3,)), ("b", np.int64)]),
    }
    found = unpacked(packed(arrays))
    assert {name: (a.dtype, a.shape) for name, a in found.items()} == {
        name: (a.dtype, a.shape) for name, a in arrays.items()
    }
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
    assert packed(arrays) == packed(found)


def test_a_result_is_arrays_and_never_a_pickle(tmp_path: Path) -> None:
    results = Results(tmp_path)
    with pytest.raises(ValueError, match="allow_pickle"):
        results.put("a" * 64, {"y": np.array([object()], dtype=object)})
    assert results.get("a" * 64) is None and not list(tmp_path.rglob("*.part*"))


@pytest.mark.parametrize("damage", [b"", b"short", b"x" * 400])
def test_a_damaged_result_is_none_and_is_replaced(tmp_path: Path, damage: bytes) -> None:
    results = Results(tmp_path)
    results.put("a" * 64, {"y": np.arange(3)})
    (file,) = tmp_path.rglob("*.npz")
    file.write_bytes(damage)
    assert results.get("a" * 64) is None
    results.put("a" * 64, {"y": np.arange(3)})
    found = results.get("a" * 64)
    assert found is not None and found["y"].tolist() == [0, 1, 2]


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    results = Results(tmp_path / "results")
    results.put("a" * 64, {"y": np.arange(3)})
    (file,) = (tmp_path / "results").rglob("*.npz")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"mine")
    file.unlink()
    file.symlink_to(elsewhere)
    with pytest.raises(StorageError, match="is a link"):
        results.put("a" * 64, {"y": np.arange(3)})
    assert elsewhere.read_bytes() == b"mine"
