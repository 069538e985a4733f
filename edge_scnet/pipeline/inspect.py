"""inspect: a Q/DQ file checked against a target."""

from __future__ import annotations

from pathlib import Path

from edge_scnet.config.target import load_target
from edge_scnet.errors import ArtifactError, MissingRuntimeError, first_line
from edge_scnet.graph.lint import LintFinding, lint
from edge_scnet.graph.model import load
from edge_scnet.graph.pairs import is_quantized
from edge_scnet.machine.isa import resolve_floor, weight_bits


def inspect(path: Path | str, target: str) -> tuple[LintFinding, ...]:
    """Checks a Q/DQ file, the project's own or another quantizer's, against a target.

    Returns:
        What the target's runtime would refuse, compute wrongly or run slowly, and the fixes.

    Raises:
        ArtifactError: no ONNX file, or it holds no Q/DQ.
        TargetError: no such target.
    """
    spec = load_target(target)
    if not Path(path).is_file():
        raise ArtifactError(f"{path}: no such file")
    try:
        model = load(path)
    except MissingRuntimeError:
        raise
    except Exception as error:
        raise ArtifactError(
            f"{path} is no ONNX file that can be read: {first_line(error)}"
        ) from error
    if not is_quantized(model):
        raise ArtifactError(
            f"{path} holds no Q/DQ to check", hint=f"edge-scnet build {path} --target {target}"
        )
    bits = weight_bits(resolve_floor(spec.isa))
    newest = spec.board.max_opset if spec.board else spec.opset
    return lint(
        model,
        spec.quant.placement,
        keep_float=spec.quant.keep_float,
        max_opset=newest,
        weight_bits=bits,
    )
