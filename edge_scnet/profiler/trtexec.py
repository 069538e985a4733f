"""Plans measured through trtexec, where TensorRT's Python package cannot run them.

It does from Python what build.sh does. What trtexec exports stays in the folder `trtexec-exports/`
of the build, by build.sh's names; `board_results.py` reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.events import Events
from edge_scnet.core.files import check_folder, replace_folder, scratch_folder
from edge_scnet.core.foreign import read_bytes
from edge_scnet.core.manifest import PLAN_STEMS, TIMED_PLANS, Artifact, Manifest
from edge_scnet.errors import ArtifactError, BackendError
from edge_scnet.machine import environment
from edge_scnet.machine.board import BoardState
from edge_scnet.machine.board_watch import watching
from edge_scnet.profiler.board_results import Exports, TimedBoard, timed_plan
from edge_scnet.runtimes.tensorrt.backend import TENSORRT
from edge_scnet.runtimes.tensorrt.trtexec import (
    LAYER_OPTIONS,
    ROUNDS,
    TrtexecError,
    name_of_round,
    round_order,
    run_trtexec,
    timing_options,
    version_told_by,
)

EXPORTS = "trtexec-exports"


def program_for(manifest: Manifest) -> Path | None:
    """trtexec, where it is to time a build's plans.

    None where nothing but the build's own runtime is needed: it has no plans, or TensorRT's Python
    package can run them.
    """
    plans = any(entry.kind == TENSORRT.artifact_kind for entry in manifest.artifacts.values())
    return TENSORRT.timing_program() if plans else None


def profile_plans(
    program: Path,
    folder: BuildFolder,
    *,
    seconds: float,
    events: Events,
    cuda_graph: bool | None = None,
) -> TimedBoard:
    """Times both plans of a build folder in turn.

    Args:
        program: trtexec.
        seconds: timed seconds per plan over all rounds; each takes a whole one at least.
        cuda_graph: with a CUDA graph or without; None: each plan in both ways, and the faster is
            taken.

    Raises:
        ArtifactError: a plan is missing or is not what was built, or a figure is missing.
        TargetError: a plan is of another TensorRT or board: it is not loaded.
        BackendError: trtexec failed, with its first error.
        StorageError: the folder cannot be written.
    """
    version = _version(program)
    plans = {precision: _plan(folder, stem, version) for precision, stem in PLAN_STEMS.items()}
    out = folder.path / EXPORTS
    check_folder(out)
    events.stage(
        "profile",
        f"fp16, int8 through {program}, TensorRT {version}; no accuracy: trtexec measures none",
    )
    round_s = max(1, round(seconds / ROUNDS))
    graphs = (True, False) if cuda_graph is None else (cuda_graph,)
    options = {graph: timing_options(version, seconds=round_s, graph=graph) for graph in graphs}

    with scratch_folder(folder.path, EXPORTS) as made:
        try:
            state = _time(program, folder.path, made, options, events)
        except TrtexecError as error:
            hint = f"the whole log: {out / error.log}"
            raise BackendError(f"trtexec: {error.words}", hint=hint) from error
        finally:
            replace_folder(made, out)  # where trtexec fails, its logs say more than its first error
    events.done(f"2 plans, {ROUNDS} rounds", reused=False)
    exports = Exports(
        texts=_texts(out.iterdir()),
        where=out,
        hint=f"run it again: edge-scnet profile {folder.path}",
    )
    timed = {
        precision: timed_plan(exports, precision, plan.size_bytes, plan.sha256)
        for precision, plan in plans.items()
    }
    return TimedBoard(
        judged=timed["int8"],
        reference=timed["fp16"],
        precisions=TIMED_PLANS["int8"],
        environment={
            **environment.collect().to_dict(),
            "tensorrt": timed["int8"].times.tensorrt or version,
            "timing": " ".join(options[graphs[0]]),
            **{f"{precision}_bytes": plan.size_bytes for precision, plan in plans.items()},
            **{f"{precision}_sha256": plan.sha256 for precision, plan in plans.items()},
        },
        state=state,
    )


def _time(
    program: Path, folder: Path, out: Path, options: Mapping[bool, Sequence[str]], events: Events
) -> BoardState | None:
    """Times both plans and their layers into the folder `out`; what the board did meanwhile.

    Args:
        options: of trtexec, with a CUDA graph and without, where plans are to be timed so.
    """

    def load(stem: str, arguments: Iterable[str], log: str) -> None:
        run_trtexec(program, [f"--loadEngine={folder / stem}.plan", *arguments], out / log)

    with watching() as watch:
        with watch.timed():
            for number in range(1, ROUNDS + 1):
                for stem, graph in round_order(number, tuple(options)):
                    plain = not graph and len(options) > 1
                    name = name_of_round(stem, number, plain=plain)
                    times = f"--exportTimes={out / name}.times.json"
                    load(stem, [*options[graph], times], f"{name}.log")
                events.progress("latency", number / ROUNDS)
        for stem in PLAN_STEMS.values():
            layer_files = [
                f"--exportProfile={out / stem}.profile.json",
                f"--exportLayerInfo={out / stem}.layers.json",
            ]
            load(stem, [*LAYER_OPTIONS, *layer_files], f"{stem}.layers.log")
    return watch.state()


def _plan(folder: BuildFolder, stem: str, version: str) -> Artifact:
    """A plan's entry, the file checked against it.

    Args:
        version: of the TensorRT that is to load it.
    """
    entry = folder.manifest.artifacts.get(f"{stem}.plan")
    if entry is None:
        raise ArtifactError(
            f"{folder.path} holds no {stem}.plan",
            hint=f"on the board: edge-scnet compile {folder.path}/bundle.tar.gz",
        )
    TENSORRT.check_built(entry.facts, folder.manifest.rebuild, here=version)
    folder.verified_entry(entry)
    return entry


def _version(program: Path) -> str:
    """The version of TensorRT that trtexec belongs to.

    Raises:
        BackendError: it does not tell: a plan must not meet another version.
    """
    try:
        version = version_told_by(program)
    except OSError as error:
        raise BackendError(
            f"{program} cannot be run: {error.strerror or error}", hint="name it: TRTEXEC=PATH"
        ) from error
    if version is None:
        raise BackendError(
            f"{program} --help does not tell its version", hint="name TensorRT's own: TRTEXEC=PATH"
        )
    return version


def _texts(paths: Iterable[Path]) -> dict[str, str]:
    return {path.name: read_bytes(path).decode("utf-8", errors="replace") for path in paths}
