"""Where the folders are that ship with the package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def bundled(name: str) -> Path:
    """The folder `targets` or `calib_data`: under `_data` in a wheel, at the top of a checkout."""
    package = Path(str(files("edge_scnet")))
    installed = package / "_data" / name
    return installed if installed.is_dir() else package.parent / name
