"""Plans that build.sh made in a bundle's folder, which the manifest there does not know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.json_records import decode
from edge_scnet.core.manifest import (
    BOARD,
    BUILD_SCRIPT,
    INT8_FORM,
    PAIRS,
    Artifact,
)
from edge_scnet.errors import ArtifactError
from edge_scnet.runtimes.tensorrt.backend import TENSORRT


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptBoard:
    """What build.sh writes of a board and of the plans that it made there: board.json."""

    # The module's name, or the architecture where there is no device tree.
    board: str
    # TensorRT's version.
    tensorrt: str
    # Of the INT8 form that the plan was built from.
    engine_sha256: str
    int8_sha256: str
    int8_bytes: int
    fp16_sha256: str
    fp16_bytes: int


def with_script_plans(folder: BuildFolder) -> BuildFolder:
    """Returns the folder with the plans of build.sh.

    It is returned as it is where the script did not run in this folder, or plans were built since.

    Raises:
        ArtifactError: board.json is damaged, or of another build's files.
    """
    path, artifacts = folder.path / BOARD, folder.manifest.artifacts
    if any(plan in artifacts for _, plan, _ in PAIRS) or not path.is_file():
        return folder
    again = f"run {BUILD_SCRIPT} again"
    form = artifacts.get(INT8_FORM)
    try:
        board = decode(ScriptBoard, path.read_bytes())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}", hint=again) from error
    if form is None or board.engine_sha256 != form.sha256:
        raise ArtifactError(f"{path} is of another {INT8_FORM} than the manifest's", hint=again)
    for _, plan, precision in PAIRS:
        folder = folder.with_artifact(_entry(plan, precision, board))
    return folder


def _entry(plan: str, precision: Literal["fp16", "int8"], board: ScriptBoard) -> Artifact:
    """The entry of a plan, as far as build.sh tells it."""
    is_jetson = "jetson" in board.board.lower()
    return Artifact(
        file=plan,
        kind=TENSORRT.artifact_kind,
        stage="compile",
        sha256=board.int8_sha256 if precision == "int8" else board.fp16_sha256,
        size_bytes=board.int8_bytes if precision == "int8" else board.fp16_bytes,
        key=BUILD_SCRIPT,
        parents={INT8_FORM: board.engine_sha256},
        facts={
            "precision": precision,
            "runtime": TENSORRT.name,
            "tensorrt": board.tensorrt,
            "companions": [],
            "machine": {"jetson_model": board.board if is_jetson else None},
        },
    )
