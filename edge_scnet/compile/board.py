"""Plans that build.sh made in a bundle's folder, unknown to the manifest there: entries for them, of its board.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edge_scnet.core.manifest import Artifact, Manifest
from edge_scnet.errors import ArtifactError
from edge_scnet.runtimes.tensorrt.backend import TENSORRT

BOARD = "board.json"
_PLANS = (("engine-fp16.plan", "fp16"), ("engine.plan", "int8"))


def with_script_plans(folder: Path, manifest: Manifest) -> Manifest:
    """The manifest with the plans of build.sh, where it ran in this folder and nothing else has built plans since.

    Raises:
        ArtifactError: board.json is damaged, or of another build's files.
    """
    path = folder / BOARD
    if any(file in manifest.artifacts for file, _ in _PLANS) or not path.is_file():
        return manifest
    try:
        board: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        known = manifest.artifacts["engine.onnx"].sha256
        if board["engine_sha256"] != known:
            raise ArtifactError(f"{path} is of another engine.onnx than the manifest's", hint="run build.sh again")
        for file, precision in _PLANS:
            manifest = manifest.with_artifact(_entry(file, precision, board, known))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} cannot be read: {error!r}", hint="run build.sh again") from error
    return manifest


def _entry(file: str, precision: str, board: dict[str, Any], form_sha256: str) -> Artifact:
    model = str(board["board"])
    facts = {
        "precision": precision, "runtime": "tensorrt", "tensorrt": str(board["tensorrt"]), "companions": [],
        # build.sh names the architecture where there is no device tree
        "machine": {"jetson_model": model if "jetson" in model.lower() else None},
    }  # fmt: skip
    return Artifact(
        file=file, kind=TENSORRT.ARTIFACT_KIND, stage="compile", sha256=str(board[f"{precision}_sha256"]),
        size_bytes=int(board[f"{precision}_bytes"]), key="build.sh", parents={"engine.onnx": form_sha256}, facts=facts,
    )  # fmt: skip
