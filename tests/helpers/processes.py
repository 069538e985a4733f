"""Functions for processes of their own."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path


def crash() -> None:
    """Ends the process as a fault of native code does."""
    os.kill(os.getpid(), signal.SIGSEGV)


def not_started() -> None:
    """Answers as a builder whose TensorRT cannot start."""
    job = json.loads(sys.stdin.read())
    error = "CUDA initialization failure with error: 35"
    answer = {"made": None, "error": error, "at_start": True}
    Path(job["answer"]).write_text(json.dumps(answer), encoding="utf-8")


def report(fd: int, number: int) -> None:
    """Writes the number, its process group and this file's path to an open file."""
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(f"{number} {os.getpgid(0)} {Path(__file__).absolute()}")


def telemetry(fd: int) -> None:
    """Writes whether the runtimes' telemetry is off."""
    hidden = sys.modules.get("openvino_telemetry", sys) is None
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(f"{os.environ.get('ORT_DISABLE_TELEMETRY')} {'hidden' if hidden else 'there'}")
