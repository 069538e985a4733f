"""A quota of the control group, of files that are bind-mounted in a namespace: no container."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from edge_scnet.machine.linux import usable_cores
from tests.helpers.graphs import tiny_onnx
from tests.helpers.images import published

GROUP = Path("/sys/fs/cgroup")
# of a control group of version 2, and of version 1, which has a file for each
FILES = {
    GROUP / "cpu.max": "{quota} 100000",
    GROUP / "cpu/cpu.cfs_quota_us": "{quota}",
    GROUP / "cpu/cpu.cfs_period_us": "100000",
}


def run_with_quota(folder: Path, cores: float, *arguments: object) -> str:
    """Runs the tool in a namespace whose control group grants so much.

    Returns what it printed as one line: where a sentence is wrapped depends on the processor's
    name.
    """
    mounts = []
    for number, (file, form) in enumerate(FILES.items()):
        if file.exists():
            (folder / f"group-{number}").write_text(form.format(quota=int(cores * 100_000)))
            mounts.append(f"mount --bind {folder / f'group-{number}'} {file}")
    if not mounts:
        pytest.skip("this system has no control group of processors")
    script = f'{" && ".join(mounts)} && exec "$@"'
    words = ["unshare", "-rm", "sh", "-c", script, "sh"]
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted in a namespace here")
    tool = [sys.executable, "-m", "edge_scnet", *map(str, arguments)]
    done = subprocess.run([*words, *tool], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 10, 11, 13), done.stderr
    return " ".join(done.stdout.split())


def test_doctor_says_what_the_control_group_grants(tmp_path: Path) -> None:
    shown = run_with_quota(tmp_path, 0.5, "doctor")
    assert f"{usable_cores()} cores (the control group grants the time of 0.5)" in shown


@pytest.mark.slow
@pytest.mark.skipif(usable_cores() < 2, reason="needs two cores")
def test_a_build_runs_its_engines_with_as_many_threads_as_the_quota_has_cores(
    tmp_path: Path,
) -> None:
    sets = []
    for split, count in (("calib", 120), ("eval", 40)):
        images, labels = published(split)
        for number in range(count):
            path = tmp_path / split / str(labels[number]) / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[number]).save(path)
        sets += [f"--{split}", tmp_path / split]
    model = tiny_onnx(tmp_path / "tiny.onnx", classes=10, size=28)
    rest = ("--mean", 0.286, "--std", 0.353, "--seconds", 0.1, "--out", tmp_path / "out")
    shown = run_with_quota(tmp_path, 1.5, "build", model, *sets, *rest)
    assert f"grants the time of 1.5 of {usable_cores()} cores: engines run with 1 thread," in shown
    report = json.loads((tmp_path / "out/tiny/cpu/report.json").read_text())
    assert report["environment"]["cpu_quota_cores"] == 1.5
    assert {row["settings"]["threads"] for row in report["engines"]} == {"1"}
