"""The archive for a board: everything to build, time and judge the plans there.

A bundle may have come over any wire: nothing in it is trusted before its hash is checked, names are
plain file names, and nothing that its manifest says is imported or run. With edge-scnet on the
board: `compile`; without Python: its build.sh.
"""

from __future__ import annotations

import errno
import gzip
import io
import json
import re
import shlex
import tarfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.resources import files
from pathlib import Path

from edge_scnet.__about__ import __version__
from edge_scnet.compile.reference import Reference, to_npz
from edge_scnet.compile.search_part import SEARCH_FILES
from edge_scnet.config.target import TargetSpec
from edge_scnet.core import manifest as artifact
from edge_scnet.core.archive import DAMAGED, Limits, archive_files
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.files import sha256_bytes, sha256_file, write_atomic
from edge_scnet.core.foreign import MOST_SETTINGS_BYTES, read_bytes, reason
from edge_scnet.core.json_records import decode
from edge_scnet.core.manifest import (
    BUILD_SCRIPT,
    BUNDLE,
    FLOAT_ONNX,
    FP16_FORM,
    FP16_GRAPH,
    INT8_FORM,
    QDQ_ONNX,
    RANGES,
    Manifest,
)
from edge_scnet.core.optional import another_version_hint
from edge_scnet.data.samples import SampleSet
from edge_scnet.errors import ArtifactError, StorageError

# 1 had no part for a search on the board.
SCHEMA = 2
_READS = (1, SCHEMA)
REFERENCE = "reference.npz"
_HEADER, _SUMS, _EVALUATION = "bundle.json", "SHA256SUMS", "evaluation.json"
_FILES = (artifact.MANIFEST, INT8_FORM, FP16_FORM, REFERENCE, _EVALUATION, BUILD_SCRIPT, _SUMS)
_AGAIN = "copy it again, or build it again on the workstation: edge-scnet build --target TARGET"
_LIMITS = Limits(file_bytes=2 << 30, all_bytes=5 << 30, hint=_AGAIN)
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleHeader:
    """The first file of a bundle: what wrote it, and the hashes of all others."""

    schema: int
    # Its version.
    edge_scnet: str = "?"
    # sha256 by name; another schema may name them in another way.
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationList:
    """The evaluation images, by content: the board needs the same ones, not the same paths."""

    name: str
    sha256: str
    labels: tuple[int, ...] | None
    entries: tuple[str, ...]
    content_hashes: tuple[str, ...]
    class_names: tuple[str, ...] | None


def write_bundle(
    folder: BuildFolder,
    target: TargetSpec,
    reference: Reference,
    evaluation: SampleSet | None,
    search: Mapping[str, bytes] | None = None,
) -> Path:
    """Writes the archive of a build folder whose forms are there.

    The same build gives the same bytes.

    Args:
        search: the files of `search_part.to_files`; None: the board searches nothing.

    Raises:
        StorageError: the folder cannot be written.
    """
    forms = (INT8_FORM, FP16_FORM) if target.precision == "int8" else (FP16_FORM,)
    contents: dict[str, bytes] = {name: folder.verified(name).read_bytes() for name in forms}
    # the int8 convolutions that the plan is checked by are the Q/DQ file's facts
    graph = QDQ_ONNX if target.precision == "int8" else FP16_GRAPH
    float_files = () if search is None else (FLOAT_ONNX, RANGES)
    kept = {name: folder.entry(name) for name in (graph, FP16_FORM, *forms, *float_files)}
    contents |= {name: folder.verified(name).read_bytes() for name in float_files}
    contents |= search or {}
    contents[artifact.MANIFEST] = artifact.to_json(
        replace(folder.manifest, artifacts=kept)
    ).encode()
    contents[REFERENCE] = to_npz(reference)
    contents[_EVALUATION] = _json(_evaluation(evaluation)).encode()
    contents[BUILD_SCRIPT] = build_script(folder.manifest, target).encode()
    sums = {name: sha256_bytes(data) for name, data in contents.items()}
    contents[_SUMS] = "".join(f"{digest}  {name}\n" for name, digest in sums.items()).encode()
    header = BundleHeader(
        schema=SCHEMA,
        edge_scnet=__version__,
        files={**sums, _SUMS: sha256_bytes(contents[_SUMS])},
    )
    out = folder.path / BUNDLE
    prefix = f"{folder.manifest.model.name}-{target.name}"
    with (
        write_atomic(out) as temporary,
        temporary.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name, data in {_HEADER: _json(header).encode(), **contents}.items():
            info = tarfile.TarInfo(f"{prefix}/{name}")
            info.size, info.mode = len(data), 0o755 if name == BUILD_SCRIPT else 0o644
            archive.addfile(info, io.BytesIO(data))
    return out


def _json(record: BundleHeader | EvaluationList | None) -> str:
    """A record as JSON; an empty table where there is none."""
    return json.dumps(asdict(record) if record else {}, indent=1)


def _evaluation(samples: SampleSet | None) -> EvaluationList | None:
    if samples is None:
        return None
    return EvaluationList(
        name=samples.name,
        sha256=samples.hash,
        labels=samples.labels,
        entries=samples.entries,
        content_hashes=samples.content_hashes,
        class_names=samples.class_names,
    )


def build_script(manifest: Manifest, target: TargetSpec) -> str:
    """Returns build.sh for a model and a target; their names are quoted for the shell."""
    board = target.board
    assert board is not None
    text = (files("edge_scnet.compile") / BUILD_SCRIPT).read_text(encoding="utf-8")
    values = {
        "MODEL": manifest.model.name,
        "TARGET": target.name,
        "OLDEST": board.tensorrt,
        "BELOW": board.below,
        "WORKSPACE": str(board.workspace_mib),
        "STRONGLY_TYPED": str(int(board.strongly_typed)),
        "PRECISION": target.precision,
    }
    # in one pass: a value may look like another's place
    return re.sub(r"@([A-Z_]+)@", lambda place: shlex.quote(values[place[1]]), text)


def unpack(path: Path, into: Path) -> Path:
    """Opens a bundle; every file is checked before it is used.

    Args:
        into: an empty folder for its files.

    Returns:
        That folder.

    Raises:
        ArtifactError: it is no such archive, damaged, or holds what no bundle holds.
    """
    again = _AGAIN
    try:
        extracted = _extract(path, into)
    except FileNotFoundError as error:
        raise ArtifactError(
            f"no such file: {path}", hint="edge-scnet build --target jetson"
        ) from error
    except DAMAGED as error:
        raise ArtifactError(
            f"{path} is not a bundle, or is damaged: {reason(error)}", hint=again
        ) from error
    if _HEADER not in extracted:
        raise ArtifactError(f"{path} holds no {_HEADER}", hint=again)
    try:
        header = decode(
            BundleHeader, read_bytes(extracted[_HEADER], most_bytes=MOST_SETTINGS_BYTES)
        )
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"{path}: {_HEADER} cannot be read: {reason(error)}", hint=again
        ) from error
    if header.schema not in _READS:
        writer = header.edge_scnet
        raise ArtifactError(
            f"{path} is a bundle of schema {header.schema}, made by edge-scnet {writer};"
            f" {__version__} reads {_READS[0]} and {_READS[1]}",
            hint=another_version_hint(writer) if re.fullmatch(r"[0-9.]+", writer) else again,
        )
    _check_files(path, extracted, header.files)
    return into


def _check_files(path: Path, extracted: Mapping[str, Path], packed: Mapping[str, str]) -> None:
    """Holds a bundle's files to what was packed.

    Args:
        packed: sha256 by name.

    Raises:
        ArtifactError: one is missing, or another.
    """
    for name in (*_FILES, *SEARCH_FILES):
        if name == INT8_FORM and name not in packed:
            continue  # of a board without INT8
        if name in SEARCH_FILES and name not in packed and name not in extracted:
            continue  # the board searches nothing
        if name not in extracted or name not in packed:
            raise ArtifactError(f"{path} lacks {name}", hint=_AGAIN)
        if sha256_file(extracted[name]) != packed[name]:
            raise ArtifactError(
                f"{path}: {name} is not what was packed (its hash differs)", hint=_AGAIN
            )


def _name_in_bundle(member: str) -> str | None:
    """The file that `<model>-<target>/<file>` names; None where no bundle has such a member."""
    parts = Path(member).parts
    known = (_HEADER, *_FILES, *SEARCH_FILES)
    plain = len(parts) == 2 and all(PLAIN_NAME.fullmatch(part) for part in parts)
    return parts[1] if plain and parts[1] in known else None


def _extract(path: Path, into: Path) -> dict[str, Path]:
    """Writes a bundle's files into a folder: their paths, by name."""
    extracted = {}
    for name, source in archive_files(
        path,
        _name_in_bundle,
        limits=_LIMITS,
        refusal="which no bundle of ours holds: nothing was unpacked",
    ):
        try:
            with (into / name).open("wb") as file:
                while block := source.read(1 << 16):
                    file.write(block)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise  # of the archive
            raise StorageError(
                f"cannot unpack {path} to {into}: {error.strerror}",
                hint=f"another folder for temporary files: TMPDIR=DIR; df -h {into.parent}",
            ) from error
        extracted[name] = into / name
    return extracted
