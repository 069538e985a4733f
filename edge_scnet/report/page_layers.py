"""The layers of the engines on the page: by block in one chart, by kind and all as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edge_scnet.report.costs import dearest_words, float_words, time_words
from edge_scnet.report.run_report import JUDGED_ROLES, EngineReport, RunReport

_NAMED = 8


def layered(report: RunReport) -> tuple[EngineReport, ...]:
    """Returns the engines whose layers were timed, the reference first; `default` is left out."""
    rows = [row for row in report.engines if row.layer_times and row.role != "default"]
    return tuple(sorted(rows, key=lambda row: row.role in JUDGED_ROLES))


def words_of(rows: Sequence[EngineReport]) -> tuple[str, ...]:
    """Returns what the layers' times add up to, and what of an engine is not in INT8."""
    sums = ", ".join(
        f"{row.name} {sum(layer.median_ms for layer in row.layer_times):.3f} ms in"
        f" {len(row.layer_times)} layer{'s' * (len(row.layer_times) != 1)}"
        for row in rows
    )
    first = (
        f"The sums: {sums}. Each layer is timed by itself, in another run than the latency: compare"
        " blocks with each other, not their sum with the latency."
    )
    return (first, *(words for row in rows for words in _not_int8(row)))


def _not_int8(row: EngineReport) -> Iterator[str]:
    if row.copies:
        taken = time_words(row.costly, "copy")
        named = ", ".join(row.copies[:3]) if taken is None else dearest_words(row.costly, "copy")
        count = f"{len(row.copies)} {'copy' if len(row.copies) == 1 else 'copies'}"
        yield f"{row.name}: {count}{f', {taken}' if taken else ''} ({named})."
    if (floats := float_words(row.costly)) is not None:
        yield f"{row.name}: {floats}."
    if row.float_convolutions:
        yield f"{row.name}: convolutions in float: {_listed(row.float_convolutions)}"
    if row.not_int8:
        yield f"{row.name}: not in INT8, though they should be: {_listed(row.not_int8)}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else ".")


def kinds(rows: Sequence[EngineReport]) -> Iterator[tuple[str, ...]]:
    """Yields by kind of layer and precision its time in each engine, the longest first."""
    sums: dict[tuple[str, str], list[float]] = {}
    for number, row in enumerate(rows):
        for layer in row.layer_times:
            times = sums.setdefault((layer.kind, layer.precision), [0.0] * len(rows))
            times[number] += layer.median_ms
    for (kind, precision), times in sorted(sums.items(), key=lambda item: -max(item[1])):
        yield kind, precision, *(f"{ms:.3f}" if ms else "-" for ms in times)


def layers(row: EngineReport) -> Iterator[tuple[str, ...]]:
    """Yields an engine's layers, the slowest first."""
    for layer in sorted(row.layer_times, key=lambda layer: -layer.median_ms):
        modules = ", ".join(layer.modules) or layer.name
        yield modules, layer.kind, layer.precision, f"{layer.median_ms:.4f}"
