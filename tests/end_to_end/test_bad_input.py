"""Every bad input that a user can hand to `build`: the exit code, a message worth reading, and
nothing left behind.
"""

from __future__ import annotations

import errno
import gzip
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.files import sha256_file
from edge_scnet.core.resources import bundled
from tests.helpers.images import idx_folder, published
from tests.helpers.tool import MODEL, Built, Edit, Outcome, Run

# Of the bundled weights, given as a checkpoint of the user's own.
CHECKPOINT = (
    "--arch",
    "scnet20",
    "--num-classes",
    "10",
    "--channels",
    "1",
    "--input-size",
    "28",
    "--mean",
    "0.286",
    "--std",
    "0.353",
)


def check_refusal(outcome: Outcome, code: int, *words: str, hint: bool = True) -> None:
    assert outcome.code == code, outcome.stderr
    assert outcome.stdout == ""
    errors = [line for line in outcome.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, outcome.stderr
    assert "Traceback" not in outcome.stderr and "this is a bug" not in outcome.stderr
    for word in words:
        assert word in outcome.stderr, outcome.stderr
    assert outcome.hint or not hint, outcome.stderr


def hidden(folder: Path) -> list[Path]:
    """Temporary files: all of them begin with a dot."""
    return list(folder.rglob(".*"))


@pytest.fixture
def refused(invoke: Run, tmp_path: Path) -> Iterator[Callable[..., Outcome]]:
    """`build` with `--out`, checked for its exit code, its words, its hint, and that nothing was
    built.
    """
    out = tmp_path / "never"

    def run(code: int, words: tuple[str, ...], *arguments: object, hint: bool = True) -> Outcome:
        outcome = invoke("build", *arguments, "--out", out)
        check_refusal(outcome, code, *words, hint=hint)
        return outcome

    yield run
    assert not hidden(tmp_path)
    assert not [path for path in out.rglob("*") if path.is_file()]


def pictures(folder: Path, count: int, *, classes: tuple[str, ...] = ("",), seed: int = 0) -> Path:
    """PNG files of noise, spread over class folders."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        path = folder / classes[i % len(classes)] / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (28, 28), np.uint8)).save(path)
    return folder


# targets


def test_an_unknown_target_and_the_nearest_spelling(refused: Run) -> None:
    refused(
        3,
        ('unknown target "cpu-avx"', "did you mean cpu-avx2?", "targets: cpu, cpu-avx2"),
        "--target",
        "cpu-avx",
    )
    refused(
        3, ("no target file at jetson.toml", "targets: cpu, cpu-avx2"), "--target", "jetson.toml"
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "max_dropp = 1",
            (
                "unknown key gates.max_dropp",
                "did you mean gates.max_drop_pp?",
                "allowed: gates.max_drop_pp",
            ),
        ),
        ("max_drop_pp = 101", ("gates.max_drop_pp is 101", "0 to 100")),
        ("max_drop_pp = ", ("not valid TOML",)),
    ],
)
def test_a_target_file_with_a_wrong_key_or_value(
    invoke: Run, tmp_path: Path, line: str, words: tuple[str, ...]
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        (bundled("targets") / "cpu.toml").read_text().partition("[gates]")[0] + f"[gates]\n{line}\n"
    )
    outcome = invoke("build", "--target", path, "--out", tmp_path / "out")
    assert outcome.code == 3 and outcome.stderr.startswith(f"error: {path}: ")
    for word in words:
        assert word in outcome.stderr
    assert not (tmp_path / "out").exists()


def test_a_runtime_that_is_not_installed(refused: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "openvino" else find(name, *rest),
    )
    outcome = refused(5, ("the package 'openvino' is not installed",))
    assert outcome.hint == "pip install 'edge-scnet[cpu]'"


def test_torch_that_is_not_installed(
    invoke: Run, tmp_path: Path, calib_120: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it raises ModuleNotFoundError
    outcome = invoke("build", "--calib", calib_120, "--out", tmp_path)
    check_refusal(outcome, 5, "the package 'torch' is not installed")
    assert outcome.hint == "pip install 'edge-scnet[export]'" and not hidden(tmp_path)


def test_a_target_for_more_than_the_machine_has(
    refused: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "server.toml"
    path.write_text(
        (bundled("targets") / "cpu.toml").read_text().replace('"native"', '"avx512_vnni"')
    )
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    refused(3, ("target server needs avx512_vnni", "this machine provides avx2"), "--target", path)


# images


def test_a_folder_that_is_missing_empty_or_without_images(refused: Run, tmp_path: Path) -> None:
    missing, empty, texts = tmp_path / "missing", tmp_path / "empty", tmp_path / "texts"
    empty.mkdir()
    texts.mkdir()
    (texts / "notes.txt").write_text("no image")
    for option in ("--calib", "--eval"):
        refused(4, (str(missing), "does not exist"), option, missing)
        refused(4, (str(empty), "it is empty", ".png"), option, empty)
        refused(4, (str(texts), "no images in", "1 files (.txt)", ".png"), option, texts)
        refused(
            4, (str(texts / "notes.txt"), "is a file, not a folder"), option, texts / "notes.txt"
        )


def test_too_few_calibration_images(refused: Run, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "few", 99)
    refused(4, (str(folder), "99 calibration images", "at least 100"), "--calib", folder)


def test_under_300_calibration_images_are_warned_of(invoke: Run, copied: Built) -> None:
    outcome = invoke("quantize", "--calib", copied.calib, "--out", copied.folder.parents[1])
    assert outcome.code == 0
    assert outcome.stderr.startswith(
        "warning: 120 calibration images: 300 and more give steadier thresholds\n"
    )


def test_a_truncated_image_is_named_and_with_skip_bad_counted(
    invoke: Run, copied: Built, tmp_path: Path
) -> None:
    folder = pictures(tmp_path / "images", 101)
    bad = folder / "050.png"
    bad.write_bytes(bad.read_bytes()[:-200])
    out = copied.folder.parents[1]
    outcome = invoke("calibrate", "--calib", folder, "--out", out)
    check_refusal(outcome, 4, f"cannot read image {bad}: ", "truncated")
    assert "--skip-bad" in outcome.hint and not hidden(out)
    outcome = invoke("calibrate", "--calib", folder, "--out", out, "--skip-bad", "--json")
    assert outcome.code == 0, outcome.stderr
    assert (
        "warning: 1 of 101 calibration images are unreadable and were skipped\n" in outcome.stderr
    )
    (entry,) = json.loads(outcome.stdout)["artifacts"]
    assert (entry["facts"]["images"], entry["facts"]["skipped"]) == (100, 1)


def test_skipping_bad_images_may_leave_too_few(refused: Run, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "images", 100)
    (folder / "000.png").write_bytes(b"no image")
    refused(
        4, ("99 calibration images (1 unreadable ones left out)",), "--calib", folder, "--skip-bad"
    )


def test_a_truncated_idx_file(refused: Run, tmp_path: Path) -> None:
    images, labels = published("eval")
    folder = idx_folder(tmp_path / "idx", images[:20], labels[:20])
    path = folder / "t10k-images-idx3-ubyte"
    packed = gzip.compress(path.read_bytes())
    path.write_bytes(path.read_bytes()[:-1])
    refused(4, (str(path), "cut short", "20 x 28 x 28", "15679"), "--eval", folder, hint=False)
    path.unlink()
    path.with_name(f"{path.name}.gz").write_bytes(packed[:-100])
    refused(4, (f"{path}.gz", "cut short"), "--eval", folder, hint=False)


def test_calibration_images_among_the_evaluation_images(
    refused: Run, tmp_path: Path, calib_120: Path
) -> None:
    images, labels = published("calib")
    folder = idx_folder(tmp_path / "both", images[100:140], labels[100:140])
    words = (
        "20 of 40 evaluation images are calibration images too",
        f"{calib_120 / '100'} = {folder / '0'}",
    )
    refused(4, words, "--calib", calib_120, "--eval", folder)


def test_another_number_of_classes_than_the_model_has(refused: Run, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "xyz", 6, classes=("x", "y", "z"))
    words = (str(folder), "3 class folders", f"{MODEL} has 10 classes", "'x'", "T-shirt/top")
    outcome = refused(4, words, "--eval", folder)
    assert "--ignore-labels" in outcome.hint


def test_labels_beyond_the_models_classes(refused: Run, tmp_path: Path) -> None:
    images, labels = published("eval")
    folder = idx_folder(tmp_path / "idx", images[:20], labels[:20] + 1)
    refused(4, ("labels up to 10", "10 classes", "t10k-labels"), "--eval", folder)


# models


@pytest.fixture
def sets(calib_120: Path, eval_600: Path) -> tuple[object, ...]:
    return ("--calib", calib_120, "--eval", eval_600)


def bundled_weights() -> Path:
    from edge_scnet.models import zoo

    return Path(zoo.__file__).parent / "weights" / str(zoo.FASHION_MNIST.weights)


def test_unknown_models(refused: Run) -> None:
    refused(6, ("unknown model 'scnet20-fashion'", f"did you mean '{MODEL}'?"), "scnet20-fashion")
    refused(6, ("unknown model '../scnet'",), "../scnet")
    refused(6, ("no such file: absent.onnx",), "absent.onnx")


def test_a_checkpoint_without_its_architecture_or_images(refused: Run) -> None:
    refused(6, ("which architecture", "--arch", "scnet20"), bundled_weights())
    outcome = refused(4, ("has no bundled images", "--calib"), bundled_weights(), *CHECKPOINT)
    assert outcome.hint.endswith("--calib DIR --eval DIR")


def test_a_model_name_that_leaves_the_folder(refused: Run, sets: tuple[object, ...]) -> None:
    for name in ("../x", "a/b", "..", ".hidden", ""):
        outcome = refused(
            6,
            (f"the model name {name!r}", "letters, digits"),
            bundled_weights(),
            *CHECKPOINT,
            *sets,
            "--name",
            name,
        )
        assert "--name" in outcome.hint


def test_nan_and_infinite_weights(refused: Run, sets: tuple[object, ...], tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    state = load_file(bundled_weights())
    state["conv1.weight"][3, 0, 1, 1] = np.nan
    state["conv1.weight"][4, 0, 1, 1] = np.inf
    path = tmp_path / "nan.safetensors"
    save_file(state, path)
    refused(
        6,
        (str(path), "'conv1.weight' holds 2 NaN or infinite values of 144"),
        path,
        *CHECKPOINT,
        *sets,
    )


def test_a_pickle_that_is_no_state_dict(
    refused: Run, sets: tuple[object, ...], tmp_path: Path
) -> None:
    import torch

    path = tmp_path / "list.pth"
    torch.save([1, 2, 3], path)
    refused(6, (f"{path} is not a state dict: found list",), path, *CHECKPOINT, *sets)
    torch.save({"epoch": 3, "optimizer": {}}, path)
    refused(6, (f"{path} is not a state dict: found epoch, optimizer",), path, *CHECKPOINT, *sets)


def test_a_pickle_that_would_run_code(
    refused: Run, sets: tuple[object, ...], tmp_path: Path
) -> None:
    import pickle

    path, trace = tmp_path / "code.pth", tmp_path / "ran"

    class Code:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(trace),)

    path.write_bytes(pickle.dumps(Code()))
    refused(6, (f"{path} is not a checkpoint of plain weights",), path, *CHECKPOINT, *sets)
    assert not trace.exists()


def test_a_truncated_checkpoint(refused: Run, sets: tuple[object, ...], tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes(bundled_weights().read_bytes()[:5000])
    refused(
        6, (f"{path} is not a checkpoint of plain weights", "truncated"), path, *CHECKPOINT, *sets
    )


def test_a_checkpoint_of_another_shape(refused: Run, sets: tuple[object, ...]) -> None:
    other = (*CHECKPOINT[:3], "11", *CHECKPOINT[4:])
    outcome = refused(
        6, ("does not fit scnet20", "2 wrongly shaped", "fc.bias"), bundled_weights(), *other, *sets
    )
    assert "--num-classes 10" in outcome.hint


def test_a_truncated_onnx_file(
    refused: Run, built: Built, sets: tuple[object, ...], tmp_path: Path
) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes((built.folder / "model.onnx").read_bytes()[:200_000])
    refused(6, (f"{path} is not a valid ONNX file", "200,000 bytes"), path, *sets)


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("../weights.bin", "outside the model's folder"),
        ("/etc/hostname", "outside the model's folder"),
        ("link.bin", "link"),
    ],
)
def test_onnx_data_outside_its_folder(
    refused: Run, sets: tuple[object, ...], tmp_path: Path, place: str, reason: str
) -> None:
    import onnx
    from onnx import TensorProto, helper

    weight = TensorProto(
        name="w", data_type=TensorProto.FLOAT, dims=[1, 1, 1, 1], data_location=TensorProto.EXTERNAL
    )
    weight.external_data.add(key="location", value=place)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 28, 28])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 28, 28])],
        [weight],
    )
    path = tmp_path / "models" / "outside.onnx"
    path.parent.mkdir()
    (tmp_path / "weights.bin").write_bytes(b"\0" * 4)
    (path.parent / "link.bin").symlink_to(tmp_path / "weights.bin")
    path.write_bytes(
        helper.make_model(
            graph, opset_imports=[onnx.helper.make_opsetid("", 17)]
        ).SerializeToString()
    )
    refused(6, (str(path), "'w'", repr(place), reason), path, *sets)


# folders and disks


def test_an_output_folder_that_cannot_be_written(
    invoke: Run, tmp_path: Path, calib_120: Path, eval_20: Path
) -> None:
    (tmp_path / "file").write_text("")
    for out, reason in (
        (tmp_path / "file", "Not a directory"),
        (tmp_path / "file" / "b", "Not a directory"),
        (Path("/proc"), ""),
    ):
        outcome = invoke("build", "--calib", calib_120, "--eval", eval_20, "--out", out)
        check_refusal(outcome, 9, f"cannot write to {out}/{MODEL}", reason)
        assert "--out" in outcome.hint


def forget(edit: Edit, folder: Path, *files: str) -> None:
    """Makes the stages of these files run again."""
    edit(folder, lambda content: [content["artifacts"].pop(file) for file in files])
    for file in files:
        (folder / file).unlink()


LIMITED = (
    "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0})); from"
    " edge_scnet.cli.root import main; main()"
)


@pytest.mark.parametrize(
    ("file", "stage"), [("model.qdq.onnx", "quantize"), ("model-fp32.bin", "compile")]
)
def test_a_full_disk(
    copied: Built, cli_process: Run, edit_manifest: Edit, file: str, stage: str
) -> None:
    """Acted by a limit on the size of files: a write fails in its middle."""
    size = (copied.folder / file).stat().st_size
    forget(edit_manifest, copied.folder, file)
    kept = {path.name for path in copied.folder.iterdir()}
    command = (stage, "--calib", copied.calib, "--out", copied.folder.parents[1])
    outcome = cli_process(*command, code=LIMITED.format(size // 2))
    check_refusal(outcome, 9, f"cannot write {copied.folder}")
    assert "df -h" in outcome.hint
    assert {path.name for path in copied.folder.iterdir()} == kept
    # what was finished before is still whole
    BuildFolder.open(copied.folder).verified("model.onnx")


def test_a_disk_that_fills_up_at_the_last_step(
    copied: Built, invoke: Run, edit_manifest: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget(edit_manifest, copied.folder, "model.qdq.onnx")

    replace = os.replace

    def full(source: Path, target: Path) -> None:
        if target.name == "model.qdq.onnx":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr("os.replace", full)
    outcome = invoke("quantize", "--calib", copied.calib, "--out", copied.folder.parents[1])
    check_refusal(
        outcome, 9, f"cannot write {copied.folder / 'model.qdq.onnx'}: No space left on device"
    )
    assert not hidden(copied.folder) and not (copied.folder / "model.qdq.onnx").exists()


# interrupts


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def interrupt(
    arguments: tuple[object, ...], log: Path, ready: Callable[[str, int], bool]
) -> tuple[Outcome, list[int]]:
    """Sends SIGINT as soon as `ready(stderr so far, pid)`; the outcome, and the children there
    were.
    """
    command = [
        sys.executable,
        "-c",
        "from edge_scnet.cli.root import main; main()",
        *map(str, arguments),
    ]

    def heed() -> None:
        # a job that a shell started in the background ignores SIGINT, and so would its children
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with (
        log.open("w") as stderr,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, text=True, preexec_fn=heed
        ) as process,
    ):
        end = time.monotonic() + 120
        while not ready(log.read_text(), process.pid):
            assert process.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.02)
        children = children_of(process.pid)
        process.send_signal(signal.SIGINT)
        try:
            stdout, _ = process.communicate(timeout=30)
        finally:
            process.kill()
    return Outcome(process.returncode, stdout, log.read_text()), children


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_ctrl_c_during_calibration(copied: Built, invoke: Run, tmp_path: Path) -> None:
    out = copied.folder.parents[1]
    before = {path.name: sha256_file(path) for path in copied.folder.iterdir()}
    # all 1,024 bundled images: another set than the build's, so the stage runs, and long enough
    outcome, _ = interrupt(
        ("build", "--out", out), tmp_path / "log", lambda stderr, pid: "calibrate " in stderr
    )
    assert outcome.code == 130, outcome.stderr
    assert (
        outcome.stdout == ""
        and "Traceback" not in outcome.stderr
        and "error:" not in outcome.stderr
    )
    assert outcome.stderr.endswith(
        "\ninterrupted: finished stages are kept, the next run goes on from there\n"
    )
    assert not hidden(out)
    after = {path.name: sha256_file(path) for path in copied.folder.iterdir()}
    assert {name for name in after if after[name] != before.get(name)} <= {"manifest.json"}
    assert before.keys() == after.keys()

    resumed = invoke("compile", "--calib", copied.calib, "--out", out)
    assert resumed.code == 0 and resumed.stderr.count("unchanged, reused") == 4


def test_ctrl_c_during_profiling_ends_the_children_and_keeps_what_was_measured(
    copied: Built, eval_20: Path, invoke: Run, tmp_path: Path
) -> None:
    out = copied.folder.parents[1]
    report = (copied.folder / "report.json").read_bytes()
    command = ("build", "--calib", copied.calib, "--eval", eval_20, "--out", out, "--seconds", "60")

    def measuring(stderr: str, pid: int) -> bool:
        # by processor time: on a busy machine engines take longer until they are timed
        children = children_of(pid)
        return len(children) == 3 and min(map(processor_seconds, children)) > 6

    outcome, children = interrupt(command, tmp_path / "log", measuring)
    assert outcome.code == 130, outcome.stderr
    assert "Traceback" not in outcome.stderr and "profile " in outcome.stderr
    assert len(children) == 3 and not any(map(alive, children))
    assert not hidden(out)
    assert (copied.folder / "report.json").read_bytes() == report
    assert outcome.stderr.count("unchanged, reused") == 4, "the stages before were reused"
    partial = json.loads((copied.folder / "report.partial.json").read_text())
    assert (
        partial["complete"] is False
        and partial["findings"] == []
        and partial["verdict"].startswith("interrupted")
    )
    assert all(
        row["latency"]["count"] > 0 and row["throughput_per_second"] is None
        for row in partial["engines"]
    )
    assert "latency p50, ms" in outcome.stdout and "interrupted" in outcome.stdout
    assert str(copied.folder / "report.partial.json") in outcome.stdout
    assert (
        invoke(
            "baseline",
            "update",
            copied.folder,
            "--baseline",
            tmp_path / "b.json",
            "--accept",
            "test",
        ).code
        == 0
    )
    refused = invoke(
        "check", copied.folder / "report.partial.json", "--baseline", tmp_path / "b.json"
    )
    assert refused.code == 12 and "interrupted" in refused.stdout
