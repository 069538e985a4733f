"""All errors of the package and their exit codes; `cli.py` prints them in one place.

    EdgeError                 1   base, never raised itself
    ├── TargetError           3   target files, unknown targets, an instruction set this machine lacks
    ├── DataError             4   images, labels, sample lists
    ├── MissingRuntimeError   5   an optional package is not installed
    ├── ArtifactError         6   checkpoints, ONNX files, engines, manifests
    ├── ParityError           7   export parity, fidelity of an engine
    ├── BackendError          8   a runtime refused or failed
    └── StorageError          9   unwritable folder, disk full

Usage errors exit with 2, an interrupt with 130. A gate's verdict is a finding, not an exception (`gate.py`: 10 to 13).
"""

from __future__ import annotations


class EdgeError(Exception):
    """An error with a cause the user can act on: what failed, what was found, what is allowed, and a hint."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class TargetError(EdgeError):
    exit_code = 3


class DataError(EdgeError):
    exit_code = 4


class MissingRuntimeError(EdgeError):
    exit_code = 5


class ArtifactError(EdgeError):
    exit_code = 6


class ParityError(EdgeError):
    exit_code = 7


class BackendError(EdgeError):
    exit_code = 8


class StorageError(EdgeError):
    exit_code = 9
