"""Two runs in one build folder, one of them paused at the moment that the other spoils its files.

The other is refused; and where no lock holds it (another machine, on a file system without locks),
the paused one notices.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.events import Silent
from edge_scnet.core.files import sha256_file
from edge_scnet.core.manifest import load_manifest
from edge_scnet.errors import ArtifactError, EdgeError, StorageError
from edge_scnet.pipeline import decide
from edge_scnet.pipeline import profile as profiling
from edge_scnet.pipeline.build import build
from edge_scnet.pipeline.profile import profile
from edge_scnet.pipeline.result import BuildResult
from edge_scnet.pipeline.stages.job import Stage
from tests.conftest import bundled_images
from tests.helpers.graphs import tiny_onnx
from tests.helpers.images import idx_folder, published

pytestmark = pytest.mark.slow


class Paused(Silent):
    """Lets another run go on as a stage begins, once."""

    def __init__(self, stage: str, other: Callable[[], object]) -> None:
        self._stage, self._other, self.fault = stage, other, None

    def stage(self, name: str, detail: str) -> None:
        if name == self._stage:
            self._stage = ""
            try:
                self._other()
            except EdgeError as error:
                self.fault = error

    def warn(self, message: str) -> None: ...


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., BuildResult]:
    """Builds a tiny network on one of two calibration sets, in one folder."""
    model = tiny_onnx(tmp_path / "tiny.onnx", classes=10, size=28)
    images, labels = published("calib")
    for number in (0, 1):
        these = slice(120 * number, 120 * (number + 1))
        idx_folder(tmp_path / f"calib-{number}", images[these], labels[these])
    bundled_images("eval", 60)(tmp_path / "eval")

    def call(number: int, until: Stage, events: Silent, out: str = "out") -> BuildResult:
        return build(
            model,
            calib=tmp_path / f"calib-{number}",
            evaluation=tmp_path / "eval" if until == "profile" else None,
            out=tmp_path / out,
            model_options=ModelOptions(mean=(0.286,), std=(0.353,)),
            seconds=0.1,
            until=until,
            events=events,
        )

    return call


@contextlib.contextmanager
def _unlocked(path: Path, **_: object) -> Iterator[None]:
    path.mkdir(parents=True, exist_ok=True)
    yield


def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "check_free", lambda path: None, raising=False)
    for module in (decide, profiling):
        monkeypatch.setattr(module, "locked", _unlocked, raising=False)


@pytest.mark.parametrize("locks", [True, False])
def test_another_run_calibrates_before_the_first_one_quantizes(
    run: Callable[..., BuildResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: bool
) -> None:
    right = run(0, "compile", Paused("", run), out="alone").manifest.artifacts
    if not locks:
        without_locks(monkeypatch)
    first = Paused("quantize", lambda: run(1, "calibrate", Paused("", run)))
    if locks:
        assert run(0, "compile", first).exit_code == 0
        assert isinstance(first.fault, StorageError) and "is in use by" in str(first.fault)
    else:
        with pytest.raises(ArtifactError, match=r"ranges.npz is not the file that was built"):
            run(0, "compile", first)
    again = run(0, "compile", Paused("", run))
    for name in ("ranges.npz", "model.qdq.onnx", "model.bin"):
        assert again.manifest.artifacts[name].sha256 == right[name].sha256
        assert sha256_file(again.folder / name) == right[name].sha256


@pytest.mark.parametrize("locks", [True, False])
def test_another_run_replaces_the_engines_while_they_are_measured(
    run: Callable[..., BuildResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: bool
) -> None:
    folder = run(0, "profile", Paused("", run)).folder
    if not locks:
        without_locks(monkeypatch)
    paused = Paused("profile", lambda: run(1, "compile", Paused("", run)))
    if locks:
        report = profile(folder, seconds=0.1, events=paused).report
        assert isinstance(paused.fault, StorageError) and "is in use by" in str(paused.fault)
        assert report is not None
        artifacts = load_manifest(folder).artifacts
        assert all(row.sha256 == artifacts[row.file].sha256 for row in report.engines)
    else:
        with pytest.raises(ArtifactError, match="was replaced while it was measured") as caught:
            profile(folder, seconds=0.1, events=paused)
        assert caught.value.hint.endswith(f"edge-scnet profile {folder}")
        assert not (folder / "report.json").exists() and not (folder / "report.html").exists()
