"""The README of a package: what it is, how it runs, and the figures of its build."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from edge_scnet.__about__ import __version__
from edge_scnet.core.preprocessing_words import input_words
from edge_scnet.package.facts import PackageFacts
from edge_scnet.package.form import Format
from edge_scnet.report.markdown import escaped, in_code
from edge_scnet.report.notes import machine_words
from edge_scnet.report.summary import summary_rows

# Rows of a report's table that are told; the report has all.
_FIGURES = (
    "latency p50, ms",
    "throughput, images/s",
    "end to end, ms",
    "memory steady, MB",
    "files, MB",
    "top-1, %",
    "drop, pp",
    "agreement, %",
    "SQNR, dB",
)


def readme(form: Format, facts: PackageFacts, *, steps: str, notes: Sequence[str] = ()) -> str:
    """Returns the README of a package.

    Args:
        steps: commands that run it, without a fence around them.
        notes: sentences about what it cannot do, or what it needs.
    """
    made_with = f"{facts.runtime_title} {facts.runtime_version or ''}".strip()
    lines = [
        f"# {escaped(facts.model.name)}: {form.title}",
        "",
        f"{_precision(facts)} engine for the target {escaped(facts.target.name)}, made with"
        f" {escaped(made_with)}; packaged by edge-scnet {__version__}.",
        "",
        *_held_back(facts),
        "```sh",
        steps.strip("\n"),
        "```",
        "",
        f"- Input: {escaped(input_words(facts.model))}; {_fed(facts)}.",
        *(f"- {note}" for note in (*_needs(facts), *notes)),
        "",
        *_figures(facts),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


def _precision(facts: PackageFacts) -> str:
    return "A float" if facts.precision == "fp32" else f"An {facts.precision.upper()}"


def _held_back(facts: PackageFacts) -> Iterator[str]:
    if facts.held_back is not None:
        yield f"**This engine did not ship:** {escaped(facts.held_back)}"
        yield ""


def _fed(facts: PackageFacts) -> str:
    form = facts.input
    order = "grey" if facts.reads_grey else facts.model.preprocessing.colour
    codes = f"the pixels' codes, {order}" if form.is_bytes else "prepared numbers"
    sizes = " x ".join(map(str, facts.input_sizes))
    return f"the engine takes {codes}, {form.dtype} {sizes}"


def _needs(facts: PackageFacts) -> Iterator[str]:
    """What the machine needs, and what the files are."""
    if facts.target.device == "CPU" and facts.precision == "int8":
        wrong = (
            "; below that its sums are wrong without a word" if facts.is_wrong_below_floor else ""
        )
        yield f"CPU: {escaped(facts.floor)} or newer{wrong}."
    if facts.board is not None:
        yield f"It runs on {escaped(facts.board)} with exactly this TensorRT, and nowhere else."
    hashes = (f"`{part.name}` {part.sha256[:12]}..." for part in facts.files)
    yield f"SHA-256: {', '.join(hashes)}. Built by `{in_code(facts.rebuild)}`."


def _figures(facts: PackageFacts) -> Iterator[str]:
    """The report's table of this engine and what it is held against."""
    report, row = facts.report, facts.row
    if report is None or row is None:
        yield "No figures: the engine was not measured."
        return
    heads, rows = summary_rows(report)
    reference = facts.reference
    shown = [i for i, each in enumerate(report.engines) if each is reference or each is row]
    yield _line(["", *(heads[i] for i in shown)])
    yield f"|---|{'---:|' * len(shown)}"
    for title, cells in rows:
        if title in _told(facts) and any(cells[i] != "-" for i in shown):
            yield _line([title, *(cells[i] for i in shown)])
    images = "" if report.evaluation is None else f", {report.evaluation.images:,} images"
    yield ""
    yield f"Measured on {escaped(machine_words(report))}, {report.created_utc[:10]}{images}."
    if facts.held_back is None:
        yield ""
        yield escaped(report.verdict)


def _told(facts: PackageFacts) -> Mapping[str, None]:
    """The titles of the rows that are told: times, sizes and the figures of the task."""
    row = facts.row
    task = row.accuracy.task if row is not None and row.accuracy is not None else None
    metrics = () if task is None else task.metrics
    named = (f"{each.name}{each.unit and ', ' + each.unit}" for each in metrics)
    return dict.fromkeys((*_FIGURES, *named))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(escaped, cells))} |"
