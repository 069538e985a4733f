"""Q/DQ files made by other quantizers: inspected, refused with the node and the fix, or taken in
place of ours and proven.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edge_scnet.config.target import QuantScheme
from edge_scnet.core import manifest as artifact
from edge_scnet.data import batches
from edge_scnet.data import samples as dataset
from edge_scnet.errors import ArtifactError
from edge_scnet.models import zoo
from edge_scnet.pipeline import build as pipeline
from edge_scnet.pipeline.result import BuildResult
from edge_scnet.quantize import calibrate, recipe
from tests.helpers.tool import Built, Outcome


def written(built: Built, path: Path, *, placement: str, bits: int) -> Path:
    """A Q/DQ file of the bundled model, by another scheme than its target's."""
    scheme = QuantScheme(placement=placement, rounding="nearest", bias_correction=False)
    spec = zoo.MODELS[zoo.DEFAULT_MODEL]
    samples = dataset.open_samples(built.calib, model=spec, role="calibration")
    found = calibrate.calibrate(
        built.folder / "model.onnx",
        [batches.load(samples, spec)],
        expected_images=len(samples),
        samples_hash="x",
    )
    model = ir.load(built.folder / "model.onnx")
    result = recipe.assemble(
        recipe.prepare(
            model, found, scheme, weight_bits=bits, images=np.zeros((0, 1, 28, 28), np.float32)
        )
    )
    ir.save(result.model, path)
    return path


class Warnings:
    """Keeps what a build warns of."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def stage(self, name: str, detail: str) -> None: ...
    def progress(self, what: str, share: float) -> None: ...
    def done(self, result: str, *, reused: bool) -> None: ...
    def warn(self, message: str) -> None:
        self.messages.append(message)


def build(copied: Built, qdq: Path) -> tuple[BuildResult, list[str]]:
    """Everything but the measuring, from the export and the statistics that are there."""
    warnings = Warnings()
    result = pipeline.build(
        calib=copied.calib,
        out=copied.folder.parent.parent,
        qdq=qdq,
        until="compile",
        events=warnings,
    )
    return result, warnings.messages


def test_a_signed_file_is_written_in_another_form_and_computes_what_it_says(
    copied: Built, tmp_path: Path
) -> None:
    source = written(copied, tmp_path / "signed.onnx", placement="tensorrt", bits=7)
    result, warnings = build(copied, source)
    facts = result.manifest.artifacts["model.qdq.onnx"].facts
    assert (
        facts["provenance"]["made_elsewhere"] is True
        and facts["convolutions"] == len(facts["int8_convolutions"]) == 46
    )
    proof = result.manifest.artifacts["model.xml"].facts["fidelity"]
    assert proof["engine_db"] > proof["simulation_db"] - 1
    assert any(message.startswith("written in another form for openvino: ") for message in warnings)
    # what is stored is their file, not the rewritten one
    assert (
        ir.load(copied.folder / "model.qdq.onnx").graph.num_nodes()
        == ir.load(source).graph.num_nodes()
    )


def test_codes_that_would_saturate_on_the_target_are_refused(copied: Built, tmp_path: Path) -> None:
    source = written(copied, tmp_path / "wide.onnx", placement="openvino", bits=8)
    copied.folder.rename(copied.folder.with_name("cpu-avx2"))  # the same export and statistics
    with pytest.raises(
        ArtifactError, match=r"wide\.onnx is wrong for target cpu-avx2:\n  .*"
    ) as caught:
        pipeline.build(
            target="cpu-avx2",
            calib=copied.calib,
            out=copied.folder.parents[1],
            qdq=source,
            until="quantize",
            events=Warnings(),
        )
    assert "a weight's code is 127: products saturate" in caught.value.message and caught.value.hint


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none.onnx", "no such file"),
        ("text.onnx", "is no ONNX file"),
        ("float", "holds no QuantizeLinear"),
    ],
)
def test_what_is_no_quantized_file_is_refused(
    copied: Built, tmp_path: Path, name: str, words: str
) -> None:
    (tmp_path / "text.onnx").write_text("hello")
    path = copied.folder / "model.onnx" if name == "float" else tmp_path / name
    before = artifact.load_manifest(copied.folder)
    with pytest.raises(ArtifactError, match=words):
        build(copied, path)
    assert (
        artifact.load_manifest(copied.folder).artifacts["model.qdq.onnx"]
        == before.artifacts["model.qdq.onnx"]
    )


def test_a_file_of_another_model_is_refused(copied: Built, tmp_path: Path) -> None:
    model = ir.load(copied.folder / "model.qdq.onnx")
    model.graph.outputs[0].shape = ir.Shape([1, 7])
    ir.save(model, tmp_path / "other.onnx")
    with pytest.raises(ArtifactError, match="has inputs and outputs of") as caught:
        build(copied, tmp_path / "other.onnx")
    assert "edge-scnet export" in (caught.value.hint or "")


def test_inspect_of_our_own_file_finds_nothing(
    built: Built, invoke: Callable[..., Outcome]
) -> None:
    outcome = invoke("inspect", built.folder / "model.qdq.onnx", "--target", "cpu", "--json")
    # not even the small classifier, which is left in float on purpose
    assert outcome.code == 0 and json.loads(outcome.stdout) == []


def test_inspect_names_the_node_and_the_fix(
    built: Built, tmp_path: Path, invoke: Callable[..., Outcome]
) -> None:
    source = written(built, tmp_path / "wide.onnx", placement="openvino", bits=8)
    outcome = invoke("inspect", source, "--target", "cpu-avx2")
    assert outcome.code == 6
    first = outcome.stdout.splitlines()[0]
    assert first.startswith("error: ") and "conv1" in outcome.stdout
    assert outcome.stdout.splitlines()[-1].startswith(f"{source}: ")


def test_inspect_of_anything_else_is_an_error(
    built: Built, tmp_path: Path, invoke: Callable[..., Outcome]
) -> None:
    (tmp_path / "text.onnx").write_text("hello")
    for path, words in (
        (built.folder / "model.onnx", "holds no Q/DQ to check"),
        (tmp_path / "text.onnx", "is no ONNX file that can be read"),
        (tmp_path / "none.onnx", "no such file"),
    ):
        outcome = invoke("inspect", path)
        assert outcome.code == 6 and words in outcome.stderr and outcome.hint
