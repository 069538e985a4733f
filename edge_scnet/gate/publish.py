"""Findings for machines and people: JUnit, Markdown, GitHub, GitLab, a table.

Services show a finding at a file of the repository: the project file, the target's or the baseline,
for reports lie in build folders, which are in none.

Names and messages come from files that anybody may have written: each format's own escaping is
applied to all of them, for a message must not be able to end an annotation, a table's row or an XML
element.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from edge_scnet.core.clock import now_utc
from edge_scnet.core.printable import printable, printable_lines
from edge_scnet.errors import ExitCode
from edge_scnet.gate.check import Checked, Unchecked
from edge_scnet.report.markdown import NOT_XML, escaped

if TYPE_CHECKING:
    from rich.table import Table

    from edge_scnet.gate.check import Result
    from edge_scnet.report.findings import Finding

_SEVERITY = {
    ExitCode.ACCURACY: "critical",
    ExitCode.SPEED: "major",
    ExitCode.INCOMPARABLE: "major",
    ExitCode.INCONCLUSIVE: "minor",
}
_MARKS = {"pass": "ok", "fail": "FAIL", "inconclusive": "unclear", "skipped": "skipped"}
_COLORS = {"ok": "green", "FAIL": "red", "unclear": "yellow", "skipped": "dim", "allowed": "yellow"}


def junit(results: Sequence[Result]) -> str:
    """Returns JUnit XML: a suite for a report, a case for a finding.

    A report that could not be judged is a suite with an error.

    It has the form that Jenkins' schema (junit-10.xsd) describes.
    """
    root = ElementTree.Element("testsuites", name="edge-scnet check")
    for result in results:
        if isinstance(result, Unchecked):
            _add_error(root, result)
        else:
            _add_suite(root, result)
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


def _add_error(root: ElementTree.Element, result: Unchecked) -> None:
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        name=_xml(result.title),
        tests="1",
        errors="1",
        failures="0",
        skipped="0",
        time="0",
        timestamp=now_utc()[:19],
    )
    case = ElementTree.SubElement(
        suite, "testcase", classname="edge_scnet.check", name=_xml(result.title), time="0"
    )
    error = ElementTree.SubElement(
        case, "error", message=_xml(result.error.message), type=type(result.error).__name__
    )
    error.text = _xml(f"{result.error.message}\n\nhint: {result.error.hint}")


def _xml(text: str) -> str:
    return NOT_XML.sub("\ufffd", printable_lines(text))


def _details(finding: Finding) -> str:
    lines = [finding.message]
    figures = (("measured", finding.measured), ("baseline", finding.expected))
    lines += [f"{name}: {_value(finding, value)}" for name, value in figures if value is not None]
    if finding.bound:
        lines.append(f"limit: {finding.bound}")
    if finding.cause:
        lines.append(f"changed since the baseline: {finding.cause}")
    return "\n".join(lines)


def markdown(results: Sequence[Result]) -> str:
    """Returns a job summary: a headline and a table for each report, what is not well first."""
    parts = []
    for result in results:
        parts.append(f"### {escaped(result.title)}: {escaped(result.headline)}\n")
        if isinstance(result, Unchecked):
            parts.append(f"{escaped(result.error.message)}\n")
            parts.append(f"Hint: {escaped(result.error.hint)}\n")
        else:
            parts += _markdown_table(result)
    return "\n".join(parts).rstrip() + "\n"


def _markdown_table(check: Checked) -> Iterator[str]:
    yield "| | metric | measured | baseline | limit | |\n|---|---|---|---|---|---|"
    ranks = {"FAIL": 0, "unclear": 0, "allowed": 1, "ok": 2, "skipped": 3}
    for finding in sorted(check.findings, key=lambda f: ranks[_mark(check, f)]):
        cells = [_value(finding, value) for value in (finding.measured, finding.expected)]
        row = (_mark(check, finding), finding.metric, *cells, finding.bound or "", finding.message)
        yield "| " + " | ".join(escaped(cell) for cell in row) + " |"
    cause = next((finding.cause for finding in check.findings if finding.cause), None)
    yield f"\nChanged since the baseline: {escaped(cause)}.\n" if cause else ""
    yield from (f"{escaped(line)}\n" for line in check.advice)


def _mark(check: Checked, finding: Finding) -> str:
    return "allowed" if check.is_allowed(finding) else _MARKS[finding.verdict]


def _value(finding: Finding, value: float | None) -> str:
    if value is None:
        return ""
    if finding.unit == "bytes":
        return f"{value / 1e6:.2f} MB"
    return f"{value:.4g} {finding.unit}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Notice:
    """What a service shows at a file of the repository."""

    title: str
    metric: str
    # with the limit and the causes
    message: str
    # 0: nothing is wrong, and it is said all the same
    exit_code: int
    # of the repository; it may be missing, as a baseline that was never written
    file: Path


def _notices(results: Sequence[Result]) -> Iterator[_Notice]:
    """What is not well, and what differs because somebody allows it."""
    for result in results:
        if isinstance(result, Unchecked):
            yield _Notice(
                title=result.title,
                metric="not checked",
                message=f"{result.error.message} (hint: {result.error.hint})",
                exit_code=result.exit_code,
                file=result.asked.project_file or result.asked.against,
            )
            continue
        for finding in result.findings:
            if finding.exit_code or result.is_allowed(finding):
                yield _Notice(
                    title=result.title,
                    metric=finding.metric,
                    message=_in_one_line(finding),
                    exit_code=finding.exit_code,
                    file=_file_of(result, finding),
                )


def _in_one_line(finding: Finding) -> str:
    parts = [
        f"limit: {finding.bound}" if finding.bound else "",
        f"changed since the baseline: {finding.cause}" if finding.cause else "",
    ]
    words = "; ".join(filter(None, parts))
    return f"{finding.message} ({words})" if words else finding.message


def _file_of(check: Checked, finding: Finding) -> Path:
    """The file of the repository that a finding is about."""
    asked = check.asked
    if not check.has_baseline:
        return asked.target_file or asked.project_file or check.report_file
    if finding.kind != "inputs":
        return check.baseline_file
    if finding.metric == "target's settings" and asked.target_file is not None:
        return asked.target_file
    return asked.project_file or check.baseline_file


def _in_repository(file: Path, root: str) -> str:
    """A file's path as a service knows it: from the repository's root, where it lies below it.

    Args:
        root: the environment variable that holds the root.
    """
    # a link stays what it is in the repository
    below = Path(os.path.abspath(file))  # noqa: PTH100
    start = Path(os.path.abspath(os.environ.get(root) or "."))  # noqa: PTH100
    return below.relative_to(start).as_posix() if below.is_relative_to(start) else str(file)


def github(results: Sequence[Result]) -> list[str]:
    """Returns workflow commands that annotate files of the repository in a run of GitHub's.

    Findings that pass are left out.
    """
    return [_annotation(notice) for notice in _notices(results)]


def _annotation(notice: _Notice) -> str:
    levels = {int(ExitCode.OK): "notice", int(ExitCode.INCONCLUSIVE): "warning"}
    level = levels.get(notice.exit_code, "error")
    title = f"title={_property(f'{notice.title}: {notice.metric}')}"
    if notice.file.is_file():
        file = _in_repository(notice.file, "GITHUB_WORKSPACE")
        title = f"file={_property(file)},{title}"
    return f"::{level} {title}::{_data(notice.message)}"


def _data(text: str) -> str:
    return printable(text).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def gitlab(results: Sequence[Result]) -> str:
    """Returns GitLab's code quality report: what does not pass, at files of the repository.

    Each has a fingerprint that stays the same from run to run.
    """
    rows = [
        {
            "description": f"{notice.title}: {notice.message}",
            "check_name": f"edge-scnet/{notice.metric}",
            "fingerprint": hashlib.sha256(f"{notice.title}/{notice.metric}".encode()).hexdigest(),
            "severity": _severity(notice.exit_code),
            "location": {
                "path": _in_repository(notice.file, "CI_PROJECT_DIR"),
                "lines": {"begin": 1},
            },
        }
        for notice in _notices(results)
    ]
    return json.dumps(rows, indent=1) + "\n"


def _severity(exit_code: int) -> str:
    if not exit_code:
        return "info"
    return _SEVERITY.get(ExitCode(exit_code), "blocker")


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
            justify="right" if name in ("measured", "baseline") else "left",
            no_wrap=True,
        )
    for finding in check.findings:
        mark = _mark(check, finding)
        view.add_row(
            Text(mark, style=_COLORS[mark]),
            finding.metric,
            _value(finding, finding.measured),
            _value(finding, finding.expected),
            finding.bound or "",
        )
    return view


def lines(check: Checked) -> list[str]:
    """Returns what is not well, the causes, and what to do, in sentences."""
    sentences = [finding.message for finding in check.findings if finding.verdict != "pass"]
    cause = next((finding.cause for finding in check.findings if finding.cause), None)
    if cause:
        sentences.append(f"changed since the baseline: {cause}")
    return [*sentences, *check.advice]
