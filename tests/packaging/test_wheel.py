"""The wheel and the source archive: what is in them, and a build by the wheel alone.

hatchling builds them in this process, so nothing is fetched; `.ci/try_wheel` installs the wheel
with its own dependencies.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

from edge_scnet.__about__ import __version__
from tests.helpers.onnx_files import user_model, written

ROOT = Path(__file__).parents[2]
DIST_INFO = f"edge_scnet-{__version__}.dist-info"
LIMIT_MB = 15
_NO_TORCH = ("torch", "safetensors", "functorch", "torchgen", "timm")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive of this checkout, unpacked."""
    sdist = pytest.importorskip("hatchling.builders.sdist", reason="needs hatchling (extra dev)")
    folder = tmp_path_factory.mktemp("sdist")
    (path,) = sdist.SdistBuilder(str(ROOT)).build(directory=str(folder))
    with tarfile.open(path) as packed:
        packed.extractall(folder, filter="data")
    return folder / f"edge_scnet-{__version__}"


@pytest.fixture(scope="module")
def wheel(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that the source archive gives, as an index's is made: without git's records."""
    builder = pytest.importorskip("hatchling.builders.wheel").WheelBuilder(str(archive))
    (path,) = builder.build(directory=str(tmp_path_factory.mktemp("wheel")), versions=["standard"])
    return Path(path)


def files_below(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as packed:
        return Parser().parsestr(packed.read(f"{DIST_INFO}/METADATA").decode())


def required(told: Message, extra: str) -> set[str]:
    """Names of the packages that an extra brings, through extras of this package too."""
    names = set()
    for requirement in map(Requirement, told.get_all("Requires-Dist", [])):
        judged = [
            requirement.marker is None or requirement.marker.evaluate({"extra": name})
            for name in ("", extra)
        ]
        if judged != [False, True]:
            continue
        if requirement.name == told["Name"]:
            names |= {name for inner in requirement.extras for name in required(told, inner)}
        else:
            names.add(requirement.name)
    return names


def test_the_wheel_holds_the_package_its_data_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
    told = {name for name in names if name.startswith(f"{DIST_INFO}/")}
    expected = {f"edge_scnet/{name}" for name in files_below(ROOT / "edge_scnet")}
    for data in ("targets", "calib_data"):
        expected |= {f"edge_scnet/_data/{data}/{name}" for name in files_below(ROOT / data)}
    assert names - told == expected
    assert {
        "edge_scnet/py.typed",
        "edge_scnet/report/page.html.j2",
        "edge_scnet/models/weights/scnet20_fashion_mnist.safetensors",
        "edge_scnet/_data/targets/cpu.toml",
    } <= names
    assert f"{DIST_INFO}/licenses/LICENSE" in told
    size = wheel.stat().st_size / 1e6
    assert size < LIMIT_MB, f"{size:.1f} MB: bundled data goes into a wheel of its own"


def test_the_source_archive_holds_what_testing_it_needs(archive: Path) -> None:
    held = files_below(archive)
    for name in ("tests/conftest.py", "constraints.txt", "CHANGELOG.md", "targets/cpu.toml"):
        assert name in held
    assert not any(name.endswith((".pyc", ".so")) or ".venv" in name for name in held)


def test_the_metadata_say_what_the_package_is(wheel: Path) -> None:
    told = metadata(wheel)
    assert (told["Name"], told["Version"]) == ("edge-scnet", __version__)
    assert told["License-Expression"] == "Apache-2.0" and told["Requires-Python"] == ">=3.10"
    assert told["Description-Content-Type"] == "text/markdown" and told["Keywords"]
    classifiers = set(told.get_all("Classifier", []))
    known = pytest.importorskip("trove_classifiers").classifiers
    assert classifiers <= known and "Typing :: Typed" in classifiers
    assert wheel.name == f"edge_scnet-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as packed:
        entries = packed.read(f"{DIST_INFO}/entry_points.txt").decode()
    assert "edge-scnet = edge_scnet.cli:main" in entries
    assert "[pytest11]\nedge_scnet = edge_scnet.pytest_plugin" in entries


def test_only_the_extras_for_networks_of_pytorch_bring_torch(wheel: Path) -> None:
    told = metadata(wheel)
    extras = told.get_all("Provides-Extra", [])
    assert {extra for extra in extras if "torch" in required(told, extra)} == {
        "export",
        "all",
        "dev",
    }
    assert {"openvino", "onnx", "onnxruntime", "jinja2", "pillow"} <= required(told, "cpu")
    parts = [required(told, extra) for extra in ("cpu", "export", "ssh")]
    assert set[str]().union(*parts) == required(told, "all")


def test_the_wheel_alone_builds_from_an_onnx_file_without_torch(
    wheel: Path, tmp_path: Path
) -> None:
    environment, work = tmp_path / "venv", tmp_path / "empty"
    command = [sys.executable, "-m", "venv", "--without-pip", str(environment)]
    subprocess.run(command, check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    # the packages that run these tests, but for torch and for what leads into the checkout
    for entry in Path(np.__file__).parents[1].iterdir():
        if not entry.name.lower().startswith((*_NO_TORCH, "edge_scnet", "_edge", "__")) and (
            entry.suffix != ".pth"
        ):
            (packages / entry.name).symlink_to(entry)
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(packages)
    work.mkdir()
    model = written(work, user_model())
    rng = np.random.default_rng(0)
    for name, count in (("calib", 100), ("eval", 600)):
        (work / name).mkdir()
        np.save(work / name / "samples.npy", rng.random((count, 3, 8, 8), np.float32))
    arguments = ["build", model.name, "--calib", "calib", "--eval", "eval", "--seconds", "0.1"]
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(environment / "bin" / "python"), "-m", "edge_scnet", *arguments],
        cwd=work,
        env=outside,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    # 11, 13: so small a network need not gain by INT8
    assert done.returncode in (0, 11, 13), done.stderr
    assert (work / "build" / "net" / "cpu" / "report.html").is_file()
