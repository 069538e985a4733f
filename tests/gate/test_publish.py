"""What `check` writes for others: JUnit, annotations, Markdown and GitLab's JSON.

No name breaks out of its format.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from edge_scnet.config.target import Gates
from edge_scnet.gate import baseline, check, publish
from edge_scnet.report.store import save_report
from tests.helpers.reports import quantization, report
from tests.helpers.tool import Run

NASTY = "50 % worse::error\r\n::warning file=x]]>,<b>|a|</b>\x00\x1b"


@pytest.fixture
def nasty(reported: Callable[..., tuple[Path, Path]]) -> check.Checked:
    """A failing report with names that would break out of every format."""
    path, known = reported(report())
    baseline.save(
        baseline.of_report(report(quantization=quantization(**{NASTY: 0.1})), Gates()), known
    )
    packages = {**report().environment, "packages": {NASTY: "1"}}
    save_report(report(quantization=quantization(**{NASTY: 0.4}), environment=packages), path)
    return check.check([path], against=known)[0]


def test_junit_holds_any_text_and_keeps_to_the_schema(nasty: check.Checked) -> None:
    root = ElementTree.fromstring(publish.junit([nasty]))
    suite = root[0]
    assert (root.tag, suite.tag) == ("testsuites", "testsuite")
    assert set(suite.attrib) == {
        "name",
        "tests",
        "errors",
        "failures",
        "skipped",
        "time",
        "timestamp",
    }
    cases = list(suite)
    assert int(suite.attrib["tests"]) == len(cases) == len(nasty.findings)
    assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure")) == 1
    for case in cases:
        assert case.tag == "testcase" and set(case.attrib) == {"classname", "name", "time"}
        assert [child.tag for child in case] in (["failure"], ["skipped"], ["system-out"])
    failure = suite.find("testcase/failure")
    assert failure is not None and set(failure.attrib) == {"message", "type"}
    assert "\\x00" in failure.attrib["message"] and "<b>" in failure.attrib["message"]


def test_an_annotation_is_one_line_that_nothing_ends_early(nasty: check.Checked) -> None:
    lines = publish.github([nasty])
    assert len(lines) == 1 and "\n" not in lines[0] and "\r" not in lines[0]
    command, properties, message = (
        lines[0].removeprefix("::").partition(" ")[0],
        *lines[0].partition(" ")[2].split("::", 1),
    )
    assert command == "error" and properties.startswith("file=")
    assert properties.endswith("title=net for cpu%3A scales")
    assert "50 %25 worse" in message and "\\x00" in message


def test_markdown_keeps_its_table(nasty: check.Checked) -> None:
    text = publish.markdown([nasty])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == len(nasty.findings) + 2
    assert {line.replace("\\|", "").count("|") for line in rows} == {7}
    assert "<b>" not in text and rows[2].startswith("| FAIL | scales")


def test_gitlab_json(nasty: check.Checked) -> None:
    rows = json.loads(publish.gitlab([nasty]))
    assert [set(row) for row in rows] == [
        {"description", "check_name", "fingerprint", "severity", "location"}
    ]
    assert rows[0]["severity"] == "critical" and rows[0]["location"]["lines"] == {"begin": 1}


def test_files_and_githubs_own_outputs(
    invoke: Run,
    reported: Callable[..., tuple[Path, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, known = reported(report(noise=0.2))
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    names = ("--junit", "j.xml", "--markdown", "m.md", "--gitlab", "g.json")
    arguments = [tmp_path / name if "." in name else name for name in names]
    outcome = invoke("check", path, "--baseline", known, *arguments, "--json")
    assert outcome.code == 10
    json.loads(outcome.stdout)  # annotations do not get into it
    assert outcome.stderr.startswith("::error file=")
    assert summary.read_text() == (tmp_path / "m.md").read_text()
    assert (tmp_path / "j.xml").read_text() == publish.junit(check.check([path], against=known))
    assert json.loads((tmp_path / "g.json").read_text())


def test_no_printed_line_is_a_command_of_a_log(nasty: check.Checked, invoke: Run) -> None:
    outcome = invoke("check", nasty.report_file, "--baseline", nasty.baseline_file)
    assert outcome.code == 10 and "50 % worse::error ::warning" in outcome.stdout
    assert not [
        line for line in (outcome.stdout + outcome.stderr).splitlines() if line.startswith("::")
    ]
    assert "\x1b" not in outcome.stdout.replace("\x1b[", "")
