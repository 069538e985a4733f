"""A build folder in use: its engines found, and verified before they are opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from edge_scnet.compile.script_plans import with_script_plans
from edge_scnet.config.target import TargetSpec, from_dict
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.facts import BlobFacts, EngineFacts, PlanFacts, QdqFacts
from edge_scnet.core.manifest import (
    BLOB,
    BUILD_SCRIPT,
    BUNDLE,
    FLOAT_ONNX,
    MANIFEST,
    QDQ_ONNX,
    Artifact,
)
from edge_scnet.core.spec import InputForm
from edge_scnet.errors import ArtifactError
from edge_scnet.machine.isa import check_floor, is_elsewhere, target_for_any_machine
from edge_scnet.machine.linux import quota_threads, usable_cores
from edge_scnet.pipeline.dequantized import ROW
from edge_scnet.profiler.process import EngineFile
from edge_scnet.report.run_report import RunReport
from edge_scnet.runtimes import artifact_kinds, runtime_of_kind
from edge_scnet.runtimes.base import OpenOptions, Runtime


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
        engines = [name for name, a in artifacts.items() if a.kind in artifact_kinds()]
        raise ArtifactError(
            f"{path} is not an engine of its manifest; it knows: {', '.join(engines) or 'none'}",
            hint=f"edge-scnet profile {folder.path}",
        )
    return folder, entry


def target_of(folder: BuildFolder) -> TargetSpec:
    """The target that a folder was built for.

    Raises:
        TargetError: the manifest holds none that is valid.
    """
    return from_dict(folder.manifest.target)


def engine_files(folder: BuildFolder) -> list[EngineFile]:
    """The engines of a build, the reference first.

    They are FP32 pinned, the runtime's default precision, and INT8; of a board's build the FP16
    twin and INT8.

    Raises:
        ArtifactError: an engine is missing or is not what was built.
        TargetError: it needs a higher instruction set.
    """
    engines = {entry.precision: entry for entry in _compiled(folder)}
    if target_of(folder).precision == "fp16":
        raise ArtifactError(
            f"{folder.path} is for boards without INT8: {BUILD_SCRIPT} builds and times its plans",
            hint=f"copy results.tar.gz here, then: edge-scnet profile {folder.path}/results.tar.gz",
        )
    if target_of(folder).board is not None:
        if not {"fp16", "int8"} <= engines.keys():
            raise ArtifactError(
                f"{folder.path} holds no plans",
                hint=f"on the board: edge-scnet compile {folder.path}/{BUNDLE}",
            )
        return [engine_of(folder, engines[precision]) for precision in ("fp16", "int8")]
    if not {"fp32", "int8"} <= engines.keys():
        raise ArtifactError(
            f"{folder.path} holds no compiled engines", hint=folder.manifest.rebuild
        )
    reference = engine_of(folder, engines["fp32"])
    if folder.manifest.dequantized:
        reference = replace(reference, name=ROW)
    if not runtime_of_kind(engines["fp32"].kind).has_other_default:
        return [reference, engine_of(folder, engines["int8"])]
    default = replace(
        reference,
        name="default",
        role="default",
        options=replace(reference.options, precision="default"),
    )
    return [reference, default, engine_of(folder, engines["int8"])]


def check_unchanged(folder: BuildFolder, report: RunReport) -> None:
    """Looks at the files of a report's rows once more, before it is saved or shown.

    Raises:
        ArtifactError: one is no more what was measured.
    """
    artifacts = folder.manifest.artifacts
    for row in report.engines:
        entry = artifacts.get(row.file)
        if entry is None or entry.sha256 != row.sha256:
            continue  # a row of an earlier report
        blob = [artifacts[BLOB]] if row.warm_start is not None and BLOB in artifacts else []
        for file in (entry, *companions_listed(folder, entry), *blob):
            try:
                folder.verified_entry(file)
            except ArtifactError as error:
                raise ArtifactError(
                    f"{folder.path / file.file} was replaced while it was measured: the figures are"
                    " of an engine that is no more, and are not saved",
                    hint=f"measure what is there now: edge-scnet profile {folder.path}",
                ) from error


def chosen_engines(
    folder: BuildFolder, chosen: Artifact, engines: Sequence[EngineFile]
) -> list[EngineFile]:
    """One engine after the reference that it is compared with.

    Args:
        engines: those of the folder; the reference itself is compared with the next one.
    """
    if chosen.file == engines[0].path.name:
        return list(engines[:2])
    return [engines[0], engine_of(folder, chosen)]


def engine_of(folder: BuildFolder, entry: Artifact) -> EngineFile:
    """The engine of an entry, verified.

    Raises:
        ArtifactError: a file of it is missing or is not what was built.
        TargetError: it was built for another machine.
    """
    runtime = runtime_of_kind(entry.kind)
    runtime.check_built(entry.facts, folder.manifest.rebuild)
    precision = entry.precision or ""
    if precision == "int8":
        # below its floor the engine's 8-bit weights would saturate without a word
        check_floor(
            folder.manifest.floor,
            what=str(folder.path / entry.file),
            hint=_command_for_any_machine(folder),
        )
    path, companions = folder.verified_entry(entry), _companions(folder, entry)
    options = OpenOptions(
        precision=opened_in(folder, precision),
        threads=target_of(folder).threads or quota_threads(usable_cores()),
    )
    blob, cold = _blob_of(folder, entry, runtime, options)
    return EngineFile(
        name=precision if entry.stage == "compile" else f"{precision} onnx",
        role="int8" if precision == "int8" else "reference",
        runtime=runtime.name,
        path=path,
        options=replace(options, blob=blob),
        size_bytes=entry.size_bytes + sum(companion.size_bytes for companion in companions),
        sha256=entry.sha256,
        not_int8=tuple(entry.facts.in_float or ()) if isinstance(entry.facts, EngineFacts) else (),
        convolutions=_convolutions(folder, entry),
        cold=cold,
        input=input_of(folder, entry),
    )


def input_of(folder: BuildFolder, entry: Artifact) -> InputForm:
    """What an engine takes; graphs that are no engines take what they were exported with."""
    return folder.manifest.input if isinstance(entry.facts, EngineFacts) else InputForm()


def _blob_of(
    folder: BuildFolder, engine: Artifact, runtime: Runtime, options: OpenOptions
) -> tuple[Path | None, str]:
    """The compiled blob that an engine is loaded from, or why it is not, in words.

    Raises:
        ArtifactError: it is not what was built.
    """
    entry = folder.manifest.artifacts.get(BLOB)
    if entry is None or not isinstance(entry.facts, BlobFacts):
        return None, ""
    if entry.facts.engine != engine.file:
        return None, ""
    here = runtime.blob_facts(engine.file, options)
    difference = "this runtime loads none" if here is None else entry.facts.difference(here)
    artifacts = folder.manifest.artifacts
    if any(
        name not in artifacts or artifacts[name].sha256 != sha256
        for name, sha256 in entry.parents.items()
    ):
        difference = f"it is of another {engine.file}"
    elif not (folder.path / BLOB).is_file():
        difference = "it is missing"
    if difference is not None:
        return None, f"{BLOB} is not used, {engine.file} is compiled: {difference}"
    return folder.verified_entry(entry), ""


def opened_in(folder: BuildFolder, precision: str) -> Literal["f32", "bf16", "default"]:
    """The precision of what is not INT8; the float engine is FP32, whatever the target says."""
    if folder.manifest.precision_hint != "f32":
        return "default"
    return target_of(folder).opened_in if precision == "int8" else "f32"


def _convolutions(folder: BuildFolder, entry: Artifact) -> tuple[str, ...]:
    """The convolutions of a plan's graph by name; none of another kind of engine.

    A plan may lie in a folder without the graph that it was made of.
    """
    graph = folder.manifest.artifacts.get(QDQ_ONNX)
    if graph is None or not isinstance(graph.facts, QdqFacts):
        return ()
    return graph.facts.int8_convolutions if isinstance(entry.facts, PlanFacts) else ()


def first_engine(folder: BuildFolder) -> Artifact:
    """The INT8 engine, or the float graph where nothing is compiled yet.

    Raises:
        ArtifactError: the folder holds neither.
    """
    int8 = [entry for entry in _compiled(folder) if entry.precision == "int8"]
    if int8:
        return int8[0]
    if FLOAT_ONNX in folder.manifest.artifacts:
        return folder.entry(FLOAT_ONNX)
    raise ArtifactError(f"{folder.path} holds no engine", hint=folder.manifest.rebuild)


def _compiled(folder: BuildFolder) -> list[Artifact]:
    """The files that a runtime compiled."""
    kinds = artifact_kinds()
    artifacts = folder.manifest.artifacts.values()
    return [entry for entry in artifacts if entry.stage == "compile" and entry.kind in kinds]


def _companions(folder: BuildFolder, entry: Artifact) -> list[Artifact]:
    """The files that an engine is opened with, verified."""
    companions = companions_listed(folder, entry)
    for companion in companions:
        folder.verified_entry(companion)
    return companions


def companions_listed(folder: BuildFolder, entry: Artifact) -> list[Artifact]:
    """The entries of the files that an engine is opened with."""
    artifacts, companions = folder.manifest.artifacts, []
    for name in entry.facts.companions if isinstance(entry.facts, EngineFacts) else ():
        if name not in artifacts:
            raise ArtifactError(
                f"{folder.path / MANIFEST} does not list {name!r} of {entry.file}",
                hint=folder.manifest.rebuild,
            )
        companions.append(artifacts[name])
    return companions


def _command_for_any_machine(folder: BuildFolder) -> str:
    """The build's own command with the target of every machine of this kind.

    An engine of another kind's is good as it is, there.
    """
    if is_elsewhere(folder.manifest.floor):
        there = f"edge-scnet profile {folder.path.name}"
        return f"copy the folder to such a machine, and there: {there}"
    target = f"--target {target_of(folder).name}"
    return folder.manifest.rebuild.replace(target, f"--target {target_for_any_machine()}")
