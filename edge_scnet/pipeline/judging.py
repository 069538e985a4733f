"""What a sample set's outputs are judged by: the task, said or told, and its evaluator."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.config.target import Gates
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.outputs import OutputHead
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data.samples import SampleSet
from edge_scnet.errors import DataError
from edge_scnet.models.defaults import task_of
from edge_scnet.models.zoo import ModelSource
from edge_scnet.pipeline.context import context_of, heads_in, heads_of_file
from edge_scnet.report.verdict import judge_accuracy
from edge_scnet.stats.figures import AccuracyStats
from edge_scnet.tasks.base import Context, Evaluator
from edge_scnet.tasks.guess import Told, told
from edge_scnet.tasks.registry import CLASSIFICATION, TASKS, check_task, evaluator_for

if TYPE_CHECKING:
    from edge_scnet.core.events import Events
    from edge_scnet.scale.pool import Pool

# Tasks whose truth can be one class a sample.
_TAKE_LABELS = (CLASSIFICATION, "binary", "embedding")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """The samples that engines are judged on, and how."""

    samples: SampleSet
    told: Told
    # None: by the largest column of the first output
    evaluator: Evaluator | None
    # what the evaluator was told
    context: Context
    # whose workers run engines on the samples; None: the processes that time them
    pool: Pool | None = None


def judging_of(
    folder: BuildFolder,
    samples: SampleSet | None,
    events: Events | None = None,
    *,
    said: ModelOptions | None = None,
) -> Judging | None:
    """What a build's engines are judged by; None without an evaluation set.

    Args:
        events: told of the task.
        said: options that name another task, or other arguments, than those of the build.

    Raises:
        DataError: the samples, or the arguments, do not fit the task.
    """
    if samples is None:
        return None
    spec = with_said(folder.manifest.model, said)
    return judging_with(spec, samples, heads_in(folder), events)


def with_said(spec: ModelSpec, said: ModelOptions | None) -> ModelSpec:
    """A model with the task that options name, or with other arguments of its own one."""
    if said is None:
        return spec
    if said.task_args is not None and said.task is None and spec.task:
        said = replace(said, task=spec.task.kind)
    task = task_of(said)
    return spec if task is None else replace(spec, task=task)


def judging_with(
    spec: ModelSpec,
    samples: SampleSet,
    heads: tuple[OutputHead, ...],
    events: Events | None = None,
) -> Judging:
    """What outputs are judged by.

    Raises:
        DataError: the samples, or the arguments, do not fit the task.
    """
    context = context_of(spec, samples, heads)
    task = told(context)
    _check_labels(task, samples, heads)
    if events is not None:
        events.stage("task", task.words)
    context = replace(context, task=task.task)
    return Judging(samples=samples, told=task, evaluator=evaluator_for(context), context=context)


def check_early(source: ModelSource, samples: SampleSet | None) -> None:
    """Refuses ground truth, and a task that was said, before any stage has run for them.

    Of an ONNX file the outputs are known. Of other models they are not: the argument that names one
    is not looked at. A user's evaluator, which is told of them, is not made.

    Raises:
        DataError: there is no such task, or its arguments, the samples or the outputs do not fit.
    """
    spec = source.spec
    if spec.task is not None:
        check_task(spec.task.kind)
    has_truth = samples is not None and samples.targets is not None
    if spec.task is None and not has_truth:
        return
    heads = _heads_of(source) if has_truth else ()
    context = Context(spec=spec, count=0)
    if samples is not None:
        context = context_of(spec, samples, heads)
    task = told(context).task
    if task.kind not in TASKS:
        return
    if task.arguments.get("output") not in context.output_names:
        # a number, or a name that export gives
        given = {key: value for key, value in task.arguments.items() if key != "output"}
        heads = heads if len(given) == len(task.arguments) else ()
        task = replace(task, arguments=given)
    evaluator = evaluator_for(replace(context, task=task))
    if heads and evaluator is not None:
        _check_truth(getattr(evaluator, "made", evaluator), heads)


def _check_truth(evaluator: Evaluator, heads: tuple[OutputHead, ...]) -> None:
    """Holds the truth to outputs of which the shapes are known: those of one sample, all zero.

    Raises:
        DataError: they do not fit.
    """
    check = getattr(evaluator, "check_truth", None)
    if check is None:
        return
    outputs = []
    for head in heads:
        sizes = [size for size in head.shape[1:] if size is not None]
        if len(sizes) < len(head.shape) - 1 or not head.by_sample:
            return
        outputs.append(np.zeros((1, *sizes), head.dtype))
    check(evaluator.reduce(outputs, outputs, [0])[0])


def guess_of(source: ModelSource, samples: SampleSet | None) -> Told | None:
    """What a model that is not built yet is for; None where nothing tells.

    Of the outputs those of an ONNX file are known before it is exported.
    """
    heads = _heads_of(source)
    if samples is not None:
        context = context_of(source.spec, samples, heads)
    else:
        names = tuple(head.name for head in heads)
        context = Context(spec=source.spec, count=0, heads=heads, output_names=names)
    knows = bool(heads) or context.labels is not None or context.targets is not None
    return told(context) if knows or source.spec.task is not None else None


def _heads_of(source: ModelSource) -> tuple[OutputHead, ...]:
    """What an ONNX file that is not exported yet ends in; nothing of other models."""
    return heads_of_file(Path(source.location)) if source.kind == "onnx" else ()


def _check_labels(task: Told, samples: SampleSet, heads: tuple[OutputHead, ...]) -> None:
    """Refuses labels that say nothing about the task.

    Raises:
        DataError: says which tasks they are for.
    """
    kind = task.task.kind
    if samples.labels is None or kind in _TAKE_LABELS or kind not in TASKS or not heads:
        return
    raise DataError(
        f"the evaluation set has a class for each sample ({samples.label_rule}), and the task is"
        f" {task.words}: labels say nothing about that",
        hint="pass --ignore-labels; or is it --task classification, binary or embedding?",
    )


def keeps_limits(gates: Gates, stats: AccuracyStats) -> bool:
    """Whether figures of a task are within the limits, and FP32's own say that they prove it."""
    return judge_accuracy(stats, gates).verdict == "pass"
