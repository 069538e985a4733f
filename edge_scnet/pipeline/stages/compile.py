"""Engines that are built here."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edge_scnet.core.events import Events
from edge_scnet.core.manifest import FLOAT_ONNX, QDQ_ONNX, Manifest
from edge_scnet.data.batches import load
from edge_scnet.errors import StorageError
from edge_scnet.pipeline.stages.job import Plan
from edge_scnet.runtimes.base import OpenOptions


def compile_engines(
    plan: Plan, manifest: Manifest, source: str, file: str, precision: str, events: Events
) -> tuple[list[str], dict[str, Any]]:
    """Builds one engine under a trial name, proves it, and only then gives it its own: the files'
    names, and the proof.
    """
    prefix = f".trial-{os.getpid()}-"
    try:
        built = plan.backend.build(
            plan.folder / source, plan.target, plan.folder / f"{prefix}{file}"
        )
        proof = _prove(plan, manifest, built.engine, events) if precision == "int8" else {}
        names = [path.name.removeprefix(prefix) for path in built.files]
        for path, name in reversed([*zip(built.files, names, strict=True)]):
            path.replace(plan.folder / name)
    except OSError as error:
        raise StorageError(
            f"cannot write {plan.folder / file}: {error.strerror or error}",
            hint=f"df -h {plan.folder}",
        ) from error
    finally:
        for leftover in plan.folder.glob(f"{prefix}*"):
            leftover.unlink()
    return names, proof


def _prove(plan: Plan, manifest: Manifest, engine: Path, events: Events) -> dict[str, Any]:
    from edge_scnet.compile import fidelity as compiling
    from edge_scnet.compile.quality import FIDELITY_IMAGES

    assert plan.calibration is not None
    options = OpenOptions(precision="f32", threads=plan.target.threads)
    expected = manifest.artifacts[QDQ_ONNX].facts["int8_convolutions"]
    with plan.backend.open(engine, options) as session:
        count = compiling.check_executed(plan.backend, session.executed_precisions(), expected)
    events.progress("engines", 0.6)
    total = len(plan.calibration)
    chosen = np.linspace(0, total - 1, min(FIDELITY_IMAGES, total)).astype(int).tolist()
    fidelity = compiling.check_fidelity(
        plan.backend,
        engine,
        float_model=plan.folder / FLOAT_ONNX,
        qdq_model=plan.folder / QDQ_ONNX,
        images=load(plan.calibration, plan.source.spec, chosen),
        options=options,
    )
    return {"int8_convolutions": count, "fidelity": asdict(fidelity)}
