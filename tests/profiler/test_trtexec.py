"""Plans profiled through trtexec, which the test writes itself; numbers made up."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from edge_scnet.config.target import load_target
from edge_scnet.core import files
from edge_scnet.core.events import Silent
from edge_scnet.core.facts import PlanFacts
from edge_scnet.core.folder_lock import locked
from edge_scnet.core.manifest import Artifact, Manifest, load_manifest, save_manifest
from edge_scnet.errors import BackendError
from edge_scnet.models.zoo import MODELS
from edge_scnet.pipeline.profile import profile
from edge_scnet.profiler.trtexec import _version, program_for
from edge_scnet.report.store import load_report
from edge_scnet.runtimes.tensorrt import cuda
from tests.helpers.tensorrt import ORIN, fake_trtexec, on_board, with_tensorrt
from tests.helpers.tool import Outcome


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A build folder with both plans on an Orin without TensorRT's Python package, and a trtexec of
    the test's.
    """
    on_board(monkeypatch, ORIN, None)
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))

    def make(number: str = "100300", fail: str = "", built: str = "10.3.0") -> Path:
        monkeypatch.setenv("TRTEXEC", str(fake_trtexec(tmp_path / "trtexec", number, fail)))
        folder = tmp_path / "built"
        folder.mkdir()
        spec = MODELS["scnet20-fashion-mnist"]
        manifest = Manifest(
            model=spec,
            target=asdict(load_target("jetson")),
            floor="none",
            precision_hint="f32",
            rebuild="edge-scnet build",
        )
        for stem, precision in (("engine-fp16", "fp16"), ("engine", "int8")):
            path = folder / f"{stem}.plan"
            path.write_bytes(b"plan")
            facts = PlanFacts(
                precision=precision,
                runtime="tensorrt",
                tensorrt=built,
                machine={"jetson_model": ORIN},
            )
            manifest = manifest.with_artifact(
                Artifact(
                    file=path.name,
                    kind="tensorrt-plan",
                    stage="compile",
                    sha256=files.sha256_file(path),
                    size_bytes=4,
                    key="k",
                    facts=facts,
                )
            )
        save_manifest(folder, manifest)
        return folder

    return make


def test_plans_are_timed_in_turn_through_trtexec(
    board: Callable[..., Path], invoke: Callable[..., Outcome], tmp_path: Path
) -> None:
    folder = board()
    shown = invoke("profile", folder, "--seconds", "12")
    assert shown.code == 13, shown.stderr
    assert (
        "2.00x" in shown.stdout
        and "FP16's speed" in shown.stdout
        and "1 layer only copies data" in shown.stdout
    )
    report = load_report(folder / "report.json")
    assert [row.name for row in report.engines] == ["fp16", "int8"]
    int8 = report.engines[1]
    assert (
        int8.speedup is not None
        and int8.speedup.rounds == 6
        and int8.sha256 == files.sha256_bytes(b"plan")
    )
    assert [(t.name, t.precision, t.modules, t.median_ms) for t in int8.layer_times] == [
        ("conv1 + relu", "int8", ("conv1", "relu"), 0.09)
    ]
    assert report.environment["tensorrt"] == "10.3.0" and report.environment["jetson_model"] == ORIN
    calls = [
        line for line in (tmp_path / "calls").read_text().splitlines() if "--exportTimes" in line
    ]
    order = ["fp16" if "engine-fp16.plan" in line else "int8" for line in calls]
    assert order == ["fp16", "fp16", "int8", "int8", "int8", "int8", "fp16", "fp16"] * 3
    graphs = ["--useCudaGraph" in line for line in calls]
    assert graphs == [*([True, False] * 2), *([False, True] * 2)] * 3
    timing = "--useSpinWait --noDataTransfers --warmUp=500 --duration=2 --iterations=100"
    assert all(timing in line for line in calls) and timing in report.environment["timing"]
    assert int8.cuda_graph is not None and int8.cuda_graph.speedup is not None
    assert "with a CUDA graph 1.000 ms, without 1.000 ms" in shown.stdout


@pytest.mark.parametrize("option", ["--cuda-graph", "--no-cuda-graph"])
def test_plans_are_timed_in_the_one_way_that_is_asked_for(
    option: str, board: Callable[..., Path], invoke: Callable[..., Outcome], tmp_path: Path
) -> None:
    shown = invoke("profile", board(), option)
    assert shown.code == 13, shown.stderr
    calls = (tmp_path / "calls").read_text().splitlines()
    timed = ["--useCudaGraph" in line for line in calls if "--exportTimes" in line]
    assert timed == [option == "--cuda-graph"] * 12 and "CUDA graph" not in shown.stdout


def test_one_plan_is_timed_beside_its_twin_and_nothing_is_saved(
    board: Callable[..., Path], invoke: Callable[..., Outcome]
) -> None:
    folder = board()
    shown = invoke("profile", folder / "engine.plan")
    assert shown.code == 13 and "2.00x" in shown.stdout
    assert not (folder / "report.json").exists()


def test_trtexecs_first_error_is_shown_and_its_log_second(
    board: Callable[..., Path], invoke: Callable[..., Outcome]
) -> None:
    fail = (
        "case $* in *engine.plan*.3.times*) echo '[E] Error[1]: first'; echo '[E] second'; exit 1"
        " ;; esac"
    )
    folder = board(fail=fail)
    shown = invoke("profile", folder)
    assert shown.code == 8 and "Error[1]: first" in shown.stderr and "second" not in shown.stderr
    log = Path(shown.hint.removeprefix("the whole log: "))
    assert log.name == "engine.3.log" and "second" in log.read_text()
    assert not (folder / "report.json").exists()


@pytest.mark.parametrize(
    ("number", "built", "words"),
    [
        ("100300", "10.7.0", "built with TensorRT 10.7.0, 10.3.0 is installed"),
        ("8602", "10.3.0", "8.6.2 is installed here"),
    ],
)
def test_a_plan_of_another_version_is_refused_before_it_is_loaded(
    number: str,
    built: str,
    words: str,
    board: Callable[..., Path],
    invoke: Callable[..., Outcome],
    tmp_path: Path,
) -> None:
    shown = invoke("profile", board(number=number, built=built))
    assert shown.code == 3 and words in shown.stderr and "edge-scnet build" in shown.hint
    assert "--loadEngine" not in (tmp_path / "calls").read_text()


def test_a_plan_of_another_board_is_refused_before_it_is_loaded(
    board: Callable[..., Path],
    invoke: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    folder = board()
    on_board(monkeypatch, "NVIDIA Jetson AGX Orin", None)
    shown = invoke("profile", folder)
    assert shown.code == 3 and f"was built on {ORIN}" in shown.stderr
    assert "--loadEngine" not in (tmp_path / "calls").read_text()


def test_a_trtexec_that_tells_no_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    with pytest.raises(BackendError, match="does not tell its version"):
        _version(fake_trtexec(tmp_path / "trtexec", "100300", banner=False))
    with pytest.raises(BackendError, match="cannot be run"):
        _version(tmp_path / "none")


def test_with_the_python_package_there_trtexec_is_not_used(
    board: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = load_manifest(board())
    assert program_for(manifest) == Path(os.environ["TRTEXEC"])
    with_tensorrt(monkeypatch, "10.3.0")
    monkeypatch.setattr(cuda, "unavailable", lambda: None)
    assert program_for(manifest) is None


def test_exports_are_not_written_through_a_link(
    board: Callable[..., Path], invoke: Callable[..., Outcome], tmp_path: Path
) -> None:
    folder, victim = board(), tmp_path / "victim"
    victim.mkdir()
    (victim / "thesis.tex").touch()
    (folder / "trtexec-exports").symlink_to(victim)
    shown = invoke("profile", folder)
    assert shown.code == 9 and "trtexec-exports is a link" in shown.stderr
    assert [path.name for path in victim.iterdir()] == ["thesis.tex"]
    assert not (folder / "report.json").exists()


def test_exports_of_the_run_before_are_replaced(
    board: Callable[..., Path], invoke: Callable[..., Outcome]
) -> None:
    folder = board()
    (folder / "trtexec-exports").mkdir()
    (folder / "trtexec-exports" / "engine.9.log").write_text("old")
    assert invoke("profile", folder).code == 13
    exports = {path.name for path in (folder / "trtexec-exports").iterdir()}
    assert "engine.9.log" not in exports and "engine.1.log" in exports
    assert not list(folder.glob(".*"))


def test_a_folder_in_use_is_refused_or_waited_for(
    board: Callable[..., Path], invoke: Callable[..., Outcome]
) -> None:
    folder = board()
    with locked(folder, command="edge-scnet build net", wait=False, events=Silent()):
        refused = invoke("profile", folder)
        assert refused.code == 9 and "--wait" in refused.hint, refused.stderr
        assert (
            f"{folder} is in use by edge-scnet build net (process {os.getpid()}" in refused.stderr
        )
        assert not (folder / "report.json").exists()
    taken = threading.Event()

    class Told(Silent):
        """Has the other run end as this one says that it waits."""

        def __init__(self) -> None:
            self.lines: list[str] = []
            self.ends = threading.Event()

        def stage(self, name: str, detail: str) -> None:
            if name == "wait":
                self.lines.append(detail)
                self.ends.set()

    told = Told()

    def other() -> None:
        with locked(folder, command="edge-scnet build net", wait=False, events=Silent()):
            taken.set()
            told.ends.wait(60)

    thread = threading.Thread(target=other)
    thread.start()
    taken.wait()
    assert profile(folder, wait=True, events=told).exit_code == 13
    thread.join()
    assert len(told.lines) == 1 and "is in use by edge-scnet build net" in told.lines[0]
    assert invoke("profile", folder, "--wait").code == 13


def test_plans_that_are_replaced_while_they_are_timed_make_no_report(
    board: Callable[..., Path], invoke: Callable[..., Outcome]
) -> None:
    """As by a run on another machine, on a file system without locks."""
    plan = '"$(dirname "$0")/built/engine.plan"'
    folder = board(fail=f"case $* in *engine-fp16.plan*.3.times*) echo new > {plan} ;; esac")
    shown = invoke("profile", folder)
    assert shown.code == 6 and "engine.plan was replaced while it was measured" in shown.stderr
    assert not (folder / "report.json").exists()
