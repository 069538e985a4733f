"""inspect: a Q/DQ file, or a build folder's, checked against a target."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_scnet.config.target import load_target
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.manifest import QDQ_ONNX
from edge_scnet.graph.lint import LintFinding, lint
from edge_scnet.graph.quantized_file import read_quantized
from edge_scnet.machine.isa import resolve_floor, weight_bits
from edge_scnet.pipeline.build_folder import target_of

_DEFAULT_TARGET = "cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """What was found in which file, for which target."""

    file: Path
    target: str
    # what the target's runtime would refuse, compute wrongly or run slowly, and the fixes
    findings: tuple[LintFinding, ...]
    # what is done to the file's own graph as it is read, in words
    notes: tuple[str, ...]


def inspect(path: Path | str, target: str | None = None) -> Inspected:
    """Checks a Q/DQ file, the project's own or another quantizer's, against a target.

    Args:
        path: an ONNX file, or a build folder.
        target: default: "cpu", or what the folder was built for.

    Raises:
        ArtifactError: no ONNX file, it holds no Q/DQ, or a folder without a build.
        TargetError: no such target.
    """
    file, spec = Path(path), load_target(target or _DEFAULT_TARGET)
    if file.is_dir():
        folder = BuildFolder.open(file)
        file = folder.verified(QDQ_ONNX)
        spec = spec if target else target_of(folder)
    read = read_quantized(file)
    findings = lint(
        read.model,
        spec.quant.placement,
        keep_float=spec.quant.keep_float,
        max_opset=spec.board.max_opset if spec.board else spec.opset,
        weight_bits=weight_bits(resolve_floor(spec.isa)),
        rtx=spec.runtime == "tensorrt_rtx",
    )
    return Inspected(file=file, target=spec.name, findings=findings, notes=read.notes)
