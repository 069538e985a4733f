"""The table of engines on the page: the judged one first, intervals below figures, a legend."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from edge_scnet.report.run_report import JUDGED_ROLES, RunReport, judged_words, reference_row
from edge_scnet.report.summary import summary_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A figure, and below it its interval or what belongs to it."""

    text: str
    small: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    title: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """An engine's column."""

    name: str
    judged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """The table, by groups of rows; groups without rows are not there."""

    columns: tuple[Column, ...]
    groups: tuple[tuple[str, tuple[Row, ...]], ...]
    # words and what they mean, of those that the table has
    legend: tuple[tuple[str, str], ...]


_HYPHEN = re.compile(r"(?<!\w)-(?=\d)")
_TIME = ("latency", "p90", "p99", "speed", "throughput", "end to end", "prepared ahead")
_SPACE = ("memory", "activations", "RAM", "files")
_GROUPS = ("Time", "Memory and size", "Executed in", "Accuracy")
_LEGEND = (
    ("speed", "speed", "{reference}'s time over the engine's, in blocks that were timed in turn"),
    (
        "prepared ahead",
        "prepared ahead",
        "end to end where the next image is prepared on another core meanwhile; the engine has the"
        " threads that leave that core",
    ),
    (
        "convolutions",
        "u8, i8, f32",
        "the precision in which the runtime executes them: u8 and i8 are INT8",
    ),
    ("loss of", "loss", "how much worse the engine is than {reference}; pp: percentage points"),
    ("drop", "drop", "{reference}'s top-1 minus the engine's; pp: percentage points"),
    (
        "lost",
        "lost, won",
        "images that {reference} has right and the engine wrong, and the other way around; p: how"
        " probable so uneven a split is by chance",
    ),
    ("agreement", "agreement", "images with {reference}'s first class"),
    (
        "SQNR",
        "SQNR",
        "signal to quantization noise of the outputs; 20 dB more is a tenth of the noise",
    ),
    (
        "calibration error",
        "calibration error",
        "how far the confidence is from the share of right answers",
    ),
)


def engines_of(report: RunReport) -> Engines:
    """Returns the table of a report's engines."""
    _, rows = summary_rows(report)
    order = sorted(
        range(len(report.engines)), key=lambda i: report.engines[i].role not in JUDGED_ROLES
    )
    grouped: dict[str, list[Row]] = {name: [] for name in _GROUPS}
    for title, cells in rows:
        picked = [cells[i].strip() for i in order]
        group = grouped[_group(title)]
        if "95 %" in title and group:
            of_loss = "loss" in title and not group[-1].title.startswith("loss")
            group[-1] = _with_interval(group[-1], picked, what="loss " if of_loss else "")
        else:
            group.append(Row(title=title.strip(), cells=tuple(map(_cell, picked))))
    return Engines(
        columns=tuple(
            Column(name=report.engines[i].name, judged=report.engines[i].role in JUDGED_ROLES)
            for i in order
        ),
        groups=tuple((name, tuple(rows)) for name, rows in grouped.items() if rows),
        legend=tuple(_legend(report, [title.strip() for title, _ in rows])),
    )


def _group(title: str) -> str:
    name = title.strip()
    if name.startswith(_TIME) or name in ("95 % interval", "95 % interval, x"):
        return "Time"
    if name.startswith(_SPACE):
        return "Memory and size"
    return "Executed in" if name == "convolutions" else "Accuracy"


def _cell(text: str) -> Cell:
    """A cell; what stands in brackets behind its figure goes below it."""
    figure, bracket, rest = text.partition(" (")
    return Cell(text=_minus(figure), small=rest.removesuffix(")") if bracket else "")


def _minus(text: str) -> str:
    """Figures with a minus as wide as a plus, so that they stand below each other."""
    return _HYPHEN.sub("\N{MINUS SIGN}", text)


def _with_interval(row: Row, ends: list[str], *, what: str) -> Row:
    cells = (
        Cell(text=cell.text, small="" if end == "-" else what + _minus(end))
        for cell, end in zip(row.cells, ends, strict=True)
    )
    return Row(title=row.title, cells=tuple(cells))


def _legend(report: RunReport, titles: list[str]) -> Iterator[tuple[str, str]]:
    row = reference_row(report)
    reference = "FP32" if row is None else row.name.upper()
    if any(engine.role == "default" for engine in report.engines):
        yield (
            "default",
            f"the same file as {reference}, in the precision that the runtime picks by itself:"
            " BF16 or FP16 where the processor has it",
        )
    # a board without INT8 is told nothing of it
    has_int8 = judged_words(report) == "INT8"
    for begin, word, meaning in _LEGEND:
        if begin == "convolutions" and not has_int8:
            continue
        if any(title.startswith(begin) for title in titles):
            yield word, meaning.format(reference=reference)
    if any("95 %" in title for title in titles):
        yield "small figures", "the 95 % interval of the figure above"
