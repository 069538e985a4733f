"""The four stages that make files: export, calibrate, quantize, compile.

Each takes the plan and the manifest, reuses what the hashes say is current, and returns the
manifest with its files. The order of the stages is `pipeline.py`'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from edge_scnet.core import manifest as artifact
from edge_scnet.core.events import Events
from edge_scnet.core.manifest import (
    ENGINE,
    FLOAT_ENGINE,
    FLOAT_ONNX,
    PARTIAL_REPORT,
    QDQ_ONNX,
    REPORT,
    REPORT_PAGE,
    Manifest,
)
from edge_scnet.machine import environment
from edge_scnet.machine.isa import provided_isa
from edge_scnet.pipeline.stages.calibrate import calibrate
from edge_scnet.pipeline.stages.compile import compile_engines
from edge_scnet.pipeline.stages.export import export
from edge_scnet.pipeline.stages.job import STAGES, Plan, Stage, record, stage_settings
from edge_scnet.pipeline.stages.quantize import quantize
from edge_scnet.stats.decibels import decibels

if TYPE_CHECKING:
    pass


def _quantize(plan: Plan, manifest: Manifest, events: Events) -> Manifest:
    if plan.qdq is None:
        return quantize(plan, manifest, events)
    from edge_scnet.pipeline.stages import adopt

    return adopt.adopt(plan, plan.qdq, manifest, events)


def _compile(plan: Plan, manifest: Manifest, events: Events) -> Manifest:
    if plan.target.board is not None:
        from edge_scnet.pipeline.stages.compile_plans import compile_plans

        return compile_plans(plan, manifest, events)
    backend, target = plan.backend, plan.target
    events.stage("compile", f"{target.runtime}, INT8 and its FP32 twin")
    reused = True
    for stem, source, precision in ((FLOAT_ENGINE, FLOAT_ONNX, "fp32"), (ENGINE, QDQ_ONNX, "int8")):
        file = stem + backend.suffix
        parents = {
            name: manifest.artifacts[name].sha256 for name in dict.fromkeys((source, FLOAT_ONNX))
        }
        settings = stage_settings(
            "compile",
            threads=target.threads,
            floor=plan.floor,
            samples=plan.calibration.hash if plan.calibration else None,
            machine=environment.collect().features,
            limit=provided_isa(),
        )
        key = artifact.stage_key("compile", parents, settings)
        known = manifest.artifacts.get(file)
        files = (file, *known.facts["companions"]) if known else (file,)
        if all(
            artifact.is_current(plan.folder, manifest.artifacts.get(name), key) for name in files
        ):
            continue
        reused = False
        written, facts = compile_engines(plan, manifest, source, file, precision, events)
        facts |= {"precision": precision, "runtime": target.runtime, "companions": written[1:]}
        manifest = manifest.with_artifact(
            record(
                plan,
                file,
                kind=backend.artifact_kind,
                stage="compile",
                key=key,
                parents=parents,
                **facts,
            )
        )
        for name in written[1:]:
            manifest = manifest.with_artifact(
                record(plan, name, kind="companion", stage="compile", key=key, parents=parents)
            )
        events.progress("engines", 0.3 if precision == "fp32" else 1.0)
    facts = manifest.artifacts[ENGINE + backend.suffix].facts
    proof = facts["fidelity"]
    words = [decibels(value) for value in (proof["engine_db"], proof["simulation_db"])]
    events.done(
        f"{facts['int8_convolutions']} convolutions execute in INT8; fidelity {words[0]} (simulated"
        f" {words[1]})",
        reused=reused,
    )
    return manifest


STAGE_FUNCTIONS: dict[str, Callable[[Plan, Manifest, Events], Manifest]] = {
    "export": export,
    "calibrate": calibrate,
    "quantize": _quantize,
    "compile": _compile,
}


def run_stages(
    plan: Plan, manifest: Manifest, until: Stage, events: Events
) -> tuple[Manifest, dict[str, float]]:
    """The stages that make files, up to `until`: the manifest with what they made, and the seconds
    each took.
    """
    seconds: dict[str, float] = {}
    for name in STAGES[: STAGES.index(until) + 1]:
        if name == "profile":
            break
        started = time.perf_counter()
        # what an earlier run made of files that have changed since is not part of this build
        made = artifact.without_stale(STAGE_FUNCTIONS[name](plan, manifest, events))
        if _engines(made) != _engines(manifest):
            # the report is of engines that are no more
            for file in (REPORT, REPORT_PAGE, PARTIAL_REPORT):
                (plan.folder / file).unlink(missing_ok=True)
        manifest = made
        artifact.save_manifest(plan.folder, manifest)
        seconds[name] = round(time.perf_counter() - started, 2)
    return manifest, seconds


def _engines(manifest: Manifest) -> set[str]:
    return {entry.sha256 for entry in manifest.artifacts.values() if entry.stage == "compile"}
