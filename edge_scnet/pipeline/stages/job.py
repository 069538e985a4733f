"""What the stages work on: the job, files that can be reused, the record of a file made."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.facts import Facts
from edge_scnet.core.files import sha256_file, write_atomic
from edge_scnet.core.manifest import MANIFEST, Artifact
from edge_scnet.errors import ArtifactError
from edge_scnet.machine.isa import is_elsewhere
from edge_scnet.pipeline.stages.cache_key import Origin, library_versions

if TYPE_CHECKING:
    import onnx_ir as ir

    # that the job names them makes no stage depend on their code
    from edge_scnet.compile.search_part import SearchOnBoard
    from edge_scnet.config.target import TargetSpec
    from edge_scnet.data.samples import SampleSet
    from edge_scnet.graph.lint import LintFinding
    from edge_scnet.models import zoo
    from edge_scnet.runtimes.base import Runtime
    from edge_scnet.scale.pool import Pool

Stage = Literal["export", "calibrate", "quantize", "compile", "profile"]

STAGES: tuple[Stage, ...] = ("export", "calibrate", "quantize", "compile", "profile")


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """Another quantizer's graph that a target can take."""

    model: ir.Model
    # what was done to the file's own graph, in words
    notes: tuple[str, ...]
    # what the target's runtime would get wrong and writes in another form
    rewritten: tuple[LintFinding, ...]
    # places that lose speed or accuracy
    warnings: tuple[LintFinding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildJob:
    """What was decided before the first stage, and the folder as the stages so far have left it."""

    source: zoo.ModelSource
    target: TargetSpec
    floor: str
    runtime: Runtime
    folder: BuildFolder
    calibration: SampleSet | None
    evaluation: SampleSet | None
    dynamic_batch: bool
    # of each plan, of which the fastest that is right is kept
    builds: int = 1
    # what a search on the board is for, whose data the bundle then carries
    board_search: SearchOnBoard | None = None
    # a Q/DQ file made by another quantizer, taken instead of ours, and its graph as it was read
    qdq: Path | None = None
    # of learning what the Q/DQ graph has lost; None: nothing is learned
    recover_minutes: float | None = None
    # who computes what can be shared; None: this process
    pool: Pool | None = None
    adopted: Adopted | None = None

    @property
    def runs_here(self) -> bool:
        """Whether the engines that are built for it run on this machine."""
        return self.runtime.builds_here() and not is_elsewhere(self.floor)


def record(
    folder: Path, file: str, origin: Origin, *, kind: str, facts: Facts | None = None
) -> Artifact:
    """The manifest's entry of a file that a stage has made."""
    path = folder / file
    return Artifact(
        file=file,
        kind=kind,
        stage=origin.stage,
        sha256=sha256_file(path),
        size_bytes=path.stat().st_size,
        key=origin.key,
        parents=origin.parents,
        facts=facts or Facts(),
        versions=library_versions(origin.stage),
    )


def reusable(folder: BuildFolder, file: str, key: str) -> Artifact | None:
    """A stage's file where it is current: in this folder, or copied from another target's.

    The others are those of the same model, which lie beside this one.
    """
    if folder.is_current(file, key):
        return folder.entry(file)
    for path in sorted(folder.path.parent.iterdir()):
        if path == folder.path or not (path / MANIFEST).is_file():
            continue
        # another version's, or damaged: not ours to judge; or replaced by a run in that folder
        with contextlib.suppress(ArtifactError):
            other = BuildFolder.open(path)
            if not other.is_current(file, key):
                continue
            entry = other.entry(file)
            with write_atomic(folder.path / file) as copy:
                shutil.copyfile(path / file, copy)
                if sha256_file(copy) != entry.sha256:
                    raise ArtifactError(
                        f"{path / file} was replaced while it was copied", hint="run it again"
                    )
            return entry
    return None


def input_settings(job: BuildJob) -> dict[str, Any]:
    """What of the input decides an engine, for its key: of bytes the preprocessing in it."""
    form, rule = job.folder.manifest.input, job.source.spec.preprocessing
    if not form.is_bytes:
        return {}
    codes = {"pixel_max": rule.pixel_max, "mean": rule.mean, "std": rule.std}
    return {"input": {**asdict(form), "of": rule.colour, **codes}}
