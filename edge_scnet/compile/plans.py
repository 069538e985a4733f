"""The compile stage of TensorRT targets: the files in the form that the version reads, linted;
plans where they can be built.

A plan belongs to the board and the TensorRT that built it. Where that is not here, the stage ends
in a bundle (`bundle.py`) to take there. INT8 and its FP16 twin always go together: only both tell
whether INT8 gains anything.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_scnet.compile.reference import Reference, check_plan
from edge_scnet.core.manifest import BUNDLE, INT8_FORM, INT8_PLAN, PAIRS, Artifact, Manifest
from edge_scnet.errors import ParityError
from edge_scnet.graph.lint import refuse
from edge_scnet.machine import environment
from edge_scnet.runtimes.base import UNKNOWN_PRECISION, Built, ExecutedLayer, Runtime
from edge_scnet.stats.decibels import decibels

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_scnet.config.target import TargetSpec
    from edge_scnet.quantize.statistics import Ranges


@dataclass(frozen=True, slots=True, kw_only=True)
class Forms:
    """The two graphs as the target's TensorRT reads them."""

    int8: ir.Model
    fp16: ir.Model
    kept_fp32: dict[str, str]  # nodes of either that FP16 cannot hold, and why


def forms_of(float_model: ir.Model, qdq: ir.Model, ranges: Ranges, target: TargetSpec) -> Forms:
    """Both graphs in the target's form.

    Args:
        float_model: as exported; the twin is made of its equalised form, whose ranges are known.

    Raises:
        ArtifactError: the INT8 graph breaks a rule of TensorRT; names the node and the fix.
    """
    from edge_scnet.compile import forms
    from edge_scnet.graph import lint
    from edge_scnet.quantize.equalize import equalize

    assert target.board is not None
    twin = equalize(float_model, ranges.factors) if ranges.factors else float_model
    kept: dict[str, str] = {}
    if target.board.strongly_typed and target.rest == "fp16":
        halved = forms.to_half(qdq, ranges.tensors), forms.to_half(twin, ranges.tensors)
        int8, fp16 = halved[0].model, halved[1].model
        kept = {**halved[1].kept, **halved[0].kept}
    else:
        int8, fp16 = forms.to_float_weights(qdq), twin
    findings = lint.lint(
        int8, "tensorrt", keep_float=target.quant.keep_float, max_opset=target.board.max_opset
    )
    refuse(INT8_FORM, target.name, [finding for finding in findings if finding.severity == "error"])
    return Forms(int8=int8, fp16=fp16, kept_fp32=kept)


def build_pair(
    runtime: Runtime,
    target: TargetSpec,
    source: Path,
    out: Path,
    int8_convolutions: Sequence[str],
    progress: Callable[[str, float], None],
    *,
    reference: Reference | None = None,
) -> dict[str, dict[str, Any]]:
    """Builds both plans: the facts of each for the manifest, by file.

    Args:
        reference: what the plans are to compute; it is compared where a GPU can run them.

    Raises:
        ParityError: a convolution that should be INT8 is not, or a plan computes something else: it
            is not kept.
        BackendError: the parser or builder refused a file.
    """
    facts: dict[str, dict[str, Any]] = {}
    for form, plan, precision in PAIRS:
        told = functools.partial(progress, plan)
        made = runtime.build(source / form, target, out / plan, progress=told)
        facts[plan] = {
            "precision": precision,
            "runtime": target.runtime,
            "tensorrt": made.version,
            "build_seconds": round(made.seconds, 2),
            "companions": [],
            "copies": [layer.name for layer in made.layers if layer.is_copy],
            "layers": dict(Counter(layer.precision for layer in _typed(made.layers))),
            "warnings": list(made.warnings),
            "machine": asdict(environment.collect()),
        }
        try:
            if precision == "int8":
                facts[plan]["int8_convolutions"] = check_int8(runtime, made, int8_convolutions)
            if reference is not None and runtime.unavailable_to_run() is None:
                facts[plan] |= check_plan(runtime, made.engine, reference, precision=precision)
        except ParityError:
            made.engine.unlink()
            raise
        told(1.0)
    return facts


def _typed(layers: Sequence[ExecutedLayer]) -> list[ExecutedLayer]:
    """The layers of which the plan tells what they read."""
    return [layer for layer in layers if layer.precision != UNKNOWN_PRECISION]


def check_int8(runtime: Runtime, made: Built, convolutions: Sequence[str]) -> int:
    """How many of the convolutions that should read INT8 do.

    Raises:
        ParityError: at least one does not, or the plan does not tell.
    """
    # a convolution's bias and activation may be a layer of their own, which names it too
    kernels = [layer for layer in _typed(made.layers) if layer.kind in runtime.convolutions]
    reads = {node: layer.precision for layer in kernels for node in layer.nodes}
    wrong = [
        f"{name} ({reads.get(name, 'not found')})"
        for name in convolutions
        if reads.get(name) not in runtime.int8_precisions
    ]
    if wrong:
        raise ParityError(
            f"{len(wrong)} of {len(convolutions)} convolutions of {made.engine.name} that should"
            f" execute in INT8 do not: {', '.join(wrong[:8])}",
            hint=(
                "keep them in FP16 on purpose with quant.keep_float in the target, or report the"
                " pattern"
            ),
        )
    return len(convolutions)


def words(manifest: Manifest) -> str:
    """What the stage made, in one line."""
    entry: Artifact | None = manifest.artifacts.get(INT8_PLAN)
    if entry is None:
        size = manifest.artifacts[INT8_FORM].size_bytes
        return (
            f"{INT8_FORM} {size / 1e6:.1f} MB; compiled: no, it needs the board; {BUNDLE} is for it"
        )
    facts = entry.facts
    proof = facts.get("fidelity")
    fidelity = ""
    if proof is not None:
        fidelity = (
            f"fidelity {decibels(proof['engine_db'])}"
            f" (simulated {decibels(proof['simulation_db'])}); "
        )
    return (
        f"{facts['int8_convolutions']} convolutions read INT8;"
        f" {fidelity}{entry.size_bytes / 1e6:.1f} MB, TensorRT {facts['tensorrt']},"
        f" {facts['build_seconds']:.1f} s"
    )
