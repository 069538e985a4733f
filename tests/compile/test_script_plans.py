"""Plans of build.sh, as its board.json tells of them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from edge_scnet.compile.script_plans import with_script_plans
from edge_scnet.config.target import load_target
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.facts import FormFacts, PlanFacts
from edge_scnet.core.manifest import BOARD, INT8_FORM, INT8_PLAN, Artifact, Manifest
from edge_scnet.errors import TargetError
from edge_scnet.machine.jetson import UNKNOWN_MODEL
from edge_scnet.models.zoo import MODELS
from edge_scnet.runtimes.tensorrt.backend import TENSORRT
from tests.helpers.tensorrt import ORIN, on_board

_SHA256 = "0123456789abcdef" * 4
_IGX = "NVIDIA IGX Orin Developer Kit"


@pytest.mark.parametrize(
    ("board", "machine", "refused"),
    [
        (ORIN, ORIN, None),
        (_IGX, _IGX, None),
        (_IGX, ORIN, f"built on {_IGX}, this machine is {ORIN}"),
        (ORIN, UNKNOWN_MODEL, None),  # built on the host, run in a container
        ("aarch64", ORIN, None),  # built in a container, run on the host
        (ORIN, None, "this machine is no Jetson"),
    ],
)
def test_the_board_of_a_plan(
    board: str,
    machine: str | None,
    refused: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    manifest = Manifest(
        model=MODELS["scnet20-fashion-mnist"],
        target=asdict(load_target("jetson")),
        floor="none",
        precision_hint="f32",
        rebuild="edge-scnet build",
    ).with_artifact(
        Artifact(
            file=INT8_FORM,
            kind="onnx-form",
            stage="compile",
            sha256=_SHA256,
            size_bytes=4,
            key="k",
            facts=FormFacts(precision="int8", kept_fp32=()),
        )
    )
    told = {"tensorrt": "10.3.0", "board": board, "timing": "--duration=2"}
    told["engine_sha256"] = _SHA256
    plans = {f"{name}_{key}": value for name in ("int8", "fp16") for key, value in _PLAN.items()}
    (tmp_path / BOARD).write_text(json.dumps({**told, **plans}))
    folder = with_script_plans(BuildFolder(path=tmp_path, manifest=manifest))
    facts = folder.facts(INT8_PLAN, PlanFacts)
    on_board(monkeypatch, machine, "10.3.0")
    if refused is None:
        TENSORRT.check_built(facts, "edge-scnet build")
    else:
        with pytest.raises(TargetError, match=refused):
            TENSORRT.check_built(facts, "edge-scnet build")


_PLAN = {"bytes": 7, "sha256": "fedcba9876543210" * 4}
