"""The bundle for a board: packed, unpacked, and refused where it is not ours."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_scnet.compile import bundle, reference
from edge_scnet.config.target import from_dict
from edge_scnet.core.manifest import INT8_FORM, load_manifest
from edge_scnet.errors import ArtifactError, TargetError
from tests.helpers.tensorrt import JETSON, PREFIX, members
from tests.helpers.tool import Outcome


def repacked(path: Path, change: Callable[[dict[str, bytes]], None], out: Path) -> Path:
    contents = members(path)
    change(contents)
    with tarfile.open(out, "w:gz") as archive:
        for name, data in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out


def test_a_bundle_opens_to_what_was_packed(packed: Path, tmp_path: Path) -> None:
    bundle.unpack(packed, tmp_path)
    names = {name.rpartition("/")[2] for name in members(packed)}
    assert names == {file.name for file in tmp_path.iterdir()}
    assert (tmp_path / INT8_FORM).read_bytes() == (packed.parent / INT8_FORM).read_bytes()
    listed = json.loads((tmp_path / "evaluation.json").read_text())
    assert len(listed["content_hashes"]) == len(listed["labels"]) == 600
    known = reference.load(tmp_path / "reference.npz")
    assert (
        known.images.shape == (64, 1, 28, 28)
        and known.outputs[0].shape == (64, 10)
        and 25 < known.simulation[0].db < 45
    )
    assert from_dict(load_manifest(tmp_path).target) == JETSON


def header(contents: dict[str, bytes], **changes: Any) -> None:
    name = f"{PREFIX}/bundle.json"
    contents[name] = json.dumps({**json.loads(contents[name]), **changes}).encode()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda c: c.update({f"{PREFIX}/engine.onnx": b"other"}),
            "engine.onnx is not what was packed",
        ),
        (lambda c: c.pop(f"{PREFIX}/engine.onnx"), "lacks engine.onnx"),
        (lambda c: c.pop(f"{PREFIX}/bundle.json"), "holds no bundle.json"),
        (lambda c: c.update({"../evil": b""}), r"holds '../evil'"),
        (lambda c: c.update({"/etc/evil": b""}), r"holds '/etc/evil'"),
        (
            lambda c: c.update({f"{PREFIX}/sitecustomize.py": b""}),
            "sitecustomize.py', which no bundle",
        ),
        (
            lambda c: header(c, schema=9, edge_scnet="7.0"),
            "schema 9, made by edge-scnet 7.0; .* reads 1 and 2",
        ),
        # of the part for a search, and of no hash
        (lambda c: c.update({f"{PREFIX}/search.json": b"{}"}), "lacks search.json"),
        (lambda c: c.update({f"{PREFIX}/bundle.json": b"["}), "cannot be read"),
    ],
)
def test_a_bundle_that_is_not_ours_is_refused(
    change: Callable[[dict[str, bytes]], None], words: str, packed: Path, tmp_path: Path
) -> None:
    (tmp_path / "into").mkdir()
    with pytest.raises(ArtifactError, match=words):
        bundle.unpack(repacked(packed, change, tmp_path / "b.tar.gz"), tmp_path / "into")
    assert not (tmp_path / "evil").exists()


def test_a_bundle_of_schema_1_is_read(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "into").mkdir()
    old = repacked(packed, lambda c: header(c, schema=1), tmp_path / "b.tar.gz")
    assert (bundle.unpack(old, tmp_path / "into") / INT8_FORM).is_file()


def test_a_link_in_a_bundle_is_refused(packed: Path, tmp_path: Path) -> None:
    path = tmp_path / "b.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo(f"{PREFIX}/engine.onnx")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    (tmp_path / "into").mkdir()
    with pytest.raises(ArtifactError, match="nothing was unpacked"):
        bundle.unpack(path, tmp_path / "into")


@pytest.mark.parametrize("content", [b"", b"no archive", gzip.compress(b"no archive", mtime=0)])
def test_no_bundle_is_an_error(
    content: bytes, tmp_path: Path, invoke: Callable[..., Outcome]
) -> None:
    path = tmp_path / "b.tar.gz"
    path.write_bytes(content)
    outcome = invoke("compile", path, "--out", tmp_path / "out")
    assert outcome.code == 6 and "b.tar.gz" in outcome.stderr and outcome.hint
    assert not (tmp_path / "out").exists()


def test_a_truncated_bundle_is_an_error(
    packed: Path, tmp_path: Path, invoke: Callable[..., Outcome]
) -> None:
    path = tmp_path / "b.tar.gz"
    path.write_bytes(packed.read_bytes()[:-5000])
    outcome = invoke("compile", path, "--out", tmp_path / "out")
    assert outcome.code == 6 and "is damaged" in outcome.stderr


def test_a_bundle_of_another_version_says_so(packed: Path) -> None:
    manifest = json.loads(members(packed)[f"{PREFIX}/manifest.json"])
    del manifest["target"]["board"]["max_opset"]
    with pytest.raises(
        TargetError, match=r"another version of edge-scnet: .*board\.max_opset is missing"
    ) as caught:
        from_dict(manifest["target"])
    assert "edge-scnet build" in str(caught.value.hint)
