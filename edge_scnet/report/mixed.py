"""What a mix of INT8 and float would bring where INT8 misses its limit: in words."""

from __future__ import annotations

from edge_scnet.report.run_report import MixedPrecision
from edge_scnet.stats.decibels import decibels

_NAMED = 6


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
        f"  to build and judge it: {mixed.command}",
        *(on_board if mixed.time_ratio is None else ()),
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
