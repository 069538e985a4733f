"""Cache keys: the hash of everything that decides what a stage makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from edge_scnet.core.files import sha256_file
from edge_scnet.core.manifest import stage_key
from edge_scnet.machine import environment

PACKAGE = Path(__file__).parents[2]

Keyed = Literal["export", "calibrate", "quantize", "recover", "compile", "sensitivity"]

# The libraries whose versions decide what a stage makes.
_LIBRARIES: dict[Keyed, tuple[str, ...]] = {
    "export": ("torch", "onnx", "onnxscript", "onnxruntime"),
    # Pillow 13 resizes tall pictures to other codes than 12
    "calibrate": ("onnxruntime", "numpy", "pillow"),
    "quantize": ("onnx-ir", "onnxruntime", "numpy"),
    "recover": ("torch", "onnx-ir", "onnxruntime", "numpy"),
    # its engines are of a runtime, whose version the stage adds by itself
    "compile": ("onnx-ir",),
    "sensitivity": ("openvino", "onnx-ir", "onnxruntime", "numpy"),
}


# The packages and modules whose code decides what a stage makes: those that the stage imports,
# directly and through others. tests/pipeline/stages/test_cache_key.py holds the table to them.
_SHARED = (
    "__init__",
    "__about__",
    "core",
    "data",
    "errors",
    "graph",
    "machine",
    "pipeline/__init__",
    "pipeline/stages/__init__",
    "pipeline/stages/cache_key",
    "pipeline/stages/job",
)
CODE: dict[Keyed, tuple[str, ...]] = {
    "export": (*_SHARED, "config", "export", "models", "scnet", "pipeline/stages/export"),
    "calibrate": (
        *_SHARED,
        "quantizer",
        "scale",
        "stats",
        "pipeline/stages/calibrate",
        "pipeline/stages/pilot",
    ),
    "quantize": (
        *_SHARED,
        "config",
        "export",
        "quantizer",
        "stats",
        "pipeline/stages/adopt",
        "pipeline/stages/pilot",
        "pipeline/stages/provenance",
        "pipeline/stages/quantize",
    ),
    "recover": (
        *_SHARED,
        "quantizer",
        "recovery",
        "stats",
        "pipeline/stages/recover",
    ),
    "compile": (
        *_SHARED,
        "config",
        "compile",
        "quantizer",
        "runtimes",
        "stats",
        "pipeline/stages/compile",
        "pipeline/stages/compile_blob",
        "pipeline/stages/compile_half",
        "pipeline/stages/compile_plans",
    ),
    "sensitivity": (
        *_SHARED,
        "config",
        "compile",
        "quantizer",
        "runtimes",
        "scale",
        "sensitivity",
        "stats",
        "tasks",
        "pipeline/by_workers",
        "pipeline/context",
        "pipeline/search",
        "pipeline/search_images",
        "pipeline/search_task",
        "pipeline/stages/pilot",
    ),
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
    everything = {"code": code_hash(stage), "versions": library_versions(stage), **settings}
    return Origin(stage=stage, parents=dict(parents), key=stage_key(stage, parents, everything))


def library_versions(stage: Keyed) -> dict[str, str]:
    """The versions of the libraries that a stage uses."""
    return dict(environment.package_versions(_LIBRARIES[stage]))


@cache
def code_hash(stage: Keyed, root: Path = PACKAGE) -> str:
    """Hash of the source that decides what a stage makes.

    An upgraded tool must not reuse what another version built, and need not build anew what a
    change elsewhere, as in the report's page, cannot have changed.

    Args:
        root: the folder of this package.
    """
    files: set[Path] = set()
    for name in CODE[stage]:
        module = root / f"{name}.py"
        files |= {module} if module.is_file() else set(_source_files(root / name))
    hashes = {file.relative_to(root).as_posix(): sha256_file(file) for file in sorted(files)}
    return stage_key("code", hashes, {})


def _source_files(package: Path) -> Iterator[Path]:
    """The files of a package that can change what it does: modules, and the script for boards."""
    return (file for file in package.rglob("*") if file.suffix in (".py", ".sh"))
