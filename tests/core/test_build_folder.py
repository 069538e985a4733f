"""An opened build folder: its files by name, verified."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.facts import ExportFacts, RangesFacts
from edge_scnet.core.files import sha256_bytes
from edge_scnet.core.manifest import MANIFEST
from edge_scnet.errors import ArtifactError

MANIFESTS = Path(__file__).parents[1] / "data" / "manifests"


@pytest.fixture
def folder(tmp_path: Path) -> BuildFolder:
    """A folder whose manifest lists a whole build, of which only model.onnx is there."""
    shutil.copy(MANIFESTS / "cpu.json", tmp_path / MANIFEST)
    (tmp_path / "model.onnx").write_bytes(b"graph")
    opened = BuildFolder.open(tmp_path)
    entry = replace(opened.entry("model.onnx"), sha256=sha256_bytes(b"graph"))
    return opened.with_artifact(entry)


def test_a_file_is_verified_by_its_name(folder: BuildFolder) -> None:
    assert folder.verified("model.onnx") == folder.path / "model.onnx"
    with pytest.raises(ArtifactError, match=r"model\.xml is missing"):
        folder.verified("model.xml")
    with pytest.raises(ArtifactError, match=r"does not list engine\.plan") as caught:
        folder.verified("engine.plan")
    assert caught.value.hint == "edge-scnet build scnet20-fashion-mnist --target cpu"


def test_a_file_is_current_by_its_key_and_its_content(folder: BuildFolder) -> None:
    key = folder.entry("model.onnx").key
    assert folder.is_current("model.onnx", key)
    assert not folder.is_current("model.onnx", "another")
    assert not folder.is_current("no-such-file", key)
    (folder.path / "model.onnx").write_bytes(b"another graph")
    assert not folder.is_current("model.onnx", key)


def test_facts_are_asked_for_by_their_kind(folder: BuildFolder) -> None:
    assert folder.facts("model.onnx", ExportFacts).nodes == 129
    with pytest.raises(ArtifactError, match=r"lists model\.onnx as onnx of the stage export"):
        folder.facts("model.onnx", RangesFacts)


def test_what_is_saved_is_opened_again(folder: BuildFolder) -> None:
    folder.save()
    assert BuildFolder.open(folder.path) == folder
