"""The script that runs a bundle's build.sh on a board, without a board."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from edge_scnet.devices.bundles import bundle_job

BUILDS = 'cd "${0%/*}" && echo new >engine.plan && echo new >results.tar.gz'


def ran(folder: Path, build_sh: str) -> int:
    """Runs the script beside a bundle with this build.sh."""
    bundle = folder / "bundle.tar.gz"
    with tarfile.open(bundle, "w:gz") as archive:
        info = tarfile.TarInfo("net/build.sh")
        info.size = len(build_sh.encode())
        archive.addfile(info, io.BytesIO(build_sh.encode()))
    job = bundle_job(bundle, builds=1)
    return subprocess.run(job.argv, cwd=folder, capture_output=True).returncode


@pytest.mark.parametrize(
    ("build_sh", "code", "plan"), [(BUILDS, 0, "new\n"), (f"{BUILDS}; exit 8", 8, "old")]
)
def test_a_build_that_failed_replaces_no_plan(
    tmp_path: Path, build_sh: str, code: int, plan: str
) -> None:
    (tmp_path / "engine.plan").write_text("old")
    assert ran(tmp_path, build_sh) == code
    assert (tmp_path / "engine.plan").read_text() == plan


def test_a_plan_that_finds_no_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "engine.plan" / "engine.plan").mkdir(parents=True)
    assert ran(tmp_path, BUILDS) == 9
