"""The network by block as SVG: what executes in INT8, and where the time and the noise are."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

from edge_scnet.core.printable import printable
from edge_scnet.report.blocks import Block

# Three parts in one or more to white and to the page's dark grey (WCAG 1.4.11), and apart for those
# who see fewer colours; those of INT8 and of another precision are as in the plots.
_INT8, _FLOAT, _NOISE = "#0072b2", "#c26a00", "#a3508a"
# As wide as the plots beside it, in points, with their text size.
_WIDTH, _ROW, _BOX, _HEAD = 346, 22, 16, 22
_LEFT, _BOX_WIDTH = 1, 118
_TIME, _NOISE_AT, _BAR = 134, 248, 56
_LONGEST = 21  # characters of a name in its box
_TEXT = 'fill="currentColor" font-size="9.5"'


def network_svg(title: str, blocks: Sequence[Block]) -> str:
    """Returns the blocks below each other: a box for each, and its share of time and of noise.

    A box is blue as far as its time is in INT8. Names are escaped.

    Args:
        title: what the picture is of, for those who do not see it.
    """
    total = sum(block.ms for block in blocks) or 1.0
    most = max((block.ms for block in blocks), default=0.0) or 1.0
    known = [block.noise_percent for block in blocks if block.noise_percent is not None]
    height = _HEAD + _ROW * len(blocks)
    lines = [
        f'<svg role="img" aria-label="{html.escape(title)}" viewBox="0 0 {_WIDTH} {height}"'
        ' xmlns="http://www.w3.org/2000/svg">',
        *_head(has_noise=bool(known)),
    ]
    for number, block in enumerate(blocks):
        top = _HEAD + number * _ROW
        share = 100 * block.ms / total
        lines += [f"<g><title>{html.escape(words_of(block, share))}</title>", *_box(block, top)]
        if number:
            middle = _LEFT + _BOX_WIDTH / 2
            lines.append(
                f'<path d="M{middle} {top - _ROW + _BOX}V{top}" stroke="currentColor"'
                ' stroke-opacity=".45"/>'
            )
        lines += _bar(_TIME, top, block.ms / most, share, _INT8)
        if block.noise_percent:
            length = block.noise_percent / (max(known) or 1.0)
            lines += _bar(_NOISE_AT, top, length, block.noise_percent, _NOISE)
        lines.append("</g>")
    return "\n".join([*lines, "</svg>"])


def words_of(block: Block, share: float) -> str:
    """Returns what the picture shows of a block, in a sentence.

    Args:
        share: of the time of all layers, in percent.
    """
    in_int8 = 100 * block.int8_ms / block.ms if block.ms else 0.0
    noise = block.noise_percent
    return (
        f"{printable(block.name)}: {block.ms:.3f} ms, {share:.1f} % of the time, in {block.layers}"
        f" layer{'s' * (block.layers != 1)}, {in_int8:.0f} % of it in INT8"
        + ("" if noise is None else f"; {noise:.1f} % of the noise")
    )


def _head(*, has_noise: bool) -> Iterator[str]:
    """The legend of the boxes, and the titles of the columns."""
    for x, color, word in ((_LEFT, _INT8, "INT8"), (_LEFT + 42, _FLOAT, "float")):
        yield (
            f'<rect x="{x}" y="3" width="9" height="9" fill="{color}" fill-opacity=".3"'
            f' stroke="{color}"/>'
        )
        yield f'<text x="{x + 13}" y="11" {_TEXT}>{word}</text>'
    yield f'<text x="{_TIME}" y="11" {_TEXT}>share of time</text>'
    if has_noise:
        yield f'<text x="{_NOISE_AT}" y="11" {_TEXT}>share of noise</text>'


def _box(block: Block, top: float) -> Iterator[str]:
    """A box, filled from the left as far as its time is in INT8."""
    width = _BOX_WIDTH * (block.int8_ms / block.ms if block.ms else 0.0)
    for x, part, color in (
        (_LEFT, width, _INT8),
        (_LEFT + width, _BOX_WIDTH - width, _FLOAT),
    ):
        if part > 0.05:
            yield (
                f'<rect x="{x:.1f}" y="{top}" width="{part:.1f}" height="{_BOX}" fill="{color}"'
                ' fill-opacity=".3"/>'
            )
    yield (
        f'<rect x="{_LEFT}" y="{top}" width="{_BOX_WIDTH}" height="{_BOX}" rx="2" fill="none"'
        ' stroke="currentColor" stroke-opacity=".45"/>'
    )
    name = printable(block.name)
    shown = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"
    yield f'<text x="{_LEFT + 5}" y="{top + 11.5}" {_TEXT}>{html.escape(shown)}</text>'


def _bar(x: float, top: float, length: float, percent: float, color: str) -> Iterator[str]:
    """A bar with its figure behind it.

    Args:
        length: 0 to 1, of the longest.
    """
    width = max(_BAR * length, 0.5)
    yield (f'<rect x="{x}" y="{top + 3}" width="{width:.1f}" height="{_BOX - 6}" fill="{color}"/>')
    yield (f'<text x="{x + width + 4:.1f}" y="{top + 11.5}" {_TEXT}>{percent:.1f} %</text>')
