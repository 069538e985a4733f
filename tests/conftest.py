"""What the tests of the command line share: one build, made once, and two ways to run the tool."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edge_scnet.cli import root as cli
from edge_scnet.core.resources import bundled
from edge_scnet.data import idx

MODEL = "scnet20-fashion-mnist"
# The build's parity is checked at batch 1 alone: every further batch size is one more export by
# torch.
_BUILD = (
    "import edge_scnet.export.parity as p; p.PARITY_BATCHES = (1,); from edge_scnet.cli.root import"
    " main; main()"
)


@dataclass(frozen=True)
class Outcome:
    """What a run of the tool gave."""

    code: int
    stdout: str
    stderr: str

    @property
    def hint(self) -> str:
        return self.stderr.partition("\nhint: ")[2].strip()


@dataclass(frozen=True)
class Built:
    """A finished build of the bundled model; tests copy the folder before they change it."""

    folder: Path
    calib: Path
    evaluation: Path
    outcome: Outcome


def idx_folder(root: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    root.mkdir(parents=True)
    for name, array in (("images-idx3", images), ("labels-idx1", labels.astype(np.uint8))):
        head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
        (root / f"t10k-{name}-ubyte").write_bytes(head + array.tobytes())
    return root


def published(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of the bundled set, split "calib" or "eval"."""
    folder = bundled("calib_data") / "fashion-mnist" / split
    stem = "calib" if split == "calib" else "t10k"
    images, labels = (
        idx.read_idx(folder / f"{stem}-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1")
    )
    return images, labels


def tiny_onnx(path: Path, *, batch: int = 1, classes: int = 4, size: int = 6) -> Path:
    """A 1x1 convolution named "conv", ReLU and the mean: outputs "logits" [batch, classes] and
    "twice", twice that.
    """
    from onnx import TensorProto, helper, numpy_helper, save

    weight = np.linspace(-1, 1.5, classes, dtype=np.float32).reshape(classes, 1, 1, 1)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("GlobalAveragePool", ["r"], ["p"]),
            helper.make_node("Flatten", ["p"], ["logits"]),
            helper.make_node("Add", ["logits", "logits"], ["twice"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 1, size, size])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, classes])
            for name in ("logits", "twice")
        ],
        [numpy_helper.from_array(weight, "w")],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def tiny_logits(images: np.ndarray, *, classes: int = 4) -> np.ndarray:
    """What `tiny_onnx` computes."""
    weight = np.linspace(-1, 1.5, classes, dtype=np.float32).reshape(1, classes, 1, 1)
    return np.maximum(images * weight, 0).mean(axis=(2, 3))


@pytest.fixture(scope="session")
def cli_process() -> Callable[..., Outcome]:
    """Runs `edge-scnet ARGS` in a process of its own: for what crosses its border."""

    def run(
        *args: object,
        env: dict[str, str] | None = None,
        code: str = "from edge_scnet.cli.root import main; main()",
    ) -> Outcome:
        command = [sys.executable, "-c", code, *map(str, args)]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, **(env or {})}, timeout=300
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def invoke() -> Callable[..., Outcome]:
    """Runs `edge-scnet ARGS` in this process."""

    def run(*args: object) -> Outcome:
        result = CliRunner().invoke(cli.app, [str(arg) for arg in args], prog_name="edge-scnet")
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture(scope="session")
def calib_120(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 of the bundled calibration images."""
    images, labels = published("calib")
    return idx_folder(tmp_path_factory.mktemp("data") / "calib", images[:120], labels[:120])


@pytest.fixture(scope="session")
def eval_600(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 of the bundled evaluation images."""
    images, labels = published("eval")
    return idx_folder(tmp_path_factory.mktemp("data") / "eval", images[:600], labels[:600])


@pytest.fixture(scope="session")
def eval_20(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 evaluation images: too few to tell whether half a percent was lost."""
    images, labels = published("eval")
    return idx_folder(tmp_path_factory.mktemp("data") / "few", images[:20], labels[:20])


# The build that many tests share takes 20 s, and what measures its engines takes seconds each.
_SLOW_FIXTURES = {"built", "copied"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def built(
    tmp_path_factory: pytest.TempPathFactory,
    cli_process: Callable[..., Outcome],
    calib_120: Path,
    eval_600: Path,
) -> Built:
    """The whole pipeline once, in a process of its own, with `--json`."""
    out = tmp_path_factory.mktemp("built")
    outcome = cli_process(
        "build",
        "--calib",
        calib_120,
        "--eval",
        eval_600,
        "--out",
        out,
        "--seconds",
        "0.2",
        "--max-drop",
        "5",
        "--json",
        code=_BUILD,
    )
    # 11: on a processor without VNNI the INT8 engine of so small a network may be the slower one
    assert outcome.code in (0, 11), outcome.stderr
    return Built(folder=out / MODEL / "cpu", calib=calib_120, evaluation=eval_600, outcome=outcome)


@pytest.fixture
def copied(built: Built, tmp_path: Path) -> Built:
    """The same build in a folder that the test may change; its parent's parent is the `--out` of a
    further build.
    """
    folder = tmp_path / "out" / MODEL / "cpu"
    shutil.copytree(built.folder, folder)
    return Built(
        folder=folder, calib=built.calib, evaluation=built.evaluation, outcome=built.outcome
    )


@pytest.fixture
def edit_manifest() -> Callable[[Path, Callable[[dict], None]], None]:
    def edit(folder: Path, change: Callable[[dict], None]) -> None:
        path = folder / "manifest.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return edit
