"""What an evaluator is told: the samples, in which order reports have them, and the outputs."""

from __future__ import annotations

from pathlib import Path

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.manifest import FLOAT_ONNX
from edge_scnet.core.optional import installed
from edge_scnet.core.outputs import OutputHead
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data.samples import SampleSet
from edge_scnet.tasks.base import Context


def canonical_order(samples: SampleSet) -> list[int]:
    """Indices that sort images by content, then label.

    They are the same images in the same order under any names.
    """
    labels = samples.labels or (0,) * len(samples)
    return sorted(range(len(samples)), key=lambda i: (samples.content_hashes[i], labels[i]))


def heads_in(folder: BuildFolder) -> tuple[OutputHead, ...]:
    """What a build's float graph ends in; nothing where it cannot be looked at.

    Raises:
        ArtifactError: it is not what was built.
    """
    if FLOAT_ONNX not in folder.manifest.artifacts or not (folder.path / FLOAT_ONNX).is_file():
        return ()
    return heads_of_file(folder.verified(FLOAT_ONNX))


def heads_of_file(path: Path) -> tuple[OutputHead, ...]:
    """What an ONNX file's outputs end in; nothing of another file, or where it cannot be read."""
    if path.suffix != ".onnx" or not path.is_file() or not installed("onnx_ir"):
        return ()
    from edge_scnet.graph.heads import heads_of
    from edge_scnet.graph.model import load

    return heads_of(load(path))


def context_of(spec: ModelSpec, samples: SampleSet, heads: tuple[OutputHead, ...]) -> Context:
    """What an evaluator is told of a model and its samples."""
    return Context(
        spec=spec,
        output_names=tuple(head.name for head in heads),
        count=len(samples),
        labels=samples.labels,
        label_rule=samples.label_rule,
        targets=samples.targets,
        image_sizes=samples.image_sizes,
        entries=samples.entries,
        order=tuple(canonical_order(samples)),
        heads=heads,
    )
