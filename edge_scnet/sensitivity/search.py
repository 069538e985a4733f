"""Mixed precision: the fastest mix of INT8 and float that keeps an accuracy limit, both measured on compiled engines.

Order of work: the modules' parts in the noise (`quantize/sensitivity.py`, simulated); one engine for each of those that matter,
for its cost in time; the best by noise over cost, as few as keep the limit; then one by one left out or exchanged
while that is faster. Every engine that was measured is on disk at once, so that a search that ends early, or is interrupted,
goes on from there and gives the best so far.

Times are ratios to the all-INT8 engine, in blocks taken in turn. What is not INT8 runs in the precision the engine is opened
with (FP32 for OpenVINO here).
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_scnet.config.target import TargetSpec
from edge_scnet.core.manifest import write_atomic
from edge_scnet.errors import ArtifactError
from edge_scnet.export.from_onnx import save
from edge_scnet.quantize.recipe import Prepared, assemble
from edge_scnet.runtimes.base import Backend, OpenOptions, Session
from edge_scnet.sensitivity import noise as sensitivity
from edge_scnet.sensitivity.noise import ModuleNoise, Sensitivities, relative_noise
from edge_scnet.stats.accuracy import accuracy_stats, paired_ratio

FORMAT = 1
_ROUNDS = 15
_BLOCK_S = 0.03
# Modules below this share of the noise are not worth an engine of their own.
_LEAST_SHARE = 0.01
_MOST_SINGLES = 24
# A cost below what the timing resolves must not make a module look free.
_LEAST_COST = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What a mix must keep, on the images of the search; the given ones all."""

    min_sqnr_db: float | None = None
    min_gain_db: float | None = None  # of SQNR over the all-INT8 engine
    max_drop_pp: float | None = None  # upper end of the one-sided 95 % interval; without labels of the images that change class


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One engine, measured. Its SQNR is None where it computes what float computes."""

    keep_float: tuple[str, ...]
    sqnr_db: float | None
    drop_upper95_pp: float | None
    time_ratio: float  # to the all-INT8 engine, above 1: slower
    time_low: float | None
    time_high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """What was found. `chosen` is None where nothing measured keeps the limit."""

    sensitivities: Sensitivities
    candidates: tuple[Candidate, ...]  # the all-INT8 engine first
    chosen: Candidate | None
    seconds: float
    finished: bool  # within the budget

    @property
    def pareto(self) -> tuple[Candidate, ...]:
        """The engines than which none is both faster and closer to float, fastest first."""
        best, found = -np.inf, []
        for candidate in sorted(self.candidates, key=lambda c: (c.time_ratio, -_db(c))):
            if _db(candidate) > best:
                best = _db(candidate)
                found.append(candidate)
        return tuple(found)


class Measurer:
    """Builds and measures engines against the all-INT8 one, which stays open beside each."""

    def __init__(
        self, prepared: Prepared, *, backend: Backend, target: TargetSpec, options: OpenOptions, images: np.ndarray,
        labels: np.ndarray | None, reference: np.ndarray,
    ) -> None:  # fmt: skip
        self._prepared, self._backend, self._target, self._options = prepared, backend, target, options
        self._images, self._labels, self._reference = images, labels, reference
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Measurer:
        self._base = self._stack.enter_context(self._engine(()))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def measure(self, keep_float: Iterable[str]) -> Candidate:
        """Builds the engine with these nodes in float, and measures it."""
        names = tuple(sorted(keep_float))
        if not names:
            return self._rate(names, self._base, None)
        with self._engine(names) as session:
            return self._rate(names, session, self._times(session))

    def _rate(self, names: tuple[str, ...], session: Session, blocks: tuple[Any, Any] | None) -> Candidate:
        outputs = self._outputs(session)
        noise = relative_noise([self._reference], [outputs])
        ratio = paired_ratio(*blocks) if blocks else None
        return Candidate(
            keep_float=names, sqnr_db=-10 * float(np.log10(noise)) if noise else None, drop_upper95_pp=self._drop(outputs),
            time_ratio=ratio.ratio if ratio else 1.0, time_low=ratio.low if ratio else None,
            time_high=ratio.high if ratio else None,
        )  # fmt: skip

    def _drop(self, outputs: np.ndarray) -> float | None:
        if outputs.ndim != 2 or outputs.shape[1] < 2:
            return None
        # without labels FP32's own classes stand in: every image that changes class counts as lost
        labels = self._labels if self._labels is not None else self._reference.argmax(axis=1)
        return accuracy_stats(outputs, self._reference, labels).drop_upper95_pp

    def _times(self, session: Session) -> tuple[list[list[int]], list[list[int]]]:
        blocks: tuple[list[list[int]], list[list[int]]] = ([], [])
        for number in range(_ROUNDS + 1):
            order = (0, 1) if number % 2 else (1, 0)
            for i in order:
                found = self._block((session, self._base)[i])
                if number:  # the first round warms up
                    blocks[i].append(found)
        return blocks

    def _block(self, session: Session) -> list[int]:
        clock, times = time.perf_counter_ns, list[int]()
        batch = session.input_shape[0]
        data = self._images[:batch]
        session.infer(data)
        end = clock() + int(_BLOCK_S * 1e9)
        while len(times) < 3 or clock() < end:
            started = clock()
            session.infer(data)
            times.append(clock() - started)
        return times

    def _outputs(self, session: Session) -> np.ndarray:
        batch = session.input_shape[0]
        return np.concatenate(
            [np.array(session.infer(self._images[i : i + batch])[0]) for i in range(0, len(self._images), batch)]
        )

    @contextlib.contextmanager
    def _engine(self, names: tuple[str, ...]) -> Iterator[Session]:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "model.qdq.onnx")
            save(assemble(self._prepared, names).model, source)
            written = self._backend.build(source, self._target, Path(folder, f"model{self._backend.SUFFIX}"))
            with self._backend.open(written[0], self._options) as session:
                yield session


def search(
    measurer: Measurer, sensitivities: Sensitivities, limit: Limit, state: State, *, budget_s: float,
    progress: Callable[[float], None] = lambda share: None,
) -> SearchResult:  # fmt: skip
    """Looks for the fastest engine within the limit until nothing is left to try or the time is up.

    Args:
        state: what earlier runs measured; every engine is added to it at once.
    """
    started = time.monotonic()

    def spent() -> float:
        return time.monotonic() - started

    def measured(names: Iterable[str]) -> Candidate:
        if (known := state.find(names)) is not None:
            return known
        if spent() > budget_s and state.candidates:
            raise _OutOfTimeError
        found = measurer.measure(names)
        state.add(found)
        progress(1.0 if spent() >= budget_s else spent() / budget_s)
        return found

    finished = True
    try:
        base = measured(())
        if not _keeps(base, base, limit):
            _improve(measured, base, limit, _ranked(measured, sensitivities.modules))
    except _OutOfTimeError:
        finished = False
    base = state.candidates[0]
    good = [candidate for candidate in state.candidates if _keeps(candidate, base, limit)]
    return SearchResult(
        sensitivities=sensitivities, candidates=tuple(state.candidates),
        chosen=min(good, key=lambda c: c.time_ratio, default=None), seconds=round(spent(), 1), finished=finished,
    )  # fmt: skip


class _OutOfTimeError(Exception):
    """The budget is spent: what was measured stands."""


def _ranked(measured: Callable[[Iterable[str]], Candidate], modules: Sequence[ModuleNoise]) -> list[str]:
    """Nodes by noise over cost in time, best first: those that matter by their measured cost, the others behind them."""
    singles = [module for module in modules[:_MOST_SINGLES] if module.share >= _LEAST_SHARE]
    cost = {module.node: measured((module.node,)).time_ratio - 1.0 for module in singles}
    first = sorted(singles, key=lambda module: -module.share / max(cost[module.node], _LEAST_COST))
    return [module.node for module in (*first, *(module for module in modules if module.node not in cost))]


def _improve(measured: Callable[[Iterable[str]], Candidate], base: Candidate, limit: Limit, ranked: Sequence[str]) -> None:
    """The shortest head of the ranking that keeps the limit; then members left out, or exchanged, while that is faster."""
    low, high = 0, len(ranked)
    # doubling first: engines with half the network in float tell little and cost time
    step = 1
    while step < high and not _keeps(measured(ranked[:step]), base, limit):
        low, step = step, step * 2
    high = min(step, high)
    while low + 1 < high:
        middle = (low + high) // 2
        if _keeps(measured(ranked[:middle]), base, limit):
            high = middle
        else:
            low = middle
    members = list(ranked[:high])
    best = measured(members)
    improved = True
    while improved and _keeps(best, base, limit):
        improved = False
        for trial in _neighbours(members, ranked):
            found = measured(trial)
            if _keeps(found, base, limit) and found.time_ratio < best.time_ratio:
                best, members, improved = found, trial, True
                break


def _neighbours(members: Sequence[str], ranked: Sequence[str]) -> Iterator[list[str]]:
    """One member fewer, the least worthy first; then one exchanged for one of the next in the ranking."""
    for node in reversed(members):
        if len(members) > 1:
            yield [name for name in members if name != node]
    others = [name for name in ranked if name not in members][: max(4, len(members))]
    for node in reversed(members):
        for other in others:
            yield [*(name for name in members if name != node), other]


def _keeps(candidate: Candidate, base: Candidate, limit: Limit) -> bool:
    if limit.min_sqnr_db is not None and _db(candidate) < limit.min_sqnr_db:
        return False
    if limit.min_gain_db is not None and _db(candidate) < _db(base) + limit.min_gain_db:
        return False
    if limit.max_drop_pp is None:
        return True
    return candidate.drop_upper95_pp is not None and candidate.drop_upper95_pp <= limit.max_drop_pp


def _db(candidate: Candidate) -> float:
    return np.inf if candidate.sqnr_db is None else candidate.sqnr_db


class State:
    """What was measured, in a file that is whole after every engine; of other inputs it is begun anew."""

    def __init__(self, path: Path, key: str) -> None:
        self._path, self._key = path, key
        self.sensitivities: Sensitivities | None = None
        self.candidates: list[Candidate] = []
        if path.exists():
            self._read()

    def find(self, names: Iterable[str]) -> Candidate | None:
        wanted = tuple(sorted(names))
        return next((candidate for candidate in self.candidates if candidate.keep_float == wanted), None)

    def add(self, candidate: Candidate) -> None:
        self.candidates.append(candidate)
        self.write()

    def write(self, **result: Any) -> None:
        body = {
            "format": FORMAT, "key": self._key,
            "sensitivities": asdict(self.sensitivities) if self.sensitivities else None,
            "candidates": [asdict(candidate) for candidate in self.candidates], **result,
        }  # fmt: skip
        with write_atomic(self._path) as temporary:
            temporary.write_text(json.dumps(body, indent=1), encoding="utf-8")

    def _read(self) -> None:
        try:
            body = json.loads(self._path.read_text(encoding="utf-8"))
            if (body["format"], body["key"]) != (FORMAT, self._key):
                return
            if (known := body["sensitivities"]) is not None:
                modules = tuple(ModuleNoise(**module) for module in known.pop("modules"))
                self.sensitivities = Sensitivities(modules=modules, **known)
            self.candidates = [Candidate(**{**entry, "keep_float": tuple(entry["keep_float"])}) for entry in body["candidates"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{self._path} cannot be read: {error}", hint=f"rm {self._path}") from error


def sensitivities_of(
    prepared: Prepared, images: np.ndarray, state: State, *, progress: Callable[[float], None] = lambda share: None
) -> Sensitivities:
    """The modules' parts in the noise, from the state where they are known."""
    if state.sensitivities is None:
        state.sensitivities = sensitivity.measure(prepared, images, progress=progress)
        state.write()
    return state.sensitivities


def draw(result: SearchResult, path: Path) -> None:
    """The engines measured, by time and SQNR, as a PNG; those that none beats are joined.

    Raises:
        MissingRuntimeError: matplotlib is not installed.
    """
    from edge_scnet.core.optional import require

    figure_module = require("matplotlib.figure", extra="report")
    figure = figure_module.Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    finite = [candidate for candidate in result.candidates if candidate.sqnr_db is not None]
    axes.plot([c.time_ratio for c in finite], [c.sqnr_db for c in finite], "o", color="0.7", label="measured")
    front = [candidate for candidate in result.pareto if candidate.sqnr_db is not None]
    axes.plot([c.time_ratio for c in front], [c.sqnr_db for c in front], "o-", label="none is faster and closer to float")
    marks = [(result.candidates[0], "s", "all INT8"), (result.chosen, "*", "chosen")]
    for candidate, marker, label in marks:
        if candidate is not None and candidate.sqnr_db is not None:
            axes.plot(candidate.time_ratio, candidate.sqnr_db, marker, markersize=12, label=label)
    axes.set_xlabel("time, relative to the all-INT8 engine")
    axes.set_ylabel("SQNR of the outputs, dB")
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    with write_atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
