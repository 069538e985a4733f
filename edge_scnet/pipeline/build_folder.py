"""What was built, in use: find and verify a build's engines, have them judged, predict with them.

Knows nothing of how engines are made; `pipeline.py` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edge_scnet.compile.script_plans import with_script_plans
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.manifest import FLOAT_ONNX, MANIFEST, Artifact, Manifest
from edge_scnet.errors import ArtifactError
from edge_scnet.machine.isa import check_floor
from edge_scnet.profiler.process import EngineFile
from edge_scnet.runtimes import RUNTIMES, artifact_kinds, runtime_of_kind
from edge_scnet.runtimes.base import OpenOptions


def open_build(path: Path) -> tuple[BuildFolder, Artifact | None]:
    """A build folder, or a file in one: then with the file's entry.

    Raises:
        ArtifactError: no such path, no manifest, or a file that the manifest does not know.
    """
    if not path.exists():
        raise ArtifactError(f"no such file or folder: {path}", hint="edge-scnet build")
    folder = with_script_plans(BuildFolder.open(path if path.is_dir() else path.parent))
    if path.is_dir():
        return folder, None
    artifacts = folder.manifest.artifacts
    entry = artifacts.get(path.name)
    if entry is None or entry.kind not in artifact_kinds():
        known = ", ".join(name for name, a in artifacts.items() if a.kind in artifact_kinds())
        raise ArtifactError(
            f"{path} is not an engine of its manifest; it knows: {known or 'none'}",
            hint=f"edge-scnet profile {folder.path}",
        )
    return folder, entry


def engine_files(folder: BuildFolder) -> list[EngineFile]:
    """The rows of a build: FP32 pinned, the runtime's default precision, INT8; of a board's the
    FP16 twin and INT8.

    Raises:
        ArtifactError: an engine is missing or is not what was built. TargetError: it needs a higher
            instruction set.
    """
    engines = {
        str(a.facts.get("precision")): a
        for a in folder.manifest.artifacts.values()
        if a.kind in _compiled_kinds()
    }
    if folder.manifest.target.get("board") is not None:
        if not {"fp16", "int8"} <= engines.keys():
            raise ArtifactError(
                f"{folder.path} holds no plans",
                hint=f"on the board: edge-scnet compile {folder.path}/bundle.tar.gz",
            )
        return [engine_of(folder, engines[precision]) for precision in ("fp16", "int8")]
    if not {"fp32", "int8"} <= engines.keys():
        raise ArtifactError(
            f"{folder.path} holds no compiled engines", hint=folder.manifest.rebuild
        )
    reference = engine_of(folder, engines["fp32"])
    default = replace(
        reference,
        name="default",
        role="default",
        options=replace(reference.options, precision="default"),
    )
    return [reference, default, engine_of(folder, engines["int8"])]


def _compiled_kinds() -> set[str]:
    return {runtime.artifact_kind for runtime in RUNTIMES.values() if runtime.compiles}


def chosen_engines(
    folder: BuildFolder, chosen: Artifact, engines: Sequence[EngineFile]
) -> list[EngineFile]:
    """One file, after the FP32 reference it is compared with."""
    if chosen.file == engines[0].path.name:
        return list(engines[:2])
    return [engines[0], engine_of(folder, chosen)]


def engine_of(folder: BuildFolder, entry: Artifact) -> EngineFile:
    manifest = folder.manifest
    runtime = runtime_of_kind(entry.kind)
    runtime.check_built(entry.facts, manifest.rebuild)
    precision = str(entry.facts.get("precision", ""))
    if precision == "int8":
        # below its floor the engine's 8-bit weights would saturate without a word
        check_floor(
            manifest.floor, what=str(folder.path / entry.file), hint=_for_this_machine(manifest)
        )
    try:
        path = folder.verified_entry(entry)
        companions = [manifest.artifacts[name] for name in entry.facts.get("companions", ())]
        for companion in companions:
            folder.verified_entry(companion)
    except KeyError as error:
        raise ArtifactError(
            f"{folder.path / MANIFEST} does not list {error} of {entry.file}",
            hint=manifest.rebuild,
        ) from error
    return EngineFile(
        name=precision if runtime.compiles else f"{precision} onnx",
        role="int8" if precision == "int8" else "reference",
        runtime=runtime.name,
        path=path,
        options=OpenOptions(
            precision="f32" if manifest.precision_hint == "f32" else "default",
            threads=int(manifest.target.get("threads", 0)),
        ),
        size_bytes=entry.size_bytes + sum(companion.size_bytes for companion in companions),
        sha256=entry.sha256,
    )


def _for_this_machine(manifest: Manifest) -> str:
    """The build's own command with the target that needs AVX2 alone."""
    return manifest.rebuild.replace(f"--target {manifest.target.get('name')}", "--target cpu-avx2")


def first_engine(folder: BuildFolder) -> Artifact:
    """The INT8 engine, or the float graph where nothing is compiled yet."""
    for entry in folder.manifest.artifacts.values():
        if entry.kind in _compiled_kinds() and entry.facts.get("precision") == "int8":
            return entry
    if FLOAT_ONNX in folder.manifest.artifacts:
        return folder.entry(FLOAT_ONNX)
    raise ArtifactError(f"{folder.path} holds no engine", hint=folder.manifest.rebuild)
