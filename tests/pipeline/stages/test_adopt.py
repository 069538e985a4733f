"""Q/DQ files of other quantizers: taken in place of ours, or refused with node and fix."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx_ir as ir
import pytest

from edge_scnet.core import manifest
from edge_scnet.errors import ArtifactError
from edge_scnet.pipeline import build
from edge_scnet.pipeline.result import BuildResult
from tests.helpers.foreign import written
from tests.helpers.tool import Built


class Warnings:
    """Keeps what a build warns of."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def stage(self, name: str, detail: str) -> None: ...
    def progress(self, what: str, share: float) -> None: ...
    def done(self, result: str, *, reused: bool) -> None: ...
    def warn(self, message: str) -> None:
        self.messages.append(message)


def build_from(copied: Built, qdq: Path) -> tuple[BuildResult, list[str]]:
    """Everything but the measuring, from the export and the statistics that are there."""
    warnings = Warnings()
    result = build.build(
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
    result, warnings = build_from(copied, source)
    facts = result.manifest.artifacts["model.qdq.onnx"].facts
    assert (
        facts.provenance.made_elsewhere and facts.convolutions == len(facts.int8_convolutions) == 46
    )
    proof = result.manifest.artifacts["model.xml"].facts.fidelity
    assert proof.engine_db > proof.simulation_db - 1
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
        build.build(
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
        ("float", "holds no Q/DQ"),
    ],
)
def test_what_is_no_quantized_file_is_refused(
    copied: Built, tmp_path: Path, name: str, words: str
) -> None:
    (tmp_path / "text.onnx").write_text("hello")
    path = copied.folder / "model.onnx" if name == "float" else tmp_path / name
    before = manifest.load_manifest(copied.folder)
    with pytest.raises(ArtifactError, match=words):
        build_from(copied, path)
    assert (
        manifest.load_manifest(copied.folder).artifacts["model.qdq.onnx"]
        == before.artifacts["model.qdq.onnx"]
    )


def test_a_file_of_another_model_is_refused(copied: Built, tmp_path: Path) -> None:
    model = ir.load(copied.folder / "model.qdq.onnx")
    model.graph.outputs[0].shape = ir.Shape([1, 7])
    ir.save(model, tmp_path / "other.onnx")
    with pytest.raises(ArtifactError, match="has inputs and outputs of") as caught:
        build_from(copied, tmp_path / "other.onnx")
    assert "edge-scnet export" in (caught.value.hint or "")


def test_a_file_that_cannot_be_taken_is_refused_before_the_first_stage(
    tmp_path: Path, built: Built
) -> None:
    """Nothing is exported or calibrated first: the folder holds no file."""
    (tmp_path / "text.onnx").write_text("hello")
    for name in ("none.onnx", "text.onnx"):
        with pytest.raises(ArtifactError):
            build.build(
                calib=built.calib,
                out=tmp_path / "out",
                qdq=tmp_path / name,
                until="compile",
                events=Warnings(),
            )
    assert not (tmp_path / "out").exists()


def test_external_data_is_taken_into_the_build(copied: Built, tmp_path: Path) -> None:
    model = onnx.load(copied.folder / "model.qdq.onnx")
    source = tmp_path / "beside.onnx"
    onnx.save(model, source, save_as_external_data=True, location="w.data", size_threshold=0)
    result, _ = build_from(copied, source)
    stored = onnx.load(copied.folder / "model.qdq.onnx", load_external_data=False)
    assert not any(tensor.data_location for tensor in stored.graph.initializer)
    facts = result.manifest.artifacts["model.qdq.onnx"].facts
    assert len(facts.int8_convolutions) == 46 and set(facts.int8_convolutions) <= set(
        facts.int8_layers
    )
