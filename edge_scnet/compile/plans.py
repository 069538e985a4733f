"""Both plans of a TensorRT target, built and proven.

A plan belongs to the board and the TensorRT that built it. INT8 and its FP16 twin always go
together: only both tell whether INT8 gains anything.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge_scnet.compile.executed import (
    WantedLayers,
    counts,
    executed_in_int8,
    require_int8,
    summary,
)
from edge_scnet.compile.fidelity import check_plan
from edge_scnet.compile.quality import OutputQuality, fidelity_words
from edge_scnet.compile.reference import Reference
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.events import Events
from edge_scnet.core.facts import PlanFacts
from edge_scnet.core.manifest import BUNDLE, INT8_FORM, INT8_PLAN, PAIRS
from edge_scnet.errors import ParityError
from edge_scnet.machine import environment
from edge_scnet.runtimes.base import UNKNOWN_PRECISION, Built, Runtime

if TYPE_CHECKING:
    from edge_scnet.config.target import TargetSpec

_UNPROVEN = (
    "the plan's fidelity is not proven: the size of each of its outputs depends on the data; what a"
    " decoder makes of them is judged"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSource:
    """What both plans are built from, and what they are to be."""

    # The folder with both forms; the plans go there as well.
    folder: Path
    # What should execute in INT8.
    wanted: WantedLayers
    # What the plans are to compute; it is compared where a GPU can run them.
    reference: Reference | None = None


def build_pair(
    runtime: Runtime,
    target: TargetSpec,
    source: PlanSource,
    events: Events,
) -> dict[str, PlanFacts]:
    """Builds both plans.

    Args:
        events: told of the share of each plan that is done, and of what is not proven.

    Returns:
        The facts of each plan for the manifest, by file.

    Raises:
        ParityError: a plan computes something else, or a layer that should be INT8 is not and the
            target requires it: the plan is not kept.
        BackendError: the parser or builder refused a file.
    """
    facts: dict[str, PlanFacts] = {}
    half: Sequence[OutputQuality] = ()
    not_run = runtime.unavailable_to_run()
    if not_run is not None:
        events.warn(
            f"the plans' outputs are not compared with the float graph's, they cannot be run by"
            f" Python here: {not_run}"
        )
    for form, plan, precision in PAIRS:
        plan_progress = functools.partial(events.progress, plan)
        built = runtime.build(
            source.folder / form, target, source.folder / plan, progress=plan_progress
        )
        executed = fidelity = None
        try:
            if precision == "int8":
                executed = executed_in_int8(runtime, built.layers, source.wanted)
                if target.require_int8:
                    require_int8(executed, source.wanted, file=plan, rest="FP16")
            if source.reference is not None and not_run is None:
                proof = check_plan(
                    runtime, built.engine, source.reference, precision=precision, half=half
                )
                # the twin is the first of both
                half, fidelity = proof.qualities, proof.fidelity
                if fidelity is None:
                    built = replace(built, warnings=(_UNPROVEN, *built.warnings))
        except ParityError:
            built.engine.unlink()
            raise
        facts[plan] = PlanFacts(
            **(counts(executed, source.wanted) if executed is not None else {}),
            fidelity=fidelity,
            precision=precision,
            runtime=target.runtime,
            tensorrt=built.version,
            build_seconds=round(built.seconds, 2),
            copies=tuple(layer.name for layer in built.layers if layer.is_copy),
            layers=dict(Counter(_precisions(built))),
            warnings=built.warnings,
            machine=asdict(environment.collect()),
        )
        plan_progress(1.0)
    return facts


def _precisions(built: Built) -> list[str]:
    """What the layers of a plan read, where it tells."""
    return [layer.precision for layer in built.layers if layer.precision != UNKNOWN_PRECISION]


def summary_of_plans(folder: BuildFolder) -> str:
    """What the stage made of a TensorRT target, in one line."""
    if INT8_PLAN not in folder.manifest.artifacts:
        size_mb = folder.entry(INT8_FORM).size_bytes / 1e6
        return f"{INT8_FORM} {size_mb:.1f} MB; compiled: no, it needs the board; {BUNDLE} is for it"
    facts, size_mb = folder.facts(INT8_PLAN, PlanFacts), folder.entry(INT8_PLAN).size_bytes / 1e6
    proven = f"{fidelity_words(facts.fidelity)}; " if facts.fidelity is not None else ""
    took = "" if facts.build_seconds is None else f", {facts.build_seconds:.1f} s"
    return (
        f"{summary(facts, verb='read')}; {proven}{size_mb:.1f} MB, TensorRT {facts.tensorrt}{took}"
    )
