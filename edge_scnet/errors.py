"""Every way to fail, and the exit code of each; `cli/guard.py` prints the errors in one place.

    EdgeError                 the base, never raised itself
    ├── TargetError           3  target and project files, instruction sets that this machine lacks
    ├── DataError             4  images, labels, sample lists
    ├── MissingRuntimeError   5  an optional package is not installed
    ├── ArtifactError         6  checkpoints, ONNX files, engines, manifests
    ├── ParityError           7  export parity, fidelity of an engine
    ├── BackendError          8  a runtime refused or failed
    │   └── DeviceError       8  a device of --device that cannot be reached, or lost a job
    └── StorageError          9  unwritable folder, disk full

    BuildInterrupted        130  no fault: a build ended early, and what was to follow needs it all

A gate's verdict (10 to 13) is a finding, not an exception.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process tells its caller; `worst` says which counts among several."""

    meaning: str

    def __new__(cls, code: int, meaning: str = "") -> ExitCode:
        """A code and what it says, as the reference prints it."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    OK = 0, "done; where something was judged, it passed"
    BUG = 1, "a bug of edge-scnet: EDGE_SCNET_TRACEBACK=1 shows where"
    USAGE = 2, "the command line cannot be read: an unknown command or option, or a missing value"
    TARGET = 3, "a target file, a project file, or a machine that is not the target's"
    DATA = 4, "samples or labels that cannot be used, or FP32 is not what --expect says"
    RUNTIME = 5, "an optional package is not installed"
    ARTIFACT = 6, "a checkpoint, an ONNX file, an engine, a manifest or a report cannot be used"
    PARITY = 7, "a graph or an engine does not compute what it was made from"
    BACKEND = 8, "a runtime refused or failed, or a device of --device"
    STORAGE = 9, "a folder cannot be written, or the disk is full"
    ACCURACY = 10, "verdict: more accuracy is lost than the limit allows"
    SPEED = 11, "verdict: not faster than another engine, or slower, larger or hungrier than before"
    INCOMPARABLE = (
        12,
        "verdict: not comparable with the baseline: other weights, samples or settings",
    )
    INCONCLUSIVE = 13, "verdict: not proven either way, as with too few images or too much noise"
    INTERRUPTED = 130, "interrupted (Ctrl-C); what was measured is kept"


_VERDICTS = (ExitCode.ACCURACY, ExitCode.SPEED, ExitCode.INCOMPARABLE, ExitCode.INCONCLUSIVE)


def worst(codes: Iterable[int]) -> int:
    """Returns the exit code that counts among several; 0 where all are 0.

    An error goes before every verdict (10 to 13), and so does a run that was interrupted: whoever
    lets a verdict pass must not let pass what was never judged. Of each the lowest counts.
    """
    faults = [code for code in codes if code]
    return min(faults, key=lambda code: (code in _VERDICTS, code), default=ExitCode.OK)


class EdgeError(Exception):
    """An error with a cause the user can act on.

    Args:
        message: what failed, what was found, and what is allowed.
        hint: a command or a place that helps; None: the default hint of the class.
    """

    exit_code = ExitCode.BUG
    default_hint = "edge-scnet --help"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.default_hint


class TargetError(EdgeError):
    """A target file or a project file, an unknown target, or a machine that is not the target's."""

    exit_code = ExitCode.TARGET
    default_hint = (
        "edge-scnet targets lists the targets; the keys of a target file are those of"
        " targets/cpu.toml"
    )


class DataError(EdgeError):
    """Images, labels or lists of samples that cannot be used."""

    exit_code = ExitCode.DATA
    default_hint = "what samples may be, and how they are read: edge-scnet build --help"


class MissingRuntimeError(EdgeError):
    """An optional package is not installed."""

    exit_code = ExitCode.RUNTIME
    default_hint = "edge-scnet doctor"


class ArtifactError(EdgeError):
    """A checkpoint, ONNX file, engine, manifest or report that cannot be used."""

    exit_code = ExitCode.ARTIFACT
    default_hint = "what MODEL may be, and its options: edge-scnet build --help"


class ParityError(EdgeError):
    """A graph or an engine does not compute what it was made from."""

    exit_code = ExitCode.PARITY
    default_hint = (
        "run it again with EDGE_SCNET_TRACEBACK=1 and report the model's structure: this must not"
        " happen"
    )


class BackendError(EdgeError):
    """A runtime refused or failed."""

    exit_code = ExitCode.BACKEND
    default_hint = "edge-scnet doctor shows what this machine can do"


class DeviceError(BackendError):
    """A device cannot be reached or trusted, is in use, or lost a job."""

    default_hint = "what a device needs: docs/how-to/devices.md"


class StorageError(EdgeError):
    """A folder cannot be written, or the disk is full."""

    exit_code = ExitCode.STORAGE
    default_hint = "choose another folder with --out DIR"


class BuildInterrupted(Exception):
    """A build was interrupted while it was measured, and what was to follow needs all of it."""

    exit_code = ExitCode.INTERRUPTED


def first_line(error: BaseException) -> str:
    """The first line of an exception's text, or the name of its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
