"""What a job made comes back: all of it or nothing, under other names until the hashes fit."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_scnet.core.events import Silent
from edge_scnet.core.files import make_folder, remove_files, sha256_bytes, sha256_file, write_atomic
from edge_scnet.core.folder_lock import locked
from edge_scnet.core.foreign import control_character
from edge_scnet.core.manifest import MANIFEST
from edge_scnet.core.printable import printable
from edge_scnet.devices.inputs import Job, Shipment, below_root, is_build
from edge_scnet.devices.run import Running, Wanted
from edge_scnet.errors import DeviceError

_SHA = re.compile(r"[0-9a-f]{64}")
# Of a text that is renewed only what changed comes; both sides hold it in memory for that.
_TEXTS, _LONGEST_TEXT_BYTES = (".json", ".html", ".xml"), 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """The files that came from a job."""

    # those that were not here, or were others
    new: tuple[Path, ...] = ()
    # all that it made, the new ones among them
    made: tuple[Path, ...] = ()


async def fetch(running: Running, job: Job, shipment: Shipment, sums: Sequence[str]) -> Fetched:
    """Brings back what a job made, all of it or nothing.

    Raises:
        LinkLost: the connection broke. DeviceError: a file came with another hash.
        StorageError: it cannot be written here, or another run is in the folder.
    """
    made = _made(sums, running.link.device.address, job)
    changed = {path: sha for path, sha in made.items() if _hash_here(path) != sha}
    gone = _gone(shipment, made)
    if not changed and not gone:
        return Fetched(made=tuple(made))
    # a bundle's plans come into a build folder without its manifest
    parents = {path.parent for path in (*made, *gone)}
    folders = sorted(folder for folder in parents if folder / MANIFEST in made or is_build(folder))
    with contextlib.ExitStack() as locks:
        for folder in folders:
            locks.enter_context(locked(folder, command=job.words, wait=False, events=Silent()))
        with contextlib.ExitStack() as files:
            wanted: dict[Path, Wanted] = {}
            # the last that is entered gets its name first: the manifest after what it lists
            for path in sorted(changed, key=lambda path: path.name != MANIFEST):
                make_folder(path.parent)
                wanted[path] = Wanted(
                    name=below_root(path),
                    sha256=changed[path],
                    into=files.enter_context(write_atomic(path)),
                    base=_base(path, shipment),
                )
            await running.bring(list(wanted.values()))
            for path in _sources(job, made, changed):
                for page, text in (await asyncio.to_thread(_drawn, job, wanted[path])).items():
                    files.enter_context(write_atomic(path.with_name(page))).write_bytes(text)
        remove_files(gone)
        if job.drawn is not None:
            # what shows it does not stay without it
            lost = [path for path in gone if path.name == job.drawn.of]
            remove_files(path.with_name(name) for path in lost for name in job.drawn.names)
    return Fetched(new=tuple(sorted(changed)), made=tuple(made))


def _sources(job: Job, made: Mapping[Path, str], changed: Iterable[Path]) -> list[Path]:
    """The files that came, and that others are made of here, where they were not made there."""
    drawn = job.drawn
    if drawn is None:
        return []
    return [
        path
        for path in changed
        if path.name == drawn.of and not any(path.with_name(name) in made for name in drawn.names)
    ]


def _drawn(job: Job, source: Wanted) -> dict[str, bytes]:
    """What is made here of a file that came, by name."""
    assert job.drawn is not None
    texts = job.drawn.make(source.into)
    return {name: text.encode("utf-8", "backslashreplace") for name, text in texts.items()}


def _base(path: Path, shipment: Shipment) -> bytes | None:
    """The text at a file's place, where the device has the same."""
    sent = shipment.files.get(below_root(path))
    if sent is None or path.suffix not in _TEXTS:
        return None
    try:
        if path.stat().st_size > _LONGEST_TEXT_BYTES:
            return None
        text = path.read_bytes()
    except OSError:
        return None
    return text if text and sha256_bytes(text) == sent else None


def _made(sums: Iterable[str], address: str, job: Job) -> dict[Path, str]:
    """The sha256 of each file that a job made, by where it belongs on this machine.

    Raises:
        DeviceError: a name that leads elsewhere.
    """
    outputs = [Path("/", below_root(path)) for path in job.outputs]
    made = {}
    for line in sums:
        # as sha256sum writes names with a line break
        escaped = line.startswith("\\")
        sha, _, name = line.removeprefix("\\").partition("  ")
        if escaped:
            name = re.sub(r"\\(.)", _unescaped, name)
        path = Path("/", name.removeprefix("./"))
        inside = any(path == output or output in path.parents for output in outputs)
        if not _SHA.fullmatch(sha) or ".." in path.parts or not inside or control_character(name):
            raise DeviceError(f"{address}: {printable(name)!r} is no file that the job was to make")
        made[path] = sha
    return made


def _unescaped(found: re.Match[str]) -> str:
    return {"n": "\n", "r": "\r"}.get(found[1], found[1])


def _hash_here(path: Path) -> str | None:
    try:
        return sha256_file(path)
    except OSError:
        return None


def _gone(shipment: Shipment, made: Mapping[Path, str]) -> list[Path]:
    """The files of a build folder that went over, that the job removed there, and that are still
    the same here.
    """
    writable = {Path("/", name) for name in shipment.writable}
    sent = {Path("/", name): sha for name, sha in shipment.files.items()}
    return [
        path
        for path, sha in sent.items()
        if path not in made and path.parent in writable and _hash_here(path) == sha
    ]
