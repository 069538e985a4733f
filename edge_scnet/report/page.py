"""report.html: a run as one self-contained page, light and dark, for narrow and wide screens.

What the page shows is gathered here; how it looks is in `page.html.j2`, `page.css` and
`page_narrow.css`. Everything that comes from a file is escaped by the template: class names, paths
and messages may hold markup.
Plots are matplotlib's SVG whose ink is the page's own text colour, so that they follow its theme.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from edge_scnet.core.optional import require
from edge_scnet.core.printable import printable_lines
from edge_scnet.machine.board import board_words
from edge_scnet.report import notes, page_facts, page_layers, page_network, plots
from edge_scnet.report.page_engines import Engines, engines_of
from edge_scnet.report.page_head import Head, head_of, signed
from edge_scnet.report.per_class import class_name, per_class
from edge_scnet.report.run_report import (
    EngineReport,
    Flip,
    RunReport,
    WorstSample,
    judged_words,
    reference_row,
)
from edge_scnet.report.summary import SWEEP_HEAD, sweep_cells
from edge_scnet.stats.decibels import decibels

# Two bars, a long and a short one: FP32's time and INT8's. A browser asks the server for an icon
# where a page has none.
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Crect y='2' width='16' height='5' rx='1' fill='%237d8088'/%3E"
    "%3Crect y='9' width='8' height='5' rx='1' fill='%230072b2'/%3E%3C/svg%3E"
)
_DATA_URL = re.compile(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/=]+")
_FLIP_CSS = {"lost": "fail", "won": "pass", "changed": "skipped"}
_MOST_CLASSES, _MOST_WORST = 20, 6


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """A table of text; without rows it is not shown."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plot:
    """A drawing; of layers' times also what they come to, and all of them as tables."""

    title: str
    svg: str
    words: tuple[str, ...] = ()
    tables: tuple[tuple[str, _Table], ...] = ()


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

    head: Head
    machine: str
    when: str
    made_by: str
    icon: str  # a data: URL
    reference: str  # the name of what INT8 is held against
    judged: str  # "INT8", or "FP16" of a board without it
    context: tuple[tuple[str, str], ...]
    noise: str
    doubts: tuple[str, ...]
    engines: Engines
    advice: tuple[str, ...]
    running: tuple[str, ...]
    plots: tuple[_Plot, ...]
    network: _Plot | None
    blocks: _Plot | None
    sweep: _Table
    sweep_plot: _Plot | None
    cards: tuple[_Card, ...]
    worst: tuple[_Sample, ...]
    classes: _Table
    more_classes: _Table
    outputs: _Table
    board: tuple[str, ...]
    details: tuple[tuple[str, str], ...]


def _shown(value: object) -> object:
    """What the template shows of a value: of text that is no markup what is fit to be shown."""
    return printable_lines(value) if type(value) is str else value


def render(report: RunReport) -> str:
    """Returns the page.

    Raises:
        MissingRuntimeError: matplotlib or Jinja2 is not installed.
    """
    text: str = template_of("page.html.j2").render(report=report, page=_page(report))
    return text


def template_of(name: str) -> Any:
    """Returns a template of this folder, which escapes what it shows.

    Raises:
        MissingRuntimeError: Jinja2 is not installed.
    """
    jinja2 = require("jinja2", extra="report")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        keep_trailing_newline=True,
    )
    return environment.get_template(name)


def _page(report: RunReport) -> _Page:
    reference = reference_row(report)
    name = "FP32" if reference is None else reference.name.upper()
    classes = _classes(report, name)
    return _Page(
        head=head_of(report),
        machine=notes.machine_words(report),
        when=page_facts.when(report.created_utc),
        made_by=page_facts.made_by(report),
        icon=ICON,
        reference=name,
        judged=judged_words(report),
        context=tuple(page_facts.context(report)),
        noise=_capital(notes.brief(report) or ""),
        doubts=notes.doubts(report),
        engines=engines_of(report),
        advice=page_facts.advice(report),
        running=page_facts.running(report),
        plots=tuple(_plots(report)),
        network=_network(report),
        blocks=_blocks(report),
        sweep=_table(SWEEP_HEAD, map(sweep_cells, report.sweep)),
        sweep_plot=_sweep_plot(report),
        cards=_cards(report),
        worst=tuple(map(_sample, report.worst[:_MOST_WORST])),
        classes=_table(classes.head, classes.rows[:_MOST_CLASSES]),
        more_classes=_table(classes.head, classes.rows[_MOST_CLASSES:]),
        outputs=_outputs(report, reference),
        board=() if report.board is None else tuple(board_words(report.board)),
        details=tuple(page_facts.details(report)),
    )


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> _Table:
    return _Table(head=tuple(head), rows=tuple(tuple(cell.strip() for cell in row) for row in rows))


def _sweep_plot(report: RunReport) -> _Plot | None:
    if not report.sweep:
        return None
    return _plot("Throughput by batch", partial(plots.batch_figure, rows=report.sweep))


def _plot(
    title: str,
    draw: plots.Draw,
    *,
    words: tuple[str, ...] = (),
    tables: tuple[tuple[str, _Table], ...] = (),
) -> _Plot:
    markupsafe = require("markupsafe", extra="report")
    # matplotlib has escaped the text in it
    svg = markupsafe.Markup(plots.svg_of(title, draw))
    return _Plot(title=title, svg=svg, words=words, tables=tables)


def _plots(report: RunReport) -> Iterator[_Plot]:
    timed = [row for row in report.engines if row.latency is not None]
    known = [row for row in timed if plots.accuracy_of(row) is not None]
    if len(known) > 1:
        limit = plots.limit_of(report.findings, known[0])
        draw = partial(plots.trade_figure, rows=known, limit_pp=limit)
        yield _plot("Accuracy against latency", draw)
    if timed:
        yield _plot("Latency of single inferences", partial(plots.latency_figure, rows=timed))
    if any(row.memory is not None for row in timed):
        draw = partial(plots.memory_figure, rows=timed)
        yield _plot("Memory of each engine's process", draw)


def _network(report: RunReport) -> _Plot | None:
    title = "The network by block"
    drawn = page_network.drawn(report, title)
    if drawn is None:
        return None
    markupsafe = require("markupsafe", extra="report")
    # names in it are escaped
    return _Plot(title=title, svg=markupsafe.Markup(drawn.svg), words=drawn.words)


def _blocks(report: RunReport) -> _Plot | None:
    rows = page_layers.layered(report)
    if not rows:
        return None
    names = [row.name for row in rows]
    kinds = _table(("kind", "precision", *names), page_layers.kinds(rows))
    head = ("modules", "kind", "precision", "ms")
    every = ((f"All layers of {row.name}", _table(head, page_layers.layers(row))) for row in rows)
    return _plot(
        f"Time by block, {' and '.join(names)}",
        partial(plots.blocks_figure, rows=rows),
        words=page_layers.words_of(rows),
        tables=(("By kind of layer, ms", kinds), *every),
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


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
    judged = f"{judged_words(report)}, %"
    return _table(
        ("class", "change, pp", judged, f"{reference}, %", "lost", "won", "images"),
        (
            (
                row.name,
                signed(row.percent - row.reference_percent, ".2f"),
                f"{row.percent:.2f}",
                f"{row.reference_percent:.2f}",
                str(row.lost),
                str(row.won),
                f"{row.images:,}",
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
