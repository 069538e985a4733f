"""The extra `jetson` on boards: pip finds a wheel of all of it for their Python and glibc.

By hand, for it downloads some 60 MB: pytest --soak -m soak tests/end_to_end/test_board_wheels.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from edge_scnet.config.schema import read_toml

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
# glibc of Ubuntu 22.04 (JetPack 6) and 24.04 (JetPack 7)
BOARDS = {"3.10": 35, "3.12": 39}


def requirements(python: str) -> list[str]:
    """What the package and its extra need on a board; pip judges markers by its own machine."""
    project = read_toml(PYPROJECT)["project"]
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_machine": "aarch64",
        "sys_platform": "linux",
        "extra": "jetson",
    }
    listed = project["dependencies"] + project["optional-dependencies"]["jetson"]
    needed = [
        requirement
        for requirement in map(Requirement, listed)
        if requirement.marker is None or requirement.marker.evaluate(environment)
    ]
    return [f"{requirement.name}{requirement.specifier}" for requirement in needed]


def test_the_driver_of_a_board_bounds_cuda() -> None:
    assert "cuda-bindings<13,>=12.6" in requirements("3.10")
    assert "cuda-bindings>=13" in requirements("3.12")


@pytest.mark.soak
@pytest.mark.parametrize("python", BOARDS)
def test_pip_finds_wheels_for_the_board(python: str, tmp_path: Path) -> None:
    # pip does not count older ones in
    glibcs = [f"manylinux_2_{minor}_aarch64" for minor in range(17, BOARDS[python] + 1)]
    platforms = [
        word for name in (*glibcs, "manylinux2014_aarch64") for word in ("--platform", name)
    ]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "-q", "-d", str(tmp_path)),
            *("--only-binary=:all:", "--implementation", "cp", "--python-version", python),
            *platforms,
            *requirements(python),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    print("\n".join(sorted(file.name for file in tmp_path.iterdir())))
    names = {file.name.partition("-")[0] for file in tmp_path.iterdir()}
    assert {"numpy", "onnx", "pillow", "msgspec", "cuda_bindings"} <= names
