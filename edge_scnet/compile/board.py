"""Plans that build.sh made in a bundle's folder, unknown to the manifest there: entries for them,
of its board.json.
"""

from __future__ import annotations

import json
from typing import Any

from edge_scnet.config.target import WITHOUT_INT8, TargetSpec
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.manifest import BUNDLE, FP16_FORM, Artifact
from edge_scnet.errors import ArtifactError, MissingRuntimeError, StorageError, TargetError
from edge_scnet.machine import environment
from edge_scnet.machine.memory import available_memory_bytes
from edge_scnet.runtimes import runtime_named
from edge_scnet.runtimes.tensorrt.backend import TENSORRT

BOARD = "board.json"
_PLANS = (("engine-fp16.plan", "fp16"), ("engine.plan", "int8"))


def with_script_plans(folder: BuildFolder) -> BuildFolder:
    """The folder with the plans of build.sh, where it ran in this folder and nothing else has
    built plans since.

    Raises:
        ArtifactError: board.json is damaged, or of another build's files.
    """
    path = folder.path / BOARD
    if any(file in folder.manifest.artifacts for file, _ in _PLANS) or not path.is_file():
        return folder
    try:
        board: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        known = folder.manifest.artifacts["engine.onnx"].sha256
        if board["engine_sha256"] != known:
            raise ArtifactError(
                f"{path} is of another engine.onnx than the manifest's", hint="run build.sh again"
            )
        for file, precision in _PLANS:
            folder = folder.with_artifact(_entry(file, precision, board, known))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path} cannot be read: {error!r}", hint="run build.sh again"
        ) from error
    return folder


def _entry(file: str, precision: str, board: dict[str, Any], form_sha256: str) -> Artifact:
    model = str(board["board"])
    facts = {
        "precision": precision,
        "runtime": TENSORRT.name,
        "tensorrt": str(board["tensorrt"]),
        "companions": [],
        # build.sh names the architecture where there is no device tree
        "machine": {"jetson_model": model if "jetson" in model.lower() else None},
    }
    return Artifact(
        file=file,
        kind=TENSORRT.artifact_kind,
        stage="compile",
        sha256=str(board[f"{precision}_sha256"]),
        size_bytes=int(board[f"{precision}_bytes"]),
        key="build.sh",
        parents={"engine.onnx": form_sha256},
        facts=facts,
    )


def check_board(target: TargetSpec) -> None:
    """Refuses a machine on which the target's plans cannot be built, or would not be its.

    Raises:
        TargetError, MissingRuntimeError, StorageError: with what was found, and what is needed.
    """
    board = target.board
    if board is None or not runtime_named(target.runtime).packs_bundle:
        raise TargetError(
            f"{target.name} is no target of a board",
            hint=f"edge-scnet build --target {target.name}",
        )
    model = environment.collect().jetson_model
    if model is not None and any(name in model.lower() for name in WITHOUT_INT8):
        raise TargetError(
            f"{model} computes no INT8: its GPU is older than compute capability 7.2",
            hint=(
                f"/usr/src/tensorrt/bin/trtexec --onnx={FP16_FORM} --fp16"
                " --saveEngine=engine-fp16.plan"
            ),
        )
    if reason := TENSORRT.unavailable():
        raise MissingRuntimeError(
            reason,
            hint=(
                f"{TENSORRT.install_hint()}; or without Python: tar xzf {BUNDLE}, then sh build.sh"
                " in its folder"
            ),
        )
    if model is None:
        raise TargetError(
            f"this machine is no Jetson, {target.name} is for compute capability"
            f" {board.compute_capability}: a plan built here runs on no board",
            hint=f"copy {BUNDLE} to the board and run edge-scnet compile {BUNDLE} there",
        )
    if board.models and not any(name in model.lower() for name in board.models):
        raise TargetError(
            f"this board is {model}; target {target.name} is for {', '.join(board.models)}",
            hint="edge-scnet targets",
        )
    version = TENSORRT.versions().get(TENSORRT.title, "0")
    if not board.takes(version):
        raise TargetError(
            f"TensorRT {version} is on this board; target {target.name} is for {board.tensorrt} up"
            f" to, but not with, {board.below}",
            hint="build for another target on the workstation: edge-scnet targets",
        )
    free, needed = available_memory_bytes(), (board.workspace_mib + 512) << 20
    if free is not None and free < needed:
        raise StorageError(
            f"{free >> 20:,} MiB of memory are free, the build may take {needed >> 20:,}",
            hint="close programs, add swap, or lower board.workspace_mib in the target",
        )
