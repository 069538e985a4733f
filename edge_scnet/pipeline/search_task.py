"""What the engines of a search are judged by: the task of the network, on calibration images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edge_scnet.core.spec import ModelSpec, TaskSpec
from edge_scnet.pipeline.context import context_of, heads_in
from edge_scnet.pipeline.stages.job import BuildJob
from edge_scnet.tasks.base import Evaluator
from edge_scnet.tasks.guess import told
from edge_scnet.tasks.registry import CLASSIFICATION, evaluator_for


def may_tell_classes(spec: ModelSpec) -> bool:
    """Whether a network is known to tell classes apart before its outputs are looked at."""
    if spec.task is not None:
        return spec.task.kind == CLASSIFICATION
    return bool(spec.classes or spec.num_classes) and not spec.classes_counted


def told_task(job: BuildJob) -> TaskSpec:
    """What the network of an exported job is for, said or told."""
    samples = job.evaluation or job.calibration
    assert samples is not None
    return told(context_of(job.source.spec, samples, heads_in(job.folder))).task


def task_of(job: BuildJob) -> TaskSpec | None:
    """What the network is for; None: it tells classes apart."""
    task = told_task(job)
    return None if task.kind == CLASSIFICATION else task


def evaluator_of(job: BuildJob, task: TaskSpec, chosen: Sequence[int]) -> Evaluator:
    """The evaluator of some calibration images; their folders tell no truth.

    Raises:
        DataError: the images' targets are of another task.
    """
    assert job.calibration is not None
    context = context_of(job.source.spec, job.calibration, heads_in(job.folder))
    targets = None if context.targets is None else context.targets.subset(chosen)
    context = replace(
        context,
        task=task,
        count=len(chosen),
        labels=None,
        label_rule=None,
        targets=targets,
        # of arrays there are none
        image_sizes=tuple(context.image_sizes[i] for i in chosen if context.image_sizes),
        entries=tuple(context.entries[i] for i in chosen),
        order=(),
    )
    evaluator = evaluator_for(context)
    assert evaluator is not None
    return evaluator
