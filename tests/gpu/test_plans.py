"""Plans on an NVIDIA GPU: loaded, run, timed, their layers and their accuracy.

With TensorRT or TensorRT-RTX, whichever can run plans here; each says why it cannot. What every
runtime must do is in `tests/runtimes/test_contract.py`, which takes part where a GPU is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edge_scnet.compile import forms, plans, reference
from edge_scnet.compile.executed import WantedLayers
from edge_scnet.config.target import TargetSpec, load_target
from edge_scnet.core.manifest import FP16_FORM, FP16_PLAN, INT8_FORM, INT8_PLAN
from edge_scnet.data.samples import open_samples
from edge_scnet.errors import BackendError
from edge_scnet.graph.model import save
from edge_scnet.models import zoo
from edge_scnet.quantizer.statistics import Ranges
from edge_scnet.report.store import load_report
from edge_scnet.runtimes.base import OpenOptions
from edge_scnet.runtimes.tensorrt.backend import RTX, TENSORRT, TensorRt
from tests.helpers.graphs import tiny_logits, tiny_onnx
from tests.helpers.tensorrt import Silence
from tests.helpers.tool import MODEL, Built, Outcome

TARGETS = {TENSORRT: "jetson", RTX: "rtx"}
# FP32 convolutions may be computed in TF32.
TF32 = 2e-3


def _run_here(runtime: TensorRt) -> object:
    reason = runtime.unavailable_to_run()
    skip = pytest.mark.skipif(reason is not None, reason=f"{runtime.title}: {reason}")
    return pytest.param(runtime, marks=skip, id=runtime.name)


pytestmark = [
    pytest.mark.gpu,
    pytest.mark.parametrize("runtime", [_run_here(TENSORRT), _run_here(RTX)]),
]


def _target(runtime: TensorRt) -> TargetSpec:
    return load_target(TARGETS[runtime])


@pytest.fixture
def plan(runtime: TensorRt, tmp_path: Path) -> Path:
    """A plan of the tiny network, for a batch of 2."""
    source = tiny_onnx(tmp_path / "tiny.onnx", batch=2)
    return runtime.build(source, _target(runtime), tmp_path / "tiny.plan").engine


def _images(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((2, 1, 6, 6)).astype(np.float32)


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_a_plan_computes_what_its_graph_says(
    runtime: TensorRt, plan: Path, cuda_graph: bool
) -> None:
    with runtime.open(plan, OpenOptions(cuda_graph=cuda_graph)) as session:
        assert session.input_shape == (2, 1, 6, 6)
        assert session.settings() == {"CUDA graph": "yes" if cuda_graph else "no"}
        for seed in range(5):
            outputs = dict(zip(session.output_names, session.infer(_images(seed)), strict=True))
            wanted = tiny_logits(_images(seed))
            np.testing.assert_allclose(outputs["logits"], wanted, rtol=TF32, atol=TF32)
            np.testing.assert_allclose(outputs["twice"], 2 * wanted, rtol=TF32, atol=TF32)
        assert session.device_bytes() >= 0


def test_a_plan_is_opened_again_and_again(runtime: TensorRt, plan: Path) -> None:
    """What a session leaves behind would fill the GPU, or crash at its second opening."""
    for _ in range(20):
        with runtime.open(plan, OpenOptions()) as session:
            session.infer(_images(0))


def test_the_layers_of_a_plan_have_times_and_precisions(runtime: TensorRt, plan: Path) -> None:
    with runtime.open(plan, OpenOptions()) as session:
        times = session.layer_times([_images(0)])
        layers = session.executed_precisions()
        # once more, as the profiler stays
        session.infer(_images(1))
    assert times and all(0 <= ms < 1000 and math.isfinite(ms) for ms in times.values())
    assert any("conv" in layer.nodes or "conv" in layer.name for layer in layers)
    names = {layer.name for layer in layers}
    assert names & set(times), (names, times)


def test_a_damaged_plan_is_refused_in_the_runtimes_words(
    runtime: TensorRt, plan: Path, tmp_path: Path
) -> None:
    content = plan.read_bytes()
    for name, damaged in {"half": content[: len(content) // 2], "zeros": bytes(1000)}.items():
        path = tmp_path / f"{name}.plan"
        path.write_bytes(damaged)
        with (
            pytest.raises(BackendError, match=f"cannot load {name}.plan: "),
            runtime.open(path, OpenOptions()),
        ):
            pass


@pytest.mark.slow
def test_both_plans_of_a_network_are_right_and_read_int8(
    runtime: TensorRt, built: Built, jetson_qdq: ir.Model, built_ranges: Ranges, tmp_path: Path
) -> None:
    target = _target(runtime)
    made = forms.forms_of(ir.load(built.folder / "model.onnx"), jetson_qdq, built_ranges, target)
    save(made.int8, tmp_path / INT8_FORM)
    save(made.fp16, tmp_path / FP16_FORM)
    save(jetson_qdq, tmp_path / "model.qdq.onnx")
    spec = zoo.MODELS[zoo.DEFAULT_MODEL]
    samples = open_samples(built.evaluation, model=spec, role="evaluation")
    known = reference.make(
        built.folder / "model.onnx", tmp_path / "model.qdq.onnx", samples, spec, batch=1
    )
    wanted = tuple(str(node.name) for node in jetson_qdq.graph if node.op_type == "Conv")
    source = plans.PlanSource(
        folder=tmp_path, wanted=WantedLayers(convolutions=wanted), reference=known
    )
    facts = plans.build_pair(runtime, target, source, Silence())
    assert facts[INT8_PLAN].int8_convolutions == len(wanted) and not facts[INT8_PLAN].in_float
    for plan in (FP16_PLAN, INT8_PLAN):
        fidelity = facts[plan].fidelity
        assert fidelity is not None and (fidelity.engine_db is None or fidelity.engine_db > 20)


@pytest.mark.slow
def test_a_build_ends_in_measured_plans(
    runtime: TensorRt,
    invoke: Callable[..., Outcome],
    calib_120: Path,
    eval_600: Path,
    tmp_path: Path,
) -> None:
    if runtime.packs_bundle and not runtime.builds_here():
        pytest.skip(f"{runtime.title}: its targets are for a board")
    shown = invoke(
        "build", "--target", TARGETS[runtime], "--calib", calib_120, "--eval", eval_600,
        "--out", tmp_path, "--seconds", "1",
    )  # fmt: skip
    # 11, 13: so small a network may gain nothing by INT8
    assert shown.code in (0, 11, 13), shown.stderr
    report = load_report(tmp_path / MODEL / TARGETS[runtime] / "report.json")
    rows = {row.name: row for row in report.engines if row.latency is not None}
    assert len(rows) >= 2
    for row in rows.values():
        assert row.latency is not None and 0 < row.latency.p50_ms < 1000
        assert row.accuracy is not None and row.throughput_per_second
    assert any(row.layer_times for row in rows.values())
