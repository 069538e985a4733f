"""Builds whose engine is a few bytes: what `package` reads of a build, without a runtime."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edge_scnet.config.target import load_target
from edge_scnet.core.facts import EngineFacts, Facts
from edge_scnet.core.files import sha256_file
from edge_scnet.core.manifest import Artifact, Manifest, save_manifest
from edge_scnet.core.spec import InputForm, ModelSpec
from edge_scnet.report.findings import Figure, Finding, judged
from edge_scnet.report.run_report import RunReport
from edge_scnet.report.store import save_report
from edge_scnet.report.verdict import verdict
from tests.helpers.folders import SPEC
from tests.helpers.reports import report
from tests.helpers.served import ir

NAMED = replace(SPEC, classes=("cat", "dog"), num_classes=2)


def findings(accuracy: str = "pass", speed: str = "pass") -> tuple[Finding, ...]:
    """What an INT8 engine is judged by."""
    figure = Figure(measured=1.0, unit="")
    return (
        judged("accuracy", "top-1 drop", figure, accuracy, f"Accuracy: {accuracy}."),
        judged("speed", "speed", figure, speed, f"1.5x the speed of FP32: {speed}."),
    )


def ir_build(
    folder: Path,
    spec: ModelSpec = NAMED,
    *,
    judged_by: tuple[Finding, ...] | None = None,
    target: dict[str, Any] | None = None,
    form: InputForm | None = None,
    **changes: Any,
) -> Path:
    """A build for CPUs that was measured: INT8 and FP32 engines, and a report.

    Args:
        judged_by: the report's findings; None: those of a build that ships.
        target: changes to the target.
        form: in which the engines take pictures; None: float32.
        changes: to the report.
    """
    folder.mkdir(parents=True)
    manifest = Manifest(
        model=spec,
        target={**asdict(load_target("cpu")), **(target or {})},
        floor="avx512_vnni",
        precision_hint="f32",
        rebuild="edge-scnet build net.onnx",
        input=form or InputForm(),
    )
    for name, kind, facts in _FILES:
        content = f"{ir()}<!-- {name} -->" if name.endswith(".xml") else f"content of {name}"
        (folder / name).write_text(content)
        entry = Artifact(
            file=name,
            kind=kind,
            stage="compile",
            sha256=sha256_file(folder / name),
            size_bytes=(folder / name).stat().st_size,
            key="k",
            facts=facts,
            versions={"openvino": "2026.4.1"},
        )
        manifest = manifest.with_artifact(entry)
    save_manifest(folder, manifest)
    found = findings() if judged_by is None else judged_by
    save_report(measured(manifest, found, **changes), folder / "report.json")
    return folder


def measured(manifest: Manifest, found: tuple[Finding, ...], **changes: Any) -> RunReport:
    """The report of such a build."""
    made = report(findings=found, verdict=verdict(found), **changes)
    rows = tuple(replace(row, sha256=manifest.artifacts[row.file].sha256) for row in made.engines)
    return replace(made, engines=rows)


def _engine(precision: str, companion: str) -> EngineFacts:
    return EngineFacts(precision=precision, runtime="openvino", companions=(companion,))


_FILES: tuple[tuple[str, str, Facts], ...] = (
    ("model-fp32.xml", "openvino-ir", _engine("fp32", "model-fp32.bin")),
    ("model-fp32.bin", "companion", Facts()),
    ("model.xml", "openvino-ir", _engine("int8", "model.bin")),
    ("model.bin", "companion", Facts()),
)
