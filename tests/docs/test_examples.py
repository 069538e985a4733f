"""docs/examples: the commands of its page are run as they stand there."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "examples" / "index.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n.*?^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
VERDICTS = (0, 11, 13)  # accurate; how fast it is depends on the machine
# How this Python runs a line's program. Of a network of torch one export is checked, as in all
# builds of these tests, and of the bundled images there are fewer: the gate of .ci/run has all.
RUN = """
import runpy, sys
from pathlib import Path
from edge_scnet.data import samples
from edge_scnet.export import parity
parity.PARITY_BATCHES = (1,)
samples.bundled = lambda name: Path("bundled", name).absolute()
del sys.argv[0]
if sys.argv[0].endswith(".py"):
    sys.path[0] = str(Path(sys.argv[0]).parent)
    runpy.run_path(sys.argv[0], run_name="__main__")
else:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def arguments(line: str) -> list[str]:
    """A line of the page, run by this Python from this repository."""
    words = shlex.split(line)
    if words[0] == "edge-scnet":
        words = ["edge_scnet", *words[1:], "--seconds", "0.2"]
    else:
        assert words.pop(0) == "python"
        words = words[words[0] == "-m" :]
    words[0] = words[0].replace("docs/", f"{ROOT}/docs/", 1)
    return [sys.executable, "-c", RUN, *words]


def test_every_example_has_its_commands() -> None:
    assert len(SECTIONS) == PAGE.count("\n## ")
    for name in re.findall(r"docs/examples/(\w+\.py)", "".join(SECTIONS.values())):
        assert (ROOT / "docs" / "examples" / name).is_file()


@pytest.mark.slow
@pytest.mark.parametrize("section", SECTIONS)
def test_an_example_ends_with_a_verdict(
    section: str, tmp_path: Path, calib_120: Path, eval_600: Path
) -> None:
    images = tmp_path / "bundled" / "calib_data" / "fashion-mnist"
    images.mkdir(parents=True)
    for name, folder in (("calib", calib_120), ("eval", eval_600)):
        (images / name).symlink_to(folder)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for line in SECTIONS[section].splitlines():
        run = subprocess.run(
            arguments(line), cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert run.returncode in (VERDICTS if line.startswith("edge-scnet") else (0,)), run.stderr
    (report,) = tmp_path.glob("build/*/cpu/report.json")
    assert json.loads(report.read_text(encoding="utf-8"))["complete"]
