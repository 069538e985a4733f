"""The same as Markdown, and its escaping."""

from __future__ import annotations

import re

from edge_scnet.report import notes
from edge_scnet.report.run_report import RunReport


def markdown(report: RunReport) -> str:
    """The verdict and the table of engines, for a pull request."""
    from edge_scnet.report.summary import summary_rows

    head, rows = summary_rows(report)
    lines = [
        f"### {escaped(report.model)} for {escaped(report.target)}",
        "",
        escaped(report.verdict),
        "",
    ]
    lines += ["| | " + " | ".join(map(escaped, head)) + " |", "|---|" + "---:|" * len(head)]
    lines += [
        f"| {escaped(title)} | " + " | ".join(map(escaped, cells)) + " |" for title, cells in rows
    ]
    lines += ["", *(f"- {escaped(note)}" for note in notes.doubts(report))]
    if report.sweep:
        lines += ["", f"| {' | '.join(notes.SWEEP_HEAD)} |", "|" + "---|" * len(notes.SWEEP_HEAD)]
        lines += [f"| {' | '.join(map(escaped, notes.sweep_cells(row)))} |" for row in report.sweep]
    return (
        "\n".join(
            [*lines, "", f"{escaped(notes.machine_words(report))}; {escaped(report.command)}"]
        )
        + "\n"
    )


# What XML 1.0 cannot hold, not even escaped.
NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def escaped(text: str) -> str:
    """Text of Markdown that stays text, on one line."""
    flat = re.sub(r"\s+", " ", NOT_XML.sub("\ufffd", text)).strip()
    return re.sub(r"([\\`*_{}\[\]|#~])", r"\\\1", flat.replace("&", "&amp;").replace("<", "&lt;"))
