"""`check`, `baseline update` and `verify` as users type them, and what they write."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from edge_scnet.config.target import Gates
from edge_scnet.core.packing import pack_classes, pack_scales, unpack_classes, unpack_scales
from edge_scnet.errors import ArtifactError, TargetError
from edge_scnet.gate import baseline, publish
from edge_scnet.gate import check as checking
from edge_scnet.report.run_report import RunReport
from edge_scnet.report.store import load_report, save_report
from edge_scnet.stats.figures import RatioStats
from tests.helpers.reports import provenance, quantization, report
from tests.helpers.tool import Built, Outcome

Run = Callable[..., Outcome]
SLOW = {"speedup": RatioStats(ratio=1.1, low=1.08, high=1.12, rounds=12)}


@pytest.fixture
def files(tmp_path: Path) -> Callable[[RunReport], tuple[Path, Path]]:
    """Saves a report beside the baseline of the unchanged one: both files."""

    def write(new: RunReport) -> tuple[Path, Path]:
        path = tmp_path / "net" / "report.json"
        path.parent.mkdir(exist_ok=True)
        save_report(new, path)
        known = tmp_path / "baselines" / "net-cpu.json"
        if not known.exists():
            baseline.save(baseline.of_report(report(), Gates()), known)
        return path, known

    return write


# check


def test_check_passes_and_exits_with_0(
    invoke: Run, files: Callable[..., tuple[Path, Path]]
) -> None:
    path, known = files(report())
    for given in (path, path.parent):
        for where in (known, known.parent):
            outcome = invoke("check", given, "--baseline", where)
            assert outcome.code == 0, outcome.stderr
            assert "net for cpu" in outcome.stdout and "no regression" in outcome.stdout


@pytest.mark.parametrize(
    ("new", "code", "words"),
    [
        (report(noise=0.2), 10, "SQNR"),
        (report(int8=SLOW), 11, "not measured again: the engines are not beside the report"),
        (
            report(provenance=provenance(weights=("x" * 64,))),
            12,
            "if that is meant: edge-scnet baseline update",
        ),
        (report(noise=0.2, int8=SLOW), 10, "SQNR"),
        (report(batch=4), 12, "if that is meant: edge-scnet baseline update"),
        (report(target="cpu-avx2"), 12, "name this report's own baseline, net-cpu-avx2.json"),
        (report(complete=False), 12, "of an interrupted run"),
    ],
)
def test_check_exits_by_the_worst_finding(
    invoke: Run, files: Callable[..., tuple[Path, Path]], new: RunReport, code: int, words: str
) -> None:
    path, known = files(new)
    outcome = invoke("check", path, "--baseline", known)
    assert outcome.code == code
    assert words in outcome.stdout


def test_check_json(invoke: Run, files: Callable[..., tuple[Path, Path]]) -> None:
    path, known = files(report(quantization=quantization(relu=0.2)))
    outcome = invoke("check", path, "--baseline", known, "--json")
    row = json.loads(outcome.stdout)[0]
    assert outcome.code == row["exit_code"] == 10
    wrong = [finding for finding in row["findings"] if finding["exit_code"]]
    assert [(f["metric"], f["measured"], f["limit"], f["verdict"]) for f in wrong] == [
        ("scales", 300.0, 2.0, "fail")
    ]


def test_a_limit_on_the_command_line_goes_over_the_baselines(
    invoke: Run, files: Callable[..., tuple[Path, Path]]
) -> None:
    path, known = files(report(noise=0.07))
    assert invoke("check", path, "--baseline", known).code == 10
    assert invoke("check", path, "--baseline", known, "--limit", "max_sqnr_fall_db=20").code == 0
    outcome = invoke("check", path, "--baseline", known, "--limit", "max_sqnr_fal_db=20")
    assert outcome.code == 3 and "did you mean max_sqnr_fall_db?" in outcome.stderr
    assert invoke("check", path, "--baseline", known, "--limit", "max_sqnr_fall_db").code == 2


def test_limits_that_the_baseline_itself_breaks_contradict_it(
    files: Callable[..., tuple[Path, Path]],
) -> None:
    old = report(labelled=False, noise=1.5)
    path, known = files(old)
    baseline.save(baseline.of_report(old, replace(Gates(), min_agreement_percent=90)), known)
    with pytest.raises(ArtifactError, match="contradict"):
        checking.check([path], against=known, limits={"min_agreement_percent": 100.0})
    with pytest.raises(ArtifactError, match="contradict"):
        baseline.of_report(old, replace(Gates(), min_agreement_percent=100))


def test_usage(invoke: Run, files: Callable[..., tuple[Path, Path]]) -> None:
    path, known = files(report())
    assert invoke("check", path).code == 2
    assert invoke("check", path, "--build").code == 2
    outcome = invoke("check", "--baseline", known)
    assert outcome.code == 6 and "no reports" in outcome.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is not a report"),
        ("[]", "is not a report"),
        ('{"schema": 1, "engines": [', "is not a report"),
        ('{"schema": 1}', "is not a report"),
        ('{"schema": 99}', "has schema 99, this version reads 1"),
    ],
)
def test_a_damaged_report(
    invoke: Run, files: Callable[..., tuple[Path, Path]], content: str, words: str
) -> None:
    path, known = files(report())
    path.write_text(content)
    outcome = invoke("check", path, "--baseline", known)
    assert outcome.code == 6 and words in outcome.stderr and outcome.hint


def test_nan_in_a_report_is_refused(invoke: Run, files: Callable[..., tuple[Path, Path]]) -> None:
    path, known = files(report())
    for word in ("NaN", "Infinity", "-Infinity"):
        content = json.loads(path.read_text())
        content["engines"][1]["accuracy"]["sqnr_db"] = 12345
        path.write_text(json.dumps(content).replace("12345", word))
        outcome = invoke("check", path, "--baseline", known)
        assert outcome.code == 6 and f"a figure in it is {word}" in outcome.stderr
        save_report(report(), path)


def test_an_older_report_without_the_new_fields_is_read_and_named(
    invoke: Run, files: Callable[..., tuple[Path, Path]]
) -> None:
    path, known = files(report())
    content = json.loads(path.read_text())
    for key in ("gates", "quantization", "provenance", "complete"):
        del content[key]
    for row in content["engines"]:
        del row["first_classes"]
    path.write_text(json.dumps(content))
    outcome = invoke("check", path, "--baseline", known)
    assert outcome.code == 12 and "older version" in outcome.stdout


# baselines


def test_baseline_update_writes_shows_and_asks(
    invoke: Run, files: Callable[..., tuple[Path, Path]], tmp_path: Path
) -> None:
    path, _ = files(report())
    folder = tmp_path / "new"
    known = folder / "net-cpu.json"
    outcome = invoke("baseline", "update", path, "--baseline", folder)
    assert outcome.code == 0 and f"{known}: written" in outcome.stdout
    assert baseline.load(known).report.engines[1].latency.samples_ns == ()
    written = known.read_text()
    save_report(report(noise=0.2), path)
    outcome = invoke("baseline", "update", path, "--baseline", folder)
    assert outcome.code == 6 and "would be lowered" in outcome.stderr and "--accept" in outcome.hint
    assert known.read_text() == written
    outcome = invoke(
        "baseline", "update", path, "--baseline", folder, "--accept", "smaller calibration set"
    )
    assert outcome.code == 0 and "SQNR, dB" in outcome.stdout
    accepted = baseline.load(known).accepted
    assert [entry.reason for entry in accepted] == ["smaller calibration set"]
    assert any("SQNR" in loss for loss in accepted[0].losses)
    # getting better again needs no reason, and forgets none
    save_report(report(), path)
    assert invoke("baseline", "update", path, "--baseline", folder).code == 0
    assert baseline.load(known).accepted == accepted


def test_a_loosened_limit_needs_a_reason(files: Callable[..., tuple[Path, Path]]) -> None:
    known = files(report())[1]
    with pytest.raises(ArtifactError, match=r"limit max_sqnr_fall_db: 1\.0 -> 3\.0"):
        baseline.update(known, report(), replace(Gates(), max_sqnr_fall_db=3.0), accept=None)
    with pytest.raises(ArtifactError, match="limit min_agreement_percent"):
        baseline.update(known, report(), replace(Gates(), min_agreement_percent=None), accept=" ")
    baseline.update(known, report(), replace(Gates(), max_sqnr_fall_db=0.5), accept=None)
    assert baseline.load(known).limits.max_sqnr_fall_db == 0.5


def test_a_baseline_is_not_overwritten_by_another_targets(
    files: Callable[..., tuple[Path, Path]],
) -> None:
    known = files(report())[1]
    with pytest.raises(ArtifactError, match="is the baseline of net for cpu") as caught:
        baseline.update(known, report(target="gpu"), Gates(), accept="because")
    assert "net-gpu.json" in caught.value.hint


def test_an_edited_baseline_is_refused(
    invoke: Run, files: Callable[..., tuple[Path, Path]]
) -> None:
    path, known = files(report())
    known.write_text(known.read_text().replace('"max_drop_pp": 0.5', '"max_drop_pp": 5.0'))
    for outcome in (invoke("check", path, "--baseline", known), invoke("verify", known)):
        assert (
            outcome.code == 6
            and "edited by hand" in outcome.stderr
            and "git checkout" in outcome.hint
        )


@pytest.mark.parametrize(
    "content", ["", "{}", "[1]", '{"schema": 1}', '{"schema": 2, "limits": {}}']
)
def test_what_is_no_baseline(
    invoke: Run, files: Callable[..., tuple[Path, Path]], content: str
) -> None:
    path, known = files(report())
    known.write_text(content)
    outcome = invoke("check", path, "--baseline", known)
    assert outcome.code == 6 and str(known) in outcome.stderr and outcome.hint
    known.unlink()
    outcome = invoke("check", path, "--baseline", known)
    assert outcome.code == 6 and "no baseline at" in outcome.stderr


def test_verify_reads_all_kinds_and_names_every_bad_file(
    invoke: Run, files: Callable[..., tuple[Path, Path]], tmp_path: Path
) -> None:
    _, known = files(report())
    project = tmp_path / "edge-scnet.toml"
    project.write_text('model = "net.onnx"\ntargets = ["cpu"]\nbaselines = "b"\n')
    assert invoke("verify", known, project).code == 0
    project.write_text('model = "net.onnx"\ntarget = ["cpu"]\nbaselines = "b"\n')
    (tmp_path / "mine.toml").write_text("title = 3\n")
    outcome = invoke("verify", known, project, tmp_path / "mine.toml", tmp_path / "x.txt")
    assert outcome.code == 3
    for words in ("did you mean targets?", "mine.toml", "x.txt is neither"):
        assert words in outcome.stderr


# outputs

NASTY = "50 % worse::error\r\n::warning file=x]]>,<b>|a|</b>\x00\x1b"


@pytest.fixture
def nasty(files: Callable[..., tuple[Path, Path]]) -> checking.Checked:
    """A failing report whose tensors and packages have names that would break out of every format."""
    path, known = files(report())
    baseline.save(
        baseline.of_report(report(quantization=quantization(**{NASTY: 0.1})), Gates()), known
    )
    packages = {**report().environment, "packages": {NASTY: "1"}}
    save_report(report(quantization=quantization(**{NASTY: 0.4}), environment=packages), path)
    return checking.check([path], against=known)[0]


def test_junit_holds_any_text_and_keeps_to_the_schema(nasty: checking.Checked) -> None:
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
    assert "\ufffd" in failure.attrib["message"] and "<b>" in failure.attrib["message"]


def test_an_annotation_is_one_line_that_nothing_ends_early(nasty: checking.Checked) -> None:
    lines = publish.github([nasty])
    assert len(lines) == 1 and "\n" not in lines[0] and "\r" not in lines[0]
    command, properties, message = (
        lines[0].removeprefix("::").partition(" ")[0],
        *lines[0].partition(" ")[2].split("::", 1),
    )
    assert command == "error" and properties.startswith("file=")
    assert properties.endswith("title=net for cpu%3A scales")
    assert "50 %25 worse" in message and "%0A" in message


def test_markdown_keeps_its_table(nasty: checking.Checked) -> None:
    text = publish.markdown([nasty])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == len(nasty.findings) + 2
    assert {line.replace("\\|", "").count("|") for line in rows} == {7}
    assert "<b>" not in text and rows[2].startswith("| FAIL | scales")


def test_gitlab_json(nasty: checking.Checked) -> None:
    rows = json.loads(publish.gitlab([nasty]))
    assert [set(row) for row in rows] == [
        {"description", "check_name", "fingerprint", "severity", "location"}
    ]
    assert rows[0]["severity"] == "critical" and rows[0]["location"]["lines"] == {"begin": 1}


def test_files_and_githubs_own_outputs(
    invoke: Run,
    files: Callable[..., tuple[Path, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, known = files(report(noise=0.2))
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
    assert (tmp_path / "j.xml").read_text() == publish.junit(checking.check([path], against=known))
    assert json.loads((tmp_path / "g.json").read_text())


def test_no_printed_line_is_a_command_of_a_log(nasty: checking.Checked, invoke: Run) -> None:
    outcome = invoke("check", nasty.report_file, "--baseline", nasty.baseline_file)
    assert outcome.code == 10 and "50 % worse::error ::warning" in outcome.stdout
    assert not [
        line for line in (outcome.stdout + outcome.stderr).splitlines() if line.startswith("::")
    ]
    assert "\x1b" not in outcome.stdout.replace("\x1b[", "")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r["engines"][1]["accuracy"].update(images=-5), "accuracy.images is -5"),
        (lambda r: r["evaluation"].update(images=0), "evaluation.images is 0"),
        (lambda r: r["engines"][1]["accuracy"].update(lost=None), "lacks others"),
        (lambda r: r["engines"][1]["speedup"].update(high=None), "no ratio with its interval"),
        (lambda r: r["environment"].update(packages=[]), "environment.packages is a list"),
        (lambda r: r["environment"].update(governor=[]), "environment.governor is a list"),
        (lambda r: r["engines"][1].update(first_classes="<u1:!"), "damaged"),
        (lambda r: r["evaluation"].update(truth="<u1:eJwDAAAAAAE="), "not of 2000 bytes"),
        (lambda r: r.update(model="../../evil"), "no plain name"),
        (lambda r: r["engines"][1].update(size_bytes=10**30), "31 digits"),
        (lambda r: r.update(engines=[]), None),
    ],
)
def test_what_no_run_can_have_measured_is_refused_by_its_field(
    invoke: Run,
    files: Callable[..., tuple[Path, Path]],
    change: Callable[[dict], None],
    words: str | None,
) -> None:
    path, known = files(report())
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    outcome = invoke("check", path, "--baseline", known)
    assert outcome.code == (6 if words else 12) and (words or "") in outcome.stderr
    outcome = invoke("baseline", "update", path, "--baseline", known, "--accept", "why not")
    assert outcome.code == 6 and outcome.hint


def test_deep_nesting_and_floats_beyond_range(
    invoke: Run, files: Callable[..., tuple[Path, Path]]
) -> None:
    path, known = files(report())
    text = path.read_text()
    path.write_text("[" * 100_000)
    assert invoke("check", path, "--baseline", known).code == 6
    path.write_text(text.replace('"p50_ms": 1.0', '"p50_ms": 1e400'))
    assert "a figure in it is 1e400" in invoke("check", path, "--baseline", known).stderr


def test_a_reader_that_left_does_not_change_the_verdict(
    cli_process: Run, files: Callable[..., tuple[Path, Path]]
) -> None:
    path, known = files(report(noise=0.2))
    code = (
        "import os, sys; r, w = os.pipe(); os.close(r); os.dup2(w, 1); from edge_scnet.cli.root"
        " import main; main()"
    )
    for form in ((), ("--json",)):
        outcome = cli_process("check", path, "--baseline", known, *form, code=code)
        assert outcome.code == 10, outcome.stderr


@pytest.mark.parametrize(
    ("worse", "words"),
    [
        ({"size_bytes": 1_040_000}, "size, MB"),
        ({"speedup": RatioStats(ratio=1.40, low=1.38, high=1.42, rounds=12)}, "speed, x"),
    ],
)
def test_limits_are_not_spent_anew_with_every_update(
    files: Callable[..., tuple[Path, Path]], worse: dict, words: str
) -> None:
    """Within the limits of check, and yet a lower bar."""
    path, known = files(report(int8=worse))
    assert checking.check([path], against=known)[0].exit_code == 0
    with pytest.raises(ArtifactError, match="would be lowered") as caught:
        baseline.update(known, report(int8=worse), Gates(), accept=None)
    assert words in caught.value.message


def test_a_baseline_of_a_busy_machine_is_written_with_a_warning(
    invoke: Run, files: Callable[..., tuple[Path, Path]]
) -> None:
    """Seen: 1.26x (1.18 to 1.43) beside another build. The gate holds to the lower end, so it would
    sleep deeper.
    """
    for low, warned in ((1.2, True), (1.48, False)):
        path, _ = files(
            report(int8={"speedup": RatioStats(ratio=1.5, low=low, high=1.8, rounds=12)})
        )
        outcome = invoke("baseline", "update", path, "--baseline", path.parent / f"{low}.json")
        assert outcome.code == 0 and ("the machine was busy" in outcome.stderr) == warned


def test_another_machine_needs_a_reason(files: Callable[..., tuple[Path, Path]]) -> None:
    known = files(report())[1]
    elsewhere = {**report().environment, "fingerprint": "z" * 64}
    with pytest.raises(ArtifactError, match="machine"):
        baseline.update(known, report(environment=elsewhere), Gates(), accept=None)


@pytest.mark.parametrize("scales", [[1.0], [1e-6, 3.0, 0.02], [2.0**-40, 2.0**40]])
def test_scales_survive_packing(scales: list[float]) -> None:
    assert unpack_scales(pack_scales(scales), len(scales)) == pytest.approx(scales, rel=0.0014)
    with pytest.raises(ValueError, match="bytes"):
        unpack_scales(pack_scales(scales), len(scales) + 1)


@pytest.mark.parametrize("classes", [[0], [255, 3], [256, 0], [70_000, 1]])
def test_classes_survive_packing(classes: list[int]) -> None:
    assert unpack_classes(pack_classes(classes), len(classes)) == tuple(classes)


# on a real build


def test_a_real_build_passes_its_own_baseline_without_a_runtime(
    cli_process: Run, built: Built, tmp_path: Path
) -> None:
    assert cli_process("baseline", "update", built.folder, "--baseline", tmp_path).code == 0
    listing = (
        "import atexit, sys; atexit.register(lambda: sys.stderr.write(' '.join(sys.modules)));"
        "from edge_scnet.cli.root import main; main()"
    )
    outcome = cli_process("check", built.folder, "--baseline", tmp_path, code=listing)
    assert outcome.code == 0, outcome.stdout
    heavy = {"numpy", "torch", "onnx", "onnxruntime", "openvino", "onnx_ir", "PIL"}
    assert not heavy & set(outcome.stderr.split())


def steady(made: RunReport) -> RunReport:
    """The report with a speed that no noise of this machine is in."""
    even = RatioStats(ratio=1.0, low=0.99, high=1.01, rounds=12)
    return replace(
        made,
        engines=tuple(replace(r, speedup=even) if r.name == "int8" else r for r in made.engines),
    )


def test_what_looks_slow_is_measured_again(built: Built, copied: Built, tmp_path: Path) -> None:
    """The report says half the speed; the engines beside it do not."""
    made = load_report(copied.folder / "report.json")
    rows = [
        (
            replace(row, speedup=RatioStats(ratio=0.5, low=0.49, high=0.51, rounds=12))
            if row.name == "int8"
            else row
        )
        for row in made.engines
    ]
    save_report(replace(made, engines=tuple(rows)), copied.folder / "report.json")
    known = tmp_path / "b.json"
    limits = replace(made.gates or Gates(), max_drop_pp=5, max_slowdown_percent=40)
    baseline.save(baseline.of_report(steady(made), limits), known)
    checked = checking.check([copied.folder], against=known)[0]
    speed = next(finding for finding in checked.findings if finding.metric == "speed")
    assert speed.verdict == "pass" and "measured again; at first 0.5 x" in speed.message
    once = checking.check([copied.folder], against=known, again=False)[0]
    assert once.exit_code == 11


def test_engines_that_are_others_by_now_are_not_measured_for_it(
    copied: Built, tmp_path: Path
) -> None:
    made = load_report(copied.folder / "report.json")
    rows = [
        (
            replace(
                row, sha256="0" * 64, speedup=RatioStats(ratio=0.5, low=0.49, high=0.51, rounds=12)
            )
            if row.name == "int8"
            else row
        )
        for row in made.engines
    ]
    save_report(replace(made, engines=tuple(rows)), copied.folder / "report.json")
    known = tmp_path / "b.json"
    baseline.save(
        baseline.of_report(steady(made), replace(made.gates or Gates(), max_drop_pp=5)), known
    )
    assert checking.check([copied.folder], against=known)[0].exit_code == 11


def test_an_unknown_limit_of_the_api(files: Callable[..., tuple[Path, Path]]) -> None:
    path, known = files(report())
    with pytest.raises(TargetError, match="max_drop_pp is -1"):
        checking.check([path], against=known, limits={"max_drop_pp": -1})
