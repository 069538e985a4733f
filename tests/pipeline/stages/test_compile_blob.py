"""model.blob: made where the target asks for it, used where it fits, refused where changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.facts import BLOB_KIND, BlobFacts
from edge_scnet.core.files import sha256_file
from edge_scnet.core.resources import bundled
from edge_scnet.errors import ArtifactError
from edge_scnet.pipeline import build
from edge_scnet.pipeline.build_folder import engine_of, first_engine
from edge_scnet.pipeline.profile import profile
from edge_scnet.runtimes import runtime_named
from edge_scnet.runtimes.base import OpenOptions
from tests.helpers.tool import MODEL, Built
from tests.pipeline.stages.test_adopt import Warnings

Edit = Callable[[Path, Callable[[dict], None]], None]


def target_file(folder: Path, *, blob: bool) -> str:
    """The cpu target under a name of its own, with the key or without."""
    text = (bundled("targets") / "cpu.toml").read_text()
    assert "\n# compiled_blob = false\n" in text
    if blob:
        text = text.replace("\n# compiled_blob = false\n", "\ncompiled_blob = true\n")
    path = folder / "warm.toml"
    path.write_text(text)
    return str(path)


def compiled(copied: Built, folder: Path, *, blob: bool) -> tuple[BuildFolder, Warnings]:
    """The shared build's engine, reused in a folder of the target."""
    out, events = copied.folder.parents[1], Warnings()
    where = out / MODEL / "warm"
    if copied.folder.exists():
        copied.folder.rename(where)
    target = target_file(folder, blob=blob)
    build.build(target=target, calib=copied.calib, out=out, until="compile", events=events)
    return BuildFolder.open(where), events


def test_the_blob_is_made_used_and_taken_away_again(
    copied: Built, tmp_path: Path, edit_manifest: Edit
) -> None:
    before = sha256_file(copied.folder / "model.xml")
    folder, events = compiled(copied, tmp_path, blob=True)
    entry, facts = folder.entry("model.blob"), folder.facts("model.blob", BlobFacts)
    assert not [message for message in events.messages if "blob" in message]
    assert entry.kind == BLOB_KIND and set(entry.parents) == {"model.xml", "model.bin"}
    assert facts.engine == "model.xml" and facts.precision == "f32" and facts.features
    assert sha256_file(folder.path / "model.xml") == before, "the engine itself is reused"

    engine = engine_of(folder, first_engine(folder))
    assert engine.options.blob == folder.path / "model.blob" and not engine.cold
    runtime, runs = runtime_named("openvino"), []
    for options in (engine.options, replace(engine.options, blob=None)):
        with runtime.open(engine.path, options) as session:
            rng = np.random.default_rng(0)
            # the samples are pictures: the engine takes bytes
            images = rng.integers(0, 256, (20, *session.input_shape)).astype(np.uint8)
            layers = session.executed_precisions()
            found = [layer for layer in layers if layer.kind in runtime.convolutions]
            # OpenVINO counts on in the names of its own nodes
            nodes = {
                node
                for layer in found
                for node in layer.nodes
                if not re.fullmatch(r"[A-Z][A-Za-z]*_\d+", node)
            }
            runs.append(([session.infer(image)[0].copy() for image in images], nodes))
    np.testing.assert_array_equal(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1], "layers are looked up by the names of modules"

    row = profile(folder.path, evaluation=copied.evaluation, seconds=0.1).report.engines[-1]
    assert row.warm_start is not None and row.warm_start.file == "model.blob"
    assert row.warm_start.size_bytes == entry.size_bytes
    assert row.warm_start.compiled_seconds > 0 and row.load_seconds > 0
    assert row.convolutions == {"u8": 46} and row.layer_times

    def older(manifest: dict) -> None:
        manifest["artifacts"]["model.blob"]["facts"]["version"] = "2025.0.0"

    edit_manifest(folder.path, older)
    changed = BuildFolder.open(folder.path)
    engine = engine_of(changed, first_engine(changed))
    assert engine.options.blob is None
    assert engine.cold.startswith(
        "model.blob is not used, model.xml is compiled: version 2025.0.0, here "
    )
    (folder.path / "model.blob").unlink()
    engine = engine_of(folder, first_engine(folder))
    assert engine.cold == "model.blob is not used, model.xml is compiled: it is missing"

    folder, _ = compiled(copied, tmp_path, blob=True)
    with (folder.path / "model.blob").open("r+b") as file:
        file.seek(100)
        file.write(b"\0other")
    with pytest.raises(ArtifactError, match=r"model\.blob is not the file that was built"):
        engine_of(folder, first_engine(folder))
    folder, _ = compiled(copied, tmp_path, blob=False)
    assert "model.blob" not in folder.manifest.artifacts
    assert not (folder.path / "model.blob").exists()


def test_a_blob_that_computes_something_else_is_not_kept(
    copied: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = type(runtime_named("openvino"))
    save = runtime.save_blob

    def of_the_twin(self: object, artifact: Path, options: OpenOptions, out: Path) -> None:
        save(self, artifact.with_name("model-fp32.xml"), options, out)

    monkeypatch.setattr(runtime, "save_blob", of_the_twin)
    folder, events = compiled(copied, tmp_path, blob=True)
    assert "model.blob" not in folder.manifest.artifacts
    assert "model.blob is not kept: loaded from it, model.xml executes other layers" in (
        events.messages
    )


def test_facts_of_a_blob_are_read_back(copied: Built, edit_manifest: Edit) -> None:
    facts = runtime_named("openvino").blob_facts("model.xml", OpenOptions())
    assert facts is not None

    def add(manifest: dict) -> None:
        plain = manifest["artifacts"]["model.bin"]
        own = {"file": "model.blob", "kind": BLOB_KIND, "facts": asdict(facts)}
        manifest["artifacts"]["model.blob"] = {**plain, **own}

    edit_manifest(copied.folder, add)
    assert BuildFolder.open(copied.folder).facts("model.blob", BlobFacts) == facts
