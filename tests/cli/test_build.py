"""`build` and its single stages: streams, files, exit codes, and what a second build reuses."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from edge_scnet.cli.options import command_line
from edge_scnet.config.target import Gates
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.files import sha256_file
from edge_scnet.core.manifest import load_manifest
from edge_scnet.machine.linux import granted_cores
from edge_scnet.report.findings import Finding
from edge_scnet.report.store import load_report, to_json
from tests.helpers.tool import BUILD_CODE, Built, Outcome, Run


def test_json_alone_is_on_stdout_and_progress_on_stderr(built: Built) -> None:
    report = json.loads(built.outcome.stdout)
    assert [engine["name"] for engine in report["engines"]] == ["fp32", "default", "int8"]
    lines = built.outcome.stderr.splitlines()
    stages = [
        line.split()[0]
        for line in lines
        if not line.startswith(" ") and not line.startswith("warning:")
    ]
    said = ["input", "engines"]
    assert stages == [*said, "export", "calibrate", "quantize", "compile", "task", "profile"]
    assert [line for line in lines if line.startswith("warning:")] == [
        "warning: 120 calibration images: 300 and more give steadier thresholds"
    ]


def test_build_leaves_exactly_its_files(built: Built) -> None:
    engines = ("model.xml", "model.bin", "model-fp32.xml", "model-fp32.bin")
    files = {"model.onnx", "ranges.npz", "model.qdq.onnx", *engines}
    assert {path.name for path in built.folder.iterdir()} == {
        *files,
        "manifest.json",
        "report.json",
        "report.html",
        "node_data.time.json",
        "node_data.precision.json",
    }
    folder = BuildFolder.open(built.folder)
    manifest = folder.manifest
    assert set(manifest.artifacts) == files
    for entry in manifest.artifacts.values():
        assert folder.verified_entry(entry).stat().st_size == entry.size_bytes
        for parent, digest in entry.parents.items():
            if parent in manifest.artifacts:
                assert manifest.artifacts[parent].sha256 == digest


def test_the_report_loads_back_equal_and_carries_its_evidence(built: Built) -> None:
    report = load_report(built.folder / "report.json")
    assert to_json(report) == built.outcome.stdout
    assert report.evaluation is not None and report.evaluation.images == 600
    fp32, default, int8 = report.engines
    convolutions = sum(int8.convolutions.values())
    assert convolutions == 46 and int8.convolutions.keys() <= {"u8", "i8"}
    assert fp32.convolutions == {"f32": convolutions} and (
        fp32.precision_hint,
        default.precision_hint,
    ) == ("f32", "default")
    assert fp32.speedup is None and int8.speedup is not None
    assert int8.speedup.low <= int8.speedup.ratio <= int8.speedup.high
    for engine in report.engines:
        raw = engine.latency.samples_ns
        assert len(raw) >= 100 and min(raw) > 0
        assert (
            engine.latency.p50_ms
            <= engine.latency.p90_ms
            <= engine.latency.p99_ms
            <= max(raw) / 1e6
        )
        assert engine.throughput_per_second > 0 and engine.load_seconds > 0
        assert engine.memory.before_load_bytes < engine.memory.load_peak_bytes
        assert (
            engine.accuracy is not None
            and engine.accuracy.images == 600
            and engine.accuracy.labels.top1_percent > 85
        )
        assert sha256_file(built.folder / engine.file) == engine.sha256
    stats = int8.accuracy
    assert stats is not None and stats.labels is not None
    assert stats.labels.drop_low_pp <= stats.labels.drop_pp <= stats.labels.drop_high_pp
    assert stats.agreement_percent > 95 and stats.sqnr_db > 15
    assert set(report.stage_seconds) == {"export", "calibrate", "quantize", "compile", "profile"}
    assert (
        len(report.environment["fingerprint"]) == 64 and report.environment["packages"]["openvino"]
    )
    assert [(f.metric, f.limit) for f in report.findings] == [("top-1 drop", 5.0), ("speed", None)]
    assert report.findings[0].verdict == "pass"


def rebuild(invoke: Run, copied: Built, *options: str) -> Outcome:
    out = copied.folder.parents[1]
    return invoke(
        "build", "--calib", copied.calib, "--eval", copied.evaluation, "--out", out, *options
    )


@pytest.mark.usefixtures("not_measured")
def test_a_second_build_reuses_every_stage_and_prints_the_table(copied: Built, invoke: Run) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in copied.folder.iterdir()}
    outcome = rebuild(invoke, copied, "--max-drop", "5")
    assert outcome.code in (0, 11, 13), outcome.stderr  # INT8 may gain nothing here
    assert outcome.stderr.count("unchanged, reused") == 4
    changed = {
        path.name
        for path in copied.folder.iterdir()
        if path.stat().st_mtime_ns != before.get(path.name)
    }
    data = {"node_data.time.json", "node_data.precision.json"}
    assert changed == {"manifest.json", "report.json", "report.html", *data}
    command = load_report(copied.folder / "report.json").command
    assert command == command_line()

    told, table, legend, ran, end = outcome.stdout.split("\n\n")
    assert [line[:10].strip() for line in told.splitlines()] == [
        "input",
        "target",
        "images",
        "judged by",
    ]
    assert [re.split(r"\s{2,}", line)[0] for line in legend.splitlines()] == [
        "default",
        "lost, won",
        "SQNR",
    ]
    facts, times, *noise = ran.splitlines()
    assert facts.startswith("fp32, default, int8: threads ")
    assert times.startswith("int8 end to end: decode ")
    # what disturbed the build that the figures are of is said in one line
    assert len(noise) <= 1 and all(line.startswith("note: ") for line in noise)
    lines = [*table.splitlines(), *end.splitlines()]
    assert lines[0].split() == ["fp32", "default", "int8"]
    rows = {
        cells[0]: cells[1:] for cells in (re.split(r"\s{2,}", line.strip()) for line in lines[2:-2])
    }
    assert list(rows) == [
        "latency p50, ms",
        "p90, ms",
        "p99, ms",
        "speed",
        "95 % interval",
        "throughput, images/s",
        "throughput, x",
        "95 % interval, x",
        "end to end, ms",
        *(["prepared ahead, ms"] if granted_cores() > 1 else []),
        "memory at load, MB",
        "memory steady, MB",
        "files, MB",
        "convolutions",
        "top-1, %",
        "top-5, %",
        "drop, pp",
        "95 % interval, pp",
        "lost, won",
        "agreement, %",
        "SQNR, dB",
        "calibration error, pp",
    ]
    assert all(len(row) == 3 for row in rows.values())
    assert max(map(len, lines[:-2])) <= 80
    report = load_report(copied.folder / "report.json")
    assert (
        rows["top-1, %"][0] == f"{report.engines[0].accuracy.labels.top1_percent:.2f}"
        and rows["drop, pp"][0] == "-"
    )
    assert rows["convolutions"][0] == "46 f32"
    assert re.fullmatch(r"[+-]\d\.\d\d to [+-]\d\.\d\d", rows["95 % interval, pp"][2])
    assert re.fullmatch(r"\d+\.\d\dx", rows["speed"][2])
    assert lines[-2] == report.verdict
    assert lines[-1] == f"files: {copied.folder}/"


@pytest.mark.usefixtures("not_measured")
def test_the_gate_of_the_build_reaches_the_shell(
    copied: Built, invoke: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[float] = []

    def judge(stats: object, gates: Gates) -> Finding:
        judged.append(gates.max_drop_pp)
        return Finding(
            kind="accuracy",
            metric="top-1 drop",
            measured=1,
            limit=0,
            unit="pp",
            verdict="fail",
            message="Lost.",
            exit_code=10,
        )

    monkeypatch.setattr("edge_scnet.report.verdict.judge_accuracy", judge)
    outcome = rebuild(invoke, copied, "--max-drop", "0.25", "--json")
    assert outcome.code == 10 and judged == [0.25]
    assert json.loads(outcome.stdout)["verdict"] == "do not ship: Lost."
    assert load_report(copied.folder / "report.json").verdict == "do not ship: Lost."
    assert rebuild(invoke, copied).code == 10 and judged == [
        0.25,
        0.5,
    ], "without the option, the target's gate"


@pytest.mark.usefixtures("not_measured")
def test_brackets_in_a_path_are_printed_as_they_are(
    built: Built, eval_20: Path, tmp_path: Path, invoke: Run
) -> None:
    folder = tmp_path / "out[red]" / "x[" / "]"
    shutil.copytree(built.folder, folder)
    outcome = invoke("profile", folder, "--eval", eval_20, "--max-drop", "5")
    assert outcome.code in (0, 11, 13), outcome.stderr  # INT8 may gain nothing here
    assert outcome.stdout.rstrip().endswith(f"files: {folder}/")


@pytest.mark.parametrize("stage", ["export", "calibrate", "quantize", "compile"])
def test_single_stages_reuse_and_list_their_files(copied: Built, invoke: Run, stage: str) -> None:
    out = copied.folder.parents[1]
    outcome = invoke(stage, "--calib", copied.calib, "--out", out)
    assert outcome.code == 0, outcome.stderr
    of_stage = {
        "export": ["model.onnx"],
        "calibrate": ["ranges.npz"],
        "quantize": ["model.qdq.onnx"],
        "compile": ["model-fp32.xml", "model-fp32.bin", "model.xml", "model.bin"],
    }
    assert outcome.stdout.split() == [str(copied.folder / file) for file in of_stage[stage]]
    content = json.loads(invoke(stage, "--calib", copied.calib, "--out", out, "--json").stdout)
    assert [entry["file"] for entry in content["artifacts"]] == of_stage[stage]
    # a stage command brings no evaluation images; it must not make the folder forget those it was
    # judged on
    assert load_manifest(copied.folder).evaluation == str(copied.evaluation)


FACTORY = """
import sys
from torch import nn
print("imported")

def net(channels=2):
    print("made")
    return nn.Sequential(nn.Conv2d(1, channels, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())

def quits():
    sys.exit(0)
"""


@pytest.mark.slow
def test_what_a_factory_prints_is_not_in_the_json(
    cli_process: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "user_factory.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    options = ("--channels", 1, "--input-size", 8, "--mean", 0, "--std", 1, "--json")
    outcome = cli_process("export", "user_factory:net?channels=3", *options, code=BUILD_CODE)
    assert outcome.code == 0, outcome.stderr
    assert json.loads(outcome.stdout) and "imported\nmade\n" in outcome.stderr
    ended = cli_process("export", "user_factory:quits", *options)
    assert ended.code == json.loads(ended.stdout)["exit_code"] == 6
    assert "user_factory:quits cannot be called: it ends the process" in ended.stderr
