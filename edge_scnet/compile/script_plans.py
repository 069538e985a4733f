"""Plans that build.sh made in a bundle's folder, which the manifest there does not know."""

from __future__ import annotations

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.facts import PlanFacts
from edge_scnet.core.foreign import MOST_SETTINGS_BYTES, read_bytes, reason
from edge_scnet.core.manifest import (
    BOARD,
    BUILD_SCRIPT,
    INT8_FORM,
    PAIRS,
    Artifact,
)
from edge_scnet.errors import ArtifactError
from edge_scnet.runtimes.tensorrt.backend import TENSORRT
from edge_scnet.runtimes.tensorrt.board_json import BoardJson, decode_board

# What build.sh calls a board whose model it cannot read, as in a container.
_ARCHITECTURES = ("aarch64", "x86_64")


def with_script_plans(folder: BuildFolder) -> BuildFolder:
    """Returns the folder with the plans of build.sh.

    It is returned as it is where the script did not run in this folder, or plans were built since.

    Raises:
        ArtifactError: board.json is damaged, of another version, or of another build's files.
    """
    path, artifacts = folder.path / BOARD, folder.manifest.artifacts
    is_half = folder.manifest.target.get("precision") == "fp16"
    if any(plan in artifacts for _, plan, _ in PAIRS) or not path.is_file() or is_half:
        return folder
    again = f"run {BUILD_SCRIPT} again"
    form = artifacts.get(INT8_FORM)
    try:
        content = read_bytes(path, most_bytes=MOST_SETTINGS_BYTES)
        board = decode_board(content, where=str(path), hint=again)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read: {reason(error)}", hint=again) from error
    if form is None or board.engine_sha256 != form.sha256:
        raise ArtifactError(
            f"{path} was built from another {INT8_FORM} than the manifest's", hint=again
        )
    for _, plan, precision in PAIRS:
        folder = folder.with_artifact(_entry(plan, precision, board))
    return folder


def _entry(plan: str, precision: str, board: BoardJson) -> Artifact:
    """The entry of a plan, as far as build.sh tells it."""
    try:
        size_bytes, sha256 = board.plan_file(precision)
    except ValueError as error:
        raise ArtifactError(f"{BOARD}: {error}", hint=f"run {BUILD_SCRIPT} again") from error
    return Artifact(
        file=plan,
        kind=TENSORRT.artifact_kind,
        stage="compile",
        sha256=sha256,
        size_bytes=size_bytes,
        key=BUILD_SCRIPT,
        parents={INT8_FORM: board.engine_sha256},
        facts=PlanFacts(
            precision=precision,
            runtime=TENSORRT.name,
            tensorrt=board.tensorrt,
            builds=board.builds_of(precision),
            machine={"jetson_model": None if board.board in _ARCHITECTURES else board.board},
        ),
    )
