"""Tasks whose workers do what a test needs, and pools that compute them."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np

from edge_scnet.core.events import Silent
from edge_scnet.errors import DataError
from edge_scnet.scale.executors import Workers
from edge_scnet.scale.pool import Pool, open_pool
from edge_scnet.scale.store import Arrays
from edge_scnet.scale.task import Inputs, Task


class Told(Silent):
    """Keeps what is told."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.shares: list[float] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def progress(self, what: str, share: float, count: int = 0, unit: str = "") -> None:
        self.shares.append(share)


def times(inputs: Inputs, settings: Mapping[str, Any]) -> Arrays:
    """An input's numbers times a factor; beside a file, which counts how often it was computed."""
    if "counted" in settings:
        with Path(settings["counted"]).open("a") as file:
            file.write("x")
    return {"y": np.frombuffer(inputs["x"], np.uint8).astype(np.int64) * settings.get("by", 2)}


def nothing(inputs: Inputs, settings: Mapping[str, Any]) -> Arrays:
    """Computes nothing."""
    return {}


def dies_once(inputs: Inputs, settings: Mapping[str, Any]) -> Arrays:
    """As `times`; the first time the process is killed in the middle."""
    mark = Path(settings["mark"])
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return times(inputs, settings)


def dies(inputs: Inputs, settings: Mapping[str, Any]) -> Arrays:
    """The process is killed in the middle."""
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def refuses(inputs: Inputs, settings: Mapping[str, Any]) -> Arrays:
    """Raises an error with a hint."""
    raise DataError("the sample is odd", hint="look at it")


def sleeps(inputs: Inputs, settings: Mapping[str, Any]) -> Arrays:
    """As `times`, after some seconds."""
    time.sleep(settings["seconds"])
    return times(inputs, settings)


def task_of(pool: Pool, data: bytes, work: Any = times, **settings: Any) -> Task:
    """A task with one input, which counts as one image."""
    return Task(work=work, inputs={"x": pool.blob(data)}, settings=settings, images=1)


@contextlib.contextmanager
def pool_of(
    executor: int | str | Executor, kept: Path, store: Path | None = None
) -> Iterator[tuple[Pool, Told]]:
    """A pool of so many processes, or of an executor, and what it tells."""
    events = Told()
    if isinstance(executor, int):
        workers = Workers(processes=executor, store=store)
    else:
        workers = Workers(scheduler=executor, store=store)
    with open_pool(workers, kept, events) as pool:
        yield pool, events


def waits_for(inputs: Inputs, settings: Mapping[str, Any]) -> Arrays:
    """As `times`, when a file is there, and after ten seconds without."""
    until = time.monotonic() + 10
    while not (there := Path(settings["file"]).exists()) and time.monotonic() < until:
        time.sleep(0.01)
    return {**times(inputs, settings), "there": np.bool_(there)}


def touches(inputs: Inputs, settings: Mapping[str, Any]) -> Arrays:
    """As `times`, and makes a file."""
    Path(settings["file"]).touch()
    return times(inputs, settings)
