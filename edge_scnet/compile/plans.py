"""Both plans of a TensorRT target, built and proven.

A plan belongs to the board and the TensorRT that built it. INT8 and its FP16 twin always go
together: only both tell whether INT8 gains anything.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edge_scnet.compile.build_times import Timer, timer_for
from edge_scnet.compile.executed import (
    Executed,
    WantedLayers,
    counts,
    executed_in_int8,
    require_int8,
    summary,
)
from edge_scnet.compile.fidelity import PlanProof, check_plan
from edge_scnet.compile.quality import OutputQuality, fidelity_words
from edge_scnet.compile.reference import Reference
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.events import Events
from edge_scnet.core.facts import PlanBuilds, PlanFacts
from edge_scnet.core.files import make_folder, replace_file, scratch_folder
from edge_scnet.core.manifest import BUNDLE, INT8_FORM, INT8_PLAN, PAIRS
from edge_scnet.errors import BackendError, EdgeError, ParityError
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
    *,
    builds: int = 1,
) -> dict[str, PlanFacts]:
    """Builds both plans.

    Args:
        events: told of the share of each plan that is done, and of what is not proven.
        builds: of each plan, of which the fastest that is right is kept.

    Returns:
        The facts of each plan for the manifest, by file.

    Raises:
        ParityError: a plan computes something else, or a layer that should be INT8 is not and the
            target requires it: the plan is not kept.
        BackendError: the parser or builder refused a file.
        TargetError: of several builds nothing here can tell the fastest.
    """
    timer = timer_for(runtime, builds) if builds > 1 else None
    facts: dict[str, PlanFacts] = {}
    half: Sequence[OutputQuality] = ()
    not_run = runtime.unavailable_to_run()
    if not_run is not None:
        events.warn(
            f"the plans' outputs are not compared with the float graph's, they cannot be run by"
            f" Python here: {not_run}"
        )
    for form, plan, precision in PAIRS:
        maker = _Maker(
            runtime=runtime, target=target, source=source, names=(form, plan, precision), half=half
        )
        if timer is None:
            made, told = maker.make(source.folder / plan, events), None
        else:
            made, told = _fastest(maker, timer, builds, events)
        built, executed = made.built, made.executed
        fidelity = None
        if made.proof is not None:
            # the twin is the first of both
            half, fidelity = made.proof.qualities, made.proof.fidelity
            if fidelity is None:
                built = replace(built, warnings=(_UNPROVEN, *built.warnings))
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
            builds=told,
            machine=asdict(environment.collect()),
        )
        events.progress(plan, 1.0)
    return facts


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """A plan that was built and is right."""

    built: Built
    executed: Executed | None
    # None: it was not compared with the reference outputs
    proof: PlanProof | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Maker:
    """What makes a plan and checks it."""

    runtime: Runtime
    target: TargetSpec
    source: PlanSource
    # Of the form, of the plan, of the precision.
    names: tuple[str, str, Literal["int8", "fp16"]]
    # Of an INT8 plan, its twin's qualities.
    half: Sequence[OutputQuality]

    def make(self, out: Path, events: Events) -> _Made:
        """Builds and checks a plan.

        Raises:
            ParityError: it is not right, and not kept. BackendError: the builder refused its form.
        """
        form, plan, precision = self.names
        progress = functools.partial(events.progress, plan)
        built = self.runtime.build(self.source.folder / form, self.target, out, progress=progress)
        executed = proof = None
        try:
            if precision == "int8":
                executed = executed_in_int8(self.runtime, built.layers, self.source.wanted)
                if self.target.require_int8:
                    require_int8(executed, self.source.wanted, file=plan, rest="FP16")
            if self.source.reference is not None and self.runtime.unavailable_to_run() is None:
                proof = check_plan(
                    self.runtime,
                    built.engine,
                    self.source.reference,
                    precision=precision,
                    half=self.half,
                )
        except ParityError:
            built.engine.unlink()
            raise
        return _Made(built=built, executed=executed, proof=proof)


def _fastest(maker: _Maker, timer: Timer, builds: int, events: Events) -> tuple[_Made, PlanBuilds]:
    """Builds a plan several times and keeps the fastest that is right.

    The first build reads the timing cache, as a single one does. With it all would be the same: the
    others are made in folders of their own, where there is none.

    Raises:
        ParityError: none is right, the first one's fault. BackendError: so of the builder.
    """
    folder, plan = maker.source.folder, maker.names[1]
    made: dict[int, _Made] = {}
    first_fault: EdgeError | None = None
    with scratch_folder(folder, f"{plan}.builds") as scratch:
        for number in range(1, builds + 1):
            out = folder / plan
            if number > 1:
                make_folder(scratch / str(number))
                out = scratch / str(number) / f"{out.stem}.{number}{out.suffix}"
            try:
                made[number] = maker.make(out, events)
            except (ParityError, BackendError) as error:
                first_fault = first_fault or error
                events.warn(f"build {number} of {builds} of {plan} is not kept: {error.message}")
        if not made:
            assert first_fault is not None
            raise first_fault
        files = [one.built.engine for one in made.values()]
        timed = timer.ratios(files) if len(files) > 1 else [None]
        ratios = {
            number: 1.0 if ratio is None else ratio.ratio
            for number, ratio in zip(made, timed, strict=True)
        }
        kept = min(_best_known(made, maker.target), key=ratios.__getitem__)
        if kept > 1:
            replace_file(made[kept].built.engine, folder / plan)
    best = made[kept]
    told = PlanBuilds(
        count=builds,
        kept=kept,
        time_ratios=tuple(
            round(ratios[number], 4) if number in ratios else None
            for number in range(1, builds + 1)
        ),
        timed_by=timer.name,
    )
    return replace(best, built=replace(best.built, files=(folder / plan,))), told


def _best_known(made: Mapping[int, _Made], target: TargetSpec) -> list[int]:
    """The numbers of the builds to choose from.

    Where the target requires INT8, those that are told to be in INT8 alone, if there are any.
    """
    told = [number for number, one in made.items() if one.executed and not one.executed.in_float]
    return told if told and target.require_int8 else list(made)


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
        f"{summary(facts, verb='read')}; {proven}{size_mb:.1f} MB, TensorRT"
        f" {facts.tensorrt}{took}{_builds_words(facts.builds)}"
    )


def _builds_words(builds: PlanBuilds | None) -> str:
    """Which of several builds was kept, as the end of a sentence."""
    if builds is None:
        return ""
    ratios = [ratio for ratio in builds.time_ratios if ratio is not None]
    right = "" if len(ratios) == builds.count else f", {len(ratios)} of them right"
    spread = ""
    if len(ratios) > 1:
        slowest = 100 * (max(ratios) / min(ratios) - 1)
        spread = f": the slowest takes {slowest:.1f} % longer ({builds.timed_by})"
    return f"; build {builds.kept} of {builds.count} is kept{right}{spread}"
