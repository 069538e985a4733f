"""The job, cache keys, reuse, the record of a file made."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edge_scnet.config.target import TargetSpec
from edge_scnet.core import manifest as artifact
from edge_scnet.core.files import sha256_file, write_atomic
from edge_scnet.core.manifest import Artifact, Manifest
from edge_scnet.data.batches import load
from edge_scnet.data.samples import SampleSet
from edge_scnet.errors import ArtifactError
from edge_scnet.machine import environment
from edge_scnet.models import zoo
from edge_scnet.runtimes.base import Runtime

Stage = Literal["export", "calibrate", "quantize", "compile", "profile"]

STAGES: tuple[Stage, ...] = ("export", "calibrate", "quantize", "compile", "profile")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything decided before the first stage."""

    source: zoo.ModelSource
    target: TargetSpec
    floor: str
    backend: Runtime
    folder: Path
    calibration: SampleSet | None
    evaluation: SampleSet | None
    evaluation_path: Path | None  # as given; None: the bundled set
    dynamic_batch: bool
    qdq: Path | None = None  # a Q/DQ graph made by another quantizer, taken instead of ours


@cache
def _code_hash() -> str:
    """Hash of the package's own source: an upgraded tool must not reuse what another version built."""
    root = Path(__file__).parents[2]
    return artifact.stage_key(
        "code", {str(p.relative_to(root)): sha256_file(p) for p in sorted(root.rglob("*.py"))}, {}
    )


def stage_settings(stage: Stage, **values: Any) -> dict[str, Any]:
    """What decides a stage's output besides its inputs: its settings, the package's code, the
    libraries it uses.
    """
    return {
        "code": _code_hash(),
        "versions": environment.package_versions(_STAGE_PACKAGES[stage]),
        **values,
    }


def record(
    plan: Plan,
    file: str,
    *,
    kind: str,
    stage: Stage,
    key: str,
    parents: dict[str, str],
    **facts: Any,
) -> Artifact:
    path = plan.folder / file
    return Artifact(
        file=file,
        kind=kind,
        stage=stage,
        sha256=sha256_file(path),
        size_bytes=path.stat().st_size,
        key=key,
        parents=parents,
        facts=facts,
        versions=dict(environment.package_versions(_STAGE_PACKAGES[stage])),
    )


_STAGE_PACKAGES: dict[Stage, tuple[str, ...]] = {
    "export": ("torch", "onnx", "onnxscript", "onnxruntime"),
    "calibrate": ("onnxruntime", "numpy"),
    "quantize": ("onnx-ir", "numpy"),
    "compile": ("openvino",),
    "profile": ("openvino",),
}


def reusable(plan: Plan, manifest: Manifest, file: str, key: str) -> Artifact | None:
    """The stage's output where it is current: in this folder, or copied from that of another target
    of the same model.
    """
    here = manifest.artifacts.get(file)
    if artifact.is_current(plan.folder, here, key):
        return here
    for folder in sorted(plan.folder.parent.iterdir()):
        if folder == plan.folder or not (folder / artifact.MANIFEST).is_file():
            continue
        try:
            entry = artifact.load_manifest(folder).artifacts.get(file)
        except ArtifactError:
            continue  # another version's, or damaged: not ours to judge
        if entry is not None and artifact.is_current(folder, entry, key):
            with write_atomic(plan.folder / file) as temporary:
                shutil.copyfile(folder / file, temporary)
            return entry
    return None


def pilot_images(plan: Plan) -> np.ndarray:
    """The calibration images that decide factors and corrections."""
    from edge_scnet.quantize import calibrate, recipe

    assert plan.calibration is not None
    chosen = calibrate.pilot_indices(plan.calibration.content_hashes, recipe.PILOT_IMAGES)
    return load(plan.calibration, plan.source.spec, chosen)
