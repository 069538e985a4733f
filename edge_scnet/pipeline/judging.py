"""What a sample set's outputs are judged by: the task, said or told, and its evaluator."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.config.target import Gates
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.optional import installed
from edge_scnet.core.outputs import OutputHead
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data.samples import SampleSet
from edge_scnet.errors import DataError
from edge_scnet.models.defaults import task_of
from edge_scnet.models.zoo import ModelSource
from edge_scnet.pipeline.context import context_of, heads_in
from edge_scnet.report.task_verdict import judge_task
from edge_scnet.stats.figures import AccuracyStats
from edge_scnet.tasks.base import Context, Evaluator
from edge_scnet.tasks.guess import Told, told
from edge_scnet.tasks.registry import CLASSIFICATION, TASKS, check_task, evaluator_for

if TYPE_CHECKING:
    from edge_scnet.core.events import Events

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


def check_said(spec: ModelSpec, samples: SampleSet | None) -> None:
    """Refuses a task that was said before any stage has run for it.

    Outputs are not known yet: the argument that names one is not looked at, and a user's evaluator,
    which is told of them, is not made.

    Raises:
        DataError: there is no such task, or its arguments or the samples do not fit it.
    """
    if spec.task is None:
        return
    check_task(spec.task.kind)
    if spec.task.kind in TASKS:
        arguments = {key: value for key, value in spec.task.arguments.items() if key != "output"}
        spec = replace(spec, task=replace(spec.task, arguments=arguments))
        empty = Context(spec=spec, count=0)
        evaluator_for(empty if samples is None else context_of(spec, samples, ()))


def guess_of(source: ModelSource, samples: SampleSet | None) -> Told | None:
    """What a model that is not built yet is for; None where nothing tells.

    Of the outputs those of an ONNX file are known before it is exported.
    """
    heads: tuple[OutputHead, ...] = ()
    if source.kind == "onnx" and installed("onnx_ir"):
        from edge_scnet.graph.heads import heads_of
        from edge_scnet.graph.model import load

        heads = heads_of(load(Path(source.location)))
    if samples is not None:
        context = context_of(source.spec, samples, heads)
    else:
        names = tuple(head.name for head in heads)
        context = Context(spec=source.spec, count=0, heads=heads, output_names=names)
    knows = bool(heads) or context.labels is not None or context.targets is not None
    return told(context) if knows or source.spec.task is not None else None


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
    """Whether figures of a task are within the limits, beyond doubt."""
    return judge_task(stats, gates).verdict == "pass"
