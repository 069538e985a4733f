"""Which numbers the engines of a build take, so that codes of pixels are not fed in their place."""

from __future__ import annotations

from pathlib import Path

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.manifest import RANGES
from edge_scnet.core.preprocessing import Preprocessing
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data.codes import (
    Numbers,
    first_of,
    numbers_of_arrays,
    numbers_of_pictures,
    refuse_codes,
)
from edge_scnet.data.samples import SampleSet
from edge_scnet.quantizer.ranges_file import load_ranges

_OF_BYTES = "or build engines of bytes: edge-scnet build MODEL --input uint8"


def numbers_taken(folder: BuildFolder) -> Numbers | None:
    """What the float engines of a build get; None: nobody knows, or they are the codes.

    Of a build of pictures the preprocessing says it, of one of arrays its calibration.
    """
    manifest = folder.manifest
    if not manifest.model.takes_pictures:
        return None
    if manifest.fed_with == "pictures":
        return numbers_of(manifest.model.preprocessing)
    # an engine may lie in a folder with its manifest alone
    if RANGES not in manifest.artifacts or not Path(folder.path, RANGES).is_file():
        return None
    tensors = load_ranges(folder.verified(RANGES)).tensors
    # the inputs are observed first
    name = manifest.model.input_name or next(iter(tensors), "")
    if (stats := tensors.get(name)) is None:
        return None
    return numbers_of_arrays(
        stats.minimum,
        stats.maximum,
        whose="the samples that it was calibrated with",
        hint="prepare them as those were",
    )


def check_numbers(samples: SampleSet, folder: BuildFolder) -> None:
    """Refuses codes of pixels for the float engines of a build that take other numbers.

    Raises:
        DataError: says what the samples hold and what the engines get.
    """
    if samples.arrays is None or folder.manifest.input.is_bytes:
        return
    if (wanted := numbers_taken(folder)) is not None:
        refuse_codes(samples.arrays, wanted, where=samples.name)


def check_same_numbers(spec: ModelSpec, calibration: SampleSet, evaluation: SampleSet) -> None:
    """Refuses codes of pixels in one set of a build where the other holds other numbers.

    Raises:
        DataError: says which.
    """
    if not spec.takes_pictures:
        return
    for samples, other, role in (
        (calibration, evaluation, "evaluation"),
        (evaluation, calibration, "calibration"),
    ):
        if samples.arrays is None:
            continue
        if other.arrays is None:
            wanted = numbers_of(spec.preprocessing)
        else:
            held = first_of(other.arrays)
            wanted = numbers_of_arrays(
                float(held.min()),
                float(held.max()),
                whose=f"the {role} samples",
                hint="prepare both sets in the same way",
            )
        if wanted is not None:
            refuse_codes(samples.arrays, wanted, where=samples.name)


def numbers_of(rule: Preprocessing) -> Numbers | None:
    """What pictures become; None: they stay codes."""
    if rule.keeps_codes:
        return None
    how = "PIXELS"
    if rule.pixel_max != 255:
        how += f" / {255 / rule.pixel_max:g}"
    if rule.mean:
        how = f"({how} - {list(rule.mean)}) / {list(rule.std)}"
    return numbers_of_pictures(
        rule, hint=f"give pictures, which are prepared so; or save {how}, by channel; {_OF_BYTES}"
    )
