"""A bundle on its board without Python: its build.sh runs as a job, and its results come back."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from edge_scnet.core.manifest import BOARD, FP16_PLAN, FP32_PLAN, INT8_PLAN
from edge_scnet.devices.inputs import Input, Job

RESULTS = "results.tar.gz"
_MADE = (RESULTS, BOARD, INT8_PLAN, FP16_PLAN, FP32_PLAN)


def bundle_job(bundle: Path, *, builds: int) -> Job:
    """The job that unpacks a bundle on a board, and builds and times its plans there.

    What it makes comes back beside the bundle.

    Args:
        builds: of each plan, of which the fastest is kept.
    """
    text = (files("edge_scnet.devices") / "bundle.sh").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    folder = bundle.parent
    return Job(
        argv=("sh", "-c", "\n".join(lines), "bundle.sh", bundle.name, str(builds), *_MADE),
        is_tool=False,
        words=f"build.sh of {bundle}",
        cwd=folder.absolute(),
        inputs=(Input(path=bundle),),
        outputs=tuple(folder / name for name in _MADE),
        times=True,
    )
