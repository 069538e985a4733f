"""What goes to a board: one archive with everything to build, time and judge the plans there, and the way back.

A bundle may have come over any wire: nothing in it is trusted before its hash is checked, names are plain file names, and
nothing that its manifest says is imported or run. With edge-scnet on the board: `compile`; without Python: its build.sh.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import shlex
import shutil
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import IO

from edge_scnet import __version__
from edge_scnet.compile.plans import BUNDLE, FP16_FORM, INT8_FORM, build_pair, words
from edge_scnet.compile.reference import Reference, load, to_npz
from edge_scnet.config.target import TargetSpec, from_dict
from edge_scnet.core import manifest as artifact
from edge_scnet.core.events import Events, Silent
from edge_scnet.core.manifest import QDQ_ONNX, Artifact, Manifest
from edge_scnet.data.samples import SampleSet
from edge_scnet.errors import ArtifactError, MissingRuntimeError, StorageError, TargetError
from edge_scnet.machine import environment
from edge_scnet.runtimes.tensorrt.backend import TENSORRT

SCHEMA = 1
_HEADER, _SCRIPT, _SUMS, _REFERENCE, _EVALUATION = "bundle.json", "build.sh", "SHA256SUMS", "reference.npz", "evaluation.json"
_FILES = (artifact.MANIFEST, INT8_FORM, FP16_FORM, _REFERENCE, _EVALUATION, _SCRIPT, _SUMS)
_MAX_FILE_BYTES = 2 << 30
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
# Boards whose GPU has no INT8: compute capability 5.3 and 6.2.
_WITHOUT_INT8 = ("jetson nano", "jetson tx1", "jetson tx2")


def write_bundle(
    folder: Path, manifest: Manifest, target: TargetSpec, reference: Reference, evaluation: SampleSet | None
) -> Path:
    """Writes the archive of a build folder whose forms are there; the same build gives the same bytes.

    Raises:
        StorageError: the folder cannot be written.
    """
    contents: dict[str, bytes] = {
        name: artifact.verify(folder, manifest.artifacts[name]).read_bytes() for name in (INT8_FORM, FP16_FORM)
    }
    # the int8 convolutions that the plan is checked by are the Q/DQ file's facts
    kept = {name: manifest.artifacts[name] for name in (QDQ_ONNX, FP16_FORM, INT8_FORM)}
    contents[artifact.MANIFEST] = artifact.to_json(replace(manifest, artifacts=kept)).encode()
    contents[_REFERENCE] = to_npz(reference)
    contents[_EVALUATION] = json.dumps(_evaluation(evaluation), indent=1).encode()
    contents[_SCRIPT] = _script(manifest, target).encode()
    sums = {name: artifact.sha256_bytes(data) for name, data in contents.items()}
    contents[_SUMS] = "".join(f"{digest}  {name}\n" for name, digest in sums.items()).encode()
    header = {"schema": SCHEMA, "edge_scnet": __version__, "files": {**sums, _SUMS: artifact.sha256_bytes(contents[_SUMS])}}
    out = folder / BUNDLE
    prefix = f"{manifest.model.name}-{target.name}"
    with (
        artifact.write_atomic(out) as temporary, temporary.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as archive,
    ):  # fmt: skip
        for name, data in {_HEADER: json.dumps(header, indent=1).encode(), **contents}.items():
            info = tarfile.TarInfo(f"{prefix}/{name}")
            info.size, info.mode = len(data), 0o755 if name == _SCRIPT else 0o644
            archive.addfile(info, io.BytesIO(data))
    return out


def _evaluation(samples: SampleSet | None) -> dict[str, object]:
    """The list of evaluation images, by content: the board needs the same ones, not the same paths."""
    if samples is None:
        return {}
    return {
        "name": samples.name, "sha256": samples.hash, "labels": samples.labels, "entries": list(samples.entries),
        "content_hashes": list(samples.content_hashes), "class_names": samples.class_names,
    }  # fmt: skip


def _script(manifest: Manifest, target: TargetSpec) -> str:
    board = target.board
    assert board is not None
    text = (Path(__file__).parent / _SCRIPT).read_text(encoding="utf-8")
    for key, value in {
        "MODEL": manifest.model.name, "TARGET": target.name, "OLDEST": board.tensorrt, "BELOW": board.below,
        "WORKSPACE": str(board.workspace_mib), "STRONGLY_TYPED": str(int(board.strongly_typed)),
    }.items():  # fmt: skip
        text = text.replace(f"@{key}@", shlex.quote(value))
    return text


def compile_bundle(path: Path, out: Path, *, events: Events | None = None) -> tuple[Path, Manifest]:
    """Unpacks a bundle into its build folder under `out` and builds both plans: the folder, and its manifest.

    Raises:
        ArtifactError: no bundle, damaged, or of another schema.
        TargetError: this is not the board or the TensorRT that it is for.
        MissingRuntimeError: no TensorRT. StorageError: too little memory. BackendError: the builder refused a file.
        ParityError: a convolution is not INT8, or a plan does not compute the reference outputs.
    """
    events = events or Silent()
    with tempfile.TemporaryDirectory() as temporary:
        unpacked = unpack(path, Path(temporary))
        manifest = artifact.load_manifest(unpacked)
        target = from_dict(manifest.target)
        check_board(target)
        for name in (manifest.model.name, target.name):
            if not _PLAIN_NAME.fullmatch(name):
                raise ArtifactError(f"{path}: {name!r} is no plain name for a folder", hint="build the bundle again")
        folder = out / manifest.model.name / target.name
        artifact.make_folder(folder)
        for file in sorted(unpacked.iterdir()):
            shutil.copyfile(file, folder / file.name)
    events.stage("compile", f"{TENSORRT.title}, INT8 and its FP16 twin")
    entry = manifest.artifacts[QDQ_ONNX]
    facts = build_pair(
        TENSORRT, target, folder, folder, entry.facts["int8_convolutions"], events.progress, reference=load(folder / _REFERENCE)
    )
    for name, found in facts.items():
        file = folder / name
        manifest = manifest.with_artifact(
            Artifact(
                file=name, kind=TENSORRT.ARTIFACT_KIND, stage="compile", sha256=artifact.sha256_file(file),
                size_bytes=file.stat().st_size, key=entry.key, facts=found,
                parents={source: manifest.artifacts[source].sha256 for source in (INT8_FORM, FP16_FORM)},
                versions=TENSORRT.versions(),
            )
        )  # fmt: skip
    artifact.save_manifest(folder, manifest)
    events.done(words(manifest), reused=False)
    return folder, manifest


def check_board(target: TargetSpec) -> None:
    """Refuses a machine on which the target's plans cannot be built, or would not be its.

    Raises:
        TargetError, MissingRuntimeError, StorageError: with what was found, and what is needed.
    """
    board = target.board
    if board is None or target.runtime != "tensorrt":
        raise TargetError(f"{target.name} is no target of a board", hint=f"edge-scnet build --target {target.name}")
    model = environment.collect().jetson_model
    if model is not None and any(name in model.lower() for name in _WITHOUT_INT8):
        raise TargetError(
            f"{model} computes no INT8: its GPU is older than compute capability 7.2",
            hint=f"/usr/src/tensorrt/bin/trtexec --onnx={FP16_FORM} --fp16 --saveEngine=engine-fp16.plan",
        )
    if reason := TENSORRT.unavailable():
        raise MissingRuntimeError(
            reason, hint=f"{TENSORRT.install_hint()}; or without Python: tar xzf {BUNDLE}, then sh build.sh in its folder"
        )
    if model is None:
        raise TargetError(
            f"this machine is no Jetson, {target.name} is for compute capability {board.compute_capability}: a plan built here "
            "runs on no board",
            hint=f"copy {BUNDLE} to the board and run edge-scnet compile {BUNDLE} there",
        )
    if board.models and not any(name in model.lower() for name in board.models):
        raise TargetError(
            f"this board is {model}; target {target.name} is for {', '.join(board.models)}", hint="edge-scnet targets"
        )
    version = TENSORRT.versions().get(TENSORRT.title, "0")
    if not board.takes(version):
        raise TargetError(
            f"TensorRT {version} is on this board; target {target.name} is for {board.tensorrt} up to, but not with, "
            f"{board.below}",
            hint="build for another target on the workstation: edge-scnet targets",
        )
    free, needed = environment.available_memory_bytes(), (board.workspace_mib + 512) << 20
    if free is not None and free < needed:
        raise StorageError(
            f"{free >> 20:,} MiB of memory are free, the build may take {needed >> 20:,}",
            hint="close programs, add swap, or lower board.workspace_mib in the target",
        )


def unpack(path: Path, into: Path) -> Path:
    """Opens a bundle: every file checked before it is used.

    Raises:
        ArtifactError: it is no such archive, damaged, or holds what no bundle holds.
    """
    again = "copy it again, or build it again on the workstation: edge-scnet build --target TARGET"
    try:
        with tarfile.open(path, "r:gz") as archive:
            files = _read_members(archive, path, into)
    except FileNotFoundError as error:
        raise ArtifactError(f"no such file: {path}", hint="edge-scnet build --target jetson") from error
    except (tarfile.TarError, EOFError, OSError, gzip.BadGzipFile) as error:
        raise ArtifactError(f"{path} is no bundle, or is damaged: {error}", hint=again) from error
    header = files.pop(_HEADER, None)
    if header is None:
        raise ArtifactError(f"{path} holds no {_HEADER}", hint=again)
    try:
        content = json.loads(header.read_text(encoding="utf-8"))
        schema, sums = content["schema"], dict(content["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path}: {_HEADER} cannot be read: {error}", hint=again) from error
    if schema != SCHEMA:
        made = content.get("edge_scnet", "?")
        raise ArtifactError(
            f"{path} is a bundle of schema {schema}, made by edge-scnet {made}; {__version__} reads {SCHEMA}",
            hint=f"pip install edge-scnet=={made}" if re.fullmatch(r"[0-9.]+", str(made)) else again,
        )
    for name in _FILES:
        if name not in files or name not in sums:
            raise ArtifactError(f"{path} lacks {name}", hint=again)
        if artifact.sha256_file(files[name]) != sums[name]:
            raise ArtifactError(f"{path}: {name} is not what was packed (its hash differs)", hint=again)
    return into


def _read_members(archive: tarfile.TarFile, path: Path, into: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for member in archive:
        parts = Path(member.name).parts
        name = parts[-1] if parts else ""
        plain = len(parts) == 2 and all(_PLAIN_NAME.fullmatch(part) for part in parts)
        if not (member.isreg() and plain and name in (_HEADER, *_FILES) and name not in found):
            raise ArtifactError(f"{path} holds {member.name!r}, which no bundle of ours holds: nothing was unpacked")
        if member.size > _MAX_FILE_BYTES:
            raise ArtifactError(f"{path}: {name} has {member.size:,} bytes, {_MAX_FILE_BYTES:,} are allowed")
        source: IO[bytes] | None = archive.extractfile(member)
        assert source is not None
        with source, (into / name).open("wb") as file:
            shutil.copyfileobj(source, file)
        found[name] = into / name
    return found
