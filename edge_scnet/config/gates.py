"""The limits that an engine is judged by: `[gates]` of a target, `[limits]` of a project file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from edge_scnet.config.schema import check_values


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """What the quantized engine may lose.

    Against FP32 on the same images, and against an earlier engine of its own.
    """

    max_drop_pp: Annotated[
        float, Meta(ge=0, le=100, description="percentage points of top-1, with labels")
    ] = 0.5
    min_agreement_percent: Annotated[
        Annotated[float, Meta(ge=0, le=100)] | None,
        Meta(description="same first class as FP32, without labels"),
    ] = 99.0
    min_sqnr_db: Annotated[
        Annotated[float, Meta(ge=0, le=200)] | None,
        Meta(description="of all outputs, for models without classes"),
    ] = None
    # of tasks other than classification
    max_f1_drop_pp: Annotated[
        float,
        Meta(
            ge=0,
            le=100,
            description=(
                "percentage points of F1 at the threshold, of boxes and of labels, with ground"
                " truth"
            ),
        ),
    ] = 2.0
    max_error_rise_percent: Annotated[
        float, Meta(ge=0, le=1000, description="of FP32's own error, with ground truth")
    ] = 5.0
    max_error_percent: Annotated[
        float,
        Meta(
            ge=0,
            le=100,
            description="mean difference from FP32's values, of their spread, without ground truth",
        ),
    ] = 5.0
    min_iou_percent: Annotated[
        float,
        Meta(
            ge=0,
            le=100,
            description="mIoU of maps, F1 of labels, or boxes to FP32's, without ground truth",
        ),
    ] = 95.0
    min_cosine: Annotated[
        float, Meta(ge=-1, le=1, description="mean of embeddings to FP32's, without ground truth")
    ] = 0.99
    min_slice_sqnr_db: Annotated[
        float,
        Meta(
            ge=0,
            le=200,
            description=(
                "of what varies in each part of an output, by itself: at 10 dB the noise is a tenth"
                " of the signal's variance"
            ),
        ),
    ] = 10.0

    # what ships an engine that is not proven faster; None: nothing but speed does
    min_size_gain_percent: Annotated[
        Annotated[float, Meta(gt=0, lt=100)] | None,
        Meta(description="files smaller than those of every other row of the run"),
    ] = None
    min_memory_gain_percent: Annotated[
        Annotated[float, Meta(gt=0, lt=100)] | None,
        Meta(description="memory below that of every other row, once it is loaded and running"),
    ] = None

    # against a baseline (`edge-scnet check`); the first two are paired on the same images
    max_drop_from_baseline_pp: Annotated[
        float, Meta(ge=0, le=100, description="percentage points of top-1")
    ] = 0.5
    max_agreement_fall_pp: Annotated[
        float, Meta(ge=0, le=100, description="of the images with FP32's first class")
    ] = 0.5
    max_sqnr_fall_db: Annotated[
        float, Meta(ge=0, le=200, description="of all outputs, against FP32")
    ] = 1.0
    max_scale_change_percent: Annotated[
        float,
        Meta(ge=0, le=100, description="of one tensor; kernels of other CPUs move it by 0.1"),
    ] = 2.0
    max_codes_fall_percent: Annotated[
        float, Meta(ge=0, le=100, description="of the distinct weight codes of one layer")
    ] = 20.0
    max_size_growth_percent: Annotated[
        float, Meta(ge=0, le=1000, description="of the engine's files")
    ] = 5.0
    max_slowdown_percent: Annotated[
        float,
        Meta(
            ge=0,
            le=99,
            description="of the speed relative to the reference in the same run",
        ),
    ] = 10.0
    max_memory_growth_percent: Annotated[
        float, Meta(ge=0, le=1000, description="of the engine once it is loaded and running")
    ] = 10.0

    def __post_init__(self) -> None:
        check_values(self)
