"""A build folder laid out for a device of a fleet: the same engines, reports of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

from edge_scnet.config.project import device_folder
from edge_scnet.core.events import Events
from edge_scnet.core.files import remove_files, sha256_file, write_atomic
from edge_scnet.core.folder_lock import locked
from edge_scnet.core.manifest import (
    BUNDLE,
    MANIFEST,
    PARTIAL_REPORT,
    REPORT,
    REPORT_PAGE,
    load_manifest,
)


def folder_for(build: Path, device: str) -> Path:
    """Where a device's own copy of a build folder lies: `build/@orin-1/net/cpu` of `build/net/cpu`.

    Args:
        build: `<out>/<model>/<target>`.
        device: its name.
    """
    whole = build if len(build.parts) > 2 else build.absolute()
    out, model, target = whole.parents[1], whole.parent.name, whole.name
    return device_folder(out, device) / model / target


def lay_out(build: Path, folder: Path, *, command: str, events: Events) -> None:
    """Makes a folder that holds a build's files, and no report that is not of its device.

    A report that lies there stays where the engines are the ones that it is of.

    Args:
        command: who writes, for those who want in meanwhile.

    Raises:
        ArtifactError: the build folder has no manifest. StorageError: another run is in one of the
            folders, or the copy cannot be written.
    """
    files = {BUNDLE, *(entry.file for entry in load_manifest(build).artifacts.values())}
    with (
        locked(build, command=command, wait=False, events=events),
        locked(folder, command=command, wait=False, events=events),
    ):
        changed = [name for name in sorted(files) if _copy(build / name, folder / name)]
        if changed or not _same(build / MANIFEST, folder / MANIFEST):
            remove_files(folder / name for name in (REPORT, REPORT_PAGE, PARTIAL_REPORT))
            _copy(build / MANIFEST, folder / MANIFEST)


def _copy(source: Path, target: Path) -> bool:
    """Copies a file that differs, and says whether it did; one that is missing is left out."""
    if not source.is_file() or _same(source, target):
        return False
    with write_atomic(target) as temporary:
        shutil.copyfile(source, temporary)
    return True


def _same(source: Path, target: Path) -> bool:
    return target.is_file() and sha256_file(source) == sha256_file(target)
