"""`report.html`: a run as one self-contained page, light and dark, for a phone as for a wide
screen. Reads a report alone.

Everything that comes from a file is escaped: class names, paths and messages may hold markup. Plots
are matplotlib's SVG whose ink is the page's own text colour, so that they follow its theme.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import partial
from html import escape

from edge_scnet.report import notes
from edge_scnet.report.per_class import class_name, per_class
from edge_scnet.report.plots import (
    batch_figure,
    blocks_figure,
    latency_figure,
    memory_figure,
    svg_of,
    trade_figure,
)
from edge_scnet.report.run_report import EngineReport, Flip, RunReport, reference_row

_DATA_URL = re.compile(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/=]+")
_FLIP_CSS = {"lost": "fail", "won": "pass", "changed": "skipped"}
_MOST_CLASSES = 20
_VERDICTS = {"ship": "good", "accurate": "good", "do not ship": "bad", "not accurate": "bad"}
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1f; --paper: #ffffff; --soft: #5f6068; --line: #d9d9de; --good: #0a7d45;
  --bad: #c02b1d; --open: #96660a }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8ec; --paper: #17181c; --soft: #a2a3ad; --line: #3a3b42;
  --good: #4cc38a; --bad: #ff7b6b; --open: #f0b650 } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 60rem; padding: 1.2rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
h1 { font-size: 1.35rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2rem 0 .4rem }
.soft { color: var(--soft); font-size: .9rem } .verdict { border-left: .35rem solid var(--open); padding: .6rem .9rem;
  margin: 1rem 0; font-size: 1.05rem } .verdict.good { border-color: var(--good) } .verdict.bad { border-color: var(--bad) }
.wide { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem }
th, td { padding: .25rem .8rem .25rem 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap }
th:first-child, td:first-child { text-align: left } td.text { white-space: normal; text-align: left }
.pass { color: var(--good) } .fail { color: var(--bad) } .inconclusive { color: var(--open) } .skipped { color: var(--soft) }
svg { max-width: 100%; height: auto; color: var(--ink) } svg text { font-family: system-ui, sans-serif }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); gap: 1rem }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: .8rem }
figure { margin: 0; font-size: .8rem; line-height: 1.35 } figure img { height: 5rem; image-rendering: pixelated;
  display: block; margin-bottom: .2rem } ul { padding-left: 1.2rem }
details { margin-top: .6rem } pre { overflow-x: auto; font-size: .8rem; white-space: pre-wrap }
"""


def render(report: RunReport) -> str:
    """The page.

    Raises:
        MissingRuntimeError: matplotlib is not installed.
    """
    body = [
        f"<h1>{escape(report.model)} for {escape(report.target)}</h1>",
        (
            f'<p class="soft">{escape(report.created_utc)} · batch {report.batch} ·'
            f" {escape(machine_words(report))}</p>"
        ),
        _verdict(report),
        _notes(report),
        "<h2>Engines</h2>",
        _engines(report),
        _plots(report),
        _sweep(report),
        _flips(report),
        _classes(report),
        _outputs(report),
        _findings(report),
        _board(report),
        _details(report),
    ]
    title = escape(f"{report.model} for {report.target}: {report.verdict.partition(':')[0]}")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(filter(None, body))
        + "\n</body></html>\n"
    )


def machine_words(report: RunReport) -> str:
    facts = report.environment
    cores = f", {facts['cores']} cores" if facts.get("cores") else ""
    return (
        str(
            facts.get("jetson_model")
            or facts.get("board")
            or facts.get("cpu_model")
            or "machine not told"
        )
        + cores
    )


def _verdict(report: RunReport) -> str:
    kind = next((css for words, css in _VERDICTS.items() if report.verdict.startswith(words)), "")
    partial = (
        ""
        if report.complete or report.verdict.startswith("interrupted")
        else " (of an interrupted run)"
    )
    return f'<p class="verdict {kind}">{escape(report.verdict + partial)}</p>'


def _notes(report: RunReport) -> str:
    found = notes.doubts(report)
    return f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in found)}</ul>" if found else ""


def _engines(report: RunReport) -> str:
    from edge_scnet.report.summary import summary_rows

    head, rows = summary_rows(report)
    lines = "".join(f'<p class="soft">{escape(line)}</p>' for line in notes.facts(report))
    return _table(["", *head], [[title, *cells] for title, cells in rows]) + lines


def _sweep(report: RunReport) -> str:
    if not report.sweep:
        return ""
    table = _table(notes.SWEEP_HEAD, [notes.sweep_cells(row) for row in report.sweep])
    plot = svg_of("Throughput by batch", lambda axes: batch_figure(axes, report.sweep))
    return f'<h2>Other batches and threads</h2>{table}<div class="plots">{plot}</div>'


def _flips(report: RunReport) -> str:
    """The images that INT8 takes for something else than FP32, as a gallery."""
    found = report.flips
    if found is None:
        return ""
    reference = _reference(report)
    if not found.count:
        return f"<h2>Flipped images</h2><p>None: every first class is {reference}'s.</p>"
    shown = (
        ""
        if len(found.shown) == found.count
        else f", {len(found.shown)} shown: lost ones before others, the surest first"
    )
    cards = "".join(_card(flip, report.classes, reference) for flip in found.shown)
    return (
        f'<h2>Flipped images</h2><p class="soft">{found.count:,}{shown}</p><div'
        f' class="cards">{cards}</div>'
    )


def _reference(report: RunReport) -> str:
    """The name of what INT8 is held against: FP32, or FP16 on a board."""
    row = reference_row(report)
    return "FP32" if row is None else escape(row.name.upper())


def _card(flip: Flip, classes: Sequence[str], reference: str) -> str:
    # only what flips.py writes: a page must not load what a report names
    picture = flip.thumbnail if flip.thumbnail and _DATA_URL.fullmatch(flip.thumbnail) else None
    css = _FLIP_CSS.get(flip.kind, "")
    truth = "" if flip.truth is None else f"<br>is {escape(class_name(classes, flip.truth))}"
    return (
        "<figure>"
        + (f'<img src="{picture}" alt="">' if picture else "")
        + f'<figcaption><b class="{css}">{escape(flip.kind)}</b>'
        f" {escape(_image_name(flip.image))}{truth}<br>{reference}"
        f" {escape(class_name(classes, flip.was))} {flip.was_percent:.0f} %<br>INT8"
        f" {escape(class_name(classes, flip.now))} {flip.now_percent:.0f} %</figcaption></figure>"
    )


def _image_name(entry: str) -> str:
    """An idx file's images have numbers."""
    return f"image {entry}" if entry.isdecimal() else entry


def _classes(report: RunReport) -> str:
    rows = per_class(report)
    if not rows:
        return ""
    reference = reference_row(report)
    name = "FP32" if reference is None else reference.name.upper()
    head = ["class", "images", f"{name}, %", "INT8, %", "change, pp", "lost", "won"]
    cells = [
        [
            row.name,
            f"{row.images:,}",
            f"{row.reference_percent:.2f}",
            f"{row.percent:.2f}",
            f"{row.percent - row.reference_percent:+.2f}",
            str(row.lost),
            str(row.won),
        ]
        for row in rows
    ]
    table = _table(head, cells[:_MOST_CLASSES])
    more = _table(head, cells[_MOST_CLASSES:])
    rest = (
        f"<details><summary>The other {len(cells) - _MOST_CLASSES}</summary>{more}</details>"
        if cells[_MOST_CLASSES:]
        else ""
    )
    return f"<h2>By class, the greatest loss first</h2>{table}{rest}"


def _outputs(report: RunReport) -> str:
    rows = [
        [
            engine.name,
            output.name,
            (
                "exact"
                if output.identical
                else "-"
                if output.sqnr_db is None
                else f"{output.sqnr_db:.1f}"
            ),
            "-" if output.cosine is None else f"{output.cosine:.6f}",
        ]
        for engine in report.engines
        if engine is not reference_row(report)
        for output in engine.outputs
    ]
    return (
        f"<h2>Outputs against {_reference(report)}'s</h2>"
        + _table(["engine", "output", "SQNR, dB", "cosine"], rows)
        if rows
        else ""
    )


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = "".join(
        "<tr>" + "".join(f"<td>{escape(cell.strip())}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return (
        "<div"
        f' class="wide"><table><tr>{"".join(f"<th>{escape(cell)}</th>" for cell in head)}</tr>{lines}</table></div>'
    )


def _plots(report: RunReport) -> str:
    timed = [row for row in report.engines if row.latency is not None]
    drawn = []
    if timed:
        drawn.append(
            svg_of(
                "Latency of single inferences: share of runs below",
                lambda axes: latency_figure(axes, timed),
            )
        )
    judged = [row for row in timed if row.accuracy is not None and row.accuracy.labels is not None]
    if len(judged) > 1:
        drawn.append(svg_of("Accuracy against latency", lambda axes: trade_figure(axes, judged)))
    measured = [row for row in timed if row.memory is not None]
    if measured:
        drawn.append(
            svg_of("Memory of each engine's process", lambda axes: memory_figure(axes, measured))
        )
    for row in report.engines:
        if row.layer_times and row.role != "default":
            plot = svg_of(f"Time by block, {row.name}", partial(blocks_figure, row=row))
            words = f'<p class="soft">{escape(_layer_words(row))}</p>{_all_layers(row)}'
            drawn.append(plot.replace("</section>", f"{words}</section>"))
    return f'<div class="plots">{"".join(drawn)}</div>' if drawn else ""


def _all_layers(row: EngineReport) -> str:
    cells = [
        [
            ", ".join(layer.modules) or layer.name,
            layer.kind,
            layer.precision,
            f"{layer.median_ms:.4f}",
        ]
        for layer in sorted(row.layer_times, key=lambda layer: -layer.median_ms)
    ]
    return (
        "<details><summary>All"
        f" layers</summary>{_table(['modules', 'kind', 'precision', 'ms'], cells)}</details>"
    )


def _layer_words(row: EngineReport) -> str:
    """How the layers' times add up to the latency, and what is not INT8 or only converts."""
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
        words.append(f"{len(row.copies)} copies ({', '.join(row.copies[:3])})")
    if row.float_convolutions:
        words.append(f"convolutions in float: {', '.join(row.float_convolutions[:8])}")
    return "; ".join(words) + "."


def _findings(report: RunReport) -> str:
    if not report.findings:
        return ""
    rows = "".join(
        f'<tr><td class="{escape(finding.verdict)}">{escape(finding.verdict)}</td>'
        f'<td class="text">{escape(finding.metric)}</td>'
        f'<td class="text">{escape(finding.message)}</td></tr>'
        for finding in report.findings
    )
    return f'<h2>Findings</h2><div class="wide"><table>{rows}</table></div>'


def _board(report: RunReport) -> str:
    from edge_scnet.machine.board import board_words

    if report.board is None:
        return ""
    return "<h2>Board</h2>" + "".join(
        f"<p>{escape(line)}</p>" for line in board_words(report.board)
    )


def _details(report: RunReport) -> str:
    parts = []
    if report.evaluation is not None:
        images = report.evaluation
        words = (
            f"{images.images:,} images of {images.name}, {images.labels or 'no labels'}, sha256"
            f" {images.sha256[:12]}"
        )
        parts.append(f"<p>{escape(words)}</p>")
    parts.append(f"<p><code>{escape(report.command)}</code></p>")
    facts = [
        (str(key), str(value)) for key, value in report.environment.items() if value is not None
    ]
    facts += [(f"{stage}, s", f"{seconds:g}") for stage, seconds in report.stage_seconds.items()]
    facts += [(row.name, f"{row.file}, sha256 {row.sha256[:16]}") for row in report.engines]
    if (load := report.load) is not None:
        facts.append(
            (
                "other load",
                (
                    f"{load.others_cores:.2f} of {load.cores} cores, {load.stolen_percent:.1f} %"
                    " stolen"
                ),
            )
        )
    if report.provenance is not None:
        made = report.provenance
        facts += [
            ("checkpoint", ", ".join(made.weights)),
            ("calibration images", made.calibration_images or "-"),
        ]
        facts += [("preprocessing", str(made.preprocessing)), ("settings", str(made.settings))]
    rows = "".join(
        f'<tr><td>{escape(key)}</td><td class="text">{escape(value)}</td></tr>'
        for key, value in facts
    )
    table = f"<table>{rows}</table>"
    return (
        f"<h2>What was measured, and where</h2>{''.join(parts)}<details><summary>All"
        f" facts</summary>{table}</details>"
    )
