"""What was quantized, read from the graph."""

from __future__ import annotations

import json
from pathlib import Path

import onnx_ir as ir
import pytest

from edge_scnet.graph import inventory, pairs
from edge_scnet.report.store import load_report
from tests.helpers.tool import Built


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

    same = inventory.graph_hash(load())
    other = load()
    weight = next(iter(other.graph.initializers.values()))
    weight.const_value = ir.tensor(weight.const_value.numpy() + 1, name=weight.name)
    assert inventory.graph_hash(other) == same
    changed = load()
    pool = next(node for node in changed.graph if node.op_type == "AveragePool")
    pool.attributes["strides"] = ir.AttrInt64s("strides", [1, 1])
    assert inventory.graph_hash(changed) != same


def test_a_foreign_graph_of_a_float_weight_behind_a_q_is_read_too(
    tmp_path: Path, built: Built
) -> None:
    from edge_scnet.compile.forms import to_float_weights

    model = ir.load(built.folder / "model.qdq.onnx")
    ours, theirs = (
        inventory.quantization_of(model),
        inventory.quantization_of(to_float_weights(model)),
    )
    assert ours == theirs
