"""A report made by hand, for what reads reports: two engines of a small network on 2,000 labelled
images.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from edge_scnet.config.target import Gates
from edge_scnet.core.facts import QdqFacts
from edge_scnet.core.packing import pack_classes, pack_scales
from edge_scnet.core.provenance import ActivationScale, Provenance, Quantization, WeightCodes
from edge_scnet.gate import regression
from edge_scnet.machine.load import MachineLoad
from edge_scnet.report import run_report
from edge_scnet.report.findings import Finding
from edge_scnet.report.run_report import SCHEMA, EngineReport, EvaluationSet, RunReport
from edge_scnet.stats.accuracy import accuracy_stats
from edge_scnet.stats.figures import (
    EndToEnd,
    MemoryStats,
    PreparedAhead,
    RatioStats,
    SweepRow,
)
from edge_scnet.stats.timing import latency_stats
from tests.helpers.data import DATA

IMAGES, CLASSES = 2000, 10


def logits(seed: int = 0, *, wrong: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are right but for `wrong` images, and the labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, IMAGES)
    scores = rng.normal(0, 1, (IMAGES, CLASSES))
    scores[np.arange(IMAGES), labels] += 8
    scores[np.arange(wrong), labels[:wrong]] -= 16
    return scores, labels


def engine(
    name: str, scores: np.ndarray, reference: np.ndarray, labels: np.ndarray | None, **changes: Any
) -> EngineReport:
    int8 = name == "int8"
    row = EngineReport(
        name=name,
        role="int8" if int8 else "reference",
        runtime="openvino",
        file="model.xml" if int8 else "model-fp32.xml",
        sha256="a" * 64,
        size_bytes=1_000_000 if int8 else 3_000_000,
        precision_hint="f32",
        convolutions={"u8" if int8 else "f32": 46},
        other_layers={},
        load_seconds=0.1,
        warm_up_seconds=0.2,
        latency=latency_stats([[1_000_000] * 100]),
        speedup=RatioStats(ratio=1.5, low=1.48, high=1.52, rounds=12) if int8 else None,
        throughput_per_second=1000.0,
        memory=MemoryStats(
            before_load_bytes=70 << 20, load_peak_bytes=120 << 20, steady_bytes=110 << 20
        ),
        accuracy=accuracy_stats(scores, reference, labels),
        first_classes=pack_classes(scores.argmax(axis=1).tolist()),
    )
    return replace(row, **changes)


def report(
    *,
    noise: float = 0.05,
    labelled: bool = True,
    int8: dict[str, Any] | None = None,
    **changes: Any,
) -> RunReport:
    """The report; `int8` changes its INT8 row, `changes` the report itself, `noise` what
    quantization adds to the logits.
    """
    reference, truth = logits()
    scores = reference + np.random.default_rng(1).normal(0, noise, reference.shape)
    labels = truth if labelled else None
    made = RunReport(
        schema=SCHEMA,
        created_utc="2026-11-24T10:00:00+00:00",
        command="edge-scnet build",
        model="net",
        target="cpu",
        batch=1,
        engines=(
            engine("fp32", reference, reference, labels),
            engine("int8", scores, reference, labels, **(int8 or {})),
        ),
        evaluation=EvaluationSet(
            name="eval",
            sha256="e" * 64,
            images=IMAGES,
            skipped=0,
            labels="folders" if labelled else None,
            images_sha256="i" * 64,
            truth=pack_classes(truth.tolist()) if labelled else None,
        ),
        findings=(),
        verdict="",
        stage_seconds={},
        gates=Gates(),
        quantization=quantization(),
        provenance=provenance(),
        environment={
            "fingerprint": "f" * 64,
            "governor": None,
            "virtual": True,
            "packages": {"openvino": "2026.4.1"},
        },
    )
    return replace(made, **changes)


def quantization(**scales: float) -> Quantization:
    """Three tensors and two layers; a keyword sets a tensor's scale."""
    tensors = {"input": 0.02, "relu": 0.05, "add": 0.1, **scales}
    return Quantization(
        activations={
            name: ActivationScale(scale=scale, zero_point=3, codes="UINT8")
            for name, scale in tensors.items()
        },
        weights={
            name: WeightCodes(distinct=distinct, channels=16, scales=pack_scales([0.01] * 16))
            for name, distinct in (("conv1", 120), ("conv2", 80))
        },
    )


def provenance(**changes: Any) -> Provenance:
    made = Provenance(
        weights=("w" * 64,),
        graph="g" * 64,
        float_onnx="o" * 64,
        calibration_images="c" * 64,
        calibrated_onnx="o" * 64,
        preprocessing={"mean": [0.5], "std": [0.25], "input_size": 28},
        settings={"quant": {"percentile": 99.999}},
        weight_bits=7,
        made_elsewhere=False,
    )
    return replace(made, **changes)


def findings(new: RunReport, old: RunReport | None = None, **limits: float) -> dict[str, Finding]:
    found = regression.compare(new, old or report(), limits=replace(Gates(), **limits))
    return {finding.metric: finding for finding in found}


def failed(found: dict[str, Finding]) -> list[str]:
    return [metric for metric, finding in found.items() if finding.verdict == "fail"]


OLD = DATA / "report-schema-1.json"


def full_report() -> RunReport:
    """A report in which everything optional is there."""
    made = report(classes=tuple(f"name {i}" for i in range(10)))
    latency = latency_stats([[1_000_000 + 1000 * k for k in range(50)]] * 12)
    extra: dict[str, Any] = {
        "latency": latency,
        "warm_up_runs": 20,
        "warm_up_stable": True,
        "throughput_ratio": RatioStats(ratio=1.5, low=1.4, high=1.6, rounds=6),
        "throughput_windows": (900.0, 1000.0, 1100.0, 1000.0, 1000.0, 1000.0),
        "settings": {"threads": "2", "hint": "LATENCY"},
        "end_to_end": EndToEnd(
            images=10,
            p50_ms=2.0,
            p90_ms=2.5,
            images_per_second=500.0,
            stages_ms={"decode": 0.5, "preprocess": 0.5, "infer": 0.9, "top-k": 0.1},
            ahead=PreparedAhead(
                threads=1,
                batch_ms=1.05,
                infer_ms=1.0,
                overhead_percent=5.0,
                images_per_second=952.0,
            ),
        ),
    }
    sweep = SweepRow(
        engine="int8",
        batch=8,
        threads=2,
        p50_ms=4.0,
        p90_ms=4.1,
        p99_ms=5.0,
        speedup=made.engines[1].speedup,
        p50_low_ms=3.9,
        p50_high_ms=4.05,
        steadiness=latency.steadiness,
        throughput_per_second=2000.0,
        steady_bytes=1 << 27,
    )
    flip = run_report.Flip(
        image="7",
        kind="lost",
        truth=1,
        was=1,
        now=2,
        was_percent=60.0,
        now_percent=55.0,
        thumbnail=None,
    )
    return replace(
        made,
        engines=tuple(replace(row, **extra) for row in made.engines),
        sweep=(sweep,),
        seconds=3.0,
        flips=run_report.Flips(count=1, shown=(flip,)),
        load=MachineLoad(
            seconds=9.0, cores=2, others_cores=0.0, stolen_percent=0.0, mhz_low=None, mhz_high=None
        ),
    )


def qdq_facts(**changes: Any) -> QdqFacts:
    """The facts of the report's Q/DQ graph."""
    made = QdqFacts(
        precision="int8",
        weight_bits=7,
        activations=3,
        weights=2,
        convolutions=2,
        int8_convolutions=("conv1", "conv2"),
        quantization=quantization(),
        provenance=provenance(),
    )
    return replace(made, **changes)
