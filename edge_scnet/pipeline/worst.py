"""The samples that an INT8 engine did worst on, its result beside the reference's and the truth.

Engines were measured in processes of their own, which kept figures alone. For these few samples
they are opened once more. Whatever fails here loses no report: it is warned of.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.core.events import Events
from edge_scnet.core.feeds import feed_of
from edge_scnet.core.optional import installed
from edge_scnet.core.ragged import batch_of_one
from edge_scnet.core.spec import ModelSpec, engine_spec
from edge_scnet.data.batches import load
from edge_scnet.data.images import colours_of
from edge_scnet.data.samples import SampleSet
from edge_scnet.errors import DataError, first_line
from edge_scnet.pipeline.drawing import can_draw, draw
from edge_scnet.pipeline.judging import Judging
from edge_scnet.pipeline.readings import outputs_for
from edge_scnet.profiler.process import EngineFile
from edge_scnet.report.run_report import EngineReport, Said, WorstSample, first_judged
from edge_scnet.runtimes import usable_runtime
from edge_scnet.tasks.readout import Readout, read, scaled, truth_of
from edge_scnet.tasks.readout_words import details, headline

if TYPE_CHECKING:
    from PIL import Image

MOST_SHOWN = 6
_SIDE_PX, _MOST_LINES = 320, 8
# A page of 18 drawings stays small: of a picture that is larger, less is kept.
_QUALITIES, _ENOUGH_BYTES = (82, 60, 35), 40_000

# The outputs of one engine for some samples: by sample, by output, each a batch of one.
Results = list[list[np.ndarray]]
OutputsOf = Callable[[Sequence[int]], Results]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where an engine's outputs for single samples come from."""

    # of its row in the report
    name: str
    outputs_of: OutputsOf


def engine_source(engine: EngineFile, samples: SampleSet, spec: ModelSpec) -> Source:
    """An engine, opened in this process when it is asked."""

    def outputs_of(indices: Sequence[int]) -> Results:
        options, own = replace(engine.options, cuda_graph=False), engine_spec(spec, engine.input)
        with usable_runtime(engine.runtime).open(engine.path, options) as session:
            return [outputs_for(session, load(samples, own, [i])) for i in indices]

    return Source(name=engine.name, outputs_of=outputs_of)


def graph_source(name: str, file: Path, samples: SampleSet, spec: ModelSpec) -> Source:
    """An ONNX graph in simulation, as its accuracy was found."""

    def outputs_of(indices: Sequence[int]) -> Results:
        from edge_scnet.graph import model as graphs
        from edge_scnet.graph.counting import counted_outputs
        from edge_scnet.graph.run import Observer

        model = graphs.load(file)
        names = [str(value.name) for value in model.graph.outputs]
        counted = counted_outputs(model.graph)
        rows = Observer(model, names).run(load(samples, spec, [i]) for i in indices)
        return [
            [batch_of_one(row[each], counted=each in counted) for each in names] for row in rows
        ]

    return Source(name=name, outputs_of=outputs_of)


def worst_samples(
    rows: Sequence[EngineReport],
    sources: Sequence[Source],
    judging: Judging | None,
    spec: ModelSpec,
    events: Events,
) -> tuple[WorstSample, ...]:
    """What the reference and INT8 say of the samples that INT8 lost most on, worst first.

    Nothing where the task has no such samples, or it cannot be found out, which is warned of.

    Args:
        rows: the report's; `sources`: of the same engines, in their order.
    """
    row = first_judged(rows, judged=True)
    task = row.accuracy.task if row is not None and row.accuracy is not None else None
    if row is None or task is None or judging is None:
        return ()
    indices = _indices(task.worst, judging.samples)
    chosen = [s for s, each in zip(sources, rows, strict=True) if each.role == "reference"][:1]
    chosen += [s for s, each in zip(sources, rows, strict=True) if each is row]
    try:
        return _shown(indices, chosen, judging, spec)
    except KeyboardInterrupt:
        events.warn("interrupted: the worst samples are not shown, all figures are there")
    except Exception as error:
        events.warn(f"the worst samples cannot be shown: {first_line(error)}")
    return ()


def _indices(names: Sequence[str], samples: SampleSet) -> list[int]:
    known = {name: i for i, name in reversed(list(enumerate(samples.entries)))}
    return [known[name] for name in names if name in known][:MOST_SHOWN]


def _shown(
    indices: Sequence[int], sources: Sequence[Source], judging: Judging, spec: ModelSpec
) -> tuple[WorstSample, ...]:
    if not indices:
        return ()
    context, evaluator = judging.context, judging.evaluator
    outputs = [source.outputs_of(indices) for source in sources]
    found = []
    for at, index in enumerate(indices):
        readouts = [
            (source.name, read(evaluator, context, results[at], index))
            for source, results in zip(sources, outputs, strict=True)
        ]
        if (truth := truth_of(context, index, judging.told.task.kind)) is not None:
            readouts.append(("truth", truth))
        picture = _picture_of(judging.samples, index, spec)
        draws = picture is not None and any(can_draw(readout) for _, readout in readouts)
        found.append(
            WorstSample(
                sample=judging.samples.entries[index],
                picture=None if draws or picture is None else _plain(picture),
                said=tuple(
                    _said(name, readout, picture if draws else None, judging.samples, index)
                    for name, readout in readouts
                ),
            )
        )
    return tuple(found)


def _said(
    name: str, readout: Readout, picture: np.ndarray | None, samples: SampleSet, index: int
) -> Said:
    size = samples.image_sizes[index] if samples.image_sizes else None
    lines = (headline(readout, size), *details(readout))
    more = len(lines) - _MOST_LINES
    if more > 0:
        lines = (*lines[:_MOST_LINES], f"{more} more")
    drawn = None if picture is None else _drawn(picture, readout)
    return Said(by=name, lines=lines, picture=drawn)


def _drawn(picture: np.ndarray, readout: Readout) -> str:
    """A picture with what is said of it, at most 320 pixels wide and high, as a data: URL."""
    small = _small(picture)
    factors = (small.shape[1] / picture.shape[1], small.shape[0] / picture.shape[0])
    return _data_url(draw(small, scaled(readout, *factors)))


def _plain(picture: np.ndarray) -> str:
    from PIL import Image

    return _data_url(Image.fromarray(_small(picture)))


def _small(picture: np.ndarray) -> np.ndarray:
    from PIL import Image

    image = Image.fromarray(picture)
    image.thumbnail((_SIDE_PX, _SIDE_PX))
    return np.array(image)


def _data_url(image: Image.Image) -> str:
    for quality in _QUALITIES:
        buffer = io.BytesIO()
        image.save(buffer, "jpeg", quality=quality, optimize=True)
        if buffer.tell() <= _ENOUGH_BYTES:
            break
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _picture_of(samples: SampleSet, index: int, spec: ModelSpec) -> np.ndarray | None:
    """What readouts are drawn on: the image, or where samples are none the network's input.

    Returns:
        uint8 height x width x 3; None: there is no Pillow, or the input is no picture.

    Raises:
        DataError: the image cannot be read any more.
    """
    if not installed("PIL"):
        return None
    if samples.image_sizes and samples.arrays is None:
        return colours_of(samples.root / samples.entries[index], spec)
    try:
        values = next(iter(feed_of(load(samples, spec, [index]), "input").values()))[0]
    except DataError:
        return None
    if values.ndim != 3 or values.shape[0] not in (1, 3):
        return None
    return _as_picture(values)


def _as_picture(values: np.ndarray) -> np.ndarray:
    """An input C x H x W of one channel or three as a picture: its least value black, its largest
    white."""
    finite = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = finite.min(), finite.max()
    codes = np.rint(255 * (finite - low) / max(high - low, 1e-12)).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(np.moveaxis(codes, 0, 2), (*codes.shape[1:], 3)))
