"""The last word on how pictures are prepared, which their sizes have, and the line that says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from edge_scnet.core.events import Events
from edge_scnet.core.preprocessing import BY_DEFAULT
from edge_scnet.core.preprocessing_units import unit_doubt
from edge_scnet.core.preprocessing_words import SAME_SIZE, input_words
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data.resize import check_resampler
from edge_scnet.data.samples import SampleSet

FedWith = Literal["pictures", "arrays"]


def settled(spec: ModelSpec, *sets: SampleSet | None) -> ModelSpec:
    """The spec with the short side that the pictures of all sets call for.

    Where nobody said how they are resized and all have the input's size, they are not: to enlarge
    them and cut off what is over would show the network other pictures than it was trained on.

    Args:
        sets: those that there are; of arrays nothing is resized.
    """
    rule = spec.preprocessing
    is_open = rule.short_side is None or rule.origin("short_side") == BY_DEFAULT
    sizes = {size for samples in sets if samples is not None for size in _sizes(samples)}
    if not spec.takes_pictures or rule.resize != "crop" or not is_open:
        return spec
    if sizes != {(spec.width, spec.height)}:
        return spec
    origins = {**rule.origins, "short_side": SAME_SIZE}
    return replace(spec, preprocessing=replace(rule, short_side=None, origins=origins))


def fed_with(*sets: SampleSet | None) -> FedWith | None:
    """What the network is fed with; pictures where any set has them; None: there is no set."""
    are_arrays = [samples.arrays is not None for samples in sets if samples is not None]
    if not are_arrays:
        return None
    return "arrays" if all(are_arrays) else "pictures"


def _sizes(samples: SampleSet) -> set[tuple[int, int]]:
    """Width and height of the pictures of a set."""
    if samples.pixels is not None:
        height, width = samples.pixels.shape[1:3]
        return {(width, height)}
    return set(samples.image_sizes)


def say_input(
    spec: ModelSpec,
    events: Events,
    calibration: SampleSet | None = None,
    evaluation: SampleSet | None = None,
) -> None:
    """Says what the network gets of a picture, or that it gets arrays as they are.

    Raises:
        MissingRuntimeError: the library that is to resize pictures is not installed.
    """
    sets = {"calibration": calibration, "evaluation": evaluation}
    of_arrays = [role for role, s in sets.items() if s is not None and s.arrays is not None]
    given = [samples for samples in sets.values() if samples is not None]
    if given and len(of_arrays) == len(given):
        shape = " x ".join(map(str, spec.input_shape))
        more = f" and {len(spec.more_inputs)} more inputs" if spec.more_inputs else ""
        events.stage("input", f"{shape}{more}, arrays as they are")
    elif spec.takes_pictures:
        transparent = sum(samples.transparent for samples in given)
        alpha = f"; {transparent} have transparency, which shows white" if transparent else ""
        but = f"; {of_arrays[0]} arrays as they are" if of_arrays else ""
        events.stage("input", input_words(spec) + alpha + but)
        if of_arrays:
            (pictured,) = sets.keys() - set(of_arrays)
            events.warn(
                f"{of_arrays[0]} samples are arrays, fed as they are, and {pictured} samples are"
                " pictures, which are prepared: unless the arrays were prepared in the same way,"
                " INT8's thresholds are of other values than those that it is evaluated on"
            )
        if any(samples.kind == "folder" for samples in given):
            check_resampler(spec.preprocessing)
        if (doubt := unit_doubt(spec.preprocessing)) is not None:
            events.warn(doubt)
        if (words := _enlarged(spec, given)) is not None:
            events.warn(words)


def _enlarged(spec: ModelSpec, sets: Sequence[SampleSet]) -> str | None:
    """Says that pictures of the input's own size are enlarged and cropped, as somebody said.

    It is done: timm evaluates so, and who names a short side means it.
    """
    rule, size = spec.preprocessing, (spec.width, spec.height)
    side, short = rule.short_side, min(size)
    sizes = {size for samples in sets for size in _sizes(samples)}
    if rule.resize not in ("crop", "stretch") or side is None or side <= short or sizes != {size}:
        return None
    origin = rule.origin("short_side")
    if origin == BY_DEFAULT:
        return None  # of other pictures than these, as `settled` knows them
    by = f" ({origin})" if origin else ""
    return (
        f"all pictures have the input's size of {size[0]} x {size[1]} already: they are resized to"
        f" a short side of {side}{by}, and {side - short} pixels are cut off; --resize {short}"
        " feeds them as they are"
    )
