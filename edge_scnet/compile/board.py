"""Whether this machine is a board that can build a target's plans."""

from __future__ import annotations

from edge_scnet.config.target import WITHOUT_INT8, TargetSpec, list_targets
from edge_scnet.core.manifest import BUILD_SCRIPT, BUNDLE
from edge_scnet.errors import MissingRuntimeError, StorageError, TargetError
from edge_scnet.machine import environment, jetson
from edge_scnet.machine.memory import available_memory_bytes
from edge_scnet.runtimes import runtime_named


def check_board(target: TargetSpec) -> None:
    """Refuses a machine on which the target's plans cannot be built, or would not run.

    Raises:
        TargetError, MissingRuntimeError, StorageError: with what was found, and what is needed.
    """
    board, runtime = target.board, runtime_named(target.runtime)
    if board is None or not runtime.packs_bundle:
        raise TargetError(
            f"{target.name} is no target of a board",
            hint=f"edge-scnet build --target {target.name}",
        )
    if target.precision == "fp16":
        raise TargetError(
            f"{target.name}: plans of boards without INT8 are built and timed by {BUILD_SCRIPT}",
            hint=f"on the board: tar xzf {BUNDLE}, then sh {BUILD_SCRIPT} in its folder",
        )
    model = environment.collect().jetson_model
    if model is not None and any(name in jetson.words(model) for name in WITHOUT_INT8):
        raise TargetError(
            f"{model} computes no INT8: its GPU is older than compute capability 7.2",
            hint="its target is FP16 alone: edge-scnet build --target jetson-fp16",
        )
    if reason := runtime.unavailable():
        raise MissingRuntimeError(
            reason,
            hint=(
                f"{runtime.install_hint()}; or without Python: tar xzf {BUNDLE}, then sh"
                f" {BUILD_SCRIPT} in its folder"
            ),
        )
    if model is None:
        raise TargetError(
            f"this machine is no Jetson, {target.name} is for compute capability"
            f" {board.compute_capability}: a plan built here runs on no board",
            hint=f"copy {BUNDLE} to the board and run edge-scnet compile {BUNDLE} there",
        )
    # a container may not tell the model: the plan's own compute capability is left to TensorRT
    known = model != jetson.UNKNOWN_MODEL or jetson.family() is not None
    if known and board.models and not any(name in jetson.words(model) for name in board.models):
        raise TargetError(
            f"this board is {model}; target {target.name} is for {', '.join(board.models)}",
            hint="edge-scnet targets",
        )
    version = runtime.versions().get(runtime.title)
    if version is None:
        runtime.preload()  # it says why it cannot be loaded
        raise TargetError(f"{runtime.title} does not tell its version", hint="edge-scnet doctor")
    if not board.takes(version):
        raise TargetError(
            f"TensorRT {version} is on this board; target {target.name} is for {board.tensorrt} up"
            f" to, but not with, {board.below}",
            hint=_other_targets(model, version),
        )
    free, needed = available_memory_bytes(), board.build_memory_mib << 20
    if free is not None and free < needed:
        raise StorageError(
            f"{free >> 20:,} MiB of memory are free, the build may take {needed >> 20:,}",
            hint="close programs, add swap, or lower board.workspace_mib in the target",
        )


def _other_targets(model: str, version: str) -> str:
    """How to come by a bundle for a board with this TensorRT."""
    words = jetson.words(model)
    names = [
        target.name
        for target in list_targets()
        if target.board is not None
        and target.board.takes(version)
        and any(name in words for name in target.board.models)
    ]
    if names:
        return f"on the workstation: edge-scnet build --target {names[0]}"
    return "no target is for this board with that TensorRT: edge-scnet targets"
