"""Findings for machines and people: JUnit, Markdown, GitHub, GitLab, a table.

Names and messages come from files that anybody may have written: each format's own escaping is
applied to all of them, for a message must not be able to end an annotation, a table's row or an XML
element.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from edge_scnet.core.printable import printable, printable_lines
from edge_scnet.errors import ExitCode
from edge_scnet.report.markdown import NOT_XML, escaped

if TYPE_CHECKING:
    from rich.table import Table

    from edge_scnet.gate.check import Checked
    from edge_scnet.report.findings import Finding

_SEVERITY = {
    ExitCode.ACCURACY: "critical",
    ExitCode.SPEED: "major",
    ExitCode.INCOMPARABLE: "major",
    ExitCode.INCONCLUSIVE: "minor",
}
_MARKS = {"pass": "ok", "fail": "FAIL", "inconclusive": "unclear", "skipped": "skipped"}


def junit(checks: Sequence[Checked]) -> str:
    """Returns JUnit XML: a suite for a report, a case for a finding.

    It has the form that Jenkins' schema (junit-10.xsd) describes.
    """
    root = ElementTree.Element("testsuites", name="edge-scnet check")
    for check in checks:
        _add_suite(root, check)
    ElementTree.indent(root)
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _add_suite(root: ElementTree.Element, check: Checked) -> None:
    findings = check.findings
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        name=_xml(check.title),
        tests=str(len(findings)),
        errors="0",
        failures=str(sum(finding.exit_code != 0 for finding in findings)),
        skipped=str(sum(finding.verdict == "skipped" for finding in findings)),
        time="0",
        timestamp=_xml(check.report.created_utc[:19]),
    )
    for finding in findings:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=_xml(f"edge_scnet.{check.report.model}.{check.report.target}"),
            name=_xml(finding.metric),
            time="0",
        )
        message = _xml(finding.message)
        if finding.verdict == "skipped":
            ElementTree.SubElement(case, "skipped", message=message)
        elif finding.exit_code:
            failure = ElementTree.SubElement(case, "failure", message=message, type=finding.verdict)
            failure.text = _xml(_details(finding))
        else:
            ElementTree.SubElement(case, "system-out").text = message


def _xml(text: str) -> str:
    return NOT_XML.sub("\ufffd", printable_lines(text))


def _details(finding: Finding) -> str:
    lines = [finding.message]
    figures = (
        ("measured", finding.measured),
        ("expected", finding.expected),
        ("limit", finding.limit),
    )
    lines += [
        f"{name}: {value:g} {finding.unit}".rstrip() for name, value in figures if value is not None
    ]
    if finding.cause:
        lines.append(f"changed since the baseline: {finding.cause}")
    return "\n".join(lines)


def markdown(checks: Sequence[Checked]) -> str:
    """Returns a job summary: a headline and a table for each report, what is not well first."""
    parts = []
    for check in checks:
        parts.append(f"### {escaped(check.title)}: {escaped(check.headline)}\n")
        parts.append("| | metric | measured | baseline | limit | |\n|---|---|---|---|---|---|")
        for finding in sorted(
            check.findings, key=lambda f: (f.verdict == "skipped", f.exit_code == 0)
        ):
            cells = [_value(finding, value) for value in (finding.measured, finding.expected)]
            limit = "" if finding.limit is None else f"{finding.limit:g}"
            row = (_MARKS[finding.verdict], finding.metric, *cells, limit, finding.message)
            parts.append("| " + " | ".join(escaped(cell) for cell in row) + " |")
        cause = next((finding.cause for finding in check.findings if finding.cause), None)
        parts.append(f"\nChanged since the baseline: {escaped(cause)}.\n" if cause else "")
    return "\n".join(parts).rstrip() + "\n"


def _value(finding: Finding, value: float | None) -> str:
    if value is None:
        return ""
    if finding.unit == "bytes":
        return f"{value / 1e6:.2f} MB"
    return f"{value:.4g} {finding.unit}".strip()


def github(checks: Sequence[Checked]) -> list[str]:
    """Returns workflow commands that annotate the reports' files in a run of GitHub's.

    Findings that pass are left out.
    """
    return [
        _annotation(check, finding)
        for check in checks
        for finding in check.findings
        if finding.exit_code
    ]


def _annotation(check: Checked, finding: Finding) -> str:
    level = "warning" if finding.verdict == "inconclusive" else "error"
    file, title = str(check.report_file), f"{check.title}: {finding.metric}"
    cause = f" (changed since the baseline: {finding.cause})" if finding.cause else ""
    place = f"file={_property(file)},title={_property(title)}"
    return f"::{level} {place}::{_data(finding.message + cause)}"


def _data(text: str) -> str:
    return printable(text).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def gitlab(checks: Sequence[Checked]) -> str:
    """Returns GitLab's code quality report: the findings that do not pass, on the baseline's file.

    Each has a fingerprint that stays the same from run to run.
    """
    rows = [
        {
            "description": f"{check.title}: {finding.message}",
            "check_name": f"edge-scnet/{finding.metric}",
            "fingerprint": hashlib.sha256(f"{check.title}/{finding.metric}".encode()).hexdigest(),
            "severity": _SEVERITY[ExitCode(finding.exit_code)],
            "location": {"path": str(check.baseline_file), "lines": {"begin": 1}},
        }
        for check in checks
        for finding in check.findings
        if finding.exit_code
    ]
    return json.dumps(rows, indent=1) + "\n"


def table(check: Checked) -> Table:
    """Returns what a terminal shows: a row for a finding; its strings are no markup.

    Whole sentences for what is not well go below it (`lines`).
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    view = Table(
        box=SIMPLE_HEAD,
        pad_edge=False,
        title=check.title,
        title_justify="left",
        title_style="bold",
    )
    for name in ("", "metric", "measured", "baseline", "limit"):
        view.add_column(
            name,
            justify="right" if name in ("measured", "baseline", "limit") else "left",
            no_wrap=True,
        )
    for finding in check.findings:
        color = {"pass": "green", "fail": "red", "inconclusive": "yellow", "skipped": "dim"}[
            finding.verdict
        ]
        view.add_row(
            Text(_MARKS[finding.verdict], style=color),
            finding.metric,
            _value(finding, finding.measured),
            _value(finding, finding.expected),
            "" if finding.limit is None else f"{finding.limit:g}",
        )
    return view


def lines(check: Checked) -> list[str]:
    """Returns what is not well, the causes, and what to do, in sentences."""
    sentences = [finding.message for finding in check.findings if finding.verdict != "pass"]
    cause = next((finding.cause for finding in check.findings if finding.cause), None)
    if cause:
        sentences.append(f"changed since the baseline: {cause}")
    return [*sentences, *check.advice]
