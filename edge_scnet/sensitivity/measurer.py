"""Builds engines and measures them against the all-INT8 one."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_scnet.config.target import TargetSpec
from edge_scnet.graph.model import save
from edge_scnet.graph.work import multiply_adds
from edge_scnet.quantizer.recipe import Prepared, assemble
from edge_scnet.runtimes.base import OpenOptions, Runtime, Session
from edge_scnet.runtimes.in_turn import time_ratio
from edge_scnet.runtimes.shared import runs_of, shards_in, share, tasks_over
from edge_scnet.scale.pool import Pool
from edge_scnet.sensitivity.costs import Costs, TimedLayers, costs_by_time, costs_by_work
from edge_scnet.sensitivity.judged import Judged, SearchImages, judged, judged_runs
from edge_scnet.sensitivity.result import Candidate
from edge_scnet.stats.figures import RatioStats

if TYPE_CHECKING:
    import onnx_ir as ir

# Images that the layers are timed on, and how often: what disturbs one time seldom does the other.
_TIMED_IMAGES, _TIMINGS = 4, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """How the engines of a search are built and opened."""

    runtime: Runtime
    target: TargetSpec
    options: OpenOptions
    # writes a Q/DQ graph as the runtime reads it; None: it reads it as it is
    form: Callable[[ir.Model], ir.Model] | None = None


class Measurer:
    """Builds and measures engines against the all-INT8 one, which stays open beside each.

    It is a context: entered, it builds the all-INT8 engine.
    """

    def __init__(
        self,
        prepared: Prepared,
        images: SearchImages,
        made: Made,
        *,
        pool: Pool | None = None,
    ) -> None:
        """Builds nothing yet.

        Args:
            prepared: what the engines are assembled from.
            pool: whose workers run the images through the engines, which are timed here while no
                worker works; None: this process.
        """
        self._prepared, self._data = prepared, images
        self._made, self._pool, self._count = made, pool, 0
        self._shards: list[tuple[str, int]] | None = None
        self._work = multiply_adds(prepared.model)
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Measurer:
        # one for all: TensorRT's timing cache lies in it, so that layers which are the same in two
        # engines have the same kernels, and the mix alone makes the difference
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self._base_file = self._stack.enter_context(self._file(()))
        self._base = self._stack.enter_context(self._open(self._base_file))
        self._base_has_graph = self._base.record_graph() is None
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def measure(self, keep_float: Iterable[str]) -> Candidate:
        """Builds the engine with these nodes in float, and measures it.

        Raises:
            BackendError: the runtime refuses the graph.
        """
        names = tuple(sorted(keep_float))
        if not names:
            return self._candidate(names, self._judged(self._base_file, self._base), None)
        with self._file(names) as engine, self._open(engine) as session:
            ratio = self._time_ratio(session)
            return self._candidate(names, self._judged(engine, session), ratio)

    def ahead(self, choices: Iterable[Iterable[str]]) -> None:
        """Begins nothing: whatever runs beside an engine that is timed disturbs it."""

    def costs(self) -> Costs:
        """What each module costs in float, by the layers of the all-INT8 engine and the float one.

        By the multiply-adds where the runtime times no layers.

        Raises:
            BackendError: the runtime refuses the float graph.
        """
        placed = assemble(self._prepared).placement
        with self._file(placed.int8_nodes) as engine:
            in_float = self._timed(engine)
        int8 = self._timed(self._base_file)
        if not (int8.times_ms and in_float.times_ms):
            return costs_by_work({name: self._work[name] for name in placed.int8_nodes})
        return costs_by_time(self._prepared.model, placed, int8, in_float)

    def _timed(self, engine: Path) -> TimedLayers:
        """An engine's layers with the shorter of two times: another session than that of ratios."""
        with self._open(engine) as session:
            batch, images = session.input_shape[0], self._data.images
            ends = range(batch, min(len(images), _TIMED_IMAGES * batch) + 1, batch)
            batches = [images[end - batch : end] for end in ends]
            layers, times = session.executed_precisions(), dict[str, float]()
            for _ in range(_TIMINGS):
                for name, ms in session.layer_times(batches).items():
                    times[name] = min(ms, times.get(name, ms))
        return TimedLayers(layers=layers, times_ms=times)

    def _judged(self, engine: Path, session: Session) -> Judged:
        """What the outputs of an engine are worth on the images.

        Args:
            session: of the engine, opened here.
        """
        batch, pool, made = session.input_shape[0], self._pool, self._made
        if pool is None:
            return judged(session.infer, self._data, batch, session.open_outputs)
        if self._shards is None:
            self._shards = shards_in(pool, self._data.images, batch)
        shared = share(pool, made.runtime, engine, made.options, batch=batch)
        found = pool.in_turn(tasks_over(shared, self._shards))
        runs = (run for arrays in found for run in runs_of(arrays))
        figures = judged_runs(runs, self._data, batch, session.open_outputs)
        for file in shared.inputs.values():
            pool.forget(file)
        return figures

    def _candidate(
        self, names: tuple[str, ...], figures: Judged, ratio: RatioStats | None
    ) -> Candidate:
        return Candidate(
            keep_float=names,
            sqnr_db=figures.sqnr_db,
            drop_upper95_pp=figures.drop_upper95_pp,
            within=figures.within,
            time_ratio=ratio.ratio if ratio else 1.0,
            time_low=ratio.low if ratio else None,
            time_high=ratio.high if ratio else None,
            float_work=share_of(names, self._work),
        )

    def _time_ratio(self, session: Session) -> RatioStats:
        """The engine's time over that of the all-INT8 one, as CUDA graphs where both can be."""
        graph = self._base_has_graph and session.record_graph() is None
        return time_ratio(
            session, self._base, self._data.images[: session.input_shape[0]], graph=graph
        )

    @contextlib.contextmanager
    def _file(self, names: tuple[str, ...]) -> Iterator[Path]:
        """An engine with these nodes in float, built."""
        self._count += 1
        made = self._made
        name, model = f"model-{self._count}", assemble(self._prepared, names).model
        source = self._folder / f"{name}.qdq.onnx"
        save(model if made.form is None else made.form(model), source)
        built = made.runtime.build(
            source, made.target, self._folder / f"{name}{made.runtime.suffix}"
        )
        try:
            yield built.engine
        finally:
            for file in (source, *built.files):
                file.unlink(missing_ok=True)

    def _open(self, engine: Path) -> contextlib.AbstractContextManager[Session]:
        return self._made.runtime.open(engine, self._made.options)


def share_of(names: Iterable[str], work: dict[str, int]) -> float:
    """The share of the multiply-adds that modules have."""
    return sum(work[name] for name in names) / (sum(work.values()) or 1)
