"""What goes over to a device: files by their content, and the layout of a job's folder.

A job sees the folders of this machine below a root of its own, so that relative paths mean the same
there: `/home/me/net.onnx` is `root/home/me/net.onnx`, and the job runs in its copy of the working
directory. A file is sent by its sha256, once; a folder of samples as one archive whose bytes depend
on nothing but its files.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shlex
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import IO, Any, Protocol

from edge_scnet.core.files import sha256_bytes, sha256_file
from edge_scnet.core.manifest import load_manifest
from edge_scnet.errors import ArtifactError, DataError

# Stands for the job's root in arguments, which hold no NUL themselves.
ROOT = "\0root\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A file or folder that a job reads; of one that it may write to it gets copies."""

    path: Path
    writable: bool = False
    # names in a build folder that stay here
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Files that are made here of one that comes back, and not there: they cost no way."""

    # the name of the one, and of those that lie beside it
    of: str
    names: tuple[str, ...]
    # their texts by name, from where the one lies
    make: Callable[[Path], Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A command to run on a device, what it needs and makes there; paths are of this machine."""

    # with ROOT in front of absolute paths
    argv: tuple[str, ...]
    # argv are arguments of edge-scnet, and not of a program
    is_tool: bool = True
    # in words, for who wants the device meanwhile
    words: str
    cwd: Path
    inputs: tuple[Input, ...] = ()
    # files and folders that come back
    outputs: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    # edge-scnet's own wheel, to be used there
    wheel: Path | None = None
    # it times engines: the device is to be cool
    times: bool = False
    # what is made here of what it made; None: nothing
    drawn: Drawn | None = None


class Blob(Protocol):
    """The bytes that a sha256 stands for."""

    @property
    def size_bytes(self) -> int:
        """How many they are."""

    def open(self, scratch: Path) -> IO[bytes]:
        """The bytes, to read; `scratch` is a folder for temporary files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileBlob:
    """A file."""

    path: Path
    size_bytes: int

    def open(self, scratch: Path) -> IO[bytes]:
        """Opens the file."""
        return self.path.open("rb")


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderBlob:
    """A folder as a tar."""

    path: Path
    size_bytes: int

    def open(self, scratch: Path) -> IO[bytes]:
        """Writes the tar, and opens it."""
        with tempfile.NamedTemporaryFile(dir=scratch, suffix=".tar", delete=False) as file:
            _write_tar(self.path, file)
        return Path(file.name).open("rb")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipment:
    """What a job needs on a device."""

    blobs: Mapping[str, Blob]
    # by path from the job's root: the sha256 of a file, or of a folder's tar
    files: Mapping[str, str]
    folders: Mapping[str, str]
    writable: tuple[str, ...]
    wheel: str | None

    @property
    def digest(self) -> str:
        """A hash of all that goes over."""
        lines = [f"{sha} {name}" for name, sha in sorted({**self.files, **self.folders}.items())]
        return sha256_bytes("\n".join([*lines, self.wheel or ""]).encode("utf-8", _ESCAPE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a device keeps of a job for who comes to take it up."""

    # user@machine
    owner: str
    words: str
    cwd: str
    outputs: tuple[str, ...]
    # the build folders that it may write into, and their files, as in a `Shipment`
    writable: tuple[str, ...]
    files: dict[str, str]
    # the job leaves to its client what is drawn
    is_drawn: bool = False


_ESCAPE = "surrogateescape"


def rooted(path: Path | str) -> str:
    """A path as a job's argument: an absolute one lies below the job's root there."""
    text = os.fspath(path)
    return ROOT + text if Path(text).is_absolute() else text


def below_root(path: Path) -> str:
    """The path from a job's root of a file or folder of this machine."""
    return os.path.abspath(path).lstrip("/")  # noqa: PTH100  links are not followed


def is_build(folder: Path) -> bool:
    """Whether a folder is a build's; a manifest.json of something else makes it none."""
    try:
        load_manifest(folder)
    except ArtifactError:
        return False
    return True


def shipment_of(job: Job) -> Shipment:
    """Reads what a job needs, and hashes it.

    Raises:
        ArtifactError: a file is missing or cannot be read.
    """
    blobs: dict[str, Blob] = {}
    found: dict[str, str] = {}
    folders: dict[str, str] = {}
    writable = []
    for item in job.inputs:
        name = below_root(item.path)
        try:
            if not item.path.is_dir():
                sha, blob = _file_blob(item.path)
                found[name], blobs[sha] = sha, blob
            elif item.writable or is_build(item.path):
                for file in _plain_files(item):
                    sha, blob = _file_blob(file)
                    found[below_root(file)], blobs[sha] = sha, blob
            else:
                sha, blob = _folder_blob(item.path)
                folders[name], blobs[sha] = sha, blob
        except OSError as error:
            raise ArtifactError(
                f"cannot read {error.filename or item.path}: {error.strerror or error}",
                hint=f"ls -l {item.path}",
            ) from error
        if item.writable:
            writable.append(name)
    wheel = None
    if job.wheel is not None:
        wheel, blobs[wheel] = _wheel_blob(job.wheel)
    return Shipment(
        blobs=blobs, files=found, folders=folders, writable=tuple(writable), wheel=wheel
    )


def _wheel_blob(path: Path) -> tuple[str, Blob]:
    if path.suffix != ".whl" or not path.name.startswith("edge_scnet-") or not path.is_file():
        raise ArtifactError(
            f"--wheel {path} is no wheel of edge-scnet",
            hint="make one in a checkout: pip wheel --no-deps -w dist .",
        )
    return _file_blob(path)


def _file_blob(path: Path) -> tuple[str, Blob]:
    sha = sha256_file(path)
    return sha, FileBlob(path=path, size_bytes=path.stat().st_size)


def _plain_files(item: Input) -> Iterator[Path]:
    """A build folder's own files: neither temporary ones nor what lies deeper."""
    for entry in sorted(os.scandir(item.path), key=lambda entry: entry.name):
        if entry.is_file() and not entry.name.startswith(".") and entry.name not in item.without:
            yield Path(entry.path)


class _Counted(io.RawIOBase):
    """Hashes and counts what is written, and keeps nothing."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.size_bytes = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.digest.update(data)
        self.size_bytes += len(data)
        return len(data)


def _folder_blob(folder: Path) -> tuple[str, Blob]:
    counted = _Counted()
    _write_tar(folder, counted)
    return counted.digest.hexdigest(), FolderBlob(path=folder, size_bytes=counted.size_bytes)


def _write_tar(folder: Path, file: IO[bytes] | _Counted) -> None:
    """Writes a folder's files as a tar that is the same for the same files; links are followed.

    Hidden files, and build folders, are left out.

    Raises:
        OSError: a file cannot be read. DataError: it changed meanwhile.
    """
    with tarfile.open(fileobj=file, mode="w|", format=tarfile.GNU_FORMAT) as archive:
        for path in _below(folder, set()):
            with path.open("rb") as source:
                info = tarfile.TarInfo(os.path.relpath(path, folder))
                info.size = os.fstat(source.fileno()).st_size
                try:
                    archive.addfile(info, source)
                except OSError as error:
                    raise DataError(
                        f"{path} changed while it was read", hint="run it again"
                    ) from error


def _below(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    """The files below a folder in a fixed order; a link that leads round in a circle is left."""
    status = folder.stat()
    if (status.st_dev, status.st_ino) in seen:
        return
    seen = seen | {(status.st_dev, status.st_ino)}
    for entry in sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name)):
        path = Path(entry.path)
        if entry.name.startswith("."):
            continue
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            yield path
        elif stat.S_ISDIR(mode) and not is_build(path):
            yield from _below(path, seen)


def layout(
    job: Job, shipment: Shipment, *, run: str, workdir: str, python: str, owner: str = ""
) -> bytes:
    """The tar that run.sh unpacks in the work folder: the job's folder, linked to the blobs."""
    out = io.BytesIO()
    base = f"jobs/{run}.new"
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name in _folders_of(job, shipment):
            info = tarfile.TarInfo(f"{base}/root/{name}")
            info.type, info.mode = tarfile.DIRTYPE, 0o700
            archive.addfile(info)
        for name, sha in shipment.files.items():
            info = tarfile.TarInfo(f"{base}/root/{name}")
            info.type, info.linkname = tarfile.LNKTYPE, f"blobs/{sha}"
            archive.addfile(info)
        for name, text in {
            "job.sh": (files("edge_scnet.devices") / "job.sh").read_text(encoding="utf-8"),
            "command": _command(job, shipment, f"{workdir}/jobs/{run}/root", workdir, python),
            "collect": _collect(job),
            "unpack": _unpack(shipment, workdir, python),
            "about": about(job, shipment, owner),
            # what clients of this job hold a lock of
            "readers": "",
        }.items():
            data = text.encode("utf-8", _ESCAPE)
            info = tarfile.TarInfo(f"{base}/{name}")
            info.size, info.mode = len(data), 0o600
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _folders_of(job: Job, shipment: Shipment) -> list[str]:
    """The folders of a job's root, each behind the one that it lies in."""
    named = [below_root(job.cwd), *shipment.folders]
    named += [below_root(path.parent) for path in job.outputs]
    named += [name.rpartition("/")[0] for name in shipment.files]
    folders: set[str] = set()
    for name in named:
        parts = name.split("/")
        folders |= {"/".join(parts[: i + 1]) for i in range(len(parts))}
    return sorted(folders - {""})


def _command(job: Job, shipment: Shipment, root: str, workdir: str, python: str) -> str:
    environment = dict(job.environment)
    if shipment.wheel is not None:
        environment["PYTHONPATH"] = f"{workdir}/wheels/{shipment.wheel}"
    words = [argument.replace(ROOT, root) for argument in job.argv]
    if job.is_tool:
        words = [python, "-m", "edge_scnet", *words]
    settings = [f"{name}={value}" for name, value in environment.items()]
    place = shlex.quote(f"{root}/{below_root(job.cwd)}")
    return f"cd {place} || exit 9\nexec {shlex.join(['env', *settings, *words])}\n"


def _collect(job: Job) -> str:
    return f"set -- {shlex.join(f'./{below_root(path)}' for path in job.outputs)}\n"


# what may be written to is no more the cache's own file
_COPY = (
    """-type f -exec sh -c 'for file; do cp "$file" "$file.copy" && chmod 600 "$file.copy" &&"""
    """ mv -f "$file.copy" "$file" || exit 1; done' sh {} +"""
)


def _unpack(shipment: Shipment, workdir: str, python: str) -> str:
    # one list of &&: run.sh reads this in front of "||", where bash ignores "set -e"
    lines = [":"]
    for name, sha in shipment.folders.items():
        blob, place = shlex.quote(f"{workdir}/blobs/{sha}"), shlex.quote(f"./root/{name}")
        lines.append(f"tar -xf {blob} -C {place}")
    lines += [f"find {shlex.quote(f'./root/{name}')} {_COPY}" for name in shipment.writable]
    if shipment.wheel is not None:
        blob = shlex.quote(f"{workdir}/blobs/{shipment.wheel}")
        place, new = (
            shlex.quote(f"{workdir}/wheels/{shipment.wheel}{end}") for end in ("", ".new")
        )
        lines.append(
            f"{{ [ -d {place} ] || {{ rm -rf {new} &&"
            f" {shlex.quote(python)} -m zipfile -e {blob} {new} && mv {new} {place}; }}; }}"
        )
    return " &&\n".join(lines) + "\n"


def about(job: Job, shipment: Shipment, owner: str) -> str:
    """What another client has to know of a job to bring back what it makes: a line of JSON."""
    known = Kept(
        owner=owner,
        words=job.words,
        cwd=os.fspath(job.cwd),
        outputs=tuple(f"/{below_root(path)}" for path in job.outputs),
        writable=shipment.writable,
        files={
            name: sha
            for name, sha in shipment.files.items()
            if name.rpartition("/")[0] in shipment.writable
        },
        is_drawn=job.drawn is not None,
    )
    # names that are no UTF-8 are escaped
    return json.dumps(asdict(known))
