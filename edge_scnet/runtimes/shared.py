"""Engines as inputs of tasks, and the task that runs one over a shard of samples.

What is judged must be the engine that is timed: a worker runs it where it has the processor, the
limit of instruction sets and the runtime's version of the machine that sends it, and refuses it
elsewhere. It computes in one thread, and beside the others of its machine.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_scnet.core.optional import require
from edge_scnet.errors import BackendError, EdgeError, TargetError
from edge_scnet.graph.external import external_files
from edge_scnet.graph.shared import name_of
from edge_scnet.machine import environment
from edge_scnet.runtimes import runtime_named, usable_runtime
from edge_scnet.runtimes.base import OpenOptions, Runtime, Session
from edge_scnet.scale.identity import worker_name
from edge_scnet.scale.pool import Pool
from edge_scnet.scale.shards import as_bytes, from_bytes, shard_length
from edge_scnet.scale.store import Arrays
from edge_scnet.scale.task import Inputs, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedEngine:
    """An engine that workers run."""

    # images that it takes at once
    batch: int
    # sha256 of its files, by the names that tasks know them by
    inputs: Mapping[str, str]
    # how a worker opens it, and what it must be; plain JSON
    settings: Mapping[str, Any]


def files_of(path: Path) -> list[Path]:
    """The files that an engine is made of, the one to open first.

    Raises:
        ArtifactError: a file that an ONNX file keeps its weights in is missing, or elsewhere.
    """
    if path.suffix.lower() == ".onnx":
        onnx = require("onnx", extra="cpu")
        proto = onnx.load(str(path), load_external_data=False)
        return [path, *external_files(proto, path, what=str(path))]
    weights = path.with_suffix(".bin")
    return [path, weights] if path.suffix.lower() == ".xml" and weights.is_file() else [path]


def is_shareable(runtime: Runtime) -> bool:
    """Whether its engines run on any machine like this one: plans belong to one GPU."""
    return not runtime.takes_cuda_graph


def check_shareable(engines: Mapping[Path, str]) -> None:
    """Refuses engines that no other process may run.

    Args:
        engines: the name of the runtime by the engine's file.

    Raises:
        TargetError: one is a plan, which belongs to the GPU that it was built on.
    """
    for path, name in engines.items():
        runtime = runtime_named(name)
        if not is_shareable(runtime):
            raise TargetError(
                f"{path} is a plan of {runtime.title}: it runs on the GPU that it was built on, and"
                " no worker can evaluate it",
                hint="leave --workers, --scheduler and --store out: edge-scnet profile"
                f" {shlex.quote(str(path))}",
            )


def check_workers(pool: Pool, runtimes: Sequence[str]) -> None:
    """Has a worker say whether it can run engines as they run here, before anything is timed.

    Every worker is asked again when it opens one.

    Raises:
        BackendError: it is another machine. MissingRuntimeError: it lacks a runtime.
    """
    for name in dict.fromkeys(runtimes):
        settings = {"runtime": name, "machine": machine_for(runtime_named(name))}
        pool.run([Task(work=look_at, inputs={}, settings=settings, keep=False)])


def share(
    pool: Pool, runtime: Runtime, path: Path, options: OpenOptions, *, batch: int
) -> SharedEngine:
    """Gives an engine to the workers of a pool.

    Args:
        options: how it is opened here.
        batch: images that it takes at once.
    """
    files = files_of(path)
    folder = path.parent.resolve()
    # of ONNX files others lie in folders beside it
    beside = [str((file.parent.resolve() / file.name).relative_to(folder)) for file in files[1:]]
    return SharedEngine(
        batch=batch,
        inputs={_file_input(i): pool.blob(file.read_bytes()) for i, file in enumerate(files)},
        settings={
            "runtime": runtime.name,
            "files": [path.name, *beside],
            "precision": options.precision,
            "batch": options.batch,
            "shapes": [[name, [*shape]] for name, shape in options.shapes],
            "machine": machine_for(runtime),
        },
    )


def shards_in(pool: Pool, samples: np.ndarray, batch: int) -> list[tuple[str, int]]:
    """Gives samples to the workers of a pool: the hash of each shard, and how many it has.

    Args:
        batch: that no shard may cut.
    """
    length = shard_length(samples[:1].nbytes, batch)
    parts = [samples[start : start + length] for start in range(0, len(samples), length)]
    return [(pool.blob(as_bytes(part)), len(part)) for part in parts]


def tasks_over(engine: SharedEngine, shards: Iterable[tuple[str, int]]) -> list[Task]:
    """A task for each shard.

    Args:
        shards: of `shards_in`, whole batches of the engine's.
    """
    return [
        Task(
            work=run_engine,
            inputs={**engine.inputs, "samples": shard},
            settings=engine.settings,
            images=count,
        )
        for shard, count in shards
    ]


def runs_of(arrays: Arrays) -> list[list[np.ndarray]]:
    """The outputs of each batch, from what `run_engine` gave."""
    outputs = 1 + max(int(name.partition(".")[0]) for name in arrays)
    columns = [
        list(arrays[str(output)])
        if str(output) in arrays
        else [arrays[name_of(output, i)] for i in range(_count(arrays, output))]
        for output in range(outputs)
    ]
    return [list(row) for row in zip(*columns, strict=True)]


def machine_for(runtime: Runtime) -> dict[str, str]:
    """What a machine must have in common with this one to run an engine as it runs here.

    The instruction sets alone do not decide how a runtime cuts sums: caches do too.
    """
    found = environment.collect()
    return {
        **runtime.versions(),
        "the processor": found.cpu_model,
        "instruction sets": " ".join((found.architecture, *found.features)),
        "ONEDNN_MAX_CPU_ISA": found.onednn_max_cpu_isa or "not set",
    }


# --- what workers do


def look_at(inputs: Inputs, settings: Mapping[str, Any]) -> Arrays:
    """Nothing, where this worker can run engines of a runtime as the machine that asks does.

    Args:
        settings: "runtime" and "machine", which is `machine_for` there.
    """
    _check_here(settings)
    return {}


def run_engine(inputs: Inputs, settings: Mapping[str, Any]) -> Arrays:
    """Runs a shard through an engine, batch by batch.

    Args:
        inputs: "samples", whole batches; and the engine's files, as `share` names them.
        settings: those of `SharedEngine`.

    Returns:
        Each output of all batches by its number; where they differ in shape, of each batch by
        `name_of` the output and the batch. For `runs_of`.
    """
    names = tuple(map(_file_input, range(len(settings["files"]))))
    what = f"engine {json.dumps(settings, sort_keys=True)}"
    engine = inputs.kept(names, what, lambda: _OpenedEngine(inputs, settings))
    try:
        rows = engine.run(from_bytes(inputs["samples"]))
    except EdgeError:
        raise
    except Exception as error:  # the runtime's own
        name = settings["files"][0]
        raise BackendError(f"{name}: {type(error).__name__}: {error}") from error
    found: Arrays = {}
    for output, parts in enumerate(zip(*rows, strict=True)):
        if len({(part.shape, part.dtype) for part in parts}) == 1:
            found[str(output)] = np.stack(parts)
        else:
            found |= {name_of(output, i): part for i, part in enumerate(parts)}
    return found


class _OpenedEngine:
    """An engine that a worker keeps open for tasks to come."""

    def __init__(self, inputs: Inputs, settings: Mapping[str, Any]) -> None:
        runtime = _check_here(settings)
        shapes = tuple((name, tuple(shape)) for name, shape in settings["shapes"])
        options = OpenOptions(
            precision=settings["precision"],
            mode="shared",
            threads=1,
            batch=settings["batch"],
            shapes=shapes,
        )
        self._stack = contextlib.ExitStack()
        # files that are mapped into memory may go once they are open
        with tempfile.TemporaryDirectory() as folder:
            for number, name in enumerate(settings["files"]):
                file = Path(folder, name)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(inputs[_file_input(number)])
            engine = Path(folder, settings["files"][0])
            self._session: Session = self._stack.enter_context(runtime.open(engine, options))
        # a worker may have several threads, and a session computes one inference at a time
        self._lock = threading.Lock()

    def run(self, samples: np.ndarray) -> list[list[np.ndarray]]:
        """The outputs of each batch."""
        batch = self._session.input_shape[0]
        with self._lock:
            return [
                # views that the next inference overwrites
                [np.array(output) for output in self._session.infer(samples[start : start + batch])]
                for start in range(0, len(samples), batch)
            ]


def _check_here(settings: Mapping[str, Any]) -> Runtime:
    """The runtime, where this worker is a machine like the one that asks.

    Raises:
        BackendError: it is another. MissingRuntimeError: it lacks the runtime.
    """
    runtime, wanted = usable_runtime(settings["runtime"]), settings["machine"]
    own = machine_for(runtime)
    differences = [
        f"{name}: {own.get(name, 'unknown')} there, {wanted.get(name, 'unknown')} here"
        for name in dict.fromkeys([*wanted, *own])
        if own.get(name) != wanted.get(name)
    ]
    if differences:
        raise BackendError(
            f"the worker {worker_name()} would evaluate another engine than the one that is timed:"
            f" {'; '.join(differences)}",
            hint="start workers on machines like the one that times it, or time it on one like"
            " theirs; or leave --workers, --scheduler and --store out",
        )
    return runtime


def _file_input(number: int) -> str:
    """The name that tasks know a file of an engine by."""
    return f"file {number}"


def _count(arrays: Arrays, output: int) -> int:
    return sum(name.startswith(f"{output}.") for name in arrays)
