"""A report as Markdown, and the escaping of its text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from edge_scnet.core.printable import printable
from edge_scnet.report import notes
from edge_scnet.report.run_report import RunReport, WorstSample, judged_words
from edge_scnet.report.summary import SWEEP_HEAD, summary_rows, sweep_cells

_MOST_WORST = 6
# What XML 1.0 cannot hold, not even escaped.
NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def markdown(report: RunReport) -> str:
    """Returns the verdict and the table of engines, for a pull request."""
    engines, rows = summary_rows(report)
    lines = [
        f"### {escaped(report.model)} for {escaped(report.target)}",
        "",
        escaped(report.verdict),
        "",
        "| | " + " | ".join(map(escaped, engines)) + " |",
        "|---|" + "---:|" * len(engines),
        *(_row([title, *cells]) for title, cells in rows),
        "",
        *(f"- {escaped(note)}" for note in notes.doubts(report)),
    ]
    if report.sweep:
        lines += ["", _row(SWEEP_HEAD), "|" + "---|" * len(SWEEP_HEAD)]
        lines += [_row(sweep_cells(row)) for row in report.sweep]
    if report.worst:
        lines += ["", *_worst(report.worst[:_MOST_WORST], judged_words(report))]
    lines += ["", f"{escaped(notes.machine_words(report))}; {escaped(report.command)}"]
    return "\n".join(lines) + "\n"


def _worst(samples: Sequence[WorstSample], judged: str) -> Iterator[str]:
    """Yields a table of what is said of the samples that the judged engine lost most on."""
    columns = list(dict.fromkeys(said.by for sample in samples for said in sample.said))
    yield _row([f"{judged} lost most on", *columns])
    yield "|---|" + "---|" * len(columns)
    for sample in samples:
        said = {each.by: each.lines[0] if each.lines else "" for each in sample.said}
        yield _row([sample.sample, *(said.get(column, "") for column in columns)])


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(map(escaped, cells))} |"


def escaped(text: str) -> str:
    """Returns text as Markdown that stays text, on one line."""
    flat = re.sub(r"\s+", " ", NOT_XML.sub("\ufffd", printable(text))).strip()
    return re.sub(r"([\\`*_{}\[\]|#~])", r"\\\1", flat.replace("&", "&amp;").replace("<", "&lt;"))


def in_code(text: str) -> str:
    """Returns text for between backticks, where nothing is escaped, on one line."""
    return printable(text).replace("`", "'")
