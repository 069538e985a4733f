"""Contexts, targets and networks' outputs for evaluators: small, generated, no files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_scnet.config.target import Gates
from edge_scnet.core.outputs import OutputHead
from edge_scnet.core.spec import ModelSpec, TaskSpec
from edge_scnet.core.targets import TargetKind, Targets
from edge_scnet.report.findings import Finding
from edge_scnet.report.verdict import judge_accuracy
from edge_scnet.stats.figures import AccuracyStats, TaskStats
from edge_scnet.tasks.base import Context, Evaluator
from edge_scnet.tasks.registry import evaluator_for

# Of tests that an unchanged engine always passes. `SEEDS=20 pytest tests/tasks -m slow` by hand.
SEEDS = int(os.environ.get("SEEDS", "2"))


@dataclass(frozen=True)
class Listed:
    """The truth of samples, held as a list."""

    values: Sequence[Any]

    def __call__(self, i: int) -> Any:
        return self.values[i]


def targets(kind: TargetKind, values: Sequence[Any], names: Sequence[str] = ()) -> Targets:
    return Targets(
        kind=kind,
        rule="made by the test",
        count=len(values),
        at=Listed(values),
        hash="0",
        names=tuple(names),
    )


def spec(*shape: int, classes: int | None = None, arch: str = "factory") -> ModelSpec:
    from dataclasses import replace

    from tests.helpers.engines import SPEC

    return replace(SPEC, input_shape=shape, num_classes=classes, classes=(), arch=arch, task=None)


def context(
    kind: str,
    count: int,
    *,
    shape: tuple[int, ...] = (3, 16, 16),
    heads: Sequence[OutputHead] = (),
    arguments: dict[str, Any] | None = None,
    **changes: Any,
) -> Context:
    fields: dict[str, Any] = {
        "spec": spec(*shape),
        "task": TaskSpec(kind=kind, arguments=arguments or {}),
        "output_names": tuple(head.name for head in heads) or ("out",),
        "count": count,
        "entries": tuple(f"{i}.png" for i in range(count)),
        "heads": tuple(heads),
    }
    return Context(**{**fields, **changes})


def compared(
    made: Evaluator, own: np.ndarray | list[np.ndarray], reference: np.ndarray | list[np.ndarray]
) -> TaskStats:
    """What an evaluator makes of outputs, given in two chunks as an evaluation does."""
    mine = own if isinstance(own, list) else [own]
    other = reference if isinstance(reference, list) else [reference]
    count = len(other[0])
    kept: tuple[list[Any], list[Any]] = ([], [])
    for part in (range(count // 3), range(count // 3, count)):
        rows = slice(part.start, part.stop)
        chunk = [array[rows] for array in other]
        kept[0].extend(made.reduce(chunk, chunk, part))
        kept[1].extend(made.reduce([array[rows] for array in mine], chunk, part))
    return made.compare(kept[1], kept[0])


def judged(stats: TaskStats, **gates: Any) -> Finding:
    accuracy = AccuracyStats(
        images=stats.samples,
        agreement_percent=None,
        agreeing=None,
        sqnr_db=None,
        labels=None,
        task=stats,
    )
    return judge_accuracy(accuracy, Gates(**gates))


def verdict(
    given: Context,
    reference: np.ndarray | list[np.ndarray],
    fault: Callable[[np.ndarray], np.ndarray] | None = None,
    **gates: Any,
) -> str:
    """The verdict on an engine whose first output is changed by `fault`."""
    made = evaluator_for(given)
    assert made is not None
    arrays = reference if isinstance(reference, list) else [reference]
    own = [fault(arrays[0]) if fault else arrays[0], *arrays[1:]]
    return judged(compared(made, own, arrays), **gates).verdict


def noisy(array: np.ndarray, seed: int, scale: float = 1e-3) -> np.ndarray:
    """An engine that is next to equal."""
    rng = np.random.default_rng(seed)
    # columns and channels may have units of their own
    others = tuple(axis for axis in range(array.ndim) if axis != 1)
    spread = scale * array.std(axis=others, keepdims=True)
    return (array + rng.normal(0, spread, array.shape)).astype(array.dtype)
