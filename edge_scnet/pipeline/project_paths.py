"""Paths as a project file has them: from its folder."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from edge_scnet.config.model_options import ways_to_split
from edge_scnet.config.project_file import Entry
from edge_scnet.core.source import parse_source


def located(entry: Entry, root: Path) -> Entry:
    """An option whose files are named from the project file's folder."""
    if entry.origin != "given":
        return entry
    if entry.key == "weights":
        return replace(entry, value=relative(str(entry.value), root))
    if entry.key == "fix":
        return replace(entry, value=tuple(_relative_fix(fix, root) for fix in entry.value))
    return entry


def _relative_fix(fix: str, root: Path) -> str:
    for name, value in ways_to_split(fix):
        if Path(value).is_file():
            return f"{name}={relative(value, root)}"
    return fix


def relative_samples(name: str, root: Path) -> str:
    """The name of a sample set from the project file's folder, and the folders that it names."""
    source = parse_source(name)
    if source.is_code:
        return name
    settings = dict(source.settings)
    for key in ("images", "masks"):
        if key in settings and Path(settings[key]).is_dir():
            settings[key] = _relative_folder(settings[key], source.path, root)
    return replace(source, where=relative(source.where, root), settings=settings).text


def _relative_folder(folder: str, of: Path, root: Path) -> str:
    """An absolute folder as a setting has it, from the source's own, where both move together."""
    own = (of if of.is_dir() else of.parent).resolve()
    together = own.is_relative_to(root.resolve()) and Path(folder).is_relative_to(root.resolve())
    return os.path.relpath(folder, own) if Path(folder).is_absolute() and together else folder


def relative(name: str, root: Path) -> str:
    """A path from the project file's folder; what is no path stays as it is."""
    if not Path(name).exists():
        return name
    path, folder = Path(name).resolve(), root.resolve()
    return os.path.relpath(path, folder) if path.is_relative_to(folder) else str(path)
