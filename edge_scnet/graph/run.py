"""Runs graphs in ONNX Runtime.

With its optimisations off, the results are the reference that parity and fidelity are judged by.
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.core.feeds import Batch, feed_of
from edge_scnet.core.native_path import utf8_path
from edge_scnet.core.optional import require
from edge_scnet.errors import StorageError
from edge_scnet.graph.counting import counted_outputs
from edge_scnet.graph.model import batch_of, expose
from edge_scnet.machine.linux import usable_cores
from edge_scnet.machine.memory import return_freed_memory
from edge_scnet.machine.one_thread import is_wanted as one_thread_is_wanted

if TYPE_CHECKING:
    import onnx_ir as ir

# Serialised in memory, a graph's weights are there three times; by way of a file once.
_IN_MEMORY_BYTES = 32_000_000


def run_onnx(
    model: ir.Model | Path,
    batches: Sequence[Batch],
    outputs: Sequence[str] | None = None,
    *,
    optimize: bool = False,
) -> list[list[np.ndarray]]:
    """Runs a graph as it is written, with optimisations off.

    Args:
        batches: as `core.feeds` has them, of the graph's batch.
        outputs: names; all outputs where it is None.
        optimize: whether ONNX Runtime may rewrite the graph all the same.

    Returns:
        The outputs, by batch.
    """
    ort = require("onnxruntime", extra="quantize")
    session = ort_session(ort, model, optimize=optimize)
    name = session.get_inputs()[0].name
    wanted = list(outputs) if outputs else None
    return [session.run(wanted, feed_of(batch, name)) for batch in batches]


def run_images(model: ir.Model, images: np.ndarray) -> list[np.ndarray]:
    """Runs images through a graph as it is written, as `run_onnx`.

    Args:
        images: a batch of any number of images; what is more than a multiple of the graph's batch
            is left out.

    Returns:
        By output: the images along the first axis.
    """
    batch = batch_of(model)
    ends = range(batch, len(images) + 1, batch)
    return joined(run_onnx(model, [images[end - batch : end] for end in ends]))


def joined(runs: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """Returns the outputs of several runs, one behind the other."""
    return [np.concatenate(list(map(np.atleast_1d, parts))) for parts in zip(*runs, strict=True)]


class Observer:
    """Runs a graph and gives tensors of its inside, image by image."""

    def __init__(
        self, model: ir.Model, names: Sequence[str], *, optimize: bool = True, at_once: int = 1
    ) -> None:
        """Loads the graph.

        `model` is not kept, so that the caller can let go of its copy of the weights.

        Args:
            names: the tensors to give; the graph's inputs may be among them.
            optimize: whether ONNX Runtime may rewrite the graph, which is faster.
            at_once: runs on their way while the caller works on the last one. As many as there are
                cores, each on one of them, is fastest; every one takes the memory of its
                activations.
        """
        ort = require("onnxruntime", extra="quantize")
        self._inputs, self._names = [str(v.name) for v in model.graph.inputs], tuple(names)
        self._input, self._batch = self._inputs[0], batch_of(model)
        self._fetched = [name for name in dict.fromkeys(names) if name not in self._inputs]
        # one image alone: all of it is the image's
        self._counted = frozenset(counted_outputs(model.graph))
        observed = expose(model, self._fetched)
        at_once = 1 if one_thread_is_wanted() else at_once
        self._at_once = at_once
        self._session = ort_session(
            ort,
            observed,
            optimize=optimize,
            threads=max(usable_cores() // at_once, 1),
            spinning=False,  # the caller works on these cores too
        )
        self._options = ort.RunOptions()
        self._options.only_execute_path_to_fetches = True

    def run(self, images: Iterable[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """Yields the named tensors of every image, by name and without the batch axis.

        Args:
            images: batches N x C x H x W of any N; the graph's own batch is filled up where it is
                larger.
        """
        started: deque[tuple[np.ndarray, Future[list[np.ndarray]]]] = deque()
        with ThreadPoolExecutor(self._at_once) as pool:
            try:
                for group in _groups(images, self._batch):
                    started.append((group, pool.submit(self._run, group)))
                    if len(started) > self._at_once:
                        yield from self._rows(*started.popleft())
                while started:
                    yield from self._rows(*started.popleft())
            finally:
                pool.shutdown(cancel_futures=True)

    def _run(self, group: np.ndarray) -> list[np.ndarray]:
        # the last group of a graph with a larger static batch is filled up with its own images, and
        # their rows left out
        data = group[np.arange(self._batch) % len(group)]
        if not self._fetched:
            return []  # to the runtime no names mean all outputs
        values: list[np.ndarray] = self._session.run(
            self._fetched, feed_of(data, self._input), self._options
        )
        return values

    def _rows(
        self, group: np.ndarray, future: Future[list[np.ndarray]]
    ) -> Iterator[dict[str, np.ndarray]]:
        values = future.result()
        for i in range(len(group)):
            rows = {
                n: v[i] if v.shape[:1] == (self._batch,) and n not in self._counted else v
                for n, v in zip(self._fetched, values, strict=True)
            }
            row = feed_of(group[i : i + 1], self._input)
            rows |= {name: row[name][0] for name in self._inputs if name in self._names}
            yield rows


def _groups(images: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Chunks of any length as groups of `size` images; the last may be shorter."""
    rest: list[np.ndarray] = []
    for chunk in images:
        rest += list(chunk)
        while len(rest) >= size:
            yield np.stack(rest[:size])
            rest = rest[size:]
    if rest:
        yield np.stack(rest)


def ort_session(
    ort: Any,
    model: ir.Model | Path,
    *,
    optimize: bool = False,
    threads: int = 0,
    spinning: bool = True,
) -> Any:
    """Opens a session of ONNX Runtime.

    Args:
        ort: the module onnxruntime.
        threads: 0 leaves their number to ONNX Runtime.
        spinning: whether threads wait for work in a loop, which takes a core's time.

    Raises:
        StorageError: a large graph in memory goes by way of a file, and that cannot be written.
    """
    options = ort.SessionOptions()
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = 1 if one_thread_is_wanted() else threads
    # a planned block for every run at once takes twice the memory on SCNet-50, and saves no time
    options.enable_mem_pattern = False
    if not spinning:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Q/DQ stay what they are: fused into integer kernels they would saturate on CPUs without VNNI,
    # and the codes of weights would not be folded
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    providers = ["CPUExecutionProvider"]
    if isinstance(model, Path):
        with utf8_path(model) as name:
            return ort.InferenceSession(name, options, providers=providers)
    ir_module = require("onnx_ir", extra="quantize")
    weights = sum(
        v.const_value.nbytes for v in model.graph.initializers.values() if v.const_value is not None
    )
    if weights < _IN_MEMORY_BYTES:
        return ort.InferenceSession(
            ir_module.serde.serialize_model(model).SerializeToString(), options, providers=providers
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        try:
            ir_module.save(model, path, external_data="weights.bin")
        except OSError as error:
            raise StorageError(
                f"cannot write {weights / 1e6:,.0f} MB to {folder}: {error.strerror or error}",
                hint="free space there, or name another folder in TMPDIR",
            ) from error
        return_freed_memory()  # of writing, before the runtime takes as much again
        session = ort.InferenceSession(str(path), options, providers=providers)
    return_freed_memory()
    return session
