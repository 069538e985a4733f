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
from edge_scnet.errors import TargetError
from edge_scnet.gate import baseline, check, publish
from edge_scnet.report.store import save_report
from tests.helpers.reports import findings, provenance, quantization, report
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


# limits, and what is allowed


@pytest.mark.parametrize(
    ("metric", "bound"),
    [
        ("top-1 drop", "at most 0.50 pp"),
        ("top-1 to baseline", "at most 0.50 pp"),
        ("SQNR", "at most 1.0 dB lower"),
        ("scales", "at most 2 %"),
        ("zero points", "at most 1 code"),
        ("weight codes", "at most 20 %"),
        ("size", "at most 5 % larger"),
        ("speed", "at most 10 % lower"),
        ("memory steady", "at most 10 % larger"),
    ],
)
def test_a_limit_has_its_unit_and_direction(metric: str, bound: str) -> None:
    found = findings(report())
    assert found[metric].bound == bound
    assert all((finding.limit is None) == (finding.bound is None) for finding in found.values())


def test_a_limit_is_shown_so_in_every_format(
    reported: Callable[..., tuple[Path, Path]], invoke: Run
) -> None:
    path, known = reported(report(noise=0.2))
    results = check.check([path], against=known)
    bound = "at most 1.0 dB lower"
    root = ElementTree.fromstring(publish.junit(results))
    assert any(f"limit: {bound}" in (node.text or "") for node in root.iter("failure"))
    assert f"| {bound} |" in publish.markdown(results)
    assert any(f"(limit: {bound})" in line for line in publish.github(results))
    assert f"(limit: {bound})" in publish.gitlab(results)
    assert bound in invoke("check", path, "--baseline", known).stdout
    assert "at least 99 %" in publish.markdown(check.check([unlabelled(path)], against=known))


def unlabelled(path: Path) -> Path:
    """Puts a report without labels, and its baseline, in the place of those with."""
    save_report(report(labelled=False), path)
    known = path.parents[1] / "baselines" / "net-cpu.json"
    baseline.save(baseline.of_report(report(labelled=False), Gates()), known)
    return path


def test_what_is_allowed_is_said_in_every_format(
    reported: Callable[..., tuple[Path, Path]],
) -> None:
    path, known = reported(report(provenance=provenance(weights=("x" * 64,))))
    results = check.check([path], against=known, allowed={"checkpoint": "--allow"})
    assert results[0].exit_code == 0
    assert results[0].headline == "no regression; allowed to differ: checkpoint"
    words = "Allowed by --allow."
    root = ElementTree.fromstring(publish.junit(results))
    case = root.find("testsuite/testcase[@name='checkpoint']/skipped")
    assert case is not None and words in case.attrib["message"]
    assert f"{results[0].title}: {results[0].headline}" in publish.markdown(results)
    assert publish.markdown(results).splitlines()[4].startswith("| allowed | checkpoint |")
    (line,) = publish.github(results)
    assert line.startswith("::notice file=") and words in line
    (row,) = json.loads(publish.gitlab(results))
    assert row["severity"] == "info" and words in row["description"]


# what could not be judged


@pytest.fixture
def with_unreadable(reported: Callable[..., tuple[Path, Path]]) -> tuple[check.Result, ...]:
    """A report that fails, and a damaged one in front of it."""
    path, known = reported(report(noise=0.07))
    damaged = path.parent / "damaged.json"
    damaged.write_text("{")
    asked = [check.Asked(report=one, against=known.parent) for one in (damaged, path)]
    return check.check_each(asked)


def test_a_damaged_report_is_an_error_beside_the_others(
    with_unreadable: tuple[check.Result, ...],
) -> None:
    first, second = with_unreadable
    assert isinstance(first, check.Unchecked) and isinstance(second, check.Checked)
    assert check.exit_code_of(with_unreadable) == 6
    assert check.exit_code_of([second]) == 10
    root = ElementTree.fromstring(publish.junit(with_unreadable))
    assert [suite.attrib["errors"] for suite in root] == ["1", "0"]
    error = root[0].find("testcase/error")
    assert error is not None and "is not a report" in error.attrib["message"]
    assert root[1].find("testcase/failure") is not None
    text = publish.markdown(with_unreadable)
    assert "damaged.json: not checked (exit code 6)" in text and "| FAIL | SQNR" in text
    lines = publish.github(with_unreadable)
    # the baselines are a folder: there is no file to point at
    assert lines[0].startswith("::error title=") and "is not a report" in lines[0]
    assert len(lines) == 2
    rows = json.loads(publish.gitlab(with_unreadable))
    assert [row["severity"] for row in rows] == ["blocker", "critical"]


# the files that services show


def test_services_are_shown_files_of_the_repository(
    reported: Callable[..., tuple[Path, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = provenance(settings={"quant": {"percentile": 90.0}}, calibration_images="x" * 64)
    path, known = reported(report(noise=0.07, provenance=settings))
    (tmp_path / "targets").mkdir()
    for name in ("edge-scnet.toml", "targets/mine.toml"):
        (tmp_path / name).touch()
    asked = check.Asked(
        report=path,
        against=known,
        project_file=tmp_path / "edge-scnet.toml",
        target_file=tmp_path / "targets" / "mine.toml",
    )
    results = (
        *check.check_each([asked]),
        check.Unchecked(asked=asked, error=TargetError("no"), name="net for x"),
    )
    expected = {
        "SQNR": "baselines/net-cpu.json",
        "target's settings": "targets/mine.toml",
        "calibration images": "edge-scnet.toml",
        "not checked": "edge-scnet.toml",
    }
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    monkeypatch.setenv("CI_PROJECT_DIR", str(tmp_path))
    rows = json.loads(publish.gitlab(results))
    found = {row["check_name"].partition("/")[2]: row["location"]["path"] for row in rows}
    assert found == expected
    lines = publish.github(results)
    for metric, file in expected.items():
        title = next(line for line in lines if f"%3A {metric}::" in line)
        assert title.startswith(f"::error file={file},title=")
    # a run in a folder of the repository, with paths from there
    monkeypatch.chdir(tmp_path / "baselines")
    near = check.Asked(report=path, against=Path("net-cpu.json"))
    lines = publish.github(check.check_each([near]))
    assert lines and all(line.startswith("::error file=baselines/net-cpu.json,") for line in lines)
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path / "elsewhere"))
    assert "file=net-cpu.json," in publish.github(check.check_each([near]))[0]
    # a baseline that was never written is no file to point at
    near = check.Asked(report=path.with_name("none.json"), against=Path("none.json"))
    assert publish.github(check.check_each([near]))[0].startswith("::error title=")
