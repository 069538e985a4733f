"""The network by block on the page: the picture, and what it says in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edge_scnet.report.blocks import Block, blocks_of
from edge_scnet.report.network_svg import network_svg
from edge_scnet.report.run_report import RunReport, timed_row

_NAMED = 3
# Of the time or the noise, in percent: what is less is not worth a name.
_LEAST = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A picture and the sentences beside it."""

    svg: str
    words: tuple[str, ...]


def drawn(report: RunReport, title: str) -> Drawn | None:
    """Returns the INT8 engine by block; None where there is none whose layers were timed."""
    row = timed_row(report)
    if row is None or row.role != "int8" or not row.layer_times:
        return None
    blocks = blocks_of(row, report.noise)
    return Drawn(
        svg=network_svg(f"{title}, {row.name}", blocks),
        words=tuple(_words(report, blocks, row.name)),
    )


def _words(report: RunReport, blocks: Sequence[Block], name: str) -> Iterator[str]:
    total = sum(block.ms for block in blocks) or 1.0
    in_int8 = 100 * sum(block.int8_ms for block in blocks) / total
    yield (
        f"{name}, from the input down to the outputs: {in_int8:.1f} % of its layers' time is in"
        " INT8. A box is blue as far as its time is. Branches stand where they run."
    )
    in_float = {block.name: 100 * (block.ms - block.int8_ms) / total for block in blocks}
    if named := _most(in_float):
        yield f"Time in float: {named} of all."
    noise = {b.name: b.noise_percent for b in blocks if b.noise_percent is not None}
    if noise:
        before = " It was measured in front of the recovery." if report.recovery else ""
        yield (
            f"Most of the noise: {_most(noise) or 'in no block'}. It is what each module adds to"
            f" the outputs' noise where it alone is in INT8, of the sum over all.{before}"
        )
    else:
        yield (
            "The share of noise is not known: edge-scnet sensitivity measures it, with the options"
            " of the build, and draws it here."
        )


def _most(percents: dict[str, float]) -> str:
    """The greatest of them in words; nothing where all are small."""
    found = sorted(percents.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {share:.1f} %" for name, share in found[:_NAMED] if share >= _LEAST)
