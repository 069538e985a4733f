"""What of an INT8 plan INT8 does not make faster, by its layers' times: in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edge_scnet.report.run_report import CostlyLayer, EngineReport

_NAMED = 3
# Of the layers' time: what takes less is not worth a sentence.
_LEAST_PERCENT = 1.0


def time_words(layers: Sequence[CostlyLayer], why: str) -> str | None:
    """Returns what the layers of one reason take: "0.124 ms, 12 % of its layers' time".

    None where no time is known.
    """
    chosen = [layer for layer in layers if layer.why == why]
    if not chosen:
        return None
    ms = sum(layer.median_ms for layer in chosen)
    return f"{ms:.3f} ms, {sum(layer.percent for layer in chosen):.0f} % of its layers' time"


def dearest_words(layers: Sequence[CostlyLayer], why: str) -> str:
    """Returns the dearest layers of one reason with their times."""
    chosen = [layer for layer in layers if layer.why == why]
    named = ", ".join(f"{layer.module} {layer.median_ms:.3f} ms" for layer in chosen[:_NAMED])
    return named + (", ..." if len(chosen) > _NAMED else "")


def float_words(layers: Sequence[CostlyLayer]) -> str | None:
    """Returns the other layers in float that are worth a sentence; None where none are."""
    chosen = [layer for layer in layers if layer.why == "float layer"]
    if sum(layer.percent for layer in chosen) < _LEAST_PERCENT:
        return None
    count = "1 other layer" if len(chosen) == 1 else f"{len(chosen)} other layers"
    return (
        f"{count} in float: {time_words(chosen, 'float layer')}"
        f" ({dearest_words(chosen, 'float layer')})"
    )


def advice_lines(row: EngineReport) -> Iterator[str]:
    """Yields what to do about the dearest of a plan's copies and float layers, a line each."""
    worth = [layer for layer in row.costly if layer.percent >= _LEAST_PERCENT]
    for layer in worth[:_NAMED]:
        where = (
            f"copy before {layer.module}" if layer.why == "copy" else f"{layer.why} {layer.module}"
        )
        yield (
            f"{row.name}, {where}: {layer.median_ms:.3f} ms, {layer.percent:.0f} % of its layers'"
            f" time; {layer.advice}"
        )
