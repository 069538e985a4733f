"""The one task that engines of several builds, or without a manifest, are judged by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_scnet.core.events import Events
from edge_scnet.core.outputs import OutputHead
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data.samples import SampleSet
from edge_scnet.errors import ArtifactError
from edge_scnet.pipeline.context import context_of
from edge_scnet.pipeline.judging import Judging, judging_with
from edge_scnet.tasks.guess import Told, told
from edge_scnet.tasks.registry import FEATURES


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedEngine:
    """What is known of an engine's task."""

    # of messages: "A"
    name: str
    path: Path
    spec: ModelSpec
    heads: tuple[OutputHead, ...]
    # a manifest describes its network
    is_built: bool


def judging_of_all(
    engines: Sequence[JudgedEngine], samples: SampleSet, events: Events | None = None
) -> Judging:
    """What the outputs of engines are compared by: the task of those of which it is known.

    Of an engine without a manifest it is known where the options, the samples or its graph say so;
    where nothing does, outputs are features.

    Args:
        events: told of the task.

    Raises:
        ArtifactError: they are for different tasks.
        DataError: the samples, or the arguments, do not fit the task.
    """
    known = [
        (engine, task)
        for engine in engines
        for task in (told(context_of(engine.spec, samples, engine.heads)),)
        if engine.is_built or task.task.kind != FEATURES
    ]
    for engine, task in known[1:]:
        if task.task != known[0][1].task:
            raise _different(known[0], (engine, task))
    chosen = known[0][0] if known else engines[0]
    return judging_with(chosen.spec, samples, chosen.heads, events)


def _different(first: tuple[JudgedEngine, Told], other: tuple[JudgedEngine, Told]) -> ArtifactError:
    words = [
        f"{engine.name} ({engine.path}) is for {_in_words(task)}" for engine, task in (first, other)
    ]
    return ArtifactError(
        f"the engines are for different tasks: {', '.join(words)}: their outputs cannot be judged"
        " by one",
        hint=f"--task {FEATURES} compares the outputs alone; or leave --eval out to time them",
    )


def _in_words(task: Told) -> str:
    """A task and its arguments, which may be all that differs."""
    given = ", ".join(f"{key} {value}" for key, value in task.task.arguments.items())
    return f"{task.task.kind} ({given})" if given else task.task.kind
