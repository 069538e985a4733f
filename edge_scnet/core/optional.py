"""Optional packages: imported by the functions that need them."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
from collections.abc import Iterator
from types import ModuleType

from edge_scnet.core.telemetry import switched_off
from edge_scnet.errors import MissingRuntimeError


def require(module: str, *, extra: str) -> ModuleType:
    """Imports an optional package, without telemetry.

    Raises:
        MissingRuntimeError: it is not installed; the hint names the extra that brings it.
    """
    try:
        with switched_off(), _without_backend():
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


@contextlib.contextmanager
def _without_backend() -> Iterator[None]:
    """Hides the backend that matplotlib would refuse at its import, where it lacks that one.

    Figures that are written to files need none.
    """
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        yield
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
