"""How an engine's outputs for single samples are read: the task, and one inference."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.manifest import REPORT
from edge_scnet.core.outputs import OutputHead
from edge_scnet.core.ragged import ragged
from edge_scnet.core.spec import TaskSpec
from edge_scnet.errors import ArtifactError
from edge_scnet.models.defaults import task_of
from edge_scnet.report.run_report import RunReport, reference_row
from edge_scnet.report.store import load_report
from edge_scnet.runtimes.base import Session
from edge_scnet.tasks.base import Context
from edge_scnet.tasks.guess import Told, told
from edge_scnet.tasks.registry import CLASSIFICATION, TASKS, check_task


def outputs_for(session: Session, sample: np.ndarray) -> list[np.ndarray]:
    """The outputs of one sample, each a batch of one, ragged where its size depends on the data;
    arrays of their own.

    Args:
        sample: a batch of one, as `core.feeds` has them; an engine of a larger batch gets it as
            many times.
    """
    batch = session.input_shape[0]
    outputs = map(np.array, session.infer(np.repeat(sample, batch, axis=0)))
    return [
        ragged([array]) if is_open and batch == 1 else _first(array, batch)
        for array, is_open in zip(outputs, session.open_outputs, strict=True)
    ]


def _first(array: np.ndarray, batch: int) -> np.ndarray:
    """The part of an output that is the first sample's; one without samples stays whole."""
    if batch == 1 or not array.ndim or len(array) % batch:
        return array
    return array[: len(array) // batch]


def heads_of_outputs(names: Sequence[str], outputs: Sequence[np.ndarray]) -> tuple[OutputHead, ...]:
    """What outputs themselves show of a network, where there is no graph to look at."""
    return tuple(
        OutputHead(name=name, shape=tuple(array.shape), dtype=str(array.dtype))
        for name, array in zip(names, outputs, strict=True)
    )


def told_of_build(
    folder: BuildFolder, context: Context, options: ModelOptions | None = None
) -> Told:
    """What a build's network is for: what is said now or was said when it was built, what its last
    report judged it by, else what its outputs show.

    Args:
        context: with the heads of the outputs.
        options: `task`, `task_args` and `decode` are said now; arguments that are not said stay
            those of the build.

    Raises:
        DataError: no such task. ArtifactError: options that contradict each other.
    """
    given, built = options or ModelOptions(), context.spec.task
    said = None if given.task is given.decode is None else task_of(given)
    arguments = given.task_args or {}
    if said is None and built is not None:
        said = replace(built, arguments={**built.arguments, **arguments})
    elif said is not None and built is not None and built.kind == said.kind:
        said = replace(said, arguments={**built.arguments, **said.arguments})
    if said is not None:
        check_task(said.kind)
        return Told(task=said, reason="the option", said=True)
    kind = _judged_as(folder)
    if kind is not None:
        return Told(task=TaskSpec(kind=kind, arguments=arguments), reason="the last report")
    found = told(context)
    return replace(found, task=replace(found.task, arguments=arguments))


def _judged_as(folder: BuildFolder) -> str | None:
    """The task of a build's last report; None: there is none that can be read."""
    with contextlib.suppress(ArtifactError):
        return judged_as(load_report(folder.path / REPORT))
    return None


def judged_as(report: RunReport) -> str | None:
    """The task that a report judged its engines by; None: it did not, or by a user's own."""
    row = reference_row(report)
    if row is None or (accuracy := row.accuracy) is None:
        return None
    if accuracy.task is None:
        return None if accuracy.agreement_percent is None else CLASSIFICATION
    return accuracy.task.task if accuracy.task.task in TASKS else None
