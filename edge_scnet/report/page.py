"""report.html: a run as one self-contained page, light and dark, for narrow and wide screens.

What the page shows is gathered here; how it looks is in `page.html.j2` and `page.css`. Everything
that comes from a file is escaped by the template: class names, paths and messages may hold markup.
Plots are matplotlib's SVG whose ink is the page's own text colour, so that they follow its theme.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edge_scnet.core.optional import require
from edge_scnet.core.preprocessing_words import words_of_facts
from edge_scnet.core.printable import printable_lines
from edge_scnet.machine.board import board_words
from edge_scnet.report import notes, plots
from edge_scnet.report.costs import dearest_words, float_words, time_words
from edge_scnet.report.per_class import class_name, per_class
from edge_scnet.report.run_report import (
    EngineReport,
    Flip,
    RunReport,
    WorstSample,
    judged_words,
    reference_row,
)
from edge_scnet.report.summary import SWEEP_HEAD, summary_rows, sweep_cells
from edge_scnet.stats.decibels import decibels

NEEDS = ("matplotlib", "jinja2")

_DATA_URL = re.compile(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/=]+")
_FLIP_CSS = {"lost": "fail", "won": "pass", "changed": "skipped"}
_MOST_CLASSES, _MOST_WORST = 20, 6
_VERDICTS = {"ship": "good", "accurate": "good", "do not ship": "bad", "not accurate": "bad"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """A table of text; without rows it is not shown."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plot:
    """A drawing, and of layers' times also what they add up to and all of them."""

    title: str
    svg: str
    words: str | None = None
    layers: _Table | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Card:
    """One flipped image."""

    kind: str
    css: str
    image: str
    truth: str | None
    was: str
    now: str
    picture: str | None  # a data: URL


@dataclass(frozen=True, slots=True, kw_only=True)
class _Result:
    """What an engine says of a sample, or its ground truth."""

    by: str
    lines: tuple[str, ...]
    picture: str | None  # a data: URL


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    """One of the samples that INT8 lost most on."""

    name: str
    picture: str | None  # a data: URL
    results: tuple[_Result, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """What the template shows beside the report's own fields."""

    machine: str
    reference: str  # the name of what INT8 is held against
    judged: str  # "INT8", or "FP16" of a board without it
    verdict: str
    verdict_css: str
    doubts: tuple[str, ...]
    engines: _Table
    facts: tuple[str, ...]
    plots: tuple[_Plot, ...]
    sweep: _Table
    sweep_plot: _Plot | None
    cards: tuple[_Card, ...]
    worst: tuple[_Sample, ...]
    classes: _Table
    more_classes: _Table
    outputs: _Table
    board: tuple[str, ...]
    images: str | None
    details: tuple[tuple[str, str], ...]


def _shown(value: object) -> object:
    """What the template shows of a value: of text that is no markup what is fit to be shown."""
    return printable_lines(value) if type(value) is str else value


def render(report: RunReport) -> str:
    """Returns the page.

    Raises:
        MissingRuntimeError: matplotlib or Jinja2 is not installed.
    """
    jinja2 = require("jinja2", extra="report")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        keep_trailing_newline=True,
    )
    text: str = environment.get_template("page.html.j2").render(report=report, page=_page(report))
    return text


def _page(report: RunReport) -> _Page:
    reference = reference_row(report)
    name = "FP32" if reference is None else reference.name.upper()
    classes = _classes(report, name)
    interrupted = not report.complete and not report.verdict.startswith("interrupted")
    return _Page(
        machine=notes.machine_words(report),
        reference=name,
        judged=judged_words(report),
        verdict=report.verdict + (" (of an interrupted run)" if interrupted else ""),
        verdict_css=next(
            (css for words, css in _VERDICTS.items() if report.verdict.startswith(words)), ""
        ),
        doubts=notes.doubts(report),
        engines=_engines(report),
        facts=(*_input(report), *notes.facts(report)),
        plots=tuple(_plots(report)),
        sweep=_table(SWEEP_HEAD, map(sweep_cells, report.sweep)),
        sweep_plot=_sweep_plot(report),
        cards=_cards(report),
        worst=tuple(map(_sample, report.worst[:_MOST_WORST])),
        classes=_table(classes.head, classes.rows[:_MOST_CLASSES]),
        more_classes=_table(classes.head, classes.rows[_MOST_CLASSES:]),
        outputs=_outputs(report, reference),
        board=() if report.board is None else tuple(board_words(report.board)),
        images=_images(report),
        details=tuple(_details(report)),
    )


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> _Table:
    return _Table(head=tuple(head), rows=tuple(tuple(cell.strip() for cell in row) for row in rows))


def _engines(report: RunReport) -> _Table:
    names, rows = summary_rows(report)
    return _table(["", *names], ([title, *cells] for title, cells in rows))


def _sweep_plot(report: RunReport) -> _Plot | None:
    if not report.sweep:
        return None
    return _plot("Throughput by batch", partial(plots.batch_figure, rows=report.sweep))


def _plot(
    title: str, draw: plots.Draw, *, words: str | None = None, layers: _Table | None = None
) -> _Plot:
    markupsafe = require("markupsafe", extra="report")
    # matplotlib has escaped the text in it
    svg = markupsafe.Markup(plots.svg_of(title, draw))
    return _Plot(title=title, svg=svg, words=words, layers=layers)


def _plots(report: RunReport) -> Iterator[_Plot]:
    timed = [row for row in report.engines if row.latency is not None]
    if timed:
        title = "Latency of single inferences: share of runs below"
        yield _plot(title, partial(plots.latency_figure, rows=timed))
    labelled = [
        row for row in timed if row.accuracy is not None and row.accuracy.labels is not None
    ]
    if len(labelled) > 1:
        yield _plot("Accuracy against latency", partial(plots.trade_figure, rows=labelled))
    measured = [row for row in timed if row.memory is not None]
    if measured:
        title = "Memory of each engine's process"
        yield _plot(title, partial(plots.memory_figure, rows=measured))
    for row in report.engines:
        if row.layer_times and row.role != "default":
            yield _plot(
                f"Time by block, {row.name}",
                partial(plots.blocks_figure, row=row),
                words=_layer_words(row),
                layers=_all_layers(row),
            )


def _all_layers(row: EngineReport) -> _Table:
    """Returns the layers, the slowest first."""
    layers = sorted(row.layer_times, key=lambda layer: -layer.median_ms)
    return _table(
        ("modules", "kind", "precision", "ms"),
        (
            (
                ", ".join(layer.modules) or layer.name,
                layer.kind,
                layer.precision,
                f"{layer.median_ms:.4f}",
            )
            for layer in layers
        ),
    )


def _layer_words(row: EngineReport) -> str:
    """Returns how the layers' times add up, and what is in float or only converts."""
    total = sum(layer.median_ms for layer in row.layer_times)
    words = [f"{len(row.layer_times)} layers, {total:.3f} ms together, each timed by itself"]
    if row.latency is not None:
        p50 = row.latency.p50_ms
        words.append(
            f"the latency is {p50:.3f} ms, which they miss by {total - p50:+.3f} ms"
            f" ({100 * (total / p50 - 1):+.0f} %)"
        )
    kinds: dict[str, float] = {}
    for layer in row.layer_times:
        key = f"{layer.kind} {layer.precision}"
        kinds[key] = kinds.get(key, 0.0) + layer.median_ms
    most = sorted(kinds.items(), key=lambda item: -item[1])[:6]
    words.append("by kind: " + ", ".join(f"{kind} {ms:.3f} ms" for kind, ms in most))
    if row.copies:
        taken = time_words(row.costly, "copy")
        named = ", ".join(row.copies[:3]) if taken is None else dearest_words(row.costly, "copy")
        words.append(f"{len(row.copies)} copies{f', {taken}' if taken else ''} ({named})")
    if (floats := float_words(row.costly)) is not None:
        words.append(floats)
    if row.float_convolutions:
        words.append(f"convolutions in float: {', '.join(row.float_convolutions[:8])}")
    if row.not_int8:
        words.append(f"not in INT8, though they should be: {', '.join(row.not_int8[:8])}")
    return "; ".join(words) + "."


def _cards(report: RunReport) -> tuple[_Card, ...]:
    if report.flips is None:
        return ()
    return tuple(_card(flip, report.classes) for flip in report.flips.shown)


def _card(flip: Flip, classes: Sequence[str]) -> _Card:
    return _Card(
        kind=flip.kind,
        css=_FLIP_CSS.get(flip.kind, ""),
        image=_sample_name(flip.image),
        truth=None if flip.truth is None else class_name(classes, flip.truth),
        was=f"{class_name(classes, flip.was)} {flip.was_percent:.0f} %",
        now=f"{class_name(classes, flip.now)} {flip.now_percent:.0f} %",
        picture=_own_picture(flip.thumbnail),
    )


def _sample(sample: WorstSample) -> _Sample:
    return _Sample(
        name=_sample_name(sample.sample),
        picture=_own_picture(sample.picture),
        results=tuple(
            _Result(
                by=said.by if said.by == "truth" else said.by.upper(),
                lines=said.lines,
                picture=_own_picture(said.picture),
            )
            for said in sample.said
        ),
    )


def _sample_name(entry: str) -> str:
    """A sample's name; an idx file's images have numbers."""
    return f"image {entry}" if entry.isdecimal() else entry


def _own_picture(url: str | None) -> str | None:
    """A picture that this package wrote; a page must not load what else a report names."""
    return url if url is not None and _DATA_URL.fullmatch(url) is not None else None


def _classes(report: RunReport, reference: str) -> _Table:
    return _table(
        (
            "class",
            "images",
            f"{reference}, %",
            f"{judged_words(report)}, %",
            "change, pp",
            "lost",
            "won",
        ),
        (
            (
                row.name,
                f"{row.images:,}",
                f"{row.reference_percent:.2f}",
                f"{row.percent:.2f}",
                f"{row.percent - row.reference_percent:+.2f}",
                str(row.lost),
                str(row.won),
            )
            for row in per_class(report)
        ),
    )


def _outputs(report: RunReport, reference: EngineReport | None) -> _Table:
    rows = []
    for engine in report.engines:
        if engine is reference:
            continue
        for output in engine.outputs:
            sqnr = "-" if output.sqnr_db is None else f"{output.sqnr_db:.1f}"
            cosine = "-" if output.cosine is None else f"{output.cosine:.6f}"
            rows.append((engine.name, output.name, "exact" if output.identical else sqnr, cosine))
        task = None if engine.accuracy is None else engine.accuracy.task
        for part in task.slices if task is not None else ():
            name = f"{part.output}, {part.part}" if part.part else f"{part.output}, what varies"
            cosine = "-" if part.cosine is None else f"{part.cosine:.6f}"
            rows.append((engine.name, name, decibels(part.sqnr_db, unit=""), cosine))
    return _table(("engine", "output", "SQNR, dB", "cosine"), rows)


def _input(report: RunReport) -> Iterator[str]:
    """How pictures become the network's input, which decides what all figures are worth."""
    if report.provenance is not None:
        yield f"input: {words_of_facts(report.provenance.preprocessing)}"


def _images(report: RunReport) -> str | None:
    if report.evaluation is None:
        return None
    images = report.evaluation
    return (
        f"{images.images:,} images of {images.name}, {images.labels or 'no labels'}, sha256"
        f" {images.sha256[:12]}"
    )


def _details(report: RunReport) -> Iterator[tuple[str, str]]:
    """Returns names and values of everything that the page does not show elsewhere."""
    for key, value in report.environment.items():
        if value is not None:
            yield key, str(value)
    for stage, seconds in report.stage_seconds.items():
        yield f"{stage}, s", f"{seconds:g}"
    for row in report.engines:
        yield row.name, f"{row.file}, sha256 {row.sha256[:16]}"
    if (load := report.load) is not None:
        yield (
            "other load",
            f"{load.others_cores:.2f} of {load.cores} cores, {load.stolen_percent:.1f} % stolen",
        )
    if (inputs := report.provenance) is not None:
        yield "checkpoint", ", ".join(inputs.weights)
        yield "calibration images", inputs.calibration_images or "-"
        yield "settings", str(inputs.settings)
