"""The modules' parts in INT8's noise, in the report of the build that they were measured for."""

from __future__ import annotations

from dataclasses import replace

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.facts import QdqFacts
from edge_scnet.core.manifest import QDQ_ONNX
from edge_scnet.report.run_report import RunReport
from edge_scnet.sensitivity.state import STATE, made_of, sensitivities_in
from edge_scnet.stats.figures import NoisePart


def with_noise(report: RunReport, folder: BuildFolder) -> RunReport:
    """The report with each module's part, where that was measured for what the folder holds."""
    return replace(report, noise=noise_of(folder))


def noise_of(folder: BuildFolder) -> tuple[NoisePart, ...]:
    """Each module's part; empty where it was not measured for what the folder holds."""
    qdq, of = folder.manifest.artifacts.get(QDQ_ONNX), made_of(folder.manifest)
    if of is None or (qdq is not None and _is_foreign(qdq.facts)):
        return ()
    known = sensitivities_in(folder.path / STATE, of)
    if known is None:
        return ()
    total = sum(module.share for module in known.modules) or 1.0
    return tuple(
        NoisePart(module=module.node, percent=100 * module.share / total)
        for module in known.modules
    )


def _is_foreign(facts: object) -> bool:
    """Whether another quantizer made the graph: the noise is that of ours."""
    return isinstance(facts, QdqFacts) and facts.multiply_adds is None
