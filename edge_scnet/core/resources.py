"""Where the folders that ship with the package are: in the wheel under `_data`, in a checkout at
its top level.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def bundled(name: str) -> Path:
    """The folder `targets` or `calib_data`."""
    installed = _PACKAGE / "_data" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
