"""The commands as a user meets them: help, streams, exit codes, and the tool on its own outputs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from edge_scnet import __version__
from edge_scnet.config.target import list_targets
from edge_scnet.core import files as core_files
from edge_scnet.core import manifest as artifact
from edge_scnet.report.findings import Finding
from edge_scnet.report.store import load_report, to_json
from edge_scnet.runtimes.tensorrt import backend as trt
from tests.helpers.images import published
from tests.helpers.tool import MODEL, Built, Outcome

Run = Callable[..., Outcome]
Edit = Callable[[Path, Callable[[dict], None]], None]

COMMANDS = (
    "build",
    "export",
    "calibrate",
    "quantize",
    "compile",
    "sensitivity",
    "profile",
    "inspect",
    "predict",
    "targets",
    "doctor",
    "check",
    "verify",
    "compare",
    "report",
    "baseline",
)
HEAVY = (
    "numpy",
    "PIL",
    "torch",
    "onnx",
    "onnxruntime",
    "openvino",
    "onnx_ir",
    "onnxscript",
    "tensorrt",
    "safetensors",
    "matplotlib",
)
_LIST_MODULES = """
import atexit, sys
atexit.register(lambda: print("modules:", *sys.modules, file=sys.stderr))
from edge_scnet.cli import main
main()
"""


def imported(outcome: Outcome) -> set[str]:
    return {name.partition(".")[0] for name in outcome.stderr.rpartition("modules:")[2].split()}


# help and usage


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("build", "--help")])
def test_help_and_version_import_nothing_heavy(
    cli_process: Run, arguments: tuple[str, ...]
) -> None:
    outcome = cli_process(*arguments, code=_LIST_MODULES)
    assert outcome.code == 0 and "typer" in imported(outcome)
    assert not imported(outcome) & {*HEAVY, "rich"}


def test_targets_and_doctor_need_neither_torch_nor_a_runtime(cli_process: Run) -> None:
    for command in ("targets", "doctor"):
        outcome = cli_process(command, code=_LIST_MODULES)
        assert "typer" in imported(outcome)
        assert not imported(outcome) & (set(HEAVY) - {"numpy"})


def test_version(invoke: Run) -> None:
    assert invoke("--version") == Outcome(0, f"edge-scnet {__version__}\n", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(invoke: Run, command: str) -> None:
    outcome = invoke(command, "-h")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.stdout.startswith(f"Usage: edge-scnet {command} ")


def test_the_list_of_commands_is_complete(invoke: Run) -> None:
    listed = invoke("--help").stdout.partition("Commands:\n")[2]
    assert tuple(re.findall(r"^  (\w+)", listed, re.MULTILINE)) == COMMANDS


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("build", "--seconds", "soon"), "'--seconds'"),
        (("build", "--seconds", "0"), "'--seconds'"),
        (("build", "--seconds", "nan"), "'--seconds'"),
        (("build", "--batch", "0"), "'dynamic'"),
        (("build", "--mean", "a,b"), "0.485"),
        (("build", "--max-drop", "-1"), "'--max-drop'"),
        (("build", "--max-drop", "nan"), "'--max-drop'"),
        (("build", "--fast"), "--fast"),
        (("ship",), "ship"),
        (("profile",), "PATH"),
        (("predict", "model.xml"), "IMAGE"),
    ],
)
def test_usage_errors_exit_with_2(invoke: Run, arguments: tuple[str, ...], words: str) -> None:
    outcome = invoke(*arguments)
    assert outcome.code == 2 and outcome.stdout == ""
    assert words in outcome.stderr and "Traceback" not in outcome.stderr


def test_completion_of_targets_models_and_commands() -> None:
    tool = Path(sysconfig.get_path("scripts"), "edge-scnet")

    def complete(line: str) -> list[str]:
        env = {
            **os.environ,
            "_EDGE_SCNET_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(line.split(" ")) - 1),
        }
        return subprocess.run(
            [tool], env=env, capture_output=True, text=True, check=True
        ).stdout.split()

    assert complete("edge-scnet build --target c") == ["cpu", "cpu-avx2"]
    assert complete("edge-scnet build --target jetson-or") == ["jetson-orin-nano", "jetson-orin-nx"]
    assert complete("edge-scnet build scnet20-f") == [MODEL]
    assert complete("edge-scnet pr") == ["profile", "predict"]


def test_targets(invoke: Run) -> None:
    text, rows = invoke("targets"), invoke("targets", "--json")
    assert (text.code, rows.code, rows.stderr) == (0, 0, "")
    names = [target.name for target in list_targets()]
    assert re.findall(r"^(\S+)", text.stdout, re.MULTILINE) == names
    assert [row["name"] for row in json.loads(rows.stdout)] == names
    assert "can be built and profiled" in text.stdout
    assert json.loads(rows.stdout)[names.index("cpu-avx2")]["unusable"] is None


def test_targets_say_what_a_lesser_machine_lacks(
    invoke: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    rows = [
        row
        for row in json.loads(invoke("targets", "--json").stdout)
        if row["runtime"] == "openvino"
    ]
    assert len(rows) == 2 and all("avx2" in row["unusable"].lower() for row in rows)
    # the bundle of a board is no engine of this machine
    monkeypatch.setattr(trt.TensorRt, "unavailable", lambda self: "not installed")
    assert invoke("doctor").code == 5


def test_doctor(invoke: Run) -> None:
    text, facts = invoke("doctor"), invoke("doctor", "--json")
    assert (text.code, facts.code, text.stderr, facts.stderr) == (0, 0, "", "")
    content = json.loads(facts.stdout)
    assert set(content) == {"environment", "runtimes", "export", "targets"}
    assert len(content["environment"]["fingerprint"]) == 64
    for name in (*content["runtimes"], *content["targets"]):
        assert name in text.stdout


def test_a_closed_pipe_is_no_error(cli_process: Run) -> None:
    code = (
        "import os, sys; r, w = os.pipe(); os.close(r); os.dup2(w, 1); from edge_scnet.cli.root"
        " import main; main()"
    )
    assert cli_process("doctor", "--json", code=code) == Outcome(0, "", "")


def test_a_bug_names_its_place_and_the_versions(
    invoke: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("by design")

    monkeypatch.setattr("edge_scnet.machine.environment.collect", broken)
    outcome = invoke("doctor")
    assert outcome.code == 1 and outcome.stdout == ""
    assert "this is a bug: ZeroDivisionError: by design (test_cli.py:" in outcome.stderr
    assert (
        f"edge-scnet {__version__}, Python" in outcome.stderr and "Traceback" not in outcome.stderr
    )
    assert "EDGE_SCNET_TRACEBACK=1" in outcome.hint
    monkeypatch.setenv("EDGE_SCNET_TRACEBACK", "1")
    assert "Traceback" in invoke("doctor").stderr


def test_an_interrupt_that_a_native_import_wraps_is_an_interrupt(
    invoke: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def importing() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise ImportError("initialization failed") from error

    monkeypatch.setattr("edge_scnet.machine.environment.collect", importing)
    outcome = invoke("doctor")
    assert (outcome.code, outcome.stdout) == (130, "")
    assert (
        outcome.stderr
        == "\ninterrupted: finished stages are kept, the next run goes on from there\n"
    )


# build


def test_json_alone_is_on_stdout_and_progress_on_stderr(built: Built) -> None:
    report = json.loads(built.outcome.stdout)
    assert [engine["name"] for engine in report["engines"]] == ["fp32", "default", "int8"]
    lines = built.outcome.stderr.splitlines()
    stages = [
        line.split()[0]
        for line in lines
        if not line.startswith(" ") and not line.startswith("warning:")
    ]
    assert stages == ["export", "calibrate", "quantize", "compile", "profile"]
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
    }
    manifest = artifact.load_manifest(built.folder)
    assert set(manifest.artifacts) == files
    for entry in manifest.artifacts.values():
        assert artifact.verify(built.folder, entry).stat().st_size == entry.size_bytes
        for parent, digest in entry.parents.items():
            if parent in manifest.artifacts:
                assert manifest.artifacts[parent].sha256 == digest


def test_the_report_loads_back_equal_and_carries_its_evidence(built: Built) -> None:
    report = load_report(built.folder / "report.json")
    assert to_json(report) == built.outcome.stdout.strip()
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
            and engine.accuracy.top1_percent > 85
        )
        assert core_files.sha256_file(built.folder / engine.file) == engine.sha256
    drop = int8.accuracy
    assert (
        drop is not None
        and drop.drop_pp is not None
        and drop.drop_low_pp <= drop.drop_pp <= drop.drop_high_pp
    )
    assert drop.agreement_percent > 95 and drop.sqnr_db > 15
    assert set(report.stage_seconds) == {"export", "calibrate", "quantize", "compile", "profile"}
    assert (
        len(report.environment["fingerprint"]) == 64 and report.environment["packages"]["openvino"]
    )
    assert [(f.metric, f.limit) for f in report.findings] == [("top-1 drop", 5.0), ("speed", None)]
    assert report.findings[0].verdict == "pass"


@pytest.fixture
def not_measured(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of measuring again, the figures of the first build."""
    # of other images, perhaps: no classes image by image
    rows = {
        row.name: replace(row, first_classes=None)
        for row in load_report(built.folder / "report.json").engines
    }
    nothing = [SimpleNamespace(outputs=None) for _ in rows]
    measured = SimpleNamespace(engines=nothing, complete=True, load=None)
    monkeypatch.setattr("edge_scnet.pipeline.profile.measure", lambda *args, **kwargs: measured)
    monkeypatch.setattr(
        "edge_scnet.pipeline.profile.row_of_engine", lambda engine, *args: rows[engine.name]
    )


def rebuild(invoke: Run, copied: Built, *options: str) -> Outcome:
    out = copied.folder.parents[1]
    return invoke(
        "build", "--calib", copied.calib, "--eval", copied.evaluation, "--out", out, *options
    )


@pytest.mark.usefixtures("not_measured")
def test_a_second_build_reuses_every_stage_and_prints_the_table(copied: Built, invoke: Run) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in copied.folder.iterdir()}
    outcome = rebuild(invoke, copied, "--max-drop", "5")
    assert outcome.code == 0, outcome.stderr
    assert outcome.stderr.count("unchanged, reused") == 4
    changed = {
        path.name
        for path in copied.folder.iterdir()
        if path.stat().st_mtime_ns != before.get(path.name)
    }
    assert changed == {"manifest.json", "report.json", "report.html"}

    printed = [line for line in outcome.stdout.splitlines() if line.strip()]
    facts = next(
        i for i, line in enumerate(printed) if line.startswith("fp32, default, int8: threads ")
    )
    assert printed[facts + 1].startswith("int8 end to end: decode ")
    # what disturbed the build that the figures are of is said between them and the verdict
    assert all(line.startswith("note: ") for line in printed[facts + 2 : -2])
    lines = [*printed[:facts], *printed[-2:]]
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
        "end to end, ms",
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
        rows["top-1, %"][0] == f"{report.engines[0].accuracy.top1_percent:.2f}"
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

    def judge(stats: object, *, max_drop_pp: float, **others: object) -> Finding:
        judged.append(max_drop_pp)
        return Finding(
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
    assert outcome.code == 0, outcome.stderr
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
    assert artifact.load_manifest(copied.folder).evaluation == str(copied.evaluation)


# profile


def test_profile_of_an_engine_too_few_images_exit_13(
    built: Built, eval_20: Path, cli_process: Run
) -> None:
    before = (built.folder / "report.json").read_bytes()
    outcome = cli_process(
        "profile",
        built.folder / "model.xml",
        "--eval",
        eval_20,
        "--seconds",
        "0.1",
        "--max-drop",
        "0.5",
        "--json",
    )
    assert outcome.code == 13, outcome.stderr
    report = json.loads(outcome.stdout)
    assert [engine["name"] for engine in report["engines"]] == ["fp32", "int8"]
    assert report["findings"][0]["verdict"] == "inconclusive" and report["verdict"].startswith(
        "not proven: "
    )
    assert (built.folder / "report.json").read_bytes() == before, (
        "the report belongs to the whole folder"
    )


def test_profile_of_an_onnx_file_compares_it_with_the_fp32_engine(
    built: Built, eval_20: Path, invoke: Run
) -> None:
    outcome = invoke(
        "profile", built.folder / "model.onnx", "--eval", eval_20, "--seconds", "0.1", "--json"
    )
    assert outcome.code == 0, outcome.stderr
    report = json.loads(outcome.stdout)
    assert [engine["name"] for engine in report["engines"]] == ["fp32", "fp32 onnx"]
    assert [engine["file"] for engine in report["engines"]] == ["model-fp32.xml", "model.onnx"]
    assert report["findings"] == [] and report["engines"][1]["accuracy"]["agreement_percent"] == 100


def test_profile_of_a_folder_with_a_wrong_engine_exit_10(
    copied: Built, cli_process: Run, edit_manifest: Edit
) -> None:
    """An engine that negates the logits: a drop that 600 images prove. It is measured on the images
    that it was built with.
    """
    import openvino as ov

    model = ov.Core().read_model(copied.folder / "model-fp32.xml")
    logits = model.output(0).get_node().input_value(0)
    negative = ov.opset13.multiply(logits, np.float32(-1))
    ov.save_model(
        ov.Model([negative], model.get_parameters()),
        copied.folder / "model.xml",
        compress_to_fp16=False,
    )

    def change(content: dict) -> None:
        for name in ("model.xml", "model.bin"):
            content["artifacts"][name]["sha256"] = core_files.sha256_file(copied.folder / name)

    edit_manifest(copied.folder, change)
    outcome = cli_process("profile", copied.folder, "--seconds", "0.1")
    assert outcome.code == 10, outcome.stderr
    assert "do not ship: Top-1 fell by" in outcome.stdout and "600 images" in outcome.stdout
    report = load_report(copied.folder / "report.json")
    assert report.findings[0].metric == "top-1 drop" and report.findings[0].exit_code == 10
    assert report.engines[2].convolutions == {"f32": 46}


def test_profile_of_the_fp32_engine_on_a_folder_with_a_bad_image(
    built: Built, tmp_path: Path, invoke: Run
) -> None:
    images, labels = published("eval")
    for i, (image, label) in enumerate(zip(images[:10], labels[:10], strict=True)):
        (tmp_path / str(label)).mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / str(label) / f"{i}.png")
    bad = tmp_path / str(labels[0]) / "bad.png"
    bad.write_bytes(b"no image")
    command = (
        "profile",
        built.folder / "model-fp32.xml",
        "--eval",
        tmp_path,
        "--seconds",
        "0.1",
        "--json",
    )
    refused(invoke(*command), 4, str(bad), "cannot read image")
    outcome = invoke(*command, "--skip-bad")
    assert outcome.code == 0, outcome.stderr
    assert "warning: 1 of 11 evaluation images are unreadable and were skipped" in outcome.stderr
    report = json.loads(outcome.stdout)
    assert (report["evaluation"]["images"], report["evaluation"]["skipped"]) == (10, 1)
    assert [engine["name"] for engine in report["engines"]] == ["fp32", "default"]
    assert [engine["file"] for engine in report["engines"]] == ["model-fp32.xml"] * 2


# predict


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    images, labels = published("eval")
    path = tmp_path_factory.mktemp("images") / "bag.png"
    Image.fromarray(images[int(np.flatnonzero(labels == 8)[0])]).save(path)
    return path


@pytest.mark.parametrize(
    "file", ["", "model.xml", "model-fp32.xml", "model.onnx", "model.qdq.onnx"]
)
def test_predict_names_the_class(built: Built, bag: Path, invoke: Run, file: str) -> None:
    outcome = invoke("predict", built.folder / file, bag, bag, "--top", "3")
    assert (outcome.code, outcome.stderr) == (0, "")
    first, second = outcome.stdout.splitlines()
    assert first == second
    assert re.fullmatch(rf"{re.escape(str(bag))}: Bag \d+\.\d %(, [\w /-]+ \d+\.\d %){{2}}", first)


def test_predict_json(built: Built, bag: Path, invoke: Run) -> None:
    (row,) = json.loads(invoke("predict", built.folder, bag, "--json", "--top", "99").stdout)
    assert row["image"] == str(bag) and row["top"][0]["class"] == "Bag"
    shares = [entry["probability"] for entry in row["top"]]
    assert (
        len(shares) == 10
        and shares == sorted(shares, reverse=True)
        and sum(shares) == pytest.approx(1, abs=1e-4)
    )


def test_predict_refuses_an_unreadable_image_by_name(
    built: Built, bag: Path, tmp_path: Path, invoke: Run
) -> None:
    cut = tmp_path / "cut.png"
    cut.write_bytes(bag.read_bytes()[:-40])
    for path, words in ((cut, "cannot read image"), (tmp_path / "absent.png", "no such file")):
        outcome = invoke("predict", built.folder, bag, path)
        assert outcome.code == 4 and outcome.stdout == ""
        assert (
            outcome.stderr.startswith(f"error: cannot read image {path}: ")
            and words in outcome.stderr
            and outcome.hint
        )


# artifacts that are not what they seem


def refused(outcome: Outcome, code: int, *words: str) -> None:
    assert outcome.code == code, outcome.stderr
    assert (
        outcome.stdout == ""
        and "Traceback" not in outcome.stderr
        and "this is a bug" not in outcome.stderr
    )
    for word in words:
        assert word in outcome.stderr
    assert outcome.hint, outcome.stderr


def both(invoke: Run, path: Path, bag: Path) -> list[Outcome]:
    return [invoke("profile", path, "--seconds", "0.1"), invoke("predict", path, bag)]


def test_a_missing_path_and_a_file_without_manifest(
    built: Built, tmp_path: Path, bag: Path, invoke: Run
) -> None:
    lone = shutil.copy(built.folder / "model.xml", tmp_path / "model.xml")
    for outcome in both(invoke, tmp_path / "absent.xml", bag):
        refused(outcome, 6, "no such file or folder", "absent.xml")
    for outcome in both(invoke, Path(lone), bag):
        refused(outcome, 6, str(tmp_path / "manifest.json"), "is missing", "preprocessing")


def test_a_file_that_is_no_engine_of_the_manifest(built: Built, bag: Path, invoke: Run) -> None:
    for outcome in both(invoke, built.folder / "model.bin", bag):
        refused(
            outcome,
            6,
            "model.bin",
            "it knows: model.onnx, model.qdq.onnx, model-fp32.xml, model.xml\n",
        )


@pytest.mark.parametrize("file", ["model.xml", "model.bin", "model-fp32.bin"])
def test_edited_bytes_are_refused(copied: Built, bag: Path, invoke: Run, file: str) -> None:
    content = bytearray((copied.folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (copied.folder / file).write_bytes(content)
    refused(invoke("profile", copied.folder), 6, file, "is not the file that was built")
    refused(
        invoke("predict", copied.folder / file.replace(".bin", ".xml"), bag),
        6,
        file,
        "is not the file that was built",
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read"),
        ("\xff", "cannot be read"),
        ("[]", "schema"),
        ('{"schema": 99}', "schema"),
        ('{"schema": 1}', "incomplete"),
        (
            (
                '{"schema": 1, "model": 3, "target": {}, "floor": "avx2", "precision_hint": "f32",'
                ' "artifacts": []}'
            ),
            "incomplete",
        ),
    ],
)
def test_a_manifest_that_is_none(
    tmp_path: Path, bag: Path, invoke: Run, text: str, words: str
) -> None:
    (tmp_path / "manifest.json").write_bytes(text.encode("latin-1"))
    for outcome in both(invoke, tmp_path, bag):
        refused(outcome, 6, str(tmp_path / "manifest.json"), words)


def test_a_manifest_whose_names_leave_its_folder(
    copied: Built, bag: Path, invoke: Run, edit_manifest: Edit
) -> None:
    shutil.copy(copied.folder / "model.xml", copied.folder.parent / "model.xml")
    edit_manifest(
        copied.folder, lambda content: content["artifacts"]["model.xml"].update(file="../model.xml")
    )
    for outcome in both(invoke, copied.folder, bag):
        refused(outcome, 6, "'../model.xml'", "plain file name")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda content: content["artifacts"].clear(), 6),
        (lambda content: content["artifacts"].pop("model.bin"), 6),
        (lambda content: content["artifacts"]["model.xml"].update(kind="plan"), 6),
        (lambda content: content["artifacts"]["model.xml"].update(size_bytes="big"), 6),
        (lambda content: content["artifacts"]["model.xml"].update(facts=[]), 6),
        (lambda content: content["model"].update(channels="many"), 6),
        (lambda content: content["target"].update(threads="all"), 3),
        (lambda content: content["target"].pop("runtime"), 3),
        (lambda content: content.update(floor="mmx"), 3),
    ],
)
def test_a_manifest_with_wrong_values(
    copied: Built, invoke: Run, edit_manifest: Edit, change: Callable[[dict], None], code: int
) -> None:
    edit_manifest(copied.folder, change)
    outcome = invoke("profile", copied.folder, "--seconds", "0.1")
    assert outcome.code == code, outcome.stderr
    assert outcome.stderr.startswith("error: ") and "this is a bug" not in outcome.stderr


def test_the_default_precision_of_a_machine_that_acts_a_lesser_one(
    copied: Built, cli_process: Run, edit_manifest: Edit
) -> None:
    """Where BF16 is there, and hidden from oneDNN alone, OpenVINO would take it and compile
    nothing.
    """
    edit_manifest(copied.folder, lambda content: content.update(floor="avx2"))
    lesser = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    outcome = cli_process(
        "profile", copied.folder / "model-fp32.xml", "--seconds", "0.1", "--json", env=lesser
    )
    assert outcome.code == 0, outcome.stderr
    rows = json.loads(outcome.stdout)["engines"]
    assert [(row["name"], list(row["convolutions"])) for row in rows] == [
        ("fp32", ["f32"]),
        ("default", ["f32"]),
    ]


def test_an_engine_for_more_than_the_machine_has(
    copied: Built, bag: Path, cli_process: Run, edit_manifest: Edit
) -> None:
    edit_manifest(copied.folder, lambda content: content.update(floor="avx512_vnni"))
    lesser = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    for command in (("profile", copied.folder), ("predict", copied.folder / "model.xml", bag)):
        outcome = cli_process(*command, env=lesser)
        refused(
            outcome,
            3,
            str(copied.folder / "model.xml"),
            "needs avx512_vnni",
            "ONEDNN_MAX_CPU_ISA=AVX2",
        )
        assert outcome.hint.startswith(
            "edge-scnet build scnet20-fashion-mnist --target cpu-avx2 --calib "
        )
    # its FP32 twin is right on any machine
    assert cli_process(
        "predict", copied.folder / "model-fp32.xml", bag, env=lesser
    ).stdout.startswith(f"{bag}: Bag")
