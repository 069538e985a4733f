"""A mix of INT8 and float where INT8 misses its limit: the record, and its words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from edge_scnet.stats.decibels import decibels

_NAMED = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatModule:
    """A module that costs accuracy in INT8."""

    name: str
    noise_percent: Annotated[
        float, Meta(description="of the noise that INT8 makes, by each module alone")
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedPrecision:
    """A mix of INT8 and float for an INT8 engine that misses its limit.

    It was built and measured on calibration images beside the all-INT8 engine, or simulated.
    """

    modules: Annotated[
        tuple[FloatModule, ...], Meta(description="to leave in float, the greatest part first")
    ]
    of_modules: Annotated[int, Meta(description="that can be quantized")]
    keeps_limit: Annotated[
        bool, Meta(description="on the calibration images; False: the closest that was measured")
    ]
    limit: Annotated[str, Meta(description="what was looked for")]
    int8_sqnr_db: Annotated[float | None, Meta(description="of all INT8; null: exact")]
    sqnr_db: float | None
    time_ratio: Annotated[
        float | None,
        Meta(description="measured, to the all-INT8 engine; null: simulated, nothing was timed"),
    ]
    time_low: Annotated[float | None, Meta(description="of the 95 % interval")]
    time_high: float | None
    float_work_percent: Annotated[float, Meta(description="of the multiply-adds in float")]
    images: Annotated[int, Meta(description="calibration images it was measured on")]
    seconds: Annotated[float, Meta(description="that finding it took")]
    command: Annotated[str, Meta(description="builds and judges it")]
    needs_images: Annotated[
        int | None,
        Meta(description="for calibration by the command; null: those given do, 0: none do"),
    ] = None


def mixed_words(mixed: MixedPrecision) -> tuple[str, ...]:
    """Returns the modules that cost INT8 its limit, what float costs there, and how to build it."""
    names = ", ".join(module.name for module in mixed.modules[:_NAMED])
    rest = len(mixed.modules) - _NAMED
    more = f" and {rest} more" if rest > 0 else ""
    share = sum(module.noise_percent for module in mixed.modules)
    is_one = len(mixed.modules) == 1
    found = "simulated" if mixed.time_ratio is None else "measured"
    # off their board alone no times are measured
    on_board = (
        "  by measured time, on the board: build with --search-on-board, and there: edge-scnet"
        " compile bundle.tar.gz --search 600",
    )
    kept = f"keeps {mixed.limit}"
    if not mixed.keeps_limit:
        kept = f"still misses {mixed.limit} (the closest that was {found})"
    return (
        f"mixed precision: {len(mixed.modules)} of {mixed.of_modules} modules"
        f" {'causes' if is_one else 'cause'} {share:.0f} % of INT8's noise: {names}{more}",
        f"  with {'it' if is_one else 'them'} in float, {found} on {mixed.images:,} calibration"
        f" images: {decibels(mixed.int8_sqnr_db)} becomes {decibels(mixed.sqnr_db)}, which {kept};"
        f" {_cost(mixed)}",
        f"  to build and judge it{_needed(mixed)}: {mixed.command}",
        *(on_board if mixed.time_ratio is None else ()),
    )


def _needed(mixed: MixedPrecision) -> str:
    if mixed.needs_images is None:
        return ""
    if not mixed.needs_images:
        return ", with a --max-drop above 0, for no number of images proves 0 pp"
    return (
        f", with {mixed.needs_images:,} or more calibration images, for fewer cannot prove that"
        " the drop is within its limit"
    )


def _cost(mixed: MixedPrecision) -> str:
    if mixed.time_ratio is None:
        return (
            f"{mixed.float_work_percent:.1f} % of the multiply-adds are in float then; times are"
            " not measured here"
        )
    spread = (
        ""
        if mixed.time_low is None or mixed.time_high is None
        else f" ({mixed.time_low:.2f} to {mixed.time_high:.2f})"
    )
    return f"measured time: {mixed.time_ratio:.2f}x all INT8's{spread}"
