"""Cache keys: the hash of everything that decides what a stage makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from edge_scnet.core.files import sha256_file
from edge_scnet.core.manifest import stage_key
from edge_scnet.machine import environment

Keyed = Literal["export", "calibrate", "quantize", "compile", "sensitivity"]

# The libraries whose versions decide what a stage makes.
_LIBRARIES: dict[Keyed, tuple[str, ...]] = {
    "export": ("torch", "onnx", "onnxscript", "onnxruntime"),
    "calibrate": ("onnxruntime", "numpy"),
    "quantize": ("onnx-ir", "numpy"),
    "compile": ("openvino",),
    "sensitivity": ("openvino",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a stage's files are made of. Equal keys mean that they can be reused."""

    stage: Keyed
    parents: dict[str, str]  # name -> sha256
    key: str


def origin_of(stage: Keyed, parents: Mapping[str, str], **settings: Any) -> Origin:
    """The origin of a stage's files.

    Args:
        parents: sha256 of its inputs, by name.
        settings: what decides its output besides them, the code and the libraries.
    """
    everything = {"code": _code_hash(), "versions": library_versions(stage), **settings}
    return Origin(stage=stage, parents=dict(parents), key=stage_key(stage, parents, everything))


def library_versions(stage: Keyed) -> dict[str, str]:
    """The versions of the libraries that a stage uses."""
    return dict(environment.package_versions(_LIBRARIES[stage]))


@cache
def _code_hash() -> str:
    """Hash of the package's own source: an upgraded tool must not reuse what another version built."""
    root = Path(__file__).parents[2]
    return stage_key(
        "code", {str(p.relative_to(root)): sha256_file(p) for p in sorted(root.rglob("*.py"))}, {}
    )
