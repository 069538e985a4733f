"""What the builder makes of the forms: every convolution is taken in INT8."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx_ir as ir
import pytest

from edge_scnet.compile import forms, plans
from edge_scnet.compile.executed import WantedLayers
from edge_scnet.config.target import load_target
from edge_scnet.core.events import Silent
from edge_scnet.core.manifest import FP16_FORM, INT8_FORM, INT8_PLAN
from edge_scnet.export import from_torch
from edge_scnet.graph.model import save
from edge_scnet.quantizer import recipe
from edge_scnet.quantizer.statistics import Ranges
from edge_scnet.runtimes.tensorrt import backend
from tests.helpers.statistics import calibrated
from tests.helpers.tensorrt import JETSON, NO_IMAGES, needs_rtx
from tests.helpers.tool import Built


def _wanted(convolutions: list[str]) -> WantedLayers:
    return WantedLayers(convolutions=tuple(convolutions), aliases={})


class _Told(Silent):
    """What was told."""

    def __init__(self) -> None:
        self.shares: list[tuple[str, float]] = []
        self.warnings: list[str] = []

    def progress(self, what: str, share: float, count: int = 0, unit: str = "") -> None:
        self.shares.append((what, share))

    def warn(self, message: str) -> None:
        self.warnings.append(message)


@needs_rtx
def test_the_parser_and_builder_take_every_convolution_in_int8(
    built: Built, jetson_qdq: ir.Model, built_ranges: Ranges, tmp_path: Path
) -> None:
    made = forms.forms_of(ir.load(built.folder / "model.onnx"), jetson_qdq, built_ranges, JETSON)
    save(made.int8, tmp_path / INT8_FORM)
    save(made.fp16, tmp_path / FP16_FORM)
    convolutions = [str(node.name) for node in jetson_qdq.graph if node.op_type == "Conv"]
    events = _Told()
    rtx = load_target("rtx")
    source = plans.PlanSource(folder=tmp_path, wanted=_wanted(convolutions))
    facts = plans.build_pair(backend.RTX, rtx, source, events)
    assert facts[INT8_PLAN].int8_convolutions == len(convolutions) == 46
    assert facts[INT8_PLAN].copies == ()
    assert events.shares[-1] == (INT8_PLAN, 1.0)
    if reason := backend.RTX.unavailable_to_run():
        assert len(events.warnings) == 1 and reason in events.warnings[0]
        assert "not compared with the float graph's" in events.warnings[0]
    assert facts[INT8_PLAN].in_float is None
    missing = replace(source, wanted=_wanted(["no.such"]))
    # what no layer names may be in INT8: minutes of building are not thrown away
    kept = plans.build_pair(backend.RTX, replace(rtx, require_int8=True), missing, _Told())
    assert kept[INT8_PLAN].in_float == {"no.such": "not found"}
    assert (tmp_path / INT8_PLAN).exists()


@pytest.mark.slow
@pytest.mark.soak
@needs_rtx
def test_all_117_convolutions_of_scnet50_are_taken_in_int8(tmp_path: Path) -> None:
    import torch

    from edge_scnet.scnet import scnet50

    torch.manual_seed(0)
    module = scnet50()
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
            torch.nn.init.normal_(
                layer.bias, 0.0, 0.2
            )  # folded they are the real biases that a parser may refuse
            layer.momentum = None
    images = torch.randn(4, 3, 97, 97)
    with torch.inference_mode():
        module.train()(images)
    model = from_torch.export_torch(module.eval(), (1, 3, 97, 97), opset=JETSON.opset)
    assert all(
        node.inputs[2].const_value.numpy().any() for node in model.graph if node.op_type == "Conv"
    )
    save(model, tmp_path / "model.onnx")
    found = calibrated(tmp_path / "model.onnx", images.numpy())
    scheme = replace(JETSON.quant, rounding="nearest", bias_correction=False)
    written = recipe.assemble(
        recipe.prepare(model, found, scheme, weight_bits=8, images=NO_IMAGES)
    ).model
    made = forms.forms_of(model, written, found, JETSON)
    assert made.kept_fp32 == {}
    save(made.int8, tmp_path / INT8_FORM)
    save(made.fp16, tmp_path / FP16_FORM)
    convolutions = [str(node.name) for node in model.graph if node.op_type == "Conv"]
    source = plans.PlanSource(folder=tmp_path, wanted=_wanted(convolutions))
    facts = plans.build_pair(backend.RTX, load_target("rtx"), source, _Told())
    assert facts[INT8_PLAN].int8_convolutions == len(convolutions) == 117
    # the best placement known: no copy, FP16 in nothing but the head's edges
    assert facts[INT8_PLAN].copies == () and facts[INT8_PLAN].layers.get("fp16", 0) <= 2
    assert (tmp_path / INT8_PLAN).stat().st_size < 38e6
