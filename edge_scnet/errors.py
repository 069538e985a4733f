"""All errors of the package and their exit codes; `cli.py` prints them in one place.

    EdgeError                 1   base, never raised itself ├── TargetError           3   target
    files, unknown targets, an instruction set this machine lacks ├── DataError             4
    images, labels, sample lists ├── MissingRuntimeError   5   an optional package is not installed
    ├── ArtifactError         6   checkpoints, ONNX files, engines, manifests ├── ParityError
    7   export parity, fidelity of an engine ├── BackendError          8   a runtime refused or
    failed └── StorageError          9   unwritable folder, disk full

Usage errors exit with 2, an interrupt with 130. A gate's verdict is a finding, not an exception
(`gate.py`: 10 to 13).
"""

from __future__ import annotations

INTERRUPTED_EXIT_CODE = 130


class EdgeError(Exception):
    """An error with a cause the user can act on: what failed, what was found, what is allowed, and
    a hint.

    A hint fits its case; where a raise gives none, the class's own says where to look.
    """

    exit_code = 1
    default_hint = "edge-scnet --help"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.default_hint


class TargetError(EdgeError):
    exit_code = 3
    default_hint = (
        "edge-scnet targets lists the targets; the keys of a target file are those of"
        " targets/cpu.toml"
    )


class DataError(EdgeError):
    exit_code = 4
    default_hint = (
        "what a folder of images may hold: calib_data/README.md; its options: edge-scnet build"
        " --help"
    )


class MissingRuntimeError(EdgeError):
    exit_code = 5
    default_hint = "edge-scnet doctor"


class ArtifactError(EdgeError):
    exit_code = 6
    default_hint = "what MODEL may be, and its options: edge-scnet build --help"


class ParityError(EdgeError):
    exit_code = 7
    default_hint = (
        "run it again with EDGE_SCNET_TRACEBACK=1 and report the model's structure: this must not"
        " happen"
    )


class BackendError(EdgeError):
    exit_code = 8
    default_hint = "edge-scnet doctor shows what this machine can do"


class StorageError(EdgeError):
    exit_code = 9
    default_hint = "choose another folder with --out DIR"
