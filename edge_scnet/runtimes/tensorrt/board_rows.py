"""What `doctor` tells of a board: each fact that a build or a measurement depends on, and what to
do where it is not as it should be.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_scnet.config.target import TargetSpec, list_targets
from edge_scnet.errors import EdgeError
from edge_scnet.machine import jetson
from edge_scnet.machine.board_facts import BoardFacts, board_facts
from edge_scnet.runtimes.tensorrt import cuda
from edge_scnet.runtimes.tensorrt.backend import TENSORRT
from edge_scnet.runtimes.tensorrt.trtexec import find_trtexec, version_told_by

# Both plans, their forms, the timing cache and the archive of results of a large network.
_LEAST_DISK_BYTES = 1 << 30
_NO_GPU = (
    "in a container: docker run --runtime nvidia; a user beside the first needs the groups of the"
    " GPU's files: sudo usermod -aG video,render $USER, then log in again; else: sudo dmesg | grep"
    " -i -e nvgpu -e nvidia"
)
_MOUNT = "docker run -v {0}:{0}:ro"


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardRow:
    """A fact of a board."""

    name: str
    told: str
    # what to do; None: it is as it should be
    advice: str | None = None


def board_rows() -> tuple[BoardRow, ...]:
    """The rows of the board that this machine is; empty where it is none."""
    model = jetson.model()
    if model is None:
        return ()
    facts = board_facts(model)
    python, fault = _in_python()
    program = find_trtexec()
    version = _version_of(program)
    targets = [
        target for target in list_targets() if target.board is not None and _takes(target, model)
    ]
    return (
        _model(facts, _fitting(targets, python or version)),
        _release(facts),
        _tensorrt(python, fault, targets),
        _trtexec(program, version, python),
        _cuda(facts),
        _power_mode(facts),
        _clocks(facts),
        _memory(facts, targets),
        _disk(facts),
    )


def _takes(target: TargetSpec, model: str) -> bool:
    """Whether a target is for a board of this name."""
    words = jetson.words(model)
    return target.board is not None and any(name in words for name in target.board.models)


def _fitting(targets: list[TargetSpec], version: str | None) -> list[TargetSpec]:
    """The targets for a version of TensorRT; all where it is not known or none is for it."""
    if version is None:
        return targets
    takes = [target for target in targets if target.board and target.board.takes(version)]
    return takes or targets


def _version_of(program: Path | None) -> str | None:
    try:
        return None if program is None else version_told_by(program)
    except OSError:
        return None


def _model(facts: BoardFacts, targets: list[TargetSpec]) -> BoardRow:
    advice = None
    if facts.model == jetson.UNKNOWN_MODEL:
        file = "/tmp/nv_jetson_model"
        advice = (
            "its name cannot be read, as in a container: on the host cat /proc/device-tree/model"
            f" >{file}, then {_MOUNT.format(file)}"
        )
    elif not targets:
        advice = "no target is for it: edge-scnet targets"
    names = ", ".join(target.name for target in targets)
    return BoardRow(
        name="board", told=f"{facts.model} ({names})" if names else facts.model, advice=advice
    )


def _release(facts: BoardFacts) -> BoardRow:
    jetpack = "JetPack not told" if facts.jetpack is None else f"JetPack {facts.jetpack}"
    if facts.l4t is None:
        return BoardRow(
            name="release",
            told=f"L4T not told, {jetpack}",
            advice=f"in a container: {_MOUNT.format('/etc/nv_tegra_release')}",
        )
    return BoardRow(name="release", told=f"L4T {facts.l4t}, {jetpack}")


def _in_python() -> tuple[str | None, str | None]:
    """The version of TensorRT's Python package, or why it cannot be used.

    Its metadata tell a version also where a library of it is missing: it is loaded.
    """
    if reason := TENSORRT.unavailable():
        return None, reason
    version = TENSORRT.versions().get(TENSORRT.title)
    try:
        TENSORRT.preload()
    except EdgeError as error:
        return None, f"{version}, {error.message}" if version else error.message
    return version, None if version else "its version is not told"


def _tensorrt(version: str | None, fault: str | None, targets: list[TargetSpec]) -> BoardRow:
    if version is None:
        return BoardRow(name="TensorRT", told=f"in Python: {fault}", advice=TENSORRT.install_hint())
    boards = [target.board for target in targets if target.board is not None]
    ranges = ", ".join(f"{board.tensorrt} to below {board.below}" for board in boards)
    advice = None
    if boards and not any(board.takes(version) for board in boards):
        advice = f"the targets of this board take {ranges}: edge-scnet targets"
    return BoardRow(name="TensorRT", told=f"in Python: {version}", advice=advice)


def _trtexec(program: Path | None, version: str | None, python: str | None) -> BoardRow:
    if program is None:
        return BoardRow(
            name="trtexec",
            told="none",
            advice="sudo apt install libnvinfer-bin, or name it: TRTEXEC=PATH",
        )
    if version is None:
        return BoardRow(
            name="trtexec",
            told=f"{program}, version not told",
            advice=f"{program} --help must print it; another: TRTEXEC=PATH",
        )
    advice = None
    if python is not None and python.split(".")[:3] != version.split(".")[:3]:
        advice = f"plans of {version} do not load in {python}: use one, or TRTEXEC=PATH"
    return BoardRow(name="trtexec", told=f"{program}, {version}", advice=advice)


def _cuda(facts: BoardFacts) -> BoardRow:
    state = cuda.state()
    newest = f", for CUDA {state.driver}" if state.driver else ""
    told = [
        f"driver {facts.driver or 'not told'}{newest}",
        f"toolkit {facts.cuda_toolkit or 'not told'}",
    ]
    if state.title is not None:
        told.append(f"runtime {state.runtime or 'not told'}, {state.title}")
    if state.reason is None:
        return BoardRow(name="CUDA", told="; ".join(told))
    sent_here = state.hint is None or state.hint.startswith(cuda.DOCTOR)
    return BoardRow(
        name="CUDA",
        told="; ".join([*told, state.reason]),
        advice=_NO_GPU if sent_here else state.hint,
    )


def _power_mode(facts: BoardFacts) -> BoardRow:
    if facts.power_mode is None:
        return BoardRow(
            name="power mode",
            told="not told",
            advice="sudo nvpmodel -q; in a container: on the host",
        )
    highest = facts.power_mode.startswith("MAXN")
    return BoardRow(
        name="power mode",
        told=facts.power_mode,
        advice=None
        if highest
        else "figures are of this mode; all modes: nvpmodel -p --verbose, another: sudo nvpmodel -m"
        " NUMBER",
    )


def _clocks(facts: BoardFacts) -> BoardRow:
    if facts.clocks_pinned is None:
        return BoardRow(
            name="clocks", told="GPU not told", advice="sudo jetson_clocks --show tells them"
        )
    if facts.clocks_pinned:
        return BoardRow(name="clocks", told=f"GPU pinned at {facts.gpu_high_mhz} MHz")
    return BoardRow(
        name="clocks",
        told=f"GPU {facts.gpu_low_mhz} to {facts.gpu_high_mhz} MHz, not pinned",
        advice="before figures are taken: sudo jetson_clocks (until the next start)",
    )


def _memory(facts: BoardFacts, targets: list[TargetSpec]) -> BoardRow:
    free, total = facts.free_memory_bytes, facts.memory_bytes
    if free is None or total is None:
        return BoardRow(name="memory", told="not told")
    needed_mib = min(
        (target.board.build_memory_mib for target in targets if target.board is not None),
        default=0,
    )
    return BoardRow(
        name="memory",
        told=f"{free >> 20:,} of {total >> 20:,} MiB free",
        advice=None
        if free >> 20 >= needed_mib
        else f"a build may take {needed_mib:,} MiB: close programs, add swap, or lower"
        " board.workspace_mib in the target",
    )


def _disk(facts: BoardFacts) -> BoardRow:
    free = facts.free_disk_bytes
    if free is None:
        return BoardRow(name="disk", told="not told", advice="the working folder is gone: cd")
    return BoardRow(
        name="disk",
        told=f"{free / 2**30:.1f} GiB free in the working folder",
        advice=None
        if free >= _LEAST_DISK_BYTES
        else "plans, caches and reports may take 1 GiB: work in a folder on another disk",
    )
