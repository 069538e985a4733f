"""Optional packages: imported by the functions that need them."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from edge_scnet.core.telemetry import switched_off
from edge_scnet.errors import MissingRuntimeError


def require(module: str, *, extra: str) -> ModuleType:
    """Imports an optional package, without telemetry.

    Raises:
        MissingRuntimeError: it is not installed; the hint names the extra that brings it.
    """
    try:
        with switched_off():
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise MissingRuntimeError(
            f"the package {module!r} is not installed", hint=f"pip install 'edge-scnet[{extra}]'"
        ) from error


def installed(module: str) -> bool:
    """Whether a package can be imported."""
    return importlib.util.find_spec(module) is not None
