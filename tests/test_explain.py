"""What was quantized, read from the graph; and which module a planted fault is blamed on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edge_scnet.config.target import Gates
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.gate import baseline
from edge_scnet.gate import check as checking
from edge_scnet.graph import inventory as provenance
from edge_scnet.graph import pairs
from edge_scnet.pipeline.explain import explain, explaining_images, float_graph
from edge_scnet.report.store import load_report
from edge_scnet.sensitivity import bisect
from edge_scnet.stats.accuracy import relative_noise
from tests.helpers.tool import BUILD_CODE, MODEL, Built, Outcome

Run = Callable[..., Outcome]
TENSOR = "layer2.0.relu/Relu"


def scaled(source: Path, out: Path, tensor: str, factor: float) -> Path:
    """The Q/DQ graph with one activation's scale multiplied."""
    model = ir.load(source)
    for node in pairs.pairs(model):
        if str(node.name).startswith(f"{tensor}/") and node.op_type == pairs.QUANTIZE:
            value = node.inputs[1]
            assert value is not None and value.const_value is not None
            value.const_value = ir.tensor(
                (value.const_value.numpy() * factor).astype(np.float32), name=value.name
            )
    ir.save(model, out)
    return out


def test_a_report_holds_every_scale_and_the_codes(built: Built) -> None:
    made = load_report(built.folder / "report.json")
    assert made.quantization is not None and made.provenance is not None
    model = ir.load(built.folder / "model.qdq.onnx")
    quantizers = [node for node in pairs.pairs(model) if node.op_type == pairs.QUANTIZE]
    assert (
        len(made.quantization.activations) == len(quantizers)
        and len(made.quantization.weights) == 46
    )
    first = quantizers[0]
    known = made.quantization.activations[str(first.inputs[0].name)]
    assert known.scale == pytest.approx(float(pairs.constant(first.inputs[1])))
    stem = made.quantization.weights["conv1"]
    assert 16 < stem.distinct <= 128 and stem.channels == 16
    manifest = json.loads((built.folder / "manifest.json").read_text())
    files = manifest["artifacts"]
    assert (
        made.provenance.float_onnx
        == made.provenance.calibrated_onnx
        == files["model.onnx"]["sha256"]
    )
    assert list(made.provenance.weights) == list(files["model.onnx"]["parents"].values())
    assert (
        "gates" not in made.provenance.settings
        and made.provenance.settings["quant"]["placement"] == "openvino"
    )


def test_the_graphs_hash_is_of_its_form_and_not_of_its_weights(built: Built) -> None:
    def load() -> ir.Model:
        return ir.load(built.folder / "model.onnx")

    same = provenance.graph_hash(load())
    other = load()
    weight = next(iter(other.graph.initializers.values()))
    weight.const_value = ir.tensor(weight.const_value.numpy() + 1, name=weight.name)
    assert provenance.graph_hash(other) == same
    changed = load()
    pool = next(node for node in changed.graph if node.op_type == "AveragePool")
    pool.attributes["strides"] = ir.AttrInt64s("strides", [1, 1])
    assert provenance.graph_hash(changed) != same


def test_a_foreign_graph_of_a_float_weight_behind_a_q_is_read_too(
    tmp_path: Path, built: Built
) -> None:
    from edge_scnet.compile.forms import to_float_weights

    model = ir.load(built.folder / "model.qdq.onnx")
    ours, theirs = (
        provenance.quantization_of(model),
        provenance.quantization_of(to_float_weights(model)),
    )
    assert ours == theirs


def test_bisecting_blames_the_planted_fault(built: Built, tmp_path: Path) -> None:
    folder = BuildFolder.open(built.folder)
    wrong = ir.load(scaled(built.folder / "model.qdq.onnx", tmp_path / "wrong.onnx", TENSOR, 0.25))
    reference, images = float_graph(folder, wrong), explaining_images(folder.manifest)[:12]
    sound = bisect.bisect(ir.load(built.folder / "model.qdq.onnx"), reference, images)
    found = bisect.bisect(wrong, reference, images)
    assert (
        found.sqnr_db is not None
        and sound.sqnr_db is not None
        and found.sqnr_db < sound.sqnr_db - 3
    )
    readers = {"layer2.1", "layer3.0", "layer2.0"}
    assert found.blocks[0].name in readers and found.blocks[0].share > 0.5
    assert found.blocks[0].share > sound.blocks[0].share
    assert [relief.share for relief in found.blocks] == sorted(
        (r.share for r in found.blocks), reverse=True
    )
    # all of it in float is the float graph
    everything = [str(node.name) for node in wrong.graph]
    alike = relative_noise(
        bisect._run(reference, images),
        bisect._run(bisect.in_float(wrong, reference, everything), images),
    )
    assert alike < 1e-10


def test_check_explain_names_modules_and_causes(
    cli_process: Run, copied: Built, tmp_path: Path
) -> None:
    known = tmp_path / "b.json"
    made = load_report(copied.folder / "report.json")
    gates = replace(
        made.gates or Gates(),
        max_drop_pp=50,
        max_slowdown_percent=90,
        max_memory_growth_percent=200,
    )
    baseline.save(baseline.of_report(made, gates), known)
    wrong = scaled(copied.folder / "model.qdq.onnx", tmp_path / "wrong.onnx", TENSOR, 0.25)
    again = cli_process(
        "build",
        "--calib",
        copied.calib,
        "--eval",
        copied.evaluation,
        "--out",
        copied.folder.parents[1],
        "--seconds",
        "0.2",
        "--max-drop",
        "50",
        "--qdq",
        wrong,
        code=BUILD_CODE,
    )
    assert again.code in (0, 11), again.stderr
    outcome = cli_process("check", copied.folder, "--baseline", known, "--explain", "--json")
    row = json.loads(outcome.stdout)[0]
    assert outcome.code == 10 and row["model"] == MODEL
    failing = {finding["metric"] for finding in row["findings"] if finding["verdict"] == "fail"}
    assert {"SQNR", "scales", "quantizer (ours, or another's file)"} <= failing
    assert (
        "the noise at the outputs that goes away with a block back in float: layer"
        in row["explanation"][0]
    )
    assert "quantizer" in next(f["cause"] for f in row["findings"] if f["cause"])


def test_explain_without_the_build_says_so(built: Built, tmp_path: Path) -> None:
    made = load_report(built.folder / "report.json")
    (tmp_path / "report.json").write_text((built.folder / "report.json").read_text())
    baseline.save(
        baseline.of_report(made, replace(made.gates or Gates(), max_drop_pp=50)),
        tmp_path / "b.json",
    )
    checked = checking.check([tmp_path], against=tmp_path / "b.json")[0]
    assert explain(checked.report, tmp_path)[0].startswith(
        "not explained: the build's files are not beside the report"
    )
