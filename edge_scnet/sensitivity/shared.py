"""The accuracy half of a search by many workers: the noise of modules, and simulated mixes.

A worker makes the Q/DQ graph of a mix, workers run shards of the images through it, and the outputs
are judged here, in their order. Graphs of mixes that may be next are made ahead, so that no worker
waits for the one that makes the present mix. Of a network that is too much work for the correction
of biases by walking, where making a graph takes less than moving it, each worker makes it for
itself. Times are never measured here.

Every graph computes in one thread of a worker. `Simulator` and `noise.measure` let ONNX Runtime use
all cores, and may differ from this in the last digits.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from edge_scnet.graph.counting import are_counted
from edge_scnet.graph.model import batch_of
from edge_scnet.graph.shared import (
    graph_bytes,
    graph_from,
    in_order,
    outputs_of,
    run_batches,
    session_of,
)
from edge_scnet.graph.work import multiply_adds
from edge_scnet.quantizer.bias_walk import can_walk
from edge_scnet.quantizer.recipe import Prepared, assemble
from edge_scnet.runtimes.shared import shards_in
from edge_scnet.scale.pool import Batch, Pool
from edge_scnet.scale.shards import as_bytes, from_bytes
from edge_scnet.scale.store import Arrays
from edge_scnet.scale.task import Inputs, Task, Work
from edge_scnet.sensitivity.costs import Costs, costs_by_work
from edge_scnet.sensitivity.judged import SearchImages, judged_runs
from edge_scnet.sensitivity.noise import (
    Sensitivities,
    noise_of_all,
    noise_of_each,
    sensitivities,
    whole_batches,
)
from edge_scnet.sensitivity.result import Candidate
from edge_scnet.sensitivity.simulated import simulated_candidate

# Modules whose noise one task measures; each task runs the float graph once more.
_MODULES = 4


def measure_by(pool: Pool, prepared: Prepared, images: np.ndarray) -> Sensitivities:
    """Each module's part in the noise of the all-INT8 network, as `noise.measure`."""
    inputs = {"prepared": pool.blob(encoded(prepared)), "samples": pool.blob(as_bytes(images))}
    (whole,) = pool.run([Task(work=noise_of_whole, inputs=inputs)])
    nodes = whole["nodes"].tolist()
    tasks = [
        Task(
            work=noise_of_some,
            inputs=inputs,
            settings={"nodes": nodes, "wanted": nodes[start : start + _MODULES]},
        )
        for start in range(0, len(nodes), _MODULES)
    ]
    alone: dict[str, float] = {}
    for task, found in zip(tasks, pool.run(tasks, "noise"), strict=True):
        alone |= zip(task.settings["wanted"], found["noise"].tolist(), strict=True)
    return sensitivities(
        float(whole["noise"]),
        alone,
        multiply_adds(prepared.model),
        images=len(whole_batches(prepared.model, images)),
    )


def outputs_by(
    pool: Pool, graph: str, samples: np.ndarray, batch: int, names: tuple[str, Sequence[str]]
) -> list[list[np.ndarray]]:
    """The outputs of a graph for all samples, by batch.

    Args:
        graph: the hash of its blob.
        names: of the first input, and of the outputs.
    """
    settings = _settings(names[0], names[1], batch)
    tasks = _over(run_batches, {"graph": graph}, shards_in(pool, samples, batch), settings)
    return list(in_order(pool.run(tasks), len(names[1])))


class SharedSimulator:
    """Judges Q/DQ graphs that workers run, as `Simulator` does those that it runs itself."""

    def __init__(self, prepared: Prepared, images: SearchImages, pool: Pool) -> None:
        """Runs nothing yet."""
        self._data, self._pool = images, pool
        self._work = multiply_adds(prepared.model)
        graph = prepared.model.graph
        self._is_open = are_counted(graph)
        outputs = [str(value.name) for value in graph.outputs]
        self._settings = _settings(
            str(graph.inputs[0].name),
            # classes are the first output's; a task judges all
            outputs if images.task else outputs[:1],
            batch_of(prepared.model),
        )
        self._prepared = pool.blob(encoded(prepared))
        self._shards = shards_in(pool, images.images, self._settings["batch"])
        self._in_place = not can_walk(prepared.model, len(prepared.judged))
        self._made: dict[tuple[str, ...], Batch] = {}
        self._coming: list[tuple[str, ...]] = []
        # images that graphs have run on, and who is told how many
        self.images_run = 0
        self.told_images: Callable[[int], None] = lambda count: None

    def __enter__(self) -> SharedSimulator:
        return self

    def __exit__(self, *_: object) -> None:
        for batch in self._made.values():
            self._pool.give_up(batch)

    def ahead(self, choices: Iterable[Iterable[str]]) -> None:
        """Is told what is likely measured next, in this order."""
        self._coming = [tuple(sorted(names)) for names in choices]

    def measure(self, keep_float: Iterable[str]) -> Candidate:
        """Simulates the graph with these nodes in float; its times are not known."""
        names = tuple(sorted(keep_float))
        graph = None if self._in_place else self._graph(names)
        work = run_mix if graph is None else run_batches
        inputs = {"prepared": self._prepared} if graph is None else {"graph": graph}
        settings = {"keep_float": names} if graph is None else {}
        tasks = _over(work, inputs, self._shards, {**settings, **self._settings})
        before = self.images_run
        found = self._pool.finish(self._pool.start(tasks), ran=partial(self._ran, before))
        runs = in_order(found, len(self._settings["outputs"]))
        figures = judged_runs(runs, self._data, self._settings["batch"], self._is_open)
        if graph is not None:
            self._pool.forget(graph)
        return simulated_candidate(names, figures, self._work)

    def costs(self) -> Costs:
        """Each module's share of the multiply-adds."""
        return costs_by_work(self._work)

    def _ran(self, before: int, count: int) -> None:
        self.images_run = before + count
        self.told_images(self.images_run)

    def _graph(self, names: tuple[str, ...]) -> str:
        """The hash of the graph of a mix, which a worker makes."""
        self._make(names)
        # beside the graph of this mix: a worker alone would make it while the others wait
        self._make_ahead(names)
        (made,) = self._pool.finish(self._made.pop(names))
        return self._pool.blob(made["graph"].tobytes())

    def _make(self, names: tuple[str, ...]) -> None:
        """Has a worker make the graph of a mix."""
        if names not in self._made:
            task = Task(
                work=make_graph,
                inputs={"prepared": self._prepared},
                settings={"keep_float": names},
                keep=False,
            )
            self._made[names] = self._pool.start([task])

    def _make_ahead(self, names: tuple[str, ...]) -> None:
        """Has graphs made of what comes behind a mix, as many as there are workers."""
        coming: list[tuple[str, ...]] = []
        if names in self._coming:
            at = self._coming.index(names) + 1
            coming = self._coming[at : at + self._pool.width]
        for other in [other for other in self._made if other not in (names, *coming)]:
            self._pool.give_up(self._made.pop(other))
        for other in coming:
            self._make(other)


def _settings(first: str, outputs: Sequence[str], batch: int) -> dict[str, Any]:
    """What `run_batches` is told of a graph."""
    return {"first": first, "outputs": [*outputs], "batch": batch}


def _over(
    work: Work,
    inputs: Mapping[str, str],
    shards: Sequence[tuple[str, int]],
    settings: Mapping[str, Any],
) -> list[Task]:
    """A task for each shard."""
    return [
        Task(work=work, inputs={**inputs, "samples": shard}, settings=settings, images=count)
        for shard, count in shards
    ]


# --- what workers do


def encoded(prepared: Prepared) -> bytes:
    """A prepared graph as an input of tasks.

    It is a pickle: a worker reads it where its hash is the one that came with the task, so that
    nobody who can write into a shared folder can put another in its place.
    """
    parts = (
        graph_bytes(prepared.model),
        prepared.ranges,
        prepared.scheme,
        prepared.layers,
        prepared.judged,
    )
    return pickle.dumps(parts, protocol=5)


def decoded(data: bytes) -> Prepared:
    """The prepared graph of `encoded`."""
    graph, ranges, scheme, layers, judged = pickle.loads(data)
    return Prepared(
        model=graph_from(graph), ranges=ranges, scheme=scheme, layers=layers, judged=judged
    )


def make_graph(inputs: Inputs, settings: Mapping[str, Any]) -> Arrays:
    """The Q/DQ graph with some nodes in float, as the bytes of its ONNX file."""
    prepared = inputs.made(("prepared",), decoded)
    made = graph_bytes(assemble(prepared, settings["keep_float"]).model)
    return {"graph": np.frombuffer(made, np.uint8)}


def run_mix(inputs: Inputs, settings: Mapping[str, Any]) -> Arrays:
    """Runs a shard through the Q/DQ graph with some nodes in float, as `run_batches`.

    Args:
        inputs: "prepared" and "samples".
        settings: those of `run_batches`, and "keep_float", the nodes in float.
    """
    names = settings["keep_float"]

    def opened() -> Any:
        prepared = inputs.made(("prepared",), decoded)
        return session_of(assemble(prepared, names).model)

    session = inputs.kept(("prepared",), f"mix {sorted(names)}", opened)
    return outputs_of(session, inputs, settings)


def noise_of_whole(inputs: Inputs, settings: Mapping[str, Any]) -> Arrays:
    """The noise of the all-INT8 network, and its modules; there are no settings."""
    _, _, _, noise, nodes = inputs.made(("prepared", "samples"), _references)
    return {"noise": np.float64(noise), "nodes": np.array(nodes, dtype=np.str_)}


def noise_of_some(inputs: Inputs, settings: Mapping[str, Any]) -> Arrays:
    """The noise of each of some modules alone, in their order."""
    prepared, images, reference, _, nodes = inputs.made(("prepared", "samples"), _references)
    alone = dict(noise_of_each(prepared, images, reference, nodes, wanted=settings["wanted"]))
    return {"noise": np.array([alone[name] for name in settings["wanted"]], np.float64)}


def _references(
    prepared_data: bytes, samples: bytes
) -> tuple[Prepared, np.ndarray, list[np.ndarray], float, tuple[str, ...]]:
    """What the noise of modules is measured against."""
    prepared, images = decoded(prepared_data), from_bytes(samples)
    return prepared, images, *noise_of_all(prepared, images)
