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


def arguments(line: str) -> list[str]:
    """A line of the page, run by this Python from this repository."""
    words = shlex.split(line)
    if words[0] == "edge-scnet":
        return [sys.executable, "-m", "edge_scnet", *words[1:], "--seconds", "0.5"]
    return [sys.executable, *(word.replace("docs/", f"{ROOT}/docs/", 1) for word in words[1:])]


def test_every_example_has_its_commands() -> None:
    assert len(SECTIONS) == PAGE.count("\n## ")
    for name in re.findall(r"docs/examples/(\w+\.py)", "".join(SECTIONS.values())):
        assert (ROOT / "docs" / "examples" / name).is_file()


@pytest.mark.slow
@pytest.mark.parametrize("section", SECTIONS)
def test_an_example_ends_with_a_verdict(section: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for line in SECTIONS[section].splitlines():
        run = subprocess.run(
            arguments(line), cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert run.returncode in (VERDICTS if line.startswith("edge-scnet") else (0,)), run.stderr
    (report,) = tmp_path.glob("build/*/cpu/report.json")
    assert json.loads(report.read_text(encoding="utf-8"))["complete"]
